//! A fake QEMU: takes QEMU's command line, speaks QMP and the guest agent's protocol, does what its script says.
//!
//! It prints only what QEMU or the guest would print. [`program`] gives tests the path of its executable.

mod agent;
mod arguments;
mod forwards;
mod lines;
mod migration;
mod probe;
mod qmp;
mod standstill;
mod trouble;

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use crate::script::{self, Script};
use arguments::Arguments;
use forwards::Forwards;
use standstill::Standstill;

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

/// What all threads of the fake share.
#[derive(Debug)]
struct Fake {
    script: Script,
    arguments: Arguments,
    end: Mutex<Sender<u8>>,
    /// The QMP client, which gets the events.
    client: Mutex<Option<std::os::unix::net::UnixStream>>,
    forwards: Mutex<Forwards>,
    standstill: Arc<Standstill>,
    /// Whether a reset by the guest ends it.
    reset_ends: AtomicBool,
}

/// The program.
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
        Err(words) => {
            say(&format!("qemu-system-x86_64: {words}"));
            ExitCode::FAILURE
        }
    }
}

fn script_file() -> PathBuf {
    std::env::var_os(script::VARIABLE).map_or_else(|| PathBuf::from(script::FILE), PathBuf::from)
}

/// Notes what was received, beside the script.
fn record(call: &Value) {
    let calls = std::fs::File::options().append(true).create(true).open(script_file().with_file_name(script::CALLS));
    let _ = calls.and_then(|mut calls| calls.write_all(format!("{call}\n").as_bytes()));
}

fn read_script() -> Script {
    match std::fs::read(script_file()) {
        Ok(text) => serde_json::from_slice(&text).expect("the script fits its schema"),
        Err(_) => Script::default(),
    }
}

/// Writes a line to stderr, which is `vm.log` where the fake runs in QEMU's place.
fn say(line: &str) {
    // A log that cannot be written must not change what the fake does.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Takes pid file, sockets and ports in QEMU's order; an error is what QEMU would say.
fn start(script: Script, arguments: Arguments) -> Result<(Arc<Fake>, Receiver<u8>), String> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGUSR1]).map_err(|error| error.to_string())?;
    if let Some(file) = &script.spoil {
        trouble::spoil(file);
    }
    let pid_file = take_pid_file(arguments.pid_file.as_deref())?;
    let qmp = listen(&arguments.qmp)?;
    let agent = arguments.agent.as_deref().map(listen).transpose()?;
    let standstill = Arc::new(Standstill::default());
    let mut forwards = Forwards::new(script.guest_ports.clone(), Arc::clone(&standstill));
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
        standstill,
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
        // Held as long as the process lives: its lock keeps a second one away.
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
    let told = |why: &dyn std::fmt::Display| format!("cannot create PID file: {why}");
    let options = std::fs::File::options().create(true).truncate(false).write(true).mode(0o600).open(path);
    let mut file = options.map_err(|error| told(&format!("Cannot open pid file: {error}")))?;
    file.try_lock().map_err(|_| told(&"Cannot lock pid file: Resource temporarily unavailable"))?;
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(|error| told(&error))?;
    Ok(Some(file))
}

fn listen(path: &Path) -> Result<UnixListener, String> {
    // QEMU does the same with what a former one left behind.
    let _ = std::fs::remove_file(path);
    UnixListener::bind(path).map_err(|error| format!("Failed to bind socket to {}: {error}", path.display()))
}

impl Fake {
    /// Notes a command that was received.
    fn record(&self, call: &Value) {
        record(call);
    }

    /// Sends an event to the QMP client, if there is one.
    fn event(&self, name: &str, data: &Value) {
        if let Ok(mut client) = self.client.lock()
            && let Some(stream) = client.as_mut()
        {
            let event = json!({"timestamp": {"seconds": 1, "microseconds": 0}, "event": name, "data": data});
            let _ = stream.write_all(format!("{event}\r\n").as_bytes());
        }
    }

    /// Ends the process as QEMU does: the event first.
    fn shut_down(&self, by_guest: bool, reason: &str, code: u8) {
        self.event("SHUTDOWN", &json!({"guest": by_guest, "reason": reason}));
        self.exit(code);
    }

    fn exit(&self, code: u8) {
        if let Ok(end) = self.end.lock() {
            let _ = end.send(code);
        }
    }

    /// The guest powers off, after the time that it takes.
    fn power_off(self: &Arc<Self>) {
        let fake = Arc::clone(self);
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(fake.script.power_off_ms));
            fake.shut_down(true, "guest-shutdown", 0);
        });
    }

    fn print_console(&self) {
        let mut console = std::io::stdout();
        for line in &self.script.console {
            thread::sleep(Duration::from_millis(line.after_ms));
            let _ = console.write_all(format!("{}\r\n", line.text).as_bytes()).and_then(|()| console.flush());
        }
    }

    fn exit_after(&self) {
        if let Some(exit) = &self.script.exit_after {
            thread::sleep(Duration::from_millis(exit.ms));
            self.exit(exit.code);
        }
    }

    fn clean_up(&self) {
        let sockets = [Some(&self.arguments.qmp), self.arguments.agent.as_ref(), self.arguments.pid_file.as_ref()];
        for path in sockets.into_iter().flatten() {
            let _ = std::fs::remove_file(path);
        }
    }
}
