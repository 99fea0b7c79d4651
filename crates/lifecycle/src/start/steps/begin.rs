//! The first step of each way: a VM that runs already, one that continues from saved RAM, or one that boots.
//!
//! RAM is a cache: what is wrong with it is the reason to take the next way, never a failed start.

use host::files;
use model::guest_image::GuestImage;
use model::{Error, ErrorClass, Result};
use qemu::accelerator::Choice;
use qemu::console::ConsoleReader;
use qemu::power::Escalation;
use qemu::saved_state::NotHeld;
use qemu::{LaunchError, Qemu, qcow2};

use crate::apply::images;
use crate::context::Context;
use crate::instance;
use crate::instance::awake;
use crate::instance::launch::{SavedRam, VmLaunch};
use crate::instance::observe::{Observed, Running, unexpected_end};
use crate::instance::ports;
use crate::instance::saved_cluster::SavedCluster;
use crate::instance::shutdown;
use crate::instance::state_file::Restoring;
use crate::instance::suspended_files;
use crate::saved_vm::backing_files::BackingFiles;
use crate::saved_vm::disk;
use crate::saved_vm::suspend::Suspended;
use crate::saved_vm::template::{self, Kind};
use crate::saved_vm::{PATIENCE, SavedVm, discard};
use crate::start::beginning::Beginning;
use crate::start::look::{Inputs, SavedVms};
use crate::start::plan::{From, Plan, Step, Way};
use crate::steps::{Outcome, Steps};

/// How many times another template may take the place of the one that is to be restored.
const MOST_REPLACED: u32 = 3;

/// What a VM is started with.
#[derive(Clone, Copy)]
pub(in crate::start) struct Start<'a> {
    pub(in crate::start) context: &'a Context<'a>,
    pub(in crate::start) inputs: &'a Inputs,
    pub(in crate::start) image: &'a GuestImage,
    pub(in crate::start) choice: &'a Choice,
    /// Nothing where the VM runs already.
    pub(in crate::start) qemu: Option<&'a Qemu>,
}

/// A start that has been checked: what can be refused has been, so that an old instance can be destroyed for it.
pub(in crate::start) struct Begin<'a> {
    pub(in crate::start) start: Start<'a>,
}

/// A VM that runs now.
pub(in crate::start) struct Begun {
    pub(in crate::start) running: Box<Running>,
    pub(in crate::start) console: ConsoleReader,
    /// The cluster, where the RAM was saved.
    pub(in crate::start) cluster: Option<SavedCluster>,
    /// The saved VM that it was restored from.
    pub(in crate::start) saved_vm: Option<SavedVm>,
}

/// Why saved RAM was not used.
pub(in crate::start) enum Unusable {
    /// For this reason, which the user gets to know.
    Because(String),
    /// The container images have changed, which the step has said already.
    OtherImages,
}

impl<'a> Begin<'a> {
    /// Checks it.
    ///
    /// # Errors
    /// A Config error for a machine that QEMU cannot take; errors of the image's files.
    pub(in crate::start) fn new(start: Start<'a>) -> Result<Self> {
        let begin = Begin { start };
        if let Some(vm) = begin.vm() {
            vm.check()?;
        }
        Ok(begin)
    }

