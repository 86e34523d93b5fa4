//! Latitude before longitude: the commonest mistake of a prompt, told where the other order would be answered.

use std::sync::Arc;

use super::locate::{Located, locate};
use super::{EngineError, ServedFolder};
use crate::api::PromptItem;
use crate::catalog::CatalogError;
use crate::geo::Bounds;

/// As [`locate`]; a refusal for lack of a chip tells if the prompt with its coordinates exchanged lies on one.
pub(super) fn locate_or_advise(
    folders: &[Arc<ServedFolder>],
    item: &PromptItem,
) -> Result<Located, EngineError> {
    locate(folders, item).map_err(|mut error| {
        if let EngineError::Catalog(CatalogError::NoChipCovers(refusal)) = &mut error
            && !refusal.holds_center
        {
            let swapped = swapped(item);
            if locate(folders, &swapped).is_ok() {
                refusal.swapped = first_position(&swapped);
            }
        }
        error
    })
}

fn swapped(item: &PromptItem) -> PromptItem {
    let mut swapped = item.clone();
    swapped.prompt.points.iter_mut().for_each(|point| point.reverse());
    swapped.prompt.bbox = item.prompt.bbox.map(|b| Bounds::new(b.min_y, b.min_x, b.max_y, b.max_x));
    swapped
}

fn first_position(item: &PromptItem) -> Option<[f64; 2]> {
    let of_box = item.prompt.bbox.map(|b| [b.min_x, b.min_y]);
    item.prompt.points.first().copied().or(of_box)
}
