//! Ends a wait for the cluster that is pointless although QEMU and the guest run: its service fails again and again, or the
//! guest's disk is full. The guest agent is asked now and then, which costs an emulated guest little.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use model::error::LogTail;
use model::{Error, ErrorClass, Result};
use qemu::Agent;
use qemu::agent::{GuestCommand, GuestScript};

/// The pause between two looks, and before the first.
const INTERVAL: Duration = Duration::from_secs(10);
/// How long the guest may take to answer.
const LIMIT: Duration = Duration::from_secs(5);
/// After this many restarts during one wait, the cluster is not just slow to begin.
const MOST_RESTARTS: u32 = 5;
/// With less free space than this, in KiB, nothing can be written.
const LEAST_SPACE: u64 = 16 * 1024;
/// The state of the service `$1`, and the room on the disk.
const STATE: GuestScript =
    GuestScript::new("systemctl show -p ActiveState -p NRestarts -p ExecMainStatus -- \"$1\"; df -Pk /");
/// The lines of its journal that an error shows.
const JOURNAL: GuestScript = GuestScript::new("journalctl --no-pager -o cat -n 20 \"--unit=$1\"");
/// The exit status of a cluster that found its database damaged and left it as it is (EX_DATAERR of sysexits.h;
/// `guest/kubernetes/internal/server/database.go`). K3s exits with 1, and its restarts are counted.
const DAMAGED_DATABASE: i32 = 65;

/// Watches the cluster's service and the disk of a guest.
pub(crate) struct GuestHealth {
    directory: PathBuf,
    service: String,
    looked: Instant,
    first_restarts: Option<u32>,
}

/// What the guest answered.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answer {
    state: String,
    restarts: u32,
    exit_status: Option<i32>,
    free_space: Option<u64>,
}

impl GuestHealth {
    /// The health of the guest whose sockets are in `directory`; `service` is the unit of its cluster.
    pub(crate) fn new(directory: PathBuf, service: &str) -> Self {
        GuestHealth { directory, service: service.to_owned(), looked: Instant::now(), first_restarts: None }
    }

    /// Looks, if it is time for it, through a connection of its own. No other connection to the agent may be open then.
    ///
    /// # Errors
    /// A Guest error that says what is wrong. A guest that does not answer is not an error.
    pub(crate) fn check(&mut self) -> Result<()> {
        if self.looked.elapsed() < INTERVAL {
            return Ok(());
        }
        match Agent::connect(&self.directory, LIMIT) {
            Ok(mut agent) => self.check_with(&mut agent),
            Err(_) => Ok(()),
        }
    }

    /// The same through a connection that is open.
    ///
    /// # Errors
    /// As [`GuestHealth::check`].
    pub(crate) fn check_with(&mut self, agent: &mut Agent) -> Result<()> {
        if self.looked.elapsed() < INTERVAL {
            return Ok(());
        }
        self.looked = Instant::now();
        let service = &self.service;
        let Ok(text) = agent.run(&GuestCommand::shell(STATE, [service]), LIMIT) else { return Ok(()) };
        let answer = read(&text);
        let before = *self.first_restarts.get_or_insert(answer.restarts);
        let error = match what_is_wrong(&answer, before, service) {
            None => return Ok(()),
            Some(error) => error,
        };
        Err(match agent.run(&GuestCommand::shell(JOURNAL, [service]), LIMIT) {
            Ok(journal) => error.with_log(LogTail {
                source: format!("the journal of {service}"),
                lines: journal.lines().map(str::to_owned).collect(),
            }),
            Err(_) => error,
        })
    }
}

/// Reads what `systemctl show` (systemctl(1)) and `df -P` (POSIX: the fourth column is the free space) print.
fn read(text: &str) -> Answer {
    let mut answer = Answer::default();
    for line in text.lines() {
        if let Some(state) = line.strip_prefix("ActiveState=") {
            state.clone_into(&mut answer.state);
        } else if let Some(restarts) = line.strip_prefix("NRestarts=") {
            answer.restarts = restarts.parse().unwrap_or_default();
        } else if let Some(status) = line.strip_prefix("ExecMainStatus=") {
            answer.exit_status = status.parse().ok();
        } else if line.ends_with(" /") {
            answer.free_space = line.split_whitespace().nth(3).and_then(|number| number.parse().ok());
        }
    }
    answer
}

