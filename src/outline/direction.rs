//! The main direction of an outline: the one that most of its length runs along, or across.

/// Of how many of the longest edges each is tried.
const TRIED: usize = 48;
/// Edges shorter than this, in pixels, have no direction to speak of.
const SHORT: f64 = 2.0;

/// The angle of the main direction in radians, from 0 to a right angle: of the edges of a simplified ring the one that the
/// others deviate from least, along or across, each by its length.
pub(super) fn main_direction(ring: &[[f64; 2]]) -> f64 {
    let next = ring.iter().cycle().skip(1);
    let mut edges: Vec<[f64; 2]> = ring.iter().zip(next).map(|(a, b)| [b[0] - a[0], b[1] - a[1]]).collect();
    let length = |edge: &[f64; 2]| edge[0].hypot(edge[1]);
    edges.sort_by(|a, b| length(b).total_cmp(&length(a)));
    let long = edges.iter().take(TRIED).filter(|edge| length(edge) >= SHORT);
    let candidates = long.map(|edge| edge[1].atan2(edge[0]).rem_euclid(std::f64::consts::FRAC_PI_2));
    let deviation = |angle: f64| {
        let (sine, cosine) = angle.sin_cos();
        let off = |[x, y]: &[f64; 2]| (cosine * x + sine * y).abs().min((cosine * y - sine * x).abs());
        edges.iter().map(off).sum::<f64>()
    };
    let scored = candidates.map(|angle| (deviation(angle), angle));
    scored.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(0.0, |(_, angle)| angle)
}
