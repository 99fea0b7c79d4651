//! QEMU's command line for a [`Machine`]. Pure. Saved states depend on the order of the devices, so it must not change.
//!
//! Options that take JSON (`-object`, `-blockdev`, `-netdev`, `-device`, all since QEMU 6.0) get JSON, because a comma in a
//! path breaks their older form. `-chardev` and `-fw_cfg` take no JSON in QEMU 7.2: there a comma is doubled.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use model::instance::InstanceName;
use model::paths::InstancePaths;
use serde_json::{Value, json};

use crate::machine::{Accelerator, FirmwareFile, Machine, MemoryBackend, ProbeMachine};
use crate::workarounds::{self, Change};
use crate::{Version, sandbox};

/// The id of the network backend. Commands that forward ports in a running VM need it.
pub const NETDEV: &str = "net0";

/// The id of the RAM, and the name of its block in a migration stream.
pub(crate) const RAM: &str = "ram0";

/// The id of the root disk's device.
pub(crate) const ROOT_DISK: &str = "root-disk";

/// The address of the guest's network card. It is constant because saved states need that, and all VMs can have the same
/// one because slirp gives each a network of its own.
const MAC: &str = "52:54:00:6b:33:73";

/// A guest's reset ends QEMU (`RebootAction` of qapi/run-state.json).
const RESET_ENDS: &str = "reboot=shutdown";

/// The size of TCG's buffer for translated code, in MiB. The programs of a cluster are about 150 MB of machine code, which
/// TCG translates again and again where the buffer is too small. QEMU's default depends on the host's RAM.
const TRANSLATION_BUFFER: u32 = 512;

/// The arguments, without the program, in a fixed order. The guest's reset ends QEMU until
/// [`crate::Qmp::allow_resets`]: a guest that cannot boot would reset again and again.
pub fn arguments(machine: &Machine) -> Vec<OsString> {
    let mut argv = Argv(arguments_of_all(machine));
    argv.option("-action", RESET_ENDS);
    argv.0
}

/// The arguments for a VM that boots and for one that is restored.
fn arguments_of_all(machine: &Machine) -> Vec<OsString> {
    let mut argv = Argv::default();
    argv.identity(machine);
    argv.sandbox(machine.sandbox);
    let board = Board {
        version: machine.version,
        accelerator: machine.accelerator,
        cpus: machine.cpus,
        memory: machine.memory,
        memory_backend: &machine.memory_backend,
    };
    argv.board(&board);
    argv.kernel(&machine.kernel, &machine.initrd, &board.kernel_command_line(&machine.kernel_command_line));
    argv.firmware_files(machine);
    argv.console();
    argv.devices(machine);
    argv.option("-qmp", format!("unix:{},server=on,wait=off", InstancePaths::QMP_SOCKET));
    argv.0
}

/// The arguments of a QEMU that waits for a saved state, its guest paused. It opens no ports: see [`crate::Restore`].
pub(crate) fn waiting_arguments(machine: &Machine) -> Vec<OsString> {
    let mut argv = Argv(arguments(&Machine { forwards: Vec::new(), ..machine.clone() }));
    argv.option("-incoming", "defer");
    // Otherwise a state that was saved while the guest ran would run at once.
    argv.0.push("-S".into());
    argv.0
}

/// The arguments that a saved state depends on: all but names, paths, ports, the sandbox, the action at a reset, and the
/// RAM's backend.
pub(crate) fn lasting_arguments(machine: &Machine) -> Vec<String> {
    let firmware_files = machine.firmware_files.iter().map(|file| FirmwareFile { path: "file".into(), ..file.clone() });
    let lasting = Machine {
        name: InstanceName::default(),
        uuid: "uuid".to_owned(),
        pid_file: "pid".into(),
        directory: "directory".into(),
        sandbox: false,
        memory_backend: MemoryBackend::Ram,
        kernel: "kernel".into(),
        initrd: "initrd".into(),
        disk: "disk".into(),
        forwards: Vec::new(),
        firmware_files: firmware_files.collect(),
        ..machine.clone()
    };
    arguments_of_all(&lasting).into_iter().map(|word| word.to_string_lossy().into_owned()).collect()
}

