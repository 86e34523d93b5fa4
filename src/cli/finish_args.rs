//! The flags that say how outlines are finished and what is told of them, of `segment` and `everything`.

use clap::Args as ClapArgs;

use super::segment_args::{area, not_negative};
use crate::api::{Finish, MOST_SMOOTH, OutputOptions};

/// `--fill-holes`, `--smooth`, `--right-angles`, `--measures`.
#[derive(Debug, Clone, Copy, ClapArgs)]
pub struct FinishArgs {
    /// Holes with a smaller area on the ground are filled, in square metres.
    #[arg(long, value_name = "M2", default_value_t = 0.0, value_parser = area)]
    pub fill_holes: f64,

    /// Smooth the staircases of pixels over so many source pixels; the outline moves by no more than that, and keeps its area. 2 is a
    /// good value.
    #[arg(long, value_name = "PIXELS", default_value_t = 0.0, value_parser = smooth)]
    pub smooth: f64,

    /// Right angles, for buildings: edges along and across one direction. Where that does not fit the mask (IoU below 0.85) the
    /// outline is as the other flags say, and its property "right_angles" is "not_fitting".
    #[arg(long)]
    pub right_angles: bool,

    /// Tell the perimeter of each outline (perimeter_m), the bearing of its long side (orientation_deg, clockwise from north) and how
    /// much longer that is than the short one (elongation).
    #[arg(long)]
    pub measures: bool,
}

impl FinishArgs {
    /// The output that these flags ask for.
    pub(super) const fn over(&self, output: OutputOptions) -> OutputOptions {
        let &Self { fill_holes, smooth, right_angles, measures } = self;
        let finish = Finish { fill_holes_m2: fill_holes, smooth, right_angles };
        OutputOptions { finish, measures, ..output }
    }
}

fn smooth(text: &str) -> Result<f64, String> {
    match not_negative(text) {
        Ok(value) if value <= MOST_SMOOTH => Ok(value),
        _ => Err(format!("staircases are smoothed over 0 to {MOST_SMOOTH} pixels")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_to_smooth_over_are_a_number_from_0_to_64() {
        assert_eq!(smooth("2.5"), Ok(2.5));
        for bad in ["-1", "NaN", "inf", "65", "1,2", "two", ""] {
            assert!(smooth(bad).unwrap_err().contains("0 to 64"), "{bad:?}");
        }
    }
}
