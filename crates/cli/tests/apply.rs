//! `apply` without a VM and without a cluster: mistakes in files are reported first, and a watch continues after
//! errors.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};

use testkit::TempProject;

/// A kubeconfig of a server that is not there: nothing listens on port 1.
const KUBECONFIG: &str = "
apiVersion: v1
kind: Config
current-context: dev
contexts: [{name: dev, context: {cluster: c, user: u}}, {name: staging, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]
users: [{name: u, user: {token: abc}}]
";
const CONFIG_MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";

fn project(manifests: &[(&str, &str)]) -> TempProject {
    let project = TempProject::new(testkit::port::free_node_port());
    project.write("kc.yaml", KUBECONFIG);
    fs::create_dir_all(project.root().join(".k3s-vm/manifests")).unwrap();
    for (name, text) in manifests {
        project.write(format!(".k3s-vm/manifests/{name}"), text);
    }
    project
}

fn command(project: &TempProject, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_k3s-vm"));
    command
        .arg("apply")
        .args(arguments)
        .current_dir(project.root())
        .env_clear()
        .env("HOME", project.root().join("home"))
        .env("KUBECONFIG", project.root().join("not-looked-at"))
        .env("K3S_VM_HOME", concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .env("K3S_VM_PROGRAM", "k3s-vm")
        .stdin(Stdio::null());
    command
}

/// The stderr of `apply`, without times. Asserts its exit code and an empty stdout.
fn says(project: &TempProject, arguments: &[&str], code: i32) -> String {
    let output = command(project, arguments).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(code), &b""[..]), "{text}");
    text.split_inclusive(' ').map(without_seconds).collect::<String>().replace("SECONDS s", "TIME")
}

/// Replaces a number of seconds, which differs from run to run.
fn without_seconds(word: &str) -> &str {
    let is_seconds = word.strip_suffix(' ').is_some_and(|number| number.contains('.') && number.parse::<f64>().is_ok());
    if is_seconds { "SECONDS " } else { word }
}

