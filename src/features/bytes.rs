//! Floats to little-endian bytes and back, as files have them, without a copy per element.

use std::borrow::Cow;

use zerocopy::IntoBytes;

/// The bytes of floats in the order of files.
pub(crate) fn le_bytes(values: &[f32]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "big") {
        Cow::Owned(values.iter().flat_map(|v| v.to_le_bytes()).collect())
    } else {
        Cow::Borrowed(values.as_bytes())
    }
}

/// Fills floats from bytes in the order of files; `fill` writes the bytes.
pub(crate) fn fill_le<E>(values: &mut [f32], fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<(), E> {
    fill(values.as_mut_bytes())?;
    if cfg!(target_endian = "big") {
        values.iter_mut().for_each(|v| *v = f32::from_bits(v.to_bits().swap_bytes()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_survive_the_way_through_bytes() {
        let values = [1.5_f32, -0.0, f32::MAX];
        assert_eq!(le_bytes(&values)[..4], [0, 0, 0xc0, 0x3f]);
        let mut back = [0.0; 3];
        let filled: Result<(), ()> = fill_le(&mut back, |bytes| {
            bytes.copy_from_slice(&le_bytes(&values));
            Ok(())
        });
        assert_eq!((filled, back), (Ok(()), values));
    }
}
