//! Importing checkpoints, listing what was imported, and choosing the model of a folder.

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::testing::{loaded, state_dict, torch_file, values, weights};
use super::*;
use crate::error_code::ErrorCode;
use crate::family::Family;
use crate::features::CardFile;
use crate::features::testing::corpus;
use crate::features::torch::testing::{Py, PyTensor};

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn models(&self) -> PathBuf {
        self.folder.path().join("models")
    }

    fn checkpoint(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn import(&self, checkpoint: &Path) -> Result<ImportedModel, ModelsError> {
        import_checkpoint(checkpoint, &self.models(), None, &mut |_| {})
    }

    fn store(&self) -> ModelStore {
        ModelStore::open(&self.models()).unwrap()
    }
}

fn prefixed(prefix: &'static str) -> impl Fn(&str) -> Option<String> {
    move |name| Some(format!("{prefix}{name}"))
}

fn file_of(family: Family, prefix: &'static str) -> Vec<u8> {
    let (state, storages) = state_dict(family, prefixed(prefix));
    torch_file(&state, storages)
}

#[test]
fn every_kind_of_checkpoint_becomes_the_same_canonical_weights() {
    let place = Place::new();
    let multiplex = |name: &str| {
        // SAM 3.1 mixes two spellings, beside a decoder for many objects that is not meant.
        let middle = if name.starts_with("prompt") { "interactivity_" } else { "interactive_" };
        Some(format!("tracker.model.{middle}sam_{name}"))
    };
    let (state, storages) = state_dict(Family::Sam3, multiplex);
    let Py::OrderedDict(mut items) = state else { unreachable!() };
    let other = PyTensor::contiguous("9999", &[48, 256]);
    items.push(("tracker.model.sam_mask_decoder.mask_tokens.weight".to_owned(), Py::Tensor(other)));
    let sam31 = torch_file(&Py::OrderedDict(items), storages);
    let (state, storages) = state_dict(Family::Sam2, prefixed("sam_"));
    let wrapped = torch_file(&Py::Dict(vec![("model", state), ("epoch", Py::Int(3))]), storages);
    let cases = [
        ("a_sam.pth", Family::Sam, file_of(Family::Sam, "")),
        ("b_sam2.pt", Family::Sam2, file_of(Family::Sam2, "sam_")),
        ("c_sam2.pt", Family::Sam2, wrapped),
        ("d_sam3.pt", Family::Sam3, file_of(Family::Sam3, "tracker.sam_")),
        ("e_sam3.pt", Family::Sam3, sam31),
    ];
    for (name, family, bytes) in cases {
        let imported = place.import(&place.checkpoint(name, &bytes)).unwrap();
        assert!(imported.exact);
        assert_eq!(imported.info.family, family, "{name}");
        assert_eq!(loaded(&imported.info), weights(family), "{name}");
    }
    let names: Vec<_> = place.store().list().iter().map(|m| m.name.clone()).collect();
    assert_eq!(names, ["a_sam", "b_sam2", "c_sam2", "d_sam3", "e_sam3"]);
}

#[test]
fn an_import_says_what_it_wrote_and_where_it_came_from() {
    let place = Place::new();
    let bytes = file_of(Family::Sam, "");
    let path = place.checkpoint("sam_b.pt", &bytes);
    let mut steps = vec![];
    let imported =
        import_checkpoint(&path, &place.models(), Some("mine"), &mut |progress| steps.push(progress))
            .unwrap();
    assert_eq!(steps[0], ImportProgress::Reading { done: 0, total: 137 });
    let total = bytes.len() as u64;
    assert_eq!(
        steps[steps.len() - 2..],
        [ImportProgress::Hashing { done: total, total }, ImportProgress::Writing]
    );
    let text = fs::read_to_string(place.models().join("mine/model.toml")).unwrap();
    let description: toml::Table = text.parse().unwrap();
    for (key, value) in [("family", "sam"), ("source_file", "sam_b.pt"), ("precision", "f32")] {
        assert_eq!(description[key].as_str(), Some(value), "{text}");
    }
    assert_eq!((description["format"].as_integer(), description["grid"].as_integer()), (Some(1), Some(64)));
    assert!(description["created_by"].as_str().unwrap().starts_with("geosam-edge "));
    assert_eq!(imported.info, place.store().list()[0]);
    assert_eq!(imported.parameters, 137);
    // Nothing hidden is left behind.
    assert_eq!(fs::read_dir(place.models()).unwrap().count(), 1);
}

