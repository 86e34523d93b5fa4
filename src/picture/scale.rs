//! How long a metre is on a picture, and a scale bar of a round length.

use crate::catalog::ChipRef;
use crate::geo::{Crs, Transform};

/// Semi-major axis of WGS84 in metres, and its first eccentricity squared.
const A: f64 = 6_378_137.0;
const E2: f64 = 0.006_694_379_990_141_316;

/// Metres on the ground between two places of a CRS that lie near each other, as pixels do: what units of the CRS are
/// worth there (EPSG:3857 stretches them by one over the cosine of the latitude). `None` where they cannot be taken to
/// WGS84.
pub fn ground_distance(crs: &Crs, from: (f64, f64), to: (f64, f64)) -> Option<f64> {
    let to_wgs84 = Transform::new(crs, &Crs::wgs84()).ok()?;
    let (a, b) = (to_wgs84.point(from.0, from.1).ok()?, to_wgs84.point(to.0, to.1).ok()?);
    let (sin, cos) = ((a.1 + b.1) / 2.0).to_radians().sin_cos();
    // Radii of curvature along the parallel and the meridian.
    let w2 = 1.0 - E2 * sin * sin;
    let (prime_vertical, meridian) = (A / w2.sqrt(), A * (1.0 - E2) / w2.powf(1.5));
    // The shorter way round.
    let across = ((b.0 - a.0 + 180.0).rem_euclid(360.0) - 180.0).to_radians();
    let distance = (across * prime_vertical * cos).hypot((b.1 - a.1).to_radians() * meridian);
    (distance.is_finite() && distance > 0.0).then_some(distance)
}

/// Metres on the ground along a row from one pixel of a chip to the next, in its middle.
pub fn metres_per_pixel(crs: &Crs, chip: &ChipRef<'_>) -> Option<f64> {
    let (row, column) = (chip.shape.0 as f64 / 2.0, chip.shape.1 as f64 / 2.0);
    ground_distance(crs, chip.affine.apply(column - 0.5, row), chip.affine.apply(column + 0.5, row))
}

/// A length to draw, and how it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct ScaleBar {
    /// Length in metres.
    pub metres: f64,
    /// For example `50 m`.
    pub label: String,
}

impl ScaleBar {
    /// The longest bar of 1, 2 or 5 times a power of ten that is not longer than `most` metres; `None` where
    /// that is shorter than a centimetre, longer than the Earth, or no number.
    pub fn within(most: f64) -> Option<Self> {
        if !(0.01..=4.1e7).contains(&most) {
            return None;
        }
        let power = 10_f64.powf(most.log10().floor());
        let metres = [5.0, 2.0, 1.0].into_iter().map(|n| n * power).find(|&m| m <= most)?;
        let label = if metres >= 1000.0 {
            format!("{} km", (metres / 1000.0).round())
        } else if metres >= 0.9 {
            format!("{} m", metres.round())
        } else {
            format!("{} cm", (metres * 100.0).round())
        };
        Some(Self { metres, label })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_the_longest_round_length_that_fits() {
        let label = |most| ScaleBar::within(most).map(|bar| bar.label);
        for (most, expected) in
            [(128.0, "100 m"), (99.0, "50 m"), (2500.0, "2 km"), (1.0, "1 m"), (0.3, "20 cm")]
        {
            assert_eq!(label(most).as_deref(), Some(expected));
        }
        for most in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9] {
            assert_eq!(label(most), None);
        }
    }

    #[test]
    fn distances_are_those_on_the_ground() {
        // By pyproj.Geod (WGS84) of the same two places.
        for (code, from, to, expected) in [
            (4326, (9.0, 60.0), (9.001, 60.0), 55.8001),
            (4326, (9.0, 0.0), (9.0, 0.001), 110.5743),
            (3857, (1e6, 8_399_737.889_818_357), (1_000_100.0, 8_399_737.889_818_357), 50.125_7),
            (32632, (500_000.0, 5_278_000.0), (500_100.0, 5_278_000.0), 100.04),
        ] {
            let found = ground_distance(&Crs::from_epsg(code).unwrap(), from, to).unwrap();
            assert!((found / expected - 1.0).abs() < 2e-5, "EPSG:{code}: {found} for {expected}");
        }
    }
}
