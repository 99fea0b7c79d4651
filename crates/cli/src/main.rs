//! The `k3s-vm` program: reads the command line, runs a verb, and reports its outcome by output and exit code.

mod args;
mod command_line;
mod context;
mod dispatch;
mod environment;
mod output;
mod verbs;

use std::process::ExitCode;

use command_line::Invocation;
use output::{Output, Surroundings};

fn main() -> ExitCode {
    if let Some(failed) = host::background::step(std::env::args_os()) {
        return failed;
    }
    let invocation = match Invocation::parse(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(message) => {
            // clap prints help and version to stdout, and errors to stderr.
            let _ = message.print();
            return ExitCode::from(u8::try_from(message.exit_code()).unwrap_or(2));
        }
    };
    let output =
        Output::new(&invocation.globals, invocation.instance(), Surroundings::of_process(), environment::program());
    let result = host::interrupt::install().and_then(|()| dispatch::run_verb(invocation, &output));
    result.unwrap_or_else(|error| output.error(&error))
}
