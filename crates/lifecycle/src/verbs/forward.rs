//! `forward`: opens and closes ports of the host that lead into the running guest, and saves them in the configuration.

use host::files::{self, Mode, UserFile};
use model::config::{PortForward, Ports, edit};
use model::port::Port;
use model::{BindAddress, Error, ErrorClass, Result};
use qemu::{Forward, ForwardError, Qmp};
use serde::Serialize;

use crate::context::Context;
use crate::instance::forwards;
use crate::instance::lock;
use crate::instance::observe::{Observed, not_running, observe};
use crate::instance::ports;
use crate::instance::qmp;

/// What a forward is for, in the order of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// The Kubernetes API.
    Api,
    /// The guest's sshd.
    Ssh,
    /// The web application.
    Web,
    /// A forward of the user.
    Own,
}

/// A forward of the instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ForwardReport {
    /// The host's address.
    pub bind: BindAddress,
    /// The host's port; `None` where it is chosen at the next start.
    pub host: Option<Port>,
    /// The guest's port; `None` where the manifests decide it at the next start.
    pub guest: Option<Port>,
    /// What it is for.
    pub purpose: Purpose,
    /// Whether it is open now.
    pub open: bool,
    /// Whether it is in the configuration, so that every start opens it.
    pub kept: bool,
}

/// The forwards of the running VM, or of the configuration alone.
struct Instance<'a> {
    context: &'a Context<'a>,
    ports: Ports,
    /// Where it runs.
    qmp: Option<Qmp>,
}

impl<'a> Instance<'a> {
    fn look(context: &'a Context<'a>) -> Result<Self> {
        let (ports, qmp) = match observe(context)? {
            Observed::Running(running) => {
                let qmp = qmp::connect(&context.paths())?;
                (running.state_file.ports(), Some(qmp))
            }
            Observed::Stopped | Observed::Absent | Observed::Orphan(_) => (ports::of(context)?, None),
        };
        Ok(Instance { context, ports, qmp })
    }

    fn open(&mut self) -> Result<Vec<Forward>> {
        self.qmp.as_mut().map_or_else(|| Ok(Vec::new()), Qmp::forwards)
    }

    fn purpose(&self, host: Port) -> Purpose {
        match host {
            _ if host == self.ports.api => Purpose::Api,
            _ if host == self.ports.ssh => Purpose::Ssh,
            _ if host == self.ports.web => Purpose::Web,
            _ => Purpose::Own,
        }
    }

    /// Checks that the host's port is not one that the tool itself needs.
    fn check_own(&self, host: Port) -> Result<()> {
        let (what, key) = match self.purpose(host) {
            Purpose::Own => return Ok(()),
            Purpose::Api => ("the Kubernetes API", "ports.api in .k3s-vm/config.toml changes it"),
            Purpose::Ssh => ("the guest's sshd", "ports.ssh in .k3s-vm/config.toml changes it"),
            Purpose::Web => ("the web application", "WEB_PORT in .env changes it"),
        };
        Err(Error::new(ErrorClass::Config, format!("port {host} is that of {what}"))
            .because(key)
            .next(self.context.command("forward list")))
    }

    /// Whether `forward` is in the configuration.
    fn is_configured(&self, forward: &Forward) -> bool {
        self.context.project.config.forwards.iter().any(|configured| self.is(configured, forward))
    }

    /// Whether `forward` is the `configured` one: by its host port, or by the guest's where the host port is chosen.
    fn is(&self, configured: &PortForward, forward: &Forward) -> bool {
        let host = configured.host.filter(|_| self.context.is_default());
        configured.guest.number() == forward.guest && host.is_none_or(|host| host == forward.host)
    }

    fn report(&self, forward: &Forward) -> ForwardReport {
        let purpose = self.purpose(forward.host);
        ForwardReport {
            bind: forward.bind,
            host: Some(forward.host),
            guest: Port::new(forward.guest),
            purpose,
            open: true,
            kept: purpose != Purpose::Own || self.is_configured(forward),
        }
    }
}

/// All forwards of the instance: those of the tool, then the user's by port.
///
/// # Errors
/// Errors of QMP and of reading.
pub fn list(context: &Context<'_>) -> Result<Vec<ForwardReport>> {
    let mut instance = Instance::look(context)?;
    let open = instance.open()?;
    let mut reports: Vec<ForwardReport> = open.iter().map(|forward| instance.report(forward)).collect();
    let Ports { bind, api, ssh, web } = instance.ports;
    if instance.qmp.is_none() {
        for (host, purpose) in [(api, Purpose::Api), (ssh, Purpose::Ssh), (web, Purpose::Web)] {
            reports.push(ForwardReport { bind, host: Some(host), guest: None, purpose, open: false, kept: true });
        }
    }
    for configured in &context.project.config.forwards {
        if !open.iter().any(|forward| instance.is(configured, forward)) {
            let host = configured.host.filter(|_| context.is_default());
            let guest = Some(configured.guest);
            reports.push(ForwardReport { bind, host, guest, purpose: Purpose::Own, open: false, kept: true });
        }
    }
    reports.sort_by_key(|report| (report.purpose, report.host));
    Ok(reports)
}

