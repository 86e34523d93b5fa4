//! Floats to little-endian bytes and back, as files have them, without a copy per element.

use std::borrow::Cow;

use half::f16;
use half::slice::HalfFloatSliceExt;
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

/// Widens halves in the order of files, exactly; what there is no room for is left out.
pub(crate) fn widen_f16(bytes: &[u8], into: &mut [f32]) {
    // By slices, for which `half` takes the processor's instruction where it has one.
    const AT_ONCE: usize = 1024;
    let mut halves = [f16::ZERO; AT_ONCE];
    for (bytes, into) in bytes.as_chunks().0.chunks(AT_ONCE).zip(into.chunks_mut(AT_ONCE)) {
        let len = bytes.len().min(into.len());
        for (half, bytes) in halves.iter_mut().zip(bytes) {
            *half = f16::from_le_bytes(*bytes);
        }
        halves[..len].convert_to_f32_slice(&mut into[..len]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_widens_to_its_value() {
        let halves: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
        let bytes: Vec<u8> = halves.iter().flat_map(|half| half.to_le_bytes()).collect();
        // Room for all but one, which is no multiple of what is widened at a time.
        let mut wide = vec![0.0; halves.len() - 1];
        widen_f16(&bytes, &mut wide);
        for (wide, half) in wide.iter().zip(&halves) {
            assert!(*wide == half.to_f32() || wide.is_nan() && half.is_nan(), "{half:?} is not {wide}");
        }
    }

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
