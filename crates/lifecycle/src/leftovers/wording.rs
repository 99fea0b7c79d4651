//! What is said of a process that is in the way, and what to type about it. Pure.

use std::net::IpAddr;
use std::path::Path;

use model::port::Port;
use serde::{Serialize, Serializer};

use super::Leftover;
use crate::ownership::Owner;

/// A port that this instance wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WantedPort {
    /// The port.
    pub number: Port,
    /// Where it is set.
    pub setting: &'static str,
}

impl Serialize for WantedPort {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.number.serialize(serializer)
    }
}

impl Leftover {
    /// Who it is, in one sentence without a full stop.
    pub fn sentence(&self) -> String {
        let who = match self.pid {
            Some(pid) => format!("pid {pid}"),
            None => "a process that only its user and root may see".to_owned(),
        };
        let user = if self.is_own { String::new() } else { format!(" of user {}", self.user) };
        let what = match &self.owner {
            Owner::Instance => " is a VM of this instance".to_owned(),
            Owner::GoneProject { project } => {
                format!(" is a VM that the project {} left behind; its folder is gone", project.display())
            }
            Owner::OtherProject { project, instance } => {
                format!(" is the VM {instance} of the project {}", project.display())
            }
            Owner::Stranger if self.command.is_empty() => String::new(),
            Owner::Stranger => format!(" is `{}`", self.command),
        };
        let ports: Vec<String> = self.ports.iter().map(|port| port.number.to_string()).collect();
        let holds = if ports.is_empty() { String::new() } else { format!("; it listens on {}", ports.join(", ")) };
        format!("{who}{user}{what}{holds}")
    }

    /// What to type to be rid of it.
    pub fn steps(&self) -> Vec<String> {
        let Some(pid) = self.pid else { return vec![format!("ask {} to end it", self.user)] };
        match &self.owner {
            Owner::Instance => vec!["k3s-vm stop".to_owned()],
            Owner::GoneProject { .. } => vec![
                format!("kill {pid}       # ends it alone; nothing can use it any more"),
                "k3s-vm reset    # ends it, too, and makes this project's cluster anew".to_owned(),
            ],
            Owner::OtherProject { project, .. } if self.is_own => {
                vec![format!("k3s-vm --project {} stop", quoted(project))]
            }
            Owner::OtherProject { project, .. } => {
                vec![format!("sudo -u {} k3s-vm --project {} stop", self.user, quoted(project))]
            }
            Owner::Stranger if self.is_own => vec![format!("kill {pid}    # if you can do without it")],
            Owner::Stranger => vec![format!("sudo kill {pid}    # if {} can do without it", self.user)],
        }
    }
}

fn quoted(path: &Path) -> String {
    host::command::quote(path.as_os_str())
}

/// The headline of the fault for taken ports.
pub(super) fn headline(bind: IpAddr, taken: &[WantedPort]) -> String {
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

    fn told(pid: Option<u32>, is_own: bool, owner: Owner) -> String {
        let command = if pid.is_some() { "k3s server".to_owned() } else { String::new() };
        let leftover = Leftover { pid, user: "ada".to_owned(), is_own, command, owner, ports: vec![API] };
        format!("{}\n{}", leftover.sentence(), leftover.steps().join("\n"))
    }

    fn other() -> Owner {
        Owner::OtherProject { project: "/home/ada/my shop".into(), instance: "k3s-vm".to_owned() }
    }

    #[test]
    fn a_stranger_is_named_with_pid_command_and_user() {
        insta::assert_snapshot!(told(Some(4711), true, Owner::Stranger), @"");
        insta::assert_snapshot!(told(Some(4711), false, Owner::Stranger), @"");
        insta::assert_snapshot!(told(None, false, Owner::Stranger), @"");
    }

    #[test]
    fn a_vm_of_another_project_is_stopped_by_that_project() {
        insta::assert_snapshot!(told(Some(4711), true, other()), @"");
        insta::assert_snapshot!(told(Some(4711), false, other()), @"");
    }

    #[test]
    fn a_vm_without_a_project_is_ended_by_reset() {
        insta::assert_snapshot!(told(Some(4711), true, Owner::GoneProject { project: "/home/ada/old".into() }), @"");
    }
}
