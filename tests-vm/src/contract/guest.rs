//! The VM under test: started, saved and restored as k3s-vm does it, and killed when the value is dropped.

use std::path::Path;
use std::time::{Duration, SystemTime};

use host::identity::ProcessHandle;
use host::wait::{Look, Wait};
use model::event::Silent;
use model::guest_image::GuestImage;
use model::instance::InstanceName;
use model::paths::{InstancePaths, ProjectPaths};
use model::port::Port;
use model::{Error, ErrorClass, Result};
use qemu::accelerator::SelfTest;
use qemu::agent::GuestCommand;
use qemu::console::ConsoleReader;
use qemu::machine::FirmwareFile;
use qemu::{
    Accelerator, Agent, Forward, Launch, Launched, Machine, MemoryBackend, Qemu, Qmp, Restore, Save, StoppedGuest,
};

use super::image::cache;
use super::login::Credentials;
use crate::expect::expect_ok;

const CPUS: u32 = 2;
const MEMORY: u64 = 2 << 30;
/// The file with the saved RAM, relative to the directory of the VM.
const RAM: &str = "ram";
/// The first boot of a cluster, emulated on a busy host.
pub(super) const BOOT: Duration = Duration::from_secs(15 * 60);
/// One request to a running guest.
pub(super) const CALL: Duration = Duration::from_secs(60);
/// Writing all of the guest's RAM.
const SAVE: Duration = Duration::from_secs(5 * 60);

/// A VM of the image.
pub(super) struct LiveGuest<'a> {
    /// The image that it booted.
    pub(super) image: &'a GuestImage,
    /// Its files.
    pub(super) paths: InstancePaths,
    /// The credentials of the running QEMU.
    pub(super) credentials: Credentials,
    /// The credentials of the QEMU before the restore.
    pub(super) former: Option<Credentials>,
    /// The host's port of its sshd.
    pub(super) ssh: Port,
    /// The host's port of its API.
    pub(super) api: Port,
    /// Length and modification time of the base disk, before any QEMU ran.
    pub(super) base: (u64, SystemTime),
    /// The admin's credentials, once the guest has them.
    pub(super) kubeconfig: Option<cluster::Credentials>,
    qemu: Qemu,
    accelerator: Accelerator,
    uuid: String,
    launched: Option<Launched>,
    appended: &'static str,
    console: ConsoleReader,
    // Dropped last: the directory must outlive everything in it.
    _directory: tempfile::TempDir,
}

impl<'a> LiveGuest<'a> {
    /// Starts a VM; when this returns the guest is booting.
    pub(super) fn start(image: &'a GuestImage) -> Self {
        Self::start_with(image, "")
    }

    /// The same, with `appended` after the image's kernel command line.
    pub(super) fn start_with(image: &'a GuestImage, appended: &'static str) -> Self {
        // Ctrl-C ends every wait, so that the VM is killed, too.
        expect_ok(host::interrupt::install());
        let directory = tempfile::Builder::new().prefix("k3s-vm-contract-").tempdir().expect("a temporary directory");
        let paths = ProjectPaths::new(directory.path()).instance(&InstanceName::default());
        expect_ok(host::files::create_private_dir(&paths.vm_dir()));
        expect_ok(qemu::qcow2::create_overlay(&paths.disk(), &image.root_disk(), image.manifest.virtual_size));
        let qemu = expect_ok(Qemu::find(&cache(), &Silent));
        let console = expect_ok(ConsoleReader::from_end(paths.log()));
        let mut guest = LiveGuest {
            accelerator: accelerator(image, &qemu),
            credentials: Credentials::make(&paths),
            former: None,
            ssh: testkit::port::free(),
            api: testkit::port::free(),
            base: file_facts(&image.root_disk()),
            kubeconfig: None,
            uuid: uuid::Uuid::new_v4().to_string(),
            launched: None,
            appended,
            image,
            paths,
            qemu,
            console,
            _directory: directory,
        };
        let machine = guest.machine(MemoryBackend::Ram);
        guest.launched = Some(expect_ok(guest.launch(&machine).run(&Silent).map_err(Into::into)));
        guest
    }

    /// Saves the guest, ends its QEMU, and restores it in a new QEMU with other keys, data and ports.
    pub(super) fn save_and_restore(&mut self) {
        let state = self.paths.vm_dir().join("state");
        let (none, ram) = (self.paths.begun_state(), self.paths.vm_dir().join(RAM));
        let save = Save { begun_from: &none, ram: &ram, state: &state, deadline: SAVE };
        let mut qmp = expect_ok(Qmp::connect(&self.paths.vm_dir(), CALL));
        let prepared = expect_ok(save.prepare(&mut qmp, &Silent));
        let mut guest = expect_ok(StoppedGuest::stop(&mut qmp, &Silent));
        let saved = expect_ok(prepared.write(&mut guest));
        expect_ok(guest.quit());
        expect_ok(saved.complete());
        self.ended();
        self.former = Some(std::mem::replace(&mut self.credentials, Credentials::make(&self.paths)));
        self.uuid = uuid::Uuid::new_v4().to_string();
        (self.ssh, self.api) = (testkit::port::free(), testkit::port::free());
        let machine = self.machine(MemoryBackend::File(RAM.into()));
        let restore = Restore { launch: self.launch(&machine), state: &state, deadline: CALL, working_set: None };
        self.launched = Some(expect_ok(restore.run(&Silent, |_| Ok(())).map_err(Into::into)));
        expect_ok(self.agent().set_time(SystemTime::now(), CALL));
    }

    /// A new connection to the agent.
    pub(super) fn agent(&self) -> Agent {
        expect_ok(Agent::connect(&self.paths.vm_dir(), CALL))
    }

