//! Forks of a real cluster: by `run`, by the library, by pytest and by Node. They are isolated from each other, and leave
//! nothing behind however they end.
//!
//! The steps share one project, which is started once, and run in this order.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use k3s_vm_testing::k8s_openapi::api::core::v1::ConfigMap;
use k3s_vm_testing::{Builder, Cluster, Error, kube};
use k3s_vm_tests_vm::http;
use k3s_vm_tests_vm::project::{ExampleProject, repository};
use k3s_vm_tests_vm::steps::{Steps, eventually};
use k3s_vm_tests_vm::test_runner::Runner;
use serde_json::Value;

/// How long the cleanup after a kill may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Makes this program a test program that forks the project in the next argument and waits to be killed.
const ROLE: &str = "--play-a-test-that-is-killed";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, role, project] = arguments.as_slice()
        && role == ROLE
    {
        return play(Path::new(project));
    }
    let project = ExampleProject::copy();
    let mut steps = Steps::default();
    steps.run("a_project_is_started_once", || {
        project.ok(&["start", "--timeout", "20m"]);
    });
    steps.run("run_passes_on_variables_and_exit_code_and_leaves_nothing", || run(&project));
    steps.run("a_command_that_is_killed_leaves_nothing", || {
        let output = project.k3s_vm(&["run", "--", "sh", "-c", "kill -9 $$"]);
        assert_eq!(output.status.code(), Some(137));
        assert_eq!(project.instances(), Vec::<PathBuf>::new());
    });
    steps.run("two_forks_at_once_are_isolated_and_end_with_their_values", || library(&project));
    steps.run("a_fork_can_begin_from_a_snapshot", || from_snapshot(&project));
    steps.run("a_run_that_is_killed_leaves_nothing", || {
        let mut held = Held::new(&project);
        held.kill();
        eventually("the end of the fork", PATIENCE, || held.is_gone().then_some(()));
    });
    steps.run("a_run_that_is_killed_while_it_starts_leaves_nothing", || killed_while_it_starts(&project));
    steps.run("a_run_that_is_killed_with_its_reaper_is_cleaned_up_by_the_next", || {
        let mut held = Held::new(&project);
        let reaper = held.reaper();
        held.kill_with(reaper);
        assert!(!held.is_gone(), "something else has cleaned it up");
        project.ok(&["run", "--", "true"]);
        // Its new parent may take a moment to reap it.
        eventually("the end of the fork", PATIENCE, || held.is_gone().then_some(()));
    });
    steps.run("a_test_program_that_is_killed_leaves_nothing", || killed_test(&project));
    steps.run("forks_wait_in_the_pool_until_it_is_switched_off", || pool(&project));
    for runner in [Runner::pytest(&project), Runner::node(&project)] {
        runner.run(&mut steps, &project);
    }
    steps.run("the_projects_own_cluster_is_unchanged", || {
        assert_eq!(project.instances(), Vec::<PathBuf>::new());
        assert_eq!(http::get(30080, "/").expect("an answer").0, 200);
        assert_eq!(project.kubectl(&["get", "configmaps", "-o", "name"]).matches("written").count(), 0);
    });
    if steps.failed() {
        project.show_logs();
    }
    drop(project);
    steps.finish()
}

fn runs(pid: u64) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

fn run(project: &ExampleProject) {
    let script = "printf '%s\\n' \"$KUBECONFIG\" \"$WEB_PORT\" \"$K3S_VM_NAME\"; exit 42";
    let output = project.k3s_vm(&["run", "--", "sh", "-c", script]);
    assert_eq!(output.status.code(), Some(42));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let [kubeconfig, port, name] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
    assert!(name.starts_with("run-") && kubeconfig.contains(name), "{text}");
    assert!(!listens(port.parse().expect("a port")), "{port} is still open");
    assert_eq!(project.instances(), Vec::<PathBuf>::new());
}

