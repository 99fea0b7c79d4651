//! `list`.

use std::time::Duration;

use clap::Args;
use lifecycle::Context;
use lifecycle::verbs::list::{self, ListReport, SavedEntry};
use lifecycle::verbs::status::State;
use model::Result;

use crate::args::OutputArgs;
use crate::output::Output;
use crate::output::duration;
use crate::output::style::Style;
use crate::output::table::Table;

const EXAMPLES: &str = "\
Examples:
  k3s-vm list
  k3s-vm list -o json";

/// List the instances, templates and snapshots of the project with the space they use
#[derive(Debug, PartialEq, Eq, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the verb.
///
/// # Errors
/// As [`list::run`].
pub(crate) fn run(context: &Context<'_>, arguments: &Arguments, output: &Output) -> Result<()> {
    output.report(arguments.output, &list::run(context)?, render)
}

fn render(report: &ListReport, style: Style) -> String {
    let mut instances = Table::new(["INSTANCE", "STATE", "WEB", "API", "DISK", "MEMORY"]);
    for one in &report.instances {
        let state = match one.state {
            State::Absent => "not created yet",
            State::Stopped => "stopped",
            State::Suspended => "suspended",
            State::Paused => "paused",
            State::Running if one.is_fork => "running (fork)",
            State::Running => "running",
            State::Orphan => "running without a state file",
        };
        let memory = one.memory.map(size).unwrap_or_default();
        let text = |place: &Option<String>| place.clone().unwrap_or_default();
        instances.row([&one.name, state, &text(&one.web), &text(&one.api), &size(one.disk), &memory]);
    }
    let saved = |heading, entries: &[SavedEntry]| {
        let mut table = Table::new([heading, "AGE", "DISK", "RUNS"]);
        for one in entries {
            let age = one.age.map(|age| duration::show_running(Duration::from_secs(age))).unwrap_or_default();
            table.row([&one.name, &age, &size(one.disk), one.distribution.as_deref().unwrap_or_default()]);
        }
        table.render(style)
    };
    let tables = [instances.render(style), saved("TEMPLATE", &report.templates), saved("SNAPSHOT", &report.snapshots)];
    tables.iter().filter(|table| !table.is_empty()).cloned().collect::<Vec<_>>().join("\n")
}

fn size(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}
