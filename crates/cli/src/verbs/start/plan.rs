//! The plan of a start for people: `start --dry-run`, `reset --dry-run`.

use lifecycle::start::{DryRun, From, PlannedWay, Step};

/// The text of a plan, one line a step of the best way, then what would be tried where that fails.
pub(super) fn text(run: &DryRun) -> String {
    let mut ways = run.ways.iter();
    let Some(best) = ways.next() else { return String::new() };
    let mut lines = match best.from {
        From::Running => format!("{} runs already; this would be done:\n\n", run.instance),
        _ => format!("{} would begin from {}{}:\n\n", run.instance, origin(best), condition(best)),
    };
    let steps: Vec<_> = run.prepare.iter().chain(&best.steps).collect();
    let width = steps.iter().map(|step| step.title.chars().count()).max().unwrap_or_default();
    for (number, step) in (1..).zip(&steps) {
        let fact = step.fact.as_deref().unwrap_or_default();
        lines.push_str(format!("{number:>3}  {:width$}  {fact}", step.title).trim_end());
        lines.push('\n');
    }
    let rest: Vec<String> = ways.map(|way| format!("{}{}", origin(way), condition(way))).collect();
    if !rest.is_empty() {
        lines.push_str(&format!("\nWhere that fails, it would begin from {}.\n", rest.join(", then from ")));
    }
    for unused in &run.unused {
        lines.push_str(&format!("\nNot used: the {}: {}\n", unused.what, unused.why));
    }
    lines
}

/// What a way begins from, in words.
fn origin(way: &PlannedWay) -> &'static str {
    match (way.from, way.steps.first().map(|step| step.step)) {
        (From::Running, _) => "the VM that runs",
        (From::SuspendedRam, _) => "its suspended RAM",
        (From::Template, Some(Step::RestoreApplied)) => "the template with the application",
        (From::Template, _) => "the template of a Ready cluster",
        (From::Snapshot, _) => "the snapshot",
        (From::SnapshotDisk, _) => "the snapshot's disk",
        (From::Disk, _) => "its disk",
        (From::NewDisk, _) => "a new disk",
    }
}

/// What is not known of a way before a step has run.
fn condition(way: &PlannedWay) -> String {
    match way.known_after {
        Some(step) => format!(" (if it fits, which is known after \"{}\")", step.title()),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use lifecycle::start::{PlannedStep, Unused};

    use super::*;

    fn step(step: Step, fact: Option<&str>) -> PlannedStep {
        PlannedStep { step, title: step.title(), fact: fact.map(str::to_owned) }
    }

    fn way(from: From, first: Step, known_after: Option<Step>) -> PlannedWay {
        PlannedWay { from, known_after, steps: vec![step(first, None), step(Step::WakeCluster, None)] }
    }

    #[test]
    fn the_best_way_is_shown_whole_and_the_others_by_their_beginning() {
        let run = DryRun {
            instance: "k3s-vm".to_owned(),
            prepare: vec![
                step(Step::CheckHost, None),
                step(Step::PrepareImage, Some("kubernetes v1.37.2, built before")),
            ],
            ways: vec![
                way(From::Template, Step::RestoreApplied, None),
                way(From::Template, Step::RestoreReady, Some(Step::ChooseAccelerator)),
                way(From::NewDisk, Step::BootNewDisk, None),
            ],
            unused: vec![Unused { what: "suspended RAM", why: "QEMU has changed".to_owned() }],
        };
        insta::assert_snapshot!(text(&run), @r#"
        k3s-vm would begin from the template with the application:

          1  Checking the host
          2  Preparing the guest image                   kubernetes v1.37.2, built before
          3  Restoring the cluster with the application
          4  Waking the cluster

        Where that fails, it would begin from the template of a Ready cluster (if it fits, which is known after "Choosing the accelerator"), then from a new disk.

        Not used: the suspended RAM: QEMU has changed
        "#);
    }
}
