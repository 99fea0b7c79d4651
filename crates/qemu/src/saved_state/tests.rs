//! A saved state is complete, or there is none.

use super::compatibility_key::tests::Parts;
use super::*;

/// A new state with all its files, not yet completed.
fn filled(parts: &Parts, name: &str) -> NewSavedState {
    let new_state = NewSavedState::begin(&parts.directory.path().join("templates").join(name)).unwrap();
    let ram = File::create(new_state.ram()).unwrap();
    ram.set_len(parts.machine.memory).unwrap();
    std::fs::write(new_state.state(), "state").unwrap();
    let disk = parts.directory.path().join(format!("disk of {name}"));
    files::remove(&disk).unwrap();
    std::fs::write(&disk, "disk").unwrap();
    new_state.link_disk(&disk).unwrap();
    new_state
}

fn replace(new_state: NewSavedState, parts: &Parts) -> Result<SavedState> {
    new_state.replace(parts.machine.memory, &parts.compatibility_key(), Duration::from_secs(60), &Silent)
}

fn complete(parts: &Parts) -> SavedState {
    replace(filled(parts, "one"), parts).unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_saved_state_can_be_opened_and_is_write_protected() {
    let parts = Parts::new();
    let saved_state = complete(&parts);
    assert_eq!(SavedState::open(saved_state.paths().dir()), Ok(saved_state.clone()));
    assert_eq!(saved_state.fits(&parts.compatibility_key()), Ok(()));
    assert!(saved_state.age().unwrap() < Duration::from_secs(3600));
    assert!(saved_state.disk_usage() > 0);
    let mode = |path: PathBuf| path.metadata().unwrap().permissions().mode() & 0o7777;
    let paths = saved_state.paths();
    // This QEMU opens RAM for writing although it maps it privately.
    assert_eq!(mode(saved_state.ram()), 0o600);
    for path in [saved_state.state(), paths.disk(), paths.description()] {
        assert_eq!(mode(path), 0o400);
    }
    assert_eq!(mode(paths.dir().to_owned()), 0o700);
    let mut newer = Parts::new();
    newer.qemu.version = crate::Version::new(8, 2, 0);
    assert_eq!(mode(complete(&newer).ram()), 0o400);
}

#[test]
fn an_unfinished_state_does_not_count_and_is_swept_when_its_process_has_ended() {
    let parts = Parts::new();
    let new_state = filled(&parts, "one");
    let states = parts.directory.path().join("templates");
    let target = states.join("one");
    assert_eq!(SavedState::open(&target).unwrap_err(), "there is none");
    // The process that makes it lives.
    assert_eq!(sweep(&states, false).unwrap(), Swept::default());
    assert_eq!(names(&states).len(), 1);
    drop(new_state);
    assert!(names(&states).is_empty());
    assert_eq!(
        std::fs::read_to_string(parts.directory.path().join("disk of one")).unwrap(),
        "disk",
        "the disk was removed"
    );

    // A process that was killed leaves its directory.
    let NewSavedState { directory, .. } = filled(&parts, "two");
    let left = directory.keep();
    let would = sweep(&states, true).unwrap();
    assert_eq!(would.directories, 1);
    assert!(would.bytes > 0 && left.exists());
    assert_eq!(sweep(&states, false).unwrap(), would);
    assert!(!left.exists());
    assert_eq!(sweep(&states.join("none"), false).unwrap(), Swept::default());
}

#[test]
fn an_incomplete_state_is_refused() {
    let parts = Parts::new();
    for missing in [".ram", ".state", "disk.qcow2"] {
        let new_state = filled(&parts, "one");
        let files = [new_state.ram(), new_state.state(), new_state.paths().disk()];
        let file = files.iter().find(|file| file.display().to_string().ends_with(missing)).unwrap();
        std::fs::remove_file(file).unwrap();
        let error = replace(new_state, &parts).unwrap_err();
        assert!(error.to_string().contains(missing), "{error}");
    }
    let new_state = filled(&parts, "one");
    File::options().write(true).open(new_state.ram()).unwrap().set_len(4096).unwrap();
    let error = replace(new_state, &parts).unwrap_err();
    assert!(error.to_string().ends_with("is incomplete: it has 4096 bytes, the VM has 1048576"), "{error}");
    assert!(names(&parts.directory.path().join("templates")).is_empty());
}

#[test]
fn a_saved_state_is_replaced_by_a_complete_one_only() {
    let parts = Parts::new();
    let states = parts.directory.path().join("templates");
    // Also where there is none yet.
    let first = complete(&parts);
    let incomplete = filled(&parts, "one");
    std::fs::remove_file(incomplete.state()).unwrap();
    replace(incomplete, &parts).unwrap_err();
    assert_eq!(SavedState::open(first.paths().dir()), Ok(first.clone()));

    let second = filled(&parts, "one");
    std::fs::write(second.state(), "another state").unwrap();
    let second = replace(second, &parts).unwrap();
    assert_eq!(SavedState::open(first.paths().dir()), Ok(second.clone()));
    assert_ne!(first.generation(), second.generation());
    assert_eq!(std::fs::read_to_string(second.state()).unwrap(), "another state");
    assert!(!first.ram().exists() && !first.state().exists(), "a path leads to another generation than it names");
    assert_eq!(names(&states), ["one"], "the first one is gone");
}

#[test]
fn a_damaged_saved_state_is_not_used() {
    let parts = Parts::new();
    let saved_state = complete(&parts);
    let paths = saved_state.paths();
    let open = || {
        let why = SavedState::open(paths.dir()).unwrap_err();
        why.replace(&parts.directory.path().display().to_string(), "/f")
            .replace(saved_state.generation().as_str(), "GENERATION")
    };
    File::options().write(true).open(saved_state.ram()).unwrap().set_len(4096).unwrap();
    insta::assert_snapshot!(open(), @"/f/templates/one/GENERATION.ram has 4096 of its 1048576 bytes");
    std::fs::remove_file(saved_state.ram()).unwrap();
    insta::assert_snapshot!(open(), @"/f/templates/one/GENERATION.ram: No such file or directory");
    files::remove(&paths.description()).unwrap();
    std::fs::write(paths.description(), "{\"schema\": 1, \"cre").unwrap();
    insta::assert_snapshot!(open(), @"it was made by another version of k3s-vm, or is damaged");
    std::fs::remove_file(paths.description()).unwrap();
    insta::assert_snapshot!(open(), @"there is none");
}

#[test]
fn the_description_is_for_people_too() {
    let parts = Parts::new();
    let text = std::fs::read_to_string(complete(&parts).paths().description()).unwrap();
    let description: serde_json::Value = serde_json::from_str(&text).unwrap();
    let keys: Vec<&String> = description.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["schema", "generation", "created", "ram", "state", "disk", "key", "compatibility-key"]);
    assert_eq!(description["key"], parts.compatibility_key().key());
}

