//! Folders written by the real geosam.

use super::*;

#[derive(serde::Deserialize)]
struct Expected {
    crs: String,
    points: Option<Vec<(f64, f64)>>,
    bbox: Option<[f64; 4]>,
    chip_id: String,
}

#[test]
fn the_folders_of_the_real_geosam_answer_as_it_does() {
    let Some(corpus) = corpus("the_folders_of_the_real_geosam_answer_as_it_does") else { return };
    for (name, chips, shape) in [("mobile_sam", 6, (512, 512)), ("sam2.1_t", 1, (718, 791))] {
        let folder = open_one(&corpus.join(name));
        assert_eq!((folder.len(), folder.crs().epsg), (chips, Some(32618)));
        assert_eq!(folder.checkpoint(), format!("{name}.pt"));
        assert_eq!(folder.chip(0).unwrap().shape, shape);
        assert_eq!(folder.presence().count_missing(), 0);
        let prompts = fs::read(corpus.join("expected").join(name).join("prompts.json")).unwrap();
        let prompts: Vec<Expected> = serde_json::from_slice(&prompts).unwrap();
        let mut compared = 0;
        for prompt in prompts.into_iter().filter(|prompt| prompt.crs == "EPSG:32618") {
            let geometry = PromptGeometry {
                points: prompt.points.unwrap_or_default(),
                bbox: prompt.bbox.map(Bounds::from),
            };
            let chip = folder.chip(folder.choose(&geometry).unwrap()).unwrap();
            assert_eq!(chip.id, prompt.chip_id, "{geometry:?}");
            for (i, &point) in geometry.points.iter().enumerate() {
                chip.point_to_pixel(i, point).unwrap();
            }
            assert!(geometry.bbox.is_none_or(|b| chip.box_to_pixel(&b).is_ok()));
            compared += 1;
        }
        assert!(compared > 0, "{name} has no prompt in its own CRS");
        eprintln!("{name}: {compared} prompts, {:?}", folder.summary());
    }
}