    /// The VM that is to be started, nothing where one runs.
    pub(in crate::start) fn vm(&self) -> Option<VmLaunch<'_>> {
        let Start { context, inputs, image, choice, qemu } = self.start;
        qemu.map(|qemu| VmLaunch { context, image, qemu, choice, node_port: inputs.node_port })
    }

    /// Destroys the old instance.
    ///
    /// # Errors
    /// Those of `destroy`.
    pub(in crate::start) fn destroy(&self, destroy: &dyn Fn() -> Result<String>) -> Result<Outcome<()>> {
        Ok(Outcome::Done((), destroy()?))
    }

    /// Warns of saved VMs that the plan cannot use, and removes suspended RAM that will never fit again.
    ///
    /// # Errors
    /// An error that names a path.
    pub(in crate::start) fn give_up_unusable(&self, saved: &SavedVms, plan: &Plan) -> Result<()> {
        let context = self.start.context;
        if let Err(why) = &saved.suspended {
            context.events.warning(format!("the suspended RAM is not used: {why}; booting from the disk"));
            suspended_files::discard(&context.paths().suspended())?;
        }
        if let Err(why) = &saved.snapshot {
            context.events.warning(format!("the snapshot's RAM is not used: {why}; booting its disk"));
        }
        // Of the one with the application the plan's next way says enough.
        let boots_at_once = plan.ways.first().is_some_and(Way::boots);
        if let (Err(why), true) = (&saved.ready, boots_at_once) {
            context.events.warning(format!("the template is not used: {why}; booting a new cluster"));
        }
        Ok(())
    }

    /// What the ways of a plan begin from.
    pub(in crate::start) fn found<'f>(
        &'f self,
        observed: Observed,
        saved: SavedVms,
        beginning: &'f Beginning<'f>,
    ) -> Found<'f> {
        let running = match (observed, beginning) {
            (Observed::Running(running), Beginning::AsItIs) => Some(running),
            _ => None,
        };
        Found { begin: self, running, saved, snapshot: beginning.saved_vm() }
    }
}

/// What the ways of a plan begin from.
pub(in crate::start) struct Found<'a> {
    begin: &'a Begin<'a>,
    running: Option<Box<Running>>,
    saved: SavedVms,
    snapshot: Option<&'a SavedVm>,
}

