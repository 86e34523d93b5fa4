//! Element types of torch storages, and how they become `f32`.

use half::bf16;

use crate::features::bytes::widen_f16;

/// The element type of a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DType {
    /// 32-bit float.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of a 32-bit float.
    BF16,
    /// 64-bit float, rounded to 32 bits when read.
    F64,
    /// A type that no feature or weight has: kept by name, and refused when the tensor is read.
    Other(Box<str>),
}

impl DType {
    /// The type of a storage class of module `torch`, such as `FloatStorage`; `None` where the name is not
    /// that of a storage at all.
    pub fn from_storage_class(name: &str) -> Option<Self> {
        let stem = name.strip_suffix("Storage")?;
        if !(1..=32).contains(&stem.len()) || !stem.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return None;
        }
        Some(match stem {
            "Float" => Self::F32,
            "Half" => Self::F16,
            "BFloat16" => Self::BF16,
            "Double" => Self::F64,
            other => Self::Other(other.into()),
        })
    }

    /// Bytes of one element; `None` for types that are not read.
    pub const fn size(&self) -> Option<usize> {
        match self {
            Self::F32 => Some(4),
            Self::F16 | Self::BF16 => Some(2),
            Self::F64 => Some(8),
            Self::Other(_) => None,
        }
    }

    /// Turns little-endian bytes into floats, one for one. Types of [`DType::Other`] give nothing.
    pub(super) fn widen(&self, bytes: &[u8], into: &mut [f32]) {
        match self {
            Self::F32 => convert(bytes, into, f32::from_le_bytes),
            Self::F16 => widen_f16(bytes, into),
            Self::BF16 => convert(bytes, into, |b| bf16::from_le_bytes(b).to_f32()),
            // Rounding to the nearest float is what torch's own `.float()` does.
            Self::F64 => convert(bytes, into, |b| f64::from_le_bytes(b) as f32),
            Self::Other(_) => {}
        }
    }
}

fn convert<const N: usize>(bytes: &[u8], into: &mut [f32], one: impl Fn([u8; N]) -> f32) {
    for (element, value) in bytes.as_chunks::<N>().0.iter().zip(into) {
        *value = one(*element);
    }
}

impl std::fmt::Display for DType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::BF16 => "bfloat16",
            Self::F64 => "float64",
            Self::Other(name) => name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_storages_are_storages() {
        assert_eq!(DType::from_storage_class("HalfStorage"), Some(DType::F16));
        assert_eq!(DType::from_storage_class("LongStorage"), Some(DType::Other("Long".into())));
        for name in ["Storage", "load", "a.bStorage", "os.systemStorage", ""] {
            assert_eq!(DType::from_storage_class(name), None, "{name}");
        }
    }

    #[test]
    fn halves_widen_exactly() {
        let mut out = [0.0; 3];
        DType::F16.widen(&[0x00, 0x3c, 0x00, 0xc0, 0xff, 0x7b], &mut out);
        assert_eq!(out, [1.0, -2.0, 65504.0]);
        DType::BF16.widen(&[0x80, 0x3f, 0x00, 0xc0, 0x80, 0x7f], &mut out);
        assert_eq!(out, [1.0, -2.0, f32::INFINITY]);
        DType::F64.widen(&[0.1_f64.to_le_bytes(), 1e300_f64.to_le_bytes()].concat(), &mut out);
        assert_eq!(out[..2], [0.1, f32::INFINITY]);
    }
}
