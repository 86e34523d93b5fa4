//! From masks to the features of an answer: polygons drawn (`outlines`), projected, measured, filtered, and made to fit.

use std::borrow::Cow;

use super::EngineError;
use super::around::around_both;
use super::fit::{Coarseness, written_bytes};
use super::folder::ServedFolder;
use super::outlines::Drawing;
use super::ways::{Ways, Written};
use crate::api::{
    ChipSide, CrsChoice, Feature, FeatureCollection, LegacyCrs, MaskProperties, MaskReport, OutlineReport,
    OutputOptions, RightAngles,
};
use crate::geo::{Affine, Bounds, Geometry, Measures, Projector, geodesic_area, measures};
use crate::mask::{Mask, PixelPolygon};

/// EPSG code of longitude and latitude on WGS84, the CRS of RFC 7946.
const WGS84: u32 = 4326;

/// A mask with its polygons, ready to be drawn in any way that a request may ask for.
#[derive(Debug, Clone)]
pub(super) struct DrawnMask {
    pub score: f32,
    pub pixels: u64,
    pub polygons: Vec<PixelPolygon>,
    /// The sides of its one chip that it reaches.
    pub cut_at: Vec<ChipSide>,
}

impl DrawnMask {
    /// A mask of one chip, in the chip's shape.
    pub fn new(score: f32, mask: &Mask) -> Self {
        Self::of(score, mask, crate::mask::polygonize(mask))
    }

    /// The same, with its polygons.
    pub fn of(score: f32, mask: &Mask, polygons: Vec<PixelPolygon>) -> Self {
        let cut_at = cut_at(&polygons, mask.height(), mask.width());
        Self { score, pixels: mask.count(), polygons, cut_at }
    }
}

/// The sides of a chip that polygons reach.
fn cut_at(polygons: &[PixelPolygon], height: usize, width: usize) -> Vec<ChipSide> {
    let reaches = |side: ChipSide| {
        polygons.iter().map(|polygon| polygon.bounds).any(|bounds| match side {
            ChipSide::Top => bounds.min_y == 0,
            ChipSide::Right => bounds.max_x as usize == width,
            ChipSide::Bottom => bounds.max_y as usize == height,
            ChipSide::Left => bounds.min_x == 0,
        })
    };
    let sides = [ChipSide::Top, ChipSide::Right, ChipSide::Bottom, ChipSide::Left];
    sides.into_iter().filter(|&side| reaches(side)).collect()
}

/// A mask as one object of a map.
#[derive(Debug, Clone)]
pub struct MaskObject {
    /// All its parts, valid as a whole.
    pub geometry: Geometry,
    /// The model's own estimate of its IoU; may lie outside 0..1.
    pub score: f32,
    /// Geodesic area of the geometry on the WGS84 ellipsoid; absent where the CRS cannot be taken to WGS84.
    pub area_m2: Option<f64>,
    /// Mask pixels inside it.
    pub pixels: u64,
    /// Whether a part touches the edge of the chip, so that the object may go on beyond.
    pub touches_chip_edge: bool,
    /// Tolerance of simplification in source pixels, where it was simplified.
    pub tolerance: Option<f64>,
    /// What else is told of it, where the request asks for it.
    pub report: OutlineReport,
}

/// Positions along a side of a chip whose bounds are wanted: a straight side bulges in another CRS.
const ALONG_A_SIDE: i32 = 16;

/// Writes the masks of one chip.
pub(super) struct Writer<'a> {
    folder: &'a ServedFolder,
    chip_id: &'a str,
    affine: Affine,
    /// The EPSG code to write in; `None` for the folder's own coordinates.
    target: Option<u32>,
    ways: Ways,
    is_wgs84: bool,
    legacy_crs: Option<LegacyCrs>,
}

