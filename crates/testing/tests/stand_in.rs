//! The library against a stand-in for k3s-vm that can fail in many ways.

use std::path::{Path, PathBuf};
use std::time::Duration;

use k3s_vm_testing::{Builder, Cluster, Error};
use rustix::process::{Pid, test_kill_process};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(120);
const SHORT: Duration = Duration::from_millis(300);

struct Project {
    directory: tempfile::TempDir,
}

impl Project {
    fn new() -> Self {
        Project { directory: tempfile::tempdir().expect("a directory") }
    }

    fn with_error(&self, error: &str) -> Builder {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../integrations/stand-in/k3s-vm");
        let builder =
            Cluster::builder().program(program).project(self.directory.path()).timeout(LONG).close_timeout(LONG);
        if error == "none" { builder } else { builder.from_snapshot(error) }
    }

    /// The text of the error, without what differs from run to run.
    fn error(&self, error: &str) -> String {
        self.shown(&self.with_error(error).fork().expect_err("it has an error"))
    }

    fn shown(&self, error: &Error) -> String {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../integrations/stand-in");
        error.to_string().replace(directory, "/bin").replace(&self.directory.path().display().to_string(), "/project")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.path(name)).ok()
    }

    /// Whether the program still runs.
    fn runs(&self) -> bool {
        let pid = self.read("pid").expect("it was ready").trim().parse().expect("a number");
        test_kill_process(Pid::from_raw(pid).expect("a pid")).is_ok()
    }
}

#[test]
fn a_cluster_has_addresses_and_is_destroyed_when_it_is_dropped() {
    let project = Project::new();
    let cluster = project.with_error("none").fork().unwrap();
    assert_eq!(cluster.name(), "run-1");
    assert_eq!(cluster.web_url(), "http://127.0.0.1:20001");
    assert_eq!(cluster.api_url(), "https://127.0.0.1:20000");
    assert_eq!((cluster.web_port(), cluster.api_port(), cluster.ssh_port()), (20001, 20000, 20002));
    assert_eq!(cluster.kubeconfig_path(), project.path("kubeconfig"));
    assert_eq!(cluster.kubeconfig().unwrap(), "a kubeconfig\n");
    assert_eq!(cluster.environment()["KUBECONFIG_PRIMARY"], "e30=");
    assert_eq!(cluster.report()["ready"], true);
    assert!(project.runs());
    assert_eq!(project.read("ended"), None);
    drop(cluster);
    assert!(!project.runs());
    assert_eq!(project.read("ended").as_deref(), Some("by the end of its input\n"));
}

#[test]
fn close_reports_success() {
    let project = Project::new();
    project.with_error("none").fork().unwrap().close().unwrap();
    assert_eq!(project.read("ended").as_deref(), Some("by the end of its input\n"));
}

#[test]
fn a_test_that_panics_leaves_nothing() {
    let project = Project::new();
    let builder = project.with_error("none");
    std::thread::spawn(move || {
        let _cluster = builder.fork().unwrap();
        panic!("as tests do");
    })
    .join()
    .unwrap_err();
    assert!(!project.runs());
    assert!(project.read("ended").is_some());
}

#[test]
fn snapshot_project_and_deadline_reach_the_program() {
    let project = Project::new();
    project.with_error("dies").timeout(Duration::from_secs(10)).fork().unwrap_err();
    let arguments =
        project.read("arguments").unwrap().replace(&project.directory.path().display().to_string(), "/project");
    insta::assert_snapshot!(arguments, @"run --hold --output json --timeout 9000ms --project /project --from dies");
}

