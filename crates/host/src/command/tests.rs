//! Tests with real programs.

use std::sync::Mutex;
use std::time::Duration;

use model::event::Silent;
use model::{ErrorClass, Event, EventSink};

use super::*;

fn sh(script: &str) -> Command {
    Command::new("sh").args(["-c", script])
}

#[test]
fn shows_itself_as_a_line_for_a_shell() {
    let command = Command::new("mke2fs").args(["-d", "a directory", "it's", "", "$HOME"]);
    insta::assert_snapshot!(command.display(), @r#"mke2fs -d 'a directory' "it's" '' '$HOME'"#);
    let command = Command::new("go").arg("build").env("GOGC", "400").env("X", "a b").current_dir("/my guest");
    insta::assert_snapshot!(command.display(), @"(cd '/my guest' && GOGC=400 X='a b' go build)");
}

#[test]
fn is_named_for_what_a_wrapper_runs() {
    for (words, name) in [
        (&["/usr/sbin/mke2fs", "-d"][..], "mke2fs"),
        (&["sudo", "-n", "env", "LC_ALL=C", "apt-get", "install"], "apt-get"),
        (&["env", "A=b", "/bin/tool"], "tool"),
        (&["sudo", "-v"], "sudo"),
    ] {
        assert_eq!(Command::new(words[0]).args(&words[1..]).name(), name);
    }
}

#[test]
fn captures_both_streams_and_the_exit_code() {
    let output = sh("printf out; printf err >&2; exit 3").output().unwrap();
    assert_eq!(output, Output { code: 3, stdout: b"out".to_vec(), stderr: b"err".to_vec() });
}

#[test]
fn a_death_by_signal_is_128_and_its_number() {
    assert_eq!(sh("kill -9 $$").output().unwrap().code, 137);
}

#[test]
fn standard_input_is_empty_or_what_was_given() {
    assert_eq!(Command::new("cat").run().unwrap(), "");
    let large = "0123456789".repeat(100_000);
    assert_eq!(Command::new("cat").input(large.as_bytes()).run().unwrap(), large);
    // A program that does not read its input is no error.
    assert_eq!(sh("echo done").input(large.as_bytes()).run().unwrap(), "done\n");
}

#[test]
fn runs_in_the_directory_with_the_environment() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().canonicalize().unwrap();
    let text = sh("pwd; echo $GREETING").current_dir(&path).env("GREETING", "hello").run().unwrap();
    assert_eq!(text, format!("{}\nhello\n", path.display()));
}

#[test]
fn a_failure_says_the_last_line_and_the_command() {
    let error = sh("echo one >&2; echo two >&2; exit 7").run().unwrap_err();
    assert_eq!(error.class(), ErrorClass::Failed);
    insta::assert_snapshot!(error, @"`sh` failed with exit code 7: two: the command was: sh -c 'echo one >&2; echo two >&2; exit 7'");
    assert_eq!(error.log().unwrap().lines, ["one", "two"]);
}

#[test]
fn a_failure_shows_stdout_if_stderr_is_empty() {
    let error = sh("echo why; exit 1").run().unwrap_err();
    assert_eq!(error.why()[0], "why");
}

#[test]
fn a_missing_program_is_an_error_of_the_host() {
    let error = Command::new("no-such-program").run().unwrap_err();
    assert_eq!(error.class(), ErrorClass::Host);
    insta::assert_snapshot!(error, @"the program `no-such-program` is not installed: `no-such-program` was not found");
}

#[test]
fn a_missing_directory_is_not_taken_for_a_missing_program() {
    let error = Command::new("true").current_dir("/nonexistent/directory").run().unwrap_err();
    assert_eq!(error.class(), ErrorClass::Failed);
    insta::assert_snapshot!(error, @"cannot run `true` in /nonexistent/directory: there is no such directory");
}

#[test]
fn a_program_whose_file_is_busy_is_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("program");
    std::fs::write(&path, "#!/bin/sh\necho hello\n").unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let writer = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    let stays = Command::new(&path).run().unwrap_err();
    assert_eq!(stays.why()[0], "Text file busy");
    let closer = std::thread::spawn(move || {
        crate::interrupt::pause_regardless(Duration::from_millis(200));
        drop(writer);
    });
    assert_eq!(Command::new(&path).run().unwrap(), "hello\n");
    closer.join().unwrap();
}

#[test]
fn standard_input_can_be_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "from a file").unwrap();
    assert_eq!(Command::new("cat").input_file(file.path()).run().unwrap(), "from a file");
    let error = Command::new("cat").input_file("/nonexistent/file").run().unwrap_err();
    assert_eq!(error.what(), "cannot read /nonexistent/file");
}

#[test]
fn the_deadline_ends_the_whole_group() {
    let directory = tempfile::tempdir().unwrap();
    let pid_file = directory.path().join("pid");
    let error = sh(&format!("sleep 1000 & echo $! > {}; echo last words; wait", quote(pid_file.as_os_str())))
        .deadline(Duration::from_secs(2))
        .run()
        .unwrap_err();
    assert_eq!(error.class(), ErrorClass::Timeout);
    assert_eq!(error.what(), "`sh` did not end within 2s");
    let sleeper: u32 = std::fs::read_to_string(pid_file).unwrap().trim().parse().unwrap();
    assert!(is_dead(sleeper), "the child of the program still runs");
}

