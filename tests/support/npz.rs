//! Enough of NumPy's `.npy` and `.npz` for the expectations of tests.

use std::io::Read as _;
use std::path::Path;

/// An array of an `.npy` file: its shape and its raw little-endian bytes in C order.
pub struct Npy {
    pub shape: Vec<usize>,
    pub descr: String,
    pub bytes: Vec<u8>,
}

impl Npy {
    pub fn parse(file: &[u8]) -> Self {
        assert_eq!(&file[..6], b"\x93NUMPY");
        let (start, length) = match file[6] {
            1 => (10, usize::from(u16::from_le_bytes([file[8], file[9]]))),
            _ => (12, u32::from_le_bytes([file[8], file[9], file[10], file[11]]) as usize),
        };
        let header = std::str::from_utf8(&file[start..start + length]).unwrap();
        assert!(header.contains("'fortran_order': False"), "{header}");
        let between = |from: &str, to: char| {
            let rest = &header[header.find(from).unwrap() + from.len()..];
            rest[..rest.find(to).unwrap()].to_owned()
        };
        let shape = between("'shape': (", ')')
            .split(',')
            .filter(|n| !n.trim().is_empty())
            .map(|n| n.trim().parse().unwrap())
            .collect();
        Self { shape, descr: between("'descr': '", '\''), bytes: file[start + length..].to_vec() }
    }

    pub fn f32(&self) -> Vec<f32> {
        assert_eq!(self.descr, "<f4");
        self.bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    }
}

/// One array of an `.npz` file.
pub fn from_npz(path: &Path, name: &str) -> Npy {
    let file = std::fs::read(path).unwrap();
    let archive = rawzip::ZipArchive::from_slice(&file).unwrap();
    let wanted = format!("{name}.npy");
    let mut entries = archive.entries();
    while let Some(entry) = entries.next_entry().unwrap() {
        if entry.file_path().as_ref() != wanted.as_bytes() {
            continue;
        }
        let compressed = archive.get_entry(entry.wayfinder()).unwrap();
        let mut content = Vec::new();
        match entry.compression_method() {
            rawzip::CompressionMethod::STORE => content.extend_from_slice(compressed.data()),
            _ => {
                flate2::read::DeflateDecoder::new(compressed.data()).read_to_end(&mut content).unwrap();
            }
        }
        return Npy::parse(&content);
    }
    panic!("{} has no array {name}", path.display());
}
