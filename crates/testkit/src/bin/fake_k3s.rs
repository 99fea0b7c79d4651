//! The executable of the stand-in for K3s; see `testkit::fake_k3s`.

use std::process::ExitCode;

fn main() -> ExitCode {
    testkit::fake_k3s::main()
}
