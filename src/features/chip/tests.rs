//! Chips that geosam writes, and chips that it would not.

use std::path::Path;

use half::{bf16, f16};

use super::*;
use crate::error_code::ErrorCode;
use crate::features::testing::corpus;
use crate::features::torch::testing::{Py, PyTensor, TorchFile, f32_bytes, pair, text};

const WIDE: [i64; 4] = [1, 256, 64, 64];

fn ramp(count: usize) -> impl Iterator<Item = f32> {
    (0..count).map(|i| f32::from(u16::try_from(i % 1021).unwrap()) / 8.0 - 60.0)
}

/// A `sam` chip of a ramp, with some keys replaced.
fn sam(replaced: &[(&'static str, Py)]) -> TorchFile {
    sam_dict(replaced).storage("0", f32_bytes(ramp(1 << 20)))
}

/// The dict of a `sam` chip, with some keys replaced, and without its tensor.
fn sam_dict(replaced: &[(&'static str, Py)]) -> TorchFile {
    let mut keys = vec![
        ("model_type", text("sam")),
        ("checkpoint_path", text(r"C:\models\sam_b.pt")),
        ("src_shape", pair(718, 791)),
        ("dst_shape", pair(1024, 1024)),
        ("feature_kind", text("sam")),
        ("features", Py::Tensor(PyTensor::channels_last("0", &WIDE))),
    ];
    keys.retain(|(key, _)| replaced.iter().all(|(other, _)| other != key));
    keys.extend(replaced.iter().cloned());
    TorchFile::new(&Py::Dict(keys))
}

fn with_maps(model_type: &str, grid: i64, frame: i64) -> TorchFile {
    let map = |key: &str, channels: i64, side: i64| {
        Py::Tensor(PyTensor::channels_last(key, &[1, channels, side, side]))
    };
    let features = Py::Dict(vec![
        ("image_embed", map("0", 256, grid)),
        ("high_res_feats", Py::List(vec![map("1", 32, 4 * grid), map("2", 64, 2 * grid)])),
    ]);
    let bytes = |side: i64, channels: i64| vec![0; usize::try_from(side * side * channels * 4).unwrap()];
    sam_dict(&[
        ("model_type", text(model_type)),
        ("dst_shape", pair(frame, frame)),
        ("feature_kind", text("sam2")),
        ("features", features),
    ])
    .storage("0", bytes(grid, 256))
    .storage("1", bytes(4 * grid, 32))
    .storage("2", bytes(2 * grid, 64))
}

fn read(file: &TorchFile) -> Result<ChipFeatures, FeaturesError> {
    let bytes = file.bytes();
    let archive =
        TorchArchive::from_reader(bytes.as_slice(), bytes.len() as u64, Path::new("chip_000007.pt"))?;
    archive.verify()?;
    chip_of(&archive)
}

#[test]
fn a_sam_chip_keeps_its_memory_order_and_its_checkpoints_file_name() {
    let chip = read(&sam(&[])).unwrap();
    assert_eq!((chip.family, chip.checkpoint.as_str()), (Family::Sam, "sam_b.pt"));
    assert_eq!((chip.src_shape, chip.dst_shape), ((718, 791), (1024, 1024)));
    assert_eq!(chip.embedding.dim(), (256, 64, 64));
    let tokens: Vec<f32> = ramp(1 << 20).collect();
    assert_eq!(chip.embedding.as_slice_memory_order().unwrap(), tokens);
    assert_eq!(chip.embedding[[3, 5, 7]].to_bits(), tokens[(5 * 64 + 7) * 256 + 3].to_bits());
    assert!(chip.high_res.is_none());
    assert_eq!(chip.bytes(), 4 << 20);
}

#[test]
fn chips_of_all_families_are_read() {
    for (model_type, grid, frame) in [("sam2", 64, 1024), ("sam3", 72, 1008)] {
        let chip = read(&with_maps(model_type, grid, frame)).unwrap();
        let side = chip.family.grid();
        let maps = chip.high_res.unwrap();
        assert_eq!(chip.embedding.dim(), (256, side, side));
        assert_eq!(maps.quarter.dim(), (32, 4 * side, 4 * side));
        assert_eq!(maps.half.dim(), (64, 2 * side, 2 * side));
    }
}

#[test]
fn a_contiguous_chip_is_the_same_chip() {
    let stored = read(&sam(&[])).unwrap();
    let contiguous = stored.embedding.as_standard_layout().into_owned();
    let file = sam(&[("features", Py::Tensor(PyTensor::contiguous("0", &WIDE)))]);
    assert_eq!(read(&file.storage("0", f32_bytes(contiguous.iter().copied()))).unwrap(), stored);
}

#[test]
fn a_chip_shrunk_to_halves_is_read() {
    let whole = read(&sam(&[])).unwrap();
    let halves =
        |class| sam(&[("features", Py::Tensor(PyTensor::channels_last("0", &WIDE).of_class(class)))]);
    let bytes = ramp(1 << 20).flat_map(|v| f16::from_f32(v).to_le_bytes()).collect();
    let chip = read(&halves("HalfStorage").storage("0", bytes)).unwrap();
    assert_eq!(chip.embedding, whole.embedding.mapv(|v| f16::from_f32(v).to_f32()));
    let bytes = ramp(1 << 20).flat_map(|v| bf16::from_f32(v).to_le_bytes()).collect();
    let chip = read(&halves("BFloat16Storage").storage("0", bytes)).unwrap();
    assert_eq!(chip.embedding, whole.embedding.mapv(|v| bf16::from_f32(v).to_f32()));
}

#[test]
fn a_sam3_folder_encoded_without_its_frame_is_refused_with_advice() {
    let error = read(&with_maps("sam3", 74, 1024)).unwrap_err();
    assert_eq!(error.code(), ErrorCode::ChipUnreadable);
    let message = error.to_string();
    for part in ["chip_000007.pt", "grid of 74", "imgsz=1008", "sam3"] {
        assert!(message.contains(part), "{message}");
    }
    // A frame that disagrees with the grid is refused too.
    assert!(matches!(read(&with_maps("sam3", 72, 1024)), Err(FeaturesError::Frame { grid: 72, .. })));
    assert!(matches!(read(&with_maps("sam2", 32, 512)), Err(FeaturesError::Frame { grid: 32, .. })));
}

#[test]
fn what_is_wrong_with_a_chip_is_said() {
    let tensor = |shape: &[i64; 4]| Py::Tensor(PyTensor::channels_last("0", shape));
    let cases = [
        ("model_type is \"sam4\"", sam_dict(&[("model_type", text("sam4"))])),
        ("model_type is an integer", sam_dict(&[("model_type", Py::Int(3))])),
        ("src_shape is 0 x 5", sam_dict(&[("src_shape", pair(0, 5))])),
        ("src_shape is 60000 x 60000", sam_dict(&[("src_shape", pair(60_000, 60_000))])),
        ("src_shape is not a height", sam_dict(&[("src_shape", pair(-1, 5))])),
        ("src_shape is not a height", sam_dict(&[("src_shape", Py::Tuple(vec![Py::Int(5)]))])),
        ("checkpoint_path names no file", sam_dict(&[("checkpoint_path", text("/models/"))])),
        ("features is an integer, not a tensor", sam_dict(&[("features", Py::Int(1))])),
        ("embedding has the shape [1, 64, 64, 256]", sam_dict(&[("features", tensor(&[1, 64, 64, 256]))])),
        ("no high-resolution maps", sam_dict(&[("model_type", text("sam2"))])),
        ("features have high-resolution maps", sam_dict(&[("features", Py::Dict(vec![]))])),
        ("feature_kind is \"sam2\"", sam_dict(&[("feature_kind", text("sam2"))])),
        ("instead of a dict", TorchFile::new(&Py::Int(1))),
        ("has no model_type", TorchFile::new(&Py::Dict(vec![("a", Py::Int(1))]))),
    ];
    for (part, file) in cases {
        let message = read(&file).unwrap_err().to_string();
        assert!(message.contains(part) && message.contains("chip_000007.pt"), "{part}: {message}");
    }
}

#[test]
fn swapped_maps_are_refused() {
    let map = |key: &str, channels: i64, side: i64| {
        Py::Tensor(PyTensor::channels_last(key, &[1, channels, side, side]))
    };
    let features = Py::Dict(vec![
        ("image_embed", map("0", 256, 64)),
        ("high_res_feats", Py::List(vec![map("2", 64, 128), map("1", 32, 256)])),
    ]);
    let pickle =
        sam_dict(&[("model_type", text("sam2")), ("feature_kind", text("sam2")), ("features", features)]);
    let file = pickle.storage("1", vec![0; 8 << 20]).storage("2", vec![0; 4 << 20]);
    let message = read(&file).unwrap_err().to_string();
    assert!(message.contains("high_res_feats[0] has the shape [1, 64, 128, 128]"), "{message}");
}

#[test]
fn chips_of_the_corpus_hold_what_numpy_reads() {
    let Some(corpus) = corpus("chips against numpy") else { return };
    let chip = read_chip(&corpus.join("mobile_sam/features/chip_000003.pt"), Crc::Verify).unwrap();
    assert_eq!((chip.family, chip.checkpoint.as_str()), (Family::Sam, "mobile_sam.pt"));
    assert_eq!((chip.src_shape, chip.dst_shape), ((512, 512), (1024, 1024)));
    let sum = |map: &Array3<f32>| map.iter().map(|&v| f64::from(v)).sum::<f64>();
    let embedding = &chip.embedding;
    assert_eq!(embedding[[0, 0, 0]], -0.148_420_07);
    assert_eq!(embedding[[255, 63, 63]], 0.514_272_87);
    assert_eq!(embedding[[3, 5, 7]], -0.446_098_24);
    assert_eq!(embedding[[100, 10, 50]], 0.013_665_056);
    assert!((sum(embedding) - -0.001_117_771_980_7).abs() < 1e-9);

    let chip = read_chip(&corpus.join("sam2.1_t/features/chip_000000.pt"), Crc::Verify).unwrap();
    assert_eq!((chip.family, chip.checkpoint.as_str()), (Family::Sam2, "sam2.1_t.pt"));
    assert_eq!((chip.src_shape, chip.dst_shape), ((718, 791), (1024, 1024)));
    let maps = chip.high_res.as_ref().unwrap();
    assert_eq!(chip.embedding[[3, 5, 7]], -0.836_525_7);
    assert_eq!(chip.embedding[[255, 63, 10]], -1.488_036);
    assert!((sum(&chip.embedding) - 13_748.929_451_901).abs() < 1e-6);
    assert_eq!(maps.quarter[[3, 5, 7]], 0.370_411_7);
    assert_eq!(maps.quarter[[31, 255, 10]], -0.054_940_864);
    assert!((sum(&maps.quarter) - -23_331.052_117_615).abs() < 1e-6);
    assert_eq!(maps.half[[3, 5, 7]], 0.538_407_2);
    assert_eq!(maps.half[[63, 127, 10]], 0.117_729_24);
    assert!((sum(&maps.half) - 3_893.352_168_497).abs() < 1e-6);
}

#[test]
fn every_chip_of_the_corpus_is_sound_and_a_cut_copy_is_not() {
    let Some(corpus) = corpus("every chip") else { return };
    for folder in ["mobile_sam", "sam2.1_t"] {
        for entry in std::fs::read_dir(corpus.join(folder).join("features")).unwrap() {
            read_chip(&entry.unwrap().path(), Crc::Verify).unwrap();
        }
    }
    let whole = std::fs::read(corpus.join("sam2.1_t/features/chip_000000.pt")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chip_000000.pt");
    for length in [0, 1, 1000, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = read_chip(&path, Crc::Skip).unwrap_err();
        assert_eq!(error.code(), ErrorCode::ChipUnreadable);
        assert!(error.to_string().contains("chip_000000.pt"), "{error}");
    }
    let mut damaged = whole;
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x10;
    std::fs::write(&path, &damaged).unwrap();
    assert!(read_chip(&path, Crc::Skip).is_ok());
    assert!(matches!(read_chip(&path, Crc::Verify), Err(FeaturesError::Checksum { .. })));
    let missing = read_chip(&folder.path().join("none.pt"), Crc::Skip).unwrap_err();
    assert_eq!(missing.code(), ErrorCode::ChipUnreadable);
}
