//! The steps that follow the start of QEMU: to a cluster that is proven ours with the project's application on it, and the
//! templates that are saved of it.

use std::time::Instant;

use cluster::Credentials;
use host::deadline::Deadline;
use model::guest_image::GuestImage;
use model::{Error, ErrorClass, Result};
use qemu::console::ConsoleReader;
use qemu::read_ahead;

use crate::apply::{self, ApplyReport};
use crate::context::Context;
use crate::instance::launch::distribution;
use crate::instance::observe::Running;
use crate::instance::qmp;
use crate::instance::saved_cluster::SavedCluster;
use crate::instance::wait::api::{self, Access};
use crate::instance::wait::guest;
use crate::instance::wait::services::{self, Asking, ServicesState};
use crate::instance::wait::ssh;
use crate::instance::wait::watch::GuestWatch;
use crate::project::applied_inputs::AppliedInputs;
use crate::project::desired::Desired;
use crate::saved_vm::SavedVm;
use crate::saved_vm::template::{self, Kind};
use crate::start::plan::{From, Step, Way};
use crate::steps::{Outcome, Steps};

/// What is waited for.
pub(in crate::start) struct Arrival<'a> {
    pub(in crate::start) context: &'a Context<'a>,
    pub(in crate::start) desired: &'a Desired,
    pub(in crate::start) image: &'a GuestImage,
    pub(in crate::start) deadline: Deadline,
    pub(in crate::start) running: &'a Running,
    pub(in crate::start) way: &'a Way,
    /// The cluster, where the RAM was saved.
    pub(in crate::start) cluster: Option<&'a SavedCluster>,
    /// The saved VM that it was restored from.
    pub(in crate::start) saved_vm: Option<&'a SavedVm>,
}

/// What came of it.
pub(in crate::start) enum Arrived {
    /// The cluster is there; with what was applied, and whether its Services answer.
    Ready(Option<ApplyReport>, ServicesState),
    /// A cluster that continued from saved RAM does not answer, for this reason.
    Silent(String),
}