#[test]
fn the_sha_256_is_that_of_the_whole_checkpoint() {
    let Some(corpus) = corpus("importing real checkpoints") else { return };
    let place = Place::new();
    for (name, family, parameters, sha256) in [
        (
            "mobile_sam.pt",
            Family::Sam,
            137,
            "71c70bee01610502cffd0279e2d7ed98a6db454a38e69f10f38c5c12d30af8a5",
        ),
        (
            "sam2.1_t.pt",
            Family::Sam2,
            148,
            "9a03330f2d2dafe751e2e7dc1767e75dbfe10731c30fe907192845c16c061c57",
        ),
    ] {
        let imported = place.import(&corpus.join("checkpoints").join(name)).unwrap();
        assert_eq!((imported.info.family, imported.parameters), (family, parameters));
        assert_eq!(imported.info.sha256, sha256);
        assert!(imported.bytes < 18 << 20);
        let found = place.store().find(name, family).unwrap().clone();
        let loaded = load_weights(&found).unwrap();
        let tokens = loaded.tensor("mask_decoder.mask_tokens.weight").unwrap();
        let sum: f64 = tokens.iter().map(|&v| f64::from(v)).sum();
        let (first, expected) = if family == Family::Sam {
            (-0.684_211, 34.155_661_614_087)
        } else {
            (0.477_158_76, 47.397_580_809_854)
        };
        assert_eq!(tokens[[0, 0]], first);
        assert!((sum - expected).abs() < 1e-9, "{sum}");
    }
}

#[test]
fn half_precision_takes_half_the_space_and_says_whether_it_is_exact() {
    let place = Place::new();
    let half = ImportOptions { half: true, replace: true, ..ImportOptions::default() };
    let path = place.checkpoint("sam_b.pt", &file_of(Family::Sam, ""));
    let imported = import_checkpoint_with(&path, &place.models(), &half, &mut |_| {}).unwrap();
    assert!(imported.exact && imported.bytes < 9 << 20, "{}", imported.bytes);
    assert_eq!(imported.info.precision, Precision::F16);
    assert_eq!(loaded(&place.store().list()[0]), weights(Family::Sam));

    let (state, mut storages) = state_dict(Family::Sam, prefixed(""));
    storages[0].1[..4].copy_from_slice(&0.1_f32.to_le_bytes());
    let path = place.checkpoint("sam_b.pt", &torch_file(&state, storages.clone()));
    assert!(!import_checkpoint_with(&path, &place.models(), &half, &mut |_| {}).unwrap().exact);
    storages[0].1[..4].copy_from_slice(&1e6_f32.to_le_bytes());
    let path = place.checkpoint("sam_b.pt", &torch_file(&state, storages));
    let message = import_checkpoint_with(&path, &place.models(), &half, &mut |_| {}).unwrap_err().to_string();
    assert!(message.contains("1000000") && message.contains("positional_encoding"), "{message}");
}