fn pool(project: &ExampleProject) {
    const CONFIGURATION: &str = ".k3s-vm/config.toml";
    let without = project.read(CONFIGURATION);
    project.write(CONFIGURATION, &format!("pool = 1\n{without}"));
    let program = repository().join("bin/k3s-vm");
    let script =
        "echo \"$K3S_VM_NAME\"; exec \"$0\" --project \"$1\" --name \"$K3S_VM_NAME\" kubectl get --raw /readyz";
    let directory = project.path("");
    let words = ["run", "--", "sh", "-c", script, program.to_str().expect("UTF-8"), directory.to_str().expect("UTF-8")];
    let waiting = || {
        let list: Value = serde_json::from_str(&project.ok(&["list", "-o", "json"])).expect("JSON");
        let mut instances = list["instances"].as_array().into_iter().flatten();
        instances.find_map(|one| (one["state"] == "paused").then(|| one["name"].as_str().expect("a name").to_owned()))
    };
    let begun = project.ok(&words);
    assert!(begun.starts_with("run-") && begun.trim_end().ends_with("\nok"), "the pool is still empty: {begun}");
    let mut before = String::new();
    for _ in 0..2 {
        let name = eventually("a fork in the pool", PATIENCE, waiting);
        assert_ne!(name, before, "each is used once");
        let taken = project.ok(&words);
        assert_eq!(taken.trim_end(), format!("{name}\nok"));
        before = name;
    }
    project.write(CONFIGURATION, &without);
    project.ok(&["run", "--", "true"]);
    eventually("the end of the pool", PATIENCE, || project.instances().is_empty().then_some(()));
}

fn builder(project: &Path) -> Builder {
    Cluster::builder().program(repository().join("bin/k3s-vm")).project(project).show_progress()
}

/// Makes a fork with the library.
fn fork(project: &Path) -> Cluster {
    builder(project).fork().unwrap_or_else(|error| panic!("{error}"))
}

fn library(project: &ExampleProject) {
    let directory = project.path("");
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(|| fork(&directory));
        let other = fork(&directory);
        (one.join().expect("a fork"), other)
    });
    assert_ne!(one.name(), other.name());
    assert_eq!(project.instances().len(), 2);
    for cluster in [&one, &other] {
        assert_eq!(cluster.web_url(), format!("http://127.0.0.1:{}", cluster.web_port()));
        let (status, page) = http::get(cluster.web_port(), "/").expect("an answer");
        assert!(status == 200 && page.contains("<html"), "{status} {page}");
        assert!(cluster.kubeconfig().expect("a kubeconfig").contains(cluster.api_url()));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let maps = |client| kube::Api::<ConfigMap>::namespaced(client, "default");
        let written = maps(one.client().await.expect("a client"));
        let mut map = ConfigMap::default();
        map.metadata.name = Some("written-by-the-library".to_owned());
        written.create(&kube::api::PostParams::default(), &map).await.expect("it is created");
        assert!(written.get_opt("written-by-the-library").await.expect("an answer").is_some());
        let unseen = maps(other.client().await.expect("a client"));
        assert!(unseen.get_opt("written-by-the-library").await.expect("an answer").is_none(), "another fork sees it");
    });
    let ports = [&one, &other].map(|cluster| [cluster.web_port(), cluster.api_port(), cluster.ssh_port()]).concat();
    assert!(ports.iter().all(|port| listens(*port)), "{ports:?}");
    one.close().unwrap_or_else(|error| panic!("{error}"));
    drop(other);
    assert!(!ports.iter().any(|port| listens(*port)), "{ports:?}");
    assert_eq!(project.instances(), Vec::<PathBuf>::new());
}

