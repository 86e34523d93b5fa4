//! The outlines of a mask as a request wants them: small holes filled, polygons chosen, and drawn along pixel corners, or on parts
//! of a pixel where they are smoothed or get right angles.

use std::borrow::Cow;

use super::EngineError;
use super::answer::{DrawnMask, Writer};
use super::ways::Ways;
use crate::api::{OutputOptions, RightAngles};
use crate::geo::geodesic_area;
use crate::mask::{PixelPolygon, PixelRings, Simplifier};
use crate::outline::{self, Shaping};

/// The outlines of one mask, one a polygon, and the way from their coordinates.
pub(super) struct Drawing<'a> {
    pub outlines: Vec<Cow<'a, PixelRings>>,
    /// For each, whether it has right angles, where they were asked for.
    pub right_angles: Vec<Option<RightAngles>>,
    /// The way from parts of a pixel; `None` where the outlines are on pixel corners.
    pub ways: Option<Ways>,
}

impl Writer<'_> {
    /// The polygons of a mask that a request asks for: all, or the largest, without small holes.
    ///
    /// # Errors
    /// Coordinates that cannot be transformed.
    pub(super) fn wanted<'m>(
        &mut self,
        mask: &'m DrawnMask,
        options: &OutputOptions,
    ) -> Result<Cow<'m, [PixelPolygon]>, EngineError> {
        let smallest = options.finish.fill_holes_m2;
        let polygons = if smallest > 0.0 {
            outline::filled(&mask.polygons, |hole| {
                Ok::<_, EngineError>(self.hole_area(hole)?.is_some_and(|area| area < smallest))
            })?
        } else {
            Cow::Borrowed(mask.polygons.as_slice())
        };
        if !options.largest_only {
            return Ok(polygons);
        }
        // Of equally large ones the first, as everywhere: `max_by_key` takes the last.
        let largest = polygons.iter().enumerate().rev().max_by_key(|(_, polygon)| polygon.pixels);
        let Some((index, _)) = largest else { return Ok(polygons) };
        Ok(match polygons {
            Cow::Borrowed(all) => Cow::Borrowed(&all[index..=index]),
            Cow::Owned(mut all) => Cow::Owned(vec![all.swap_remove(index)]),
        })
    }

    /// The geodesic area of a hole, where the CRS can be taken to WGS84.
    fn hole_area(&mut self, hole: &[[i32; 2]]) -> Result<Option<f64>, EngineError> {
        let Some(way) = self.way_to_degrees() else { return Ok(None) };
        let area = way.polygon(hole, std::iter::empty())?;
        Ok(Some(geodesic_area(&area.geometry)))
    }

    /// Draws polygons of one mask.
    ///
    /// # Errors
    /// A grid that cannot be used.
    pub(super) fn draw<'p>(
        &mut self,
        polygons: &'p [PixelPolygon],
        options: &OutputOptions,
        tolerance: Option<f64>,
    ) -> Result<Drawing<'p>, EngineError> {
        let rings: Vec<&PixelRings> = polygons.iter().map(|polygon| &polygon.rings).collect();
        let finish = &options.finish;
        if finish.smooth <= 0.0 && !finish.right_angles {
            let right_angles = vec![None; rings.len()];
            let outlines = match tolerance {
                None => polygons.iter().map(|polygon| Cow::Borrowed(&polygon.rings)).collect(),
                Some(tolerance) => {
                    // Together: one by one they might overlap.
                    let together = Simplifier::default().simplify_together(&rings, tolerance);
                    together.into_iter().map(Cow::Owned).collect()
                }
            };
            return Ok(Drawing { outlines, right_angles, ways: None });
        }
        let shaping = Shaping { tolerance, smooth: finish.smooth, right_angles: finish.right_angles };
        let plain = self.affine();
        let drawn = outline::draw(&rings, &shaping, |center, reach| {
            let on_the_ground = self.way_to_degrees().and_then(|way| way.metres_per_pixel(center, reach));
            // What the folder's own coordinates call right, where nobody knows where they are.
            on_the_ground.unwrap_or([[plain.a, plain.b], [plain.d, plain.e]])
        });
        let told = |kept: bool| if kept { RightAngles::Kept } else { RightAngles::NotFitting };
        let right_angles = drawn.outlines.iter().map(|outline| outline.right_angles.map(told)).collect();
        let ways = self.ways_over(plain.in_parts(drawn.grid.origin, drawn.grid.parts))?;
        let outlines = drawn.outlines.into_iter().map(|outline| Cow::Owned(outline.rings)).collect();
        Ok(Drawing { outlines, right_angles, ways: Some(ways) })
    }
}