#[test]
fn missing_parameters_are_counted_and_the_first_named() {
    let place = Place::new();
    let without = |name: &str| (!name.contains("norm")).then(|| format!("sam_{name}"));
    let (state, storages) = state_dict(Family::Sam2, without);
    let error = place.import(&place.checkpoint("sam2_t.pt", &torch_file(&state, storages))).unwrap_err();
    let message = error.to_string();
    for part in [
        "looks like sam2",
        "18 of its 128",
        "sam_mask_decoder.transformer.layers.0.norm1.weight",
        "layers.0.norm2.weight, ...",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(error.code(), ErrorCode::Internal);
    assert!(!place.models().exists());

    // What decoding does not need may be missing.
    let lean = |name: &str| {
        (!name.contains("conv_s") && !name.contains("pred_obj_score_head")).then(|| format!("sam_{name}"))
    };
    let (state, storages) = state_dict(Family::Sam2, lean);
    let imported = place.import(&place.checkpoint("sam2_t.pt", &torch_file(&state, storages))).unwrap();
    assert_eq!(imported.parameters, 138);
    assert!(load_weights(&imported.info).unwrap().tensor("mask_decoder.conv_s0.weight").is_none());
}

#[test]
fn other_shapes_other_models_and_damaged_weights_are_refused() {
    let place = Place::new();
    let refused = |bytes: &[u8]| place.import(&place.checkpoint("x.pt", bytes)).unwrap_err().to_string();

    let (state, storages) = state_dict(Family::Sam, prefixed(""));
    let Py::OrderedDict(mut items) = state else { unreachable!() };
    let tokens = items.iter_mut().find(|(name, _)| name.ends_with("mask_tokens.weight")).unwrap();
    tokens.1 = Py::Tensor(PyTensor::contiguous("0", &[1, 256]));
    let message = refused(&torch_file(&Py::OrderedDict(items), storages));
    assert!(message.contains("mask_tokens.weight has the shape [1, 256], but sam has [4, 256]"), "{message}");

    let yolo = Py::Dict(vec![("model.0.conv.weight", Py::Tensor(PyTensor::contiguous("0", &[1])))]);
    let message = refused(&torch_file(&yolo, vec![]));
    assert!(message.contains("it begins with model.0.conv.weight"), "{message}");
    let message =
        refused(&torch_file(&Py::Dict(vec![("model", Py::Global("ultralytics.nn", "SAM"))]), vec![]));
    assert!(message.contains("ultralytics.nn.SAM"), "{message}");

    let (state, mut storages) = state_dict(Family::Sam, prefixed(""));
    storages[5].1[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    assert!(refused(&torch_file(&state, storages)).contains("NaN"));

    let mut bytes = file_of(Family::Sam, "");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    assert!(refused(&bytes).contains("CRC"));
    assert!(place.import(&place.folder.path().join("none.pt")).unwrap_err().to_string().contains("none.pt"));
}

#[test]
fn a_model_is_replaced_whole_and_other_directories_are_left_alone() {
    let place = Place::new();
    place.import(&place.checkpoint("sam_b.pt", &file_of(Family::Sam, ""))).unwrap();
    let first = place.store().list()[0].clone();
    let path = place.checkpoint("sam2_t.pt", &file_of(Family::Sam2, "sam_"));
    // A leftover of an import that was cut off does not stand in the way.
    fs::create_dir(place.models().join(".sam_b.importing")).unwrap();
    let refused = import_checkpoint(&path, &place.models(), Some("sam_b"), &mut |_| {}).unwrap_err();
    assert!(matches!(refused, ModelsError::OtherWeights { .. }), "{refused}");
    for part in ["sam_b.pt", "sam2_t.pt", &first.sha256[..12], "--replace"] {
        assert!(refused.to_string().contains(part), "{refused}");
    }
    assert_eq!(place.store().list(), std::slice::from_ref(&first));
    let replaced =
        ImportOptions { name: Some("sam_b".to_owned()), replace: true, ..ImportOptions::default() };
    let imported = import_checkpoint_with(&path, &place.models(), &replaced, &mut |_| {}).unwrap();
    assert_eq!(imported.replaced.unwrap().sha256, first.sha256);
    // The same weights again need no word.
    let again = import_checkpoint(&path, &place.models(), Some("sam_b"), &mut |_| {}).unwrap();
    assert!(again.replaced.is_none());
    let store = place.store();
    assert_eq!(store.list().len(), 1);
    assert_ne!(store.list()[0], first);
    assert_eq!(loaded(&store.list()[0]), weights(Family::Sam2));

    fs::create_dir(place.models().join("photos")).unwrap();
    fs::write(place.models().join("photos/a.jpg"), b"x").unwrap();
    let error = import_checkpoint(&path, &place.models(), Some("photos"), &mut |_| {}).unwrap_err();
    assert!(matches!(error, ModelsError::Occupied { .. }));
    assert!(place.models().join("photos/a.jpg").exists());
    for name in ["", "../up", "a b", ".hidden"] {
        let error = import_checkpoint(&path, &place.models(), Some(name), &mut |_| {}).unwrap_err();
        assert!(matches!(error, ModelsError::Name { .. }), "{name}");
    }
}

#[test]
fn what_is_no_directory_of_models_is_told_as_what_it_is() {
    let place = Place::new();
    let path = place.checkpoint("sam_b.pt", &file_of(Family::Sam, ""));
    let (file, link) = (path.with_file_name("a-file"), path.with_file_name("a-link"));
    fs::write(&file, "text").unwrap();
    std::os::unix::fs::symlink("nowhere", &link).unwrap();
    for (models, words) in
        [(&file, "a-file is a file"), (&file.join("below"), "a-file is a file"), (&link, "leads nowhere")]
    {
        let error = import_checkpoint(&path, models, None, &mut |_| {}).unwrap_err();
        assert!(
            matches!(error, ModelsError::NoDirectory { .. }) && error.to_string().contains(words),
            "{error}"
        );
    }
}

#[test]
fn a_checkpoint_that_was_never_fetched_is_told_as_what_lies_there() {
    let place = Place::new();
    for (begins, words) in [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "git lfs pull"),
        ("<!DOCTYPE html><html>", "is a web page"),
    ] {
        let told = place.import(&place.checkpoint("sam_b.pt", begins.as_bytes())).unwrap_err().to_string();
        assert!(told.contains(words) && !told.contains("copy it again"), "{told}");
    }
}

#[test]
fn a_decoder_that_holds_more_than_its_family_is_refused_by_name() {
    let place = Place::new();
    for (file, family, prefix, extra) in [
        ("sam_hq_vit_b.pth", Family::Sam, "", "mask_decoder.hf_token.weight"),
        ("sam2.1_hq_hiera_large.pt", Family::Sam2, "sam_", "sam_mask_decoder.hf_mlp.layers.0.weight"),
        ("robustsam.pth", Family::Sam, "", "mask_decoder.fourier_mask_features.conv1.weight"),
        (
            "adapted.pt",
            Family::Sam3,
            "tracker.sam_",
            "tracker.sam_mask_decoder.transformer.layers.0.adapter.weight",
        ),
    ] {
        let (state, storages) = state_dict(family, prefixed(prefix));
        let Py::OrderedDict(mut items) = state else { unreachable!() };
        items.push((extra.to_owned(), Py::Tensor(PyTensor::contiguous("0", &[1]))));
        // What stands beside the decoder is of no concern.
        items.push((
            format!("{prefix}image_encoder.neck.weight"),
            Py::Tensor(PyTensor::contiguous("0", &[1])),
        ));
        let path = place.checkpoint(file, &torch_file(&Py::OrderedDict(items), storages));
        let error = place.import(&path).unwrap_err();
        assert!(matches!(error, ModelsError::OtherDecoder { extra: 1, .. }), "{error}");
        assert!(error.to_string().contains(extra), "{error}");
        assert!(place.store().list().is_empty());
    }
}

#[test]
fn a_refusal_of_the_system_says_what_to_do() {
    let refused = |action, kind: std::io::ErrorKind| {
        ModelsError::Io { action, path: "/models/sam_b/model.toml".into(), source: kind.into() }.to_string()
    };
    use std::io::ErrorKind::{NotFound, PermissionDenied, ReadOnlyFilesystem};
    assert!(refused("read", PermissionDenied).ends_with("chmod -R a+rX /models/sam_b"));
    assert!(refused("create", PermissionDenied).contains("run it with sudo"));
    assert!(refused("write to", ReadOnlyFilesystem).contains("--models"));
    assert!(!refused("read", NotFound).contains("chmod"));
}

#[test]
fn a_checkpoint_without_the_parameters_of_mask_prompts_is_imported_and_says_so() {
    let place = Place::new();
    let all = place.import(&place.checkpoint("whole.pt", &file_of(Family::Sam, ""))).unwrap();
    assert!(all.info.takes_masks);
    let without = |name: &str| (!name.contains("mask_downscaling")).then(|| name.to_owned());
    let (state, storages) = state_dict(Family::Sam, without);
    let imported = place.import(&place.checkpoint("cut.pt", &torch_file(&state, storages))).unwrap();
    assert_eq!((imported.parameters, imported.info.takes_masks), (127, false));
    assert!(
        load_weights(&imported.info).unwrap().tensor("prompt_encoder.mask_downscaling.0.weight").is_none()
    );
}

#[cfg(unix)]
#[test]
fn a_model_that_may_not_be_looked_into_is_no_missing_one() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    place.import(&place.checkpoint("sam_b.pt", &file_of(Family::Sam, ""))).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let dir = place.models().join("sam_b");
    assert_eq!([&place.models(), &dir].map(|dir| mode(dir)), [0o755; 2]);
    assert_eq!(["decoder.safetensors", "model.toml"].map(|file| mode(&dir.join(file))), [0o644; 2]);

    for dir in [dir.clone(), place.models().join("lost+found")] {
        fs::create_dir_all(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o000)).unwrap();
    }
    if fs::read_dir(&dir).is_ok() {
        return; // Run by root, whom no mode stops.
    }
    let store = place.store();
    let error = store.find("sam_b.pt", Family::Sam).unwrap_err().to_string();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(error.contains("sam_b that cannot be used") && error.contains("ermission denied"), "{error}");
    assert_eq!(store.problems().len(), 1);
}

