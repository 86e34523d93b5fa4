//! The geometry of a prompt in a folder's CRS. How it is made from a request is the engine's affair.

use super::CatalogError;
use crate::geo::{Bounds, Told};

/// Where a prompt lies: points, a box, or both, in the CRS of the folder that is searched.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PromptGeometry {
    /// Foreground and background points as (x, y).
    pub points: Vec<(f64, f64)>,
    /// The box.
    pub bbox: Option<Bounds>,
}

impl PromptGeometry {
    /// The points, then the corners of the box.
    pub fn vertices(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let corners = self.bbox.into_iter().flat_map(|b| b.corners());
        self.points.iter().copied().chain(corners)
    }

    /// The smallest bounds around all; `None` where there is nothing.
    pub fn bounds(&self) -> Option<Bounds> {
        Bounds::around(self.vertices())
    }

    /// The point that a chip's centre should be near: the mean of the points where there is no box, else
    /// the centre of the bounds of all, as in geosam. `None` where there is nothing.
    pub fn center(&self) -> Option<(f64, f64)> {
        if self.bbox.is_some() {
            return Some(self.bounds()?.center());
        }
        let count = self.points.len();
        if count == 0 {
            return None;
        }
        let (x, y) = self.points.iter().fold((0.0, 0.0), |(sx, sy), (x, y)| (sx + x, sy + y));
        Some((x / count as f64, y / count as f64))
    }

    /// Checks that the prompt can be searched for; returns its bounds and centre.
    pub(super) fn check(&self) -> Result<(Bounds, (f64, f64)), CatalogError> {
        let bad = |problem: String| CatalogError::BadPrompt { problem };
        for (i, (x, y)) in self.points.iter().enumerate() {
            if !(x.is_finite() && y.is_finite()) {
                return Err(bad(format!("has point {i} at ({x}, {y}): coordinates must be finite numbers")));
            }
        }
        if let Some(b) = self.bbox {
            let [w, s, e, n] = b.into();
            if ![w, s, e, n].iter().all(|v| v.is_finite()) {
                return Err(bad(format!(
                    "has the box {w}, {s}, {e}, {n}: coordinates must be finite numbers"
                )));
            }
            if w > e || s > n {
                let [w, s, e, n] = [w, s, e, n].map(Told);
                return Err(bad(format!(
                    "has the box {w}, {s}, {e}, {n}: the order is west, south, east, north"
                )));
            }
        }
        let (Some(bounds), Some(center)) = (self.bounds(), self.center()) else {
            return Err(bad("has neither points nor a box; give one of them".to_owned()));
        };
        Ok((bounds, center))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_centre_is_the_mean_of_points_but_the_middle_of_a_box() {
        let mut prompt = PromptGeometry { points: vec![(0.0, 0.0), (0.0, 0.0), (3.0, 9.0)], bbox: None };
        assert_eq!(prompt.center(), Some((1.0, 3.0)));
        prompt.bbox = Some(Bounds::new(1.0, 1.0, 2.0, 2.0));
        assert_eq!(prompt.center(), Some((1.5, 4.5)), "centre of the bounds of all");
        prompt.points.clear();
        assert_eq!(prompt.center(), Some((1.5, 1.5)));
        assert_eq!(PromptGeometry::default().center(), None);
    }

    #[test]
    fn prompts_that_are_no_place_are_refused() {
        let point = |x, y| PromptGeometry { points: vec![(x, y)], bbox: None };
        let bbox = |b: [f64; 4]| PromptGeometry { points: vec![], bbox: Some(b.into()) };
        for (prompt, word) in [
            (PromptGeometry::default(), "neither"),
            (point(f64::NAN, 0.0), "finite"),
            (point(0.0, f64::INFINITY), "finite"),
            (bbox([0.0, 0.0, f64::NAN, 1.0]), "finite"),
            (bbox([2.0, 0.0, 1.0, 1.0]), "west, south, east, north"),
            (bbox([0.0, 2.0, 1.0, 1.0]), "west, south, east, north"),
        ] {
            let error = prompt.check().unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
            assert_eq!(error.code(), crate::ErrorCode::BadRequest);
        }
    }
}
