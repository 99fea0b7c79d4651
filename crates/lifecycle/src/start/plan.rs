//! The plan of a start: which steps there will be, from what the VM begins, and what is tried next where that fails.
//!
//! Pure: what was observed goes in, steps and reasons come out. `start`, `reset`, `clone`, `run` and `snapshot restore`
//! are plans of this one function.

use serde::Serialize;

/// What a VM begins from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum From {
    /// It runs already.
    Running,
    /// The RAM that `stop` saved.
    SuspendedRam,
    /// A template of the project.
    Template,
    /// A snapshot.
    Snapshot,
    /// The disk of a snapshot, whose RAM cannot be used.
    SnapshotDisk,
    /// Its disk.
    Disk,
    /// A new disk.
    NewDisk,
}

/// A step of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Installs the tools that are missing, after consent.
    CheckHost,
    /// Finds or builds the guest image.
    PrepareImage,
    /// Chooses KVM or TCG; tests KVM where that was not done since the host's boot.
    ChooseAccelerator,
    /// Destroys the instance that is there.
    DestroyInstance,
    /// Verifies a VM that runs.
    VerifyVm,
    /// Starts QEMU with suspended RAM.
    ResumeVm,
    /// Starts QEMU with the RAM of the template `applied`, and builds the container images meanwhile.
    RestoreApplied,
    /// Starts QEMU with the RAM of the template `ready`.
    RestoreReady,
    /// Starts QEMU with the RAM of a snapshot.
    RestoreSnapshot,
    /// Starts QEMU, which boots the disk of a snapshot.
    BootSnapshotDisk,
    /// Starts QEMU, which boots the instance's disk.
    BootDisk,
    /// Starts QEMU, which boots a new disk.
    BootNewDisk,
    /// Waits for the API of a cluster that was restored or resumed.
    WakeCluster,
    /// Waits until the guest has booted.
    BootGuest,
    /// Waits until the node is Ready.
    WaitForKubernetes,
    /// Saves the pristine cluster as the template `ready`.
    SaveReady,
    /// Builds the project's container images and loads them into the guest.
    LoadImages,
    /// Applies the project's manifests.
    ApplyManifests,
    /// Waits for the Deployments and the web port.
    WaitForApplication,
    /// Saves the cluster with the application as the template `applied`.
    SaveApplied,
}

impl Step {
    /// What is shown while it runs.
    pub fn title(self) -> &'static str {
        match self {
            Step::CheckHost => "Checking the host",
            Step::PrepareImage => "Preparing the guest image",
            Step::ChooseAccelerator => "Choosing the accelerator",
            Step::DestroyInstance => "Destroying the old instance",
            Step::ResumeVm => "Resuming the VM",
            Step::RestoreApplied => "Restoring the cluster with the application",
            Step::RestoreReady => "Restoring the cluster",
            Step::RestoreSnapshot => "Restoring the snapshot",
            Step::VerifyVm | Step::BootSnapshotDisk | Step::BootDisk | Step::BootNewDisk => "Starting the VM",
            Step::WakeCluster => "Waking the cluster",
            Step::BootGuest => "Booting the guest",
            Step::WaitForKubernetes => "Waiting for Kubernetes",
            Step::SaveReady => "Saving the cluster for resets",
            Step::LoadImages => "Loading container images",
            Step::ApplyManifests => "Applying manifests",
            Step::WaitForApplication => "Waiting for the application",
            Step::SaveApplied => "Saving the application for resets",
        }
    }
}

/// The instance as it was observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InstanceState {
    /// There is none.
    Absent,
    /// It has a disk, and no VM.
    Stopped,
    /// Its VM runs.
    Running,
    /// A QEMU of this pid is its VM, and its state file is lost.
    Orphan(u32),
}

/// A saved VM from which a start could begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Candidate {
    /// There is none.
    Missing,
    /// It can be restored.
    Usable,
    /// It cannot be used, for this reason.
    Unusable(String),
    /// Whether it can be used is known after this step.
    KnownAfter(Step),
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// The instance runs, from whatever is there.
    Start,
    /// A new instance takes the place of the one that is there.
    Anew {
        /// Whether the guest image is built again, so that no template fits.
        rebuild: bool,
    },
    /// The instance becomes what a snapshot holds.
    Snapshot {
        /// Whether an instance is destroyed for that.
        destroy: bool,
    },
}

/// What the user wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    /// What is to be done.
    pub goal: Goal,
    /// Whether to wait for the cluster and the application.
    pub wait: bool,
    /// Whether templates are saved and used (`templates`).
    pub templates: bool,
}

/// Everything that a plan is decided by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Situation {
    /// The instance.
    pub instance: InstanceState,
    /// Whether there is an accelerator to choose: a VM that runs has one, and TCG can be ordered.
    pub accelerator_is_open: bool,
    /// The instance's suspended RAM.
    pub suspended: Candidate,
    /// Whether the cluster in the suspended RAM was Ready.
    pub suspended_is_ready: bool,
    /// The template with the project's application.
    pub applied: Candidate,
    /// The template of a pristine cluster.
    pub ready: Candidate,
    /// The snapshot that the goal names.
    pub snapshot: Candidate,
}

/// One way to a useful VM: how it begins, and the steps that follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Way {
    /// What the VM begins from.
    pub from: From,
    /// All steps, the one that starts QEMU first.
    pub steps: Vec<Step>,
}

/// A saved VM that the plan does not use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Unused {
    /// What it is: `suspended RAM`.
    pub what: &'static str,
    /// Why it is not used.
    pub why: String,
}

/// The steps of a start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Plan {
    /// What is done before there is a VM.
    pub prepare: Vec<Step>,
    /// The ways to a VM, the best first. Each is taken where the one before it fails; the last one always boots.
    pub ways: Vec<Way>,
    /// Saved VMs that are there and not used.
    pub unused: Vec<Unused>,
}

