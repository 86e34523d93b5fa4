//! CRSs whose x repeats itself after a whole turn around the globe: degrees, and maps on a cylinder, as Web Mercator is. Rasters
//! in them may go on beyond the end of the map, across the antimeridian.

use super::bounds::Bounds;
use super::crs::Crs;
use super::seam::degrees_of;
use super::transform::Transform;

/// Projections whose x depends on the longitude alone, and evenly.
const CYLINDERS: &[&str] = &["merc", "cea", "eqc", "mill"];

/// How x repeats itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Turn {
    /// What x grows by on the way around the globe.
    pub width: f64,
    /// The x of the central meridian.
    pub middle: f64,
}

impl Turn {
    /// Whether bounds go on beyond the end of the map.
    pub fn is_left_by(&self, bounds: &Bounds) -> bool {
        (bounds.min_x - self.middle) < -self.width / 2.0 || (bounds.max_x - self.middle) > self.width / 2.0
    }
}

impl Crs {
    /// The turn of its x; `None` where x does not repeat itself.
    pub fn turn(&self) -> Option<Turn> {
        if self.is_geographic() {
            return Some(Turn { width: 360.0, middle: 0.0 });
        }
        if !CYLINDERS.contains(&self.parameter("+proj")?) {
            return None;
        }
        let central: f64 = self.parameter("+lon_0").map_or(Ok(0.0), str::parse).ok()?;
        let forward = Transform::new(&degrees_of(self).ok()?, self).ok()?;
        let (middle, _) = forward.point(central, 0.0).ok()?;
        let (quarter, _) = forward.point(central + 90.0, 0.0).ok()?;
        Some(Turn { width: 4.0 * (quarter - middle), middle }).filter(|turn| turn.width > 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degrees_and_cylinders_repeat_themselves_and_other_maps_do_not() {
        let turn = |code| Crs::from_epsg(code).unwrap().turn();
        assert_eq!(turn(4326), Some(Turn { width: 360.0, middle: 0.0 }));
        // The equator of Web Mercator's sphere.
        let web = turn(3857).unwrap();
        assert!((web.width - 2.0 * std::f64::consts::PI * 6_378_137.0).abs() < 1e-6 && web.middle == 0.0);
        // PDC Mercator, around 150 degrees east, and the cylinder of equal areas on 30 degrees.
        assert!((turn(3832).unwrap().width - web.width).abs() < 1e-6);
        assert!((turn(6933).unwrap().width / 2.0 - 17_367_530.445).abs() < 1e-2);
        for code in [32601, 3413, 8857, 5070] {
            assert_eq!(turn(code), None, "EPSG:{code}");
        }
        let beyond = Bounds::new(20_037_000.0, 0.0, 20_038_000.0, 1.0);
        assert!(web.is_left_by(&beyond) && !web.is_left_by(&Bounds::new(0.0, 0.0, 20_037_508.0, 1.0)));
    }
}
