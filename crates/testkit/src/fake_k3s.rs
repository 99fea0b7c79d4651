//! A stand-in for K3s in a guest: it writes how it was started, notifies systemd that it is ready, and ends at SIGTERM.
//!
//! It serves nothing. It shows that an image has K3s's files in their places and that systemd runs the unit, but not what K3s
//! itself would do.

use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::OnceLock;

use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;

/// The version that it prints.
pub const VERSION: &str = "v0.0.1+k3s1";
/// The file in the guest with a JSON text on how it was started.
pub const REPORT: &str = "/run/k3s-stand-in.json";
/// The file to which it writes a line at SIGTERM. It is on the disk, so that it can be read after the next boot.
pub const FAREWELL: &str = "/var/lib/k3s-stand-in.farewell";

/// The path of its executable, which is built at the first call.
///
/// # Panics
/// When it cannot be built.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| crate::built::program("fake-k3s"))
}

/// The main function of the program: `--version`, `server`, or the name of one of K3s's tools.
pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let name = Path::new(&arguments[0]).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut out = std::io::stdout();
    let result = match arguments.get(1).map(String::as_str) {
        _ if name != "k3s" && !name.starts_with("fake-k3s") => writeln!(out, "{name} of the stand-in"),
        Some("--version") => writeln!(out, "k3s version {VERSION} (stand-in)\ngo version go0.0"),
        Some("server") => serve(&arguments),
        _ => return ExitCode::from(2),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "stand-in: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &[String]) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGTERM])?;
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let report = serde_json::json!({
        "arguments": arguments,
        "cgroup": std::fs::read_to_string("/proc/self/cgroup")?.trim(),
        "limits": std::fs::read_to_string("/proc/self/limits")?,
        "oom": std::fs::read_to_string("/proc/self/oom_score_adj")?.trim(),
        "GODEBUG": variable("GODEBUG"),
    });
    std::fs::write(REPORT, report.to_string())?;
    // sd_notify(3).
    UnixDatagram::unbound()?.send_to(b"READY=1", variable("NOTIFY_SOCKET"))?;
    signals.forever().next();
    std::fs::write(FAREWELL, "told to go\n")
}
