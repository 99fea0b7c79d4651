//! The results of `status`, `apply`, `load` and `config show`, for people. Pure.

use lifecycle::apply::images::LoadedImage;
use lifecycle::apply::{Applied, ApplyReport, Change, PreviewReport, PruneOutcome, Pruned};
use lifecycle::verbs::list::{ListReport, SavedEntry};
use lifecycle::verbs::status::{State, StatusReport};

use model::config::{Setting, SettingValue};

use super::style::Style;
use super::table::{Table, labelled};
use super::typed::CommandPrefix;

/// The state of an instance, and what to type next when it does not run.
pub(crate) fn status(report: &StatusReport, prefix: &CommandPrefix, style: Style) -> String {
    let mut entries = vec![("Instance", report.instance.clone()), ("Project", report.project.clone())];
    let (state, next) = match report.state {
        State::Absent => ("not made yet", Some(prefix.command("start"))),
        State::Suspended => ("suspended; it goes on where it is", Some(prefix.command("start"))),
        State::Stopped => ("stopped; its data are kept", Some(prefix.command("start"))),
        State::Orphan => ("runs without a record", Some(prefix.command("stop"))),
        State::Running => ("running", None),
        State::Paused => ("paused; the next connection lets it go on", Some(prefix.command("resume"))),
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

/// What the project has.
pub(crate) fn list(report: &ListReport, style: Style) -> String {
    let mut instances = Table::new(["INSTANCE", "STATE", "WEB", "API", "DISK", "MEMORY"]);
    for one in &report.instances {
        let state = match one.state {
            State::Absent => "not made yet",
            State::Stopped => "stopped",
            State::Suspended => "suspended",
            State::Paused => "paused",
            State::Running if one.is_fork => "running (fork)",
            State::Running => "running",
            State::Orphan => "runs without a record",
        };
        let memory = one.memory.map(size).unwrap_or_default();
        let text = |place: &Option<String>| place.clone().unwrap_or_default();
        instances.row([&one.name, state, &text(&one.web), &text(&one.api), &size(one.disk), &memory]);
    }
    let saved = |heading, entries: &[SavedEntry]| {
        let mut table = Table::new([heading, "AGE", "DISK", "RUNS"]);
        for one in entries {
            let age = one
                .age
                .map(|age| super::duration::show_running(std::time::Duration::from_secs(age)))
                .unwrap_or_default();
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

/// Every object with what happened to it.
pub(crate) fn apply(report: &ApplyReport, style: Style) -> String {
    changes(report.objects.iter(), &report.pruned, style)
}

/// The objects to which something happened, for an apply among many.
pub(crate) fn apply_news(report: &ApplyReport, style: Style) -> String {
    changes(report.objects.iter().filter(|object| object.change != Change::Unchanged), &report.pruned, style)
}

/// What an apply would change: the differences, then every object.
pub(crate) fn preview(report: &PreviewReport, style: Style) -> String {
    let diffs = report.objects.iter().filter(|object| !object.diff.is_empty());
    let lines = diffs.flat_map(|object| object.diff.lines()).map(|line| diff_line(line, style) + "\n");
    let mut text: String = lines.collect();
    if !text.is_empty() {
        text.push('\n');
    }
    text + &changes(report.objects.iter().map(|object| &object.applied), &report.pruned, style)
}

fn diff_line(line: &str, style: Style) -> String {
    match line.as_bytes() {
        [b'-', b'-', b'-', b' ', ..] | [b'+', b'+', b'+', b' ', ..] => style.strong(line),
        [b'-', ..] => style.removed(line),
        [b'+', ..] => style.good(line),
        [b'@', ..] => style.faint(line),
        _ => line.to_owned(),
    }
}

fn changes<'a>(objects: impl Iterator<Item = &'a Applied>, pruned: &'a [Pruned], style: Style) -> String {
    let mut table = Table::new(["KIND", "NAMESPACE", "NAME", "CHANGE"]);
    for object in objects {
        let change = format!("{:?}", object.change).to_lowercase();
        table.row([&object.kind, object.namespace.as_deref().unwrap_or("-"), &object.name, &change]);
    }
    for object in pruned {
        let change = match object.outcome {
            PruneOutcome::Deleted => "pruned",
            PruneOutcome::Kept(_) => "kept",
        };
        table.row([&object.kind, object.namespace.as_deref().unwrap_or("-"), &object.name, change]);
    }
    table.render(style)
}

/// Every image with whether it was transferred.
pub(crate) fn images(images: &[LoadedImage], style: Style) -> String {
    let mut table = Table::new(["IMAGE", "ID", "STATE"]);
    for image in images {
        let id: String = image.digest.trim_start_matches("sha256:").chars().take(12).collect();
        table.row([&image.name, &id, if image.transferred { "loaded" } else { "there already" }]);
    }
    table.render(style)
}

/// Every key with its value and where that is from.
pub(crate) fn settings(settings: &[Setting], style: Style) -> String {
    let mut table = Table::new(["KEY", "VALUE", "FROM"]);
    for setting in settings {
        let value = match &setting.value {
            SettingValue::None => "-".to_owned(),
            SettingValue::One(text) => text.clone(),
            SettingValue::List(texts) if texts.is_empty() => "-".to_owned(),
            SettingValue::List(texts) => texts.join(", "),
        };
        table.row([&setting.key, &value, &setting.origin.to_string()]);
    }
    table.render(style)
}

#[cfg(test)]
mod tests {
    use lifecycle::apply::Previewed;

    use super::*;

    fn applied(name: &str, change: Change) -> Applied {
        let (kind, api_version) = ("ConfigMap".to_owned(), "v1".to_owned());
        Applied { kind, api_version, namespace: Some("default".to_owned()), name: name.to_owned(), change }
    }

    fn pruned(name: &str, outcome: PruneOutcome) -> Pruned {
        let (kind, api_version) = ("Namespace".to_owned(), "v1".to_owned());
        Pruned { kind, api_version, namespace: None, name: name.to_owned(), outcome }
    }

    #[test]
    fn an_apply_lists_what_was_applied_and_what_has_left() {
        let report = ApplyReport {
            objects: vec![applied("a", Change::Created), applied("b", Change::Unchanged)],
            pruned: vec![pruned("c", PruneOutcome::Deleted), pruned("d", PruneOutcome::Kept("why".to_owned()))],
            ..ApplyReport::default()
        };
        insta::assert_snapshot!(apply(&report, Style::PLAIN), @r"
        KIND       NAMESPACE  NAME  CHANGE
        ConfigMap  default    a     created
        ConfigMap  default    b     unchanged
        Namespace  -          c     pruned
        Namespace  -          d     kept
        ");
        insta::assert_snapshot!(apply_news(&report, Style::PLAIN), @r"
        KIND       NAMESPACE  NAME  CHANGE
        ConfigMap  default    a     created
        Namespace  -          c     pruned
        Namespace  -          d     kept
        ");
        assert_eq!(apply_news(&ApplyReport::default(), Style::PLAIN), "");
    }

    #[test]
    fn a_preview_shows_differences_before_the_list() {
        let diff = "--- a (in the cluster)\n+++ a (after apply)\n@@ -1 +1 @@\n-x: 1\n+x: 2\n".to_owned();
        let objects = vec![
            Previewed { applied: applied("a", Change::Configured), diff },
            Previewed { applied: applied("b", Change::Unchanged), diff: String::new() },
        ];
        let report = PreviewReport { dry_run: true, objects, ..PreviewReport::default() };
        insta::assert_snapshot!(preview(&report, Style::PLAIN), @r"
        --- a (in the cluster)
        +++ a (after apply)
        @@ -1 +1 @@
        -x: 1
        +x: 2

        KIND       NAMESPACE  NAME  CHANGE
        ConfigMap  default    a     configured
        ConfigMap  default    b     unchanged
        ");
        assert!(preview(&report, Style::new(true)).contains("\x1b[31m-x: 1\x1b[0m\n\x1b[32m+x: 2\x1b[0m"));
    }
}
