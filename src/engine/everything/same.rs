//! Whether two chips mean the same object. Pure.
//!
//! Where they overlap, the intersection within the overlap must be 0.7 of the smaller share and 0.3 of the larger one;
//! where they only abut, the shares are the stretches of the seam that each has, with a slip of three pixels. The
//! bounds are those by which `engine::stitch` believes a neighbour.

use super::super::stitch::{SLIP, Window, is_enough};
use super::sheet::Piece;

/// An overlap of fewer lines says less than the seam.
const LINES: i64 = 4;

/// Whether two pieces on one grid are parts of one object.
pub(super) fn is_same(one: &Piece, other: &Piece) -> bool {
    if !are_near(one, other) {
        return false;
    }
    let (a, b) = (&one.window, &other.window);
    let cols = [a.col.max(b.col), (a.col + a.width).min(b.col + b.width)];
    let rows = [a.row.max(b.row), (a.row + a.height).min(b.row + b.height)];
    let (across, down) = (cols[1] - cols[0], rows[1] - rows[0]);
    if across >= LINES && down >= LINES {
        return is_same_in(one, other, cols, rows);
    }
    if across.max(down) < LINES {
        // They meet at a corner.
        return false;
    }
    if across < down { meets_across(one, other, rows) } else { meets_down(one, other, cols) }
}

/// Whether there may be a pixel of the one within the slip of one of the other.
fn are_near(one: &Piece, other: &Piece) -> bool {
    let around = |piece: &Piece| {
        let (bounds, window) = (piece.runs.bounds(), &piece.window);
        let cols = [bounds.min_x, bounds.max_x].map(|col| i64::from(col) + window.col);
        (cols, [bounds.min_y, bounds.max_y].map(|row| i64::from(row) + window.row))
    };
    let meet = |a: [i64; 2], b: [i64; 2]| a[0] <= b[1] + SLIP && b[0] <= a[1] + SLIP;
    let ((cols, rows), (other_cols, other_rows)) = (around(one), around(other));
    meet(cols, other_cols) && meet(rows, other_rows)
}

fn is_same_in(one: &Piece, other: &Piece, cols: [i64; 2], rows: [i64; 2]) -> bool {
    let share = |piece: &Piece| {
        let Window { col, row, .. } = piece.window;
        piece.runs.pixels_within([cols[0] - col, cols[1] - col], [rows[0] - row, rows[1] - row])
    };
    let (ours, theirs) = (share(one), share(other));
    if ours == 0 || theirs == 0 {
        return false;
    }
    let shift = (other.window.col - one.window.col, other.window.row - one.window.row);
    is_enough(one.runs.shared(&other.runs, shift), ours, theirs)
}

/// Beside each other: rows in which each reaches the seam.
fn meets_across(one: &Piece, other: &Piece, rows: [i64; 2]) -> bool {
    let (left, right) = if one.window.col < other.window.col { (one, other) } else { (other, one) };
    if left.window.col + left.window.width < right.window.col {
        return false;
    }
    let at = |piece: &Piece, col: i64| {
        piece.runs.rows_at(col).into_iter().map(|row| row + piece.window.row).collect()
    };
    meets(at(left, left.window.width - 1), at(right, 0), rows)
}

/// One above the other: columns in which each reaches the seam.
fn meets_down(one: &Piece, other: &Piece, cols: [i64; 2]) -> bool {
    let (upper, lower) = if one.window.row < other.window.row { (one, other) } else { (other, one) };
    if upper.window.row + upper.window.height < lower.window.row {
        return false;
    }
    let at = |piece: &Piece, row: i64| {
        piece.runs.columns_at(row).into_iter().map(|col| col + piece.window.col).collect()
    };
    meets(at(upper, upper.window.height - 1), at(lower, 0), cols)
}

/// Whether two stretches of a seam, both in order, are those of one object.
fn meets(mut ours: Vec<i64>, mut theirs: Vec<i64>, along: [i64; 2]) -> bool {
    ours.retain(|at| (along[0]..along[1]).contains(at));
    theirs.retain(|at| (along[0]..along[1]).contains(at));
    if ours.is_empty() || theirs.is_empty() {
        return false;
    }
    let near = |of: &[i64], at: i64| {
        let next = of.partition_point(|&other| other < at - SLIP);
        of.get(next).is_some_and(|&other| other <= at + SLIP)
    };
    let both = ours.iter().filter(|&&at| near(&theirs, at)).count();
    is_enough(both as u64, ours.len() as u64, theirs.len() as u64)
}
