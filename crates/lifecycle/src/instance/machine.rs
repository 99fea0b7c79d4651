//! The machine of an instance, from its configuration, guest image and accelerator. It starts nothing.

use model::config::Ports;
use model::guest_image::GuestImage;
use model::port::Port;
use qemu::machine::FirmwareFile;
use qemu::{Accelerator, Forward, Machine, MemoryBackend, Qemu};

use crate::context::Context;
use crate::instance::forwards;

/// The guest's port of the Kubernetes API (the guest contract).
const API: u16 = 6443;
/// The guest's port of sshd (the guest contract).
const SSH: u16 = 22;

/// What the machines of one kind have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MachinePlan<'a> {
    /// The guest image that they boot.
    pub(crate) image: &'a GuestImage,
    /// The QEMU that runs them.
    pub(crate) qemu: &'a Qemu,
    /// The accelerator that they run under.
    pub(crate) accelerator: Accelerator,
    /// The guest's port of the web application.
    pub(crate) node_port: Port,
}

impl MachinePlan<'_> {
    /// The machine of the instance, with these host ports.
    pub(crate) fn machine(
        &self,
        context: &Context<'_>,
        ports: &Ports,
        uuid: &str,
        memory_backend: MemoryBackend,
    ) -> Machine {
        let paths = context.paths();
        let config = &context.project.config.vm;
        let forward = |host: Port, guest: u16| Forward { bind: ports.bind, host, guest };
        let mut all =
            vec![forward(ports.api, API), forward(ports.ssh, SSH), forward(ports.web, self.node_port.number())];
        all.extend(forwards::configured(context, ports));
        let firmware_file = |name: &str, path| FirmwareFile { name: format!("opt/k3s-vm/{name}"), path };
        Machine {
            name: context.name.clone(),
            uuid: uuid.to_owned(),
            pid_file: paths.pid(),
            directory: paths.vm_dir(),
            version: self.qemu.version,
            sandbox: self.qemu.sandbox,
            accelerator: self.accelerator,
            cpus: config.cpus,
            memory: config.memory,
            memory_backend,
            kernel: self.image.kernel(),
            initrd: self.image.initrd(),
            kernel_command_line: self.image.manifest.kernel_command_line.clone(),
            disk: paths.disk(),
            forwards: all,
            firmware_files: vec![
                firmware_file("authorized_keys", paths.authorized_keys()),
                firmware_file("ssh_host_ed25519_key", paths.ssh_host_key()),
                firmware_file("instance.json", paths.instance_data()),
            ],
            host_access: context.project.config.guest.host_access,
        }
    }
}
