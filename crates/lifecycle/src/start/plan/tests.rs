//! Tables of the plan of a start, and properties that hold in every situation.

use std::fmt::Write as _;

use super::*;

/// An instance that was never started, in a project without saved VMs.
fn nothing() -> Situation {
    Situation {
        instance: InstanceState::Absent,
        accelerator_is_open: false,
        suspended: Candidate::Missing,
        suspended_is_ready: true,
        applied: Candidate::Missing,
        ready: Candidate::Missing,
        snapshot: Candidate::Missing,
    }
}

fn stopped() -> Situation {
    Situation { instance: InstanceState::Stopped, ..nothing() }
}

fn request(goal: Goal) -> Request {
    Request { goal, wait: true, templates: true }
}

const START: Request = Request { goal: Goal::Start, wait: true, templates: true };

fn unusable() -> Candidate {
    Candidate::Unusable("QEMU has changed".to_owned())
}

/// What a plan begins from, then what it falls back to.
fn ways(seen: &Situation, request: &Request) -> Vec<From> {
    plan(seen, request).expect("a plan").ways.iter().map(|way| way.from).collect()
}

/// The table of ARCHITECTURE.md: where a start begins.
#[test]
fn a_start_begins_from_the_best_that_is_there() {
    let usable = || Candidate::Usable;
    let table: [(Situation, &[From]); 9] = [
        (Situation { instance: InstanceState::Running, ..nothing() }, &[From::Running]),
        (Situation { suspended: usable(), ..stopped() }, &[From::SuspendedRam, From::Disk]),
        (Situation { suspended: unusable(), ..stopped() }, &[From::Disk]),
        (stopped(), &[From::Disk]),
        (
            Situation { applied: usable(), ready: usable(), ..nothing() },
            &[From::Template, From::Template, From::NewDisk],
        ),
        (Situation { applied: unusable(), ready: usable(), ..nothing() }, &[From::Template, From::NewDisk]),
        (Situation { applied: unusable(), ready: unusable(), ..nothing() }, &[From::NewDisk]),
        (nothing(), &[From::NewDisk]),
        // A disk that is there counts more than any template.
        (Situation { applied: usable(), ready: usable(), ..stopped() }, &[From::Disk]),
    ];
    for (seen, expected) in table {
        assert_eq!(ways(&seen, &START), expected, "{seen:?}");
    }
}

#[test]
fn a_reset_begins_anew_whatever_the_instance_is() {
    let reset = request(Goal::Anew { rebuild: false });
    for instance in [InstanceState::Absent, InstanceState::Stopped, InstanceState::Running, InstanceState::Orphan(1)] {
        let seen = Situation { instance, suspended: Candidate::Usable, ready: Candidate::Usable, ..nothing() };
        assert_eq!(ways(&seen, &reset), [From::Template, From::NewDisk], "{instance:?}");
    }
}

#[test]
fn a_snapshot_is_restored_or_its_disk_booted_and_nothing_else() {
    for destroy in [false, true] {
        let restore = request(Goal::Snapshot { destroy });
        let seen = Situation { ready: Candidate::Usable, suspended: Candidate::Usable, ..stopped() };
        let usable = Situation { snapshot: Candidate::Usable, ..seen.clone() };
        assert_eq!(ways(&usable, &restore), [From::Snapshot, From::SnapshotDisk]);
        assert_eq!(ways(&Situation { snapshot: unusable(), ..seen }, &restore), [From::SnapshotDisk]);
    }
}

/// All situations and requests that there are.
fn all() -> impl Iterator<Item = (Situation, Request)> {
    let instances = [InstanceState::Absent, InstanceState::Stopped, InstanceState::Running, InstanceState::Orphan(1)];
    let candidates =
        [Candidate::Missing, Candidate::Usable, unusable(), Candidate::KnownAfter(Step::ChooseAccelerator)];
    let goals = [
        Goal::Start,
        Goal::Anew { rebuild: false },
        Goal::Anew { rebuild: true },
        Goal::Snapshot { destroy: false },
        Goal::Snapshot { destroy: true },
    ];
    let mut all = Vec::new();
    for goal in goals {
        for bits in 0..16 {
            let bit = |at: u32| bits & (1 << at) != 0;
            for (instance, suspended) in
                instances.iter().flat_map(|one| candidates.iter().map(move |other| (one, other)))
            {
                for (applied, ready) in
                    candidates.iter().flat_map(|one| candidates.iter().map(move |other| (one, other)))
                {
                    let seen = Situation {
                        instance: *instance,
                        accelerator_is_open: bit(0),
                        suspended: suspended.clone(),
                        suspended_is_ready: bit(1),
                        applied: applied.clone(),
                        ready: ready.clone(),
                        snapshot: applied.clone(),
                    };
                    all.push((seen, Request { goal, wait: bit(2), templates: bit(3) }));
                }
            }
        }
    }
    all.into_iter()
}