#[test]
fn broken_manifests_are_reported_with_line_and_column_before_any_request() {
    let project = project(&[
        ("base.json", "{\"apiVersion\": \"v1\",\n \"kind\": ConfigMap, \"metadata\": {\"name\": \"a\"}}\n"),
        ("half.json", "{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\",\n"),
        ("empty.json", ""),
        ("web.yaml", "apiVersion: v1\nkind: [ConfigMap\nmetadata: {name: a}\n---\nkind: Service\n"),
    ]);
    insta::assert_snapshot!(says(&project, &["--kubeconfig", "kc.yaml"], 2), @r"
    Error: the manifests have 5 mistakes
      .k3s-vm/manifests/base.json:2:10: expected value
      .k3s-vm/manifests/empty.json:1:1: the file is empty
      .k3s-vm/manifests/half.json:2:1: EOF while parsing an object
      .k3s-vm/manifests/web.yaml:3:9: illegal placement of ':' indicator
      .k3s-vm/manifests/web.yaml:5: apiVersion is missing, metadata.name is missing

    Next: correct the manifests, then: k3s-vm apply
    ");
}

#[test]
fn no_manifests_are_a_mistake_and_delete_nothing() {
    for files in [&[][..], &[("a.yaml", "")], &[("a.yaml", "# nothing\n---\n"), ("notes.txt", "x")]] {
        let project = project(files);
        insta::allow_duplicates! {
            insta::assert_snapshot!(says(&project, &["--kubeconfig", "kc.yaml"], 2), @r"
            Error: there are no manifests in .k3s-vm/manifests
              no .json, .yaml or .yml file there holds an object
              nothing was applied, and nothing deleted

            Next: write .k3s-vm/manifests/base.json    # an empty List in it deletes what was applied before
            ");
        }
    }
    let project = project(&[]);
    fs::remove_dir(project.root().join(".k3s-vm/manifests")).unwrap();
    assert!(says(&project, &["--kubeconfig", "kc.yaml", "--dry-run"], 2).contains("there are no manifests"));
}

#[test]
fn the_contexts_that_there_are_are_named() {
    let project = project(&[("a.yaml", CONFIG_MAP)]);
    insta::assert_snapshot!(says(&project, &["--kubeconfig", "kc.yaml", "--context", "prod"], 2), @r"
    [1/3] Connecting to the cluster … failed after TIME
    Error: there is no context prod in kc.yaml
      it has dev, staging

    Next: kubectl --kubeconfig kc.yaml config get-contexts
    ");
    insta::assert_snapshot!(says(&project, &["--kubeconfig", "gone.yaml"], 2), @r"
    [1/3] Connecting to the cluster … failed after TIME
    Error: the kubeconfig gone.yaml cannot be read
      No such file or directory (os error 2)
    ");
}

#[test]
fn an_unreachable_cluster_is_reported_and_nothing_is_written() {
    let project = project(&[("a.yaml", CONFIG_MAP)]);
    let listing = |project: &TempProject| {
        let mut names: Vec<_> = fs::read_dir(project.root()).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.extend(fs::read_dir(project.root().join(".k3s-vm")).unwrap().map(|entry| entry.unwrap().path()));
        names.extend(fs::read_dir(project.root().join("web")).unwrap().map(|entry| entry.unwrap().path()));
        names.sort();
        names
    };
    let before = listing(&project);
    insta::assert_snapshot!(says(&project, &["--kubeconfig", "kc.yaml"], 7), @r"
    [1/3] Connecting to the cluster … failed after TIME
    Error: cannot reach the cluster at https://127.0.0.1:1
      Connection refused (os error 111)

    Next: kubectl --kubeconfig kc.yaml --context dev version
    ");
    assert_eq!(listing(&project), before);
}

#[test]
fn a_context_needs_a_kubeconfig_and_a_watch_is_no_dry_run() {
    let project = project(&[]);
    for arguments in [&["--context", "dev"][..], &["--watch", "--dry-run"]] {
        assert_eq!(command(&project, arguments).output().unwrap().status.code(), Some(2), "{arguments:?}");
    }
}

/// A watch that is running.
struct Watch {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStderr>>,
}

impl Watch {
    fn start(project: &TempProject) -> Self {
        let mut child =
            command(project, &["--watch", "--kubeconfig", "kc.yaml"]).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Watch { child, lines }
    }

    /// Its output until it waits for the next change.
    fn round(&mut self) -> String {
        let mut text = String::new();
        for line in &mut self.lines {
            let line = line.unwrap();
            if line.contains("waiting for a change") {
                return text;
            }
            text = text + &line + "\n";
        }
        panic!("it ended:\n{text}");
    }

    fn interrupt(mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        self.child.wait().unwrap()
    }
}

/// Saves as editors do: a new file replaces the old one.
fn save(project: &TempProject, path: &str, text: &str) {
    project.write("being-saved", text);
    fs::rename(project.root().join("being-saved"), project.root().join(path)).unwrap();
}

#[test]
fn a_watch_outlives_every_error_sees_every_kind_of_save_and_ends_well() {
    let project = project(&[("a.yaml", "kind: [\n")]);
    let directory = project.root().join(".k3s-vm/manifests");
    let mut watch = Watch::start(&project);
    assert!(watch.round().contains("a.yaml:"), "the first round tells the mistake");
    // Written in place.
    project.write(".k3s-vm/manifests/a.yaml", CONFIG_MAP);
    assert!(watch.round().contains("cannot reach the cluster"));
    save(&project, ".k3s-vm/manifests/a.yaml", "kind: [\n");
    assert!(watch.round().contains("a.yaml:"));
    // The directory is removed, created again, and watched again.
    fs::rename(&directory, project.root().join("elsewhere")).unwrap();
    assert!(watch.round().contains("there are no manifests"));
    fs::create_dir(&directory).unwrap();
    save(&project, ".k3s-vm/manifests/b.yaml", CONFIG_MAP);
    assert!(watch.round().contains("cannot reach the cluster"));
    // Variables and configuration are watched as well, and a mistake in the configuration can be corrected.
    save(&project, "web/.env", "GREETING=hello\n");
    assert!(watch.round().contains("cannot reach the cluster"));
    save(&project, ".k3s-vm/config.toml", "[vm]\ncpus = 0\n");
    assert!(watch.round().contains("vm.cpus = 0"));
    save(&project, ".k3s-vm/config.toml", "[inject]\nmode = \"off\"\n");
    assert!(watch.round().contains("cannot reach the cluster"));
    assert_eq!(watch.interrupt().code(), Some(0), "the user's way to end it is no failure");
}

#[test]
fn a_watch_of_a_vm_that_does_not_run_ends_at_once() {
    let project = project(&[("a.yaml", CONFIG_MAP)]);
    let text = says(&project, &["--watch"], 3);
    assert!(text.contains("is not running"), "{text}");
}
