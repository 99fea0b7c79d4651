//! A template is whole or it is none.

use super::ingredients::tests::Parts;
use super::*;

/// A folder with everything in it but the seal.
fn filled(parts: &Parts, name: &str) -> Unsealed {
    let unsealed = Unsealed::begin(&parts.folder.path().join("templates").join(name)).unwrap();
    let ram = File::create(unsealed.ram()).unwrap();
    ram.set_len(parts.machine.memory).unwrap();
    std::fs::write(unsealed.state(), "state").unwrap();
    let frozen = parts.folder.path().join(format!("frozen {name}"));
    files::remove(&frozen).unwrap();
    std::fs::write(&frozen, "disk").unwrap();
    unsealed.link_disk(&frozen).unwrap();
    unsealed
}

fn replace(unsealed: Unsealed, parts: &Parts) -> Result<Template> {
    unsealed.replace(parts.machine.memory, &parts.ingredients(), Duration::from_secs(60), &Silent)
}

fn sealed(parts: &Parts) -> Template {
    replace(filled(parts, "one"), parts).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_was_sealed_is_opened_and_closed_to_writers() {
    let parts = Parts::new();
    let template = sealed(&parts);
    assert_eq!(Template::open(template.paths().dir()), Ok(template.clone()));
    assert_eq!(template.fits(&parts.ingredients()), Ok(()));
    assert!(template.age().unwrap() < Duration::from_secs(3600));
    assert!(template.disk_usage() > 0);
    let mode = |path: PathBuf| path.metadata().unwrap().permissions().mode() & 0o7777;
    let paths = template.paths();
    // This QEMU opens RAM for writing although it maps it privately.
    assert_eq!(mode(template.ram()), 0o600);
    for path in [template.state(), paths.disk(), paths.description()] {
        assert_eq!(mode(path), 0o400);
    }
    assert_eq!(mode(paths.dir().to_owned()), 0o700);
    let mut newer = Parts::new();
    newer.qemu.version = crate::Version::new(8, 2, 0);
    assert_eq!(mode(sealed(&newer).ram()), 0o400);
}

#[test]
fn unsealed_is_as_absent_and_goes_when_its_maker_is_gone() {
    let parts = Parts::new();
    let unsealed = filled(&parts, "one");
    let templates = parts.folder.path().join("templates");
    let target = templates.join("one");
    assert_eq!(Template::open(&target).unwrap_err(), "there is none");
    // A maker that lives is left alone.
    assert_eq!(sweep(&templates, false).unwrap(), Swept::default());
    assert_eq!(names(&templates).len(), 1);
    drop(unsealed);
    assert!(names(&templates).is_empty());
    assert_eq!(
        std::fs::read_to_string(parts.folder.path().join("frozen one")).unwrap(),
        "disk",
        "it is never only here"
    );

    // One that was killed left everything, at whatever moment.
    let Unsealed { folder, .. } = filled(&parts, "two");
    let left = folder.keep();
    let would = sweep(&templates, true).unwrap();
    assert_eq!(would.folders, 1);
    assert!(would.bytes > 0 && left.exists());
    assert_eq!(sweep(&templates, false).unwrap(), would);
    assert!(!left.exists());
    assert_eq!(sweep(&templates.join("none"), false).unwrap(), Swept::default());
}

#[test]
fn incomplete_things_are_not_sealed() {
    let parts = Parts::new();
    for missing in [".ram", ".state", "disk.qcow2"] {
        let unsealed = filled(&parts, "one");
        let files = [unsealed.ram(), unsealed.state(), unsealed.paths().disk()];
        let file = files.iter().find(|file| file.display().to_string().ends_with(missing)).unwrap();
        std::fs::remove_file(file).unwrap();
        let fault = replace(unsealed, &parts).unwrap_err();
        assert!(fault.to_string().contains(missing), "{fault}");
    }
    let unsealed = filled(&parts, "one");
    File::options().write(true).open(unsealed.ram()).unwrap().set_len(4096).unwrap();
    let fault = replace(unsealed, &parts).unwrap_err();
    assert!(fault.to_string().ends_with("is incomplete: it has 4096 bytes, the VM has 1048576"), "{fault}");
    assert!(names(&parts.folder.path().join("templates")).is_empty());
}

#[test]
fn another_takes_the_place_of_the_first_only_when_it_is_whole() {
    let parts = Parts::new();
    let templates = parts.folder.path().join("templates");
    // Also where there is none yet.
    let first = sealed(&parts);
    let incomplete = filled(&parts, "one");
    std::fs::remove_file(incomplete.state()).unwrap();
    replace(incomplete, &parts).unwrap_err();
    assert_eq!(Template::open(first.paths().dir()), Ok(first.clone()));

    let second = filled(&parts, "one");
    std::fs::write(second.state(), "another state").unwrap();
    let second = replace(second, &parts).unwrap();
    assert_eq!(Template::open(first.paths().dir()), Ok(second.clone()));
    assert_ne!(first.generation(), second.generation());
    assert_eq!(std::fs::read_to_string(second.state()).unwrap(), "another state");
    assert!(!first.ram().exists() && !first.state().exists(), "a path leads to another generation than it names");
    assert_eq!(names(&templates), ["one"], "the first one is gone");
}

#[test]
fn damage_is_told_and_never_believed() {
    let parts = Parts::new();
    let template = sealed(&parts);
    let paths = template.paths();
    let open = || {
        let why = Template::open(paths.dir()).unwrap_err();
        why.replace(&parts.folder.path().display().to_string(), "/f")
            .replace(template.generation().as_str(), "GENERATION")
    };
    File::options().write(true).open(template.ram()).unwrap().set_len(4096).unwrap();
    insta::assert_snapshot!(open(), @"/f/templates/one/GENERATION.ram has 4096 of its 1048576 bytes");
    std::fs::remove_file(template.ram()).unwrap();
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
    let text = std::fs::read_to_string(sealed(&parts).paths().description()).unwrap();
    let description: serde_json::Value = serde_json::from_str(&text).unwrap();
    let keys: Vec<&String> = description.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["schema", "generation", "created", "ram", "state", "disk", "key", "ingredients"]);
    assert_eq!(description["key"], parts.ingredients().key());
}