#[test]
fn a_folder_finds_its_model_by_file_name_and_family() {
    let place = Place::new();
    place.import(&place.checkpoint("SAM2.1_t.pt", &file_of(Family::Sam2, "sam_"))).unwrap();
    let meta = place.checkpoint("sam_vit_b_01ec64.pth", &file_of(Family::Sam, ""));
    place.import(&meta).unwrap();
    let store = place.store();
    assert_eq!(store.find("sam2.1_T.PT", Family::Sam2).unwrap().source_file, "SAM2.1_t.pt");
    for name in ["vit_b", "sam_b.pt", r"C:\x\sam_vit_b_01ec64.pth"] {
        assert_eq!(store.find(name, Family::Sam).unwrap().name, "sam_vit_b_01ec64", "{name}");
    }

    let mismatch = store.find("sam2.1_t.pt", Family::Sam3).unwrap_err();
    assert_eq!(mismatch.code(), ErrorCode::ModelMismatch);
    let missing = store.find("sam2.1_s.pt", Family::Sam2).unwrap_err();
    assert_eq!(missing.code(), ErrorCode::ModelMissing);
    let message = missing.to_string();
    let command = format!("geosam-edge import-model sam2.1_s.pt --models {}", place.models().display());
    assert!(message.ends_with(&command) && message.contains("it has models of SAM2.1_t.pt"), "{message}");
    let message = store.find("vit_h", Family::Sam).unwrap_err().to_string();
    assert!(message.contains("vit_h (sam_h.pt, or Meta's sam_vit_h_4b8939.pth)"), "{message}");
}