fn from_snapshot(project: &ExampleProject) {
    project.kubectl(&["create", "configmap", "written-before"]);
    project.ok(&["snapshot", "save", "seeded"]);
    project.kubectl(&["delete", "configmap", "written-before"]);
    let cluster = builder(&project.path("")).from_snapshot("seeded").fork().unwrap_or_else(|error| panic!("{error}"));
    let names = ["--name", cluster.name(), "kubectl", "get", "configmaps", "-o", "name"];
    assert!(project.ok(&names).contains("configmap/written-before"), "it did not begin from the snapshot");
    cluster.close().unwrap_or_else(|error| panic!("{error}"));
    let error = builder(&project.path("")).from_snapshot("gone").fork().expect_err("there is no such snapshot");
    assert!(matches!(error, Error::Ended { .. }) && error.to_string().contains("gone"), "{error}");
    assert_eq!(project.instances(), Vec::<PathBuf>::new());
}

/// A running `run --hold` and its fork.
struct Held {
    child: Child,
    directory: PathBuf,
    qemu: u64,
    port: u16,
}

impl Held {
    fn new(project: &ExampleProject) -> Self {
        let mut child = spawn_hold(project, Stdio::inherit());
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let report: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let variable = |name: &str| report["environment"][name].as_str().expect("a variable").to_owned();
        let directory = project.path(".k3s-vm/instances").join(variable("K3S_VM_NAME"));
        let (qemu, port) = (report["pid"].as_u64().expect("a pid"), variable("WEB_PORT").parse().expect("a port"));
        assert!(runs(qemu) && directory.exists() && listens(port), "the fork is not there: {report}");
        Held { child, directory, qemu, port }
    }

    fn is_gone(&self) -> bool {
        !runs(self.qemu) && !self.directory.exists() && !listens(self.port)
    }

    /// The process that destroys the fork after its owner's end.
    fn reaper(&self) -> u64 {
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        let children = std::fs::read_to_string(children).expect("the children");
        let is_reaper = |pid: &&str| {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            words.split(|byte| *byte == 0).nth(1) == Some(b"reaper")
        };
        children.split_whitespace().find(is_reaper).expect("a reaper").parse().expect("a pid")
    }

    fn kill(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("its end");
    }

    fn kill_with(&mut self, reaper: u64) {
        let killed = Command::new("kill").args(["-9", &reaper.to_string()]).status().expect("kill");
        assert!(killed.success());
        self.kill();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn_hold(project: &ExampleProject, stderr: Stdio) -> Child {
    let mut command = Command::new(repository().join("bin/k3s-vm"));
    command.args(["run", "--hold", "-o", "json"]).current_dir(project.path(""));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr).spawn().expect("bin/k3s-vm")
}

fn killed_while_it_starts(project: &ExampleProject) {
    let mut child = spawn_hold(project, Stdio::piped());
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    // Then its VM runs, and its cluster is not ready.
    let line = lines.by_ref().map(|line| line.expect("a line")).find(|line| line.contains("pid "));
    child.kill().expect("kill");
    child.wait().expect("its end");
    let line = line.expect("a line with the pid of QEMU");
    let pid = line.rsplit("pid ").next().and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    let pid = pid.and_then(|pid| pid.parse().ok()).unwrap_or_else(|| panic!("no pid: {line}"));
    eventually("the end of the fork", PATIENCE, || (!runs(pid) && project.instances().is_empty()).then_some(()));
}

/// Makes a fork, prints its web port, and waits to be killed.
fn play(project: &Path) -> ExitCode {
    let cluster = fork(project);
    let _ = writeln!(std::io::stdout(), "{}", cluster.web_port());
    let _ = std::io::stdin().lines().next();
    ExitCode::FAILURE
}

fn killed_test(project: &ExampleProject) {
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command.arg(ROLE).arg(project.path("")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("this program");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    let port = line.trim().parse().unwrap_or_else(|_| panic!("no port: {line:?}"));
    assert!(listens(port) && project.instances().len() == 1);
    child.kill().expect("kill");
    child.wait().expect("its end");
    eventually("the end of the fork", PATIENCE, || (!listens(port) && project.instances().is_empty()).then_some(()));
}
