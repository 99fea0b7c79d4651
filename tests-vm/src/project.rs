//! A copy of the repository's example project in a directory with an awkward name, and its commands.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// The root directory of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a directory of the workspace").to_path_buf()
}

/// A copy of the example project.
#[derive(Debug)]
pub struct ExampleProject {
    // Dropped last: the directory must outlive everything in it.
    _directory: tempfile::TempDir,
    root: PathBuf,
}

impl ExampleProject {
    /// Copies the example. Its path has a blank, a comma, a quote and a letter outside of ASCII.
    ///
    /// # Panics
    /// When the example cannot be copied.
    pub fn copy() -> Self {
        let directory = tempfile::Builder::new().prefix("k3s-vm-test-").tempdir().expect("a temporary directory");
        let root = directory.path().join("the web app, \"größer\"");
        std::fs::create_dir_all(root.join(".k3s-vm")).expect("the project's directory");
        let source = repository();
        for name in [".env", "web", ".k3s-vm/config.toml", ".k3s-vm/manifests"] {
            let copied = Command::new("cp").arg("-R").arg(source.join(name)).arg(root.join(name)).status().expect("cp");
            assert!(copied.success(), "cannot copy {name}");
        }
        // Files of a run in the repository itself.
        for name in ["web/.env", "web/.kube", "web/kubeconfig.yaml"] {
            let path = root.join(name);
            let _ = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir_all(&path));
        }
        ExampleProject { _directory: directory, root }
    }

    /// A path in the project.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The text of a file of the project.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Writes a file of the project.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    /// Removes a file of the project.
    ///
    /// # Panics
    /// When it does not exist.
    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    /// The directories of the project's named instances.
    pub fn instances(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path(".k3s-vm/instances")).into_iter().flatten();
        // There are lock files, too.
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect()
    }

    /// Runs `bin/k3s-vm` in the project; its exit code and its stderr.
    ///
    /// # Panics
    /// When it cannot be run.
    pub fn code_and_stderr(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.command("k3s-vm", arguments).stderr(Stdio::piped()).output().expect("bin/k3s-vm");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Runs `bin/k3s-vm` in the project; its stderr goes to this program's.
    pub fn k3s_vm(&self, arguments: &[&str]) -> Output {
        self.run("k3s-vm", arguments)
    }

    /// Runs `bin/k3s-vm`, which must succeed; its stdout.
    ///
    /// # Panics
    /// When it fails.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.k3s_vm(arguments);
        assert!(output.status.success(), "k3s-vm {arguments:?} ended with {}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs `bin/kubectl`, which must succeed; its stdout.
    ///
    /// # Panics
    /// When it fails.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let output = self.run("kubectl", arguments);
        assert!(output.status.success(), "kubectl {arguments:?} ended with {}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs `bin/kubectl`; its stdout if it succeeds.
    pub fn try_kubectl(&self, arguments: &[&str]) -> Option<String> {
        let output = self.run("kubectl", arguments);
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts `bin/kubectl` and leaves it running.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn_kubectl(&self, arguments: &[&str]) -> Child {
        self.command("kubectl", arguments).stdout(Stdio::null()).spawn().expect("bin/kubectl")
    }

    /// The command `bin/kubectl`, not started.
    pub fn kubectl_command(&self, arguments: &[&str]) -> Command {
        self.command("kubectl", arguments)
    }

    /// As [`ExampleProject::ok`], with a file as standard input.
    ///
    /// # Panics
    /// When it fails.
    pub fn ok_with_input(&self, arguments: &[&str], input: &Path) -> String {
        let file = std::fs::File::open(input).expect("the input");
        let output = self.command("k3s-vm", arguments).stdin(file).output().expect("bin/k3s-vm");
        assert!(output.status.success(), "k3s-vm {arguments:?} ended with {}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs the guest's check of itself (`k3s-vm-check`), which must pass.
    ///
    /// # Panics
    /// When one fails.
    pub fn check_guest(&self) {
        let output = self.k3s_vm(&["ssh", "--", "/usr/local/bin/k3s-vm-check"]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.lines().count() > 40, "fewer checks than usual:\n{text}");
        let failed: Vec<&str> = text.lines().filter(|line| !line.starts_with("ok ")).collect();
        assert!(output.status.success() && failed.is_empty(), "the guest lacks:\n{}", failed.join("\n"));
    }

    /// Prints status, log and pods after a failure.
    pub fn show_logs(&self) {
        for arguments in [&["status"][..], &["logs", "-n", "40"]] {
            let output = self.k3s_vm(arguments);
            let _ = std::io::Write::write_all(&mut std::io::stdout(), &output.stdout);
        }
        let pods = self.run("kubectl", &["get", "pods,events", "-A", "-o", "wide"]);
        let _ = std::io::Write::write_all(&mut std::io::stdout(), &pods.stdout);
    }

    fn run(&self, launcher: &str, arguments: &[&str]) -> Output {
        self.command(launcher, arguments).output().unwrap_or_else(|error| panic!("bin/{launcher}: {error}"))
    }

    /// The command for a launcher in the project, with this program's stderr.
    fn command(&self, launcher: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(repository().join("bin").join(launcher));
        command.args(arguments).current_dir(&self.root).stdin(Stdio::null()).stderr(Stdio::inherit());
        command
    }
}

impl Drop for ExampleProject {
    /// No VM outlives its test.
    fn drop(&mut self) {
        let _ = self.k3s_vm(&["delete", "--all"]);
    }
}
