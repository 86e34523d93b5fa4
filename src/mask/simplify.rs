//! stub
use super::PixelRings;
/// stub
#[derive(Default)]
pub struct Simplifier {}
/// stub
pub fn simplify(rings:&PixelRings, _t:f64)->PixelRings{ rings.clone() }
