//! The Services of a cluster after everything that can happen to it: restarts, reboots, saved RAM, kube-proxy's full sync.
//!
//! kube-proxy reads its own rules back when it starts and once an hour, and removes what it takes for leftovers. In a guest
//! in which it read them wrongly all Services died then, without a word.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::http;
use crate::project::ExampleProject;
use crate::steps::{Steps, eventually, try_eventually};

/// What was restarted comes up again within this, emulated on a busy host.
const PATIENCE: Duration = Duration::from_secs(300);
/// The API's own Service, by name: who reaches it has used DNS, too.
const API: &str = "kubernetes.default.svc.cluster.local:443";
/// An address of the Services' range that no Service has, as an element of a set of kube-proxy's: a full sync removes it,
/// and nothing else does.
const LEFTOVER: &str = "10.43.255.254";

/// A started cluster whose application answers on `port`.
#[derive(Debug)]
pub struct Cluster<'a> {
    /// Its project.
    pub project: &'a ExampleProject,
    /// The web port.
    pub port: u16,
}

impl Cluster<'_> {
    /// The application by its NodePort from the host, and from a pod a name and the API's own Service, each by a new
    /// connection; then what `status` says of it.
    ///
    /// # Panics
    /// When one of them does not answer.
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

    /// The unit that is the cluster: one of the two is there.
    fn unit(&self) -> &'static str {
        let found = self.guest("systemctl is-active k3s.service || true");
        if found.trim() == "active" { "k3s.service" } else { "kubernetes.service" }
    }

    /// What kube-proxy's maps have of Services; nothing where it uses iptables.
    fn elements(&self) -> Option<BTreeSet<String>> {
        let maps = "for map in service-ips service-nodeports; do nft list map ip kube-proxy $map; done 2>/dev/null";
        let told = self.guest(&format!("{maps} | grep goto || true"));
        let element =
            |line: &str| line.trim_start_matches("elements = {").trim_matches([' ', '\t', ',', '}']).to_owned();
        let elements: BTreeSet<String> = told.lines().map(element).collect();
        (!elements.is_empty()).then_some(elements)
    }

    /// `force` makes kube-proxy sync in full; all that it has written is still there afterwards. That it has happened is
    /// seen by the leftover that it removed.
    fn full_sync(&self, force: impl FnOnce()) {
        let Some(before) = self.elements() else { return force() };
        self.plant();
        force();
        self.wait_for_full_sync(PATIENCE);
        // There may be more: Services whose pods have become ready meanwhile.
        eventually("the elements that were there before", PATIENCE, || {
            self.elements().is_some_and(|now| now.is_superset(&before)).then_some(())
        });
    }

    fn plant(&self) {
        self.guest(&format!("nft add element ip kube-proxy cluster-ips '{{ {LEFTOVER} }}'"));
        assert!(self.is_planted(), "the leftover is not there");
    }

    fn is_planted(&self) -> bool {
        self.guest("nft list set ip kube-proxy cluster-ips").contains(LEFTOVER)
    }

    fn wait_for_full_sync(&self, deadline: Duration) {
        eventually("kube-proxy's full sync", deadline, || (!self.is_planted()).then_some(()));
    }
}

/// Restarts of the cluster's process and of containerd, and full syncs in a process that runs. The cluster is as it was
/// afterwards.
pub fn restarts(steps: &mut Steps, cluster: &Cluster<'_>) {
    let project = cluster.project;
    steps.run("all_services_answer_after_the_start", || cluster.all_services_answer());
    steps.run("services_survive_full_syncs_of_kube_proxy", || {
        // The only thing but time that makes it do so while it runs: the node's zone (proxy.OnTopologyChange).
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
        // K3s has it in its own process.
        cluster.guest("systemctl try-restart containerd.service");
        project.ok(&["start"]);
        cluster.all_services_answer();
    });
}

/// Saved RAM in all its forms, and boots.
pub fn beginnings(steps: &mut Steps, cluster: &Cluster<'_>) {
    let project = cluster.project;
    let begins_as = |arguments: &[&str], from: &str| {
        let report: Value = serde_json::from_str(&project.ok(arguments)).expect("JSON");
        assert_eq!((&report["from"], &report["services_state"]), (&from.into(), &"answer".into()), "{report}");
        cluster.all_services_answer();
    };
    steps.run("services_answer_after_suspend_and_resume", || {
        project.ok(&["stop"]);
        begins_as(&["start", "-o", "json"], "suspended-ram");
    });
    steps.run("services_answer_after_pause_and_resume", || {
        project.ok(&["pause"]);
        project.ok(&["resume"]);
        cluster.all_services_answer();
    });
    steps.run("services_answer_after_the_restore_of_a_snapshot", || {
        project.ok(&["snapshot", "save", "services"]);
        begins_as(&["snapshot", "restore", "services", "-o", "json"], "snapshot");
        project.ok(&["snapshot", "rm", "services"]);
    });
    steps.run("services_answer_after_a_reboot_by_the_guest", || {
        // ssh may be cut off.
        project.k3s_vm(&["ssh", "--", "systemctl reboot"]);
        eventually("the end of the boot that was", PATIENCE, || (state(project) == "stopped").then_some(()));
        begins_as(&["start", "-o", "json"], "disk");
    });
    steps.run("services_answer_after_a_power_off", || {
        project.ok(&["stop", "--power-off"]);
        begins_as(&["start", "-o", "json"], "disk");
    });
    steps.run("services_answer_after_a_reset", || begins_as(&["reset", "-o", "json"], "template"));
}

/// Services that are broken on purpose.
pub fn broken(steps: &mut Steps, cluster: &Cluster<'_>) {
    let project = cluster.project;
    if cluster.elements().is_none() {
        return steps.skip("dead_services_are_noticed_and_mended_by_what_start_says", "kube-proxy uses iptables here");
    }
    steps.run("dead_services_are_noticed_and_mended_by_what_start_says", || {
        cluster.guest("for map in service-ips service-nodeports; do nft flush map ip kube-proxy $map; done");
        let state = cluster.services_state();
        assert!(state.starts_with("do not answer: the API's Service (10.43.0.1:443), DNS (10.43.0.10:53)"), "{state}");
        // Nothing may change in the cluster, or kube-proxy mends itself by a full sync. The application does not answer
        // without Services, so the start ends at its deadline, and says why before.
        let (code, told) = project.told(&["start", "--timeout", "60s"]);
        let command = format!("systemctl restart {}", cluster.unit());
        assert!(code == Some(4) && told.contains("do not answer") && told.contains(&command), "{code:?}: {told}");
        cluster.guest(&command);
        project.ok(&["start"]);
        cluster.all_services_answer();
    });
}

/// The cluster stands for so long that kube-proxy's own full sync passes, which is once an hour, and is used again.
pub fn standing(steps: &mut Steps, cluster: &Cluster<'_>, duration: Duration) {
    steps.run("a_cluster_that_stood_for_more_than_an_hour_serves_everything_again", || {
        let before = cluster.elements();
        if before.is_some() {
            cluster.plant();
        }
        // Nothing is asked of it meanwhile: nothing can come of this look before its deadline.
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

fn state(project: &ExampleProject) -> String {
    let status: Value = serde_json::from_str(&project.ok(&["status", "-o", "json"])).expect("JSON");
    status["state"].as_str().unwrap_or_default().to_owned()
}
