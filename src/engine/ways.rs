//! The ways from pixels to the coordinates of an answer, and to the longitude and latitude that areas are measured in.

use super::EngineError;
use super::folder::ServedFolder;
use crate::geo::{Affine, Crs, Geometry, Projected, Projector};
use crate::mask::PixelRings;

/// The ways from the pixels of one chip to coordinates. They learn as they are used.
#[derive(Debug, Clone)]
pub(super) struct Ways {
    pub to_output: Projector,
    /// To longitude and latitude, for areas; `None` where the output has them already, or where the
    /// folder's CRS is not supported.
    pub to_wgs84: Option<Projector>,
    /// Bounds of the chip in the output CRS, once they were asked for.
    pub outline: Option<[f64; 4]>,
}

/// A polygon as it is written.
pub(super) struct Written {
    pub projected: Projected,
    /// The same in longitude and latitude, where that is another thing and can be had.
    pub degrees: Option<Geometry>,
}

impl Ways {
    /// From the pixels of a grid in a folder's CRS to a target, or to the folder's own coordinates.
    ///
    /// # Errors
    /// A CRS that is not supported, or a grid that is degenerate.
    pub fn new(
        folder: &ServedFolder,
        affine: Affine,
        target: Option<u32>,
        is_wgs84: bool,
    ) -> Result<Self, EngineError> {
        let to_output = match target {
            Some(code) => {
                let to = Crs::from_epsg(code).map_err(EngineError::OutputCrs)?;
                Projector::new(affine, folder.crs()?, &to)?
            }
            None => Projector::untransformed(affine, folder.crs().ok()),
        };
        let to_wgs84 = match folder.crs() {
            Ok(source) if !is_wgs84 => Projector::new(affine, source, &Crs::wgs84()).ok(),
            _ => None,
        };
        Ok(Self { to_output, to_wgs84, outline: None })
    }

    /// A polygon, in the output CRS and in degrees.
    ///
    /// # Errors
    /// Coordinates that cannot be transformed.
    pub fn write(&mut self, rings: &PixelRings) -> Result<Written, EngineError> {
        let projected = self.to_output.polygon(rings.exterior(), rings.holes());
        let projected = projected.map_err(EngineError::OutputCrs)?;
        let to_wgs84 = self.to_wgs84.as_mut();
        let degrees = to_wgs84.map(|way| way.polygon(rings.exterior(), rings.holes())).transpose()?;
        Ok(Written { projected, degrees: degrees.map(|projected| projected.geometry) })
    }

    /// Blocks learnt, half a kilobyte each at the most.
    pub fn blocks(&self) -> usize {
        self.to_output.blocks() + self.to_wgs84.as_ref().map_or(0, Projector::blocks)
    }
}
