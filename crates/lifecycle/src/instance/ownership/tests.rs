//! A table of processes and their owners, and the property that in doubt a process is not ours.

use proptest::prelude::*;

use super::*;

/// Three directories that are there: this project, another one, and one that is no project.
struct World(tempfile::TempDir);

impl World {
    fn new() -> Self {
        let world = World(tempfile::tempdir().expect("a directory"));
        for directory in ["this/.k3s-vm/vm", "other/.k3s-vm/vm", "other/.k3s-vm/instances/ci/vm", "elsewhere"] {
            std::fs::create_dir_all(world.path(directory)).expect("a directory");
        }
        world
    }
    fn path(&self, relative: &str) -> PathBuf {
        self.0.path().canonicalize().expect("it is there").join(relative)
    }
    /// `ROOT` in a word stands for the world's directory.
    fn process(&self, words: &str, is_own: bool) -> ProcessInfo {
        let root = self.path("").display().to_string();
        let root = root.trim_end_matches('/');
        let arguments = words.split(' ').map(|word| word.replace("ROOT", root).into()).collect();
        ProcessInfo { pid: 1, user: "me".to_owned(), is_own, arguments }
    }
    fn directory(&self, text: &str) -> WorkingDirectory {
        use std::os::unix::fs::MetadataExt;
        match text {
            "removed" => WorkingDirectory::Removed,
            "unseen" => WorkingDirectory::Unseen,
            relative => {
                let path = self.path(relative);
                let metadata = std::fs::metadata(&path).expect("it is there");
                WorkingDirectory::At { path, inode: (metadata.dev(), metadata.ino()) }
            }
        }
    }
    fn owner(&self, process: &ProcessInfo, directory: &WorkingDirectory) -> Owner {
        let project = ProjectPaths::new(self.path("this"));
        owner(Asker { name: &InstanceName::default(), project: &project }, process, directory)
    }
    fn shown(&self, owner: &Owner) -> String {
        let relative = |path: &Path| path.strip_prefix(self.path("")).expect("below the root").display().to_string();
        match owner {
            Owner::Instance => "ours".to_owned(),
            Owner::GoneProject { project } => format!("of {}, which is gone", relative(project)),
            Owner::OtherProject { project, instance } => format!("{instance} of {}", relative(project)),
            Owner::Stranger => "a stranger".to_owned(),
        }
    }
}

