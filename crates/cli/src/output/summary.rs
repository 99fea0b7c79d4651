//! The last words of a successful start: what is where, and what to type next. Pure.

use super::style::Style;
use super::table::labelled;

/// What a start has to show for itself.
#[derive(Debug, Clone)]
pub(crate) struct Summary {
    /// How the user calls this program.
    pub(crate) program: String,
    /// Whether the cluster was waited for; otherwise it still comes up.
    pub(crate) ready: bool,
    /// Whether one of its Services does not answer.
    pub(crate) services_are_silent: bool,
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
        let program = &self.program;
        let headline = if self.services_are_silent {
            style.strong("The cluster is ready, but not all of its Services answer (see above).")
        } else if self.ready {
            style.good("The cluster is ready.")
        } else {
            style.strong("The VM runs; the cluster is still coming up.")
        };
        let places = [
            ("Web", self.web_url.clone()),
            ("API", format!("{}  (context {})", self.api_url, self.context)),
            ("Kubeconfig", self.kubeconfig.clone()),
            ("Variables", self.variables.clone()),
            ("SSH", format!("{program} ssh  (port {})", self.ssh_port)),
            ("Log", self.log.clone()),
        ];
        let next = if self.ready {
            vec![
                (format!("{program} kubectl get pods -A"), "talk to the cluster"),
                (format!("{program} apply"), "after a change of manifests or variables"),
                (format!("{program} stop"), "stop; the next start goes on where it is"),
                (format!("{program} reset"), "throw the data away and start anew"),
            ]
        } else {
            vec![
                (format!("{program} start"), "wait until it is ready, and apply the manifests"),
                (format!("{program} logs -f"), "watch it come up"),
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

    fn summary(ready: bool) -> Summary {
        Summary {
            program: "bin/k3s-vm".to_owned(),
            ready,
            services_are_silent: false,
            web_url: "http://localhost:30080".to_owned(),
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
        insta::assert_snapshot!(summary(true).render(Style::PLAIN).trim_start(), @r"
        The cluster is ready.

          Web         http://localhost:30080
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
        let text = Summary { services_are_silent: true, ..summary(true) }.render(Style::PLAIN);
        let headline = text.trim_start().lines().next();
        assert_eq!(headline, Some("The cluster is ready, but not all of its Services answer (see above)."));
    }

    #[test]
    fn a_cluster_that_nobody_waited_for() {
        insta::assert_snapshot!(summary(false).render(Style::PLAIN).trim_start(), @r"
        The VM runs; the cluster is still coming up.

          Web         http://localhost:30080
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
}
