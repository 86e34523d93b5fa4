//! Where a text is not UTF-8, told so that whoever saved it in another encoding knows what happened.

use std::fmt;

/// The first byte of a text that is not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotUtf8 {
    /// The line that it is in, from 1.
    pub line: u64,
    /// Its place in the line in bytes, from 1.
    pub column: u64,
    /// The byte.
    pub byte: u8,
}

impl NotUtf8 {
    /// The first such byte; `None` where all is UTF-8.
    pub fn find(text: &[u8]) -> Option<Self> {
        let valid = std::str::from_utf8(text).err()?.valid_up_to();
        let before = &text[..valid];
        let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
        Some(Self {
            line: before.iter().filter(|&&byte| byte == b'\n').count() as u64 + 1,
            column: (valid - line_start) as u64 + 1,
            byte: text.get(valid).copied().unwrap_or_default(),
        })
    }
}

impl fmt::Display for NotUtf8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte 0x{:02X}", self.byte)?;
        // The letters of Windows-1252 are those of Latin-1: most such texts come from there.
        if self.byte >= 0xC0 {
            write!(f, " ({} in Windows-1252)", char::from(self.byte))?;
        }
        f.write_str(" is not UTF-8")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_that_is_not_utf8_is_told_with_its_line() {
        assert_eq!(NotUtf8::find("a\nMühle".as_bytes()), None);
        let found = NotUtf8::find(b"lon,lat,name\r\n9,47,a\r\n9,47,M\xFChle\xE4\r\n").unwrap();
        assert_eq!((found.line, found.column), (3, 7));
        assert_eq!(found.to_string(), "byte 0xFC (ü in Windows-1252) is not UTF-8");
        // A letter that is cut off, and a mark of no letter.
        assert_eq!(NotUtf8::find(b"M\xC3").unwrap().column, 2);
        assert_eq!(NotUtf8::find(b"\x93quoted\x94").unwrap().to_string(), "byte 0x93 is not UTF-8");
    }
}
