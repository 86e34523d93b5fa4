//! GeoJSON: the features' text is copied as it stands.

use std::io::Write;

use super::{Exported, Failure, Source};

/// One FeatureCollection, a feature a line. Its `name` is the layer's, which GDAL and QGIS show.
pub(super) fn collection(source: &mut Source, out: &mut dyn Write) -> Result<Exported, Failure> {
    // A layer's name has no character that JSON escapes.
    let head = format!("{{\"type\":\"FeatureCollection\",\"name\":\"{}\",\"features\":[", source.layer);
    let mut features = source.lines()?;
    let mut exported = Exported::default();
    while let Some(text) = features.next_text()? {
        // A layer that cannot be read at all begins nothing on a stream.
        out.write_all(if exported.features == 0 { head.as_bytes() } else { b"," })?;
        out.write_all(b"\n")?;
        out.write_all(text)?;
        exported.features += 1;
    }
    if exported.features == 0 {
        out.write_all(head.as_bytes())?;
    }
    out.write_all(b"\n]}\n")?;
    features.count(&mut exported);
    Ok(exported)
}

/// A feature a line.
pub(super) fn lines(source: &mut Source, out: &mut dyn Write) -> Result<Exported, Failure> {
    let mut features = source.lines()?;
    let mut exported = Exported::default();
    while let Some(text) = features.next_text()? {
        out.write_all(text)?;
        out.write_all(b"\n")?;
        exported.features += 1;
    }
    features.count(&mut exported);
    Ok(exported)
}
