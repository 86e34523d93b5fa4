//! A file in which a few bytes read as others. The `tiff` crate refuses palettes and masks for their photometric
//! interpretation alone; with that one tag read as "gray", it decodes both.

use std::io::{Read, Result, Seek, SeekFrom};

pub(super) struct Disguised<R> {
    inner: R,
    position: u64,
    /// Places, and the two bytes that are read there.
    places: Vec<(u64, [u8; 2])>,
}

impl<R: Read + Seek> Disguised<R> {
    /// From the beginning of a file.
    pub(super) fn new(inner: R, places: Vec<(u64, [u8; 2])>) -> Self {
        Self { inner, position: 0, places }
    }
}

impl<R: Read> Read for Disguised<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let count = self.inner.read(buffer)?;
        for &(place, bytes) in &self.places {
            for (at, byte) in (place..).zip(bytes) {
                let target = at.checked_sub(self.position).and_then(|i| usize::try_from(i).ok());
                if let Some(target) = target.filter(|&i| i < count).and_then(|i| buffer.get_mut(i)) {
                    *target = byte;
                }
            }
        }
        self.position += count as u64;
        Ok(count)
    }
}

impl<R: Seek> Seek for Disguised<R> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.position = self.inner.seek(to)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_exchanged_wherever_reading_begins_and_ends() {
        let mut expected: Vec<u8> = (0..20).collect();
        (expected[5], expected[6]) = (100, 101);
        for start in 0..8 {
            for size in 1..6 {
                let original: Vec<u8> = (0..20).collect();
                let mut file = Disguised::new(std::io::Cursor::new(original), vec![(5, [100, 101])]);
                file.seek(SeekFrom::Start(start)).unwrap();
                let mut read: Vec<u8> = Vec::new();
                let mut buffer = vec![0; size];
                loop {
                    let count = file.read(&mut buffer).unwrap();
                    if count == 0 {
                        break;
                    }
                    read.extend(&buffer[..count]);
                }
                assert_eq!(read, expected[start as usize..], "from {start} by {size}");
            }
        }
    }
}
