//! A VM of a temporary project that ends with the test.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use host::identity::{ProcessHandle, ProcessIdentity};
use host::wait::{Look, Wait};
use model::Result;
use model::instance::InstanceName;
use model::paths::InstancePaths;
use model::port::Port;
use qemu::{Accelerator, Forward, Launch, Launched, Machine, MemoryBackend, Qemu, Qmp, Restore};
use testkit::{RecordingSink, Script, TempProject};

/// Long enough for a loaded machine; only what is meant to fail reaches a deadline, and that has a short one.
pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) struct Vm {
    pub(crate) project: TempProject,
    pub(crate) machine: Machine,
    pub(crate) events: RecordingSink,
    identity: Option<ProcessIdentity>,
}

impl Vm {
    /// Prepared, not started.
    pub(crate) fn new(script: &Script) -> Self {
        Self::in_directory("project", script)
    }

    pub(crate) fn in_directory(name: &str, script: &Script) -> Self {
        let project = TempProject::named(name, Port::literal(30080));
        let paths = project.paths().instance(&InstanceName::default());
        std::fs::create_dir_all(paths.vm_dir()).unwrap();
        script.write(&paths.vm_dir());
        let machine = Machine {
            name: InstanceName::default(),
            // Processes are found by it, so two tests must not have the same one.
            uuid: uuid(&paths),
            pid_file: paths.pid(),
            directory: paths.vm_dir(),
            version: qemu::version::LEAST,
            sandbox: false,
            accelerator: Accelerator::Tcg,
            cpus: 1,
            memory: 128 << 20,
            memory_backend: MemoryBackend::Ram,
            kernel: "kernel".into(),
            initrd: "initrd".into(),
            kernel_command_line: "console=ttyS0".to_owned(),
            disk: "disk.qcow2".into(),
            forwards: Vec::new(),
            firmware_files: Vec::new(),
            host_access: false,
        };
        Vm { project, machine, events: RecordingSink::default(), identity: None }
    }

    /// Started; the launch must succeed.
    pub(crate) fn started(script: &Script) -> (Self, Launched) {
        let mut vm = Self::new(script);
        let launched = vm.launch(LONG).unwrap();
        (vm, launched)
    }

    pub(crate) fn launch(&mut self, deadline: Duration) -> Result<Launched> {
        self.launch_with(&fake(), deadline)
    }

    pub(crate) fn launch_with(&mut self, qemu: &Qemu, deadline: Duration) -> Result<Launched> {
        let launch = Launch { qemu, machine: &self.machine, log: self.log(), deadline };
        let launched = launch.run(&self.events)?;
        self.identity = Some(launched.identity().clone());
        Ok(launched)
    }

    /// Restores a saved VM; `paused` as in [`Restore::run`].
    pub(crate) fn restore_with(
        &mut self,
        qemu: &Qemu,
        state: &Path,
        paused: impl FnOnce(&mut Qmp) -> Result<()>,
    ) -> Result<Launched> {
        let launch = Launch { qemu, machine: &self.machine, log: self.log(), deadline: LONG };
        let restore = Restore { launch, state, deadline: LONG, working_set: None };
        let launched = restore.run(&self.events, paused)?;
        self.identity = Some(launched.identity().clone());
        Ok(launched)
    }

    pub(crate) fn qmp(&self) -> Qmp {
        Qmp::connect(&self.machine.directory, LONG).unwrap()
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.project.paths().instance(&self.machine.name).log()
    }

    pub(crate) fn process(&self) -> ProcessHandle {
        let identity = self.identity.as_ref().expect("it was started");
        ProcessHandle::open(identity, &self.machine.uuid).unwrap().expect("it runs")
    }

    pub(crate) fn forward(&mut self, host: Port, guest: u16) -> Forward {
        let forward = Forward { bind: model::BindAddress::LOOPBACK, host, guest };
        self.machine.forwards.push(forward);
        forward
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        Script::calls(&self.machine.directory)
    }

    /// How often the fake received a command.
    pub(crate) fn count(&self, command: &str) -> usize {
        self.calls().iter().filter(|call| *call == command).count()
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        if let Some(identity) = &self.identity
            && let Ok(Some(process)) = ProcessHandle::open(identity, &self.machine.uuid)
        {
            let _ = process.kill();
            // It is a child of this process and would stay a zombie.
            let pid = i32::try_from(identity.pid).ok().and_then(rustix::process::Pid::from_raw);
            let _ = rustix::process::waitpid(pid, rustix::process::WaitOptions::empty());
        }
    }
}

/// Ends QEMU by QMP and waits for its end.
pub(crate) fn quit(mut qmp: Qmp, mut launched: Launched) {
    qmp.quit().unwrap();
    let wait = Wait { what: "QEMU's end", deadline: LONG, interval: Duration::from_millis(2) };
    wait.until(|_| Ok(launched.ended().map_or(Look::NotYet(String::new()), Look::Ready))).unwrap();
}

/// The fake in QEMU's place.
pub(crate) fn fake() -> Qemu {
    static FAKE: OnceLock<Qemu> = OnceLock::new();
    FAKE.get_or_init(|| Qemu::at(testkit::fake_qemu::program().to_owned()).unwrap()).clone()
}

/// A uuid from the directory's path, which is unique.
fn uuid(paths: &InstancePaths) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    paths.dir().hash(&mut hasher);
    let digits = format!("{:016x}{:016x}", std::process::id(), hasher.finish());
    let (a, b, c, d, e) = (&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]);
    format!("{a}-{b}-{c}-{d}-{e}")
}
