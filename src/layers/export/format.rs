//! The formats that a layer can be exported to, and the endings that stand for them.

/// A format to export to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// One GeoJSON FeatureCollection (RFC 7946).
    #[default]
    #[value(name = "geojson")]
    GeoJson,
    /// One GeoJSON Feature a line (GDAL's GeoJSONSeq), as layers are kept.
    #[value(name = "geojsonl")]
    GeoJsonLines,
    /// OGC KML 2.2 with a style, as Google Earth and ground stations read; a named Placemark a part.
    #[value(name = "kml")]
    Kml,
    /// The same, compressed.
    #[value(name = "kmz")]
    Kmz,
    /// FlatGeobuf 3 with a spatial index, the fastest to open in QGIS.
    #[value(name = "flatgeobuf")]
    FlatGeobuf,
    /// OGC GeoPackage 1.2 with spatial index and style, for QGIS, QField and Mergin Maps; several layers in one file.
    #[value(name = "gpkg")]
    GeoPackage,
    /// QGroundControl: a plan of geofences.
    #[value(name = "plan")]
    Plan,
    /// Mission Planner alone: a directory with a polygon a file. MAVProxy misreads these; give it `wpl`.
    #[value(name = "poly")]
    Poly,
    /// QGC WPL 110: geofences for MAVProxy and ArduPilot's tools.
    #[value(name = "wpl")]
    Wpl,
    /// Cursor on Target: an event a part, for ATAK and its kin.
    #[value(name = "cot")]
    Cot,
}

/// Endings of file names and what they stand for.
const ENDINGS: [(&str, Format); 15] = [
    ("geojson", Format::GeoJson),
    ("json", Format::GeoJson),
    ("geojsonl", Format::GeoJsonLines),
    ("geojsons", Format::GeoJsonLines),
    ("jsonl", Format::GeoJsonLines),
    ("ndjson", Format::GeoJsonLines),
    ("kml", Format::Kml),
    ("kmz", Format::Kmz),
    ("fgb", Format::FlatGeobuf),
    ("gpkg", Format::GeoPackage),
    ("plan", Format::Plan),
    ("poly", Format::Poly),
    ("wpl", Format::Wpl),
    // Mission Planner's name for it.
    ("waypoints", Format::Wpl),
    ("cot", Format::Cot),
];

impl Format {
    /// The format that an ending in lower case, without its dot, stands for.
    #[must_use]
    pub fn of_ending(ending: &str) -> Option<Self> {
        ENDINGS.iter().find(|(known, _)| *known == ending).map(|(_, format)| *format)
    }

    /// What people call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GeoJson => "GeoJSON",
            Self::GeoJsonLines => "GeoJSON lines",
            Self::Kml => "KML",
            Self::Kmz => "KMZ",
            Self::FlatGeobuf => "FlatGeobuf",
            Self::GeoPackage => "GeoPackage",
            Self::Plan => "a QGroundControl plan",
            Self::Poly => "Mission Planner polygons",
            Self::Wpl => "QGC WPL fences",
            Self::Cot => "Cursor on Target",
        }
    }

    /// Whether objects are written as geofences, to stay inside of or to keep out of.
    #[must_use]
    pub const fn has_fences(self) -> bool {
        matches!(self, Self::Plan | Self::Wpl)
    }
}
