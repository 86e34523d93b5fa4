//! From chip arrays to token and block order (see [`graph`](crate::decoder::graph)).

use ndarray::{ArrayView3, s};

/// `[C, side, side]` in any memory order to tokens `[side * side, C]`; one copy where it is channels last already.
pub(super) fn tokens(array: ArrayView3<'_, f32>) -> Vec<f32> {
    let last = array.permuted_axes([1, 2, 0]);
    match last.as_slice() {
        Some(values) => values.to_vec(),
        None => gathered(last, |row, column, columns| row * columns + column),
    }
}

/// `[C, 2 grid, 2 grid]` to rows of `C` in the order (row, column, dy1, dx1).
pub(super) fn half_blocks(map: ArrayView3<'_, f32>) -> Vec<f32> {
    gathered(map.permuted_axes([1, 2, 0]), |row, column, columns| {
        ((row / 2) * (columns / 2) + column / 2) * 4 + (row % 2) * 2 + column % 2
    })
}

/// `[C, 4 grid, 4 grid]` to rows of `C` in the order (row, column, dy1, dx1, dy2, dx2).
pub(super) fn quarter_blocks(map: ArrayView3<'_, f32>) -> Vec<f32> {
    gathered(map.permuted_axes([1, 2, 0]), |row, column, columns| {
        let token = (row / 4) * (columns / 4) + column / 4;
        token * 16 + (row / 2 % 2) * 8 + (column / 2 % 2) * 4 + (row % 2) * 2 + column % 2
    })
}

/// Pixels `[height, width, C]` to rows of `C`, the pixel at (row, column) to row `place(row, column, width)`.
fn gathered(pixels: ArrayView3<'_, f32>, place: impl Fn(usize, usize, usize) -> usize) -> Vec<f32> {
    let (height, width, channels) = pixels.dim();
    let mut rows = vec![0.0; height * width * channels];
    for row in 0..height {
        let line = pixels.slice(s![row, .., ..]);
        if line.is_standard_layout() {
            for (column, pixel) in line.rows().into_iter().enumerate() {
                let start = place(row, column, width) * channels;
                if let (Some(out), Some(pixel)) = (rows.get_mut(start..start + channels), pixel.to_slice()) {
                    out.copy_from_slice(pixel);
                }
            }
        } else {
            // Channels first: read along the line, where the values are neighbours.
            for (channel, values) in line.columns().into_iter().enumerate() {
                for (column, value) in values.iter().enumerate() {
                    rows[place(row, column, width) * channels + channel] = *value;
                }
            }
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;
    use crate::decoder::blocks::images;
    use crate::decoder::weights::MASKS;

    /// A map whose value says where it is.
    fn map(channels: usize, side: usize) -> Array3<f32> {
        Array3::from_shape_fn((channels, side, side), |(c, y, x)| (c * 10_000 + y * 100 + x) as f32)
    }

    /// The same values with the channels last in memory.
    fn channels_last(map: &Array3<f32>) -> Array3<f32> {
        map.view().permuted_axes([1, 2, 0]).as_standard_layout().into_owned().permuted_axes([2, 0, 1])
    }

    #[test]
    fn tokens_are_the_same_from_either_memory_order() {
        let map = map(3, 4);
        let tokens = tokens(map.view());
        assert_eq!(tokens, super::tokens(channels_last(&map).view()));
        assert_eq!(tokens[(2 * 4 + 1) * 3 + 2], map[[2, 2, 1]]);
    }

    #[test]
    fn half_maps_keep_the_four_pixels_of_a_token_together() {
        let map = map(5, 6);
        let blocks = half_blocks(map.view());
        assert_eq!(blocks, half_blocks(channels_last(&map).view()));
        // Token (1, 2), pixel dy 1, dx 0: row 3, column 4.
        assert_eq!(blocks[((3 + 2) * 4 + 2) * 5 + 1], map[[1, 3, 4]]);
    }

    #[test]
    fn quarter_maps_keep_the_sixteen_pixels_of_a_token_together() {
        let map = map(2, 12);
        let blocks = quarter_blocks(map.view());
        assert_eq!(blocks, quarter_blocks(channels_last(&map).view()));
        // Token (2, 1), dy1 0, dx1 1, dy2 1, dx2 0: row 9, column 6.
        assert_eq!(blocks[((2 * 3 + 1) * 16 + 4 + 2) * 2 + 1], map[[1, 9, 6]]);
    }

    #[test]
    fn logits_come_out_of_block_order_where_the_maps_went_in() {
        let grid = 3;
        let image = map(MASKS, 4 * grid);
        let blocks = quarter_blocks(image.view());
        // [token and dy1 dx1, dy2 dx2, mask] to rows (mask, dy2, dx2).
        let logits: Vec<f32> = (0..MASKS * 4)
            .flat_map(|i| {
                let (mask, pixel) = (i / 4, i % 4);
                (0..4 * grid * grid).map(move |j| (j * 4 + pixel) * MASKS + mask)
            })
            .map(|i| blocks[i])
            .collect();
        assert_eq!(images(&logits, grid), image);
    }
}
