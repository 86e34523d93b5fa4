//! Thrift's compact protocol, as far as a Parquet footer and its page headers need it: reading in
//! bounds. What the fields mean is known in `footer` and `page`.
//!
//! Source: the Apache Thrift page "Thrift Compact protocol encoding".

/// How deep structures may nest; Parquet's own go five deep.
const MAX_DEPTH: u8 = 16;

/// Why bytes are not the expected structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ThriftError {
    /// The bytes end inside a value. More bytes might help, where only a part was read.
    #[error("the structure is cut off")]
    CutOff,
    /// A number has too many bytes.
    #[error("a number has too many bytes")]
    LongNumber,
    /// A field has a type that the protocol does not know.
    #[error("field type {0} does not exist")]
    UnknownType(u8),
    /// A field has another type than Parquet gives it.
    #[error("a field has the wrong type")]
    WrongType,
    /// Structures nest deeper than Parquet's do.
    #[error("structures are nested too deep")]
    TooDeep,
    /// A list says that it has more elements than bytes follow.
    #[error("a list of {0} elements does not fit into the bytes that follow")]
    LongList(u64),
}

/// The type of a field or of a list's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A boolean; in a field the type itself holds the value.
    Bool(bool),
    Byte,
    /// 16, 32 or 64 bits, all written as zigzag varints.
    Int,
    Double,
    /// Bytes or text.
    Binary,
    /// A list or a set.
    List,
    Map,
    Struct,
    Uuid,
}

impl Kind {
    fn from_code(code: u8) -> Result<Self, ThriftError> {
        Ok(match code {
            1 => Self::Bool(true),
            2 => Self::Bool(false),
            3 => Self::Byte,
            4..=6 => Self::Int,
            7 => Self::Double,
            8 => Self::Binary,
            9 | 10 => Self::List,
            11 => Self::Map,
            12 => Self::Struct,
            13 => Self::Uuid,
            other => return Err(ThriftError::UnknownType(other)),
        })
    }
}

/// A reader over bytes that never goes past their end.
#[derive(Debug, Clone)]
pub(crate) struct CompactReader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> CompactReader<'a> {
    /// A reader at the first byte.
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// How many bytes were read so far.
    pub(crate) const fn position(&self) -> usize {
        self.position
    }

    fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    fn byte(&mut self) -> Result<u8, ThriftError> {
        let byte = *self.bytes.get(self.position).ok_or(ThriftError::CutOff)?;
        self.position += 1;
        Ok(byte)
    }

    fn advance(&mut self, count: u64) -> Result<(), ThriftError> {
        let count = usize::try_from(count).map_err(|_| ThriftError::CutOff)?;
        if count > self.remaining() {
            return Err(ThriftError::CutOff);
        }
        self.position += count;
        Ok(())
    }

    fn varint(&mut self) -> Result<u64, ThriftError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(ThriftError::LongNumber)
    }

    /// A signed number of any width.
    pub(crate) fn int(&mut self) -> Result<i64, ThriftError> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// The next field of a structure as (id, type), `None` at its end. `last` is the id of the field
    /// before, zero at first.
    pub(crate) fn field(&mut self, last: &mut i64) -> Result<Option<(i64, Kind)>, ThriftError> {
        let head = self.byte()?;
        if head == 0 {
            return Ok(None);
        }
        let kind = Kind::from_code(head & 0x0f)?;
        let id = match head >> 4 {
            0 => self.int()?,
            step => last.saturating_add(i64::from(step)),
        };
        *last = id;
        Ok(Some((id, kind)))
    }

    /// The head of a list as (elements, type of an element). Every element takes a byte at least, so
    /// the count is checked against the bytes that follow.
    pub(crate) fn list(&mut self) -> Result<(u64, Kind), ThriftError> {
        let head = self.byte()?;
        // An empty list may leave its element type out, as fastparquet does.
        if head == 0 {
            return Ok((0, Kind::Byte));
        }
        let kind = Kind::from_code(head & 0x0f)?;
        let count = match head >> 4 {
            15 => self.varint()?,
            few => u64::from(few),
        };
        if count > self.remaining() as u64 {
            return Err(ThriftError::LongList(count));
        }
        Ok((count, kind))
    }

    /// Steps over a field's value.
    pub(crate) fn skip(&mut self, kind: Kind) -> Result<(), ThriftError> {
        self.skip_to_depth(kind, MAX_DEPTH)
    }

    /// Steps over an element of a list.
    pub(crate) fn skip_element(&mut self, kind: Kind) -> Result<(), ThriftError> {
        match kind {
            // Alone in a list, a boolean is a byte.
            Kind::Bool(_) => self.advance(1),
            other => self.skip_to_depth(other, MAX_DEPTH),
        }
    }

    fn skip_to_depth(&mut self, kind: Kind, depth: u8) -> Result<(), ThriftError> {
        let below = depth.checked_sub(1).ok_or(ThriftError::TooDeep)?;
        match kind {
            Kind::Bool(_) => Ok(()),
            Kind::Byte => self.advance(1),
            Kind::Int => self.varint().map(drop),
            Kind::Double => self.advance(8),
            Kind::Uuid => self.advance(16),
            Kind::Binary => {
                let length = self.varint()?;
                self.advance(length)
            }
            Kind::List => {
                let (count, element) = self.list()?;
                for _ in 0..count {
                    match element {
                        Kind::Bool(_) => self.advance(1)?,
                        other => self.skip_to_depth(other, below)?,
                    }
                }
                Ok(())
            }
            // No structure of Parquet has a map.
            Kind::Map => Err(ThriftError::WrongType),
            Kind::Struct => {
                let mut last = 0;
                while let Some((_, field)) = self.field(&mut last)? {
                    self.skip_to_depth(field, below)?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_zigzag_varints() {
        for (bytes, number) in
            [(&[0][..], 0), (&[1], -1), (&[2], 1), (&[0xac, 0x02], 150), (&[0xab, 0x02], -150)]
        {
            assert_eq!(CompactReader::new(bytes).int(), Ok(number));
        }
        assert_eq!(CompactReader::new(&[0xff; 11]).int(), Err(ThriftError::LongNumber));
        assert_eq!(CompactReader::new(&[0x80]).int(), Err(ThriftError::CutOff));
    }

    #[test]
    fn a_list_longer_than_the_bytes_is_refused_before_it_is_walked() {
        // Two billion structures, in six bytes.
        let bytes = [0xfc, 0xff, 0xff, 0xff, 0xff, 0x07];
        assert!(matches!(CompactReader::new(&bytes).list(), Err(ThriftError::LongList(_))));
        // Two billion booleans.
        let bytes = [0xf1, 0xff, 0xff, 0xff, 0xff, 0x07];
        assert!(CompactReader::new(&bytes).skip(Kind::List).is_err());
    }

    #[test]
    fn an_empty_list_needs_no_element_type() {
        assert_eq!(CompactReader::new(&[0]).list(), Ok((0, Kind::Byte)));
        assert_eq!(CompactReader::new(&[0x0c]).list(), Ok((0, Kind::Struct)));
        assert_eq!(
            CompactReader::new(&[0x10, 0]).list(),
            Err(ThriftError::UnknownType(0)),
            "one element of no type"
        );
    }

    #[test]
    fn nesting_is_bounded() {
        // A list of one list of one list ...
        let bytes = [0x19; 4096];
        assert_eq!(CompactReader::new(&bytes).skip(Kind::List), Err(ThriftError::TooDeep));
    }
}
