//! Parity with geosam: the program's answers on folders that the real geosam wrote, against what geosam
//! answered itself. The bars are those of the corpus: chip equal, scores within 1e-4, logits within 1e-3,
//! masks equal but where the upscaled logit is within 1e-3 of zero, polygons equal from equal masks.

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::npz::{Npy, from_npz};
use support::{answers, corpus, geosam_edge, run, stdout_of};

#[test]
fn sam_prompts_are_answered_as_geosam_answers_them() {
    answers_match("mobile_sam", "mobile_sam.pt", "fused");
}

#[test]
fn sam2_prompts_are_answered_as_geosam_answers_them() {
    answers_match("sam2.1_t", "sam2.1_t.pt", "fused");
}

#[cfg(feature = "tract")]
#[test]
fn sam_prompts_are_answered_on_tract_as_geosam_answers_them() {
    answers_match("mobile_sam", "mobile_sam.pt", "tract");
}

#[cfg(feature = "tract")]
#[test]
fn sam2_prompts_are_answered_on_tract_as_geosam_answers_them() {
    answers_match("sam2.1_t", "sam2.1_t.pt", "tract");
}

/// The worst differences over a folder's prompts, printed so that they can be reported.
#[derive(Debug, Default)]
struct Worst {
    prompts: usize,
    score: f64,
    logit: f32,
    mask_pixels: usize,
    logit_at_differing_pixel: f64,
    polygons_compared: usize,
    area: f64,
    simplified_vertices: f64,
}

fn answers_match(folder: &str, checkpoint: &str, engine: &str) {
    let Some(corpus) = corpus() else { return };
    let work = tempfile::tempdir().unwrap();
    let models = work.path().join("models");
    let checkpoint = corpus.join("checkpoints").join(checkpoint);
    stdout_of(&run(&["import-model", checkpoint.to_str().unwrap(), "--models", models.to_str().unwrap()]));

    let expected = corpus.join("expected").join(folder);
    let prompts: Vec<Value> =
        serde_json::from_slice(&std::fs::read(expected.join("prompts.json")).unwrap()).unwrap();
    let directory = honest_folder(&corpus, folder, work.path());
    let ask = |vectorization: &str, dump: &Path| -> Vec<Value> {
        let requests: String = prompts.iter().map(|p| format!("{}\n", request(p, vectorization))).collect();
        let (models, dump) = (models.to_str().unwrap(), dump.to_str().unwrap());
        let more = ["--models", models, "--dump", dump, "--engine", engine];
        answers(&directory, &more, &requests)
    };
    let pixel = ask("pixel", work.path());
    let simplified = ask("simplified", &work.path().join("simplified"));
    assert_eq!(pixel.len(), prompts.len());

    let mut worst = Worst::default();
    let (mut ours, mut theirs) = (0, 0);
    for ((prompt, answer), simplified) in prompts.iter().zip(&pixel).zip(&simplified) {
        compare(prompt, answer, &expected, work.path(), &mut worst);
        ours += simplified["result"]["features"].as_array().unwrap().iter().map(vertices).sum::<usize>();
        if !prompt["multimask"].as_bool().unwrap() {
            theirs += prompt["simplified_vertices"].as_u64().unwrap() as usize;
        } else {
            // geosam counts the first mask only.
            let first = |f: &&Value| f["properties"]["mask"] != 0;
            let others = simplified["result"]["features"].as_array().unwrap().iter().filter(first);
            ours -= others.map(vertices).sum::<usize>();
            theirs += prompt["simplified_vertices"].as_u64().unwrap() as usize;
        }
    }
    worst.simplified_vertices = ours as f64 / theirs as f64;
    println!("parity of {folder} on {engine}: {worst:#?}");
    assert!((0.85..=1.15).contains(&worst.simplified_vertices), "{ours} simplified vertices for {theirs}");
    assert!(worst.polygons_compared > 0, "no mask was equal, so no polygon was compared");
}

/// geosam 0.1.3 recognises the features on its device by the identity of a Python object. Objects of the
/// same address get the same identity, so it may decode a prompt on the features of the chip before:
/// the corpus' answer to prompt 2 on `mobile_sam` is that of chip 0's features under chip 2's name (equal
/// to the last bit), and geosam itself answers otherwise when asked alone. Here is a copy of the folder in
/// which what geosam recorded is true: no other prompt uses chip 2.
fn honest_folder(corpus: &Path, folder: &str, work: &Path) -> std::path::PathBuf {
    let original = corpus.join(folder);
    if folder != "mobile_sam" {
        return original;
    }
    let copy = work.join(folder);
    std::fs::create_dir_all(copy.join("features")).unwrap();
    std::fs::copy(original.join("manifest.parquet"), copy.join("manifest.parquet")).unwrap();
    for chip in 0..6 {
        let name = |chip: usize| format!("features/chip_{chip:06}.pt");
        let source = if chip == 2 { 0 } else { chip };
        std::os::unix::fs::symlink(original.join(name(source)), copy.join(name(chip))).unwrap();
    }
    copy
}

