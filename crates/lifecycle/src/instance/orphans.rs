//! Orphans: VMs whose project is gone or unknown, and other processes in the way of this instance. They are found by name
//! and by the ports that the configuration wants, and ended where they are proven ours.

mod orphan;

use std::net::SocketAddr;
use std::time::Duration;

use host::identity::ProcessHandle;
use host::port_holder::{CannotListen, PortHolder, can_listen, cannot_listen, port_holders};
use host::process_table::{ProcessInfo, processes, working_directory};
use model::port::Port;
use model::{BindAddress, Error, ErrorClass, Result};
use qemu::power::Escalation;

use crate::context::Context;
use crate::instance::ownership::{Asker, Owner, is_vm, owner};
use crate::instance::ports;

use orphan::WantedPort;
pub use orphan::{HeldPort, Orphan};

/// How much of a command line is shown, in characters.
const COMMAND_LENGTH: usize = 160;

fn describe(context: &Context<'_>, process: &ProcessInfo) -> Orphan {
    let words: Vec<String> = process.arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    Orphan {
        pid: Some(process.pid),
        user: process.user.clone(),
        is_own: process.is_own,
        command: words.join(" ").chars().take(COMMAND_LENGTH).collect(),
        owner: owner(Asker::of(context), process, &working_directory(process.pid)),
        ports: Vec::new(),
    }
}

/// Finds the orphans: VMs whose project directory is gone, VMs of unknown owners, and every process that holds a port that
/// the configuration wants. VMs of other projects count only where they hold such a port.
///
/// `own` is the pid of this instance's VM where it runs, which is left out: to root it may look like another user's.
///
/// # Errors
/// Errors of reading the process table.
pub fn look(context: &Context<'_>, own: Option<u32>) -> Result<Vec<Orphan>> {
    let mut found = vms(context)?;
    // A VM that runs holds its ports itself, and a search for holders looks at every descriptor of every process.
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
    Ok(processes()?.iter().filter(|process| is_vm(process)).map(|process| describe(context, process)).collect())
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
        Some(process) => describe(context, process),
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

/// The ports that the instance wants, each with the setting that changes it.
fn wanted(context: &Context<'_>) -> Result<[WantedPort; 3]> {
    let ports = ports::of(context)?;
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

/// Ends the VMs whose project directory is gone, with a note for each. Returns how many were ended.
///
/// # Errors
/// A Timeout error when not even SIGKILL ends one.
pub(crate) fn end_abandoned(context: &Context<'_>) -> Result<u32> {
    // Their sockets were removed with their directories, so only signals reach them.
    let seconds = Duration::from_secs(5);
    let escalation = Escalation { terminate: seconds, kill: seconds, ..Escalation::hard() };
    let is_abandoned = |orphan: &Orphan| matches!(orphan.owner, Owner::GoneProject { .. });
    // The search for port holders is slow, and needed only where there is such a VM.
    let found = if vms(context)?.iter().any(is_abandoned) { look(context, None)? } else { Vec::new() };
    let mut ended = 0;
    for orphan in found {
        let (Owner::GoneProject { .. }, Some(pid)) = (&orphan.owner, orphan.pid) else { continue };
        let proven = ProcessHandle::prove(pid, |process, directory| {
            matches!(owner(Asker::of(context), process, directory), Owner::GoneProject { .. })
        })?;
        if let Some(process) = proven {
            context.events.note(format!("{}: ending it", orphan.sentence()));
            escalation.stop(&process, &context.paths().vm_dir(), context.events)?;
            ended += 1;
        }
    }
    Ok(ended)
}

/// Checks that no other process holds a port of the instance, before anything is destroyed for it. `own` are the ports that
/// this instance's running VM holds.
///
/// # Errors
/// A Port error that names the holders.
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
    // `reset` ends these VMs, so they are not in its way.
    let taken: Vec<WantedPort> = taken.into_iter().filter(|port| !freed(port)).collect();
    if taken.is_empty() { Ok(()) } else { Err(taken_error(bind, &taken, &holders)) }
}

/// Checks that this user could listen on the ports of the instance, whoever holds them.
///
/// # Errors
/// A Config error for an address that is not one of this host; a Host error for a port that is reserved for root.
pub(crate) fn check_listenable(context: &Context<'_>) -> Result<()> {
    let bind = context.project.config.ports.bind;
    for WantedPort { number, setting } in wanted(context)? {
        match cannot_listen(bind.ip(), number) {
            None => {}
            Some(CannotListen::NoSuchAddress) => {
                return Err(Error::new(ErrorClass::Config, format!("ports.bind = {bind} cannot be used"))
                    .because("it is not an address of this host")
                    .next("ip -4 address    # shows the addresses of this host")
                    .next("or leave ports.bind out: the default is 127.0.0.1"));
            }
            Some(CannotListen::NoPermission) => {
                return Err(Error::new(ErrorClass::Host, format!("cannot listen on port {number} of {bind}"))
                    .because("this system reserves low ports for root (net.ipv4.ip_unprivileged_port_start)")
                    .next(format!("choose a port above 1023: {setting}")));
            }
        }
    }
    Ok(())
}

/// Turns the error that QEMU could not open a port into one that names the holders of all taken ports.
pub(crate) fn explain(context: &Context<'_>, error: Error) -> Error {
    let Ok(holders) = holders(context) else { return error };
    let Ok(wanted) = wanted(context) else { return error };
    let is_held = |port: &WantedPort| holders.iter().any(|holder| holder.holds(port));
    let taken: Vec<WantedPort> = wanted.into_iter().filter(is_held).collect();
    // Where no holder is seen, QEMU's own message says more.
    if taken.is_empty() { error } else { taken_error(context.project.config.ports.bind, &taken, &holders) }
}

/// The processes that hold a wanted port.
fn holders(context: &Context<'_>) -> Result<Vec<Orphan>> {
    let mut found = Vec::new();
    add_holders(context, &mut found)?;
    Ok(found)
}

fn taken_error(bind: BindAddress, taken: &[WantedPort], holders: &[Orphan]) -> Error {
    let holders: Vec<&Orphan> = holders.iter().filter(|holder| taken.iter().any(|port| holder.holds(port))).collect();
    let mut error = Error::new(ErrorClass::Port, orphan::headline(bind, taken));
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
