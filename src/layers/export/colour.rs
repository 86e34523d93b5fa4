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

/// Colours of layers that are seen together: each its own, or, where an earlier one has that, the next that none has.
pub(super) fn of_layers(layers: &[String]) -> Vec<[u8; 3]> {
    let mut colours: Vec<[u8; 3]> = Vec::with_capacity(layers.len());
    for layer in layers {
        let own = place(layer);
        let mut others = (0..COLOURS.len()).map(|step| COLOURS[(own + step) % COLOURS.len()]);
        let colour = others.find(|colour| !colours.contains(colour)).unwrap_or(COLOURS[own]);
        colours.push(colour);
    }
    colours
}

/// How opaque a filled area is, of 255: what lies below stays seen.
pub(super) const FILLED: u8 = 77;

/// A layer's colour: red, green, blue. By its name, so that layers beside each other usually differ.
pub(super) fn of_layer(layer: &str) -> [u8; 3] {
    COLOURS[place(layer)]
}

fn place(layer: &str) -> usize {
    crc32fast::hash(layer.as_bytes()) as usize % COLOURS.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_seen_together_differ_as_long_as_there_are_colours() {
        let names = ["ponds", "fields", "roofs", "woods", "a", "b", "c", "d", "e"].map(str::to_owned);
        let colours = of_layers(&names);
        // Alone they would be alike.
        assert_eq!(of_layer("ponds"), of_layer("fields"));
        assert_eq!(colours[0], of_layer("ponds"));
        let first = &colours[..COLOURS.len()];
        assert!(first.iter().enumerate().all(|(at, colour)| !first[..at].contains(colour)), "{colours:?}");
        assert_eq!(colours.len(), names.len());
    }
}
