//! Steps that check the Services of a cluster after restarts, reboots, restores and full syncs of kube-proxy.
//!
//! kube-proxy reads its own rules back when it starts and once an hour, and removes stale ones. In a guest in which it read
//! them wrongly all Services stopped then, without an error.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::http;
use crate::project::ExampleProject;
use crate::steps::{Steps, eventually, try_eventually};

/// How long a restart may take, emulated on a busy host.
const PATIENCE: Duration = Duration::from_secs(300);
/// The API's Service by name, so that a connection needs DNS, too.
const API: &str = "kubernetes.default.svc.cluster.local:443";
/// An address in the range of Services that no Service has. As an element of a set of kube-proxy only a full sync removes
/// it.
const STALE: &str = "10.43.255.254";

/// A started cluster whose application answers on `port`.
#[derive(Debug)]
pub struct Cluster<'a> {
    /// Its project.
    pub project: &'a ExampleProject,
    /// The web port.
    pub port: u16,
}

impl Cluster<'_> {
    /// Connects to the application's NodePort from the host, and from a pod to the API's Service by name; then checks
    /// `status`.
    ///
    /// # Panics
    /// When one does not answer.
    pub fn all_services_answer(&self) {
        let web = || http::get(self.port, "/healthz").ok().filter(|(status, _)| *status == 200);
        eventually("the application behind its NodePort", PATIENCE, web);
        let connect = || self.project.try_kubectl(&["exec", "deploy/web", "--", "/web", "connect", API]);
        let address = eventually("DNS and the API's Service in a pod", PATIENCE, connect);
        assert!(address.trim().ends_with(":443"), "{address}");
        assert_eq!(self.services_state(), "answer");
    }

    fn services_state(&self) -> String {
        let status: Value = serde_json::from_str(&self.project.ok(&["status", "-o", "json"])).expect("JSON");
        status["services_state"].as_str().unwrap_or_default().to_owned()
    }

    fn guest(&self, command: &str) -> String {
        self.project.ok(&["ssh", "--", command])
    }

    /// The systemd unit of the cluster's process.
    fn unit(&self) -> &'static str {
        let found = self.guest("systemctl is-active k3s.service || true");
        if found.trim() == "active" { "k3s.service" } else { "kubernetes.service" }
    }

    /// The elements of kube-proxy's maps of Services; `None` where it uses iptables.
    fn elements(&self) -> Option<BTreeSet<String>> {
        let maps = "for map in service-ips service-nodeports; do nft list map ip kube-proxy $map; done 2>/dev/null";
        let output = self.guest(&format!("{maps} | grep goto || true"));
        let element =
            |line: &str| line.trim_start_matches("elements = {").trim_matches([' ', '\t', ',', '}']).to_owned();
        let elements: BTreeSet<String> = output.lines().map(element).collect();
        (!elements.is_empty()).then_some(elements)
    }

    /// `force` makes kube-proxy do a full sync, after which all its elements must still be there. The removal of a stale
    /// element shows that the sync has happened.
    fn full_sync(&self, force: impl FnOnce()) {
        let Some(before) = self.elements() else { return force() };
        self.plant();
        force();
        self.wait_for_full_sync(PATIENCE);
        // There may be more: other pods may have become ready meanwhile.
        eventually("the elements that were there before", PATIENCE, || {
            self.elements().is_some_and(|now| now.is_superset(&before)).then_some(())
        });
    }

    fn plant(&self) {
        self.guest(&format!("nft add element ip kube-proxy cluster-ips '{{ {STALE} }}'"));
        assert!(self.is_planted(), "the stale element was not added");
    }

    fn is_planted(&self) -> bool {
        self.guest("nft list set ip kube-proxy cluster-ips").contains(STALE)
    }

    fn wait_for_full_sync(&self, deadline: Duration) {
        eventually("kube-proxy's full sync", deadline, || (!self.is_planted()).then_some(()));
    }
}

/// Restarts of the cluster's process and of containerd, and full syncs in a running kube-proxy. They leave the cluster as
/// it was.
pub fn restarts(steps: &mut Steps, cluster: &Cluster<'_>) {
    let project = cluster.project;
    steps.run("all_services_answer_after_the_start", || cluster.all_services_answer());
    steps.run("services_survive_full_syncs_of_kube_proxy", || {
        // Besides time, only a change of the node's zone does that in a running process (proxy.OnTopologyChange).
        for zone in
            ["topology.kubernetes.io/zone=one", "topology.kubernetes.io/zone=two", "topology.kubernetes.io/zone-"]
        {
            cluster.full_sync(|| drop(project.kubectl(&["label", "node", "k3s-vm", "--overwrite", zone])));
            cluster.all_services_answer();
        }
    });
    steps.run("services_survive_a_restart_of_the_clusters_process", || {
        let unit = cluster.unit();
        for _ in 0..2 {
            cluster.full_sync(|| drop(cluster.guest(&format!("systemctl restart {unit}"))));
            project.ok(&["start"]);
            cluster.all_services_answer();
        }
    });
    steps.run("services_survive_a_restart_of_containerd", || {
        // K3s runs containerd itself and has no such unit.
        cluster.guest("systemctl try-restart containerd.service");
        project.ok(&["start"]);
        cluster.all_services_answer();
    });
}

