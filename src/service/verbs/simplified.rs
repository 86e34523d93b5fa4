//! What was simplified of a batch: how many objects, and with which tolerances.

use serde_json::{Value, json};

/// Counts it.
#[derive(Debug, Default)]
pub(super) struct Simplified {
    objects: usize,
    /// Those that were drawn coarser than they were asked for, to fit.
    coarser: usize,
    /// The smallest and largest tolerance.
    range: Option<[f64; 2]>,
}

impl Simplified {
    /// Notes an object: the tolerance that it was drawn with, and the one that was asked for.
    pub fn note(&mut self, drawn: Option<f64>, asked: Option<f64>) {
        let Some(tolerance) = drawn else { return };
        self.objects += 1;
        self.coarser += usize::from(asked.is_none_or(|asked| tolerance > asked));
        let [least, most] = self.range.unwrap_or([tolerance; 2]);
        self.range = Some([least.min(tolerance), most.max(tolerance)]);
    }

    /// The member of the answer; `None` where nothing was simplified.
    pub fn told(&self) -> Option<Value> {
        let range = self.range?;
        Some(json!({"objects": self.objects, "coarser": self.coarser, "tolerance": range}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_drawn_coarser_than_asked_is_told_apart() {
        let mut simplified = Simplified::default();
        simplified.note(None, None);
        assert_eq!(simplified.told(), None);
        simplified.note(Some(1.5), Some(1.5));
        simplified.note(Some(6.0), Some(1.5));
        simplified.note(Some(3.0), None);
        let told = json!({"objects": 3, "coarser": 2, "tolerance": [1.5, 6.0]});
        assert_eq!(simplified.told(), Some(told));
    }
}