/// Why there is no plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The QEMU of this pid lost its state file, so that nobody knows what it runs.
    Orphan(u32),
}

impl Plan {
    /// How many steps there are if nothing fails.
    pub(super) fn length(&self) -> usize {
        self.prepare.len() + self.ways.first().map_or(0, |way| way.steps.len())
    }

    /// Whether a step is among those before there is a VM.
    pub(super) fn prepares(&self, step: Step) -> bool {
        self.prepare.contains(&step)
    }
}

impl Way {
    /// The step that starts QEMU, or finds it running.
    pub(super) fn begin(&self) -> Option<Step> {
        self.steps.first().copied()
    }

    /// Whether a step is part of it.
    pub(super) fn has(&self, step: Step) -> bool {
        self.steps.contains(&step)
    }

    /// Whether the guest boots, so that nothing wrong with saved RAM can be wrong with it.
    pub(super) fn boots(&self) -> bool {
        matches!(self.from, From::Disk | From::NewDisk | From::SnapshotDisk)
    }

    /// What is lost when this way fails, and what `next` does instead, for one warning.
    pub(super) fn fallback(&self, next: &Way) -> (&'static str, &'static str) {
        let lost = match self.begin() {
            Some(Step::RestoreApplied) => "the template with the application",
            Some(Step::RestoreReady) => "the template",
            Some(Step::RestoreSnapshot) => "the snapshot's RAM",
            _ => "the suspended RAM",
        };
        let instead = match next.from {
            From::Disk => "booting from the disk",
            From::SnapshotDisk => "booting its disk",
            From::NewDisk => "booting a new one",
            _ => "restoring the cluster without it",
        };
        (lost, instead)
    }
}

/// Makes the plan.
///
/// # Errors
/// Why there can be none; nothing was touched.
pub(super) fn plan(seen: &Situation, request: &Request) -> Result<Plan, Refusal> {
    if let (Goal::Start, InstanceState::Orphan(pid)) = (request.goal, seen.instance) {
        return Err(Refusal::Orphan(pid));
    }
    let mut unused = Vec::new();
    let mut use_of = |candidate: &Candidate, what| match candidate {
        Candidate::Missing => false,
        Candidate::Usable | Candidate::KnownAfter(_) => true,
        Candidate::Unusable(why) => {
            unused.push(Unused { what, why: why.clone() });
            false
        }
    };
    let mut ways: Vec<Way> = Vec::new();
    match (request.goal, seen.instance) {
        (Goal::Start, InstanceState::Running) => ways.push(way(From::Running, Step::VerifyVm, &BOOTED)),
        (Goal::Start, InstanceState::Stopped) => {
            if use_of(&seen.suspended, "suspended RAM") {
                let then = if seen.suspended_is_ready { &RESUMED[..] } else { &BOOTED[..] };
                ways.push(way(From::SuspendedRam, Step::ResumeVm, then));
            }
            ways.push(way(From::Disk, Step::BootDisk, &BOOTED));
        }
        (Goal::Start | Goal::Anew { .. }, _) => {
            if use_of(&seen.applied, "template applied") {
                let then = [Step::WakeCluster, Step::WaitForApplication];
                ways.push(way(From::Template, Step::RestoreApplied, &then));
            }
            if use_of(&seen.ready, "template ready") {
                ways.push(way(From::Template, Step::RestoreReady, &[&RESUMED[..], &[Step::SaveApplied]].concat()));
            }
            let new = if request.templates { &BOOTED_TO_BE_SAVED[..] } else { &BOOTED[..] };
            ways.push(way(From::NewDisk, Step::BootNewDisk, new));
        }
        (Goal::Snapshot { .. }, _) => {
            if use_of(&seen.snapshot, "snapshot's RAM") {
                ways.push(way(From::Snapshot, Step::RestoreSnapshot, &[Step::WakeCluster]));
            }
            let then = [Step::BootGuest, Step::WaitForKubernetes];
            ways.push(way(From::SnapshotDisk, Step::BootSnapshotDisk, &then));
        }
    }
    if !request.wait {
        ways.iter_mut().for_each(|way| way.steps.truncate(1));
    }
    Ok(Plan { prepare: prepare(seen, request), ways, unused })
}

/// What follows the boot of a disk, or a VM that runs.
const BOOTED: [Step; 5] =
    [Step::BootGuest, Step::WaitForKubernetes, Step::LoadImages, Step::ApplyManifests, Step::WaitForApplication];
/// What follows the boot of a new disk of which templates are saved.
const BOOTED_TO_BE_SAVED: [Step; 7] = [
    Step::BootGuest,
    Step::WaitForKubernetes,
    Step::SaveReady,
    Step::LoadImages,
    Step::ApplyManifests,
    Step::WaitForApplication,
    Step::SaveApplied,
];
/// What follows a cluster that continues from RAM.
const RESUMED: [Step; 4] = [Step::WakeCluster, Step::LoadImages, Step::ApplyManifests, Step::WaitForApplication];

fn way(from: From, begin: Step, then: &[Step]) -> Way {
    Way { from, steps: [&[begin], then].concat() }
}

fn prepare(seen: &Situation, request: &Request) -> Vec<Step> {
    let mut steps = vec![Step::CheckHost, Step::PrepareImage];
    if seen.accelerator_is_open {
        steps.push(Step::ChooseAccelerator);
    }
    // Last: whatever can fail before has not cost the old instance.
    if matches!(request.goal, Goal::Anew { .. } | Goal::Snapshot { destroy: true }) {
        steps.push(Step::DestroyInstance);
    }
    steps
}

#[cfg(test)]
mod tests;