impl Arrival<'_> {
    /// Waits, applies, and keeps a new cluster for the next reset.
    /// A snapshot is left as it is: nothing is applied to it.
    pub(in crate::start) fn run(&self, console: ConsoleReader, steps: &mut Steps<'_>) -> Result<Arrived> {
        let paths = self.context.paths();
        let watch = &mut GuestWatch::new(&self.running.process, console, &paths, self.context.events);
        watch.resets_end(true);
        let (access, cluster) = match self.cluster {
            Some(cluster) => match steps.run(Step::WakeCluster.title(), || self.wake(watch, cluster))? {
                Ok(access) => (access, cluster.clone()),
                Err(why) => return Ok(Arrived::Silent(why)),
            },
            None => self.wait(watch, steps)?,
        };
        self.allow_resets(watch);
        let (applied, state) = if self.way.has(Step::WaitForApplication) {
            let (report, state) = self.apply(watch, &access, cluster, steps)?;
            (Some(report), state)
        } else {
            (None, self.asking(&access, cluster, || Ok(()))?.2)
        };
        Ok(Arrived::Ready(applied, state))
    }

    /// From now on the guest may reset: it has shown that it can boot.
    fn allow_resets(&self, watch: &mut GuestWatch<'_>) {
        watch.resets_end(false);
        let allowed = qmp::connect(&self.context.paths()).and_then(|mut qmp| qmp.allow_resets());
        if let Err(error) = allowed {
            self.context.events.warning(format!("a reboot of the guest will end the VM: {error}"));
        }
    }

    /// Gets the application onto the cluster, where it is not in it already.
    fn apply(
        &self,
        watch: &mut GuestWatch<'_>,
        access: &Access,
        cluster: SavedCluster,
        steps: &mut Steps<'_>,
    ) -> Result<(ApplyReport, ServicesState)> {
        let ports = self.running.state_file.ports();
        if !self.way.has(Step::ApplyManifests) {
            let wait = || apply::answers(self.context, self.desired, &ports, watch, self.deadline);
            let wait = || steps.run(Step::WaitForApplication.title(), wait);
            return self.asking(access, cluster, wait).map(|(report, _, state)| (report, state));
        }
        if self.way.has(Step::SaveReady) {
            steps.run(Step::SaveReady.title(), || self.keep(Kind::Ready, &cluster))?;
        }
        let inputs = apply::inputs::without_images(self.context, self.desired)?;
        let settings = apply::Settings { required: false, ..apply::Settings::default() };
        let deploy =
            || apply::deploy(self.context, self.desired, steps, watch, access, Some(ports), settings, self.deadline);
        let (report, cluster, state) = self.asking(access, cluster, deploy)?;
        if self.way.has(Step::SaveApplied) {
            steps.run(Step::SaveApplied.title(), || {
                // Every reset would bring it back as it is.
                if state.is_silent() {
                    return Ok(Outcome::Skipped((), "its Services do not answer".to_owned()));
                }
                let images = report.images.iter().map(|image| (image.name.clone(), image.digest.clone())).collect();
                let applied = Some(AppliedInputs { images, ..inputs });
                self.keep(Kind::Applied, &cluster.with_applied(applied))
            })?;
        }
        Ok((report, state))
    }

    /// Does `work` and asks meanwhile whether the cluster's Services answer, since `work` can wait for them in vain; notes
    /// where they are.
    fn asking<T>(
        &self,
        access: &Access,
        cluster: SavedCluster,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<(T, SavedCluster, ServicesState)> {
        let patience = match self.way.from {
            From::NewDisk | From::Disk | From::SnapshotDisk | From::Running => services::AFTER_A_BOOT,
            From::SuspendedRam | From::Template | From::Snapshot => services::AS_BEFORE,
        };
        let patience = patience.min(self.deadline.left());
        let asking = Asking::new(self.context, &access.client, &self.image.manifest.service, patience);
        let (result, known, state) = asking.during(cluster.services.clone(), work)?;
        if known != cluster.services {
            cluster.clone().with_applied(None).with_services(known.clone()).write(&self.context.paths().cluster())?;
        }
        Ok((result, cluster.with_services(known), state))
    }

    /// Waits for a cluster that continues from saved RAM; why it does not answer, where it does not.
    fn wake(&self, watch: &mut GuestWatch<'_>, cluster: &SavedCluster) -> Result<Outcome<Result<Access, String>>> {
        let limit = self.context.project.config.timeouts.restore;
        let until = if limit < self.deadline.left() { Deadline::after(limit) } else { self.deadline };
        let access = match wake(self.context, self.running, watch, cluster, until) {
            Err(error) if self.may_boot_instead(&error) => {
                return Ok(Outcome::Skipped(Err(error.to_string()), "it does not answer".to_owned()));
            }
            other => other?,
        };
        apply::write_web(self.context, &access)?;
        cluster.clone().with_applied(None).write(&self.context.paths().cluster())?;
        self.learn();
        let fact = format!("node {} continues ({})", cluster.node, cluster.version);
        Ok(Outcome::Done(Ok(access), fact))
    }

    /// Whether a boot may succeed where a guest that continues from RAM failed, and there is time for one.
    fn may_boot_instead(&self, error: &Error) -> bool {
        matches!(error.class(), ErrorClass::Guest | ErrorClass::Timeout) && !self.deadline.left().is_zero()
    }

    /// The cluster boots.
    fn wait(&self, watch: &mut GuestWatch<'_>, steps: &mut Steps<'_>) -> Result<(Access, SavedCluster)> {
        let paths = self.context.paths();
        let manifest = &self.image.manifest;
        let admin: Credentials = steps.run(Step::BootGuest.title(), || {
            let admin = guest::wait_for_credentials(watch, &paths, manifest, self.deadline)?;
            // While the guest was paused, or its host slept, its clock stood.
            if matches!(self.way.from, From::Running | From::SuspendedRam) {
                guest::set_clock(&paths, self.context.events);
            }
            Ok(Outcome::Done(admin, manifest.operating_system.clone()))
        })?;
        steps.run(Step::WaitForKubernetes.title(), || {
            let ports = self.running.state_file.ports();
            let access = api::wait(watch, &self.context.name, &ports, &admin, self.deadline)?;
            let node = &manifest.node_name;
            let version = api::wait_for_node(watch, &access, node, self.deadline)?;
            ssh::wait(watch, &paths, self.deadline)?;
            apply::write_web(self.context, &access)?;
            let cluster =
                SavedCluster::pristine(&self.image.directory, &distribution(self.image), node, &version, &admin);
            cluster.write(&paths.cluster())?;
            Ok(Outcome::Done((access, cluster), format!("node {node} is Ready ({version})")))
        })
    }

    /// Keeps the instance as it stands. What cannot be kept costs the next reset time, and nobody else anything.
    fn keep(&self, kind: Kind, cluster: &SavedCluster) -> Result<Outcome<()>> {
        match template::make(self.context, kind, self.running, cluster) {
            Ok(kept) => {
                let (size, paused) = (kept.saved_state.disk_usage() >> 20, kept.paused.as_millis());
                Ok(Outcome::Done((), format!("{size} MiB, the guest was paused for {paused} ms")))
            }
            Err(error) if error.class() == ErrorClass::Interrupted => Err(error),
            Err(error) => {
                self.context.events.warning(format!("the next reset will boot: {}", error));
                Ok(Outcome::Skipped((), "it could not be kept".to_owned()))
            }
        }
    }

    /// Notes what of the saved RAM a restored cluster needs first, once for each saved VM.
    fn learn(&self) {
        let Some(saved_vm) = self.saved_vm else { return };
        let working_set = saved_vm.saved_state.paths().working_set();
        if working_set.exists() {
            return;
        }
        match read_ahead::write(&working_set, self.running.process.pid(), &saved_vm.saved_state.ram()) {
            Ok(bytes) => self.context.events.debug(format!("{bytes} bytes of RAM will be read ahead from now on")),
            Err(error) => self.context.events.debug(error.to_string()),
        }
    }
}

/// Sets the clock of a guest that continues, and waits until the API behind its ports proves to be ours.
///
/// # Errors
/// Timeout and Guest errors of the watch.
pub(in crate::start) fn wake(
    context: &Context<'_>,
    running: &Running,
    watch: &mut GuestWatch<'_>,
    cluster: &SavedCluster,
    deadline: Deadline,
) -> Result<Access> {
    let (paths, events) = (context.paths(), context.events);
    let admin = cluster.admin();
    let begin = Instant::now();
    let done = |step: &str| events.debug(format!("wake: {step} (at {:.1} ms)", begin.elapsed().as_secs_f64() * 1000.0));
    std::thread::scope(|scope| {
        // Both at once: the guest's kernel has reseeded its random numbers by then, as vmgenid tells it to.
        let clock = scope.spawn(|| {
            guest::set_clock(&paths, events);
            done("the guest agent has answered");
        });
        let access = api::wait(watch, &context.name, &running.state_file.ports(), admin, deadline);
        done("the API has answered");
        // It tells by events what it could not do.
        let _ = clock.join();
        access
    })
}
