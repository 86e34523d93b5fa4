//! Decodes prompts from plain arrays, without a folder: what `benches/check_decoder.py` compares with other runtimes.
//!
//! `decode_arrays DIRECTORY FAMILY` reads, in DIRECTORY:
//! - `weights.safetensors`: the parameters by canonical name, f32;
//! - `chip.safetensors`: `image_embed [256, g, g]` and, for SAM 2 and 3, `quarter` and `half`, as f32, f16 or bf16;
//! - `prompts.json`: a list of `{"points": [[x, y, label], ...], "bbox": [l, t, r, b] or null, "mask": name or null}` in
//!   frame pixels;
//! - `masks.safetensors`, if prompts name masks: low-resolution logits `[side, side]` by name;
//!
//! and writes `NN.safetensors` per prompt (`low_res_masks`, `iou_predictions`, `selected`), and the ONNX graphs as
//! `random.*.onnx`.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use geosam_edge::Family;
use geosam_edge::decoder::{
    FramePoint, FramePrompt, FusedDecoder, MaskDecoder, WeightSource, Weights, graph,
};
use geosam_edge::features::{ChipFeatures, HighRes};
use ndarray::{Array2, Array3, ArrayD, CowArray, IxDyn};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

struct Arrays(HashMap<String, ArrayD<f32>>);

impl WeightSource for Arrays {
    fn tensor(&self, name: &str) -> Option<CowArray<'_, f32, IxDyn>> {
        self.0.get(name).map(|array| array.view().into())
    }
}

impl Arrays {
    fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| path.display().to_string())?;
        let mut arrays = HashMap::new();
        for (name, view) in SafeTensors::deserialize(&bytes)?.tensors() {
            let values: Vec<f32> = match view.dtype() {
                Dtype::F32 => view.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
                Dtype::F16 => {
                    view.data().as_chunks().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect()
                }
                Dtype::BF16 => {
                    view.data().as_chunks().0.iter().map(|b| half::bf16::from_le_bytes(*b).to_f32()).collect()
                }
                other => bail!("{name}: {other:?}"),
            };
            arrays.insert(name, ArrayD::from_shape_vec(IxDyn(view.shape()), values)?);
        }
        Ok(Self(arrays))
    }

    fn take(&mut self, name: &str) -> Result<Array3<f32>> {
        Ok(self.0.remove(name).with_context(|| name.to_owned())?.into_dimensionality()?)
    }
}

#[derive(serde::Deserialize)]
struct Prompt {
    points: Vec<[f64; 3]>,
    bbox: Option<[f64; 4]>,
    #[serde(default)]
    mask: Option<String>,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, family] = arguments.as_slice() else { bail!("usage: decode_arrays DIRECTORY FAMILY") };
    let (directory, family) = (Path::new(directory), Family::from_name(family).context("family")?);

    let weights = Arrays::read(&directory.join("weights.safetensors"))?;
    graph::export(&Weights::copied(&weights, family)?, "random", directory)?;
    let decoder = FusedDecoder::new(&weights, family, 1)?;

    let mut arrays = Arrays::read(&directory.join("chip.safetensors"))?;
    let high_res = if family.has_high_resolution_maps() {
        Some(HighRes { quarter: arrays.take("quarter")?, half: arrays.take("half")? })
    } else {
        None
    };
    let chip = ChipFeatures {
        family,
        checkpoint: "random.pt".into(),
        src_shape: (family.frame(), family.frame()),
        dst_shape: (family.frame(), family.frame()),
        embedding: arrays.take("image_embed")?,
        high_res,
    };
    let prepared = decoder.prepare(&chip)?;

    let masks = directory.join("masks.safetensors");
    let masks = if masks.exists() { Arrays::read(&masks)?.0 } else { HashMap::new() };
    let mask_of = |name: String| -> Result<Array2<f32>> {
        Ok(masks.get(&name).context(name)?.clone().into_dimensionality()?)
    };
    let prompts: Vec<Prompt> = serde_json::from_str(&fs::read_to_string(directory.join("prompts.json"))?)?;
    for (i, prompt) in prompts.into_iter().enumerate() {
        let points = prompt.points.iter().map(|&[x, y, label]| FramePoint { x, y, foreground: label > 0.5 });
        let mask = prompt.mask.map(mask_of).transpose()?;
        let prompt = FramePrompt { points: points.collect(), bbox: prompt.bbox, mask };
        let decoded = decoder.decode(&prepared, &prompt)?;
        let bytes = |values: &[f32]| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let logits = bytes(decoded.logits.as_slice().context("logits in order")?);
        let scores = bytes(&decoded.scores);
        let selected = bytes(&[decoded.select(family, false)[0].index as f32]);
        let tensors = [
            ("low_res_masks", TensorView::new(Dtype::F32, decoded.logits.shape().to_vec(), &logits)?),
            ("iou_predictions", TensorView::new(Dtype::F32, vec![decoded.scores.len()], &scores)?),
            ("selected", TensorView::new(Dtype::F32, vec![1], &selected)?),
        ];
        fs::write(directory.join(format!("{i:02}.safetensors")), safetensors::serialize(tensors, None)?)?;
    }
    Ok(())
}