impl Found<'_> {
    /// Takes the first step of a way.
    ///
    /// # Errors
    /// Errors that say nothing of saved RAM, so that no other way is better.
    pub(in crate::start) fn begin(&mut self, way: &Way, steps: &mut Steps<'_>) -> Result<Result<Begun, Unusable>> {
        let step = way.steps[0];
        steps.run(step.title(), || {
            let absent = || Error::new(ErrorClass::State, "what this start was to begin from is gone");
            match step {
                Step::VerifyVm => {
                    let running = self.running.take().ok_or_else(absent)?;
                    self.already(running).map(used)
                }
                Step::ResumeVm => {
                    let suspended = taken(&mut self.saved.suspended).ok_or_else(absent)?;
                    self.resume(suspended)
                }
                Step::RestoreApplied => {
                    let template = taken(&mut self.saved.applied).ok_or_else(absent)?;
                    self.restore_applied(&template)
                }
                Step::RestoreReady => {
                    let template = taken(&mut self.saved.ready).ok_or_else(absent)?;
                    self.restore(template, Kind::Ready)
                }
                Step::RestoreSnapshot => self.restore_snapshot(self.snapshot.ok_or_else(absent)?),
                Step::BootSnapshotDisk => self.boot_snapshot(self.snapshot.ok_or_else(absent)?).map(used),
                Step::BootDisk => self.boot(false).map(used),
                _ => self.boot(true).map(used),
            }
        })
    }

    /// Leaves a way whose saved RAM could not be used, for `next`.
    ///
    /// # Errors
    /// An error that names a path.
    pub(in crate::start) fn give_up(&self, way: &Way, next: Option<&Way>, why: Unusable) -> Result<()> {
        let context = self.context();
        if let (Unusable::Because(why), Some(next)) = (why, next) {
            let (lost, instead) = way.fallback(next);
            context.events.warning(format!("{lost} is not used: {why}; {instead}"));
        }
        match way.from {
            From::SuspendedRam => suspended_files::discard(&context.paths().suspended()),
            // It was made for this way.
            From::Template => files::remove(&context.paths().disk()),
            _ => Ok(()),
        }
    }

    /// Ends a VM that QEMU has restored and whose cluster does not answer, for `next`, which boots.
    ///
    /// # Errors
    /// Timeout when QEMU does not end; an error that names a path.
    pub(in crate::start) fn end(
        &self,
        running: &Running,
        way: &Way,
        next: Option<&Way>,
        saved_vm: Option<&SavedVm>,
        why: &str,
    ) -> Result<()> {
        let context = self.context();
        // What it has written to a disk that stays, it may still get there.
        let escalation = match way.from {
            From::SuspendedRam => Escalation::with_clean(context.project.config.timeouts.stop),
            _ => Escalation::hard(),
        };
        shutdown::end(&running.process, &context.paths(), &escalation, context.events)?;
        if let (From::Template, Some(saved_vm)) = (way.from, saved_vm) {
            // Nor is it used by the next reset.
            let directory = saved_vm.saved_state.paths().dir();
            if let Err(error) = discard(directory, PATIENCE, context.events) {
                context.events.warning(error.to_string());
            }
        }
        self.give_up(way, next, Unusable::Because(why.to_owned()))
    }

    fn context(&self) -> &Context<'_> {
        self.begin.start.context
    }

    fn vm(&self) -> Result<VmLaunch<'_>> {
        let ended = || Error::new(ErrorClass::State, "the VM ran when this start began, and has ended since");
        self.begin.vm().ok_or_else(|| ended().next(self.context().command("start")))
    }

    /// What is reported of a VM that runs.
    fn fact(&self, vm: &VmLaunch<'_>, running: &Running) -> String {
        format!("QEMU {} under {}, pid {}", vm.qemu.version, self.begin.start.choice, running.process.pid())
    }

    fn already(&self, running: Box<Running>) -> Result<Outcome<Begun>> {
        let context = self.context();
        let paths = context.paths();
        if running.state_file.ports() != ports::of(context)? {
            context.events.note(format!(
                "changed ports take effect after `{}` and `{}`",
                context.command("stop"),
                context.command("start")
            ));
        }
        let then = running.state_file.compatibility_key.host_access();
        let now = context.project.config.guest.host_access;
        if then != now {
            let access = if then { "its pods still reach the host" } else { "its pods do not reach the host yet" };
            context.events.warning(format!(
                "guest.host_access = {now} takes effect after `{}` and `{}`: {access}",
                context.command("stop"),
                context.command("start")
            ));
        }
        instance::files::follow_directory(&paths, &running.state_file.ports())?;
        awake::ensure(context)?;
        let fact = format!("it runs already, pid {}", running.process.pid());
        let console = ConsoleReader::from_end(paths.log())?;
        Ok(Outcome::Skipped(Begun { running, console, cluster: None, saved_vm: None }, fact))
    }

    /// Boots the disk; a new one if it is to be.
    fn boot(&self, is_new: bool) -> Result<Outcome<Begun>> {
        let (context, vm) = (self.context(), self.vm()?);
        if let Some(end) = unexpected_end(context)? {
            context.events.warning(format!("{end}; its disk is used as it is"));
        }
        let paths = context.paths();
        if is_new && !paths.disk().exists() {
            files::create_private_dir(&paths.vm_dir())?;
            disk::make(&paths, self.begin.start.image)?;
        } else {
            disk::prepare(context)?;
        }
        // Saved RAM does not fit it any more, whatever happens from now on. None fits a disk without a generation.
        if qcow2::header(&paths.disk())?.generation.is_some() {
            qcow2::set_generation(&paths.disk(), &qcow2::new_generation())?;
        }
        // The cluster may not be what it was.
        files::remove(&paths.cluster())?;
        let (running, console) = vm.run(None)?;
        let fact = self.fact(&vm, &running);
        Ok(Outcome::Done(Begun { running, console, cluster: None, saved_vm: None }, fact))
    }

    /// Continues from the RAM that `stop` saved.
    fn resume(&self, suspended: Suspended) -> Result<Outcome<Result<Begun, Unusable>>> {
        let (paths, vm) = (self.context().paths(), self.vm()?);
        let kept = paths.suspended();
        let ram = SavedRam {
            ram: suspended.ram(&kept),
            state: suspended.state(&kept),
            working_set: Some(paths.working_set()),
            restoring: Restoring::Suspended,
            taken: &|| suspended_files::discard(&kept),
        };
        match suspended.use_disk(&paths.disk(), || vm.launch(Some(&ram)).map_err(NotStarted::from)) {
            Ok((running, console)) => {
                let fact = self.fact(&vm, &running);
                let cluster = suspended.cluster;
                Ok(Outcome::Done(Ok(Begun { running, console, cluster, saved_vm: None }), fact))
            }
            Err(not_started) => not_started.unusable("its RAM could not be used"),
        }
    }

    /// Restores what the user named as it was.
    fn restore_snapshot(&self, snapshot: &SavedVm) -> Result<Outcome<Result<Begun, Unusable>>> {
        let vm = self.vm()?;
        match self.launch(&vm, snapshot, true) {
            Ok((running, console)) => {
                let fact = self.fact(&vm, &running);
                let (cluster, saved_vm) = (Some(snapshot.cluster.clone()), Some(snapshot.clone()));
                Ok(Outcome::Done(Ok(Begun { running, console, cluster, saved_vm }), fact))
            }
            Err(not_started) => not_started.unusable("its RAM could not be used"),
        }
    }

    /// Boots the disk of what the user named.
    fn boot_snapshot(&self, snapshot: &SavedVm) -> Result<Outcome<Begun>> {
        let vm = self.vm()?;
        let (running, console) = self.launch(&vm, snapshot, false).map_err(NotStarted::into_error)?;
        let fact = self.fact(&vm, &running);
        Ok(Outcome::Done(Begun { running, console, cluster: None, saved_vm: None }, fact))
    }

    /// Restores the cluster with the application, while the container images are built: with other ones than those in it
    /// the VM is ended.
    fn restore_applied(&self, saved_vm: &SavedVm) -> Result<Outcome<Result<Begun, Unusable>>> {
        let context = self.context();
        let (project, paths, events) = (&context.project, context.paths(), context.events);
        let Some(applied) = &saved_vm.cluster.applied else {
            return Err(Error::new(ErrorClass::Failed, "the template does not say what was applied to it"));
        };
        let (restored, are_as_applied) = std::thread::scope(|scope| {
            let built = scope.spawn(|| images::are_as_applied(project, &paths, applied, events));
            let restored = self.restore(saved_vm.clone(), Kind::Applied);
            let died = |_| Err(Error::new(ErrorClass::Failed, "the build of container images died"));
            (restored, built.join().unwrap_or_else(died))
        });
        match (restored?, are_as_applied) {
            (Outcome::Done(Ok(begun), fact), Ok(true)) => Ok(Outcome::Done(Ok(begun), fact)),
            (Outcome::Done(Ok(begun), _), are_as_applied) => {
                // With an error of the build, too: the images in it are not known to be right.
                shutdown::end(&begun.running.process, &paths, &Escalation::hard(), events)?;
                files::remove(&paths.disk())?;
                are_as_applied?;
                Ok(Outcome::Skipped(Err(Unusable::OtherImages), "container images have changed".to_owned()))
            }
            (not_restored, are_as_applied) => {
                are_as_applied?;
                Ok(not_restored)
            }
        }
    }

    /// Restores a template; one that has taken its place meanwhile, as by a sibling, is as good where it fits.
    fn restore(&self, mut saved_vm: SavedVm, kind: Kind) -> Result<Outcome<Result<Begun, Unusable>>> {
        let vm = self.vm()?;
        let mut attempts = 0;
        let why = loop {
            match self.launch(&vm, &saved_vm, true) {
                Ok((running, console)) => {
                    let fact = self.fact(&vm, &running);
                    let (cluster, saved_vm) = (Some(saved_vm.cluster.clone()), Some(saved_vm));
                    return Ok(Outcome::Done(Ok(Begun { running, console, cluster, saved_vm }), fact));
                }
                // Nobody has looked at what is applied in the new one, nor at its container images.
                Err(NotStarted::Replaced) if kind == Kind::Applied || attempts == MOST_REPLACED => {
                    break "it was replaced meanwhile".to_owned();
                }
                Err(NotStarted::Replaced) => {
                    attempts += 1;
                    let days = vm.image.manifest.certificate_days;
                    match template::find(self.context(), kind, &vm.compatibility_key()?, days) {
                        Ok(now) => saved_vm = now,
                        Err(why) => break why,
                    }
                }
                Err(not_started) => return not_started.unusable("it could not be restored"),
            }
        };
        Ok(Outcome::Skipped(Err(Unusable::Because(why)), "it could not be restored".to_owned()))
    }

    /// Makes a disk on that of the saved VM, and a QEMU that continues from its RAM or boots the disk. Nobody replaces or
    /// removes the saved VM until QEMU has opened all of it, so that disk, RAM and state are of one generation.
    fn launch(
        &self,
        vm: &VmLaunch<'_>,
        saved_vm: &SavedVm,
        with_ram: bool,
    ) -> Result<(Box<Running>, ConsoleReader), NotStarted> {
        let context = self.context();
        let (paths, events) = (context.paths(), context.events);
        files::create_private_dir(&paths.vm_dir())?;
        // This lock first, as whoever removes saved VMs does.
        let backing_files = BackingFiles::of_project(&context.project).lock(events)?;
        let held = saved_vm.saved_state.hold(context.project.config.timeouts.lock, events)?;
        let saved_state = held.saved_state();
        let backing_file = backing_files.backing_file(&saved_state.paths().disk(), saved_state.generation())?;
        backing_files.overlay(&backing_file, &paths.disk())?;
        backing_files.mend(&paths.disk())?;
        drop(backing_files);
        let ram = SavedRam {
            ram: saved_state.ram(),
            state: saved_state.state(),
            working_set: Some(saved_state.paths().working_set()),
            restoring: if self.snapshot.is_some() { Restoring::Snapshot } else { Restoring::Template },
            taken: &|| Ok(()),
        };
        Ok(vm.launch(with_ram.then_some(&ram))?)
    }
}

