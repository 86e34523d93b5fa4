//! The colour of a layer: the same in every format that has styles, and after every export.

/// Bright colours that stand out from imagery: red, green, blue.
const COLOURS: [[u8; 3]; 8] = [
    [255, 214, 0],
    [0, 229, 255],
    [255, 64, 129],
    [118, 255, 3],
    [255, 145, 0],
    [170, 120, 255],
    [255, 82, 82],
    [255, 255, 255],
];

/// How opaque a filled area is, of 255: what lies below stays seen.
pub(super) const FILLED: u8 = 77;

/// A layer's colour: red, green, blue. By its name, so that layers beside each other usually differ.
pub(super) fn of_layer(layer: &str) -> [u8; 3] {
    COLOURS[crc32fast::hash(layer.as_bytes()) as usize % COLOURS.len()]
}