/// Its pods would go on reaching the host's loopback.
#[test]
fn a_cluster_saved_while_its_pods_reached_the_host_is_never_restored_where_they_may_not() {
    for (then, now) in [(true, false), (false, true)] {
        let mut parts = Parts::new();
        parts.machine.host_access = then;
        let template = sealed(&parts);
        assert_eq!(template.fits(&parts.ingredients()), Ok(()));
        assert_eq!(parts.ingredients().host_access(), then);
        parts.machine.host_access = now;
        assert_eq!(
            template.fits(&parts.ingredients()),
            Err(format!("guest.host_access was {then} and is {now}")),
            "its RAM would be used"
        );
    }
}

#[test]
fn the_ram_of_one_template_was_restored_with_the_disk_of_another() {
    let parts = Parts::new();
    let template = sealed(&parts);
    let held = template.hold(Duration::ZERO, &Silent).unwrap();
    // Many restore at the same time, and nobody replaces or removes it meanwhile.
    drop(template.hold(Duration::ZERO, &Silent).unwrap());
    let second = filled(&parts, "one");
    let refused = second.replace(parts.machine.memory, &parts.ingredients(), Duration::ZERO, &Silent).unwrap_err();
    assert_eq!(refused.class(), FaultClass::State, "{refused}");
    assert_eq!(remove(template.paths().dir(), Duration::ZERO, &Silent).unwrap_err().class(), FaultClass::State);
    assert_eq!(Template::open(template.paths().dir()).as_ref(), Ok(held.template()));
    drop(held);
    replace(filled(&parts, "one"), &parts).unwrap();
    // Whoever has decided for the former one is told, and gets no part of the new one.
    assert!(matches!(template.hold(Duration::ZERO, &Silent), Err(NotHeld::Replaced)));
    remove(template.paths().dir(), Duration::ZERO, &Silent).unwrap();
    assert!(matches!(template.hold(Duration::ZERO, &Silent), Err(NotHeld::Replaced)));
}

#[test]
fn what_is_held_is_of_one_generation_at_every_moment_of_a_replacement() {
    let parts = Parts::new();
    let folder = sealed(&parts).paths().dir().to_owned();
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
            // Between the decision and the lock another one may come.
            let Ok(template) = Template::open(&folder) else { continue };
            let Ok(one) = template.hold(Duration::from_secs(60), &Silent) else { continue };
            let template = one.template();
            let (state, disk) = (generation_in(template.state()), generation_in(template.paths().disk()));
            let is_first = state == "state" && disk == "disk";
            assert!(is_first || (state == disk && state == template.generation().as_str()), "{state} {disk}");
            held += 1;
        }
        assert!(held > 0, "nothing was seen");
    });
}
