//! Archives and pickles as torch writes them, as they break, and as an attacker would write them.

use std::path::Path;

use half::{bf16, f16};
use ndarray::{ArrayD, IxDyn};
use proptest::prelude::*;

use super::machine::unpickle;
use super::testing::{Py, PyTensor, TorchFile, f32_bytes, pair, pickle, text};
use super::{PickleError, TorchArchive};
use crate::features::FeaturesError;
use crate::features::testing::corpus;

fn open(bytes: &[u8]) -> Result<TorchArchive<&[u8]>, FeaturesError> {
    TorchArchive::from_reader(bytes, bytes.len() as u64, Path::new("test.pt"))
}

fn read(file: &TorchFile) -> Result<ArrayD<f32>, FeaturesError> {
    let bytes = file.bytes();
    let archive = open(&bytes)?;
    archive.read_f32("it", archive.root().as_tensor().unwrap())
}

/// Where logical element [0, c, y, x] of a 1x3x4x5 tensor lies in channels-last memory.
fn channels_last(values: &[f32]) -> Vec<f32> {
    let at = |c: usize, y: usize, x: usize| values[(c * 4 + y) * 5 + x];
    let mut out = vec![];
    for y in 0..4 {
        for x in 0..5 {
            (0..3).for_each(|c| out.push(at(c, y, x)));
        }
    }
    out
}

#[test]
fn channels_last_and_contiguous_memory_give_the_same_logical_array() {
    let values: Vec<f32> = (0..60_u8).map(f32::from).collect();
    let plain = TorchFile::new(&Py::Tensor(PyTensor::contiguous("0", &[1, 3, 4, 5])))
        .storage("0", f32_bytes(values.clone()));
    let moved = TorchFile::new(&Py::Tensor(PyTensor::channels_last("0", &[1, 3, 4, 5])))
        .storage("0", f32_bytes(channels_last(&values)));
    let (plain, moved) = (read(&plain).unwrap(), read(&moved).unwrap());
    assert_eq!(plain, moved);
    assert!(plain.is_standard_layout());
    // As stored: nothing was transposed.
    assert!(!moved.is_standard_layout());
    assert_eq!(moved.as_slice_memory_order().unwrap(), channels_last(&values));
}

#[test]
fn halves_bfloat16_and_doubles_are_widened() {
    let values = [0.0_f32, 1.5, -2.25, 65504.0, 6.1e-5, -0.0];
    let shape = [2, 3];
    let expected = |f: &dyn Fn(f32) -> f32| values.iter().map(|&v| f(v)).collect::<Vec<_>>();
    let cases: [(&str, Vec<u8>, Vec<f32>); 3] = [
        (
            "HalfStorage",
            values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect(),
            expected(&|v| f16::from_f32(v).to_f32()),
        ),
        (
            "BFloat16Storage",
            values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect(),
            expected(&|v| bf16::from_f32(v).to_f32()),
        ),
        ("DoubleStorage", values.iter().flat_map(|&v| f64::from(v).to_le_bytes()).collect(), values.to_vec()),
    ];
    for (class, bytes, expected) in cases {
        let file = TorchFile::new(&Py::Tensor(PyTensor::contiguous("0", &shape).of_class(class)));
        let array = read(&file.storage("0", bytes)).unwrap();
        assert_eq!(array, ArrayD::from_shape_vec(IxDyn(&[2, 3]), expected).unwrap(), "{class}");
    }
}

#[test]
fn halves_longer_than_a_chunk_are_read_whole() {
    let count = 300_001;
    let bytes =
        (0..count).flat_map(|i| f16::from_f32(f32::from(u8::try_from(i % 251).unwrap())).to_le_bytes());
    let tensor = PyTensor::contiguous("0", &[count]).of_class("HalfStorage");
    let array = read(&TorchFile::new(&Py::Tensor(tensor)).storage("0", bytes.collect())).unwrap();
    assert_eq!(array.len(), 300_001);
    assert!(array.iter().enumerate().all(|(i, &v)| v == (i % 251) as f32));
}

#[test]
fn a_view_with_gaps_and_an_offset_is_gathered() {
    let tensor = PyTensor {
        class: "FloatStorage",
        key: "0".into(),
        elements: 20,
        offset: 2,
        shape: vec![2, 3],
        strides: vec![1, 6],
    };
    let array = read(&TorchFile::new(&Py::Tensor(tensor)).storage("0", f32_bytes((0..20_u8).map(f32::from))));
    let expected = ArrayD::from_shape_vec(IxDyn(&[2, 3]), vec![2.0, 8.0, 14.0, 3.0, 9.0, 15.0]).unwrap();
    assert_eq!(array.unwrap(), expected);
}

