//! A project with a prebuilt image of empty files, the fake QEMU, and the program under test.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use model::port::Port;
use testkit::{Script, TempProject};

use crate::process::Stranger;

/// A `qemu-img` that the tests do not use.
const QEMU_IMG: &str = "#!/bin/sh\nexit 1\n";

/// The environment of one test.
pub(crate) struct Setup {
    pub(crate) project: TempProject,
    pub(crate) programs: tempfile::TempDir,
    pub(crate) api: u16,
    pub(crate) ssh: u16,
    pub(crate) web: u16,
}

impl Setup {
    /// A project on free ports.
    pub(crate) fn new(script: &Script) -> Self {
        Self::named("project", script)
    }

    /// As [`Setup::new`], in a directory of this name.
    pub(crate) fn named(name: &str, script: &Script) -> Self {
        let (api, ssh) = (testkit::port::free(), testkit::port::free());
        Self::on_ports(name, script, api, ssh, testkit::port::free_node_port())
    }

    /// A second project that wants the same ports.
    pub(crate) fn beside(other: &Setup, script: &Script) -> Self {
        let port = |number| Port::new(number).unwrap();
        Self::on_ports("second", script, port(other.api), port(other.ssh), port(other.web))
    }

    fn on_ports(name: &str, script: &Script, api: Port, ssh: Port, web: Port) -> Self {
        let project = TempProject::named(name, web);
        let programs = tempfile::tempdir().unwrap();
        testkit::fake_qemu::install(programs.path());
        install(programs.path(), "qemu-img", QEMU_IMG);
        project.write(
            ".k3s-vm/config.toml",
            &format!(
                "[ports]\napi = {api}\nssh = {ssh}\n[image]\nprovider = \"prebuilt\"\ndirectory = \"image\"\n\
                 [vm]\naccel = \"tcg\"\n"
            ),
        );
        for file in ["image/kernel", "image/initrd"] {
            project.write(file, "");
        }
        std::fs::write(project.root().join("image/root.qcow2"), testkit::base_disk(1 << 30)).unwrap();
        project.write("image/manifest.json", &manifest());
        let setup = Setup { project, programs, api: api.number(), ssh: ssh.number(), web: web.number() };
        setup.script(script);
        setup
    }

    /// Another script for the next start.
    pub(crate) fn script(&self, script: &Script) {
        std::fs::create_dir_all(self.vm_dir()).unwrap();
        script.write(&self.vm_dir());
    }

    /// Installs a program that is found before all others of its name.
    pub(crate) fn program(&self, name: &str, text: &str) {
        install(self.programs.path(), name, text);
    }

    /// The directory of the programs that a test brings.
    pub(crate) fn programs_path(&self) -> &Path {
        self.programs.path()
    }

