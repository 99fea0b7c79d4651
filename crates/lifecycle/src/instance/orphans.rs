//! VMs that nobody looks after any more, and whoever else is in the way of this instance: found by name and by the
//! ports that the configuration wants.
//!
//! It finds, names and, where they are proven ours, ends them. What is said of them is in `wording`.

mod wording;

use std::net::SocketAddr;
use std::time::Duration;

use host::identity::ProcessHandle;
use host::port_holder::{PortHolder, can_listen, port_holders};
use host::process_table::{ProcessInfo, processes, working_directory};
use model::port::Port;
use model::{BindAddress, Error, ErrorClass, Result};
use qemu::power::Escalation;
use serde::Serialize;

use crate::context::Context;
use crate::instance::ownership::{Owner, is_vm, owner};

pub use wording::HeldPort;
use wording::WantedPort;

/// A process that is in the way or was left behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Orphan {
    /// Its pid, or nothing where this user may not see whose the port is.
    pub pid: Option<u32>,
    /// The user it runs as.
    pub user: String,
    /// Whether this user may signal it.
    pub is_own: bool,
    /// Its command line, cut.
    pub command: String,
    /// Whose it is.
    #[serde(flatten)]
    pub owner: Owner,
    /// Which of the ports that this instance wants it holds.
    pub ports: Vec<HeldPort>,
}

/// How much of a command line is shown, in characters.
const COMMAND_LENGTH: usize = 160;

impl Orphan {
    fn holds(&self, port: &WantedPort) -> bool {
        self.ports.iter().any(|held| held.wanted == *port)
    }

    fn of(context: &Context<'_>, process: &ProcessInfo) -> Self {
        let words: Vec<String> = process.arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        Orphan {
            pid: Some(process.pid),
            user: process.user.clone(),
            is_own: process.is_own,
            command: words.join(" ").chars().take(COMMAND_LENGTH).collect(),
            owner: owner(context.asker(), process, &working_directory(process.pid)),
            ports: Vec::new(),
        }
    }
}

/// All but this instance's own VM, whose pid is `own` where it runs (as root one sees that it is another user's): VMs whose directory is gone and those of unknown owners, and everybody who holds a port
/// that the configuration wants. A VM of another project that is not in the way is none of our business.
///
/// # Errors
/// Errors of reading the process table.
pub fn look(context: &Context<'_>, own: Option<u32>) -> Result<Vec<Orphan>> {
    let mut found = vms(context)?;
    // A VM that runs holds its ports itself, and to look for holders means to look at every descriptor of every process.
    if own.is_none() {
        add_holders(context, &mut found)?;
    }
    found.retain(|orphan| match orphan.owner {
        Owner::Instance => false,
        _ if own.is_some() && orphan.pid == own => false,
        Owner::OtherProject { .. } => !orphan.ports.is_empty(),
        Owner::GoneProject { .. } | Owner::Stranger => true,
    });
    Ok(found)
}

/// All VMs that this user can see.
fn vms(context: &Context<'_>) -> Result<Vec<Orphan>> {
    Ok(processes()?.iter().filter(|process| is_vm(process)).map(|process| Orphan::of(context, process)).collect())
}

fn add_holders(context: &Context<'_>, found: &mut Vec<Orphan>) -> Result<()> {
    let bind = context.project.config.ports.bind;
    for port in wanted(context)? {
        for holder in port_holders(bind.ip(), port.number)? {
            add_holder(context, found, port, &holder);
        }
    }
    Ok(())
}

fn add_holder(context: &Context<'_>, found: &mut Vec<Orphan>, port: WantedPort, holder: &PortHolder) {
    let pid = holder.process.as_ref().map(|process| process.pid);
    let held = HeldPort { wanted: port, address: SocketAddr::new(holder.address, port.number.number()) };
    if let Some(known) = found.iter_mut().find(|known| known.pid == pid && known.user == holder.user) {
        if !known.ports.contains(&held) {
            known.ports.push(held);
        }
        return;
    }
    let mut orphan = match &holder.process {
        Some(process) => Orphan::of(context, process),
        None => Orphan {
            pid: None,
            user: holder.user.clone(),
            is_own: false,
            command: String::new(),
            owner: Owner::Stranger,
            ports: Vec::new(),
        },
    };
    orphan.ports.push(held);
    found.push(orphan);
}

