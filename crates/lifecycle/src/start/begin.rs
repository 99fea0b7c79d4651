//! Where the VM begins: it runs already, goes on from saved RAM, or boots. RAM is a cache: whatever is wrong with it, the
//! disk or a new one is booted, with one line that says why.

use host::files;
use model::guest_image::GuestImage;
use model::port::Port;
use model::{Error, ErrorClass, Result};
use qemu::accelerator::Choice;
use qemu::console::ConsoleReader;
use qemu::power::Escalation;
use qemu::saved_state::NotHeld;
use qemu::{Qemu, qcow2};
use serde::Serialize;

use super::step_count::{ANEW, BOOTING, GOING_ON, NEW, NOT_WAITING, SNAPSHOT, SNAPSHOT_DISK, WITH_APPLICATION};
use crate::apply::AppliedInputs;
use crate::apply::images;
use crate::context::Context;
use crate::instance;
use crate::instance::awake;
use crate::instance::disk;
use crate::instance::launch::{SavedRam, VmLaunch};
use crate::instance::observe::{Observed, Running, unexpected_end};
use crate::instance::state_file::Restoring;
use crate::project::desired::Desired;
use crate::saved_vm::cluster::SavedCluster;
use crate::saved_vm::suspend;
use crate::saved_vm::template::{self, Kind, SavedVm};
use crate::steps::{Outcome, Steps};
use crate::verbs::stop;

/// How many times another template may take the place of the one that is to be restored.
const MOST_REPLACED: u32 = 3;

/// What a start began from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum From {
    /// It ran.
    Running,
    /// The RAM that `stop` kept.
    SuspendedRam,
    /// A saved VM of the project.
    Template,
    /// A saved VM that the user asked for.
    Snapshot,
    /// The disk of one, whose RAM could not be used.
    SnapshotDisk,
    /// Its disk.
    Disk,
    /// A new disk.
    NewDisk,
}

/// A VM that runs now.
pub(super) struct Begun {
    pub(super) running: Box<Running>,
    pub(super) console: ConsoleReader,
    pub(super) from: From,
    /// The cluster, where the RAM was saved.
    pub(super) cluster: Option<SavedCluster>,
    /// The saved VM that it was restored from.
    pub(super) saved_vm: Option<SavedVm>,
}

/// What is to begin.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// What the project's files say.
    pub(super) desired: &'a Desired,
    pub(super) image: &'a GuestImage,
    pub(super) choice: &'a Choice,
    pub(super) node_port: Port,
    /// Whether no template may be used.
    pub(super) rebuild: bool,
    /// The saved VM to go on as, and no other.
    pub(super) saved: Option<&'a SavedVm>,
}

/// A beginning that has been looked over: what can be refused has been, so that an old instance can be destroyed for it.
pub(super) struct Begin<'a> {
    pub(super) context: &'a Context<'a>,
    wanted: Wanted<'a>,
    /// Nothing where the VM runs already.
    qemu: Option<Qemu>,
}

impl<'a> Begin<'a> {
    /// Looks it over.
    ///
    /// # Errors
    /// Host where there is no QEMU; a Config error of a machine that QEMU could not take; errors of the image's files.
    pub(super) fn new(context: &'a Context<'a>, observed: &Observed, wanted: Wanted<'a>) -> Result<Self> {
        let runs = matches!(observed, Observed::Running(_));
        let qemu = if runs { None } else { Some(Qemu::find(&context.cache, context.events)?) };
        let begin = Begin { context, wanted, qemu };
        if let Some(qemu) = &begin.qemu {
            begin.vm(qemu).check()?;
        }
        Ok(begin)
    }

    /// Destroys the old instance.
    ///
    /// # Errors
    /// Those of `destroy`.
    pub(super) fn destroy(&self, destroy: &dyn Fn() -> Result<String>, steps: &mut Steps<'_>) -> Result<()> {
        steps.run("Destroying the old instance", || Ok(Outcome::Done((), destroy()?)))
    }

