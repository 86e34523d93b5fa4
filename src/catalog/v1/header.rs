//! PLACEHOLDER until `features` has it: `V1Header` and `read_header` below have the fields and methods of
//! `features::v1`, which reads the same tags without the `tiff` crate. Delete this file and import those.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use tiff::decoder::Decoder;
use tiff::tags::Tag;

use crate::geo::Affine;

/// What a v1 chip says of itself without its pixels.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct V1Header {
    pub(super) affine: Affine,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) bands: usize,
    pub(super) epsg: Option<u32>,
    pub(super) img_shape: Option<(usize, usize)>,
    pub(super) model_type: Option<String>,
}

impl V1Header {
    pub(super) fn src_shape(&self) -> (usize, usize) {
        self.img_shape.unwrap_or((1024, 1024))
    }
}

/// Reads the header of a v1 chip.
pub(super) fn read_header(path: &Path) -> Result<V1Header, String> {
    let file = File::open(path).map_err(|e| e.to_string())?;
    let mut tiff = Decoder::new(BufReader::new(file)).map_err(|e| e.to_string())?;
    let (width, height) = tiff.dimensions().map_err(|e| e.to_string())?;
    let bands = tiff.find_tag_unsigned::<u16>(Tag::SamplesPerPixel).ok().flatten().unwrap_or(1);
    let mut numbers = |tag| tiff.get_tag_f64_vec(Tag::Unknown(tag)).ok();
    let (scale, tie) = (numbers(33550), numbers(33922));
    let (Some([sx, sy, ..]), Some([i, j, _, x, y, ..])) = (scale.as_deref(), tie.as_deref()) else {
        return Err("it is not georeferenced".to_owned());
    };
    let affine = Affine::new([*sx, 0.0, x - i * sx, 0.0, -sy, y + j * sy]);
    let keys = tiff.get_tag_u16_vec(Tag::Unknown(34735)).unwrap_or_default();
    let key = |id| keys.chunks_exact(4).skip(1).find(|k| k[0] == id && k[1] == 0).map(|k| u32::from(k[3]));
    let epsg = key(3072).or_else(|| key(2048)).filter(|&code| code != 32767);
    let xml = tiff.get_tag_ascii_string(Tag::Unknown(42112)).unwrap_or_default();
    let item = |name: &str| {
        let rest = xml.split_once(&format!("name=\"{name}\""))?.1;
        Some(rest.split_once('>')?.1.split('<').next()?.to_owned())
    };
    let img_shape = item("img_shape").and_then(|text| {
        let sides: Vec<usize> =
            text.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
        sides.last_chunk().map(|&[h, w]| (h, w))
    });
    Ok(V1Header {
        affine,
        width: width as usize,
        height: height as usize,
        bands: bands.into(),
        epsg,
        img_shape,
        model_type: item("model_type"),
    })
}
