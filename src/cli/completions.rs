//! `completions`: what a shell needs to complete commands and flags, for those who built with cargo; packages install
//! the same files.

use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, ValueEnum};

use super::CliError;
use super::output::Output;

const EXAMPLES: &str = "\
Examples:
  geosam-edge completions bash --output ~/.local/share/bash-completion/completions/geosam-edge
  geosam-edge completions zsh --output ~/.zfunc/_geosam-edge      (with ~/.zfunc in fpath)
  geosam-edge completions fish --output ~/.config/fish/completions/geosam-edge.fish";

/// Print what a shell needs to complete commands and flags.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// The shell.
    #[arg(value_enum)]
    pub shell: Shell,

    /// Where it goes; `-` is standard output.
    #[arg(long, short, value_name = "FILE|-", default_value = "-")]
    pub output: PathBuf,
}

/// A shell that completes.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Shell {
    /// GNU Bash.
    Bash,
    /// Zsh.
    Zsh,
    /// Fish.
    Fish,
}

impl Args {
    pub(super) fn run(&self) -> Result<bool, CliError> {
        let script = match self.shell {
            Shell::Bash => include_str!("../../packaging/completions/geosam-edge"),
            Shell::Zsh => include_str!("../../packaging/completions/_geosam-edge"),
            Shell::Fish => include_str!("../../packaging/completions/geosam-edge.fish"),
        };
        let mut output = Output::create(Path::new(&self.output))?;
        output.bytes(script.as_bytes())?;
        output.finish()?;
        Ok(true)
    }
}
