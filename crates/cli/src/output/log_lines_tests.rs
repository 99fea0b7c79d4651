//! Which lines a log has, and when.

use super::*;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn started(title: &str) -> Event {
    Event::StepStarted { number: 2, total: 6, title: title.to_owned() }
}

fn finished(title: &str, outcome: StepOutcome) -> Event {
    Event::StepFinished { number: 2, title: title.to_owned(), elapsed: Duration::from_millis(71_320), outcome }
}

fn progress(task: &str, message: &str, done: Option<u64>, total: Option<u64>) -> Event {
    Event::Progress { task: task.to_owned(), message: message.to_owned(), done, total }
}

/// The lines of a run: at each second an event or, for `None`, a tick.
fn run(verbosity: Verbosity, signs_of_life: bool, script: &[(u64, Option<Event>)]) -> String {
    let mut lines = LogLines::new(verbosity, Style::PLAIN, signs_of_life);
    let mut text = Vec::new();
    for (second, event) in script {
        match event {
            Some(event) => text.extend(lines.take(event, seconds(*second))),
            None => text.extend(lines.tick(seconds(*second))),
        }
    }
    text.join("\n")
}

fn long_step() -> Vec<(u64, Option<Event>)> {
    vec![
        (0, Some(started("Building the guest image"))),
        (1, Some(progress("packages", "unpacking systemd", Some(12), Some(340)))),
        (14, None),
        (15, None),
        (16, None),
        (20, Some(progress("kubernetes", "compiling", Some(7), None))),
        (31, Some(progress("packages", "\x1b[1munpacking zlib", Some(13), Some(340)))),
        (40, Some(Event::TaskFinished { task: "packages".to_owned() })),
        (46, None),
        (50, Some(Event::TaskFinished { task: "kubernetes".to_owned() })),
        (170, None),
        (171, Some(finished("Building the guest image", StepOutcome::Done("debian 13".to_owned())))),
        (300, None),
    ]
}

#[test]
fn a_long_step_has_a_sign_of_life_at_most_every_fifteen_seconds() {
    insta::assert_snapshot!(run(Verbosity::Normal, true, &long_step()), @r"
    [2/6] Building the guest image … 15 s so far: packages: 12/340 unpacking systemd
    [2/6] Building the guest image … 31 s so far: packages: 13/340 unpacking zlib; kubernetes: 7 compiling
    [2/6] Building the guest image … 46 s so far: kubernetes: 7 compiling
    [2/6] Building the guest image … still running after 2 min 50 s
    [2/6] Building the guest image … 71.3 s: debian 13
    ");
}

#[test]
fn with_live_lines_a_step_is_one_line() {
    insta::assert_snapshot!(run(Verbosity::Normal, false, &long_step()), @"[2/6] Building the guest image … 71.3 s: debian 13");
}

#[test]
fn quiet_prints_only_warnings() {
    let mut script = long_step();
    script.push((301, Some(Event::Note { text: "a note".to_owned() })));
    script.push((302, Some(Event::Warning { text: "look at this".to_owned() })));
    assert_eq!(run(Verbosity::Quiet, true, &script), "Warning: look at this");
}

#[test]
fn a_steps_line_ends_with_its_outcome() {
    for (outcome, line) in [
        (StepOutcome::Done(String::new()), "[2/6] Booting … 71.3 s"),
        (StepOutcome::Done("up".to_owned()), "[2/6] Booting … 71.3 s: up"),
        (StepOutcome::Skipped("it runs already".to_owned()), "[2/6] Booting … skipped: it runs already"),
        (StepOutcome::Failed, "[2/6] Booting … failed after 71.3 s"),
    ] {
        let script = [(0, Some(started("Booting"))), (71, Some(finished("Booting", outcome)))];
        assert_eq!(run(Verbosity::Normal, true, &script), line);
    }
}

#[test]
fn debug_prints_the_beginning_of_a_step_and_debug_events_with_their_time() {
    let script = [
        (0, Some(started("Booting"))),
        (1, Some(Event::Debug { text: "qemu-system-x86_64 -name k3s-vm".to_owned() })),
        (2, Some(Event::Note { text: "no KVM".to_owned() })),
        (3, Some(finished("Booting", StepOutcome::Done(String::new())))),
    ];
    insta::assert_snapshot!(run(Verbosity::Debug, true, &script), @r"
    [2/6] Booting
        1.000 qemu-system-x86_64 -name k3s-vm
    Note: no KVM
    [2/6] Booting … 71.3 s
    ");
    assert!(!run(Verbosity::Normal, true, &script).contains("qemu-system"));
}

#[test]
fn any_line_counts_as_a_sign_of_life() {
    let script =
        [(0, Some(started("Booting"))), (14, Some(Event::Warning { text: "slow".to_owned() })), (28, None), (29, None)];
    insta::assert_snapshot!(run(Verbosity::Normal, true, &script), @r"
    Warning: slow
    [2/6] Booting … still running after 29 s
    ");
}
