//! The zip container of `torch.save`: its directory, its pickle, and tensors read one by one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ndarray::{ArrayD, ArrayViewD, IxDyn, ShapeBuilder};
use rawzip::{CompressionMethod, ErrorKind, ReaderAt, ZipArchive, ZipArchiveEntryWayfinder, ZipLocator};

use super::dtype::DType;
use super::foreign::foreign;
use super::layout::Layout;
use super::machine::{MAX_PICKLE_BYTES, unpickle};
use super::value::{Pickle, TensorSpec, Value};
use crate::features::bytes::fill_le;
use crate::features::error::FeaturesError;
use crate::features::reader::CardFile;
use crate::stand_in::BEGINNING;

/// Most entries of an archive. A checkpoint of SAM 3 has some 3000.
const MAX_ENTRIES: usize = 1 << 17;
/// Bytes read at a time where they are converted or summed up.
const CHUNK: usize = 1 << 18;
/// What a file from before torch 1.6 begins with: a pickle, protocol 2, of torch's magic number.
const LEGACY_MAGIC: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";

/// An open file of `torch.save`: its pickle is read, its tensors are not.
pub struct TorchArchive<R = CardFile> {
    zip: ZipArchive<R>,
    size: u64,
    path: PathBuf,
    /// Entries by their name without the archive's own top directory.
    entries: HashMap<Box<str>, Entry>,
    pickle: Pickle,
    /// The archive's own top directory.
    stem: Box<str>,
}

#[derive(Clone, Copy)]
struct Entry {
    place: ZipArchiveEntryWayfinder,
    local_header: u64,
    size: u64,
    crc: u32,
}

impl TorchArchive<CardFile> {
    /// Opens a file of `torch.save` and reads its directory and its pickle.
    ///
    /// # Errors
    /// Files that cannot be read, are truncated, are no zip of stored entries, were written by a big-endian
    /// machine or by torch before 1.6, and pickles that hold more than plain tensors and values.
    pub fn open(path: &Path) -> Result<Self, FeaturesError> {
        let file =
            CardFile::open(path).map_err(|source| FeaturesError::Io { path: path.to_owned(), source })?;
        let size = file.size();
        Self::from_reader(file, size, path)
    }
}

impl<R: ReaderAt> TorchArchive<R> {
    /// Reads an archive of `size` bytes from any reader; `path` only names it in errors.
    ///
    /// # Errors
    /// As [`TorchArchive::open`].
    pub fn from_reader(reader: R, size: u64, path: &Path) -> Result<Self, FeaturesError> {
        let errors = Errors { path };
        let mut beginning = [0; BEGINNING];
        let length = reader.read_at(&mut beginning, 0).map_err(|e| errors.io(e))?;
        let beginning = &beginning[..length];
        if beginning.starts_with(LEGACY_MAGIC) {
            return Err(FeaturesError::Legacy { path: path.to_owned() });
        }
        if let Some(what) = foreign(beginning) {
            return Err(FeaturesError::Foreign { path: path.to_owned(), what });
        }
        if !beginning.starts_with(b"PK") {
            return Err(errors.container("it does not begin as a zip file of torch.save does"));
        }
        let mut buffer = vec![0; rawzip::RECOMMENDED_BUFFER_SIZE];
        let zip = ZipLocator::new()
            .locate_in_reader(reader, &mut buffer, size)
            .map_err(|(_, error)| errors.zip(error, "its end is missing: the file is truncated"))?;

        let mut entries: HashMap<Box<str>, Entry> = HashMap::new();
        let mut stem: Option<Box<str>> = None;
        let mut listing = zip.entries(&mut buffer);
        while let Some(record) = listing
            .next_entry()
            .map_err(|e| errors.zip(e, "its directory is cut off: the file is truncated"))?
        {
            if entries.len() >= MAX_ENTRIES {
                return Err(errors.container(format!("it has more than {MAX_ENTRIES} entries")));
            }
            let raw_path = record.file_path();
            let Ok(name) = std::str::from_utf8(raw_path.as_ref()) else {
                return Err(errors.container("the name of an entry is not UTF-8"));
            };
            if is_checkpoint(name) {
                // As mail, chat and cloud drives hand it over. torch.save has no entries of such names.
                let what = format!("a zip file with {name} in it: unzip it and take that");
                return Err(FeaturesError::Foreign { path: path.to_owned(), what });
            }
            if record.compression_method() != CompressionMethod::STORE
                || record.flags().is_encrypted()
                || record.compressed_size_hint() != record.uncompressed_size_hint()
            {
                return Err(errors.container(format!(
                    "entry {name} is compressed or encrypted, which torch.save never does; unzip it and zip it \
                     again with zip -0"
                )));
            }
            let (top, rest) = name.split_once('/').unwrap_or(("", name));
            if rest == "data.pkl" && stem.replace(top.into()).is_some() {
                return Err(errors.container("it has two entries data.pkl"));
            }
            let entry = Entry {
                place: record.wayfinder(),
                local_header: record.local_header_offset(),
                size: record.uncompressed_size_hint(),
                crc: record.crc32(),
            };
            if entries.insert(Box::from(name), entry).is_some() {
                return Err(errors.container(format!("it has two entries named {name}")));
            }
        }
        let Some(stem) = stem else {
            return Err(errors.container("it has no entry data.pkl: it was not written by torch.save"));
        };
        let prefix = if stem.is_empty() { String::new() } else { format!("{stem}/") };
        let entries = entries
            .into_iter()
            .filter_map(|(name, entry)| Some((name.strip_prefix(&*prefix)?.into(), entry)))
            .collect();

        // The pickle can only be read through the archive: an empty one stands in until then.
        let nothing = Pickle { nodes: vec![], root: super::value::NodeId(0) };
        let mut archive = Self { zip, size, path: path.to_owned(), entries, pickle: nothing, stem };
        archive.check_byte_order()?;
        let bytes = archive.read_small("data.pkl", MAX_PICKLE_BYTES)?;
        archive.pickle =
            unpickle(&bytes).map_err(|source| FeaturesError::Pickle { path: path.to_owned(), source })?;
        Ok(archive)
    }