#[test]
fn parameters_nested_dicts_and_64_bit_archives_are_read() {
    let weight = PyTensor::contiguous("7", &[2]);
    let state = Py::OrderedDict(vec![("w".to_owned(), Py::Parameter(weight))]);
    let mut file = TorchFile::new(&Py::Dict(vec![("model", state), ("size", pair(1, 1 << 40))]));
    file = file.storage("7", f32_bytes([0.5, -0.5]));
    for zip64 in [false, true] {
        file.zip64 = zip64;
        let bytes = file.bytes();
        let archive = open(&bytes).unwrap();
        archive.verify().unwrap();
        let root = archive.root();
        let sizes: Vec<_> = root.get("size").unwrap().elements().unwrap().map(|v| v.as_integer()).collect();
        assert_eq!(sizes, [Some(1), Some(1 << 40)]);
        let weight = root.get("model").unwrap().get("w").unwrap().as_tensor().unwrap();
        assert_eq!(archive.read_f32("w", weight).unwrap().as_slice().unwrap(), [0.5, -0.5]);
    }
}

#[test]
fn integers_are_kept_but_not_read_as_floats() {
    let file = TorchFile::new(&Py::Tensor(PyTensor::contiguous("0", &[1]).of_class("LongStorage")));
    let error = read(&file.storage("0", vec![0; 8])).unwrap_err().to_string();
    assert!(error.contains("test.pt") && error.contains("Long"), "{error}");
}

#[test]
fn an_archive_without_checksums_is_not_damaged() {
    let mut file =
        TorchFile::new(&Py::Tensor(PyTensor::contiguous("0", &[4]))).storage("0", f32_bytes([1.0; 4]));
    assert!(open(&file.bytes()).unwrap().has_checksums());
    file.checksums = false;
    let bytes = file.bytes();
    let archive = open(&bytes).unwrap();
    assert!(!archive.has_checksums());
    archive.verify().unwrap();
}

#[test]
fn a_changed_byte_is_found_and_the_entry_is_named() {
    let file = TorchFile::new(&Py::Tensor(PyTensor::contiguous("0", &[4]))).storage("0", f32_bytes([1.0; 4]));
    let (mut bytes, places) = file.build();
    open(&bytes).unwrap().verify().unwrap();
    let (_, at) = places.iter().find(|(name, _)| name == "x/data/0").unwrap();
    bytes[at + 5] ^= 1;
    let error = open(&bytes).unwrap().verify().unwrap_err();
    assert!(matches!(&error, FeaturesError::Checksum { entry, .. } if entry == "data/0"), "{error}");
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let file = TorchFile::new(&Py::Tensor(PyTensor::contiguous("0", &[4]))).storage("0", f32_bytes([1.0; 4]));
    let bytes = file.bytes();
    for length in 0..bytes.len() {
        let result = open(&bytes[..length]);
        let error = result.err().unwrap_or_else(|| panic!("{length} of {} bytes were accepted", bytes.len()));
        let is_told = match length {
            0 => matches!(error, FeaturesError::Foreign { .. }),
            _ => matches!(error, FeaturesError::Container { .. }),
        };
        assert!(is_told, "{length}: {error}");
    }
}

#[test]
fn a_missing_storage_and_a_storage_that_is_too_short_are_named() {
    let file = TorchFile::new(&Py::Tensor(PyTensor::contiguous("0", &[4])));
    let error = read(&file).unwrap_err().to_string();
    assert!(error.contains("data/0 is missing"), "{error}");
    let error = read(&file.storage("0", vec![0; 15])).unwrap_err().to_string();
    assert!(error.contains("should hold 4 elements, but the file holds 3"), "{error}");
}

