//! The keeper: takes what the service hands over into what is known, looks into the layers' files for what nobody has
//! told, and keeps the ledger.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::ledger::Ledger;
use super::shared::Shared;
use crate::layers::LayerOp;
use crate::layers::export::cot::Shapes;
use crate::layers::export::{ExportError, Walk, layer_names};

/// How long it waits for news before it writes what targets have found.
const PAUSE: Duration = Duration::from_secs(5);

/// Works until the thread ends.
pub(super) async fn keep(shared: &Shared, state: PathBuf, mut ledger: Ledger) {
    let mut woken = shared.wake.subscribe();
    let mut look_at = Instant::now();
    loop {
        woken.mark_unchanged();
        take_in(shared);
        if shared.take_overflown() || look_at <= Instant::now() {
            look_at = Instant::now() + shared.options.interval;
            look(shared, &state);
        }
        write(shared, &mut ledger);
        // Its other end is held by what we borrow.
        let _ = timeout(PAUSE.min(shared.options.interval), woken.changed()).await;
    }
}

/// Writes the ledger.
fn write(shared: &Shared, ledger: &mut Ledger) {
    let (entries, known) = shared.with_known(|known| (known.take_entries(), known.len()));
    ledger.write(&entries, known, || shared.with_known(|known| known.all()));
}

fn take_in(shared: &Shared) {
    while let Some(change) = shared.next_change() {
        match &change {
            LayerOp::Append { layer, id, line } | LayerOp::Replace { layer, id, line } => {
                if !shared.options.has_layer(layer) {
                    continue;
                }
                match Shapes::of_line(layer, line) {
                    Some(shapes) => shared.saved(shapes),
                    // What it was is not there any more.
                    None => shared.gone(layer, id),
                }
            }
            LayerOp::Remove { layer, id } => {
                if shared.options.has_layer(layer) {
                    shared.gone(layer, id);
                }
            }
        }
    }
}

/// Finds out which of the objects that were sent are in no layer any more.
fn look(shared: &Shared, state: &Path) {
    let mut look = shared.with_known(|known| known.snapshot());
    let looked = (|| -> Result<(), ExportError> {
        for layer in layer_names(state)?.iter().filter(|layer| shared.options.has_layer(layer)) {
            match Walk::open(state, layer) {
                Ok(walk) => walk.each_id(|id| look.found(id))?,
                // It was taken away since its directory was listed.
                Err(ExportError::NoLayer { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    })();
    if let Err(error) = looked {
        // Nothing is known to be gone. Targets that read the file tell the same.
        tracing::debug!(%error, "layers cannot be looked at");
        return;
    }
    // What was changed while we looked is in here, and counts.
    take_in(shared);
    shared.with_known(|known| known.conclude(look));
    shared.wake.send_modify(|count| *count = count.wrapping_add(1));
}