    pub(super) fn qemu(&self) -> Result<&Qemu> {
        let missing = || Error::new(ErrorClass::State, "the VM ran when this start began, and does not any more");
        self.qemu.as_ref().ok_or_else(|| missing().next(self.context.command("start")))
    }
}

impl Begin<'_> {
    /// Gets the VM to run.
    pub(super) fn run(&self, observed: Observed, waits: bool, steps: &mut Steps<'_>) -> Result<Begun> {
        let expect = |steps: &mut Steps<'_>, waiting: u32| steps.expect(if waits { waiting } else { NOT_WAITING });
        let is_new = match observed {
            Observed::Running(running) => {
                expect(steps, BOOTING);
                return steps.run("Starting the VM", || self.already(running));
            }
            Observed::Orphan(process) => {
                return Err(Error::new(
                    ErrorClass::State,
                    format!("pid {} is a QEMU of this instance that lost its state file", process.pid()),
                )
                .because("its state cannot be known")
                .next(format!("{}     # powers it off; data are kept", self.context.command("stop --power-off")))
                .next(format!("{}    # destroys it and starts anew", self.context.command("reset"))));
            }
            Observed::Stopped => false,
            Observed::Absent => true,
        };
        let vm = self.vm(self.qemu()?);
        if let Some(saved_vm) = self.wanted.saved {
            return self.snapshot(&vm, saved_vm, steps, &expect);
        }
        if is_new {
            if let Some(begun) = self.restored(&vm, steps, &expect)? {
                return Ok(begun);
            }
        } else if let Some(begun) = self.resumed(&vm, steps, &expect)? {
            return Ok(begun);
        }
        expect(steps, if is_new && self.context.project.config.templates { NEW } else { BOOTING });
        steps.run("Starting the VM", || self.boot(&vm, is_new))
    }

    /// The VM that is started.
    pub(super) fn vm<'v>(&'v self, qemu: &'v Qemu) -> VmLaunch<'v> {
        let Wanted { image, choice, node_port, .. } = self.wanted;
        VmLaunch { context: self.context, image, qemu, choice, node_port }
    }

    fn already(&self, running: Box<Running>) -> Result<Outcome<Begun>> {
        let paths = self.context.paths();
        if running.state_file.ports() != self.context.ports()? {
            self.context.events.note(format!(
                "changed ports take effect after `{}` and `{}`",
                self.context.command("stop"),
                self.context.command("start")
            ));
        }
        let (then, now) =
            (running.state_file.compatibility_key.host_access(), self.context.project.config.guest.host_access);
        if then != now {
            let access = if then { "its pods still reach the host" } else { "its pods do not reach the host yet" };
            self.context.events.warning(format!(
                "guest.host_access = {now} takes effect after `{}` and `{}`: {access}",
                self.context.command("stop"),
                self.context.command("start")
            ));
        }
        instance::files::follow_directory(&paths, &running.state_file.ports())?;
        awake::ensure(self.context)?;
        let fact = format!("it runs already, pid {}", running.process.pid());
        let console = ConsoleReader::from_end(paths.log())?;
        Ok(Outcome::Skipped(Begun { running, console, from: From::Running, cluster: None, saved_vm: None }, fact))
    }

    /// Boots the disk; a new one if it is to be.
    pub(super) fn boot(&self, vm: &VmLaunch<'_>, is_new: bool) -> Result<Outcome<Begun>> {
        if let Some(end) = unexpected_end(self.context)? {
            self.context.events.warning(format!("{end}; its disk is used as it is"));
        }
        let paths = self.context.paths();
        if is_new && !paths.disk().exists() {
            files::create_private_dir(&paths.vm_dir())?;
            disk::make(&paths, self.wanted.image)?;
        } else {
            disk::settle(self.context)?;
        }
        // RAM that was kept does not fit it any more, whatever happens from now on. None fits a disk without a generation.
        if qcow2::header(&paths.disk())?.generation.is_some() {
            qcow2::set_generation(&paths.disk(), &qcow2::new_generation())?;
        }
        // The cluster may not be what it was.
        files::remove(&paths.cluster())?;
        let (running, console) = vm.run(None)?;
        let fact = self.fact(vm, &running);
        let from = if is_new { From::NewDisk } else { From::Disk };
        Ok(Outcome::Done(Begun { running, console, from, cluster: None, saved_vm: None }, fact))
    }

    /// Goes on with the RAM that `stop` kept, where it fits.
    fn resumed(
        &self,
        vm: &VmLaunch<'_>,
        steps: &mut Steps<'_>,
        expect: &dyn Fn(&mut Steps<'_>, u32),
    ) -> Result<Option<Begun>> {
        let paths = self.context.paths();
        let kept = paths.suspended();
        let why = match suspend::find(&kept, &paths.disk(), &vm.compatibility_key()?) {
            Ok(None) => return Ok(None),
            Ok(Some(suspended)) => {
                expect(steps, if suspended.cluster.is_some() { GOING_ON } else { BOOTING });
                let resumed = steps.run("Resuming the VM", || {
                    let ram = SavedRam {
                        ram: suspended.ram(&kept),
                        state: suspended.state(&kept),
                        working_set: Some(paths.working_set()),
                        restoring: Restoring::Suspended,
                        taken: &|| suspend::discard(&kept),
                    };
                    match suspended.use_disk(&paths.disk(), || vm.run(Some(&ram))) {
                        Ok((running, console)) => {
                            let fact = self.fact(vm, &running);
                            let cluster = suspended.cluster;
                            let begun = Begun { running, console, from: From::SuspendedRam, cluster, saved_vm: None };
                            Ok(Outcome::Done(Ok(begun), fact))
                        }
                        Err(error) if may_boot_instead(&error) => {
                            let why = error.to_string();
                            Ok(Outcome::Skipped(Err(why), "it could not go on".to_owned()))
                        }
                        Err(error) => Err(error),
                    }
                })?;
                match resumed {
                    Ok(begun) => return Ok(Some(begun)),
                    Err(why) => why,
                }
            }
            Err(why) => why,
        };
        self.context.events.warning(format!("the suspended RAM is not used: {why}; booting from the disk"));
        suspend::discard(&kept)?;
        Ok(None)
    }

    /// Goes on as what the user named stood; where its RAM cannot be used, its disk is booted.
    fn snapshot(
        &self,
        vm: &VmLaunch<'_>,
        saved_vm: &SavedVm,
        steps: &mut Steps<'_>,
        expect: &dyn Fn(&mut Steps<'_>, u32),
    ) -> Result<Begun> {
        let restored =
            match saved_vm.fits_as_snapshot(&vm.compatibility_key()?, self.wanted.image.manifest.certificate_days) {
                Err(why) => Err(why),
                Ok(()) => {
                    expect(steps, SNAPSHOT);
                    steps.run("Restoring the snapshot", || match self.launch_this(vm, saved_vm, true) {
                        Ok(started) => {
                            let fact = self.fact(vm, &started.0);
                            Ok(Outcome::Done(Ok(started), fact))
                        }
                        Err(error) if may_boot_instead(&error) => {
                            Ok(Outcome::Skipped(Err(error.to_string()), "its RAM could not be used".to_owned()))
                        }
                        Err(error) => Err(error),
                    })?
                }
            };
        let why = match restored {
            Ok((running, console)) => {
                let cluster = Some(saved_vm.cluster.clone());
                return Ok(Begun { running, console, from: From::Snapshot, cluster, saved_vm: Some(saved_vm.clone()) });
            }
            Err(why) => why,
        };
        expect(steps, SNAPSHOT_DISK);
        self.snapshot_disk(vm, saved_vm, &why, steps)
    }

    /// Boots the disk of what the user named.
    pub(super) fn snapshot_disk(
        &self,
        vm: &VmLaunch<'_>,
        saved_vm: &SavedVm,
        why: &str,
        steps: &mut Steps<'_>,
    ) -> Result<Begun> {
        self.context.events.warning(format!("the snapshot's RAM is not used: {why}; booting its disk"));
        steps.run("Starting the VM", || {
            let (running, console) = self.launch_this(vm, saved_vm, false)?;
            let fact = self.fact(vm, &running);
            let begun = Begun { running, console, from: From::SnapshotDisk, cluster: None, saved_vm: None };
            Ok(Outcome::Done(begun, fact))
        })
    }

    /// Restores a saved VM onto a new disk, where one fits.
    fn restored(
        &self,
        vm: &VmLaunch<'_>,
        steps: &mut Steps<'_>,
        expect: &dyn Fn(&mut Steps<'_>, u32),
    ) -> Result<Option<Begun>> {
        if !self.context.project.config.templates {
            return Ok(None);
        }
        if self.wanted.rebuild {
            template::remove(self.context, Kind::Applied)?;
            template::remove(self.context, Kind::Ready)?;
            return Ok(None);
        }
        let now = vm.compatibility_key()?;
        let days = self.wanted.image.manifest.certificate_days;
        if let Ok(saved_vm) = template::find(self.context, Kind::Applied, &now, days)
            && let Some(applied) = &saved_vm.cluster.applied
            && applied.manifests == self.wanted.desired.digest(self.context)
        {
            expect(steps, WITH_APPLICATION);
            if let Some(begun) = self.with_application(vm, &saved_vm, applied, steps)? {
                return Ok(Some(begun));
            }
        }
        match template::find(self.context, Kind::Ready, &now, days) {
            Ok(saved_vm) => {
                expect(steps, ANEW);
                steps.run("Restoring the cluster", || self.restore(vm, &saved_vm, Kind::Ready))
            }
            Err(why) => {
                if self.context.project.paths.templates().join(Kind::Ready.name()).exists() {
                    self.context.events.warning(format!("the kept cluster is not used: {why}; booting a new one"));
                }
                Ok(None)
            }
        }
    }

    /// Restores the cluster with the application, while it is found out whether the container images are those in it: with
    /// others it is given up.
    fn with_application(
        &self,
        vm: &VmLaunch<'_>,
        saved_vm: &SavedVm,
        applied: &AppliedInputs,
        steps: &mut Steps<'_>,
    ) -> Result<Option<Begun>> {
        let (project, paths, events) = (&self.context.project, self.context.paths(), self.context.events);
        steps.run("Restoring the cluster with the application", || {
            let (restored, are_as_applied) = std::thread::scope(|scope| {
                let built = scope.spawn(|| images::are_as_applied(project, &paths, applied, events));
                let restored = self.restore(vm, saved_vm, Kind::Applied);
                let died = |_| Err(Error::new(ErrorClass::Failed, "the build of container images died"));
                (restored, built.join().unwrap_or_else(died))
            });
            match (restored?, are_as_applied) {
                (Outcome::Done(Some(begun), fact), Ok(true)) => Ok(Outcome::Done(Some(begun), fact)),
                (Outcome::Done(Some(begun), _), are_as_applied) => {
                    stop::end(&begun.running.process, &paths, &Escalation::hard(), events)?;
                    files::remove(&paths.disk())?;
                    are_as_applied?;
                    Ok(Outcome::Skipped(None, "container images have changed".to_owned()))
                }
                (_, are_as_applied) => {
                    are_as_applied?;
                    Ok(Outcome::Skipped(None, "it could not be restored".to_owned()))
                }
            }
        })
    }

    /// What is told of a VM that runs.
    fn fact(&self, vm: &VmLaunch<'_>, running: &Running) -> String {
        format!("QEMU {} under {}, pid {}", vm.qemu.version, self.wanted.choice, running.process.pid())
    }

    /// Makes a disk on that of the saved VM, and a QEMU that resumes with its RAM or boots it. Nobody replaces or removes the
    /// saved VM until QEMU has opened all of it, so that disk, RAM and state are of one generation.
    fn launch(
        &self,
        vm: &VmLaunch<'_>,
        saved_vm: &SavedVm,
        with_ram: bool,
    ) -> Result<(Box<Running>, ConsoleReader), NotHeld> {
        let (paths, events) = (self.context.paths(), self.context.events);
        files::create_private_dir(&paths.vm_dir()).map_err(NotHeld::Error)?;
        // The pool first, as whoever removes saved VMs does.
        let pool = self.context.pool().lock(events).map_err(NotHeld::Error)?;
        let held = saved_vm.saved_state.hold(self.context.project.config.timeouts.lock, events)?;
        let template = held.saved_state();
        let launch = || {
            let frozen = pool.frozen(&template.paths().disk(), template.generation())?;
            pool.overlay(&frozen, &paths.disk())?;
            pool.mend(&paths.disk())?;
            drop(pool);
            let ram = SavedRam {
                ram: template.ram(),
                state: template.state(),
                working_set: Some(template.paths().working_set()),
                restoring: if self.wanted.saved.is_some() { Restoring::Snapshot } else { Restoring::Template },
                taken: &|| Ok(()),
            };
            vm.run(with_ram.then_some(&ram))
        };
        launch().map_err(NotHeld::Error)
    }

    /// As [`Begin::launch`] with RAM, where nothing else may take the place of the saved VM.
    fn launch_this(
        &self,
        vm: &VmLaunch<'_>,
        saved_vm: &SavedVm,
        with_ram: bool,
    ) -> Result<(Box<Running>, ConsoleReader)> {
        self.launch(vm, saved_vm, with_ram).map_err(|not_held| match not_held {
            NotHeld::Error(error) | NotHeld::InUse(error) => error,
            NotHeld::Replaced => Error::new(ErrorClass::State, "the saved VM was replaced or removed meanwhile"),
        })
    }

    /// Restores the template; one that has taken its place meanwhile, as by a sibling, is as good where it fits.
    fn restore(&self, vm: &VmLaunch<'_>, saved_vm: &SavedVm, kind: Kind) -> Result<Outcome<Option<Begun>>> {
        let mut saved_vm = saved_vm.clone();
        let mut attempts = 0;
        let why = loop {
            match self.launch(vm, &saved_vm, true) {
                Ok((running, console)) => {
                    let fact = self.fact(vm, &running);
                    let (cluster, saved_vm) = (Some(saved_vm.cluster.clone()), Some(saved_vm));
                    return Ok(Outcome::Done(
                        Some(Begun { running, console, from: From::Template, cluster, saved_vm }),
                        fact,
                    ));
                }
                Err(NotHeld::Error(error)) if may_boot_instead(&error) => break error.to_string(),
                Err(NotHeld::InUse(error)) => break error.to_string(),
                Err(NotHeld::Error(error)) => return Err(error),
                // What is applied in the new one, and its container images, nobody has looked at.
                Err(NotHeld::Replaced) if kind == Kind::Applied || attempts == MOST_REPLACED => {
                    break "it was replaced meanwhile".to_owned();
                }
                Err(NotHeld::Replaced) => {
                    attempts += 1;
                    match template::find(
                        self.context,
                        kind,
                        &vm.compatibility_key()?,
                        self.wanted.image.manifest.certificate_days,
                    ) {
                        Ok(now) => saved_vm = now,
                        Err(why) => break why,
                    }
                }
            }
        };
        files::remove(&self.context.paths().disk())?;
        self.context.events.warning(format!("the kept cluster is not used: {why}; booting a new one"));
        Ok(Outcome::Skipped(None, "it could not be restored".to_owned()))
    }
}

/// Whether an error of going on from saved RAM says nothing of a boot.
fn may_boot_instead(error: &Error) -> bool {
    matches!(error.class(), ErrorClass::Guest | ErrorClass::Failed | ErrorClass::Timeout)
}
