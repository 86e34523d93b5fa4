//! One mask of all parts. In overlaps every chip has a say, by its distance from its own edge, where it sees least: no step
//! stays at a seam.

use super::part::{BorderRun, Object, Part};
use super::window::Window;
use crate::engine::EngineError;
use crate::mask::{Enlarged, Mask, connected_to};

/// The object as one mask, with a border of unset pixels around it.
#[derive(Debug)]
pub(super) struct Joined {
    pub mask: Mask,
    /// The grid's column and row of its first pixel.
    pub origin: (i64, i64),
    /// The regions that may go on where they were left.
    pub open: Mask,
}

/// Rows of a part that are joined at a breath.
const ROWS: usize = 64;

/// Shape of a chip's features: in pixels, and of the encoder's frame.
pub(super) type Shapes = ((usize, usize), (usize, usize));

impl Object {
    /// Whether the mask of all parts and of one more chip would not be too large.
    pub fn has_room_for(&self, window: &Window) -> bool {
        let around = self.parts.iter().map(|part| part.window).chain([*window]);
        let (mut from, mut to) = ((i64::MAX, i64::MAX), (i64::MIN, i64::MIN));
        for w in around {
            from = (from.0.min(w.col), from.1.min(w.row));
            to = (to.0.max(w.col + w.width), to.1.max(w.row + w.height));
        }
        let (width, height) = (to.0.saturating_sub(from.0), to.1.saturating_sub(from.1));
        // A row is filled up to whole words of 64 pixels, and the mask has a border.
        (width.saturating_add(66)).saturating_mul(height.saturating_add(2)) <= Mask::MAX_PIXELS as i64
    }

    /// Joins the parts. `shapes` tells the shapes of a part's chip; `breathe` is called every few rows, since many parts over each
    /// other take long.
    ///
    /// # Errors
    /// A mask that is too large; not where [`Object::has_room_for`] was asked.
    pub fn join(
        &self,
        ends: &[BorderRun],
        shapes: impl Fn(&Window) -> Shapes,
        breathe: &dyn Fn(),
    ) -> Result<Joined, EngineError> {
        let bounds = self.parts.iter().filter_map(bounds);
        let around = bounds.reduce(|a, b| [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])]);
        let [left, top, right, bottom] = around.unwrap_or([0; 4]);
        let origin = (left - 1, top - 1);
        let mut mask = Mask::blank((bottom - top + 2) as usize, (right - left + 2) as usize)?;
        let enlarged = |part: &'_ Part| -> Result<_, EngineError> {
            let (shape, frame) = shapes(&part.window);
            Ok((shape, frame, part.window))
        };
        let shapes = self.parts.iter().map(enlarged).collect::<Result<Vec<_>, _>>()?;
        let mut voices = Vec::with_capacity(self.parts.len());
        for (part, (shape, frame, window)) in self.parts.iter().zip(shapes) {
            voices.push((window, Enlarged::new(part.logits.view(), shape, frame, shape)?));
        }
        for (index, part) in self.parts.iter().enumerate() {
            let own = part.window;
            let others: Vec<usize> = (0..self.parts.len())
                .filter(|&other| other != index && self.parts[other].window.shared(&own).is_some())
                .collect();
            for row in 0..part.mask.height() {
                if row % ROWS == 0 {
                    breathe();
                }
                for col in part.mask.set_columns(row) {
                    let (c, r) = (own.col + col as i64, own.row + row as i64);
                    if mask.get((r - origin.1) as usize, (c - origin.0) as usize) {
                        // Others have been heard on it.
                        continue;
                    }
                    let mut heard = others.iter().filter(|&&other| voices[other].0.contains(c, r)).peekable();
                    let is_set = heard.peek().is_none() || {
                        let voices = heard.chain([&index]).map(|&i| said(&voices[i], c, r));
                        voices.sum::<f64>() > 0.0
                    };
                    if is_set {
                        mask.set((r - origin.1) as usize, (c - origin.0) as usize);
                    }
                }
            }
        }
        let open = connected_to(&mask, |row, cols| {
            let row = row as i64 + origin.1;
            let cols = cols.start as i64 + origin.0..cols.end as i64 + origin.0;
            ends.iter().any(|run| {
                let (dc, dr) = run.side.outward();
                let ((c0, r0), (c1, r1)) = (run.beyond(0), run.beyond(run.length - 1));
                (r0 - dr..=r1 - dr).contains(&row) && cols.start <= c1 - dc && cols.end > c0 - dc
            })
        });
        Ok(Joined { mask, origin, open })
    }
}

/// What a chip says of a pixel: its logit by the distance from its edge.
fn said((window, logits): &(Window, Enlarged<'_>), col: i64, row: i64) -> f64 {
    let logit = logits.at((row - window.row) as usize, (col - window.col) as usize);
    f64::from(logit) * window.edge_distance(col, row) as f64
}

/// Bounds of a part's set pixels on the grid: first column and row, one past the last.
fn bounds(part: &Part) -> Option<[i64; 4]> {
    let mut found: Option<[usize; 4]> = None;
    for row in 0..part.mask.height() {
        let mut columns = part.mask.set_columns(row);
        if let Some(first) = columns.next() {
            let last = columns.last().unwrap_or(first) + 1;
            found = Some(match found {
                None => [first, row, last, row + 1],
                Some([left, top, right, _]) => [left.min(first), top, right.max(last), row + 1],
            });
        }
    }
    let (col, row) = (part.window.col, part.window.row);
    found.map(|[l, t, r, b]| [col + l as i64, row + t as i64, col + r as i64, row + b as i64])
}
