//! Names of checkpoints as folders tell them. What is in a checkpoint is `models`' affair.

use crate::Family;

/// The last component of a path of this or another machine, whichever slashes it has.
pub(super) fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// Whether two paths or names mean the same checkpoint: the file names are equal but for ASCII case, or
/// both are names of the same model of SAM, Meta's and Ultralytics'.
pub(super) fn same_model(a: &str, b: &str) -> bool {
    let (a, b) = (file_name(a), file_name(b));
    a.eq_ignore_ascii_case(b) || ultralytics_name(a).eq_ignore_ascii_case(ultralytics_name(b))
}

/// Ultralytics' name of a model of SAM that is named as Meta's (`sam_vit_b_01ec64.pth`) or as the encoder
/// alone (`vit_b`); other names as they are.
fn ultralytics_name(name: &str) -> &str {
    let is_meta = name.strip_suffix(".pth").is_some_and(|stem| stem.starts_with("sam_vit_"));
    let is_encoder = name.len() == "vit_b".len();
    if is_meta || is_encoder { v1_checkpoint(name).unwrap_or(name) } else { name }
}

/// The checkpoint that a v1 model type or file name (`sam_feat_vit_l_....tif`) means.
pub(super) fn v1_checkpoint(text: &str) -> Option<&'static str> {
    [("vit_h", "sam_h.pt"), ("vit_l", "sam_l.pt"), ("vit_b", "sam_b.pt")]
        .into_iter()
        .find_map(|(encoder, checkpoint)| text.contains(encoder).then_some(checkpoint))
}

/// The family named by `model_type`, exactly as geosam writes it or in another case.
pub(super) fn family(model_type: &str) -> Option<Family> {
    Family::from_name(model_type.trim().to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_any_machine_end_in_a_file_name() {
        assert_eq!(file_name(r"C:\Users\gis\geo\sam2.1_t.pt"), "sam2.1_t.pt");
        assert_eq!(file_name("/home/gis/sam_b.pt"), "sam_b.pt");
        assert_eq!(file_name(r"C:\mixed/sam_b.pt"), "sam_b.pt");
        assert_eq!(file_name("sam_b.pt"), "sam_b.pt");
        assert_eq!(file_name("/"), "");
    }

    #[test]
    fn the_names_of_one_model_are_the_same() {
        for (a, b) in [
            ("/x/SAM2.1_T.pt", "sam2.1_t.pt"),
            ("vit_b", "sam_b.pt"),
            ("sam_vit_b_01ec64.pth", "sam_b.pt"),
            ("sam_vit_h_4b8939.pth", "vit_h"),
        ] {
            assert!(same_model(a, b), "{a} {b}");
        }
        for (a, b) in [("sam2_t.pt", "sam2.1_t.pt"), ("vit_b", "sam_l.pt"), ("my_vit_b_tuned.pt", "sam_b.pt")]
        {
            assert!(!same_model(a, b), "{a} {b}");
        }
    }
}