    /// The value that was saved.
    pub const fn root(&self) -> Value<'_> {
        self.pickle.root()
    }

    pub(super) const fn pickle(&self) -> &Pickle {
        &self.pickle
    }

    /// The file's path, as given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name that its file was written under, without its ending, where `torch.save` was told one; else `archive`. A copy of the
    /// file under another name keeps it.
    pub fn written_as(&self) -> &str {
        &self.stem
    }

    /// Whether any entry carries a checksum. After `torch.serialization.set_crc32_options(False)` all carry 0: then there is
    /// nothing to compare bytes with.
    pub fn has_checksums(&self) -> bool {
        self.entries.values().any(|entry| entry.crc != 0)
    }

    /// Compares the CRC of every entry with the bytes that are there; of an archive without checksums, only reads them.
    ///
    /// # Errors
    /// The first entry that differs, or cannot be read.
    pub fn verify(&self) -> Result<(), FeaturesError> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        // In the order of the file, so that a card is read once from front to back.
        entries.sort_unstable_by_key(|(_, entry)| entry.local_header);
        entries.into_iter().try_for_each(|(name, entry)| self.verify_entry(name, entry))
    }

    /// Compares the CRC of the bytes behind one tensor. A storage that is missing is left to the reading.
    ///
    /// # Errors
    /// As [`TorchArchive::verify`].
    pub fn verify_storage(&self, tensor: &TensorSpec) -> Result<(), FeaturesError> {
        let name = format!("data/{}", tensor.storage.key);
        self.entries.get(name.as_str()).map_or(Ok(()), |entry| self.verify_entry(&name, entry))
    }

    fn verify_entry(&self, name: &str, entry: &Entry) -> Result<(), FeaturesError> {
        let mut crc = crc32fast::Hasher::new();
        self.in_chunks(name, entry, 0, entry.size, CHUNK, |chunk| crc.update(chunk))?;
        let actual = crc.finalize();
        if actual == entry.crc || !self.has_checksums() {
            return Ok(());
        }
        let (path, entry_name) = (self.path.clone(), name.to_owned());
        Err(FeaturesError::Checksum { path, entry: entry_name, expected: entry.crc, actual })
    }

    /// Reads a tensor of floats into memory of its own.
    ///
    /// The array has the logical shape. Where the tensor is dense in the file in any order of axes
    /// (contiguous, channels-last, transposed), memory is in that order and nothing is copied; other views
    /// come out in standard layout. Halves and bfloat16 are widened exactly, doubles rounded.
    ///
    /// # Errors
    /// Element types other than floats, sizes that the file does not hold, views whose elements share
    /// memory, and failing reads. `name` names the tensor in them.
    pub fn read_f32(&self, name: &str, tensor: &TensorSpec) -> Result<ArrayD<f32>, FeaturesError> {
        let refuse =
            |detail: String| FeaturesError::Tensor { path: self.path.clone(), name: name.to_owned(), detail };
        let dtype = &tensor.storage.dtype;
        let Some(width) = dtype.size() else {
            return Err(refuse(format!("its elements are of type {dtype}, not floats")));
        };
        let entry_name = format!("data/{}", tensor.storage.key);
        let entry = self
            .entries
            .get(entry_name.as_str())
            .ok_or_else(|| refuse(format!("entry {entry_name} is missing")))?;
        self.data_start(&entry_name, entry)?;
        let layout = Layout::of(tensor, entry.size / width as u64).map_err(&refuse)?;

        // The span lies inside the entry and the entry inside the file.
        let mut values = vec![0_f32; layout.span];
        let first_byte = layout.first * width as u64;
        if *dtype == DType::F32 {
            fill_le(&mut values, |bytes| self.read_into(&entry_name, entry, first_byte, bytes))?;
        } else {
            let mut rest = values.as_mut_slice();
            let bytes = (layout.span * width) as u64;
            self.in_chunks(&entry_name, entry, first_byte, bytes, CHUNK, |chunk| {
                let (head, tail) = std::mem::take(&mut rest).split_at_mut(chunk.len() / width);
                dtype.widen(chunk, head);
                rest = tail;
            })?;
        }
        let shape = IxDyn(&layout.shape).strides(IxDyn(&layout.strides));
        if layout.elements == 0 {
            return Ok(ArrayD::zeros(IxDyn(&layout.shape)));
        }
        if layout.is_dense() {
            ArrayD::from_shape_vec(shape, values).map_err(|e| refuse(e.to_string()))
        } else {
            let view = ArrayViewD::from_shape(shape, &values).map_err(|e| refuse(e.to_string()))?;
            Ok(view.as_standard_layout().into_owned())
        }
    }

    fn errors(&self) -> Errors<'_> {
        Errors { path: &self.path }
    }

    fn check_byte_order(&self) -> Result<(), FeaturesError> {
        // Files from before torch 2.1 do not say; all of them are little-endian in practice.
        if !self.entries.contains_key("byteorder") {
            return Ok(());
        }
        match self.read_small("byteorder", 16)?.as_slice() {
            b"little" => Ok(()),
            other => Err(self.errors().container(format!(
                "its byte order is {:?}; save it again on a little-endian machine",
                String::from_utf8_lossy(other)
            ))),
        }
    }

    pub(super) fn read_small(&self, name: &str, limit: usize) -> Result<Vec<u8>, FeaturesError> {
        let Some(entry) = self.entries.get(name) else {
            return Err(self.errors().container(format!("entry {name} is missing")));
        };
        let length = usize::try_from(entry.size).ok().filter(|&n| n <= limit).ok_or_else(|| {
            self.errors().container(format!("entry {name} has {} bytes, more than {limit}", entry.size))
        })?;
        self.data_start(name, entry)?;
        let mut bytes = vec![0; length];
        self.read_into(name, entry, 0, &mut bytes)?;
        Ok(bytes)
    }

    /// Where an entry's bytes begin, after checking that all of them lie inside the file.
    fn data_start(&self, name: &str, entry: &Entry) -> Result<u64, FeaturesError> {
        let beyond = || self.errors().container(format!("entry {name} ends after the file: it is truncated"));
        if entry.local_header >= self.size {
            return Err(beyond());
        }
        let found =
            self.zip.get_entry(entry.place).map_err(|e| self.errors().zip(e, "an entry has no header"))?;
        let (start, end) = found.compressed_data_range();
        if end > self.size || end.checked_sub(start) != Some(entry.size) {
            return Err(beyond());
        }
        Ok(start)
    }

    fn read_into(&self, name: &str, entry: &Entry, skip: u64, into: &mut [u8]) -> Result<(), FeaturesError> {
        let start = self.data_start(name, entry)?;
        self.zip.get_ref().read_exact_at(into, start + skip).map_err(|e| self.errors().io(e))
    }

    fn in_chunks(
        &self,
        name: &str,
        entry: &Entry,
        skip: u64,
        length: u64,
        chunk: usize,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), FeaturesError> {
        let start = self.data_start(name, entry)? + skip;
        let mut buffer = vec![0; usize::try_from(length).map_or(chunk, |n| n.min(chunk))];
        let mut done = 0;
        while done < length {
            let now = usize::try_from(length - done).map_or(chunk, |n| n.min(chunk));
            let part = &mut buffer[..now];
            self.zip.get_ref().read_exact_at(part, start + done).map_err(|e| self.errors().io(e))?;
            each(part);
            done += now as u64;
        }
        Ok(())
    }
}

/// Whether the name of an entry is that of a whole file of torch's.
fn is_checkpoint(name: &str) -> bool {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    ["pt", "pth", "ckpt", "safetensors"].iter().any(|known| ending.eq_ignore_ascii_case(known))
}

/// Makes errors about one file.
struct Errors<'a> {
    path: &'a Path,
}

impl Errors<'_> {
    fn container(&self, detail: impl Into<String>) -> FeaturesError {
        FeaturesError::Container { path: self.path.to_owned(), detail: detail.into() }
    }

    fn io(&self, source: std::io::Error) -> FeaturesError {
        FeaturesError::Io { path: self.path.to_owned(), source }
    }

    /// An error of the zip reader: what the system said, or else that the container is unsound.
    fn zip(&self, error: rawzip::Error, cut_off: &str) -> FeaturesError {
        match error.into_kind() {
            ErrorKind::IO(source) if source.kind() != std::io::ErrorKind::UnexpectedEof => self.io(source),
            ErrorKind::IO(_) | ErrorKind::Eof | ErrorKind::MissingEndOfCentralDirectory => {
                self.container(cut_off)
            }
            other => self.container(other.to_string()),
        }
    }
}