/// Why a VM was not started from what was saved.
enum NotStarted {
    /// The saved VM cannot be used, for this reason; a boot may succeed.
    Unusable(Error),
    /// The saved VM was replaced or removed meanwhile.
    Replaced,
    /// A boot would fail in the same way.
    Failed(Error),
}

impl NotStarted {
    /// The outcome of a step whose saved RAM was not used, `fact` in its line.
    fn unusable(self, fact: &str) -> Result<Outcome<Result<Begun, Unusable>>> {
        match self {
            NotStarted::Failed(error) => Err(error),
            other => {
                let why = other.into_error().to_string();
                Ok(Outcome::Skipped(Err(Unusable::Because(why)), fact.to_owned()))
            }
        }
    }

    fn into_error(self) -> Error {
        match self {
            NotStarted::Unusable(error) | NotStarted::Failed(error) => error,
            NotStarted::Replaced => Error::new(ErrorClass::State, "the saved VM was replaced or removed meanwhile"),
        }
    }
}

impl std::convert::From<LaunchError> for NotStarted {
    fn from(error: LaunchError) -> Self {
        if error.may_boot_instead() { NotStarted::Unusable(error.into()) } else { NotStarted::Failed(error.into()) }
    }
}

impl std::convert::From<NotHeld> for NotStarted {
    fn from(not_held: NotHeld) -> Self {
        match not_held {
            NotHeld::InUse(error) => NotStarted::Unusable(error),
            NotHeld::Replaced => NotStarted::Replaced,
            NotHeld::Error(error) => error.into(),
        }
    }
}

impl std::convert::From<Error> for NotStarted {
    /// An error of the files of the saved VM. What the host lacks, a boot lacks, too.
    fn from(error: Error) -> Self {
        match error.class() {
            ErrorClass::Host | ErrorClass::Interrupted => NotStarted::Failed(error),
            _ => NotStarted::Unusable(error),
        }
    }
}

/// What a plan uses once.
fn taken<T>(saved: &mut Result<Option<T>, String>) -> Option<T> {
    saved.as_mut().ok().and_then(Option::take)
}

fn used(outcome: Outcome<Begun>) -> Outcome<Result<Begun, Unusable>> {
    match outcome {
        Outcome::Done(begun, fact) => Outcome::Done(Ok(begun), fact),
        Outcome::Skipped(begun, why) => Outcome::Skipped(Ok(begun), why),
    }
}
