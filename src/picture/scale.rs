//! How long a metre is on a picture, and a scale bar of a round length.

use crate::geo::Crs;

/// Metres of a degree of latitude on a sphere of the Earth's mean radius.
const METRES_PER_DEGREE: f64 = 111_195.0;

/// Metres in one unit of x at a place of a CRS: of a degree along the parallel there, where it is geographic.
pub fn metres_per_unit(crs: &Crs, y: f64) -> f64 {
    crs.metres_per_unit().unwrap_or_else(|| METRES_PER_DEGREE * y.to_radians().cos())
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
    fn a_degree_gets_shorter_towards_the_pole() {
        let wgs84 = Crs::wgs84();
        assert!(metres_per_unit(&wgs84, 60.0) < 0.51 * metres_per_unit(&wgs84, 0.0));
        assert!((metres_per_unit(&Crs::from_epsg(32632).unwrap(), 5e6) - 1.0).abs() < 1e-12);
    }
}