    /// Runs a script in the guest's shell, which must succeed; its output.
    pub(super) fn shell(&self, script: &str) -> String {
        expect_ok(self.agent().run(&GuestCommand::new("/bin/sh", ["-c", script]), CALL))
    }

    /// The content of a file of the guest, which must exist.
    pub(super) fn file(&self, path: &str) -> String {
        let content = expect_ok(self.agent().read_file(path, 1 << 20, CALL));
        String::from_utf8(content.unwrap_or_else(|| panic!("the guest has no {path}"))).expect("text")
    }

    /// Waits until `look` returns ready. The wait fails early when QEMU ends or the console shows that the guest is dead.
    pub(super) fn wait<T>(
        &mut self,
        what: &str,
        deadline: Duration,
        mut look: impl FnMut(&Self, Duration) -> Result<Look<T>>,
    ) -> T {
        let wait = Wait { what, deadline, interval: Duration::from_millis(500) };
        let found = wait.until(|left| {
            self.check_alive()?;
            look(self, left)
        });
        found.unwrap_or_else(|error| panic!("{error}\nThe console ends with:\n{}", self.console_end()))
    }

    /// QEMU's process ID.
    pub(super) fn pid(&self) -> u32 {
        self.launched.as_ref().expect("a QEMU").identity().pid
    }

    /// Waits for the end of QEMU; its exit status.
    pub(super) fn ended(&mut self) -> String {
        self.ended_within(CALL)
    }

    /// The same with another deadline.
    pub(super) fn ended_within(&mut self, deadline: Duration) -> String {
        let launched = self.launched.as_mut().expect("a QEMU");
        let wait = Wait { what: "the end of QEMU", deadline, interval: Duration::from_millis(50) };
        let how = expect_ok(
            wait.until(|_| Ok(launched.ended().map_or_else(|| Look::NotYet("it runs".to_owned()), Look::Ready))),
        );
        self.launched = None;
        how
    }

    /// The whole output of the guest's console.
    pub(super) fn console(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.paths.log()).unwrap_or_default()).into_owned()
    }

    fn console_end(&self) -> String {
        let text = self.console();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn check_alive(&mut self) -> Result<()> {
        if let Some(how) = self.launched.as_mut().and_then(Launched::ended) {
            return Err(Error::new(ErrorClass::Guest, format!("QEMU ended: {how}")));
        }
        match self.console.news()?.signs.into_iter().find(qemu::console::DeathSign::is_final) {
            Some(sign) => Err(Error::new(ErrorClass::Guest, sign.meaning()).because(sign.line())),
            None => Ok(()),
        }
    }

    fn launch<'b>(&'b self, machine: &'b Machine) -> Launch<'b> {
        Launch { qemu: &self.qemu, machine, log: self.paths.log(), deadline: CALL }
    }

    /// The whole kernel command line: the image's own, and what QEMU's version needs.
    pub(super) fn kernel_command_line(&self) -> String {
        let arguments = qemu::argv::arguments(&self.machine(MemoryBackend::Ram));
        let append = arguments.windows(2).find(|pair| pair[0] == "-append").expect("QEMU starts a kernel");
        append[1].to_string_lossy().into_owned()
    }

    fn machine(&self, memory_backend: MemoryBackend) -> Machine {
        let forward = |host, guest| Forward { bind: model::BindAddress::LOOPBACK, host, guest };
        let firmware_file = |name: &str, path| FirmwareFile { name: format!("opt/k3s-vm/{name}"), path };
        Machine {
            name: InstanceName::default(),
            uuid: self.uuid.clone(),
            pid_file: self.paths.pid(),
            directory: self.paths.vm_dir(),
            version: self.qemu.version,
            sandbox: self.qemu.sandbox,
            accelerator: self.accelerator,
            cpus: CPUS,
            memory: MEMORY,
            memory_backend,
            kernel: self.image.kernel(),
            initrd: self.image.initrd(),
            kernel_command_line: format!("{}{}", self.image.manifest.kernel_command_line, self.appended),
            disk: self.paths.disk(),
            forwards: vec![forward(self.api, 6443), forward(self.ssh, 22)],
            firmware_files: vec![
                firmware_file("authorized_keys", self.paths.authorized_keys()),
                firmware_file("ssh_host_ed25519_key", self.paths.ssh_host_key()),
                firmware_file("instance.json", self.paths.instance_data()),
            ],
            host_access: false,
        }
    }
}

impl Drop for LiveGuest<'_> {
    fn drop(&mut self) {
        let Some(launched) = &mut self.launched else { return };
        if let Ok(Some(process)) = ProcessHandle::open(launched.identity(), &self.uuid) {
            let _ = process.kill();
            let _ = process.wait(CALL);
        }
        let _ = launched.ended();
    }
}

/// The accelerator that k3s-vm would choose: KVM if the self-test has passed.
fn accelerator(image: &GuestImage, qemu: &Qemu) -> Accelerator {
    let test = SelfTest {
        qemu,
        device: Path::new("/dev/kvm"),
        cpus: CPUS,
        kernel: &image.kernel(),
        kernel_command_line: &image.manifest.kernel_command_line,
        deadline: Duration::from_secs(15),
        cache: &cache(),
    };
    match expect_ok(test.run(false, &Silent)).refusal {
        None => Accelerator::Kvm,
        Some(_) => Accelerator::Tcg,
    }
}

/// Length and modification time of a file.
pub(super) fn file_facts(path: &Path) -> (u64, SystemTime) {
    let metadata = path.metadata().expect("a file");
    (metadata.len(), metadata.modified().expect("a time"))
}