/// Resume, restore and boot.
pub fn restores_and_boots(steps: &mut Steps, cluster: &Cluster<'_>) {
    let project = cluster.project;
    let starts_from = |arguments: &[&str], from: &str| {
        let report: Value = serde_json::from_str(&project.ok(arguments)).expect("JSON");
        assert_eq!((&report["from"], &report["services_state"]), (&from.into(), &"answer".into()), "{report}");
        cluster.all_services_answer();
    };
    steps.run("services_answer_after_suspend_and_resume", || {
        project.ok(&["stop"]);
        starts_from(&["start", "-o", "json"], "suspended-ram");
    });
    steps.run("services_answer_after_pause_and_resume", || {
        project.ok(&["pause"]);
        project.ok(&["resume"]);
        cluster.all_services_answer();
    });
    steps.run("services_answer_after_the_restore_of_a_snapshot", || {
        project.ok(&["snapshot", "save", "services"]);
        starts_from(&["snapshot", "restore", "services", "-o", "json"], "snapshot");
        project.ok(&["snapshot", "rm", "services"]);
    });
    steps.run("services_answer_after_a_reboot_by_the_guest", || {
        // Once it has been Ready a guest may reboot: QEMU stays.
        let boot_id = || {
            let output = project.k3s_vm(&["ssh", "--", "cat /proc/sys/kernel/random/boot_id"]);
            output.status.success().then_some(output.stdout)
        };
        let before = boot_id().expect("a boot id");
        // ssh may be cut off.
        project.k3s_vm(&["ssh", "--", "systemctl reboot"]);
        eventually("another boot", PATIENCE, || boot_id().filter(|now| *now != before));
        starts_from(&["start", "-o", "json"], "running");
    });
    steps.run("services_answer_after_a_power_off", || {
        project.ok(&["stop", "--power-off"]);
        starts_from(&["start", "-o", "json"], "disk");
    });
    steps.run("services_answer_after_a_reset", || starts_from(&["reset", "-o", "json"], "template"));
}

/// Services are broken on purpose.
pub fn broken(steps: &mut Steps, cluster: &Cluster<'_>) {
    let project = cluster.project;
    if cluster.elements().is_none() {
        return steps
            .skip("start_reports_broken_services_and_the_command_that_repairs_them", "kube-proxy uses iptables here");
    }
    steps.run("start_reports_broken_services_and_the_command_that_repairs_them", || {
        cluster.guest("for map in service-ips service-nodeports; do nft flush map ip kube-proxy $map; done");
        let state = cluster.services_state();
        assert!(state.starts_with("do not answer: the API's Service (10.43.0.1:443), DNS (10.43.0.10:53)"), "{state}");
        // Nothing may change in the cluster, or kube-proxy repairs its rules by a full sync. The application does not answer
        // without Services, so the start runs into its deadline.
        let (code, stderr) = project.code_and_stderr(&["start", "--timeout", "60s"]);
        let command = format!("systemctl restart {}", cluster.unit());
        assert!(code == Some(4) && stderr.contains("do not answer") && stderr.contains(&command), "{code:?}: {stderr}");
        cluster.guest(&command);
        project.ok(&["start"]);
        cluster.all_services_answer();
    });
}

/// The cluster runs unused for `duration`, so long that kube-proxy does its hourly full sync, and is then used again.
pub fn hourly_sync(steps: &mut Steps, cluster: &Cluster<'_>, duration: Duration) {
    steps.run("services_survive_the_hourly_full_sync", || {
        let before = cluster.elements();
        if before.is_some() {
            cluster.plant();
        }
        // Only waits: nothing may use the cluster meanwhile.
        let nothing: Option<()> = try_eventually(duration, || None);
        assert_eq!(nothing, None);
        if let Some(before) = before {
            assert!(!cluster.is_planted(), "kube-proxy has not synced in full within {duration:?}");
            let after = cluster.elements().unwrap_or_default();
            assert!(after.is_superset(&before), "{after:?} lacks some of {before:?}");
        }
        cluster.all_services_answer();
        let (status, page) = http::get(cluster.port, "/").expect("an answer");
        assert!(status == 200 && page.contains("<html"), "{page}");
    });
}