#[test]
fn big_endian_legacy_and_foreign_files_are_refused_with_advice() {
    let file = TorchFile::new(&Py::Int(1));
    let big = file.clone().entry("x/byteorder", b"big".to_vec());
    assert!(open(&big.bytes()).err().unwrap().to_string().contains("little-endian"));
    let legacy = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.";
    assert!(open(legacy).err().unwrap().to_string().contains("torch.save(torch.load("));
    assert!(open(b"II*\0").err().unwrap().to_string().contains("does not begin as a zip"));
    for (begins, told) in [
        (&b""[..], "empty file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>", "web page"),
        (b"<page>", "web page"),
        (b"\x1f\x8b\x08\x00", "packed by gzip: unpack it first"),
        (b"\x08\x00\x00\x00\x00\x00\x00\x00{\"a\":{}}", "safetensors"),
    ] {
        let error = open(begins).err().unwrap().to_string();
        assert!(error.contains(told) && !error.contains("archive"), "{error}");
    }
    // A checkpoint that came inside a zip, as mail and cloud drives hand it over.
    let inside = TorchFile::new(&Py::Int(1)).entry("mobile_sam.pt", b"PK".to_vec());
    let told = open(&inside.bytes()).err().unwrap().to_string();
    assert!(told.contains("a zip file with mobile_sam.pt in it: unzip it"), "{told}");
    let mut compressed = file.bytes();
    let at = compressed.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    compressed[at + 10] = 8;
    assert!(open(&compressed).err().unwrap().to_string().contains("compressed"));
}

#[test]
fn two_entries_of_one_name_are_refused() {
    let mut bytes = TorchFile::new(&Py::Int(1)).entry("x/versiom", vec![]).bytes();
    let at = bytes.windows(9).rposition(|w| w == b"x/versiom").unwrap();
    bytes[at + 8] = b'n';
    assert!(open(&bytes).err().unwrap().to_string().contains("two entries named x/version"));
}

#[test]
fn an_object_outside_the_list_is_refused_by_name_and_never_called() {
    let system = Py::Global("posix", "system");
    let error = open(&TorchFile::new(&system).bytes()).err().unwrap();
    assert!(error.to_string().contains("posix.system"), "{error}");
    let model = pickle(&Py::Global("ultralytics.nn.tasks", "SegmentationModel"));
    assert!(matches!(unpickle(&model), Err(PickleError::Global { name, .. }) if name == "SegmentationModel"));
    // Opcodes that build objects in other ways: INST, OBJ, NEWOBJ, EXT1, STACK_GLOBAL, PERSID.
    for opcode in [b'i', b'o', 0x81, 0x82, 0x93, b'P'] {
        let error = unpickle(&[0x80, 2, opcode, 0, b'.']).unwrap_err();
        assert_eq!(error, PickleError::Opcode { opcode, at: 2 });
    }
    assert_eq!(unpickle(&[0x80, 4, b'N', b'.']).unwrap_err(), PickleError::Protocol(4));
}

#[test]
fn deep_nesting_costs_neither_stack_nor_time() {
    // A million tuples inside each other would overflow the stack of a recursive reader or destructor.
    let deep = [vec![0x80, 2, b')'], vec![0x85; 400_000], vec![b'.']].concat();
    drop(unpickle(&deep).unwrap());
    let marks = [vec![0x80, 2], vec![b'('; 1000]].concat();
    assert!(matches!(unpickle(&marks), Err(PickleError::TooMuch { what: "nested marks", .. })));
    let many = [vec![0x80, 2], vec![b'}'; 2_000_000]].concat();
    assert!(matches!(unpickle(&many), Err(PickleError::TooMuch { what: "values", .. })));
}

#[test]
fn a_circle_can_be_walked_by_key() {
    // a = {}; a["me"] = a
    let circle = [&[0x80, 2, b'}', b'q', 0][..], b"X\x02\0\0\0me", &[b'h', 0, b's', b'.']].concat();
    let pickle = unpickle(&circle).unwrap();
    assert!(pickle.root().get("me").unwrap().get("me").unwrap().is_dict());
    let _ = format!("{:?}", pickle.root());
}

#[test]
fn undecodable_file_names_become_replacement_characters() {
    let pickle = unpickle(b"\x80\x02X\x04\0\0\0a\xed\xb3\xbf.").unwrap();
    assert!(pickle.root().as_text().unwrap().starts_with('a'));
    assert_eq!(unpickle(b"\x80\x02X\xff\xff\xff\xffa").unwrap_err(), PickleError::Truncated { at: 8 });
}

#[test]
fn a_long_integer_keeps_its_sign() {
    let of =
        |bytes: &[u8]| unpickle(&[&[0x80, 2, 0x8a][..], bytes, b"."].concat()).unwrap().root().as_integer();
    assert_eq!(of(&[0]), Some(0));
    assert_eq!(of(&[1, 0xff]), Some(-1));
    assert_eq!(of(&[5, 0, 0, 0, 0, 1]), Some(1 << 32));
    assert!(unpickle(&[0x80, 2, 0x8a, 9, 0, 0, 0, 0, 0, 0, 0, 0, 1, b'.']).is_err());
}

