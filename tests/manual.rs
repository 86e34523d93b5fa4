//! The man pages and shell completions that the packages install are those of the program. They stand in
//! `packaging/`, so that building a package needs no second program for the machine that builds, and the program
//! on the board does not carry their generator. After a change of the command line:
//!
//!     GEOSAM_WRITE_MANUAL=1 cargo test --test manual

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use geosam_edge::cli::Cli;

#[test]
fn man_pages_and_completions_are_those_of_the_program() {
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
    let expected: BTreeMap<PathBuf, Vec<u8>> = pages().into_iter().chain(completions()).collect();
    if std::env::var_os("GEOSAM_WRITE_MANUAL").is_some() {
        for directory in ["man", "completions"] {
            let _ = fs::remove_dir_all(packaging.join(directory));
            fs::create_dir_all(packaging.join(directory)).unwrap();
        }
        for (path, text) in &expected {
            fs::write(packaging.join(path), text).unwrap();
        }
    }
    for (path, text) in &expected {
        let found = fs::read(packaging.join(path)).unwrap_or_default();
        assert!(
            found == *text,
            "packaging/{} is not what the program says; run GEOSAM_WRITE_MANUAL=1 cargo test --test manual",
            path.display()
        );
    }
    let on_disk: usize =
        ["man", "completions"].iter().map(|d| fs::read_dir(packaging.join(d)).unwrap().count()).sum();
    assert_eq!(on_disk, expected.len(), "packaging/ has pages of commands that are gone");
}

/// The program as it is packaged: without the demo, which a test build may have, and without what no user calls.
fn program() -> Command {
    let full = Cli::command();
    let packaged = |command: &&Command| command.get_name() != "demo" && !command.is_hide_set();
    let mut program = Command::new("geosam-edge")
        .version(env!("CARGO_PKG_VERSION"))
        .about(full.get_about().cloned().unwrap_or_default())
        .long_about(full.get_long_about().cloned().unwrap_or_default())
        .after_help(full.get_after_help().cloned().unwrap_or_default())
        .subcommand_required(true)
        .disable_help_subcommand(true)
        .subcommands(full.get_subcommands().filter(packaged).cloned());
    program.build();
    program
}

/// One page for the program and one for each command, `geosam-edge-segment(1)`.
fn pages() -> Vec<(PathBuf, Vec<u8>)> {
    let program = program();
    let commands = std::iter::once(&program).chain(program.get_subcommands());
    commands
        .map(|command| {
            let name = command.get_display_name().unwrap_or("geosam-edge").to_owned();
            let version = concat!("geosam-edge ", env!("CARGO_PKG_VERSION"));
            let page = clap_mangen::Man::new(command.clone())
                .title(name.to_uppercase())
                .source(version)
                .manual("geosam-edge");
            let mut text = Vec::new();
            page.render(&mut text).unwrap();
            (Path::new("man").join(format!("{name}.1")), text)
        })
        .collect()
}

/// Under the names that each shell looks for.
fn completions() -> Vec<(PathBuf, Vec<u8>)> {
    let shells =
        [(Shell::Bash, "geosam-edge"), (Shell::Zsh, "_geosam-edge"), (Shell::Fish, "geosam-edge.fish")];
    shells
        .into_iter()
        .map(|(shell, file)| {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut program(), "geosam-edge", &mut text);
            let text = String::from_utf8(text).expect("scripts are text");
            // clap_complete 4.6 calls the parts of a hyphenated program by two names (clap-rs/clap#6421), and bash found none.
            let text = text.replace("geosam__subcmd__edge__subcmd__", "geosam__edge__subcmd__").into_bytes();
            (Path::new("completions").join(file), text)
        })
        .collect()
}

#[test]
fn bash_completes_commands_flags_and_values() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/completions/geosam-edge");
    for (words, expected) in [
        (&["seg"][..], "segment"),
        (&["segment", "--vec"], "--vectorization"),
        (&["segment", "--vectorization", "s"], "simplified"),
        (&["export", "--format", "km"], "kml kmz"),
        (&["export-onnx", "--ou"], "--output"),
    ] {
        let all = ["geosam-edge"].iter().chain(words).copied().collect::<Vec<_>>();
        let tab = r#"source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
            _geosam__edge geosam-edge "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"; echo "${COMPREPLY[*]}""#;
        let done = std::process::Command::new("bash").args(["-c", tab]).arg(&script).args(&all).output();
        let done = done.expect("bash runs");
        assert_eq!(String::from_utf8_lossy(&done.stdout).trim(), expected, "{words:?}");
    }
}