#[test]
fn a_place_beside_the_models_is_told_as_what_it_is() {
    let place = Place::new();
    place.import(&place.checkpoint("sam2.1_t.pt", &file_of(Family::Sam2, "sam_"))).unwrap();
    let models = place.models();
    let message = |dir: &Path| {
        let error =
            ModelStore::open(dir).and_then(|store| store.find("vit_h", Family::Sam).cloned()).unwrap_err();
        assert_eq!(error.code(), ErrorCode::ModelMissing);
        error.to_string()
    };
    assert!(message(&models.join("sam2.1_t")).contains("it is a model itself"));
    assert!(message(&models.join("other")).contains("; the directory is not there"));
    for file in ["sam2.1_t/model.toml", "sam2.1_t/model.toml/below/it"] {
        let told = message(&models.join(file));
        let words = "sam2.1_t/model.toml is a file; name the directory of imported models";
        assert!(told.contains(words) && told.contains("geosam-edge import-model"), "{told}");
    }
    let card = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(&models, card.path().join("models")).unwrap();
    let told = message(card.path());
    assert!(told.contains(&format!("its models are in {}", card.path().join("models").display())), "{told}");
    assert!(message(tempfile::tempdir().unwrap().path()).contains("it has no model at all"));
}

#[test]
fn two_models_of_one_name_and_different_weights_are_not_chosen_from() {
    let place = Place::new();
    let import =
        |path: &Path, name| import_checkpoint(path, &place.models(), Some(name), &mut |_| {}).unwrap();
    let path = place.checkpoint("sam_b.pt", &file_of(Family::Sam, ""));
    import(&path, "one");
    import(&path, "same");
    assert_eq!(place.store().find("sam_b.pt", Family::Sam).unwrap().name, "one");
    let (state, mut storages) = state_dict(Family::Sam, prefixed(""));
    storages[0].1[0] ^= 1;
    let path = place.checkpoint("sam_b.pt", &torch_file(&state, storages));
    assert_eq!(import(&path, "other").namesakes, ["one", "same"]);
    let error = place.store().find("sam_b.pt", Family::Sam).unwrap_err();
    assert_eq!(error.code(), ErrorCode::ModelMismatch);
    assert!(error.to_string().contains("one and other"), "{error}");
}

