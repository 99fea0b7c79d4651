//! `status`.

use clap::Args;
use lifecycle::Context;
use lifecycle::verbs::status::{self, State, StatusReport};
use model::Result;

use crate::args::OutputArgs;
use crate::output::Output;
use crate::output::style::Style;
use crate::output::table::labelled;
use crate::output::typed::CommandPrefix;

const EXAMPLES: &str = "\
Examples:
  k3s-vm status
  k3s-vm status -o json    For scripts";

/// Show whether the cluster is running and where it answers
#[derive(Debug, Default, PartialEq, Eq, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the verb.
///
/// # Errors
/// As [`status::run`].
pub(crate) fn run(context: &Context<'_>, arguments: &Arguments, output: &Output) -> Result<()> {
    let report = status::run(context)?;
    output.report(arguments.output, &report, |report, style| render(report, output.prefix(), style))
}

/// The state of the instance, the command to type next if it does not run, and orphans in its way.
fn render(report: &StatusReport, prefix: &CommandPrefix, style: Style) -> String {
    let mut entries = vec![("Instance", report.instance.clone()), ("Project", report.project.clone())];
    let (state, next) = match report.state {
        State::Absent => ("not created yet", Some(prefix.command("start"))),
        State::Suspended => ("suspended; the next start resumes it", Some(prefix.command("start"))),
        State::Stopped => ("stopped; the next start boots its disk", Some(prefix.command("start"))),
        State::Orphan => ("running without a state file", Some(prefix.command("stop"))),
        State::Running => ("running", None),
        State::Paused => ("paused; the next connection resumes it", Some(prefix.command("resume"))),
    };
    entries.push(("State", state.to_owned()));
    if let Some(end) = &report.ended {
        entries.push(("Ended", end.clone()));
    }
    if let Some(running) = &report.running {
        if let Some(paused) = &running.paused {
            entries.push(("Paused", format!("since {}: {}", paused.since, paused.why)));
        }
        let reason = running.accelerator_reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let process = format!("pid {}, QEMU {} under {}{reason}", running.pid, running.qemu, running.accelerator);
        entries.extend([
            ("VM", process),
            ("Runs", running.distribution.clone()),
            ("API", format!("{}  ({})", running.api, running.api_state)),
            ("Services", running.services_state.to_string()),
            ("Web", running.web.clone()),
            ("SSH", format!("{}  (port {})", prefix.command("ssh"), running.ssh_port)),
            ("Kubeconfig", running.kubeconfig.clone()),
        ]);
    }
    if let Some(next) = next {
        entries.push(("Next", next));
    }
    let mut text = labelled("", &entries, style);
    if !report.orphans.is_empty() {
        text.push_str(&format!("\n{}\n", style.strong("In the way:")));
    }
    for orphan in &report.orphans {
        text.push_str(&format!("  {}\n", orphan.sentence()));
        for step in orphan.steps() {
            text.push_str(&format!("    {}\n", prefix.step(&step)));
        }
    }
    text
}