#[test]
fn a_reset_destroyed_the_cluster_before_it_noticed_that_it_could_not_start() {
    for (seen, request) in all() {
        let Ok(plan) = plan(&seen, &request) else { continue };
        let destroys: Vec<usize> =
            (0..plan.prepare.len()).filter(|at| plan.prepare[*at] == Step::DestroyInstance).collect();
        let is_wanted = matches!(request.goal, Goal::Anew { .. } | Goal::Snapshot { destroy: true });
        // Once, as the last step before there is a VM, and in no way to one.
        assert_eq!(destroys, if is_wanted { vec![plan.prepare.len() - 1] } else { Vec::new() }, "{request:?}");
        assert!(plan.ways.iter().all(|way| !way.has(Step::DestroyInstance)));
    }
}

#[test]
fn every_plan_ends_with_a_way_that_needs_no_saved_ram() {
    for (seen, request) in all() {
        let Ok(plan) = plan(&seen, &request) else {
            assert!(matches!((seen.instance, request.goal), (InstanceState::Orphan(1), Goal::Start)));
            continue;
        };
        let last = plan.ways.last().expect("a way");
        assert!(last.boots() || last.from == From::Running, "{seen:?}");
        let boots = plan.ways.iter().filter(|way| way.boots() || way.from == From::Running).count();
        assert_eq!(boots, 1, "the first one that boots is the last one");
        for way in &plan.ways {
            assert_eq!(way.steps.len() == 1, !request.wait, "{way:?}");
            assert!(request.templates || !way.has(Step::SaveReady), "{way:?}");
        }
    }
}

#[test]
fn what_is_there_and_not_used_has_its_reason_in_the_plan() {
    let seen = Situation { suspended: unusable(), ..stopped() };
    let plan = plan(&seen, &START).expect("a plan");
    assert_eq!(plan.unused, [Unused { what: "suspended RAM", why: "QEMU has changed".to_owned() }]);
}

/// One line a way, as `[1/n]` would count.
fn shown(seen: &Situation, request: &Request) -> String {
    let plan = plan(seen, request).expect("a plan");
    let mut text = String::new();
    for way in &plan.ways {
        let steps: Vec<&str> = plan.prepare.iter().chain(&way.steps).map(|step| step.title()).collect();
        let _ = writeln!(text, "{:?} ({}): {}", way.from, steps.len(), steps.join(", "));
    }
    text
}

#[test]
fn the_steps_of_each_way() {
    let seen = Situation { applied: Candidate::Usable, ready: Candidate::Usable, ..nothing() };
    insta::assert_snapshot!(shown(&seen, &START), @r"
    Template (5): Checking the host, Preparing the guest image, Restoring the cluster with the application, Waking the cluster, Waiting for the application
    Template (8): Checking the host, Preparing the guest image, Restoring the cluster, Waking the cluster, Loading container images, Applying manifests, Waiting for the application, Saving the application for resets
    NewDisk (10): Checking the host, Preparing the guest image, Starting the VM, Booting the guest, Waiting for Kubernetes, Saving the cluster for resets, Loading container images, Applying manifests, Waiting for the application, Saving the application for resets
    ");
    let seen = Situation { suspended: Candidate::Usable, accelerator_is_open: true, ..stopped() };
    insta::assert_snapshot!(shown(&seen, &START), @r"
    SuspendedRam (8): Checking the host, Preparing the guest image, Choosing the accelerator, Resuming the VM, Waking the cluster, Loading container images, Applying manifests, Waiting for the application
    Disk (9): Checking the host, Preparing the guest image, Choosing the accelerator, Starting the VM, Booting the guest, Waiting for Kubernetes, Loading container images, Applying manifests, Waiting for the application
    ");
    let seen = Situation { snapshot: Candidate::Usable, ..stopped() };
    insta::assert_snapshot!(shown(&seen, &request(Goal::Snapshot { destroy: true })), @r"
    Snapshot (5): Checking the host, Preparing the guest image, Destroying the old instance, Restoring the snapshot, Waking the cluster
    SnapshotDisk (6): Checking the host, Preparing the guest image, Destroying the old instance, Starting the VM, Booting the guest, Waiting for Kubernetes
    ");
}
