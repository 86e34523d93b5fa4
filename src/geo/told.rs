//! Numbers in messages.

use std::fmt;

/// From here on a coordinate lies nowhere near the Earth, and its digits tell nothing.
const ALL_DIGITS_BELOW: f64 = 1e12;
/// What is smaller is told by its power of ten, where no digits are asked for.
const ALL_DIGITS_FROM: f64 = 1e-9;

/// A number as a message tells it: with the digits that are asked for (`{:.2}`), and by its power of ten where it has
/// more of them than anybody reads (`1e308`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Told(pub f64);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.abs();
        let is_short =
            size < ALL_DIGITS_BELOW && (size == 0.0 || size >= ALL_DIGITS_FROM || f.precision().is_some());
        if is_short || !size.is_finite() { fmt::Display::fmt(&self.0, f) } else { write!(f, "{:e}", self.0) }
    }
}

/// How lengths and positions in a CRS are told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ToldUnit<'a> {
    /// What it is called.
    pub name: &'a str,
    /// Digits behind the point: degrees need more of them than metres.
    pub digits: usize,
}

impl<'a> ToldUnit<'a> {
    /// The unit of a CRS, as far as it is known.
    pub fn of(unit: Option<&'a str>) -> Self {
        let name = unit.unwrap_or("units of the CRS");
        Self { name, digits: if name == "degrees" { 7 } else { 2 } }
    }

    /// A width and a height.
    pub fn size(self, (width, height): (f64, f64)) -> String {
        let Self { name, digits } = self;
        format!("{:.digits$} x {:.digits$} {name}", Told(width), Told(height))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_many_digits_is_told_by_its_power_of_ten() {
        for (number, told) in [
            (1e308, "1e308"),
            (-2.5e300, "-2.5e300"),
            (1e-300, "1e-300"),
            (0.0, "0"),
            (-0.0, "-0"),
            (47.65281208, "47.65281208"),
            (5_282_976.725, "5282976.725"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(Told(number).to_string(), told);
        }
        assert_eq!(format!("{:.2}", Told(5_282_976.725_8)), "5282976.73");
        assert_eq!(format!("{:.2}", Told(1e-300)), "0.00");
        assert_eq!(format!("{:.2}", Told(1e308)), "1e308");
    }
}
