//! Writing an archive again with its tensors in half precision: the same values under the same keys, in a file that
//! `torch.load` and this crate read. Which files are worth it is not decided here.

use std::io::Write;

use half::f16;
use ndarray::ArrayD;
use rawzip::ReaderAt;

use super::archive::TorchArchive;
use super::value::{Node, NodeId, Pickle, TensorSpec};
use crate::features::error::FeaturesError;

/// Deepest nesting of what is written; a chip has four levels.
const MAX_DEPTH: usize = 16;
/// Longest pickle that is written. A pickle can repeat a value endlessly; a chip's has half a kilobyte.
const MAX_PICKLE_BYTES: usize = 1 << 20;
/// Bytes of an entry begin at multiples of this, as in torch's own files.
const ALIGNMENT: usize = 64;

/// What writing an archive again in half precision came to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Halved {
    /// Tensors written.
    pub tensors: usize,
    /// Bytes of the file written.
    pub bytes: u64,
    /// Largest change of a value, relative to the largest magnitude in its tensor.
    pub largest_change: f64,
}

/// Writes `archive` with every tensor of floats as float16, rounded to nearest even, in the order of axes that it has in
/// memory. Everything else stays as it is.
///
/// # Errors
/// Tensors that cannot be read, values beyond the range of halves (65504), and failing writes, which name `target`.
pub fn write_halved<R: ReaderAt>(
    archive: &TorchArchive<R>,
    target: &std::path::Path,
    out: &mut impl Write,
) -> Result<Halved, FeaturesError> {
    let stem = target.file_stem().map_or_else(|| "archive".into(), |stem| stem.to_string_lossy());
    let mut writer =
        Writer { archive, pickle: vec![0x80, 2], storages: Vec::new(), halved: Halved::default() };
    let Pickle { root, .. } = archive.pickle();
    writer.value(*root, 0)?;
    writer.pickle.push(b'.');
    let Writer { pickle, storages, mut halved, .. } = writer;

    let mut entries: Vec<(String, Vec<u8>)> = vec![
        (format!("{stem}/data.pkl"), pickle),
        (format!("{stem}/.format_version"), b"1".to_vec()),
        (format!("{stem}/.storage_alignment"), ALIGNMENT.to_string().into_bytes()),
        (format!("{stem}/byteorder"), b"little".to_vec()),
    ];
    entries.extend(storages.into_iter().enumerate().map(|(i, bytes)| (format!("{stem}/data/{i}"), bytes)));
    entries.push((format!("{stem}/version"), b"3\n".to_vec()));
    let io = |source| FeaturesError::Io { path: target.to_owned(), source };
    halved.bytes = zip(&entries, out).map_err(io)?;
    Ok(halved)
}

struct Writer<'a, R> {
    archive: &'a TorchArchive<R>,
    pickle: Vec<u8>,
    /// Bytes of the storages written so far; their keys are their places.
    storages: Vec<Vec<u8>>,
    halved: Halved,
}

