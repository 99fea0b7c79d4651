//! `start`, and the summary that ends every verb that starts a cluster.

mod plan;

use std::path::Path;

use clap::Args;
use lifecycle::Context;
use lifecycle::instance::wait::services::ServicesState;
use lifecycle::start::{DryRun, From, StartOptions, StartReport};
use lifecycle::verbs::start;
use model::Result;

use crate::args::config::ConfigArgs;
use crate::args::{OutputArgs, WaitArgs};
use crate::output::Output;
use crate::output::style::Style;
use crate::output::table::labelled;
use crate::output::typed::CommandPrefix;

const EXAMPLES: &str = "\
Examples:
  k3s-vm start --yes --timeout 30m    For CI: install host packages, allow for a slow host
  k3s-vm start --no-wait              Return once the VM runs
  k3s-vm start --dry-run              Show from what it would begin, and the steps";

/// Build what is missing and start the cluster
///
/// If the cluster is running, checks it and updates its kubeconfig, variables and manifests.
#[derive(Debug, Default, PartialEq, Eq, Args)]
#[command(after_long_help = EXAMPLES)]
// clap would name a group after this type, and other verbs flatten it into a type of the same name.
#[group(skip)]
pub(crate) struct Arguments {
    /// Show the steps and why they are taken, without changing anything
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// Runs the verb.
///
/// # Errors
/// As [`start::run`].
pub(crate) fn run(context: &Context<'_>, arguments: &Arguments, output: &Output) -> Result<()> {
    if arguments.dry_run {
        return plan(&start::dry_run(context, arguments.wait.waits())?, arguments.output, output);
    }
    report(&start::run(context, options(&arguments.wait))?, arguments.output, output)
}

/// Writes the plan of a start.
///
/// # Errors
/// As [`Output::report`].
pub(super) fn plan(run: &DryRun, arguments: OutputArgs, output: &Output) -> Result<()> {
    output.report(arguments, run, |run, _| plan::text(run))
}

/// The options of a start that waits as the flags say.
pub(super) fn options(wait: &WaitArgs) -> StartOptions {
    StartOptions { wait: wait.waits(), timeout: wait.timeout }
}

/// Writes the result of a start.
///
/// # Errors
/// As [`Output::report`].
pub(super) fn report(report: &StartReport, arguments: OutputArgs, output: &Output) -> Result<()> {
    output.report(arguments, report, |report, style| Summary::of(report, output.prefix().clone()).render(style))
}

/// What is known about the cluster after a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cluster {
    /// It is ready.
    Ready,
    /// It is ready, but at least one of its Services does not answer.
    Silent,
    /// It is booting; the start did not wait.
    Booting,
    /// It was restored from RAM in which it was ready; the start did not wait.
    Restored,
    /// It was resumed from where `stop` suspended it; the start did not wait.
    Resumed,
    /// Its VM was running already; the start did not check it.
    Unchecked,
}

impl Cluster {
    fn of(report: &StartReport) -> Self {
        match report.from {
            _ if report.ready => match report.services_state.as_ref().is_some_and(ServicesState::is_silent) {
                true => Cluster::Silent,
                false => Cluster::Ready,
            },
            From::Running => Cluster::Unchecked,
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
                "The VM runs; the cluster was restored from RAM in which it was ready. It was not waited for."
            }
            Cluster::Resumed => "The VM runs; the cluster resumes where it was suspended. It was not waited for.",
            Cluster::Unchecked => "The VM was running already; the cluster was not checked.",
        }
    }
}

/// What the summary shows.
#[derive(Debug, Clone)]
struct Summary {
    prefix: CommandPrefix,
    cluster: Cluster,
    web_url: String,
    api_url: String,
    // Paths are relative to the working directory where they are below it.
    kubeconfig: String,
    context: String,
    log: String,
    ssh_port: u16,
    variables: String,
}

impl Summary {
    fn of(report: &StartReport, prefix: CommandPrefix) -> Self {
        let here = std::env::current_dir().unwrap_or_default();
        let near = |path: &str| {
            Path::new(path).strip_prefix(&here).map_or_else(|_| path.to_owned(), |path| path.display().to_string())
        };
        Summary {
            prefix,
            cluster: Cluster::of(report),
            web_url: report.web.clone(),
            api_url: report.api.clone(),
            kubeconfig: near(&report.kubeconfig),
            context: report.context.clone(),
            log: near(&report.log),
            ssh_port: report.ssh_port,
            variables: near(&report.variables),
        }
    }

    fn render(&self, style: Style) -> String {
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
                (prefix.command("kubectl get pods -A"), "run kubectl against the cluster"),
                (prefix.command("apply"), "apply changed manifests and variables"),
                (prefix.command("stop"), "suspend the VM; the next start resumes it"),
                (prefix.command("reset"), "destroy the data and start a new cluster"),
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
            "\n{headline}\n\n{}\nNext:\n{}\nTell these tools that the cluster is local:\n{}",
            labelled("  ", &places, style),
            labelled("  ", &next, style),
            labelled("  ", &local, Style::PLAIN),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(cluster: Cluster) -> Summary {
        Summary {
            prefix: CommandPrefix::plain("bin/k3s-vm"),
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
          bin/k3s-vm kubectl get pods -A  run kubectl against the cluster
          bin/k3s-vm apply                apply changed manifests and variables
          bin/k3s-vm stop                 suspend the VM; the next start resumes it
          bin/k3s-vm reset                destroy the data and start a new cluster

        Tell these tools that the cluster is local:
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
    fn a_start_that_did_not_wait() {
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

        Tell these tools that the cluster is local:
          Skaffold  skaffold config set --kube-context k3s-vm local-cluster true
          Tilt      allow_k8s_contexts('k3s-vm')  in the Tiltfile
        ");
    }

    #[test]
    fn a_cluster_restored_from_ram_was_said_to_be_still_coming_up() {
        for cluster in [Cluster::Restored, Cluster::Resumed, Cluster::Unchecked] {
            let text = summary(cluster).render(Style::PLAIN);
            assert!(!text.contains("coming up") && !text.contains("is ready."), "{text}");
            assert!(text.contains("bin/k3s-vm start    wait until it is ready"), "{text}");
        }
    }
}