impl<'a> Writer<'a> {
    /// A writer into the output CRS, with ways that an earlier one of the same chip and CRS has left.
    ///
    /// # Errors
    /// An output CRS that is not supported.
    pub fn new(
        folder: &'a ServedFolder,
        chip: usize,
        choice: CrsChoice,
        known: Option<Ways>,
    ) -> Result<Self, EngineError> {
        let affine = folder.chip(chip)?.affine;
        Self::with(folder, chip, affine, choice, known)
    }

    /// A writer of masks over several chips, whose pixels are those of `affine`. The features name `chip`.
    ///
    /// # Errors
    /// As [`Writer::new`].
    pub fn over(
        folder: &'a ServedFolder,
        chip: usize,
        affine: Affine,
        choice: CrsChoice,
    ) -> Result<Self, EngineError> {
        Self::with(folder, chip, affine, choice, None)
    }

    fn with(
        folder: &'a ServedFolder,
        chip: usize,
        affine: Affine,
        choice: CrsChoice,
        known: Option<Ways>,
    ) -> Result<Self, EngineError> {
        let chip = folder.chip(chip)?;
        let own = folder.folder.crs();
        // The folder's own coordinates need no transformation, and so no support of its CRS.
        let target = match choice {
            CrsChoice::Epsg(code) if !own.is_called(code) => Some(code),
            CrsChoice::Epsg(_) | CrsChoice::Source => None,
        };
        let is_wgs84 = target.or(own.epsg) == Some(WGS84);
        let named = |code: u32| LegacyCrs { name: format!("urn:ogc:def:crs:EPSG::{code}") };
        let name = || target.or(own.epsg).map_or_else(|| LegacyCrs { name: own.text.clone() }, named);
        let legacy_crs = (!is_wgs84).then(name);
        let ways = match known {
            Some(ways) => ways,
            None => Ways::new(folder, affine, target, is_wgs84)?,
        };
        Ok(Self { folder, chip_id: chip.id, affine, target, ways, is_wgs84, legacy_crs })
    }

    /// The grid of the pixels that it writes.
    pub(super) const fn affine(&self) -> Affine {
        self.affine
    }

    /// The same ways over another grid of the same place.
    pub(super) fn ways_over(&self, affine: Affine) -> Result<Ways, EngineError> {
        Ways::new(self.folder, affine, self.target, self.is_wgs84)
    }

    /// The way to longitude and latitude on WGS84, where there is one.
    pub(super) const fn way_to_degrees(&mut self) -> Option<&mut Projector> {
        if self.is_wgs84 { Some(&mut self.ways.to_output) } else { self.ways.to_wgs84.as_mut() }
    }

    /// The CRS of what it writes, where that is not WGS84.
    pub const fn crs(&self) -> Option<&LegacyCrs> {
        self.legacy_crs.as_ref()
    }

    /// Bounds of a chip of this shape, the writer's own, in the output CRS.
    ///
    /// # Errors
    /// Coordinates that cannot be transformed.
    pub fn chip_bbox(&mut self, (height, width): (usize, usize)) -> Result<[f64; 4], EngineError> {
        if let Some(known) = self.ways.outline {
            return Ok(known);
        }
        let (height, width) = (height as i32, width as i32);
        let along = |length: i32| {
            (0..ALONG_A_SIDE)
                .map(move |k| (i64::from(length) * i64::from(k) / i64::from(ALONG_A_SIDE)) as i32)
        };
        let mut ring: Vec<[i32; 2]> = along(width).map(|x| [x, 0]).collect();
        ring.extend(along(height).map(|y| [width, y]));
        ring.extend(along(width).map(|x| [width - x, height]));
        ring.extend(along(height).map(|y| [0, height - y]));
        ring.dedup();
        ring.push([0, 0]);
        let outline =
            self.ways.to_output.polygon(&ring, std::iter::empty()).map_err(EngineError::OutputCrs)?;
        Ok(*self.ways.outline.insert(outline.bounds.into()))
    }

