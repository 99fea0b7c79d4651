//! Each part of the key counts, and a difference is named.

use model::instance::InstanceName;
use model::port::Port;

use super::*;
use crate::machine::{FirmwareFile, Forward};
use crate::{MemoryBackend, Version};

/// Files in place of QEMU and an image, and a machine with them.
pub(in crate::saved_state) struct Parts {
    pub(in crate::saved_state) directory: tempfile::TempDir,
    pub(in crate::saved_state) qemu: Qemu,
    pub(in crate::saved_state) machine: Machine,
}

impl Parts {
    pub(in crate::saved_state) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for name in ["qemu", "kernel", "initrd", "root.qcow2"] {
            std::fs::write(path(name), name).unwrap();
        }
        let version = Version::new(7, 2, 22);
        let machine = Machine {
            name: InstanceName::default(),
            uuid: "6f1b9f0a-7a0e-4f0e-8f5e-0123456789ab".to_owned(),
            pid_file: path("vm.pid"),
            directory: directory.path().to_owned(),
            version,
            sandbox: true,
            accelerator: Accelerator::Tcg,
            cpus: 2,
            memory: 1 << 20,
            memory_backend: MemoryBackend::File(path("ram")),
            kernel: path("kernel"),
            initrd: path("initrd"),
            kernel_command_line: "quiet".to_owned(),
            disk: path("disk.qcow2"),
            forwards: Vec::new(),
            firmware_files: vec![FirmwareFile { name: "opt/k3s-vm/keys".to_owned(), path: path("keys") }],
            host_access: false,
        };
        Parts { qemu: Qemu { program: path("qemu"), version, sandbox: true }, directory, machine }
    }

    pub(in crate::saved_state) fn compatibility_key(&self) -> CompatibilityKey {
        let base = self.directory.path().join("root.qcow2");
        CompatibilityKey::of(&self.qemu, &self.machine, &base, "kubernetes 1.37.2").unwrap()
    }
}

#[test]
fn names_paths_ports_and_where_the_ram_is_do_not_count() {
    let mut parts = Parts::new();
    let then = parts.compatibility_key();
    let machine = &mut parts.machine;
    machine.name = InstanceName::with_suffix("ci").unwrap();
    machine.uuid = "00000000-7a0e-4f0e-8f5e-0123456789ab".to_owned();
    machine.pid_file = "/elsewhere/vm.pid".into();
    machine.directory = "/elsewhere".into();
    machine.disk = "/elsewhere/disk.qcow2".into();
    machine.memory_backend = MemoryBackend::Ram;
    machine.firmware_files[0].path = "/elsewhere/keys".into();
    let bind = model::BindAddress::LOOPBACK;
    machine.forwards.push(Forward { bind, host: Port::literal(7443), guest: 6443 });
    let now = parts.compatibility_key();
    assert_eq!(then.difference(&now), None);
    assert_eq!(then.key(), now.key());
    assert_eq!(then.key().len(), 32);
}

#[test]
fn every_part_changes_the_key_and_is_named() {
    let mut lines = String::new();
    let mut check = |change: &dyn Fn(&mut Parts)| {
        let mut parts = Parts::new();
        let then = parts.compatibility_key();
        change(&mut parts);
        let now = parts.compatibility_key();
        assert_ne!(then.key(), now.key());
        let difference = then.difference(&now).expect("a difference");
        lines.push_str(&difference.replace(&parts.directory.path().display().to_string(), "/f"));
        lines.push('\n');
    };
    check(&|parts| parts.qemu.version = Version::new(7, 2, 23));
    check(&|parts| std::fs::write(&parts.qemu.program, "upgraded").unwrap());
    check(&|parts| {
        let other = parts.directory.path().join("other");
        std::fs::copy(&parts.machine.kernel, &other).unwrap();
        parts.machine.kernel = other;
    });
    check(&|parts| std::fs::write(parts.directory.path().join("initrd"), "other").unwrap());
    check(&|parts| std::fs::write(parts.directory.path().join("root.qcow2"), "other").unwrap());
    check(&|parts| parts.machine.memory = 2 << 20);
    check(&|parts| parts.machine.cpus = 4);
    check(&|parts| parts.machine.kernel_command_line = "quiet debug".to_owned());
    check(&|parts| parts.machine.firmware_files.clear());
    check(&|parts| parts.machine.host_access = true);
    insta::assert_snapshot!(lines, @r"
    QEMU was 7.2.22 and is 7.2.23
    QEMU's program, /f/qemu, has changed
    the guest's kernel was /f/kernel and is /f/other
    the guest's initial RAM disk, /f/initrd, has changed
    the guest image's disk, /f/root.qcow2, has changed
    -m was 1M and is 2M
    -smp was cpus=2,sockets=1,cores=2,threads=1 and is cpus=4,sockets=1,cores=4,threads=1
    -append was quiet maxcpus=1 and is quiet debug maxcpus=1
    -fw_cfg was name=opt/k3s-vm/keys,file=file and is name=opt/k3s-vm/host_access,string=closed
    guest.host_access was false and is true
    ");
}

#[test]
fn the_distribution_and_the_cpu_count_and_are_named() {
    let then = Parts::new().compatibility_key();
    let now = CompatibilityKey { distribution: "kubernetes 1.38.0".to_owned(), ..then.clone() };
    insta::assert_snapshot!(then.difference(&now).unwrap(), @"the cluster was kubernetes 1.37.2 and is to be kubernetes 1.38.0");
    let now = CompatibilityKey { host_cpu: Some("x".to_owned()), ..then.clone() };
    insta::assert_snapshot!(then.difference(&now).unwrap(), @"the host's CPU is another one");
    assert_ne!(then.key(), now.key());
}

#[test]
fn the_properties_of_the_cpu_that_a_guest_sees_count() {
    let text = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Xeon  8\ncpu MHz\t\t: 2100.1\nflags\t\t: fpu vme\n\n\
                processor\t: 1\nvendor_id\t: Other\n";
    assert_eq!(cpu(text), "vendor_id : GenuineIntel; model name : Xeon 8; flags : fpu vme");
}
