//! Parquet's hybrid of runs and bit-packed groups, in which levels and dictionary indices are stored.
//!
//! Source: "Run Length Encoding / Bit-Packing Hybrid" in `Encodings.md` of the Apache Parquet format.

/// The bytes end before the values do, or a run is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its runs are damaged")]
pub(super) struct DamagedRuns;

/// A position in runs of numbers of `width` bits. The bytes are handed to every call, so that the page
/// they stand in can live beside the position.
#[derive(Debug, Clone, Copy)]
pub(super) struct Runs {
    width: u32,
    /// The next byte that belongs to no run yet.
    position: usize,
    end: usize,
    /// Numbers left in the run of one number, and the number.
    repeated: u64,
    number: u32,
    /// Numbers left in the bit-packed groups, and the bit at which the next begins.
    packed: u64,
    bit: usize,
}

impl Runs {
    /// The runs in `position..end` of a page.
    pub(super) const fn new(width: u8, position: usize, end: usize) -> Result<Self, DamagedRuns> {
        if width > 32 {
            return Err(DamagedRuns);
        }
        Ok(Self { width: width as u32, position, end, repeated: 0, number: 0, packed: 0, bit: 0 })
    }

    /// The next number.
    pub(super) fn next(&mut self, page: &[u8]) -> Result<u32, DamagedRuns> {
        loop {
            if self.repeated > 0 {
                self.repeated -= 1;
                return Ok(self.number);
            }
            if self.packed > 0 {
                self.packed -= 1;
                return self.unpack(page);
            }
            self.start_run(page)?;
        }
    }

    /// How many of the next `count` numbers, from the first on, equal `number`.
    pub(super) fn count_leading(
        &mut self,
        page: &[u8],
        number: u32,
        count: usize,
    ) -> Result<usize, DamagedRuns> {
        let mut seen = 0;
        while seen < count {
            if self.repeated > 0 && self.number == number {
                let step = self.repeated.min((count - seen) as u64);
                self.repeated -= step;
                // The step is at most `count`.
                seen += step as usize;
            } else if self.next(page)? == number {
                seen += 1;
            } else {
                break;
            }
        }
        Ok(seen)
    }

    fn start_run(&mut self, page: &[u8]) -> Result<(), DamagedRuns> {
        let bytes = page.get(..self.end).ok_or(DamagedRuns)?;
        let mut head = 0_u64;
        for shift in (0..35).step_by(7) {
            let byte = *bytes.get(self.position).ok_or(DamagedRuns)?;
            self.position += 1;
            head |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return self.enter_run(bytes, head);
            }
        }
        Err(DamagedRuns)
    }

    fn enter_run(&mut self, bytes: &[u8], head: u64) -> Result<(), DamagedRuns> {
        let count = head >> 1;
        if count == 0 {
            return Err(DamagedRuns);
        }
        if head & 1 == 1 {
            self.packed = count * 8;
            self.bit = self.position * 8;
            // The last group may be cut where its values are not needed.
            let length = usize::try_from(count * u64::from(self.width)).map_err(|_| DamagedRuns)?;
            self.position = self.position.saturating_add(length).min(self.end);
        } else {
            let length = self.width.div_ceil(8) as usize;
            let number = bytes.get(self.position..self.position + length).ok_or(DamagedRuns)?;
            self.number = number.iter().rev().fold(0, |n, &byte| n << 8 | u32::from(byte));
            self.repeated = count;
            self.position += length;
        }
        Ok(())
    }

    fn unpack(&mut self, page: &[u8]) -> Result<u32, DamagedRuns> {
        let (first, shift) = (self.bit / 8, self.bit % 8);
        self.bit += self.width as usize;
        let last = self.bit.div_ceil(8);
        if last > self.end {
            return Err(DamagedRuns);
        }
        // At most 32 bits from within a byte: five bytes.
        let bytes = page.get(first..last).ok_or(DamagedRuns)?;
        let number = bytes.iter().rev().fold(0_u64, |n, &byte| n << 8 | u64::from(byte));
        let mask = (1_u64 << self.width) - 1;
        Ok(((number >> shift) & mask) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_format_is_read() {
        // 0 to 7 with three bits each, then the number 5 four times.
        let bytes = [0x03, 0x88, 0xc6, 0xfa, 0x08, 0x05];
        let mut runs = Runs::new(3, 0, bytes.len()).unwrap();
        let numbers: Vec<_> = (0..12).map(|_| runs.next(&bytes).unwrap()).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 5, 5, 5, 5]);
        assert_eq!(runs.next(&bytes), Err(DamagedRuns));
    }

    #[test]
    fn leading_numbers_are_counted_over_both_kinds_of_runs() {
        // 1 ten times, then 1 1 1 0 ... bit-packed.
        let bytes = [0x14, 0x01, 0x03, 0b0000_0111];
        let mut runs = Runs::new(1, 0, bytes.len()).unwrap();
        assert_eq!(runs.count_leading(&bytes, 1, 18), Ok(13));
        let mut runs = Runs::new(1, 0, bytes.len()).unwrap();
        assert_eq!(runs.count_leading(&bytes, 1, 12), Ok(12));
    }

    #[test]
    fn zero_bits_mean_the_first_entry_always() {
        let bytes = [0x08];
        let mut runs = Runs::new(0, 0, 1).unwrap();
        assert_eq!((0..4).map(|_| runs.next(&bytes).unwrap()).max(), Some(0));
    }

    #[test]
    fn damaged_runs_are_errors() {
        for bytes in [&[][..], &[0x00], &[0xff; 6], &[0x02], &[0x03, 0x88]] {
            let mut runs = Runs::new(9, 0, bytes.len()).unwrap();
            let result: Result<Vec<_>, _> = (0..16).map(|_| runs.next(bytes)).collect();
            assert_eq!(result, Err(DamagedRuns), "{bytes:?}");
        }
        assert!(Runs::new(33, 0, 0).is_err());
    }
}