#[test]
fn a_group_that_ignores_sigterm_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let pid_file = directory.path().join("pid");
    let script = format!("trap '' TERM; echo $$ > {}; while :; do sleep 1; done", quote(pid_file.as_os_str()));
    let error = sh(&script).deadline(Duration::from_secs(1)).output().unwrap_err();
    assert_eq!(error.class(), ErrorClass::Timeout);
    let shell: u32 = std::fs::read_to_string(pid_file).unwrap().trim().parse().unwrap();
    assert!(is_dead(shell));
}

#[test]
fn output_of_a_program_while_it_is_ended_is_captured() {
    let script = "trap 'echo cleaned up >&2; exit 0' TERM; echo begun >&2; while :; do sleep 0.1; done";
    let error = sh(script).deadline(Duration::from_secs(2)).output().unwrap_err();
    let lines = &error.log().unwrap().lines;
    // Some shells also report the end of their child there.
    assert_eq!((lines[0].as_str(), lines.last().unwrap().as_str()), ("begun", "cleaned up"));
}

#[test]
fn a_child_that_keeps_the_pipes_open_is_not_waited_for() {
    let text = sh("sleep 1000 & echo $!").deadline(Duration::from_secs(60)).run().unwrap();
    let sleeper: u32 = text.trim().parse().unwrap();
    assert!(!is_dead(sleeper), "children of a program that has ended are left alone");
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(i32::try_from(sleeper).unwrap()).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
}

#[test]
fn endless_output_is_an_error_before_memory_is_full() {
    let error = Command::new("cat").arg("/dev/zero").output().unwrap_err();
    assert_eq!(error.what(), "`cat` printed more than 64 MiB");
}

#[test]
fn streams_lines_as_they_come() {
    let mut lines = Vec::new();
    sh("printf '10%%\\r20%%\\r'; echo three; echo four >&2")
        .run_streaming(&Silent, &mut |line| lines.push(line.to_owned()))
        .unwrap();
    lines.sort();
    assert_eq!(lines, ["10%", "20%", "four", "three"]);
}

#[test]
fn streaming_passes_on_a_line_while_the_program_still_runs() {
    let directory = tempfile::tempdir().unwrap();
    let answer = directory.path().join("answer");
    // It ends only after its first line was received.
    let script =
        format!("echo question; while [ ! -e {0} ]; do sleep 0.05; done; echo heard", quote(answer.as_os_str()));
    let mut lines = Vec::new();
    sh(&script)
        .run_streaming(&Silent, &mut |line| {
            std::fs::write(&answer, "").unwrap();
            lines.push(line.to_owned());
        })
        .unwrap();
    assert_eq!(lines, ["question", "heard"]);
}

#[test]
fn a_streamed_failure_has_the_tail_and_debug_lines() {
    #[derive(Default)]
    struct Recorder(Mutex<Vec<Event>>);
    impl EventSink for Recorder {
        fn emit(&self, event: Event) {
            self.0.lock().unwrap().push(event);
        }
    }
    let recorder = Recorder::default();
    let error = sh("for i in $(seq 100); do echo line $i; done; exit 2").run_streaming(&recorder, &mut |_| {});
    let error = error.unwrap_err();
    assert_eq!(error.what(), "`sh` failed with exit code 2");
    assert_eq!(error.why()[0], "line 100");
    assert_eq!(error.log().unwrap().lines.len(), 20);
    let events = recorder.0.into_inner().unwrap();
    assert!(matches!(&events[..], [Event::Debug { text }] if text.starts_with("running sh -c 'for i")), "{events:?}");
}

#[test]
fn a_program_has_no_terminal_input_and_its_own_group() {
    let text = sh("readlink /proc/self/fd/0; ps -o pgid= -p $$ 2>/dev/null || cut -d' ' -f5 /proc/$$/stat; echo $$");
    let text = text.run().unwrap();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    assert_eq!(lines[0], "/dev/null");
    assert_eq!(lines[1], lines[2], "the program leads its process group");
}

fn is_dead(pid: u32) -> bool {
    crate::process_table::stat(pid).unwrap().is_none_or(|stat| stat.is_dead())
}

#[test]
fn following_a_program_yields_lines_and_exit_code_and_can_end_it() {
    let mut lines = Vec::new();
    let mut take = |line: &str| {
        lines.push(line.to_owned());
        Ok(())
    };
    let ended = sh("echo path; echo one >&2; printf two >&2; exit 7").follow(&Silent, &mut take).unwrap();
    assert_eq!(ended, (7, "path\n".to_owned()));
    assert_eq!(lines, ["one", "two"]);
    let enough = |line: &str| match line {
        "enough" => Err(model::Error::new(ErrorClass::Host, "that is enough")),
        _ => Ok(()),
    };
    let error = sh("echo enough >&2; echo more >&2; sleep 600").follow(&Silent, &mut { enough }).unwrap_err();
    // Not the error of the deadline.
    assert_eq!(error.what(), "that is enough");
}