/// Command line, working directory, and the owner when the process runs as this user.
const TABLE: &[(&str, &str, &str)] = &[
    // Started by this tool for this instance, under whatever name QEMU has.
    ("/usr/bin/qemu-system-x86_64 -name k3s-vm -pidfile ROOT/this/.k3s-vm/vm.pid", "this/.k3s-vm/vm", "ours"),
    (".qemu-system-x86_64-wrapped -name k3s-vm -pidfile ROOT/this/.k3s-vm/vm.pid", "this/.k3s-vm/vm", "ours"),
    ("qemu-kvm -name guest=k3s-vm,process=x -pidfile ROOT/this/.k3s-vm/vm.pid", "this/.k3s-vm/vm", "ours"),
    // The project was moved here from another place while it ran.
    ("qemu-system-x86_64 -name k3s-vm -pidfile ROOT/was/.k3s-vm/vm.pid", "this/.k3s-vm/vm", "ours"),
    // The project's directory was removed and made again.
    ("qemu-system-x86_64 -name k3s-vm -pidfile ROOT/this/.k3s-vm/vm.pid", "removed", "ours"),
    // A script of this project's started it on a disk of ours.
    ("qemu-system-x86_64 -name k3s-vm -drive if=virtio,file=ROOT/this/.k3s-vm/vm/nixos.qcow2", "elsewhere", "ours"),
    (
        "qemu-system-x86_64 -name k3s-vm -blockdev {\"filename\":\"ROOT/this/.k3s-vm/vm/disk.qcow2\"}",
        "elsewhere",
        "ours",
    ),
    // It was moved away from here, and another project has the place now: this one.
    ("qemu-system-x86_64 -name k3s-vm -pidfile ROOT/this/.k3s-vm/vm.pid", "other/.k3s-vm/vm", "k3s-vm of other"),
    // Gone: the directory was removed, or moved out of any project while the project went.
    ("qemu-system-x86_64 -name k3s-vm -pidfile ROOT/was/.k3s-vm/vm.pid", "removed", "of was, which is gone"),
    ("qemu-system-x86_64 -name k3s-vm -pidfile ROOT/was/.k3s-vm/vm.pid", "elsewhere", "of was, which is gone"),
    (
        "qemu-system-x86_64 -name k3s-vm-ci -pidfile ROOT/was/.k3s-vm/instances/ci/vm.pid",
        "removed",
        "of was, which is gone",
    ),
    // Another project's, with or without its state file: that project stops it.
    ("qemu-system-x86_64 -name k3s-vm -pidfile ROOT/other/.k3s-vm/vm.pid", "other/.k3s-vm/vm", "k3s-vm of other"),
    ("qemu-system-x86_64 -name k3s-vm -pidfile ROOT/other/.k3s-vm/vm.pid", "elsewhere", "k3s-vm of other"),
    (
        "qemu-system-x86_64 -name k3s-vm-ci -pidfile ROOT/other/.k3s-vm/instances/ci/vm.pid",
        "other/.k3s-vm/instances/ci/vm",
        "k3s-vm-ci of other",
    ),
    // Another instance of this project.
    (
        "qemu-system-x86_64 -name k3s-vm-ci -pidfile ROOT/this/.k3s-vm/instances/ci/vm.pid",
        "removed",
        "of this, which is gone",
    ),
    // Names alone prove nothing.
    ("qemu-system-x86_64 -name k3s-vm", "elsewhere", "a stranger"),
    ("qemu-system-x86_64 -name k3s-vm", "this/.k3s-vm/vm", "a stranger"),
    ("qemu-system-x86_64 -name k3s-vm", "removed", "a stranger"),
    ("qemu-system-x86_64 -name k3s-vm -pidfile ROOT/was/vm.pid", "removed", "a stranger"),
    ("qemu-system-x86_64 -name k3s-vm -pidfile .k3s-vm/vm.pid", "removed", "a stranger"),
    ("qemu-system-x86_64 -name k3s-vm -pidfile ROOT/x/../was/.k3s-vm/vm.pid", "removed", "a stranger"),
    ("qemu-system-x86_64 -name k3s-vm -drive file=ROOT/this/backup.k3s-vm/vm/a.qcow2", "elsewhere", "a stranger"),
    // A name and a directory that do not belong together.
    ("qemu-system-x86_64 -name k3s-vm-ci -pidfile ROOT/this/.k3s-vm/vm.pid", "this/.k3s-vm/vm", "a stranger"),
    ("qemu-system-x86_64 -name k3s-vm2 -pidfile ROOT/this/.k3s-vm/vm.pid", "this/.k3s-vm/vm", "a stranger"),
    ("qemu-system-x86_64 -name web -pidfile ROOT/this/.k3s-vm/vm.pid", "this/.k3s-vm/vm", "a stranger"),
    ("qemu-system-x86_64 -pidfile ROOT/this/.k3s-vm/vm.pid", "this/.k3s-vm/vm", "a stranger"),
    (
        "qemu-system-x86_64 -name k3s-vm-ci -pidfile ROOT/was/.k3s-vm/instances/ci/vm.pid",
        "other/.k3s-vm/vm",
        "a stranger",
    ),
    // Not a QEMU, whatever it says.
    ("vi qemu-system-x86_64 -name k3s-vm -pidfile ROOT/this/.k3s-vm/vm.pid", "this/.k3s-vm/vm", "a stranger"),
    ("sleep -name k3s-vm -pidfile ROOT/was/.k3s-vm/vm.pid", "removed", "a stranger"),
    ("", "removed", "a stranger"),
    // In a container, where the same path is another directory.
    ("qemu-system-x86_64 -name k3s-vm -pidfile ROOT/this/.k3s-vm/vm.pid", "unseen", "a stranger"),
    ("qemu-system-x86_64 -name k3s-vm -pidfile ROOT/was/.k3s-vm/vm.pid", "unseen", "a stranger"),
];

