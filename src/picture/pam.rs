//! What GDAL keeps beside a raster that it does not write into: `raster.tif.aux.xml`, its persistent auxiliary metadata.

use std::io::Read as _;
use std::path::Path;

use quick_xml::Reader;
use quick_xml::events::Event;

use crate::geo::Affine;
use crate::regular_file;

/// Bytes of it that are read. What is before the bands comes first, histograms and tables of theirs later.
const MOST: usize = 1 << 20;

/// Where the raster lies by the file beside it; nothing where that does not say so, or cannot be read.
pub(super) fn affine_beside(raster: &Path) -> Option<Affine> {
    let mut name = raster.as_os_str().to_owned();
    name.push(".aux.xml");
    let file = regular_file::open(Path::new(&name)).ok()?;
    let mut bytes = Vec::new();
    file.take(MOST as u64 + 1).read_to_end(&mut bytes).ok()?;
    let is_whole = bytes.len() <= MOST;
    bytes.truncate(MOST);
    affine_in(&String::from_utf8_lossy(&bytes), is_whole)
}

/// The affine in the text: six numbers with commas between, in the first `GeoTransform` in the root, whatever that is called.
fn affine_in(xml: &str, is_whole: bool) -> Option<Affine> {
    let xml = xml.trim_start_matches('\u{feff}').trim_ascii_start();
    // GDAL looks into what stands first, be it a declaration or a comment, and finds nothing there.
    if xml.starts_with("<?") || xml.starts_with("<!") {
        return None;
    }
    let mut reader = Reader::from_str(xml);
    reader.config_mut().allow_dangling_amp = true;
    let (mut depth, mut is_inside, mut text) = (0_usize, false, None::<String>);
    while let Ok(event) = reader.read_event() {
        match &event {
            Event::Start(tag) => {
                if depth == 1 && text.is_none() && is_wanted(tag.name().as_ref()) {
                    (is_inside, text) = (true, Some(String::new()));
                }
                depth += 1;
            }
            Event::Empty(tag) if depth == 1 && text.is_none() && is_wanted(tag.name().as_ref()) => {
                return None;
            }
            // A reference is no part of a number, so that it spoils the one that it is in.
            Event::Text(_) | Event::CData(_) | Event::GeneralRef(_) if is_inside => {
                text.get_or_insert_default().push_str(&event);
            }
            Event::End(_) => {
                depth = depth.checked_sub(1)?;
                is_inside &= depth > 1;
            }
            Event::Eof => break,
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    // GDAL takes nothing of a file that was cut; one that was cut here is another matter.
    if is_inside || (is_whole && depth > 0) {
        return None;
    }
    let text = text?;
    let numbers = text.split(',').map(str::trim).filter(|number| !number.is_empty());
    let numbers: Option<Vec<f64>> = numbers.map(|number| number.parse().ok()).collect();
    let &[c, a, b, f, d, e] = numbers?.as_slice() else { return None };
    let affine = Affine { a, b, c, d, e, f };
    affine.inverse().map(|_| affine)
}

/// GDAL does not tell capitals from small letters here.
fn is_wanted(name: &str) -> bool {
    name.eq_ignore_ascii_case("GeoTransform")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBERS: &str = "<GeoTransform> 5.12e+05, 5.0e-01, 0.1,\n 5278000, 0.2, -0.5</GeoTransform>";

    fn file(inner: &str) -> String {
        format!("<PAMDataset>{inner}</PAMDataset>")
    }

    #[test]
    fn six_numbers_in_the_order_of_gdal_are_an_affine() {
        let expected = Some(Affine { a: 0.5, b: 0.1, c: 512_000.0, d: 0.2, e: -0.5, f: 5_278_000.0 });
        let srs = "<SRS dataAxisToSRSAxisMapping=\"1,2\">PROJCS[&quot;a & b&quot;]</SRS>";
        for text in [
            file(NUMBERS),
            format!("\u{feff}\n{}\n", file(NUMBERS)),
            file(&format!("{srs}\n  {NUMBERS}<Metadata/><PAMRasterBand band=\"1\"/>")),
            file(&format!("{NUMBERS}<GeoTransform>1,1,0,1,0,1</GeoTransform>")),
            file(&NUMBERS.replace("GeoTransform", "geotransform")),
        ] {
            assert_eq!(affine_in(&text, true), expected, "{text}");
        }
        // Of a long file the rest is not needed.
        let start = format!("<PAMDataset>{NUMBERS}<PAMRasterBand><Histo");
        assert_eq!((affine_in(&start, true), affine_in(&start, false)), (None, expected));
    }

    #[test]
    fn what_gdal_does_not_take_and_what_is_no_affine_is_nothing() {
        let of = |numbers: &str| file(&format!("<GeoTransform>{numbers}</GeoTransform>"));
        for text in [
            String::new(),
            "no XML".to_owned(),
            file(""),
            file("<GeoTransform/>"),
            file(&format!("<Subdatasets>{NUMBERS}</Subdatasets>")),
            format!("<?xml version=\"1.0\"?>{}", file(NUMBERS)),
            format!("<PAMDataset>{NUMBERS}"),
            format!("<PAMDataset>{NUMBERS}<a></b></PAMDataset>"),
            of("1,2,3,4,5"),
            of("1,1,0,1,0,1,1"),
            of("1 1 0 1 0 1"),
            of("a,b,c,d,e,f"),
            of("1,inf,0,1,0,1"),
            of("1,1&#48;,0,1,0,1"),
            of("0,0,0,0,0,0"),
        ] {
            assert_eq!(affine_in(&text, true), None, "{text}");
        }
    }
}
