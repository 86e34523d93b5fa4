//! Reading one polygon of well-known binary. What it bounds is known in `footprint`.
//!
//! Understood are ISO WKB and PostGIS's EWKB, both byte orders, Z and M (dropped), and a MULTIPOLYGON of
//! one polygon. A footprint has no holes.
//!
//! Source: OGC 06-103r4, clause 8 (WKB); PostGIS manual, "EWKB".

/// The most vertices of a footprint; geosam writes four.
const MAX_VERTICES: usize = 4096;

/// Why bytes are not the polygon of a footprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WkbError {
    /// The bytes end too early.
    #[error("is cut off")]
    CutOff,
    /// The first byte is neither 0 nor 1.
    #[error("has byte order {0}, not 0 or 1")]
    ByteOrder(u8),
    /// Text: a manifest that went through CSV.
    #[error(
        "is text and no well-known binary, as where a manifest went through CSV; copy the manifest again from where it was encoded, \
         or write it with geopandas (GeoDataFrame.to_parquet)"
    )]
    Text,
    /// Another kind of geometry.
    #[error("is of WKB type {0}, not a polygon")]
    NotPolygon(u32),
    /// A multipolygon of none or several.
    #[error("has {0} polygons, not one")]
    Polygons(u32),
    /// No ring, or holes.
    #[error("has {0} rings, not one")]
    Rings(u32),
    /// Too few vertices for an area, or too many.
    #[error("has {0} vertices; 4 to {MAX_VERTICES} are possible")]
    Vertices(u32),
    /// The ring does not end where it began.
    #[error("has a ring that is not closed")]
    Open,
    /// A coordinate is not a number.
    #[error("has a coordinate that is not finite")]
    NotFinite,
    /// Bytes follow the polygon.
    #[error("goes on behind its polygon")]
    Trailing,
}

/// Reads a polygon's ring into `ring`, without the vertex that closes it: 3 vertices at least.
///
/// # Errors
/// Says what is not as a footprint should be; `ring` is then of no use.
pub fn read_polygon(bytes: &[u8], ring: &mut Vec<[f64; 2]>) -> Result<(), WkbError> {
    let mut reader = WkbReader { bytes, little: true };
    ring.clear();
    if bytes.len() > 1 && bytes.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        return Err(WkbError::Text);
    }
    let (kind, dimensions) = reader.head()?;
    match kind {
        3 => reader.polygon(dimensions, ring)?,
        6 => {
            let count = reader.u32()?;
            if count != 1 {
                return Err(WkbError::Polygons(count));
            }
            match reader.head()? {
                (3, dimensions) => reader.polygon(dimensions, ring)?,
                (other, _) => return Err(WkbError::NotPolygon(other)),
            }
        }
        other => return Err(WkbError::NotPolygon(other)),
    }
    if reader.bytes.is_empty() { Ok(()) } else { Err(WkbError::Trailing) }
}

struct WkbReader<'a> {
    bytes: &'a [u8],
    little: bool,
}

