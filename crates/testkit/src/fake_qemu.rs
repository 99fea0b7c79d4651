//! A fake QEMU: takes QEMU's command line, speaks QMP and the guest agent's protocol, does what its script says.
//!
//! It prints only what QEMU or the guest would print. [`program`] gives tests the path of its executable.

mod agent;
mod arguments;
mod calls;
mod fake;
mod forwards;
mod lines;
mod migration;
mod paused;
mod probe;
mod qmp;
mod trouble;

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use crate::script::Script;
use arguments::Arguments;
use calls::{read_script, record, say};
use fake::Fake;
use forwards::Forwards;
use paused::Paused;

/// The fake's executable, built when first asked for (a package's tests do not build another package's programs).
///
/// # Panics
/// When it cannot be built.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| crate::built::program("fake-qemu"))
}

/// Puts the fake into `directory` under QEMU's name, for a program under test whose `PATH` begins with that directory.
///
/// # Panics
/// When the link cannot be made.
pub fn install(directory: &Path) {
    std::os::unix::fs::symlink(program(), directory.join("qemu-system-x86_64")).expect("the link to the fake");
}

/// The main function of the program.
pub fn main(words: Vec<std::ffi::OsString>) -> ExitCode {
    let script = read_script();
    if words.iter().any(|word| word == "--version") {
        let text = format!("QEMU emulator version {} (fake)\nCopyright nobody\n", script.version);
        let written = std::io::stdout().write_all(text.as_bytes());
        return ExitCode::from(u8::from(written.is_err()));
    }
    if trouble::is_sandbox_trial(&words) {
        return trouble::try_sandbox(&script);
    }
    if let Some(death) = &script.die {
        say(&death.stderr);
        return ExitCode::from(death.code);
    }
    if probe::is_meant(&words) {
        record(&json!({"execute": "probe"}));
        return probe::run(&script.probe, &words);
    }
    match Arguments::parse(&words).and_then(|arguments| start(script, arguments)) {
        Ok((fake, end)) => {
            let code = end.recv().unwrap_or(1);
            fake.clean_up();
            ExitCode::from(code)
        }
        Err(error) => {
            say(&format!("qemu-system-x86_64: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Opens pid file, sockets and ports in QEMU's order; an error is the text that QEMU would print.
fn start(script: Script, arguments: Arguments) -> Result<(Arc<Fake>, Receiver<u8>), String> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGUSR1]).map_err(|error| error.to_string())?;
    if let Some(file) = &script.spoil {
        trouble::spoil(file);
    }
    let pid_file = take_pid_file(arguments.pid_file.as_deref())?;
    let qmp = listen(&arguments.qmp)?;
    let agent = arguments.agent.as_deref().map(listen).transpose()?;
    let paused = Arc::new(Paused::default());
    let mut forwards = Forwards::new(script.guest_ports.clone(), Arc::clone(&paused));
    let _overtaker = trouble::overtake(&script, &arguments.forwards);
    if script.listen {
        for rule in &arguments.forwards {
            forwards.add(rule).map_err(|text| format!("-netdev {}: {text}", arguments.netdev))?;
        }
    }
    let (sender, receiver) = channel();
    let reset_ends = AtomicBool::new(arguments.reset_ends);
    let fake = Arc::new(Fake {
        reset_ends,
        script,
        arguments,
        end: Mutex::new(sender),
        client: Mutex::new(None),
        forwards: Mutex::new(forwards),
        paused,
    });
    let spawn = |work: fn(&Fake)| {
        let fake = Arc::clone(&fake);
        thread::spawn(move || work(&fake));
    };
    spawn(Fake::print_console);
    spawn(Fake::exit_after);
    spawn(Fake::reset_after);
    spawn(Fake::flood);
    let shared = Arc::clone(&fake);
    thread::spawn(move || qmp::serve(&shared, &qmp));
    if let Some(agent) = agent {
        let shared = Arc::clone(&fake);
        thread::spawn(move || agent::serve(&shared, &agent));
    }
    let shared = Arc::clone(&fake);
    thread::spawn(move || {
        // Open as long as the process lives: its lock keeps a second one from starting.
        let _pid_file = pid_file;
        for signal in signals.forever() {
            if signal == SIGUSR1 {
                shared.reset();
            } else if !shared.script.ignore_sigterm {
                shared.shut_down(false, "host-signal", 0);
            }
        }
    });
    Ok((fake, receiver))
}

fn take_pid_file(path: Option<&Path>) -> Result<Option<std::fs::File>, String> {
    let Some(path) = path else { return Ok(None) };
    let error = |why: &dyn std::fmt::Display| format!("cannot create PID file: {why}");
    let options = std::fs::File::options().create(true).truncate(false).write(true).mode(0o600).open(path);
    let mut file = options.map_err(|why| error(&format!("Cannot open pid file: {why}")))?;
    file.try_lock().map_err(|_| error(&"Cannot lock pid file: Resource temporarily unavailable"))?;
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(|why| error(&why))?;
    Ok(Some(file))
}

fn listen(path: &Path) -> Result<UnixListener, String> {
    // QEMU also removes a socket that an earlier one left behind.
    let _ = std::fs::remove_file(path);
    UnixListener::bind(path).map_err(|error| format!("Failed to bind socket to {}: {error}", path.display()))
}