/// The arguments of the guest that tests an accelerator: board, CPUs and console of the VM; no disk, network or monitor.
pub(crate) fn probe_arguments(probe: &ProbeMachine<'_>) -> Vec<OsString> {
    let mut argv = Argv::default();
    argv.option("-name", ProbeMachine::NAME);
    argv.sandbox(probe.sandbox);
    let board = Board {
        version: probe.version,
        accelerator: probe.accelerator,
        cpus: probe.cpus,
        memory: ProbeMachine::MEMORY,
        memory_backend: &MemoryBackend::Ram,
    };
    argv.board(&board);
    // The guest ends with a reboot, for which every kernel has the drivers; so does a guest that panics.
    argv.option("-action", RESET_ENDS);
    // The last `console` and `rdinit` count, whatever the image's own command line has.
    let command_line = format!("{} console=ttyS0 rdinit=/init", board.kernel_command_line(probe.kernel_command_line));
    argv.kernel(probe.kernel, Path::new(ProbeMachine::INITRD), &command_line);
    argv.console();
    argv.0
}

/// What a VM and the guest that tests its accelerator have in common.
struct Board<'a> {
    version: Version,
    accelerator: Accelerator,
    cpus: u32,
    memory: u64,
    memory_backend: &'a MemoryBackend,
}

impl Board<'_> {
    fn applies(&self, change: Change) -> bool {
        self.changes().any(|applying| applying == change)
    }

    fn changes(&self) -> impl Iterator<Item = Change> + use<> {
        workarounds::applying(self.version, self.accelerator).map(|workaround| workaround.change)
    }

    fn cpu(&self) -> String {
        let mut model = match self.accelerator {
            Accelerator::Tcg => "max".to_owned(),
            Accelerator::Kvm => "host".to_owned(),
        };
        for change in self.changes() {
            if let Change::WithoutCpuFeature(feature) = change {
                model.push_str(",-");
                model.push_str(feature);
            }
        }
        model
    }

    fn kernel_command_line(&self, of_the_image: &str) -> String {
        let mut line = of_the_image.to_owned();
        for change in self.changes() {
            if let Change::KernelOption(option) = change {
                line.push(' ');
                line.push_str(option);
            }
        }
        line
    }

    fn memory(&self) -> Value {
        match self.memory_backend {
            MemoryBackend::Ram => json!({"qom-type": "memory-backend-ram", "id": RAM, "size": self.memory}),
            MemoryBackend::File(path) => {
                let mut object = json!({
                    "qom-type": "memory-backend-file", "id": RAM, "size": self.memory, "mem-path": text(path),
                    "share": false,
                });
                if !self.applies(Change::WritablePrivateRam) {
                    object["readonly"] = json!(true);
                    object["rom"] = json!("off");
                }
                object
            }
        }
    }
}

#[derive(Default)]
struct Argv(Vec<OsString>);

impl Argv {
    fn option(&mut self, name: &str, value: impl Into<OsString>) {
        self.0.push(name.into());
        self.0.push(value.into());
    }

    fn json(&mut self, name: &str, value: &Value) {
        self.option(name, value.to_string());
    }

    /// These come first, so that a process list that is cut at the terminal's width shows them.
    fn identity(&mut self, machine: &Machine) {
        self.option("-name", machine.name.as_str());
        self.option("-uuid", machine.uuid.as_str());
        self.option("-pidfile", machine.pid_file.as_os_str());
    }

    fn sandbox(&mut self, is_possible: bool) {
        if is_possible {
            self.option("-sandbox", sandbox::FILTER);
        }
    }

    fn board(&mut self, board: &Board<'_>) {
        for flag in ["-nodefaults", "-no-user-config"] {
            self.0.push(flag.into());
        }
        self.option("-display", "none");
        self.option("-machine", format!("{},memory-backend={RAM},usb=off,vmport=off", board.version.machine_type()));
        match board.accelerator {
            Accelerator::Tcg => self.option("-accel", format!("tcg,thread=multi,tb-size={TRANSLATION_BUFFER}")),
            Accelerator::Kvm => self.option("-accel", "kvm"),
        }
        self.option("-cpu", board.cpu());
        self.option("-smp", format!("cpus={0},sockets=1,cores={0},threads=1", board.cpus));
        self.option("-m", format!("{}M", board.memory / (1024 * 1024)));
        self.json("-object", &board.memory());
        self.option("-rtc", "base=utc");
        // QEMU ends when the guest panics, instead of keeping a CPU busy; the log has the guest's last lines.
        self.option("-action", "panic=exit-failure");
    }

