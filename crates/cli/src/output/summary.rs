//! The last words of a successful start: what is where, and what to type next. Pure.

use lifecycle::instance::wait::services::ServicesState;
use lifecycle::start::{From, StartReport};

use super::style::Style;
use super::table::labelled;
use super::typed::CommandPrefix;

/// What is known of the cluster when a start has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cluster {
    /// It was waited for.
    Ready,
    /// It was waited for, and one of its Services does not answer.
    Silent,
    /// Nobody waited, and it boots.
    Booting,
    /// Nobody waited; it was Ready when its RAM was saved, and goes on from there.
    Restored,
    /// Nobody waited; it goes on where `stop` has suspended it.
    Resumed,
    /// Nobody waited; its VM ran before.
    Unseen,
}

impl Cluster {
    /// What `report` says of it.
    pub(crate) fn of(report: &StartReport) -> Self {
        match report.from {
            _ if report.ready => match report.services_state.as_ref().is_some_and(ServicesState::is_silent) {
                true => Cluster::Silent,
                false => Cluster::Ready,
            },
            From::Running => Cluster::Unseen,
            From::SuspendedRam => Cluster::Resumed,
            From::Template | From::Snapshot => Cluster::Restored,
            From::SnapshotDisk | From::Disk | From::NewDisk => Cluster::Booting,
        }
    }

    fn headline(self) -> &'static str {
        match self {
            Cluster::Ready => "The cluster is ready.",
            Cluster::Silent => "The cluster is ready, but not all of its Services answer (see above).",
            Cluster::Booting => "The VM runs; the cluster is still coming up.",
            Cluster::Restored => {
                "The VM runs; the cluster goes on from RAM in which it was ready, and was not waited for."
            }
            Cluster::Resumed => "The VM runs; the cluster goes on where it was stopped, and was not waited for.",
            Cluster::Unseen => "The VM runs, as before; whether the cluster is ready was not looked at.",
        }
    }
}

/// What a start has to show for itself.
#[derive(Debug, Clone)]
pub(crate) struct Summary {
    /// How commands are typed.
    pub(crate) prefix: CommandPrefix,
    /// What is known of the cluster.
    pub(crate) cluster: Cluster,
    /// Where the web application answers.
    pub(crate) web_url: String,
    /// Where the API answers.
    pub(crate) api_url: String,
    /// The kubeconfig, as a path from where the user is.
    pub(crate) kubeconfig: String,
    /// The kubeconfig's context.
    pub(crate) context: String,
    /// The log, as a path from where the user is.
    pub(crate) log: String,
    /// The host port of the guest's sshd.
    pub(crate) ssh_port: u16,
    /// The web application's variables, as a path from where the user is.
    pub(crate) variables: String,
}

impl Summary {
    /// The text, ending with a line break.
    pub(crate) fn render(&self, style: Style) -> String {
        let prefix = &self.prefix;
        let ready = matches!(self.cluster, Cluster::Ready | Cluster::Silent);
        let headline = self.cluster.headline();
        let headline = if self.cluster == Cluster::Ready { style.good(headline) } else { style.strong(headline) };
        let places = [
            ("Web", self.web_url.clone()),
            ("API", format!("{}  (context {})", self.api_url, self.context)),
            ("Kubeconfig", self.kubeconfig.clone()),
            ("Variables", self.variables.clone()),
            ("SSH", format!("{}  (port {})", prefix.command("ssh"), self.ssh_port)),
            ("Log", self.log.clone()),
        ];
        let next = if ready {
            vec![
                (prefix.command("kubectl get pods -A"), "talk to the cluster"),
                (prefix.command("apply"), "after a change of manifests or variables"),
                (prefix.command("stop"), "stop; the next start goes on where it is"),
                (prefix.command("reset"), "throw the data away and start anew"),
            ]
        } else {
            vec![
                (prefix.command("start"), "wait until it is ready, and apply the manifests"),
                (prefix.command("logs -f"), "watch it come up"),
            ]
        };
        let next: Vec<(&str, String)> =
            next.iter().map(|(command, what)| (command.as_str(), (*what).to_owned())).collect();
        let local = [
            ("Skaffold", format!("skaffold config set --kube-context {} local-cluster true", self.context)),
            ("Tilt", format!("allow_k8s_contexts('{}')  in the Tiltfile", self.context)),
        ];
        format!(
            "\n{headline}\n\n{}\nNext:\n{}\nTools that must be told that this cluster is local:\n{}",
            labelled("  ", &places, style),
            labelled("  ", &next, style),
            labelled("  ", &local, Style::PLAIN),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::typed::tests::plain;

    fn summary(cluster: Cluster) -> Summary {
        Summary {
            prefix: plain("bin/k3s-vm"),
            cluster,
            web_url: "http://127.0.0.1:30080".to_owned(),
            api_url: "https://127.0.0.1:6443".to_owned(),
            kubeconfig: "web/.kube/config".to_owned(),
            context: "k3s-vm".to_owned(),
            log: ".k3s-vm/vm.log".to_owned(),
            ssh_port: 2666,
            variables: "web/.env".to_owned(),
        }
    }

    #[test]
    fn a_ready_cluster() {
        insta::assert_snapshot!(summary(Cluster::Ready).render(Style::PLAIN).trim_start(), @r"
        The cluster is ready.

          Web         http://127.0.0.1:30080
          API         https://127.0.0.1:6443  (context k3s-vm)
          Kubeconfig  web/.kube/config
          Variables   web/.env
          SSH         bin/k3s-vm ssh  (port 2666)
          Log         .k3s-vm/vm.log

        Next:
          bin/k3s-vm kubectl get pods -A  talk to the cluster
          bin/k3s-vm apply                after a change of manifests or variables
          bin/k3s-vm stop                 stop; the next start goes on where it is
          bin/k3s-vm reset                throw the data away and start anew

        Tools that must be told that this cluster is local:
          Skaffold  skaffold config set --kube-context k3s-vm local-cluster true
          Tilt      allow_k8s_contexts('k3s-vm')  in the Tiltfile
        ");
    }

    #[test]
    fn a_cluster_whose_services_do_not_answer_is_not_praised() {
        let text = summary(Cluster::Silent).render(Style::PLAIN);
        let headline = text.trim_start().lines().next();
        assert_eq!(headline, Some("The cluster is ready, but not all of its Services answer (see above)."));
    }

    #[test]
    fn a_cluster_that_nobody_waited_for() {
        insta::assert_snapshot!(summary(Cluster::Booting).render(Style::PLAIN).trim_start(), @r"
        The VM runs; the cluster is still coming up.

          Web         http://127.0.0.1:30080
          API         https://127.0.0.1:6443  (context k3s-vm)
          Kubeconfig  web/.kube/config
          Variables   web/.env
          SSH         bin/k3s-vm ssh  (port 2666)
          Log         .k3s-vm/vm.log

        Next:
          bin/k3s-vm start    wait until it is ready, and apply the manifests
          bin/k3s-vm logs -f  watch it come up

        Tools that must be told that this cluster is local:
          Skaffold  skaffold config set --kube-context k3s-vm local-cluster true
          Tilt      allow_k8s_contexts('k3s-vm')  in the Tiltfile
        ");
    }

    #[test]
    fn a_cluster_restored_from_ram_was_said_to_be_still_coming_up() {
        for cluster in [Cluster::Restored, Cluster::Resumed, Cluster::Unseen] {
            let text = summary(cluster).render(Style::PLAIN);
            assert!(!text.contains("coming up") && !text.contains("is ready."), "{text}");
            assert!(text.contains("bin/k3s-vm start    wait until it is ready"), "{text}");
        }
    }
}