#[test]
fn broken_models_are_listed_and_leave_the_others_usable() {
    let place = Place::new();
    assert!(place.store().list().is_empty());
    let path = place.checkpoint("sam_b.pt", &file_of(Family::Sam, ""));
    for name in ["good", "newer", "cut", "undescribed", "garbled"] {
        import_checkpoint(&path, &place.models(), Some(name), &mut |_| {}).unwrap();
    }
    let file = |name: &str, file: &str| place.models().join(name).join(file);
    let text = fs::read_to_string(file("good", "model.toml")).unwrap();
    fs::write(file("newer", "model.toml"), text.replace("format = 1", "format = 2")).unwrap();
    fs::write(file("garbled", "model.toml"), "family = \"sam9\"").unwrap();
    fs::remove_file(file("undescribed", "model.toml")).unwrap();
    fs::write(file("good", "model.toml"), format!("{text}later = 1\n")).unwrap();
    fs::create_dir(place.models().join("lost+found")).unwrap();
    fs::create_dir(place.models().join(".gone.replaced")).unwrap();
    fs::write(place.models().join("notes.txt"), "x").unwrap();
    let decoder = fs::read(file("cut", "decoder.safetensors")).unwrap();
    fs::write(file("cut", "decoder.safetensors"), &decoder[..decoder.len() / 2]).unwrap();

    let store = place.store();
    let names: Vec<_> = store.list().iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["cut", "good"]);
    let problems: Vec<_> = store.problems().iter().map(|p| p.name.as_str()).collect();
    assert_eq!(problems, ["garbled", "gone", "newer", "undescribed"]);
    let messages: Vec<_> = store.problems().iter().map(|p| p.error.to_string()).collect();
    assert!(messages[1].contains("rename it to gone"), "{messages:?}");
    assert!(messages[2].contains("format 2"), "{messages:?}");
    load_weights(&store.list()[1]).unwrap();
    let error = load_weights(&store.list()[0]).unwrap_err().to_string();
    assert!(error.contains("decoder.safetensors") && error.contains("import sam_b.pt again"), "{error}");

    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    fs::write(file("cut", "decoder.safetensors"), pointer).unwrap();
    fs::write(file("garbled", "model.toml"), pointer).unwrap();
    let store = place.store();
    for told in
        [load_weights(&store.list()[0]).unwrap_err().to_string(), store.problems()[0].error.to_string()]
    {
        assert!(told.contains("git lfs pull") && !told.contains("import"), "{told}");
    }
}