impl<R: ReaderAt> Writer<'_, R> {
    fn refuse<T>(&self, detail: impl Into<String>) -> Result<T, FeaturesError> {
        Err(FeaturesError::Container { path: self.archive.path().to_owned(), detail: detail.into() })
    }

    fn value(&mut self, id: NodeId, depth: usize) -> Result<(), FeaturesError> {
        if depth > MAX_DEPTH || self.pickle.len() > MAX_PICKLE_BYTES {
            return self.refuse("its pickle nests or repeats values without end");
        }
        let archive = self.archive;
        match archive.pickle().node(id) {
            Node::None => self.pickle.push(b'N'),
            Node::Bool(value) => self.pickle.push(if *value { 0x88 } else { 0x89 }),
            Node::Int(value) => self.integer(*value),
            Node::Float(value) => {
                self.pickle.push(b'G');
                self.pickle.extend(value.to_be_bytes());
            }
            Node::Text(text) => self.text(text),
            Node::Tuple(items) => {
                self.pickle.push(b'(');
                items.iter().try_for_each(|&item| self.value(item, depth + 1))?;
                self.pickle.push(b't');
            }
            Node::List(items) => {
                self.pickle.extend(b"](");
                items.iter().try_for_each(|&item| self.value(item, depth + 1))?;
                self.pickle.push(b'e');
            }
            Node::Dict(pairs) => {
                self.pickle.extend(b"}(");
                for &(key, value) in pairs {
                    self.value(key, depth + 1)?;
                    self.value(value, depth + 1)?;
                }
                self.pickle.push(b'u');
            }
            Node::Tensor(tensor) => self.tensor(tensor)?,
            node @ (Node::Global(_) | Node::Storage(_)) => {
                return self.refuse(format!("its pickle holds {} outside a tensor", node.kind()));
            }
        }
        Ok(())
    }

    fn integer(&mut self, value: i64) {
        if let Ok(small) = i32::try_from(value) {
            self.pickle.push(b'J');
            self.pickle.extend(small.to_le_bytes());
        } else {
            // LONG1: a count of bytes, then the two's complement.
            self.pickle.extend([0x8a, 8]);
            self.pickle.extend(value.to_le_bytes());
        }
    }

    fn text(&mut self, text: &str) {
        self.pickle.push(b'X');
        // No text is longer than the pickle that it came in, which is bounded far below 4 GB.
        self.pickle.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.pickle.extend(text.as_bytes());
    }

    /// A call of `torch._utils._rebuild_tensor_v2` with a storage of its own.
    fn tensor(&mut self, tensor: &TensorSpec) -> Result<(), FeaturesError> {
        let name = format!("data/{}", tensor.storage.key);
        let values = self.archive.read_f32(&name, tensor)?;
        let bytes = self.halves(&name, &values)?;
        self.pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        self.text("storage");
        self.pickle.extend(b"ctorch\nHalfStorage\n");
        self.text(&self.storages.len().to_string());
        self.text("cpu");
        self.integer((bytes.len() / size_of::<f16>()) as i64);
        self.pickle.extend(b"tQ");
        self.integer(0);
        self.pickle.push(b'(');
        values.shape().iter().for_each(|&side| self.integer(side as i64));
        self.pickle.extend(b"t(");
        // The stride of an axis of one element means nothing, but must not be negative.
        values.strides().iter().for_each(|&stride| self.integer(stride.max(0) as i64));
        self.pickle.extend(b"t\x89ccollections\nOrderedDict\n)RtR");
        self.storages.push(bytes);
        self.halved.tensors += 1;
        Ok(())
    }

    /// The values in the order of memory.
    fn halves(&mut self, name: &str, values: &ArrayD<f32>) -> Result<Vec<u8>, FeaturesError> {
        let refuse = |detail: String| {
            Err(FeaturesError::Tensor { path: self.archive.path().to_owned(), name: name.to_owned(), detail })
        };
        let Some(in_memory) = values.as_slice_memory_order() else {
            return refuse("its elements do not lie side by side".to_owned());
        };
        let (mut largest, mut change) = (0.0_f32, 0.0_f32);
        let mut bytes = Vec::with_capacity(in_memory.len() * size_of::<f16>());
        for &value in in_memory {
            let half = f16::from_f32(value);
            if !half.is_finite() {
                return refuse(format!("{value} does not fit into half precision"));
            }
            largest = largest.max(value.abs());
            change = change.max((half.to_f32() - value).abs());
            bytes.extend(half.to_le_bytes());
        }
        if largest > 0.0 {
            self.halved.largest_change = self.halved.largest_change.max(f64::from(change / largest));
        }
        Ok(bytes)
    }
}

