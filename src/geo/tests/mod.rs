//! Geography against PROJ, GDAL and Karney's algorithm (fixtures by `tests/fixtures/make_crs.py` and
//! `make_crs_texts.py`).

mod clipping;
mod described;
mod output;
mod positions;
mod reference;
mod seams;
mod text;

/// Metres of a difference in degrees.
fn metres(dlon: f64, dlat: f64, lat: f64) -> f64 {
    let dlon = (dlon + 180.0).rem_euclid(360.0) - 180.0;
    (dlon * lat.to_radians().cos()).hypot(dlat) * 111_320.0
}
