//! Files of `torch.save` built by hand: a pickle from plain values, and a zip of stored entries.

use crate::features::bytes::le_bytes;

/// A Python value to pickle.
#[derive(Debug, Clone)]
pub enum Py {
    Int(i64),
    Text(String),
    Tuple(Vec<Py>),
    List(Vec<Py>),
    Dict(Vec<(&'static str, Py)>),
    /// `collections.OrderedDict` with `_metadata`, as a state dict.
    OrderedDict(Vec<(String, Py)>),
    Tensor(PyTensor),
    /// `torch.nn.Parameter`.
    Parameter(PyTensor),
    /// Any object: module and name.
    Global(&'static str, &'static str),
}

/// A tensor to pickle; its bytes go into the file separately.
#[derive(Debug, Clone)]
pub struct PyTensor {
    pub class: &'static str,
    pub key: String,
    pub elements: i64,
    pub offset: i64,
    pub shape: Vec<i64>,
    pub strides: Vec<i64>,
}

impl PyTensor {
    /// A contiguous float32 tensor that fills its storage.
    pub fn contiguous(key: impl Into<String>, shape: &[i64]) -> Self {
        let mut strides = vec![1; shape.len()];
        for axis in (1..shape.len()).rev() {
            strides[axis - 1] = strides[axis] * shape[axis];
        }
        let elements = shape.iter().product();
        Self { class: "FloatStorage", key: key.into(), elements, offset: 0, shape: shape.to_vec(), strides }
    }

    /// The same shape with the channels (axis 1 of 4) last in memory.
    pub fn channels_last(key: impl Into<String>, shape: &[i64; 4]) -> Self {
        let [_, c, h, w] = *shape;
        Self { strides: vec![c * h * w, 1, w * c, c], ..Self::contiguous(key, shape) }
    }

    pub fn of_class(self, class: &'static str) -> Self {
        Self { class, ..self }
    }
}

pub fn text(value: &str) -> Py {
    Py::Text(value.to_owned())
}

pub fn pair(a: i64, b: i64) -> Py {
    Py::Tuple(vec![Py::Int(a), Py::Int(b)])
}

/// The value as a pickle of protocol 2, in the opcodes that torch writes.
pub fn pickle(value: &Py) -> Vec<u8> {
    let mut out = vec![0x80, 2];
    write(value, &mut out);
    out.push(b'.');
    out
}

fn write(value: &Py, out: &mut Vec<u8>) {
    match value {
        Py::Int(v) => write_int(*v, out),
        Py::Text(v) => {
            out.push(b'X');
            out.extend(u32::try_from(v.len()).unwrap().to_le_bytes());
            out.extend(v.as_bytes());
            out.extend([b'q', 0]);
        }
        Py::Tuple(items) => {
            out.push(b'(');
            items.iter().for_each(|item| write(item, out));
            out.push(b't');
        }
        Py::List(items) => {
            out.extend(*b"](");
            items.iter().for_each(|item| write(item, out));
            out.push(b'e');
        }
        Py::Dict(items) => {
            out.extend(*b"}q\x01(");
            for (key, item) in items {
                write(&text(key), out);
                write(item, out);
            }
            out.push(b'u');
        }
        Py::OrderedDict(items) => {
            out.extend(*b"ccollections\nOrderedDict\n)R(");
            for (key, item) in items {
                write(&text(key), out);
                write(item, out);
            }
            out.push(b'u');
            // state: {"_metadata": OrderedDict()}
            out.push(b'}');
            write(&text("_metadata"), out);
            out.extend(*b"ccollections\nOrderedDict\n)Rsb");
        }
        Py::Tensor(tensor) => write_tensor(tensor, out),
        Py::Parameter(tensor) => {
            out.extend(*b"ctorch._utils\n_rebuild_parameter\n(");
            write_tensor(tensor, out);
            out.extend(*b"\x88ccollections\nOrderedDict\n)RtR");
        }
        Py::Global(module, name) => out.extend(format!("c{module}\n{name}\n").bytes()),
    }
}

fn write_int(v: i64, out: &mut Vec<u8>) {
    if let Ok(v) = u8::try_from(v) {
        out.extend([b'K', v]);
    } else if let Ok(v) = i32::try_from(v) {
        out.push(b'J');
        out.extend(v.to_le_bytes());
    } else {
        out.extend([0x8a, 8]);
        out.extend(v.to_le_bytes());
    }
}

fn write_tensor(tensor: &PyTensor, out: &mut Vec<u8>) {
    let ints = |values: &[i64]| Py::Tuple(values.iter().map(|&v| Py::Int(v)).collect());
    out.extend(*b"ctorch._utils\n_rebuild_tensor_v2\n((");
    write(&text("storage"), out);
    out.extend(format!("ctorch\n{}\n", tensor.class).bytes());
    write(&text(&tensor.key), out);
    write(&text("cpu"), out);
    write_int(tensor.elements, out);
    out.extend(*b"tQ");
    write_int(tensor.offset, out);
    write(&ints(&tensor.shape), out);
    write(&ints(&tensor.strides), out);
    out.extend(*b"\x89ccollections\nOrderedDict\n)RtR");
}

/// Little-endian bytes of floats.
pub fn f32_bytes(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
    le_bytes(&values.into_iter().collect::<Vec<_>>()).into_owned()
}

/// A zip of stored entries as torch writes it: bytes aligned to 64, the directory at the end.
#[derive(Debug, Clone)]
pub struct TorchFile {
    entries: Vec<(String, Vec<u8>)>,
    /// Sizes and offsets as 64-bit extra fields, as in archives beyond 4 GB.
    pub zip64: bool,
    /// Whether entries carry their CRC; torch can be told to leave it at 0.
    pub checksums: bool,
}

impl TorchFile {
    /// An archive of this pickle, without storages yet.
    pub fn new(value: &Py) -> Self {
        Self::with_pickle(pickle(value))
    }

    pub fn with_pickle(pickle: Vec<u8>) -> Self {
        let entries = vec![
            ("x/data.pkl".to_owned(), pickle),
            ("x/byteorder".to_owned(), b"little".to_vec()),
            ("x/version".to_owned(), b"3\n".to_vec()),
        ];
        Self { entries, zip64: false, checksums: true }
    }

    /// Adds the storage of a key.
    pub fn storage(self, key: &str, bytes: Vec<u8>) -> Self {
        self.entry(&format!("x/data/{key}"), bytes)
    }

    /// Adds or replaces an entry under its whole name.
    pub fn entry(mut self, name: &str, bytes: Vec<u8>) -> Self {
        self.entries.retain(|(n, _)| n != name);
        self.entries.push((name.to_owned(), bytes));
        self
    }

    /// The file, and where each entry's bytes begin in it.
    pub fn build(&self) -> (Vec<u8>, Vec<(String, usize)>) {
        let (mut file, mut directory, mut places) = (vec![], vec![], vec![]);
        for (name, bytes) in &self.entries {
            let header = file.len();
            let crc = if self.checksums { crc32fast::hash(bytes) } else { 0 };
            let padding = (64 - (header + 30 + name.len() + 4) % 64) % 64;
            let size = u32::try_from(bytes.len()).unwrap();
            file.extend(*b"PK\x03\x04\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00");
            file.extend([crc, size, size].iter().flat_map(|v| v.to_le_bytes()));
            file.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
            file.extend(u16::try_from(padding + 4).unwrap().to_le_bytes());
            file.extend(name.as_bytes());
            file.extend(*b"FB");
            file.extend(u16::try_from(padding).unwrap().to_le_bytes());
            file.extend(vec![b'Z'; padding]);
            places.push((name.clone(), file.len()));
            file.extend(bytes);

            let extra: Vec<u8> = if self.zip64 {
                let wide = [bytes.len(), bytes.len(), header].map(|v| (v as u64).to_le_bytes());
                [&[1, 0, 24, 0], wide.concat().as_slice()].concat()
            } else {
                vec![]
            };
            let narrow = |v: u32| if self.zip64 { u32::MAX } else { v };
            directory.extend(*b"PK\x01\x02\x00\x00\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00");
            directory.extend([crc, narrow(size), narrow(size)].iter().flat_map(|v| v.to_le_bytes()));
            directory.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
            directory.extend(u16::try_from(extra.len()).unwrap().to_le_bytes());
            directory.extend([0; 10]);
            directory.extend(narrow(u32::try_from(header).unwrap()).to_le_bytes());
            directory.extend(name.as_bytes());
            directory.extend(extra);
        }
        let start = file.len();
        file.extend(&directory);
        let count = self.entries.len() as u64;
        if self.zip64 {
            let end = file.len() as u64;
            file.extend(*b"PK\x06\x06");
            file.extend(44_u64.to_le_bytes());
            file.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            file.extend(
                [count, count, directory.len() as u64, start as u64].iter().flat_map(|v| v.to_le_bytes()),
            );
            file.extend(*b"PK\x06\x07\x00\x00\x00\x00");
            file.extend(end.to_le_bytes());
            file.extend(1_u32.to_le_bytes());
        }
        file.extend(*b"PK\x05\x06\x00\x00\x00\x00");
        let count = if self.zip64 { u16::MAX } else { u16::try_from(count).unwrap() };
        file.extend([count, count].iter().flat_map(|v| v.to_le_bytes()));
        let narrow = |v: usize| if self.zip64 { u32::MAX } else { u32::try_from(v).unwrap() };
        file.extend([narrow(directory.len()), narrow(start)].iter().flat_map(|v| v.to_le_bytes()));
        file.extend([0, 0]);
        (file, places)
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.build().0
    }
}