/// Writes a zip of stored entries, aligned as torch does it, and returns its size.
fn zip(entries: &[(String, Vec<u8>)], out: &mut impl Write) -> std::io::Result<u64> {
    let too_large = || std::io::Error::new(std::io::ErrorKind::InvalidInput, "an entry of 4 GB or more");
    let narrow = |value: usize| u32::try_from(value).map_err(|_| too_large());
    let short = |value: usize| u16::try_from(value).map_err(|_| too_large());
    let mut directory = Vec::new();
    let mut offset = 0;
    for (name, bytes) in entries {
        let (size, crc) = (narrow(bytes.len())?, crc32fast::hash(bytes));
        // An extra field "FB" of zeros moves the bytes to their place.
        let padding = (ALIGNMENT - (offset + 30 + name.len() + 4) % ALIGNMENT) % ALIGNMENT;
        let mut common = Vec::new();
        // Version 0, flags: names in UTF-8, method: stored, no date.
        common.extend([0, 0, 0, 8, 0, 0, 0, 0, 0, 0]);
        common.extend([crc, size, size].iter().flat_map(|v| v.to_le_bytes()));
        common.extend(short(name.len())?.to_le_bytes());

        let mut header = b"PK\x03\x04".to_vec();
        header.extend(&common);
        header.extend(short(padding + 4)?.to_le_bytes());
        header.extend(name.as_bytes());
        header.extend(b"FB");
        header.extend(short(padding)?.to_le_bytes());
        header.resize(header.len() + padding, 0);
        out.write_all(&header)?;
        out.write_all(bytes)?;

        directory.extend(b"PK\x01\x02\x00\x00");
        directory.extend(&common);
        // No extra field, no comment, disk 0, no attributes.
        directory.extend([0; 12]);
        directory.extend(narrow(offset)?.to_le_bytes());
        directory.extend(name.as_bytes());
        offset += header.len() + bytes.len();
    }
    out.write_all(&directory)?;
    let count = short(entries.len())?;
    let mut end = b"PK\x05\x06\x00\x00\x00\x00".to_vec();
    end.extend([count, count].iter().flat_map(|v| v.to_le_bytes()));
    end.extend(narrow(directory.len())?.to_le_bytes());
    end.extend(narrow(offset)?.to_le_bytes());
    end.extend([0, 0]);
    out.write_all(&end)?;
    Ok((offset + directory.len() + end.len()) as u64)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::testing::{Py, PyTensor, TorchFile, f32_bytes, pair, text};
    use super::*;

    fn archive(value: &Py, storages: &[(&str, Vec<f32>)]) -> TorchArchive<Vec<u8>> {
        let mut file = TorchFile::new(value);
        for (key, values) in storages {
            file = file.storage(key, f32_bytes(values.iter().copied()));
        }
        open(file.bytes()).unwrap()
    }

    fn open(bytes: Vec<u8>) -> Result<TorchArchive<Vec<u8>>, FeaturesError> {
        let size = bytes.len() as u64;
        TorchArchive::from_reader(bytes, size, Path::new("in.pt"))
    }

    #[test]
    fn a_halved_archive_has_the_same_values_shapes_and_order_of_axes() {
        let map = PyTensor::channels_last("1", &[1, 2, 3, 4]);
        let dict = Py::Dict(vec![
            ("model_type", text("sam")),
            ("src_shape", pair(512, 70_000)),
            ("big", Py::Int(1 << 40)),
            ("features", Py::List(vec![Py::Tensor(PyTensor::contiguous("0", &[2, 2])), Py::Tensor(map)])),
        ]);
        let before = archive(
            &dict,
            &[("0", vec![1.0, -2.5, 0.1, 65504.0]), ("1", (0..24).map(|i| i as f32 / 7.0).collect())],
        );
        let mut written = Vec::new();
        let halved = write_halved(&before, Path::new("dir/chip_7.pt"), &mut written).unwrap();
        assert_eq!((halved.tensors, halved.bytes), (2, written.len() as u64));
        assert!(halved.largest_change > 0.0 && halved.largest_change < 1e-3);

        let after = open(written).unwrap();
        after.verify().unwrap();
        let root = after.root();
        assert_eq!(root.get("model_type").unwrap().as_text(), Some("sam"));
        assert_eq!(root.get("big").unwrap().as_integer(), Some(1 << 40));
        let tensors = |archive: &TorchArchive<Vec<u8>>| {
            let all: Vec<_> = archive.root().get("features").unwrap().elements().unwrap().collect();
            all.iter().map(|v| archive.read_f32("t", v.as_tensor().unwrap()).unwrap()).collect::<Vec<_>>()
        };
        for (a, b) in tensors(&before).iter().zip(tensors(&after)) {
            assert_eq!((a.shape(), &a.strides()[1..]), (b.shape(), &b.strides()[1..]));
            assert!(a.iter().zip(&b).all(|(a, b)| f16::from_f32(*a).to_f32() == *b));
        }
    }

    #[test]
    fn values_that_halves_cannot_hold_are_refused() {
        for value in [65520.0, f32::NAN, f32::INFINITY] {
            let tensor = Py::Dict(vec![("features", Py::Tensor(PyTensor::contiguous("0", &[1])))]);
            let error =
                write_halved(&archive(&tensor, &[("0", vec![value])]), Path::new("x.pt"), &mut Vec::new());
            let message = error.unwrap_err().to_string();
            assert!(message.contains("does not fit into half precision"), "{message}");
        }
    }

    #[test]
    fn nesting_without_end_is_refused() {
        let mut value = Py::Int(1);
        for _ in 0..40 {
            value = Py::List(vec![value]);
        }
        assert!(write_halved(&archive(&value, &[]), Path::new("x.pt"), &mut Vec::new()).is_err());
    }
}
