//! A program that looks like QEMU from outside and does what its script says.

use std::process::ExitCode;

fn main() -> ExitCode {
    testkit::fake_qemu::main(std::env::args_os().skip(1).collect())
}
