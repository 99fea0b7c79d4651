//! Developer tasks: `cargo xtask TASK`.
//!
//! It is for developers, so it prints to stdout directly, and its errors have no exit codes of their own.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bench;
mod circles;
mod heads;
mod nix;
mod rust_files;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
Usage: cargo xtask TASK

Tasks:
  bench [--runs N] [--against NAME=COMMAND]...
         Measure cold boot, rebuild, status, stop, apply and the image's size on a real VM, and another tool
         in the same run: COMMAND returns once its cluster is Ready, and `COMMAND clean` removes it
  bench instant [--runs N] [--resets N] [--json FILE]
         Measure reset, run, stop and start, pause and resume, snapshot save and a clone's memory against the cold
         boot and QEMU's own snapshots of the same run; then do 200 (or N) resets in a row, which must leave
         nothing behind
  circles
         Check that no files of a crate use each other in a circle
  heads  Check that Rust files say what they own
  nix    Unpack Debian's Nix into target/nix, for the tests that evaluate guest/nixos";

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
        ["bench", "instant", options @ ..] => {
            bench::instant::run(&repository(), &bench::instant::Options::parse(options)?)
        }
        ["bench", options @ ..] => {
            let (runs, against) = bench_options(options)?;
            bench::run(&repository(), runs, &against)
        }
        ["nix"] => nix::run(&repository()),
        ["circles"] => circles::run(&repository()),
        ["heads"] => heads::run(&repository()),
        ["-h" | "--help" | "help"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => bail!("no such task\n\n{USAGE}"),
    }
}

fn bench_options(mut words: &[&str]) -> Result<(usize, Vec<bench::Against>)> {
    let (mut runs, mut against) = (bench::DEFAULT_RUNS, Vec::new());
    while let [option, value, rest @ ..] = words {
        match (*option, value.parse()) {
            ("--runs", Ok(number)) if number > 0 => runs = number,
            ("--runs", _) => bail!("--runs {value}: not a number of runs"),
            ("--against", _) => against.push(bench::Against::parse(value)?),
            _ => bail!("no such option: {option}\n\n{USAGE}"),
        }
        words = rest;
    }
    match words {
        [] => Ok((runs, against)),
        [option, ..] => bail!("{option} needs a value\n\n{USAGE}"),
    }
}

/// The root directory of the workspace.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(1).unwrap_or(Path::new(".")).to_path_buf()
}
