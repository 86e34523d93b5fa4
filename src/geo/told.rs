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