    /// A QEMU that somebody started by hand under the name `program`; returns when it listens on `port`.
    pub(crate) fn foreign_qemu(&self, program: &str, arguments: &[&str], port: u16, user: Option<u32>) -> Stranger {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        // Any user can execute the program and write there.
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o777)).unwrap();
        // Copied by another process: a process that another test starts right now would inherit the file if it were
        // open for writing here, and such a program cannot be executed ("Text file busy").
        let copied = Command::new("cp").arg(testkit::fake_qemu::program()).arg(directory.path().join(program)).status();
        assert!(copied.unwrap().success());
        Script { listen: true, ..Script::default() }.write(directory.path());
        let mut command = Command::new(directory.path().join(program));
        command.arg0(program).args(["-qmp", "unix:qmp.sock,server=on"]).args(arguments);
        command.current_dir(directory.path()).env_remove(testkit::script::VARIABLE).stdin(Stdio::null());
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        let stranger = Stranger::of(command.spawn().unwrap());
        crate::process::until(|| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        stranger
    }

    pub(crate) fn vm_dir(&self) -> PathBuf {
        self.project.root().join(".k3s-vm/vm")
    }

    /// A state file of an earlier run with the identity of the process `pid`.
    pub(crate) fn state_file_of(&self, pid: u32) -> String {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let start = stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().to_owned();
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        let file = serde_json::json!({"path": "/file", "size": 1, "modified": [1, 1]});
        let compatibility_key = serde_json::json!({
            "version": {"major": 7, "minor": 2, "micro": 22}, "qemu": file, "accelerator": "tcg",
            "distribution": "kubernetes v1.0.0", "kernel": file, "initrd": file, "base-disk": file, "host-cpu": null,
            "arguments": [],
        });
        serde_json::json!({
            "compatibility_key": compatibility_key, "memory": 1 << 30,
            "process": {"pid": pid, "start_ticks": start.parse::<u64>().unwrap(), "boot_id": boot.trim()},
            "uuid": "11111111-2222-3333-4444-555555555555", "qemu": "7.2.22", "accelerator": "tcg",
            "bind": "127.0.0.1", "api_port": self.api, "ssh_port": self.ssh, "web_port": self.web,
            "distribution": "kubernetes v1.0.0", "image": "i", "image_directory": self.project.root().join("image"),
        })
        .to_string()
    }

    /// Runs the program in the project.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_k3s-vm"));
        self.surround(command.args(arguments));
        command
    }

    /// Sets the environment and directory of a command.
    pub(crate) fn surround(&self, command: &mut Command) {
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .current_dir(self.project.root())
            .env_remove("K3S_VM_YES")
            .env_remove("K3S_VM_KVM_DEVICE")
            .env("PATH", format!("{}:{path}", self.programs.path().display()))
            .env("XDG_CACHE_HOME", self.programs.path().join("cache"))
            .env("K3S_VM_HOME", repository())
            .env("K3S_VM_PROGRAM", "k3s-vm")
            .env(testkit::script::VARIABLE, self.vm_dir().join(testkit::script::FILE))
            .stdin(Stdio::null());
    }

    /// Runs the program, asserts its exit code and returns its stderr, without what differs from run to run.
    pub(crate) fn says(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments);
        let text = self.steady(&String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{arguments:?} said:\n{text}");
        text
    }

    /// Runs the program, asserts success and returns its JSON result.
    pub(crate) fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.run(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// `text` with names for paths, ports, pids and times.
    pub(crate) fn steady(&self, text: &str) -> String {
        let mut text = text.replace(&self.project.root().display().to_string(), "PROJECT");
        text = text.replace(&self.programs.path().display().to_string(), "PROGRAMS");
        for (port, name) in [(self.api, "API_PORT"), (self.ssh, "SSH_PORT"), (self.web, "WEB_PORT")] {
            text = text.replace(&format!(":{port}"), &format!(":{name}")).replace(&format!("port {port}"), name);
        }
        for (marker, name) in
            [("pid ", "PID"), ("process ", "PID"), ("kill ", "PID"), ("in the guest after ", "SECONDS ")]
        {
            text = number_after(&text, marker, name);
        }
        for (port, name) in [(self.api, "API_PORT"), (self.ssh, "SSH_PORT"), (self.web, "WEB_PORT")] {
            text = text.replace(&port.to_string(), name);
        }
        let lines = text.lines().filter(|line| !line.contains("so far") && !line.contains("still running"));
        lines.map(|line| without_time(line) + "\n").collect()
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        // A directory that cannot be written has no VM.
        let _ = std::fs::write(self.vm_dir().join(testkit::script::FILE), "{}");
        let _ = self.command(&["stop", "--power-off", "--timeout", "1s"]).stderr(Stdio::null()).status();
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn install(directory: &Path, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn manifest() -> String {
    format!(
        r#"{{"schema": 1, "architecture": "{}", "provider": "prebuilt", "distribution": "kubernetes",
        "kubernetes_version": "v1.0.0", "operating_system": "None 1", "kernel_command_line": "console=ttyS0",
        "virtual_size": 1073741824, "node_name": "k3s-vm", "kubeconfig": "/etc/kubernetes/admin.conf",
        "service": "kubernetes.service", "containerd_socket": "/run/containerd/containerd.sock",
        "certificate_days": 365}}"#,
        std::env::consts::ARCH
    )
}

/// Replaces the number after each `marker`.
fn number_after(text: &str, marker: &str, name: &str) -> String {
    let mut parts = text.split(marker);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        out.push_str(marker);
        out.push_str(if rest.len() == part.len() { "" } else { name });
        out.push_str(rest);
    }
    out
}

/// `[1/8] Title … 0.3 s: fact` without the time.
fn without_time(line: &str) -> String {
    match line.split_once(" … ") {
        Some((head, tail)) if head.starts_with('[') => match tail.split_once(" s") {
            Some((_, rest)) => format!("{head} …{rest}"),
            None => line.to_owned(),
        },
        _ => line.to_owned(),
    }
}