fn request(prompt: &Value, vectorization: &str) -> Value {
    let mut request = json!({
        "id": prompt["id"].to_string(), "crs": prompt["crs"],
        "output": {"crs": "source", "vectorization": vectorization, "multimask": prompt["multimask"]},
    });
    for key in ["points", "labels", "bbox"] {
        if !prompt[key].is_null() {
            request[key] = prompt[key].clone();
        }
    }
    request
}

fn compare(prompt: &Value, answer: &Value, expected: &Path, dump: &Path, worst: &mut Worst) {
    let id = prompt["id"].as_u64().unwrap();
    assert_eq!(answer["status"], "ok", "prompt {id}: {answer}");
    worst.prompts += 1;
    let masks = answer["masks"].as_array().unwrap();
    for (mask, score) in masks.iter().zip(prompt["scores"].as_array().unwrap()) {
        assert_eq!(mask["chip_id"], prompt["chip_id"], "prompt {id}");
        let difference = (mask["score"].as_f64().unwrap() - score.as_f64().unwrap()).abs();
        assert!(difference <= 1e-4, "prompt {id}: score {} for {score}", mask["score"]);
        worst.score = worst.score.max(difference);
    }
    assert_eq!(masks.len(), prompt["scores"].as_array().unwrap().len(), "prompt {id}");

    let npz = expected.join(format!("{id:02}.npz"));
    let logits = Npy::parse(&std::fs::read(dump.join(format!("{id}.logits.npy"))).unwrap());
    let low_res = from_npz(&npz, "low_res");
    assert_eq!(logits.shape, low_res.shape, "prompt {id}");
    for (ours, theirs) in logits.f32().iter().zip(low_res.f32()) {
        assert!((ours - theirs).abs() <= 1e-3, "prompt {id}: logit {ours} for {theirs}");
        worst.logit = worst.logit.max((ours - theirs).abs());
    }

    let shape: Vec<usize> =
        prompt["mask_shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
    let (height, width) = (shape[1], shape[2]);
    let ours = read_png(&dump.join(format!("{id}.mask.png")), width, height);
    let theirs = unpack(&from_npz(&npz, "mask"), width, height);
    let side = low_res.shape[1];
    let first_logits = &low_res.f32()[..side * side];
    let mut differing = 0;
    for (index, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        if ours != theirs {
            differing += 1;
            let logit = upscaled_logit(first_logits, side, width, height, index % width, index / width);
            assert!(logit.abs() <= 1e-3, "prompt {id}: pixel {index} differs where the logit is {logit}");
            worst.logit_at_differing_pixel = worst.logit_at_differing_pixel.max(logit.abs());
        }
    }
    worst.mask_pixels = worst.mask_pixels.max(differing);

    let first: Vec<&Value> = answer["result"]["features"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|f| f["properties"]["mask"] == 0)
        .collect();
    if differing == 0 {
        worst.polygons_compared += 1;
        assert_eq!(first.len() as u64, prompt["polygons"].as_u64().unwrap(), "prompt {id}: polygons");
        let rings: usize = first.iter().map(|f| f["geometry"]["coordinates"].as_array().unwrap().len()).sum();
        assert_eq!(rings as u64, prompt["rings"].as_u64().unwrap(), "prompt {id}: rings");
        let count: usize = first.iter().map(|f| vertices(f)).sum();
        assert_eq!(count as u64, prompt["vertices"].as_u64().unwrap(), "prompt {id}: vertices");
        let geojson = expected.join(format!("{id:02}.geojson"));
        if geojson.exists() {
            let theirs: Value = serde_json::from_slice(&std::fs::read(geojson).unwrap()).unwrap();
            let mut theirs: Vec<_> = theirs["features"].as_array().unwrap().iter().map(polygon).collect();
            let mut ours: Vec<_> = first.iter().map(|f| polygon(f)).collect();
            theirs.sort();
            ours.sort();
            assert!(ours == theirs, "prompt {id}: the polygons are not geosam's");
        }
    }
    // The published coordinates are rounded to millimetres, so the area is that of the pixels.
    let area: f64 = first.iter().map(|f| planar_area(f)).sum();
    let expected_area = prompt["area"].as_f64().unwrap();
    if differing == 0 {
        let relative = (area - expected_area).abs() / expected_area;
        assert!(relative <= 1e-7, "prompt {id}: area {area} for {expected_area}");
        worst.area = worst.area.max(relative);
    }
}

/// geosam's upscaling at one pixel, in double precision: letterbox content, half-pixel centres.
fn upscaled_logit(logits: &[f32], side: usize, width: usize, height: usize, col: usize, row: usize) -> f64 {
    let frame = side as f64 * 4.0;
    let gain = (frame / width as f64).min(frame / height as f64);
    let span = |length: usize| (length as f64 * gain).round_ties_even() * side as f64 / frame;
    let position = |pixel: usize, length: usize| {
        let source = (pixel as f64 + 0.5) * span(length) / length as f64 - 0.5;
        source.clamp(0.0, (span(length) - 1.0).max(0.0))
    };
    let (x, y) = (position(col, width), position(row, height));
    let (x0, y0) = (x.floor() as usize, y.floor() as usize);
    let last = side - 1;
    let at = |c: usize, r: usize| f64::from(logits[r.min(last) * side + c.min(last)]);
    let (fx, fy) = (x - x0 as f64, y - y0 as f64);
    let top = at(x0, y0) * (1.0 - fx) + at(x0 + 1, y0) * fx;
    let bottom = at(x0, y0 + 1) * (1.0 - fx) + at(x0 + 1, y0 + 1) * fx;
    top * (1.0 - fy) + bottom * fy
}

fn read_png(path: &Path, width: usize, height: usize) -> Vec<bool> {
    let decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(path).unwrap()));
    let mut reader = decoder.read_info().unwrap();
    let mut buffer = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut buffer).unwrap();
    assert_eq!((info.width as usize, info.height as usize), (width, height));
    assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Grayscale, png::BitDepth::One));
    bits(&buffer, info.line_size, width, height)
}