/// Parameters from a file of these bytes.
fn read_from(family: Family, bytes: &[u8]) -> Result<DecoderWeights, ModelsError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("decoder.safetensors");
    std::fs::write(&path, bytes).unwrap();
    DecoderWeights::new(family, CardFile::open(&path).unwrap(), &path)
}

#[test]
fn weights_of_each_precision_have_the_values_that_were_written() {
    let family = Family::Sam3;
    let table = parameters(family);
    for (dtype, one) in [
        (Dtype::F32, (|x: f32| x.to_le_bytes().to_vec()) as fn(f32) -> Vec<u8>),
        (Dtype::F16, |x| half::f16::from_f32(x).to_le_bytes().to_vec()),
        (Dtype::BF16, |x| half::bf16::from_f32(x).to_le_bytes().to_vec()),
    ] {
        let bytes: Vec<Vec<u8>> =
            table.iter().map(|parameter| values(parameter).iter().flat_map(|x| one(*x)).collect()).collect();
        let views = table.iter().zip(&bytes).map(|(parameter, bytes)| {
            (parameter.name.as_str(), TensorView::new(dtype, parameter.shape.clone(), bytes).unwrap())
        });
        let file = safetensors::serialize(views, None).unwrap();
        let all = read_from(family, &file).unwrap();
        for parameter in &table {
            let array = all.tensor(&parameter.name).unwrap();
            assert_eq!(array.shape(), parameter.shape);
            assert_eq!(array.as_slice().unwrap(), values(parameter), "{dtype:?} {}", parameter.name);
        }
    }
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_refused_and_one_that_cannot_be_read_any_more_says_so() {
    let family = Family::Sam;
    let table = parameters(family);
    let bytes: Vec<Vec<u8>> = table.iter().map(|p| vec![0; 2 * p.shape.iter().product::<usize>()]).collect();
    let views = table.iter().zip(&bytes).map(|(parameter, bytes)| {
        (parameter.name.as_str(), TensorView::new(Dtype::F16, parameter.shape.clone(), bytes).unwrap())
    });
    let file = safetensors::serialize(views, None).unwrap();
    for length in [0, 7, 8, 100, 20_000, file.len() - 1] {
        let error = read_from(family, &file[..length]).unwrap_err();
        assert!(matches!(error, ModelsError::Damaged { .. }), "{length}: {error}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("decoder.safetensors");
    std::fs::write(&path, &file).unwrap();
    let all = DecoderWeights::new(family, CardFile::open(&path).unwrap(), &path).unwrap();
    let name = "mask_decoder.iou_token.weight";
    assert!(all.tensor(name).is_some() && all.unread().is_none());
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(100).unwrap();
    assert!(all.tensor(name).is_none());
    assert!(matches!(all.unread(), Some(ModelsError::Io { .. })));
}

#[test]
fn a_file_without_the_parameters_is_refused_with_the_first_that_are_missing() {
    let view = TensorView::new(Dtype::F32, vec![1], &[0; 4]).unwrap();
    let file = safetensors::serialize([("a", view)], None).unwrap();
    let none = read_from(Family::Sam, &file);
    assert!(matches!(none, Err(ModelsError::MissingParameters { missing: 127, total: 127, .. })));
}