#[test]
fn a_program_that_ends_is_quoted_and_its_own_advice_is_not_doubled() {
    let project = Project::new();
    assert!(matches!(project.with_error("dies").fork(), Err(Error::Ended { status, .. }) if status.code() == Some(6)));
    insta::assert_snapshot!(project.error("dies"), @"
    k3s-vm ended, and with it the fork: exit status: 6
      | [1/2] Checking the host … 0.0 s: all tools are there
      | Error: port 20001 is taken
      | Next: k3s-vm list    # the instances of this project
    ");
    insta::assert_snapshot!(project.error("dies-silently"), @"
    k3s-vm ended, and with it the fork: signal: 9 (SIGKILL)
      | [1/2] Checking the host … 0.0 s: all tools are there
    Next: k3s-vm start    # shows whether the project's cluster starts at all
    ");
}

#[test]
fn an_unexpected_line_is_shown_and_the_program_is_ended() {
    let project = Project::new();
    insta::assert_snapshot!(project.error("babbles"), @r#"
    /bin/k3s-vm did not tell where its fork is
      It printed "Ready!": expected value at line 1 column 1
      | [1/2] Checking the host … 0.0 s: all tools are there
    Next: k3s-vm --version    # is it the k3s-vm that you mean, and as new as this library?
    "#);
    insta::assert_snapshot!(project.error("forgets"), @r#"
    /bin/k3s-vm did not tell where its fork is
      It printed "{\"instance\": \"k3s-vm-run-1\"}": missing field `environment` at line 1 column 28
      | [1/2] Checking the host … 0.0 s: all tools are there
    Next: k3s-vm --version    # is it the k3s-vm that you mean, and as new as this library?
    "#);
}

#[test]
fn a_program_that_is_never_ready_is_ended_at_the_deadline() {
    let project = Project::new();
    let error = project.with_error("is-never-ready").timeout(SHORT).fork().unwrap_err();
    // On a busy machine the deadline may pass before the script has printed or written anything.
    let shown: Vec<String> =
        project.shown(&error).lines().filter(|line| !line.contains('|')).map(str::to_owned).collect();
    insta::assert_snapshot!(shown.join("\n"), @"
    the fork was not ready within 300ms
    Next: k3s-vm start    # once: forks of a cluster that has been ready take seconds
    ");
    assert!(project.read("pid").is_none() || !project.runs());
}

#[test]
fn a_program_that_died_during_the_test_is_reported_on_close() {
    let project = Project::new();
    let cluster = project.with_error("dies-later").fork().unwrap();
    let error = cluster.close().unwrap_err();
    insta::assert_snapshot!(project.shown(&error), @"
    k3s-vm ended, and with it the fork: exit status: 5
      | [1/2] Checking the host … 0.0 s: all tools are there
      | Error: QEMU was killed
    Next: k3s-vm start    # shows whether the project's cluster starts at all
    ");
}

#[test]
fn a_program_that_fails_to_clean_up_is_reported_on_close() {
    let project = Project::new();
    let error = project.with_error("fails-to-clean-up").fork().unwrap().close().unwrap_err();
    insta::assert_snapshot!(project.shown(&error), @"
    k3s-vm ended, and with it the fork: exit status: 1
      | [1/2] Checking the host … 0.0 s: all tools are there
      | Error: the fork was not destroyed
    Next: k3s-vm start    # shows whether the project's cluster starts at all
    ");
}

#[test]
fn a_program_that_ignores_the_end_of_its_input_is_killed_after_a_deadline() {
    let project = Project::new();
    let cluster = project.with_error("is-deaf").close_timeout(SHORT).fork().unwrap();
    let error = cluster.close().unwrap_err();
    insta::assert_snapshot!(project.shown(&error), @"
    k3s-vm did not end within 300ms after the fork was closed, and was killed
      | [1/2] Checking the host … 0.0 s: all tools are there
    Next: k3s-vm list    # is it still there?
    ");
    assert!(!project.runs());
}

#[test]
fn a_program_that_prints_much_is_not_blocked_by_a_full_pipe() {
    let project = Project::new();
    project.with_error("talks").fork().unwrap().close().unwrap();
    assert!(project.read("ended").is_some());
}

#[test]
fn a_program_that_does_not_exist_is_named() {
    let error = Cluster::builder().program("/no/such/k3s-vm").fork().unwrap_err();
    insta::assert_snapshot!(error, @"
    /no/such/k3s-vm cannot be started: No such file or directory (os error 2)
    Next: export K3S_VM=/path/to/bin/k3s-vm    # or Cluster::builder().program(…)
    ");
}