#[test]
fn an_archive_beyond_4_gigabytes_is_read_where_its_directory_points() {
    use std::os::unix::fs::FileExt;
    let tensor = PyTensor::contiguous("0", &[2]);
    let mut file = TorchFile::new(&Py::Tensor(tensor)).storage("0", f32_bytes([3.0, 4.0]));
    file.zip64 = true;
    let bytes = file.bytes();
    let directory = bytes.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    // The same archive after a hole of 5 GB: every offset in its directory and at its end moves.
    let hole = 5_u64 << 30;
    let mut moved = bytes[directory..].to_vec();
    let mut shift = |at: usize| {
        let old = u64::from_le_bytes(moved[at..at + 8].try_into().unwrap());
        moved[at..at + 8].copy_from_slice(&(old + hole).to_le_bytes());
    };
    let positions = |magic: &[u8; 4]| {
        let all = bytes[directory..].windows(4).enumerate().filter(move |(_, w)| w == magic);
        all.map(|(at, _)| at).collect::<Vec<_>>()
    };
    for at in positions(b"PK\x01\x02") {
        let name = usize::from(bytes[directory + at + 28]);
        shift(at + 46 + name + 4 + 16);
    }
    let end = positions(b"PK\x06\x06")[0];
    shift(end + 48);
    shift(end + 56 + 8);
    let target = tempfile::tempfile().unwrap();
    target.write_all_at(b"PK\x03\x04", 0).unwrap();
    target.write_all_at(&bytes[..directory], hole).unwrap();
    target.write_all_at(&moved, hole + directory as u64).unwrap();
    let size = hole + bytes.len() as u64;
    let archive =
        TorchArchive::from_reader(rawzip::FileReader::from(target), size, Path::new("big.pt")).unwrap();
    archive.verify().unwrap();
    let values = archive.read_f32("it", archive.root().as_tensor().unwrap()).unwrap();
    assert_eq!(values.as_slice().unwrap(), [3.0, 4.0]);
}

fn real_pickle() -> Vec<u8> {
    let tensor = |key: &str| Py::Tensor(PyTensor::channels_last(key, &[1, 256, 64, 64]));
    pickle(&Py::Dict(vec![
        ("model_type", text("sam2")),
        ("src_shape", pair(512, 70_000)),
        (
            "features",
            Py::Dict(vec![("image_embed", tensor("0")), ("high_res_feats", Py::List(vec![tensor("1")]))]),
        ),
        ("state", Py::OrderedDict(vec![("w".to_owned(), Py::Parameter(PyTensor::contiguous("2", &[4])))])),
    ]))
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_the_unpickler(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = unpickle(&bytes);
    }

    #[test]
    fn arbitrary_programs_of_known_opcodes_never_panic(
        program in prop::collection::vec(prop::sample::select(
            b"\x80\x02.(N\x88\x89J\x00K\x01M\x01\x00\x8aGX)\x85\x86\x87t]ae}sucRbQq\x00r\x01hj".to_vec()
        ), 0..400),
    ) {
        let _ = unpickle(&program);
    }

    #[test]
    fn a_mutated_pickle_never_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = real_pickle();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let _ = unpickle(&bytes);
        let _ = unpickle(&bytes[..cut.index(bytes.len())]);
    }

    #[test]
    fn a_mutated_archive_never_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), zip64: bool,
    ) {
        let mut file = TorchFile::new(&Py::Tensor(PyTensor::contiguous("0", &[4]))).storage("0", vec![1; 16]);
        file.zip64 = zip64;
        let mut bytes = file.bytes();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(archive) = open(&bytes) {
            let _ = archive.verify();
            if let Some(tensor) = archive.root().as_tensor() {
                let _ = archive.read_f32("it", tensor);
            }
        }
    }
}

#[test]
fn mutated_pickles_of_the_corpus_never_panic() {
    let Some(corpus) = corpus("mutated pickles") else { return };
    for file in ["sam2.1_t/features/chip_000000.pt", "checkpoints/mobile_sam.pt"] {
        let archive = TorchArchive::open(&corpus.join(file)).unwrap();
        let original = archive.read_small("data.pkl", 1 << 20).unwrap();
        unpickle(&original).unwrap();
        let mut seed = 1_u32;
        let mut random = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as usize
        };
        for _ in 0..300 {
            let mut mutated = original.clone();
            for _ in 0..=random() % 4 {
                let at = random() % mutated.len();
                mutated[at] = random().to_le_bytes()[0];
            }
            let _ = unpickle(&mutated);
            mutated.truncate(random() % mutated.len());
            let _ = unpickle(&mutated);
        }
    }
}
