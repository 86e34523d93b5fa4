//! Latitude before longitude: the commonest mistake of a prompt, told where the other order would be answered. Exchanged
//! coordinates mostly lie where there is no chip, but some lie outside what the folder's CRS can express.

use std::sync::Arc;

use super::locate::{Located, locate};
use super::{EngineError, ServedFolder};
use crate::api::PromptItem;
use crate::catalog::{CatalogError, Lies};
use crate::geo::Bounds;

/// As [`locate`]; a refusal for the prompt's place tells if the prompt with its coordinates exchanged lies on a chip.
pub(super) fn locate_or_advise(
    folders: &[Arc<ServedFolder>],
    item: &PromptItem,
) -> Result<Located, EngineError> {
    locate(folders, item).map_err(|mut error| {
        let is_misplaced = match &error {
            EngineError::Catalog(CatalogError::NoChipCovers(refusal)) => refusal.lies == Lies::Outside,
            EngineError::Geo(_) | EngineError::PromptCrs(_) => true,
            _ => false,
        };
        if !is_misplaced {
            return error;
        }
        let swapped = swapped(item);
        let Some(position) = first_position(&swapped).filter(|_| locate(folders, &swapped).is_ok()) else {
            return error;
        };
        match &mut error {
            EngineError::Catalog(CatalogError::NoChipCovers(refusal)) => refusal.swapped = Some(position),
            _ => return EngineError::Swapped { source: Box::new(error), position },
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
