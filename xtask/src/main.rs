//! Developer tasks: `cargo xtask TASK`.
//!
//! Its output is for developers, so it prints straight to stdout, and its errors are plain.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bench;
mod sizes;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
Usage: cargo xtask TASK

Tasks:
  bench [--runs N]  Measure cold boot, rebuild, status, stop and the image's size on a real VM
  sizes             Check that source files are short and say what they own";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["bench"] => bench::run(&repository(), bench::DEFAULT_RUNS),
        ["bench", "--runs", runs] => match runs.parse() {
            Ok(runs) if runs > 0 => bench::run(&repository(), runs),
            _ => bail!("--runs {runs}: not a number of runs"),
        },
        ["sizes"] => sizes::run(&repository()),
        ["-h" | "--help" | "help"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => bail!("no such task\n\n{USAGE}"),
    }
}

/// The folder of the workspace.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(1).unwrap_or(Path::new(".")).to_path_buf()
}
