//! Masks and logits as files that other tools open: 1-bit PNG and NumPy's NPY.

use std::io::Write;

use ndarray::ArrayView3;

use super::{Mask, MaskError};

/// Writes a mask as a 1-bit grayscale PNG of its own shape; set pixels are white.
///
/// # Errors
/// [`MaskError::Png`] where the sink fails, [`MaskError::EmptyShape`] for a mask without pixels,
/// which PNG cannot hold.
pub fn write_png(mask: &Mask, sink: impl Write) -> Result<(), MaskError> {
    let (height, width) = (mask.height(), mask.width());
    if height == 0 || width == 0 {
        return Err(MaskError::EmptyShape { what: "the mask", height, width });
    }
    let mut encoder = png::Encoder::new(sink, width as u32, height as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&mask.to_packed())?;
    Ok(writer.finish()?)
}

/// Writes float32 values as an NPY file (format version 1.0, little-endian, C order), for example
/// the low-resolution logits `[M, L, L]` of the masks that were returned.
///
/// The header follows NumPy's enhancement proposal 1: padded with spaces so that the values start
/// at a multiple of 64 bytes.
///
/// # Errors
/// [`MaskError::Npy`] where the sink fails.
pub fn write_npy(values: ArrayView3<'_, f32>, mut sink: impl Write) -> Result<(), MaskError> {
    const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";
    let (d, h, w) = values.dim();
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({d}, {h}, {w}), }}");
    // Magic, a length of two bytes, the text, a newline.
    let unpadded = MAGIC.len() + 2 + header.len() + 1;
    header.extend(std::iter::repeat_n(' ', unpadded.next_multiple_of(64) - unpadded));
    header.push('\n');
    sink.write_all(MAGIC)?;
    // Three numbers of at most 20 digits: the length always fits.
    sink.write_all(&(header.len() as u16).to_le_bytes())?;
    sink.write_all(header.as_bytes())?;
    for row in values.rows() {
        let bytes: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
        sink.write_all(&bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    #[test]
    fn a_mask_survives_the_way_through_png() {
        let pixels: Vec<bool> = (0..7 * 77).map(|i| i % 5 == 0 || i % 11 == 3).collect();
        let mask = Mask::from_pixels(7, 77, &pixels).unwrap();
        let mut file = Vec::new();
        write_png(&mask, &mut file).unwrap();

        let mut reader = png::Decoder::new(std::io::Cursor::new(&file)).read_info().unwrap();
        assert_eq!(reader.info().bit_depth, png::BitDepth::One);
        assert_eq!(reader.info().color_type, png::ColorType::Grayscale);
        assert_eq!(reader.info().size(), (77, 7));
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut bytes).unwrap();
        let packed = if bytes.len() == 7 * 10 {
            bytes
        } else {
            panic!("expected packed rows, got {} bytes", bytes.len())
        };
        assert_eq!(Mask::from_packed(7, 77, &packed).unwrap(), mask);
    }

    #[test]
    fn a_mask_without_pixels_is_no_png() {
        let mask = Mask::blank(0, 4).unwrap();
        assert!(matches!(write_png(&mask, Vec::new()), Err(MaskError::EmptyShape { .. })));
    }

    #[test]
    fn npy_has_the_header_that_numpy_writes() {
        let values = Array3::from_shape_fn((2, 1, 3), |(d, _, w)| d as f32 - w as f32 / 2.0);
        let mut file = Vec::new();
        write_npy(values.view(), &mut file).unwrap();
        // numpy.save of the same array starts with these 128 bytes.
        let mut expected = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        expected.extend(b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1, 3), }");
        expected.resize(127, b' ');
        expected.push(b'\n');
        assert_eq!(&file[..128], expected);
        let floats: Vec<f32> =
            file[128..].chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
        assert_eq!(floats, [0.0, -0.5, -1.0, 1.0, 0.5, 0.0]);
    }

    #[test]
    fn npy_is_in_c_order_whatever_the_memory_order() {
        let values = Array3::from_shape_fn((2, 3, 4), |(d, h, w)| (100 * d + 10 * h + w) as f32);
        let mut swapped = values.clone();
        swapped.swap_axes(0, 2);
        let swapped = swapped.as_standard_layout().into_owned();
        let mut view = swapped.view();
        view.swap_axes(0, 2);
        let (mut plain, mut strided) = (Vec::new(), Vec::new());
        write_npy(values.view(), &mut plain).unwrap();
        write_npy(view, &mut strided).unwrap();
        assert_eq!(plain, strided);
    }
}
