//! The `k3s-vm` program: reads the command line, runs a verb, and turns its outcome into words and an exit code.

mod args;
mod dispatch;
mod fork;
mod output;

use std::process::ExitCode;

use args::Invocation;
use output::{Output, Surroundings};

/// How the user calls this program; the launcher sets it, since its own name is what they typed.
pub(crate) const PROGRAM_VARIABLE: &str = "K3S_VM_PROGRAM";

fn main() -> ExitCode {
    if let Some(failed) = host::background::step(std::env::args_os()) {
        return failed;
    }
    let invocation = match Invocation::parse(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(message) => {
            // Help and version go to stdout, mistakes to stderr; clap knows which.
            let _ = message.print();
            return ExitCode::from(u8::try_from(message.exit_code()).unwrap_or(2));
        }
    };
    let program = std::env::var(PROGRAM_VARIABLE).unwrap_or_else(|_| "k3s-vm".to_owned());
    let output = Output::new(&invocation, Surroundings::of_process(), program);
    let result = host::interrupt::install().and_then(|()| dispatch::verb(invocation, &output));
    result.unwrap_or_else(|error| output.error(&error))
}