    fn kernel(&mut self, kernel: &Path, initrd: &Path, command_line: &str) {
        self.option("-kernel", kernel.as_os_str());
        self.option("-initrd", initrd.as_os_str());
        self.option("-append", command_line);
    }

    fn firmware_files(&mut self, machine: &Machine) {
        for file in &machine.firmware_files {
            let mut value = OsString::from(format!("name={},file=", file.name));
            value.push(double_commas(file.path.as_os_str()));
            self.option("-fw_cfg", value);
        }
        // In the arguments, because saved states depend on it: the guest reads it when it boots, so RAM that was saved
        // with another value must not be used.
        self.option("-fw_cfg", host_access(machine.host_access));
    }

    fn console(&mut self) {
        // stdout is vm.log: the console and QEMU's messages share a file description and do not overwrite each other.
        self.option("-chardev", "stdio,id=console,signal=off");
        self.json("-device", &json!({"driver": "isa-serial", "index": 0, "chardev": "console"}));
    }

    /// The PCI slots are fixed, because saved states depend on them.
    fn devices(&mut self, machine: &Machine) {
        self.json("-device", &json!({"driver": "vmgenid", "guid": "auto"}));
        self.json("-device", &json!({"driver": "pvpanic"}));

        self.json("-blockdev", &disk_file(Some("disk-file"), &machine.disk));
        self.json("-blockdev", &disk_image("disk", json!("disk-file")));
        self.json("-device", &pci(0x2, json!({"driver": "virtio-blk-pci", "id": ROOT_DISK, "drive": "disk"})));

        // Without IPv6, which is a second way to the host's loopback and which no pod needs.
        let mut network = json!({"type": "user", "id": NETDEV, "ipv6": false});
        if !machine.forwards.is_empty() {
            network["hostfwd"] = machine.forwards.iter().map(|forward| json!({"str": forward.to_string()})).collect();
        }
        self.json("-netdev", &network);
        // Without a boot ROM: nothing boots from the network, and distributions have the ROMs in a package of their own.
        let card = json!({"driver": "virtio-net-pci", "id": "nic", "netdev": NETDEV, "mac": MAC, "romfile": ""});
        self.json("-device", &pci(0x3, card));

        self.option("-chardev", format!("socket,id=agent,path={},server=on,wait=off", InstancePaths::AGENT_SOCKET));
        self.json("-device", &pci(0x4, json!({"driver": "virtio-serial-pci", "id": "ports"})));
        self.json(
            "-device",
            &json!({"driver": "virtserialport", "bus": "ports.0", "nr": 1, "chardev": "agent",
                    "name": "org.qemu.guest_agent.0"}),
        );

        self.json("-object", &json!({"qom-type": "rng-builtin", "id": "entropy"}));
        self.json("-device", &pci(0x5, json!({"driver": "virtio-rng-pci", "id": "rng", "rng": "entropy"})));
    }
}

/// The fw_cfg file that says whether the guest lets its pods reach the host's loopback; without it they may not.
pub(crate) fn host_access(open: bool) -> String {
    format!("name=opt/k3s-vm/host_access,string={}", if open { "open" } else { "closed" })
}

/// The disk must survive a killed QEMU and a power failure: writes go to the host's page cache, which outlives QEMU, and
/// the guest's flushes become fdatasync.
fn disk_cache() -> Value {
    json!({"direct": false, "no-flush": false})
}

/// The file of a disk as a block node.
pub(crate) fn disk_file(name: Option<&str>, path: &Path) -> Value {
    let mut node = json!({"driver": "file"});
    if let Some(name) = name {
        node["node-name"] = json!(name);
    }
    node["filename"] = json!(text(path));
    node["discard"] = json!("unmap");
    node["cache"] = disk_cache();
    node
}

/// A qcow2 image as a block node; `file` is its file's node or that node's name.
pub(crate) fn disk_image(name: &str, file: Value) -> Value {
    json!({"driver": "qcow2", "node-name": name, "file": file, "discard": "unmap", "cache": disk_cache()})
}

fn pci(slot: u8, mut device: Value) -> Value {
    device["bus"] = json!("pcie.0");
    device["addr"] = json!(format!("{slot:#x}"));
    device
}

/// [`Machine::check`] refuses paths that are not UTF-8, which JSON cannot carry.
fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn double_commas(path: &OsStr) -> OsString {
    let mut bytes = Vec::with_capacity(path.len());
    for byte in path.as_bytes() {
        bytes.push(*byte);
        if *byte == b',' {
            bytes.push(b',');
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests;
