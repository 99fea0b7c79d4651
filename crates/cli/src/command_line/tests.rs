//! What the command line accepts, and what it says about the rest.

use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::args::ColorChoice;

fn parse(words: &[&str]) -> Result<Invocation, clap::Error> {
    Invocation::parse(std::iter::once("k3s-vm").chain(words.iter().copied()).map(OsString::from))
}

fn verb(words: &[&str]) -> Verb {
    parse(words).unwrap_or_else(|error| panic!("{words:?}: {error}")).verb
}

fn refusal(words: &[&str]) -> String {
    match parse(words) {
        Ok(invocation) => panic!("{words:?} was accepted: {invocation:?}"),
        Err(error) => error.to_string(),
    }
}

fn kubectl_arguments(words: &[&str]) -> Vec<String> {
    match verb(words) {
        Verb::Kubectl(kubectl) => kubectl.arguments.into_iter().map(|word| word.into_string().unwrap()).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_definition_is_valid() {
    CommandLine::command().debug_assert();
}

#[test]
fn no_verb_means_start_and_takes_its_flags() {
    assert_eq!(verb(&[]), Verb::Start(start::Arguments::default()));
    let Verb::Start(start) = verb(&["--yes", "--no-wait", "--timeout", "5m"]) else { panic!("not start") };
    assert!(!start.wait.waits());
    assert_eq!(start.wait.timeout, Some(Duration::from_secs(300)));
}

#[test]
fn flags_of_start_before_another_verb_are_refused() {
    insta::assert_snapshot!(refusal(&["--no-wait", "stop"]), @r"
    error: flags of `start` come after the verb: `k3s-vm start --timeout 5m`

    Usage: k3s-vm [OPTIONS] [VERB]

    For more information, try '--help'.
    ");
}

#[test]
fn global_flags_stand_before_and_after_the_verb() {
    for words in [["--debug", "status"], ["status", "--debug"]] {
        let invocation = parse(&words).unwrap();
        assert!(invocation.globals.debug, "{words:?}");
        assert_eq!(invocation.verb, Verb::Status(status::Arguments::default()));
    }
    let globals = parse(&["reset", "-y", "-q", "--project", "/p", "--color", "never"]).unwrap().globals;
    assert!(globals.yes && globals.quiet);
    assert_eq!(globals.project, Some(PathBuf::from("/p")));
    assert_eq!(globals.color, ColorChoice::Never);
}

#[test]
fn the_last_of_wait_and_no_wait_counts() {
    for (words, waits) in [
        (&["reset"][..], true),
        (&["reset", "--no-wait"], false),
        (&["reset", "--no-wait", "--wait"], true),
        (&["reset", "--wait", "--no-wait"], false),
    ] {
        let Verb::Reset(reset) = verb(words) else { panic!("not reset") };
        assert_eq!(reset.start.wait.waits(), waits, "{words:?}");
    }
}

#[test]
fn kubectl_gets_its_arguments_unchanged() {
    for (typed, expected) in [
        (&["kubectl"][..], &[][..]),
        (&["kubectl", "get", "pods", "-A"], &["get", "pods", "-A"]),
        (&["kubectl", "-n", "web", "get", "pods", "-o", "json"], &["-n", "web", "get", "pods", "-o", "json"]),
        (&["kubectl", "--help"], &["--help"]),
        (&["kubectl", "exec", "web", "--", "ls", "--debug"], &["exec", "web", "--", "ls", "--debug"]),
        (&["kubectl", "--", "exec", "web", "--", "ls"], &["exec", "web", "--", "ls"]),
        (&["kubectl", "--", "--debug", "--yes", "-q"], &["--debug", "--yes", "-q"]),
        (&["kubectl", "--", "--", "x"], &["--", "x"]),
    ] {
        assert_eq!(kubectl_arguments(typed), expected, "{typed:?}");
    }
}

#[test]
fn ssh_takes_a_command_with_and_without_the_dashes() {
    for words in [&["ssh", "--", "uname", "-a"][..], &["ssh", "uname", "-a"]] {
        assert_eq!(verb(words), Verb::Ssh(ssh::Arguments { command: vec!["uname".to_owned(), "-a".to_owned()] }));
    }
    assert_eq!(verb(&["ssh"]), Verb::Ssh(ssh::Arguments { command: Vec::new() }));
}

#[test]
fn mistakes_are_explained() {
    insta::assert_snapshot!(refusal(&["start", "--timeout", "soon"]), @r"
    error: invalid value 'soon' for '--timeout <DURATION>': not a duration such as 90s or 15m

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(refusal(&["start", "--timeout", "0s"]), @r"
    error: invalid value '0s' for '--timeout <DURATION>': must be more than zero

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(refusal(&["rest"]), @r"
    error: unrecognized subcommand 'rest'

      tip: some similar subcommands exist: 'resume', 'reset'

    Usage: k3s-vm [OPTIONS] [VERB]

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(refusal(&["load"]), @r"
    error: the following required arguments were not provided:
      <FILE>

    Usage: k3s-vm load <FILE>

    For more information, try '--help'.
    ");
}
