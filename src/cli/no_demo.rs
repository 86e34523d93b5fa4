//! `geosam-edge demo` in a program that was built without it: how to get one that has it.

use std::ffi::OsString;

use clap::Args as ClapArgs;

use super::output::note;

/// The demo's flags, of which this program knows nothing.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Whatever the demo takes.
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    flags: Vec<OsString>,
}

/// What to do instead.
const ADVICE: &str = "geosam-edge: this program was built without the demo, which brings a broker with it. With Rust, in a clone of the \
                      repository: cargo run --features demo -- demo";

impl Args {
    /// Tells it; never does what was asked.
    pub(super) fn run(&self) -> bool {
        tracing::debug!(flags = self.flags.len(), "no demo");
        note(&format_args!("{ADVICE}"));
        false
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        demo: Args,
    }

    #[test]
    fn whatever_is_asked_of_the_demo_the_way_to_it_is_told() {
        for flags in [&["demo"][..], &["demo", "--keep", "--port", "1883"], &["demo", "--overlay", "x", "y"]]
        {
            let line = Line::try_parse_from(flags).unwrap();
            assert!(!line.demo.run());
        }
        assert!(ADVICE.contains("cargo run --features demo -- demo"));
    }
}