fn what_is_wrong(answer: &Answer, restarts_before: u32, service: &str) -> Option<Error> {
    if answer.free_space.is_some_and(|free| free < LEAST_SPACE) {
        let error = Error::new(ErrorClass::Guest, "the guest's disk is full")
            .because("the cluster cannot write, so it does not become ready")
            .next("k3s-vm ssh -- du -xh -d3 /var | sort -h | tail    # what takes the space")
            .next("k3s-vm reset --disk 40GiB    # a new, larger disk; data on the old one are lost");
        return Some(error);
    }
    if answer.state == "failed" && answer.exit_status == Some(DAMAGED_DATABASE) {
        let error = Error::new(ErrorClass::Guest, "the cluster's database in the guest is damaged")
            .because(format!("{service} left it as it is and does not start without it"))
            .next("k3s-vm ssh -- tar -C /var/lib/kubernetes -c db > database.tar    # keeps it")
            .next("k3s-vm snapshot list    # `k3s-vm snapshot restore NAME` goes back to one from before")
            .next("k3s-vm reset    # a new, empty cluster; data on the old disk are lost");
        return Some(error);
    }
    let restarts = answer.restarts.saturating_sub(restarts_before);
    let why = match answer.state.as_str() {
        "failed" => "it failed, and systemd has given it up".to_owned(),
        _ if restarts >= MOST_RESTARTS => format!("it has ended and was restarted {restarts} times during this wait"),
        _ => return None,
    };
    Some(
        Error::new(ErrorClass::Guest, format!("{service}, which is the cluster, does not stay up in the guest"))
            .because(why)
            .next(format!("k3s-vm ssh -- journalctl -u {service} -e    # all it said"))
            .next("k3s-vm reset    # a new disk; data on the old one are lost"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEALTHY: &str = "ActiveState=active\nNRestarts=2\n\
        Filesystem     1024-blocks   Used Available Capacity Mounted on\n/dev/vda  20466256 912344  18489168       5% /\n";

    fn wrong(text: &str, before: u32) -> Option<String> {
        what_is_wrong(&read(text), before, "kubernetes.service").map(|error| error.to_string())
    }

    #[test]
    fn a_healthy_guest_is_left_alone() {
        assert_eq!(wrong(HEALTHY, 2), None);
        assert_eq!(wrong(&HEALTHY.replace("NRestarts=2", "NRestarts=6"), 2), None);
        assert_eq!(wrong("", 0), None);
        assert_eq!(wrong(&HEALTHY.replace("=active", "=activating"), 0), None);
    }

    #[test]
    fn a_damaged_database_was_replaced_by_an_empty_cluster_without_a_word() {
        let text = HEALTHY.replace("=active", "=failed\nExecMainStatus=65");
        let error = what_is_wrong(&read(&text), 2, "kubernetes.service").expect("an error");
        assert_eq!(error.class(), ErrorClass::Guest);
        insta::assert_snapshot!(format!("{error}\n{}", error.next_steps().join("\n")), @"
        the cluster's database in the guest is damaged: kubernetes.service left it as it is and does not start without it
        k3s-vm ssh -- tar -C /var/lib/kubernetes -c db > database.tar    # keeps it
        k3s-vm snapshot list    # `k3s-vm snapshot restore NAME` goes back to one from before
        k3s-vm reset    # a new, empty cluster; data on the old disk are lost
        ");
        // systemd restarts it: it has not been given up.
        assert_eq!(wrong(&HEALTHY.replace("=active", "=activating\nExecMainStatus=65"), 2), None);
    }

    #[test]
    fn a_full_disk_and_a_failing_service_are_reported() {
        let wrong: Vec<String> = [
            wrong(&HEALTHY.replace("18489168", "0"), 2),
            wrong(&HEALTHY.replace("NRestarts=2", "NRestarts=7"), 2),
            wrong(&HEALTHY.replace("=active", "=failed"), 2),
        ]
        .into_iter()
        .flatten()
        .collect();
        insta::assert_snapshot!(wrong.join("\n"), @r"
        the guest's disk is full: the cluster cannot write, so it does not become ready
        kubernetes.service, which is the cluster, does not stay up in the guest: it has ended and was restarted 5 times during this wait
        kubernetes.service, which is the cluster, does not stay up in the guest: it failed, and systemd has given it up
        ");
    }
}
