//! GeoPackageBinary: a head with envelope and CRS before well-known binary (OGC 12-128r14, clause 2.1.3), little-endian and
//! in two dimensions.

use geojson::{GeometryValue, Position};

/// `G`, `P`, version 0; flags: an envelope of x and y, little-endian.
const HEAD: [u8; 4] = [b'G', b'P', 0, 0b0000_0011];

/// EPSG:4326, which layers are in.
pub(super) const SRS: i32 = 4326;

/// A geometry as the format stores it.
pub(super) struct Blob {
    pub bytes: Vec<u8>,
    /// West, south, east, north.
    pub bounds: [f64; 4],
}

/// Whether a geometry fits into a column of MultiPolygons.
pub(super) const fn is_polygon(geometry: &GeometryValue) -> bool {
    matches!(geometry, GeometryValue::Polygon { .. } | GeometryValue::MultiPolygon { .. })
}

impl Blob {
    /// A geometry, `None` if it is empty or has positions that are none; polygons `as_multi` where the column has that type.
    pub fn of(geometry: &GeometryValue, as_multi: bool) -> Option<Self> {
        let mut wkb = Wkb::default();
        match geometry {
            GeometryValue::Polygon { coordinates } if as_multi => {
                wkb.begin(6);
                wkb.count(1);
                wkb.polygon(coordinates);
            }
            other => wkb.geometry(other),
        }
        let [west, south, east, north] = wkb.bounds.filter(|_| !wkb.broken)?;
        let mut bytes = Vec::with_capacity(HEAD.len() + 36 + wkb.bytes.len());
        bytes.extend(HEAD);
        bytes.extend(SRS.to_le_bytes());
        for bound in [west, east, south, north] {
            bytes.extend(bound.to_le_bytes());
        }
        bytes.append(&mut wkb.bytes);
        Some(Self { bytes, bounds: [west, south, east, north] })
    }
}

#[derive(Default)]
struct Wkb {
    bytes: Vec<u8>,
    bounds: Option<[f64; 4]>,
    broken: bool,
}

impl Wkb {
    fn begin(&mut self, kind: u32) {
        self.bytes.push(1);
        self.bytes.extend(kind.to_le_bytes());
    }

    /// What is counted comes from lines of bounded length.
    fn count(&mut self, count: usize) {
        self.bytes.extend(u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
    }

    fn geometry(&mut self, geometry: &GeometryValue) {
        match geometry {
            GeometryValue::Point { coordinates } => self.point(coordinates),
            GeometryValue::LineString { coordinates } => self.line(coordinates),
            GeometryValue::Polygon { coordinates } => self.polygon(coordinates),
            GeometryValue::MultiPoint { coordinates } => {
                self.many(4, coordinates, |wkb, part| wkb.point(part));
            }
            GeometryValue::MultiLineString { coordinates } => {
                self.many(5, coordinates, |wkb, part| wkb.line(part));
            }
            GeometryValue::MultiPolygon { coordinates } => {
                self.many(6, coordinates, |wkb, part| wkb.polygon(part));
            }
            // As deep as the JSON was, which serde_json bounds.
            GeometryValue::GeometryCollection { geometries } => {
                self.many(7, geometries, |wkb, part| wkb.geometry(&part.value));
            }
        }
    }

    fn many<T>(&mut self, kind: u32, parts: &[T], write: impl Fn(&mut Self, &T)) {
        self.begin(kind);
        self.count(parts.len());
        for part in parts {
            write(self, part);
        }
    }

    fn point(&mut self, position: &Position) {
        self.begin(1);
        self.position(position);
    }

    fn line(&mut self, positions: &[Position]) {
        self.begin(2);
        self.positions(positions);
    }

    fn polygon(&mut self, rings: &[Vec<Position>]) {
        self.begin(3);
        self.count(rings.len());
        for ring in rings {
            self.positions(ring);
        }
    }

    fn positions(&mut self, positions: &[Position]) {
        self.count(positions.len());
        for position in positions {
            self.position(position);
        }
    }

    fn position(&mut self, position: &Position) {
        let [x, y, ..] = *position.as_slice() else {
            self.broken = true;
            return;
        };
        self.bytes.extend(x.to_le_bytes());
        self.bytes.extend(y.to_le_bytes());
        let [west, south, east, north] = self.bounds.unwrap_or([x, y, x, y]);
        self.bounds = Some([west.min(x), south.min(y), east.max(x), north.max(y)]);
    }
}
