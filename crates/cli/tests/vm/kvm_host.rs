//! Hosts with different kinds of `/dev/kvm`: a project with the fake QEMU and a file instead of the device.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use testkit::Script;
use testkit::script::Probe;

use crate::setup::Setup;

/// Long enough for the fake on any machine. Tests in which a guest hangs use a shorter one.
pub(crate) const AMPLE: &str = "10m";

/// A project that wants `accel`, with a device that opens.
pub(crate) struct Host {
    pub(crate) setup: Setup,
}

impl Host {
    pub(crate) fn new(accel: &str, deadline: &str, probe: Probe) -> Self {
        let setup = Setup::new(&Script { probe, ..Script::default() });
        setup.project.write("kvm", "");
        let host = Host { setup };
        host.wants(accel, deadline);
        host
    }

    /// Configures the accelerator and the deadline of its test.
    pub(crate) fn wants(&self, accel: &str, deadline: &str) {
        let config = self.setup.project.read(".k3s-vm/config.toml");
        let (before, _) = config.split_once("[vm]").unwrap();
        let text = format!("{before}[vm]\naccel = \"{accel}\"\n[timeouts]\nkvm_test = \"{deadline}\"\n");
        self.setup.project.write(".k3s-vm/config.toml", &text);
    }

    pub(crate) fn probe(&self, probe: Probe) {
        self.setup.script(&Script { probe, ..Script::default() });
    }

    /// Links the device to another file.
    pub(crate) fn device(&self, target: &Path) {
        let device = self.setup.project.root().join("kvm");
        std::fs::remove_file(&device).unwrap();
        std::os::unix::fs::symlink(target, device).unwrap();
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.setup.command(arguments);
        command.env("K3S_VM_KVM_DEVICE", self.setup.project.root().join("kvm"));
        command
    }

    /// Starts without waiting for the cluster, asserts the exit code and returns stderr.
    pub(crate) fn start(&self, code: i32) -> String {
        self.says(&["start", "--no-wait"], code)
    }

    pub(crate) fn says(&self, arguments: &[&str], code: i32) -> String {
        self.said_by(self.command(arguments), code)
    }

    pub(crate) fn said_by(&self, mut command: Command, code: i32) -> String {
        let output = command.output().unwrap();
        let text = self.setup.steady(&String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{command:?} said:\n{text}");
        text.replace(&self.setup.programs.path().display().to_string(), "PROGRAMS")
    }

    /// Lets only a group open the device, and not its owner, who is this user. Returns the name of the group.
    pub(crate) fn close_to_all_but_a_group(&self) -> String {
        let device = self.setup.project.root().join("kvm");
        if is_root() {
            // A group that all systems have, other than root's.
            std::os::unix::fs::chown(&device, None, Some(1)).unwrap();
        }
        self.set_mode(0o060);
        host::account_names::AccountNames::of_groups().name(std::fs::metadata(&device).unwrap().gid())
    }

    pub(crate) fn set_mode(&self, mode: u32) {
        let device = self.setup.project.root().join("kvm");
        std::fs::set_permissions(device, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    /// As [`Host::start`], without root's permission to ignore the mode of files.
    pub(crate) fn start_without_override(&self, code: i32) -> String {
        let command = self.command(&["start", "--no-wait"]);
        if !is_root() {
            return self.said_by(command, code);
        }
        let mut without = Command::new("setpriv");
        without.arg("--bounding-set=-dac_override,-dac_read_search").arg(command.get_program());
        without.args(command.get_args()).current_dir(self.setup.project.root()).stdin(Stdio::null());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => without.env(name, value),
                None => without.env_remove(name),
            };
        }
        self.said_by(without, code)
    }

    pub(crate) fn stop(&self) {
        self.says(&["stop"], 0);
    }

    pub(crate) fn status(&self) -> serde_json::Value {
        self.setup.json(&["status", "-o", "json"])
    }

    /// How many guests have run to test KVM.
    pub(crate) fn probes(&self) -> usize {
        Script::calls(&self.setup.vm_dir()).iter().filter(|call| *call == "probe").count()
    }

    /// Whether a guest runs to test KVM.
    pub(crate) fn is_probing(&self) -> bool {
        let kernel = self.setup.project.root().join("image/kernel");
        host::process_table::processes().unwrap().iter().any(|process| {
            process.arguments.iter().any(|word| word == "k3s-vm-kvm-test")
                && process.arguments.iter().any(|word| word == kernel.as_os_str())
        })
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
