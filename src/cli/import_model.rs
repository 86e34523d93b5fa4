//! `import-model`: the decoder out of a checkpoint.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use indicatif::{ProgressBar, ProgressStyle};

use super::CliError;
use super::models_dir::{MODELS_VARIABLE, models_dir, models_parser};
use super::output::{note, say};
use crate::models::{ImportOptions, ImportProgress, import_checkpoint_with};

const EXAMPLES: &str = "\
Examples:
  The checkpoint that encoded the folder, onto the card:
    geosam-edge import-model sam2.1_t.pt --models /card/models

  Under a directory name of your own (the folder still finds it by the checkpoint's file name):
    geosam-edge import-model sam_b.pt --models /card/models --name sam-base";

/// Take prompt encoder and mask decoder out of a SAM checkpoint (families sam, sam2, sam3).
///
/// The checkpoint must be the one that encoded the folder: another gives garbage masks. It may be
/// Ultralytics' (`sam_b.pt`, `mobile_sam.pt`, `sam2.1_t.pt`, `sam3.pt`) or Meta's (`sam_vit_b_01ec64.pth`).
/// The image encoder, most of the file, is skipped unread.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Checkpoint file, as saved by torch.
    pub checkpoint: PathBuf,

    /// Directory of imported models [default: /var/lib/geosam-edge/models].
    #[arg(long, value_name = "DIR", env = MODELS_VARIABLE, value_parser = models_parser())]
    pub models: Option<PathBuf>,

    /// Name of the model's directory [default: the checkpoint's name without its extension].
    #[arg(long)]
    pub name: Option<String>,

    /// Store the weights in half precision: half the space, but masks may change slightly unless the
    /// weights were halves to begin with.
    #[arg(long)]
    pub half: bool,

    /// Take the place of a model of that name that was imported from other weights.
    #[arg(long)]
    pub replace: bool,
}

impl Args {
    pub(super) fn run(&self) -> Result<bool, CliError> {
        let models = models_dir(self.models.as_deref(), None);
        let bar = ProgressBar::no_length();
        let style = ProgressStyle::with_template("{msg:8} [{wide_bar}] {percent}%");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let options = ImportOptions { name: self.name.clone(), half: self.half, replace: self.replace };
        let imported = import_checkpoint_with(&self.checkpoint, &models, &options, &mut |progress| {
            let (step, done, total) = match progress {
                ImportProgress::Reading { done, total } => ("reading", done as u64, total as u64),
                ImportProgress::Hashing { done, total } => ("hashing", done, total),
                ImportProgress::Writing => ("writing", 0, 1),
            };
            bar.set_message(step);
            bar.set_length(total);
            bar.set_position(done);
        })?;
        bar.finish_and_clear();
        if !imported.exact {
            note(&"warning: weights were rounded to half precision; masks may differ slightly");
        }
        if let Some(there) = &imported.replaced {
            note(&format_args!(
                "replaced a model of other weights, which came from {} (SHA-256 {}); this one has SHA-256 {}",
                there.source_file, there.sha256, imported.info.sha256
            ));
        }
        for name in &imported.namesakes {
            note(&format_args!(
                "warning: the model {name} comes from a file named {} too, with other weights: folders of that checkpoint \
                 are not answered until one of the two is removed",
                imported.info.source_file
            ));
        }
        if !imported.info.takes_masks {
            note(
                &"the checkpoint has no parameters for masks as prompts: answers of this model cannot be refined",
            );
        }
        say(&format_args!(
            "{}: family {}, {} parameters, {:.1} MB, from {}",
            imported.info.dir.display(),
            imported.info.family,
            imported.parameters,
            imported.bytes as f64 / 1e6,
            imported.info.source_file
        ))?;
        Ok(true)
    }
}
