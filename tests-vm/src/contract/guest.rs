//! The live VM under test: started, saved and restored as the tool does it, and ended whatever happens.

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

const CPUS: u32 = 2;
const MEMORY: u64 = 2 << 30;
/// The file with the saved RAM, relative to the directory of the VM.
const RAM: &str = "ram";
/// The first boot of a cluster, emulated on a busy host.
pub(super) const BOOT: Duration = Duration::from_secs(15 * 60);
/// What a guest that runs does at once, if it is not starved.
pub(super) const CALL: Duration = Duration::from_secs(60);
/// Writing all of its RAM.
const SAVE: Duration = Duration::from_secs(5 * 60);

/// A VM of the image.
pub(super) struct LiveGuest<'a> {
    /// What it booted.
    pub(super) image: &'a GuestImage,
    /// Its files.
    pub(super) paths: InstancePaths,
    /// What it was told when its QEMU started.
    pub(super) credentials: Credentials,
    /// What the QEMU before told it.
    pub(super) former: Option<Credentials>,
    /// The host's port of its sshd.
    pub(super) ssh: Port,
    /// The host's port of its API.
    pub(super) api: Port,
    /// Length of the base and when it was written, before any QEMU ran.
    pub(super) base: (u64, SystemTime),
    /// The admin's, once the guest has one.
    pub(super) kubeconfig: Option<cluster::Credentials>,
    qemu: Qemu,
    accelerator: Accelerator,
    uuid: String,
    launched: Option<Launched>,
    also: &'static str,
    console: ConsoleReader,
    // Dropped last: the directory must outlive everything in it.
    _directory: tempfile::TempDir,
}

impl<'a> LiveGuest<'a> {
    /// Starts it; it boots when this returns.
    pub(super) fn start(image: &'a GuestImage) -> Self {
        Self::start_with(image, "")
    }

    /// The same with this behind the image's kernel command line.
    pub(super) fn start_with(image: &'a GuestImage, also: &'static str) -> Self {
        // A request of the user's ends every wait, so that the VM is ended, too.
        sound(host::interrupt::install());
        let directory = tempfile::Builder::new().prefix("k3s-vm-contract-").tempdir().expect("a temporary directory");
        let paths = ProjectPaths::new(directory.path()).instance(&InstanceName::default());
        sound(host::files::create_private_dir(&paths.vm_dir()));
        sound(qemu::qcow2::create_overlay(&paths.disk(), &image.root_disk(), image.manifest.virtual_size));
        let qemu = sound(Qemu::find(&cache(), &Silent));
        let console = sound(ConsoleReader::from_end(paths.log()));
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
            also,
            image,
            paths,
            qemu,
            console,
            _directory: directory,
        };
        let machine = guest.machine(MemoryBackend::Ram);
        guest.launched = Some(sound(guest.launch(&machine).run(&Silent).map_err(Into::into)));
        guest
    }

    /// Saves it, ends its QEMU, and lets it go on in another one with other keys, data and ports.
    pub(super) fn save_and_restore(&mut self) {
        let state = self.paths.vm_dir().join("state");
        let (none, ram) = (self.paths.begun_state(), self.paths.vm_dir().join(RAM));
        let save = Save { begun_from: &none, ram: &ram, state: &state, deadline: SAVE };
        let mut qmp = sound(Qmp::connect(&self.paths.vm_dir(), CALL));
        let prepared = sound(save.prepare(&mut qmp, &Silent));
        let mut guest = sound(StoppedGuest::stop(&mut qmp, &Silent));
        let saved = sound(prepared.write(&mut guest));
        sound(guest.quit());
        sound(saved.complete());
        self.ended();
        self.former = Some(std::mem::replace(&mut self.credentials, Credentials::make(&self.paths)));
        self.uuid = uuid::Uuid::new_v4().to_string();
        (self.ssh, self.api) = (testkit::port::free(), testkit::port::free());
        let machine = self.machine(MemoryBackend::File(RAM.into()));
        let restore = Restore { launch: self.launch(&machine), state: &state, deadline: CALL, working_set: None };
        self.launched = Some(sound(restore.run(&Silent, |_| Ok(())).map_err(Into::into)));
        sound(self.agent().set_time(SystemTime::now(), CALL));
    }

    /// A fresh connection to the agent, which answers.
    pub(super) fn agent(&self) -> Agent {
        sound(Agent::connect(&self.paths.vm_dir(), CALL))
    }

    /// The output of a script of the guest's shell, which must succeed.
    pub(super) fn shell(&self, script: &str) -> String {
        sound(self.agent().run(&GuestCommand::new("/bin/sh", ["-c", script]), CALL))
    }

    /// The content of a file of the guest, which must be there.
    pub(super) fn file(&self, path: &str) -> String {
        let content = sound(self.agent().read_file(path, 1 << 20, CALL));
        String::from_utf8(content.unwrap_or_else(|| panic!("the guest has no {path}"))).expect("text")
    }

    /// Waits until `look` says ready. A guest that is dead by its console, or a QEMU that has ended, ends the wait.
    pub(super) fn wait<T>(
        &mut self,
        what: &str,
        deadline: Duration,
        mut look: impl FnMut(&Self, Duration) -> Result<Look<T>>,
    ) -> T {
        let wait = Wait { what, deadline, interval: Duration::from_millis(500) };
        let found = wait.until(|left| {
            self.lives()?;
            look(self, left)
        });
        found.unwrap_or_else(|error| panic!("{error}\nThe console ends so:\n{}", self.console_end()))
    }

    /// The pid of QEMU.
    pub(super) fn pid(&self) -> u32 {
        self.launched.as_ref().expect("a QEMU").identity().pid
    }

    /// Waits for the end of QEMU; how it ended.
    pub(super) fn ended(&mut self) -> String {
        self.ended_within(CALL)
    }

    /// The same with another deadline.
    pub(super) fn ended_within(&mut self, deadline: Duration) -> String {
        let launched = self.launched.as_mut().expect("a QEMU");
        let wait = Wait { what: "the end of QEMU", deadline, interval: Duration::from_millis(50) };
        let how =
            sound(wait.until(|_| Ok(launched.ended().map_or_else(|| Look::NotYet("it runs".to_owned()), Look::Ready))));
        self.launched = None;
        how
    }

    /// All that the guest has printed on its console.
    pub(super) fn console(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.paths.log()).unwrap_or_default()).into_owned()
    }

    fn console_end(&self) -> String {
        let text = self.console();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn lives(&mut self) -> Result<()> {
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

    /// What QEMU gives the kernel: the image's own line, and what QEMU's version needs.
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
            kernel_command_line: format!("{}{}", self.image.manifest.kernel_command_line, self.also),
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

/// As the tool chooses: KVM where a guest has proved it.
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
    match sound(test.run(false, &Silent)).refusal {
        None => Accelerator::Kvm,
        Some(_) => Accelerator::Tcg,
    }
}

/// Length and time of the last change.
pub(super) fn file_facts(path: &Path) -> (u64, SystemTime) {
    let metadata = path.metadata().expect("a file");
    (metadata.len(), metadata.modified().expect("a time"))
}

/// What must not fail, with the error's own words.
#[track_caller]
pub(super) fn sound<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}