#[test]
fn processes_and_their_owners() {
    let world = World::new();
    for (words, directory, expected) in TABLE {
        let owner = world.owner(&world.process(words, true), &world.directory(directory));
        assert_eq!(world.shown(&owner), *expected, "{words} in {directory}");
    }
}

#[test]
fn another_users_process_is_never_ended_but_its_project_is_named() {
    let world = World::new();
    for (words, directory, as_own) in TABLE {
        let owner = world.owner(&world.process(words, false), &world.directory(directory));
        let expected = if as_own.contains(" of other") { as_own } else { "a stranger" };
        assert_eq!(world.shown(&owner), *expected, "{words} in {directory}");
    }
}

#[test]
fn a_copy_of_a_project_has_no_part_in_the_original_vm() {
    let world = World::new();
    // The copy has the same files, the state file included; the directory in which QEMU works is the original's.
    let process = world.process("qemu-system-x86_64 -name k3s-vm -pidfile ROOT/other/.k3s-vm/vm.pid", true);
    assert_eq!(world.shown(&world.owner(&process, &world.directory("other/.k3s-vm/vm"))), "k3s-vm of other");
}

/// Words that come near to ours.
fn word() -> impl Strategy<Value = String> {
    let near = proptest::sample::select(vec![
        "qemu-system-x86_64",
        "/usr/bin/python3",
        "-name",
        "k3s-vm",
        "k3s-vm-ci",
        "k3s",
        "-pidfile",
        "ROOT/this/.k3s-vm/vm.pid",
        "ROOT/other/.k3s-vm/vm.pid",
        "ROOT/was/.k3s-vm/vm.pid",
        "ROOT/was/.k3s-vm/instances/ci/vm.pid",
        "-drive",
        "file=ROOT/was/.k3s-vm/vm/disk.qcow2",
        "-blockdev",
        "{}",
    ]);
    prop_oneof![8 => near.prop_map(str::to_owned), 1 => "[!-~]{1,12}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn what_is_ended_is_a_qemu_of_this_user_that_bears_our_name_and_is_in_no_other_project(
        // Most runs begin as ours do: otherwise nearly all of them would be strangers at once.
        begin in proptest::sample::select(vec!["", "qemu-system-x86_64 -name k3s-vm", "qemu-system-x86_64 -name"]),
        rest in proptest::collection::vec(word(), 0..6),
        is_own: bool,
        directory in prop_oneof![
            Just("removed"), Just("unseen"), Just("elsewhere"), Just("this/.k3s-vm/vm"), Just("other/.k3s-vm/vm"),
        ],
    ) {
        thread_local!(static WORLD: World = World::new());
        let words: Vec<String> = begin.split_whitespace().map(str::to_owned).chain(rest).collect();
        let (process, owner) = WORLD.with(|world| {
            let process = world.process(&words.join(" "), is_own);
            let owner = world.owner(&process, &world.directory(directory));
            (process, owner)
        });
        if matches!(owner, Owner::Instance | Owner::GoneProject { .. }) {
            prop_assert!(is_own && is_vm(&process), "{words:?}");
            prop_assert!(words[0].contains("qemu"), "{words:?}");
            prop_assert!(words.windows(2).any(|pair| pair[0] == "-name" && pair[1].starts_with("k3s-vm")), "{words:?}");
            prop_assert!(words.iter().any(|word| word.contains("/.k3s-vm/")), "{words:?}");
            prop_assert!(directory != "unseen" && directory != "other/.k3s-vm/vm", "{words:?} in {directory}");
        }
    }
}