    /// The ways as they have learnt, for the next writer of this chip and CRS.
    pub fn into_ways(self) -> Ways {
        self.ways
    }

    /// The features of all masks.
    ///
    /// # Errors
    /// Coordinates that cannot be transformed, or an answer that does not fit.
    pub fn write(
        &mut self,
        masks: &[DrawnMask],
        options: &OutputOptions,
    ) -> Result<FeatureCollection, EngineError> {
        let wanted = masks.iter().map(|mask| self.wanted(mask, options)).collect::<Result<Vec<_>, _>>()?;
        let mut coarseness = Coarseness::new(options);
        loop {
            let collection = self.write_as(masks, &wanted, options, coarseness.tolerance())?;
            if coarseness.fits(|| written_bytes(&collection))? {
                return Ok(collection);
            }
        }
    }

    fn write_as(
        &mut self,
        masks: &[DrawnMask],
        wanted: &[Cow<'_, [PixelPolygon]>],
        options: &OutputOptions,
        tolerance: Option<f64>,
    ) -> Result<FeatureCollection, EngineError> {
        let mut features = Vec::new();
        let mut bounds: Option<Bounds> = None;
        let geographic = self.ways.to_output.is_geographic();
        for (index, (mask, wanted)) in masks.iter().zip(wanted).enumerate() {
            let Drawing { outlines, right_angles, mut ways } = self.draw(wanted, options, tolerance)?;
            for ((polygon, rings), right_angles) in wanted.iter().zip(outlines).zip(right_angles) {
                let Written { projected, degrees } = ways.as_mut().unwrap_or(&mut self.ways).write(&rings)?;
                let measured = if self.is_wgs84 { Some(&projected.geometry) } else { degrees.as_ref() };
                let area_m2 = measured.map(geodesic_area);
                if area_m2.is_some_and(|area| area < options.min_area_m2) {
                    continue;
                }
                let report = report(measured.filter(|_| options.measures), right_angles);
                let around = |b: Bounds| around_both(&b, &projected.bounds, geographic);
                bounds = Some(bounds.map_or(projected.bounds, around));
                features.push(self.feature(
                    index,
                    MaskObject {
                        geometry: projected.geometry,
                        score: mask.score,
                        area_m2: area_m2.map(hundredths),
                        pixels: polygon.pixels,
                        touches_chip_edge: polygon.touches_edge,
                        tolerance,
                        report,
                    },
                ));
            }
        }
        Ok(FeatureCollection { bbox: bounds.map(Into::into), crs: self.legacy_crs.clone(), features })
    }

    /// Each mask that has polygons as one Feature, in their order: see [`Writer::write_object`].
    ///
    /// # Errors
    /// As there.
    pub fn write_objects(
        &mut self,
        masks: &[DrawnMask],
        options: &OutputOptions,
    ) -> Result<Vec<Feature>, EngineError> {
        let mut features = Vec::with_capacity(masks.len());
        for (index, mask) in masks.iter().enumerate() {
            // The bound is for an answer as a whole.
            let options = OutputOptions { max_bytes: None, ..*options };
            if let Some(object) = self.write_object(mask, &options, |_| 0)? {
                features.push(self.feature(index, object));
            }
        }
        Ok(features)
    }

    /// What is known of a part of mask `index`, or of all of it, as a Feature.
    fn feature(&self, index: usize, object: MaskObject) -> Feature {
        let properties = MaskProperties {
            mask: index,
            score: object.score,
            chip_id: self.chip_id.to_owned(),
            folder: self.folder.name.clone(),
            model: self.folder.folder.checkpoint().to_owned(),
            model_type: self.folder.folder.family(),
            area_m2: object.area_m2,
            pixels: object.pixels,
            touches_chip_edge: object.touches_chip_edge,
            tolerance: object.tolerance,
            report: object.report,
        };
        Feature { geometry: object.geometry, properties }
    }

    /// One mask as one object: its parts are simplified together, and make one geometry that is valid as a whole. `None` for
    /// a mask without polygons. `bytes` measures what is written of it.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub fn write_object(
        &mut self,
        mask: &DrawnMask,
        options: &OutputOptions,
        bytes: impl Fn(&MaskObject) -> usize,
    ) -> Result<Option<MaskObject>, EngineError> {
        let wanted = self.wanted(mask, options)?;
        let mut coarseness = Coarseness::new(options);
        loop {
            let Some(object) = self.object_as(mask.score, &wanted, options, coarseness.tolerance())? else {
                return Ok(None);
            };
            if coarseness.fits(|| bytes(&object))? {
                return Ok(Some(object));
            }
        }
    }