/// The first mask of `numpy.packbits(mask, axis=-1)`.
fn unpack(mask: &Npy, width: usize, height: usize) -> Vec<bool> {
    bits(&mask.bytes, width.div_ceil(8), width, height)
}

fn bits(bytes: &[u8], stride: usize, width: usize, height: usize) -> Vec<bool> {
    (0..height)
        .flat_map(|row| (0..width).map(move |col| bytes[row * stride + col / 8] >> (7 - col % 8) & 1 == 1))
        .collect()
}

fn rings(feature: &Value) -> Vec<Vec<[f64; 2]>> {
    serde_json::from_value(feature["geometry"]["coordinates"].clone()).unwrap()
}

/// Vertices as geosam counts them: every position, the closing one included.
fn vertices(feature: &Value) -> usize {
    rings(feature).iter().map(Vec::len).sum()
}

/// A polygon in millimetres, free of ring start, direction and order.
fn polygon(feature: &Value) -> Vec<Vec<(i64, i64)>> {
    let normalise = |ring: &Vec<[f64; 2]>| {
        let millimetres = |v: f64| (v * 1000.0).round() as i64;
        let mut open: Vec<(i64, i64)> =
            ring[1..].iter().map(|p| (millimetres(p[0]), millimetres(p[1]))).collect();
        let least = (0..open.len()).min_by_key(|&i| open[i]).unwrap();
        open.rotate_left(least);
        if open[1] > open[open.len() - 1] {
            open[1..].reverse();
        }
        open
    };
    let mut rings: Vec<_> = rings(feature).iter().map(normalise).collect();
    rings[1..].sort();
    rings
}

fn planar_area(feature: &Value) -> f64 {
    let shoelace = |ring: &Vec<[f64; 2]>| {
        let [x0, y0] = ring[0];
        let terms =
            ring.windows(2).map(|w| (w[0][0] - x0) * (w[1][1] - y0) - (w[1][0] - x0) * (w[0][1] - y0));
        terms.sum::<f64>().abs() / 2.0
    };
    let rings = rings(feature);
    shoelace(&rings[0]) - rings[1..].iter().map(shoelace).sum::<f64>()
}

#[test]
fn a_folder_with_another_checkpoint_is_refused_by_name() {
    let Some(corpus) = corpus() else { return };
    let work = tempfile::tempdir().unwrap();
    let models = work.path().to_str().unwrap();
    let checkpoint = corpus.join("checkpoints/sam2.1_t.pt");
    stdout_of(&run(&["import-model", checkpoint.to_str().unwrap(), "--models", models]));
    let folder = corpus.join("mobile_sam");
    let output = geosam_edge()
        .args(["segment", folder.to_str().unwrap(), "--models", models, "--point", "-77.7,24.75"])
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && message.contains("mobile_sam.pt"), "{message}");
}