/// Opens a forward into the running guest. One that is open already is success. With `save` every later start opens it, too,
/// and the instance need not run.
///
/// # Errors
/// State when the instance does not run, Port when the host's port is taken (names the holder), Config when it is one of
/// the tool's own or leads elsewhere already.
pub fn add(context: &Context<'_>, wanted: PortForward, save: bool) -> Result<ForwardReport> {
    let _lock = lock::of(context)?;
    let mut instance = Instance::look(context)?;
    if let Some(host) = wanted.host {
        instance.check_own(host)?;
    }
    if instance.qmp.is_none() && !save {
        return Err(not_running(context).next("k3s-vm forward add --save HOST:GUEST    # for every later start"));
    }
    let open = instance.open()?;
    let leads_elsewhere = |host: Port, guest: u16| {
        Error::new(ErrorClass::Config, format!("port {host} leads to port {guest} of the guest"))
            .next(context.command(&format!("forward rm {host}{}", if save { " --save" } else { "" })))
    };
    if let Some(other) = open.iter().find(|other| Some(other.host) == wanted.host)
        && other.guest != wanted.guest.number()
    {
        return Err(leads_elsewhere(other.host, other.guest));
    }
    if save
        && context.is_default()
        && let Some(host) = wanted.host
        && let Some(other) = context.project.config.forwards.iter().find(|other| other.host == Some(host))
        && other.guest != wanted.guest
    {
        return Err(leads_elsewhere(host, other.guest.number()));
    }
    let bind = instance.ports.bind;
    let mut report = ForwardReport {
        bind,
        host: wanted.host,
        guest: Some(wanted.guest),
        purpose: Purpose::Own,
        open: false,
        kept: save,
    };
    if instance.qmp.is_some() {
        let forward = open_one(&mut instance, &open, wanted)?;
        report = ForwardReport { kept: save || instance.is_configured(&forward), ..instance.report(&forward) };
    }
    if save {
        // A host port that was chosen is saved, except for a named instance, whose host ports are its own.
        let host = if context.is_default() { report.host } else { wanted.host };
        change(context, |configured| configured.push(PortForward { host, ..wanted }))?;
    }
    Ok(report)
}

fn open_one(instance: &mut Instance<'_>, open: &[Forward], wanted: PortForward) -> Result<Forward> {
    let (bind, guest) = (instance.ports.bind, wanted.guest.number());
    if let Some(known) = open.iter().find(|known| Some(known.host) == wanted.host) {
        return Ok(*known);
    }
    let mut taken: Vec<Port> = open.iter().map(|forward| forward.host).collect();
    loop {
        let host = wanted.host.unwrap_or_else(|| forwards::free(instance.context, bind, wanted.guest, &taken));
        let forward = Forward { bind, host, guest };
        let Some(qmp) = &mut instance.qmp else { return Ok(forward) };
        match qmp.add_forward(&forward) {
            // Another program has taken it since.
            Err(ForwardError::Taken(_)) if wanted.host.is_none() && !taken.contains(&host) => taken.push(host),
            other => return Ok(other.map(|()| forward)?),
        }
    }
}

/// What `forward rm` reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// The host's port.
    pub host: Port,
    /// Whether it was open.
    pub was_open: bool,
    /// Whether later starts still open it.
    pub kept: bool,
}

/// Closes a forward. One that does not exist is success. With `save` later starts do not open it either. Open connections
/// stay.
///
/// # Errors
/// Config when the port is one of the tool's own.
pub fn remove(context: &Context<'_>, host: Port, save: bool) -> Result<Removed> {
    let _lock = lock::of(context)?;
    let mut instance = Instance::look(context)?;
    instance.check_own(host)?;
    let open = instance.open()?.into_iter().find(|forward| forward.host == host);
    if let (Some(forward), Some(qmp)) = (&open, &mut instance.qmp) {
        qmp.remove_forward(forward)?;
    }
    let is_meant = |configured: &PortForward| match &open {
        Some(forward) => instance.is(configured, forward),
        None => configured.host == Some(host),
    };
    let is_configured = context.project.config.forwards.iter().any(is_meant);
    if save && is_configured {
        change(context, |configured| configured.retain(|one| !is_meant(one)))?;
    }
    let events = context.events;
    match (&open, is_configured && !save) {
        (Some(forward), false) => {
            events.note(format!("port {host} no longer leads to port {} of the guest", forward.guest))
        }
        (Some(_), true) => {
            events.note(format!("port {host} is closed until the next start; --save closes it for good"))
        }
        (None, _) => events.note(format!("port {host} is not open")),
    }
    Ok(Removed { host, was_open: open.is_some(), kept: is_configured && !save })
}

/// Changes the list in the configuration file.
fn change(context: &Context<'_>, change: impl FnOnce(&mut Vec<PortForward>)) -> Result<()> {
    let path = context.project.paths.config();
    let text = files::read_text_optional(&path)?.unwrap_or_default();
    let changed = edit::change_forwards(&text, change)?;
    if changed == text {
        return Ok(());
    }
    let scratch = context.paths().vm_dir();
    let file = UserFile::new(&path, &scratch);
    file.sweep();
    file.write(changed.as_bytes(), Mode::Keep).map(drop)
}
