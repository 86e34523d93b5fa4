//! Making an answer fit its bound: coarser and coarser outlines, until it does or cannot.

use std::io::Write;

use serde::Serialize;

use super::EngineError;
use super::answer::asked_tolerance;
use crate::api::{OnTooLarge, OutputOptions};

/// The coarsest outline tried, in source pixels: an object of a chip has some hundred.
const COARSEST: f64 = 64.0;

/// The finest outline tried after one that was too large, in source pixels: below it hardly a step of a pixel's edge
/// gives way, and a request may ask for any tolerance above 0.
const FINEST_RETRY: f64 = 0.5;

/// What also helps where a request does not want to be answered coarser.
const SIMPLIFY: &str =
    "; \"vectorization\": \"simplified\" with a larger tolerance, or \"on_too_large\": \"simplify\"";

/// The tolerance to try next.
pub(super) struct Coarseness {
    options: OutputOptions,
    tolerance: Option<f64>,
    tried: bool,
}

impl Coarseness {
    pub fn new(options: &OutputOptions) -> Self {
        Self { options: *options, tolerance: asked_tolerance(options), tried: false }
    }

    fn may_coarsen(&self) -> bool {
        self.options.on_too_large == OnTooLarge::Simplify
    }

    /// Tolerance to draw with; `None` draws pixel edges.
    pub const fn tolerance(&self) -> Option<f64> {
        self.tolerance
    }

    /// Whether what is written fits; if not, the next tolerance is to be tried. It is measured only where there is a bound.
    ///
    /// # Errors
    /// [`EngineError::TooLarge`] where nothing coarser is left to try, or wanted.
    pub fn fits(&mut self, bytes: impl FnOnce() -> usize) -> Result<bool, EngineError> {
        let Some(limit) = self.options.max_bytes else { return Ok(true) };
        let bytes = bytes();
        if bytes <= limit {
            return Ok(true);
        }
        if !self.may_coarsen() || self.tolerance.is_some_and(|tolerance| tolerance >= COARSEST) {
            let coarsest = match self.tolerance {
                Some(tolerance) if self.tried => format!(" (simplified by {tolerance} pixels)"),
                _ => String::new(),
            };
            return Err(EngineError::TooLarge { bytes, limit, coarsest, advice: self.advice() });
        }
        let next = self.tolerance.map_or(1.5, |t| (t * 2.0).clamp(FINEST_RETRY, COARSEST));
        self.tried = true;
        self.tolerance = Some(next);
        Ok(false)
    }

    /// What helps that the request has not asked for.
    fn advice(&self) -> String {
        let holes = match self.options.finish.fill_holes_m2 > 0.0 {
            true => "; a larger finish.fill_holes_m2",
            false => "; finish.fill_holes_m2, which fills small holes",
        };
        let parts = match (self.options.largest_only, self.options.min_area_m2 > 0.0) {
            (true, _) => "",
            (false, true) => "; a larger min_area_m2, or largest_only, which leave small parts out",
            (false, false) => "; min_area_m2 or largest_only, which leave small parts out",
        };
        let simplify = if self.may_coarsen() { "" } else { SIMPLIFY };
        format!("{holes}{parts}{simplify}")
    }
}

/// Bytes of the JSON text, counted without keeping it.
pub(super) fn written_bytes(value: &impl Serialize) -> usize {
    struct Counter(usize);
    impl Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    // A counter does not fail, and numbers, strings and lists can all be written.
    let _ = serde_json::to_writer(&mut counter, value);
    counter.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Vectorization;

    #[test]
    fn a_tolerance_however_small_is_given_up_after_a_few_outlines() {
        for tolerance in [5e-324, 1e-300, 0.1, 3.0, 40.0, 64.0, 100.0] {
            let mut options = OutputOptions {
                vectorization: Vectorization::Simplified,
                tolerance,
                ..OutputOptions::default()
            };
            options.max_bytes = Some(1);
            let mut coarseness = Coarseness::new(&options);
            let refused = (1..).find_map(|n| coarseness.fits(|| 40).err().map(|error| (n, error)));
            let (outlines, error) = refused.unwrap();
            assert!((1..=10).contains(&outlines), "{tolerance}: {outlines}");
            // Only what is asked for coarser than the coarsest is not tried with that.
            assert_eq!(coarseness.tolerance(), Some(tolerance.max(COARSEST)), "{tolerance}");
            let told = error.to_string();
            assert_eq!(told.contains("(simplified by 64 pixels)"), outlines > 1, "{told}");
        }
    }

    #[test]
    fn what_does_not_fit_is_told_what_helps() {
        for on_too_large in [OnTooLarge::Simplify, OnTooLarge::Error] {
            let options = OutputOptions { max_bytes: Some(1), on_too_large, ..OutputOptions::default() };
            let mut coarseness = Coarseness::new(&options);
            let told =
                std::iter::repeat_with(|| coarseness.fits(|| 40)).find_map(Result::err).unwrap().to_string();
            for key in ["max_bytes", "finish.fill_holes_m2", "min_area_m2", "largest_only"] {
                assert!(told.contains(key), "{key}: {told}");
            }
            assert_eq!(told.contains("\"simplified\""), on_too_large == OnTooLarge::Error, "{told}");
        }
        let mut asked = OutputOptions { max_bytes: Some(1), largest_only: true, ..OutputOptions::default() };
        asked.finish.fill_holes_m2 = 2.0;
        let mut coarseness = Coarseness::new(&asked);
        let told =
            std::iter::repeat_with(|| coarseness.fits(|| 40)).find_map(Result::err).unwrap().to_string();
        assert!(told.ends_with("a larger max_bytes; a larger finish.fill_holes_m2"), "{told}");
    }
}
