//! Chains, collection and room, with real overlays.

use std::collections::BTreeSet;

use model::ErrorClass;
use model::instance::InstanceName;
use model::paths::SavedStatePaths;
use model::port::Port;
use proptest::prelude::*;
use testkit::{RecordingSink, TempProject};

use std::fs;
use std::path::{Path, PathBuf};

use model::paths::ProjectPaths;
use qemu::qcow2;

use super::directory::{BackingFile, File};
use super::*;

const SIZE: u64 = 20 << 30;

/// A project with an image's disk beside it.
struct Scratch {
    project: TempProject,
    events: RecordingSink,
}

impl Scratch {
    fn new() -> Self {
        let scratch = Scratch { project: TempProject::new(Port::literal(30080)), events: RecordingSink::default() };
        qcow2::create_overlay(&scratch.image(), Path::new("/no/base"), SIZE).unwrap();
        scratch
    }

    fn paths(&self) -> ProjectPaths {
        self.project.paths()
    }

    fn backing_files(&self) -> BackingFiles {
        BackingFiles::of(&self.paths())
    }

    fn locked(&self) -> LockedBackingFiles {
        self.backing_files().lock(&self.events).unwrap()
    }

    fn image(&self) -> PathBuf {
        self.project.root().parent().unwrap().join("root.qcow2")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.paths().disks().join(format!("{name}.qcow2"))
    }

    /// Makes a backing file on another one, or on the image's disk.
    fn make(&self, name: &str, base: Option<&str>) -> PathBuf {
        let (path, base) = (self.path(name), base.map_or_else(|| self.image(), |base| self.path(base)));
        overlay(&path, &base);
        path
    }

    /// The disk of an instance.
    fn instance(&self, suffix: Option<&str>) -> PathBuf {
        let name = suffix.map_or_else(InstanceName::default, |suffix| InstanceName::with_suffix(suffix).unwrap());
        self.paths().instance(&name).disk()
    }

    /// A saved VM with a backing file as its disk.
    fn saved(&self, directory: &Path, backing_file: &Path) -> PathBuf {
        fs::create_dir_all(directory).unwrap();
        let disk = SavedStatePaths::new(directory).disk();
        fs::hard_link(backing_file, &disk).unwrap();
        disk
    }

    /// Collects. Returns the names of the backing files that are left.
    fn left(&self) -> (Collected, BTreeSet<String>) {
        let collected = self.locked().collect(&self.events).unwrap();
        let name = |disk: BackingFile| disk.path.file_stem().unwrap().to_str().unwrap().to_owned();
        (collected, self.backing_files().list().unwrap().into_iter().map(name).collect())
    }
}

