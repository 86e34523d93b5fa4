//! Which file names stand for the same model: the one rule for folders, chips and imported models.
//!
//! A folder names its model by the file name of the checkpoint. Geo-SAM v1 names it by its type, `vit_b`, and its
//! users have Meta's files; geosam's users have Ultralytics' copies of them, with the same weights.

use super::file_name_of;

/// Meta's file stems and v1's model types of what Ultralytics calls by the last name. Exact names only: a
/// fine-tuned `sam_vit_b_trees.pth` is another model.
const SAME: [(&str, &str, &str); 3] = [
    ("vit_b", "sam_vit_b_01ec64", "sam_b.pt"),
    ("vit_l", "sam_vit_l_0b3195", "sam_l.pt"),
    ("vit_h", "sam_vit_h_4b8939", "sam_h.pt"),
];

/// One name for all names of a model: Ultralytics' file name, in lower case.
pub(crate) fn canonical(name: &str) -> String {
    let name = file_name_of(name).to_ascii_lowercase();
    let stem = name.strip_suffix(".pth").or_else(|| name.strip_suffix(".pt")).unwrap_or(&name);
    // What v1's plugin cuts out of Meta's checkpoints.
    let stem = stem.strip_suffix("_no_img_encoder").unwrap_or(stem);
    for (model_type, meta, ultralytics) in SAME {
        if stem == model_type || stem == meta || stem.strip_prefix("sam_") == Some(model_type) {
            return ultralytics.to_owned();
        }
    }
    name
}

/// Whether two checkpoint names or paths stand for the same model: the same file name, ASCII case aside, or
/// known names of the same weights (`vit_b`, `sam_vit_b_01ec64.pth`, `sam_b.pt`).
///
/// ```
/// use geosam_edge::models::same_model;
/// assert!(same_model("SAM2.1_T.PT", r"C:\models\sam2.1_t.pt"));
/// assert!(same_model("vit_b", "sam_vit_b_01ec64.pth"));
/// assert!(!same_model("sam_b.pt", "sam_l.pt"));
/// ```
pub fn same_model(a: &str, b: &str) -> bool {
    canonical(a) == canonical(b)
}

/// The file to import for a checkpoint, for advice: `vit_b` is no file, `sam_b.pt` is.
pub(crate) fn advised_file(checkpoint: &str) -> String {
    let canonical = canonical(checkpoint);
    let known = SAME.iter().any(|(_, _, ultralytics)| *ultralytics == canonical);
    if known { canonical } else { file_name_of(checkpoint).to_owned() }
}

/// The other files with the same weights, for advice: ` (sam_b.pt, or Meta's sam_vit_b_01ec64.pth)`.
pub(crate) fn other_names(checkpoint: &str) -> String {
    let canonical = canonical(checkpoint);
    let known = SAME.iter().find(|(_, _, ultralytics)| *ultralytics == canonical);
    known.map_or_else(String::new, |(_, meta, ultralytics)| format!(" ({ultralytics}, or Meta's {meta}.pth)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_names_of_metas_first_models_are_one() {
        for letter in ["b", "l", "h"] {
            let ultralytics = format!("sam_{letter}.pt");
            let meta = SAME.iter().find(|(_, _, u)| *u == ultralytics).unwrap().1;
            for name in [
                format!("vit_{letter}"),
                format!("SAM_VIT_{}.PTH", letter.to_uppercase()),
                format!("{meta}.pth"),
                format!("/home/a/checkpoint/{meta}_no_img_encoder.pth"),
            ] {
                assert!(same_model(&name, &ultralytics), "{name}");
            }
        }
    }

    #[test]
    fn other_weights_are_other_models() {
        for (a, b) in [
            ("sam_b.pt", "sam_l.pt"),
            ("sam2_t.pt", "sam2.1_t.pt"),
            ("sam_vit_b_trees.pth", "sam_b.pt"),
            ("mobile_sam.pt", "sam_b.pt"),
            ("vit_b", "vit_h"),
            ("my_vit_b_tuned.pt", "sam_b.pt"),
        ] {
            assert!(!same_model(a, b), "{a} {b}");
        }
    }
}