impl WkbReader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], WkbError> {
        let (head, rest) = self.bytes.split_first_chunk::<N>().ok_or(WkbError::CutOff)?;
        self.bytes = rest;
        Ok(*head)
    }

    fn u32(&mut self) -> Result<u32, WkbError> {
        let bytes = self.take()?;
        Ok(if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    fn f64(&mut self) -> Result<f64, WkbError> {
        let bytes = self.take()?;
        Ok(if self.little { f64::from_le_bytes(bytes) } else { f64::from_be_bytes(bytes) })
    }

    /// Byte order and type: the kind of geometry and how many numbers make a position.
    fn head(&mut self) -> Result<(u32, usize), WkbError> {
        let [order] = self.take()?;
        self.little = match order {
            0 => false,
            1 => true,
            other => return Err(WkbError::ByteOrder(other)),
        };
        let kind = self.u32()?;
        // EWKB has flags for Z, M and an SRID; ISO adds 1000 for Z, 2000 for M, 3000 for both.
        let (z, m, srid) = (kind >> 31 & 1, kind >> 30 & 1, kind >> 29 & 1);
        if srid == 1 {
            self.u32()?;
        }
        let iso = kind & 0x1fff_ffff;
        let iso_dimensions = match iso / 1000 {
            0 => 0,
            1 | 2 => 1,
            3 => 2,
            _ => return Err(WkbError::NotPolygon(kind)),
        };
        Ok((iso % 1000, 2 + iso_dimensions.max((z + m) as usize)))
    }

    fn polygon(&mut self, dimensions: usize, ring: &mut Vec<[f64; 2]>) -> Result<(), WkbError> {
        let rings = self.u32()?;
        if rings != 1 {
            return Err(WkbError::Rings(rings));
        }
        let vertices = self.u32()?;
        if !(4..=MAX_VERTICES as u32).contains(&vertices) {
            return Err(WkbError::Vertices(vertices));
        }
        if self.bytes.len() < vertices as usize * dimensions * 8 {
            return Err(WkbError::CutOff);
        }
        for _ in 0..vertices {
            let position = [self.f64()?, self.f64()?];
            for _ in 2..dimensions {
                self.f64()?;
            }
            if !position.iter().all(|v| v.is_finite()) {
                return Err(WkbError::NotFinite);
            }
            ring.push(position);
        }
        if ring.first() != ring.last() {
            return Err(WkbError::Open);
        }
        ring.pop();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::testing::{polygon_wkb, square_ring};

    fn read(bytes: &[u8]) -> Result<Vec<[f64; 2]>, WkbError> {
        let mut ring = Vec::new();
        read_polygon(bytes, &mut ring).map(|()| ring)
    }

    fn open_square() -> Vec<[f64; 2]> {
        square_ring()[..4].to_vec()
    }

    #[test]
    fn both_byte_orders_are_read() {
        assert_eq!(read(&polygon_wkb(&square_ring())), Ok(open_square()));
        let mut big = vec![0, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 5];
        big.extend(square_ring().iter().flatten().flat_map(|v| v.to_be_bytes()));
        assert_eq!(read(&big), Ok(open_square()));
    }

    #[test]
    fn z_and_m_and_srid_are_dropped() {
        for (kind, extra) in [
            (1003_u32, 1),
            (2003, 1),
            (3003, 2),
            (0x8000_0003, 1),
            (0x4000_0003, 1),
            (0xc000_0003, 2),
            (0xa000_0003, 1),
            (0x2000_0003, 0),
        ] {
            let mut bytes = vec![1];
            bytes.extend(kind.to_le_bytes());
            if kind >> 29 & 1 == 1 {
                bytes.extend(4326_u32.to_le_bytes());
            }
            bytes.extend(1_u32.to_le_bytes());
            bytes.extend(5_u32.to_le_bytes());
            for position in square_ring() {
                bytes.extend(position.iter().flat_map(|v| v.to_le_bytes()));
                bytes.extend([0x40; 16].iter().take(extra * 8));
            }
            assert_eq!(read(&bytes), Ok(open_square()), "{kind:x}");
        }
    }

    #[test]
    fn a_multipolygon_of_one_counts_as_a_polygon() {
        let mut bytes = vec![1, 6, 0, 0, 0, 1, 0, 0, 0];
        bytes.extend(polygon_wkb(&square_ring()));
        assert_eq!(read(&bytes), Ok(open_square()));
        bytes[5] = 2;
        assert_eq!(read(&bytes), Err(WkbError::Polygons(2)));
    }

    #[test]
    fn what_is_no_footprint_is_refused_by_name() {
        assert_eq!(read(&[]), Err(WkbError::CutOff));
        assert_eq!(read(&[2]), Err(WkbError::ByteOrder(2)));
        for text in ["POLYGON ((0 0, 1 0, 1 1, 0 0))", "b'\\x01\\x03'", "0103000000"] {
            assert_eq!(read(text.as_bytes()), Err(WkbError::Text));
        }
        assert_eq!(read(&[1, 1, 0, 0, 0]), Err(WkbError::NotPolygon(1)));
        assert_eq!(read(&[1, 3, 0, 0, 0, 2, 0, 0, 0]), Err(WkbError::Rings(2)));
        // Four billion vertices, in 13 bytes.
        let huge = [1, 3, 0, 0, 0, 1, 0, 0, 0, 255, 255, 255, 255];
        assert_eq!(read(&huge), Err(WkbError::Vertices(u32::MAX)));
        let mut good = polygon_wkb(&square_ring());
        assert_eq!(read(&good[..good.len() - 1]), Err(WkbError::CutOff));
        good.push(0);
        assert_eq!(read(&good), Err(WkbError::Trailing));
        let mut open = square_ring();
        open[4] = [9.0, 9.0];
        assert_eq!(read(&polygon_wkb(&open)), Err(WkbError::Open));
        open[2] = [f64::NAN, 0.0];
        assert_eq!(read(&polygon_wkb(&open)), Err(WkbError::NotFinite));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }

        #[test]
        fn no_change_of_a_byte_makes_it_panic(position in 0_usize..93, byte in any::<u8>()) {
            let mut bytes = polygon_wkb(&square_ring());
            bytes[position] = byte;
            if let Ok(ring) = read(&bytes) {
                prop_assert!(ring.len() >= 3 && ring.iter().flatten().all(|v| v.is_finite()));
            }
        }
    }
}