/// Its pods could still reach the host's loopback.
#[test]
fn a_cluster_saved_while_its_pods_reached_the_host_is_never_restored_where_they_may_not() {
    for (then, now) in [(true, false), (false, true)] {
        let mut parts = Parts::new();
        parts.machine.host_access = then;
        let saved_state = complete(&parts);
        assert_eq!(saved_state.fits(&parts.compatibility_key()), Ok(()));
        assert_eq!(parts.compatibility_key().host_access(), then);
        parts.machine.host_access = now;
        assert_eq!(
            saved_state.fits(&parts.compatibility_key()),
            Err(format!("guest.host_access was {then} and is {now}")),
            "its RAM would be used"
        );
    }
}

#[test]
fn the_ram_of_one_template_was_restored_with_the_disk_of_another() {
    let parts = Parts::new();
    let saved_state = complete(&parts);
    let held = saved_state.hold(Duration::ZERO, &Silent).unwrap();
    // Several processes can restore it at the same time, and nobody can replace or remove it meanwhile.
    drop(saved_state.hold(Duration::ZERO, &Silent).unwrap());
    let second = filled(&parts, "one");
    let refused =
        second.replace(parts.machine.memory, &parts.compatibility_key(), Duration::ZERO, &Silent).unwrap_err();
    assert_eq!(refused.class(), ErrorClass::State, "{refused}");
    assert_eq!(remove(saved_state.paths().dir(), Duration::ZERO, &Silent).unwrap_err().class(), ErrorClass::State);
    assert_eq!(SavedState::open(saved_state.paths().dir()).as_ref(), Ok(held.saved_state()));
    drop(held);
    replace(filled(&parts, "one"), &parts).unwrap();
    // A process that has opened the old one learns that it was replaced, and gets no part of the new one.
    assert!(matches!(saved_state.hold(Duration::ZERO, &Silent), Err(NotHeld::Replaced)));
    remove(saved_state.paths().dir(), Duration::ZERO, &Silent).unwrap();
    assert!(matches!(saved_state.hold(Duration::ZERO, &Silent), Err(NotHeld::Replaced)));
}

#[test]
fn a_locked_saved_state_is_of_one_generation_at_every_moment_of_a_replacement() {
    let parts = Parts::new();
    let directory = complete(&parts).paths().dir().to_owned();
    let generation_in = |file: PathBuf| std::fs::read_to_string(file).unwrap();
    std::thread::scope(|scope| {
        let replacing = scope.spawn(|| {
            for _ in 0..100 {
                let next = filled(&parts, "one");
                let generation = next.generation().to_string();
                std::fs::write(next.state(), &generation).unwrap();
                std::fs::remove_file(next.paths().disk()).unwrap();
                std::fs::write(next.paths().disk(), &generation).unwrap();
                replace(next, &parts).unwrap();
            }
        });
        let mut held = 0;
        while !replacing.is_finished() {
            // It may be replaced before it is locked.
            let Ok(saved_state) = SavedState::open(&directory) else { continue };
            let Ok(one) = saved_state.hold(Duration::from_secs(60), &Silent) else { continue };
            let saved_state = one.saved_state();
            let (state, disk) = (generation_in(saved_state.state()), generation_in(saved_state.paths().disk()));
            let is_first = state == "state" && disk == "disk";
            assert!(is_first || (state == disk && state == saved_state.generation().as_str()), "{state} {disk}");
            held += 1;
        }
        assert!(held > 0, "nothing was seen");
    });
}

#[test]
fn of_two_that_saved_the_first_template_at_once_one_failed_or_took_the_others_place_unlocked() {
    let parts = Parts::new();
    for _ in 0..20 {
        let states: Vec<NewSavedState> = (0..4).map(|_| filled(&parts, "one")).collect();
        let barrier = std::sync::Barrier::new(states.len());
        std::thread::scope(|scope| {
            let makers: Vec<_> = states
                .into_iter()
                .map(|state| {
                    scope.spawn(|| {
                        barrier.wait();
                        replace(state, &parts).unwrap()
                    })
                })
                .collect();
            makers.into_iter().for_each(|maker| drop(maker.join().unwrap()));
        });
        let templates = parts.directory.path().join("templates");
        assert_eq!(names(&templates), ["one"]);
        SavedState::open(&templates.join("one")).unwrap();
        remove(&templates.join("one"), Duration::ZERO, &Silent).unwrap();
    }
}