fn overlay(disk: &Path, base: &Path) {
    fs::create_dir_all(disk.parent().unwrap()).unwrap();
    qcow2::create_overlay(disk, base, SIZE).unwrap();
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

#[test]
fn a_collection_removes_what_is_in_no_chain_and_nothing_else() {
    let scratch = Scratch::new();
    for (name, base) in [
        ("running", None),
        ("under-a-clone", None),
        ("clone", Some("under-a-clone")),
        ("template", None),
        ("under-a-snapshot", None),
        ("snapshot", Some("under-a-snapshot")),
        ("being-saved", None),
        ("under-nothing", None),
        ("nothing", Some("under-nothing")),
    ] {
        scratch.make(name, base);
    }
    overlay(&scratch.instance(None), &scratch.path("running"));
    overlay(&scratch.instance(Some("one")), &scratch.path("clone"));
    scratch.saved(&scratch.paths().templates().join("KEY"), &scratch.path("template"));
    scratch.saved(&scratch.paths().snapshots().join("before"), &scratch.path("snapshot"));
    scratch.saved(&scratch.paths().snapshots().join(".x.unfinished"), &scratch.path("being-saved"));
    let bytes = File::of(&scratch.path("nothing").metadata().unwrap()).bytes * 2;
    let (collected, left) = scratch.left();
    assert_eq!(collected, Collected { disks: 2, bytes });
    let expected =
        names(["running", "under-a-clone", "clone", "template", "under-a-snapshot", "snapshot", "being-saved"]);
    assert_eq!(left, expected);
    assert_eq!(scratch.left(), (Collected::default(), expected), "a second one finds nothing");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Each backing file is on one that was made before it, or on the image's disk.
    #[test]
    fn after_a_collection_every_disk_can_be_read_and_nothing_else_is_left(
        bases in prop::collection::vec(prop::option::of(any::<prop::sample::Index>()), 1..12),
        instances in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        saved in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
    ) {
        let scratch = Scratch::new();
        let mut lower = Vec::new();
        for (number, base) in bases.iter().enumerate() {
            let base = base.filter(|_| number > 0).map(|base| base.index(number));
            scratch.make(&number.to_string(), base.map(|base| base.to_string()).as_deref());
            lower.push(base);
        }
        let mut roots = Vec::new();
        for (number, index) in instances.iter().enumerate() {
            let base = index.index(bases.len());
            overlay(&scratch.instance(Some(&format!("i{number}"))), &scratch.path(&base.to_string()));
            roots.push(base);
        }
        for (number, index) in saved.iter().enumerate() {
            let base = index.index(bases.len());
            let directory = scratch.paths().snapshots().join(number.to_string());
            scratch.saved(&directory, &scratch.path(&base.to_string()));
            roots.push(base);
        }
        let mut expected = BTreeSet::new();
        for root in roots {
            let mut next = Some(root);
            while let Some(disk) = next {
                expected.insert(disk.to_string());
                next = lower[disk];
            }
        }
        prop_assert_eq!(scratch.left().1, expected);
        for number in 0..instances.len() {
            let chain = scratch.backing_files().chain(&scratch.instance(Some(&format!("i{number}"))));
            prop_assert!(chain.is_ok(), "{chain:?}");
        }
    }
}

#[test]
fn a_save_that_was_killed_at_any_moment_loses_no_disk() {
    let scratch = Scratch::new();
    let disk = scratch.instance(None);
    let being_made = disk.with_file_name("disk.qcow2.overlay");
    let half = disk.with_file_name(".disk.qcow2.overlay.1-0.tmp");
    scratch.make("below", None);
    overlay(&disk, &scratch.path("below"));
    fs::hard_link(&disk, scratch.path("new")).unwrap();
    fs::write(&half, "half").unwrap();
    // The disk is what it was; its other name is no backing file.
    let (collected, left) = scratch.left();
    assert_eq!((collected, left), (Collected { disks: 1, bytes: 0 }, names(["below"])));
    assert!(disk.exists());
    // Only the running VM knows whether it uses the overlay already.
    fs::hard_link(&disk, scratch.path("new")).unwrap();
    overlay(&being_made, &scratch.path("new"));
    assert_eq!(scratch.left().1, names(["below", "new"]));
    fs::rename(&being_made, &disk).unwrap();
    assert_eq!(scratch.left().1, names(["below", "new"]));
    assert_eq!(scratch.backing_files().depth(&disk).unwrap(), 3);
}

#[test]
fn no_backing_file_is_removed_while_a_disk_cannot_be_read() {
    let scratch = Scratch::new();
    scratch.make("a", None);
    overlay(&scratch.instance(None), &scratch.path("a"));
    fs::write(scratch.instance(None), "").unwrap();
    assert_eq!(scratch.left(), (Collected::default(), names(["a"])));
    let warnings = scratch.events.warnings();
    assert!(warnings.iter().all(|text| text.starts_with("no backing file was removed: ")), "{warnings:?}");
    assert_eq!(warnings.len(), 1);
}

#[test]
fn a_chain_ends_with_the_image() {
    let scratch = Scratch::new();
    let disk = scratch.instance(None);
    overlay(&disk, &scratch.image());
    let chain = |layers: &[&Path]| Chain {
        layers: layers.iter().map(|layer| layer.to_path_buf()).collect(),
        image: Some(scratch.image()),
    };
    assert_eq!(scratch.backing_files().chain(&disk).unwrap(), chain(&[&disk]));
    let below = scratch.make("below", None);
    let above = scratch.make("above", Some("below"));
    scratch.locked().overlay(&above, &disk).unwrap();
    assert_eq!(scratch.backing_files().chain(&disk).unwrap(), chain(&[&disk, &above, &below]));
    assert_eq!(qcow2::header(&disk).unwrap().virtual_size, SIZE);
    // A circle, which we never make, ends with an error.
    overlay(&below, &above);
    assert_eq!(scratch.backing_files().chain(&disk).unwrap_err().class(), ErrorClass::Failed);
}

#[test]
fn a_backing_file_that_is_gone_is_named() {
    let scratch = Scratch::new();
    let disk = scratch.instance(None);
    overlay(&disk, &scratch.path("lost"));
    let error = scratch.backing_files().chain(&disk).unwrap_err();
    assert_eq!(error.class(), ErrorClass::State);
    let shown = format!("{error}\n{}", error.next_steps().join("\n"));
    insta::assert_snapshot!(shown.replace(scratch.project.root().to_str().unwrap(), "/project"), @"
    the disk /project/.k3s-vm/vm/disk.qcow2 cannot be read without a backing file that is gone: /project/.k3s-vm/disks/lost.qcow2 is missing
    k3s-vm reset    # makes a new disk; what was written to the old one since cannot be read
    ");
}

#[test]
fn a_project_that_was_moved_finds_its_backing_files_at_the_new_place() {
    let mut scratch = Scratch::new();
    let below = scratch.make("below", None);
    fs::set_permissions(&below, std::os::unix::fs::PermissionsExt::from_mode(0o400)).unwrap();
    scratch.make("above", Some("below"));
    overlay(&scratch.instance(None), &scratch.path("above"));
    // The old place is there again, as after a copy: its backing files belong to another project.
    let old = scratch.project.root().to_owned();
    let moved = TempProject::named("moved", Port::literal(30080));
    fs::remove_dir_all(moved.root()).unwrap();
    fs::rename(&old, moved.root()).unwrap();
    let copy = old.join(".k3s-vm/disks");
    fs::create_dir_all(&copy).unwrap();
    fs::copy(moved.paths().disks().join("above.qcow2"), copy.join("above.qcow2")).unwrap();
    let _copied = std::mem::replace(&mut scratch.project, moved);

    let disk = scratch.instance(None);
    let (above, below) = (scratch.path("above"), scratch.path("below"));
    assert_eq!(scratch.backing_files().chain(&disk).unwrap().layers, [disk.clone(), above.clone(), below.clone()]);
    assert_eq!(scratch.left().1, names(["above", "below"]), "what is named by the old place is not taken for unused");
    assert_eq!(scratch.locked().mend(&disk).unwrap(), 2);
    assert_eq!(qcow2::header(&disk).unwrap().backing_file, Some(above.clone()));
    assert_eq!(qcow2::header(&above).unwrap().backing_file, Some(below));
    assert_eq!(scratch.locked().mend(&disk).unwrap(), 0);
    assert_eq!(fs::metadata(copy.join("above.qcow2")).unwrap().len(), fs::metadata(above).unwrap().len());
}

#[test]
fn a_backing_file_that_a_copy_of_the_project_lacks_is_made_again_from_the_saved_vm() {
    let scratch = Scratch::new();
    let generation = qcow2::new_generation();
    let backing_file = scratch.make(generation.as_str(), None);
    let saved = scratch.saved(&scratch.paths().snapshots().join("s"), &backing_file);
    assert_eq!(scratch.locked().backing_file(&saved, &generation).unwrap(), backing_file);
    // A copy without its hard links.
    fs::remove_file(&backing_file).unwrap();
    for _ in 0..2 {
        assert_eq!(scratch.locked().backing_file(&saved, &generation).unwrap(), backing_file);
    }
    assert!(backing_file.exists());
    assert_eq!(scratch.left().0, Collected::default());
}

#[test]
fn the_directory_of_backing_files_is_private() {
    use std::os::unix::fs::PermissionsExt;

    let scratch = Scratch::new();
    let _locked = scratch.locked();
    assert_eq!(scratch.paths().disks().metadata().unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn what_is_saved_is_counted_once() {
    let scratch = Scratch::new();
    assert_eq!(room::saved(&scratch.paths(), None).unwrap(), 0);
    let backing_file = scratch.make("a", None);
    let directory = scratch.paths().snapshots().join("s");
    scratch.saved(&directory, &backing_file);
    let ram = SavedStatePaths::new(&directory).ram(&qcow2::new_generation());
    fs::write(&ram, [1; 10_000]).unwrap();
    let bytes = |path: &Path| File::of(&path.metadata().unwrap()).bytes;
    let ram = bytes(&ram);
    assert_eq!(room::saved(&scratch.paths(), None).unwrap(), bytes(&backing_file) + ram);
    assert_eq!(room::saved(&scratch.paths(), Some(&directory)).unwrap(), bytes(&backing_file), "what is replaced");
}
