//! What there is to say of a folder.

use super::*;

#[test]
fn a_summary_tells_what_geo_sam_shows_after_load() {
    let card = tempfile::tempdir().unwrap();
    // The last column and row are moved inwards, as geosam moves them at the raster's edge.
    let columns = [0.0, 50.0, 100.0, 123.0];
    let rows = [0.0, 50.0, 80.0];
    let chips = rows.iter().flat_map(|y| columns.iter().map(move |x| (*x, -*y)));
    let rows = chips.enumerate().map(|(i, (x, y))| Row::at(i, x, y)).collect();
    ManifestBuilder::new(rows).write(&card.path().join("north"));
    for i in 0..12 {
        touch(&card.path().join(format!("north/features/chip_{i:06}.pt")));
    }
    let summary = open_one(card.path()).summary();
    let json = serde_json::to_value(&summary).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "name": "north",
            // The digits of what the manifest says, wherever it lies.
            "long_name": "north-0e799c3f",
            "path": card.path().join("north").to_str(),
            "v1": false,
            "chips": 12,
            "missing": {"count": 0, "first": []},
            "model": "sam2.1_t.pt",
            "model_type": "sam2",
            "crs": {"text": "EPSG:32618", "epsg": 32618, "unit": "m"},
            "extent": [0.0, -180.0, 223.0, 0.0],
            "extent_wgs84": null,
            "pixel_size": [1.0, 1.0],
            "rotation": null,
            "stride": [50, 50],
            "chip_shapes": [[100, 100]],
            "size_bytes": 96,
            "size_is_estimate": false,
        })
    );
}

#[test]
fn one_chip_has_no_stride_and_shapes_are_told_once() {
    let grid = Affine::new([1.0, 0.0, 0.0, 0.0, -1.0, 0.0]);
    let (_card, folder) = folder_of(vec![Row::on_grid(0, grid, (70, 90))]);
    let summary = folder.summary();
    assert_eq!((summary.stride, summary.chip_shapes), ([None, None], vec![[70, 90]]));
}

#[test]
fn pixels_of_several_sizes_are_told_and_rounding_makes_none() {
    let grid = |size: f64, x: f64| Affine::new([size, 0.0, x, 0.0, -size, 0.0]);
    let sizes = |all: &[f64]| {
        let rows = all.iter().enumerate();
        let rows = rows.map(|(i, &size)| Row::on_grid(i, grid(size, 100.0 * i as f64), (100, 100)));
        let summary = folder_of(rows.collect()).1.summary();
        (summary.pixel_size, summary.pixel_sizes)
    };
    assert_eq!(sizes(&[0.5, 0.25, 0.5]), ([0.5, 0.5], vec![[0.5, 0.5], [0.25, 0.25]]));
    assert_eq!(sizes(&[0.25, 0.5]), ([0.25, 0.25], vec![[0.25, 0.25], [0.5, 0.5]]));
    assert_eq!(sizes(&[0.5, 0.5 + 1e-12]), ([0.5, 0.5], vec![]));
}

#[test]
fn a_rotated_raster_is_told_with_its_angle() {
    let rotation = |grid: Affine| folder_of(vec![Row::on_grid(0, grid, (100, 100))]).1.rotation();
    let (sin, cos) = 20.0_f64.to_radians().sin_cos();
    let turned = rotation(Affine::new([0.5 * cos, 0.5 * sin, 0.0, 0.5 * sin, -0.5 * cos, 0.0])).unwrap();
    assert!((turned - 20.0).abs() < 1e-9, "{turned}");
    assert_eq!(rotation(Affine::new([0.0, 0.5, 0.0, 0.5, 0.0, 0.0])), Some(90.0));
    assert_eq!(rotation(Affine::new([0.5, 0.0, 0.0, 0.0, -0.5, 0.0])), None);
    assert_eq!(rotation(Affine::new([0.5, 1e-15, 0.0, -1e-15, -0.5, 0.0])), None, "rounding alone");
}