    fn object_as(
        &mut self,
        score: f32,
        wanted: &[PixelPolygon],
        options: &OutputOptions,
        tolerance: Option<f64>,
    ) -> Result<Option<MaskObject>, EngineError> {
        let (mut parts, mut in_degrees) = (Vec::new(), Vec::new());
        let (mut pixels, mut touches_chip_edge) = (0, false);
        let Drawing { outlines, right_angles, mut ways } = self.draw(wanted, options, tolerance)?;
        // An object has right angles where all its parts have them.
        let mut square: Option<RightAngles> = None;
        for ((polygon, rings), right_angles) in wanted.iter().zip(outlines).zip(right_angles) {
            let Written { projected, degrees } = ways.as_mut().unwrap_or(&mut self.ways).write(&rings)?;
            let measured = if self.is_wgs84 { Some(&projected.geometry) } else { degrees.as_ref() };
            if measured.is_some_and(|geometry| geodesic_area(geometry) < options.min_area_m2) {
                continue;
            }
            parts.push(projected.geometry);
            in_degrees.extend(degrees);
            pixels += polygon.pixels;
            touches_chip_edge |= polygon.touches_edge;
            square = square.max(right_angles);
        }
        if parts.is_empty() {
            return Ok(None);
        }
        let geometry = self.ways.to_output.joined(parts);
        let degrees = self.ways.to_wgs84.as_ref().map(|way| way.joined(in_degrees));
        let measured = if self.is_wgs84 { Some(&geometry) } else { degrees.as_ref() };
        let area_m2 = measured.map(|geometry| hundredths(geodesic_area(geometry)));
        let report = report(measured.filter(|_| options.measures), square);
        Ok(Some(MaskObject { geometry, score, area_m2, pixels, touches_chip_edge, tolerance, report }))
    }
}

/// What is told of an outline that a request asks to be measured, and to have right angles.
fn report(measured: Option<&Geometry>, right_angles: Option<RightAngles>) -> OutlineReport {
    let Some(Measures { perimeter, orientation, elongation }) = measured.and_then(measures) else {
        return OutlineReport { right_angles, ..OutlineReport::default() };
    };
    OutlineReport {
        right_angles,
        perimeter_m: Some(hundredths(perimeter)),
        // 179.999 lies as 0 does.
        orientation_deg: Some(hundredths(orientation) % 180.0),
        elongation: Some(hundredths(elongation)),
    }
}

fn hundredths(v: f64) -> f64 {
    (v * 100.0).round() / 100.0
}

/// The tolerance that a request asks for before anything has to fit.
pub(super) fn asked_tolerance(options: &OutputOptions) -> Option<f64> {
    options.simplification()
}

/// One entry a mask, also where it is empty.
pub(super) fn reports(masks: &[DrawnMask], chip_id: &str) -> Vec<MaskReport> {
    let report = |(index, mask): (usize, &DrawnMask)| MaskReport {
        index,
        score: mask.score,
        pixels: mask.pixels,
        chip_id: chip_id.to_owned(),
        cut_at: mask.cut_at.clone(),
    };
    masks.iter().enumerate().map(report).collect()
}