/// The ports of the instance, with the place where each is set.
fn wanted(context: &Context<'_>) -> Result<[WantedPort; 3]> {
    let ports = context.ports()?;
    let settings = match context.is_default() {
        true => ["ports.api in .k3s-vm/config.toml", "ports.ssh in .k3s-vm/config.toml", "WEB_PORT in .env"],
        false => ["--set ports.api=PORT", "--set ports.ssh=PORT", "--set ports.web=PORT"],
    };
    let [api, ssh, web] = settings;
    Ok([
        WantedPort { number: ports.api, setting: api },
        WantedPort { number: ports.ssh, setting: ssh },
        WantedPort { number: ports.web, setting: web },
    ])
}

/// Ends the VMs whose directory is gone, and tells of each. The others are told of by [`look`].
///
/// # Errors
/// A Timeout error when not even SIGKILL ends one.
pub(crate) fn end_abandoned(context: &Context<'_>) -> Result<u32> {
    // Their sockets went with their directories, so nothing but signals reaches them.
    let seconds = Duration::from_secs(5);
    let escalation = Escalation { terminate: seconds, kill: seconds, ..Escalation::hard() };
    let is_abandoned = |orphan: &Orphan| matches!(orphan.owner, Owner::GoneProject { .. });
    // Where there is none, nobody has to ask what it holds.
    let found = if vms(context)?.iter().any(is_abandoned) { look(context, None)? } else { Vec::new() };
    let mut ended = 0;
    for orphan in found {
        let (Owner::GoneProject { .. }, Some(pid)) = (&orphan.owner, orphan.pid) else { continue };
        let proven = ProcessHandle::prove(pid, |process, directory| {
            matches!(owner(context.asker(), process, directory), Owner::GoneProject { .. })
        })?;
        if let Some(process) = proven {
            context.events.note(format!("{}: ending it", orphan.sentence()));
            escalation.stop(&process, &context.paths().vm_dir(), context.events)?;
            ended += 1;
        }
    }
    Ok(ended)
}

/// The error for ports that others hold, so that what is there can be left as it is; `own` are the ports that this
/// instance's running VM holds, which nobody else can have.
///
/// # Errors
/// That Port error.
pub(crate) fn check_ports(context: &Context<'_>, own: &[Port]) -> Result<()> {
    let bind = context.project.config.ports.bind;
    let taken = |port: &WantedPort| !own.contains(&port.number) && !can_listen(bind.ip(), port.number);
    let taken: Vec<WantedPort> = wanted(context)?.into_iter().filter(taken).collect();
    if taken.is_empty() {
        return Ok(());
    }
    let holders = holders(context)?;
    let freed = |port: &WantedPort| {
        holders
            .iter()
            .any(|holder| matches!(holder.owner, Owner::GoneProject { .. } | Owner::Instance) && holder.holds(port))
    };
    // What `reset` is about to end is not in its way.
    let taken: Vec<WantedPort> = taken.into_iter().filter(|port| !freed(port)).collect();
    if taken.is_empty() { Ok(()) } else { Err(told(bind, &taken, &holders)) }
}

/// `error` says that QEMU could not open a port; the answer says whose all the taken ones are.
pub(crate) fn explain(context: &Context<'_>, error: Error) -> Error {
    let Ok(holders) = holders(context) else { return error };
    let Ok(wanted) = wanted(context) else { return error };
    let is_held = |port: &WantedPort| holders.iter().any(|holder| holder.holds(port));
    let taken: Vec<WantedPort> = wanted.into_iter().filter(is_held).collect();
    // Nobody is seen: QEMU's own words say more.
    if taken.is_empty() { error } else { told(context.project.config.ports.bind, &taken, &holders) }
}

/// Who holds a wanted port.
fn holders(context: &Context<'_>) -> Result<Vec<Orphan>> {
    let mut found = Vec::new();
    add_holders(context, &mut found)?;
    Ok(found)
}

fn told(bind: BindAddress, taken: &[WantedPort], holders: &[Orphan]) -> Error {
    let holders: Vec<&Orphan> = holders.iter().filter(|holder| taken.iter().any(|port| holder.holds(port))).collect();
    let mut error = Error::new(ErrorClass::Port, wording::headline(bind, taken));
    for holder in &holders {
        error = error.because(holder.sentence());
    }
    if holders.is_empty() {
        error = error.because("no listener is seen now; it may have ended");
    }
    for step in holders.iter().flat_map(|holder| holder.steps()) {
        error = error.next(step);
    }
    let settings: Vec<&str> = taken.iter().map(|port| port.setting).collect();
    error.next(format!("or choose another port: {}", settings.join(", ")))
}
