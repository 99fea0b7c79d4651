//! An orphan, as messages describe it and what to type about it. Pure.

use std::net::SocketAddr;
use std::path::Path;

use model::BindAddress;
use model::port::Port;
use serde::Serialize;

use crate::instance::ownership::Owner;

/// A port that this instance wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WantedPort {
    /// The port.
    pub(crate) number: Port,
    /// The setting that changes it.
    pub(crate) setting: &'static str,
}

/// A wanted port that somebody holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct HeldPort {
    /// The port.
    #[serde(skip)]
    pub(crate) wanted: WantedPort,
    /// The address of the listener, which collides with ours.
    pub address: SocketAddr,
}

/// A VM that was left behind, or a process that is in the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Orphan {
    /// Its pid; `None` where this user may not see which process holds the port.
    pub pid: Option<u32>,
    /// The user it runs as.
    pub user: String,
    /// Whether this user may signal it.
    pub is_own: bool,
    /// Its command line, cut to a length that can be shown.
    pub command: String,
    /// The instance that it belongs to, if any.
    #[serde(flatten)]
    pub owner: Owner,
    /// The ports that it holds and this instance wants.
    pub ports: Vec<HeldPort>,
}

impl Orphan {
    /// Whether it holds this port.
    pub(super) fn holds(&self, port: &WantedPort) -> bool {
        self.ports.iter().any(|held| held.wanted == *port)
    }

    /// One sentence that names it, without a full stop.
    pub fn sentence(&self) -> String {
        let who = match self.pid {
            Some(pid) if self.is_own => format!("pid {pid}"),
            Some(pid) => format!("pid {pid} of user {}", self.user),
            None => format!("it is a process of user {} that you may not see", self.user),
        };
        let what = match &self.owner {
            Owner::Instance => " is a VM of this instance".to_owned(),
            Owner::GoneProject { project } => {
                format!(" is a VM that the project {} left behind; its directory is gone", project.display())
            }
            Owner::OtherProject { project, instance } => {
                format!(" is the VM {instance} of the project {}", project.display())
            }
            Owner::Stranger if self.command.is_empty() => String::new(),
            Owner::Stranger => format!(" is `{}`", self.command),
        };
        let ports: Vec<String> = self.ports.iter().map(|port| port.address.to_string()).collect();
        let holds = if ports.is_empty() { String::new() } else { format!("; it listens on {}", ports.join(", ")) };
        // Command lines and paths come from others: without control characters for the terminal.
        format!("{who}{what}{holds}").chars().filter(|letter| !letter.is_control()).collect()
    }

    /// The commands of [`Orphan::steps`], for the middle of a sentence: "`kill 4711` or `k3s-vm reset`".
    pub(crate) fn remedies(&self) -> String {
        let commands: Vec<String> = self
            .steps()
            .iter()
            .map(|step| format!("`{}`", step.split('#').next().unwrap_or(step).trim_end()))
            .collect();
        commands.join(" or ")
    }

    /// What to type to end it.
    pub fn steps(&self) -> Vec<String> {
        let Some(pid) = self.pid else { return vec![format!("ask {} to end it", self.user)] };
        match &self.owner {
            Owner::Instance => vec!["k3s-vm stop".to_owned()],
            Owner::GoneProject { .. } => vec![
                format!("kill {pid}    # ends it alone; nothing can use it any more"),
                "k3s-vm reset    # ends it, too, and makes this project's cluster anew".to_owned(),
            ],
            Owner::OtherProject { project, .. } if self.is_own => {
                vec![format!("k3s-vm --project {} stop", quoted(project))]
            }
            Owner::OtherProject { project, .. } => {
                vec![format!("sudo -u {} k3s-vm --project {} stop", self.user, quoted(project))]
            }
            Owner::Stranger if self.is_own => vec![format!("kill {pid}    # if you can do without it")],
            Owner::Stranger => vec![format!("sudo kill {pid}    # if that user can do without it")],
        }
    }
}

fn quoted(path: &Path) -> String {
    host::command::quote(path.as_os_str())
}

/// The headline of the error for taken ports.
pub(super) fn headline(bind: BindAddress, taken: &[WantedPort]) -> String {
    let numbers: Vec<String> = taken.iter().map(|port| port.number.to_string()).collect();
    match numbers.as_slice() {
        [one] => format!("port {one} on {bind} is taken"),
        several => format!("ports {} on {bind} are taken", several.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const API: WantedPort = WantedPort { number: Port::literal(6443), setting: "ports.api in .k3s-vm/config.toml" };

    fn shown(pid: Option<u32>, is_own: bool, owner: Owner) -> String {
        let command = if pid.is_some() { "k3s server".to_owned() } else { String::new() };
        let held = HeldPort { wanted: API, address: "0.0.0.0:6443".parse().expect("an address") };
        let orphan = Orphan { pid, user: "ada".to_owned(), is_own, command, owner, ports: vec![held] };
        format!("{}\n{}", orphan.sentence(), orphan.steps().join("\n"))
    }

    fn other() -> Owner {
        Owner::OtherProject { project: "/home/ada/my shop".into(), instance: "k3s-vm".to_owned() }
    }

    #[test]
    fn a_stranger_is_named_with_pid_command_and_user() {
        insta::assert_snapshot!(shown(Some(4711), true, Owner::Stranger), @r"
        pid 4711 is `k3s server`; it listens on 0.0.0.0:6443
        kill 4711    # if you can do without it
        ");
        insta::assert_snapshot!(shown(Some(4711), false, Owner::Stranger), @r"
        pid 4711 of user ada is `k3s server`; it listens on 0.0.0.0:6443
        sudo kill 4711    # if that user can do without it
        ");
        insta::assert_snapshot!(shown(None, false, Owner::Stranger), @r"
        it is a process of user ada that you may not see; it listens on 0.0.0.0:6443
        ask ada to end it
        ");
    }

    #[test]
    fn a_command_line_cannot_control_the_terminal() {
        let mut orphan = Orphan {
            pid: Some(1),
            user: "ada".to_owned(),
            is_own: false,
            command: "evil \u{1b}[2J\r\nNext: k3s-vm reset".to_owned(),
            owner: Owner::Stranger,
            ports: Vec::new(),
        };
        insta::assert_snapshot!(orphan.sentence(), @"pid 1 of user ada is `evil [2JNext: k3s-vm reset`");
        orphan.command.clear();
        assert_eq!(orphan.sentence(), "pid 1 of user ada");
    }

    #[test]
    fn a_vm_of_another_project_is_stopped_by_that_project() {
        insta::assert_snapshot!(shown(Some(4711), true, other()), @r"
        pid 4711 is the VM k3s-vm of the project /home/ada/my shop; it listens on 0.0.0.0:6443
        k3s-vm --project '/home/ada/my shop' stop
        ");
        insta::assert_snapshot!(shown(Some(4711), false, other()), @r"
        pid 4711 of user ada is the VM k3s-vm of the project /home/ada/my shop; it listens on 0.0.0.0:6443
        sudo -u ada k3s-vm --project '/home/ada/my shop' stop
        ");
    }

    #[test]
    fn a_vm_without_a_project_is_ended_by_reset() {
        insta::assert_snapshot!(shown(Some(4711), true, Owner::GoneProject { project: "/home/ada/old".into() }), @r"
        pid 4711 is a VM that the project /home/ada/old left behind; its directory is gone; it listens on 0.0.0.0:6443
        kill 4711    # ends it alone; nothing can use it any more
        k3s-vm reset    # ends it, too, and makes this project's cluster anew
        ");
    }
}
