//! Tests with scripted package managers in a search path of their own.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;

use model::Event;

use super::system::Privilege;
use super::*;

const DEBIAN: &str = "ID=debian\nVERSION_CODENAME=bookworm\n";

const EMULATOR: Requirement = Requirement {
    program: "fake-emulator",
    apt: "qemu-system-x86",
    dnf: "qemu-system-x86-core",
    pacman: "qemu-system-x86",
    purpose: "runs the VM",
};
const DISK_TOOL: Requirement = Requirement {
    program: "fake-disk-tool",
    apt: "qemu-utils",
    dnf: "qemu-img",
    pacman: "qemu-img",
    purpose: "makes disks",
};

/// A machine with scripted programs.
struct Machine {
    directory: tempfile::TempDir,
    system: System,
}

impl Machine {
    fn new(os_release: &str, privilege: Privilege) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let programs = directory.path().join("bin");
        let apt_lists = directory.path().join("lists");
        fs::create_dir(&programs).unwrap();
        fs::create_dir(&apt_lists).unwrap();
        fs::write(apt_lists.join("mirror_dists_bookworm_main_binary-amd64_Packages.lz4"), "").unwrap();
        let search_path = std::env::join_paths([programs.as_path(), "/usr/bin".as_ref(), "/bin".as_ref()]).unwrap();
        let system = System {
            search_path: Some(search_path),
            os_release: os_release.to_owned(),
            privilege,
            terminal: false,
            apt_lists,
            deadline: std::time::Duration::from_secs(600),
        };
        Machine { directory, system }
    }

    /// Adds a program. Its script sees the machine's directory as `$M`; every call is recorded.
    fn with(self, name: &str, script: &str) -> Self {
        let path = self.program(name);
        let machine = host::command::quote(self.directory.path().as_os_str());
        let text = format!(
            "#!/bin/sh\nM={machine}\nadd() {{ for p; do printf '#!/bin/sh\\n' > \"$M/bin/$p\"; \
             chmod 755 \"$M/bin/$p\"; done; }}\necho \"{name} $*\" >> \"$M/calls\"\n{script}\n"
        );
        // Written by a program of its own: a file that this process has open for writing cannot be executed, and a
        // program that another test starts at this moment would have it open.
        let script = "cat > \"$0\" && chmod 755 \"$0\"";
        host::command::Command::new("sh").args(["-c", script]).arg(&path).input(text).run().unwrap();
        self
    }

    fn program(&self, name: &str) -> PathBuf {
        self.directory.path().join("bin").join(name)
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.directory.path().join("calls")).unwrap_or_default()
    }
}

/// Gives a fixed answer and records the question.
struct Answer(bool, RefCell<String>);

impl Answer {
    fn yes() -> Self {
        Answer(true, RefCell::default())
    }
    fn no() -> Self {
        Answer(false, RefCell::default())
    }
}

impl Consent for Answer {
    fn ask(&self, question: &str) -> Result<bool> {
        question.clone_into(&mut self.1.borrow_mut());
        Ok(self.0)
    }
}

#[derive(Default)]
struct Recorder(Mutex<Vec<Event>>);

impl EventSink for Recorder {
    fn emit(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Recorder {
    /// Everything but the debug lines.
    fn shown(self) -> String {
        let lines: Vec<String> = self
            .0
            .into_inner()
            .unwrap()
            .into_iter()
            .filter_map(|event| match event {
                Event::Progress { message, .. } => Some(message),
                Event::TaskFinished { task } => Some(format!("[{task} finished]")),
                Event::Note { text } => Some(format!("note: {text}")),
                Event::Warning { text } => Some(format!("warning: {text}")),
                _ => None,
            })
            .collect();
        lines.join("\n")
    }
}

const WORKING_APT: &str = r#"
echo '0 upgraded, 2 newly installed, 0 to remove and 1 not upgraded.'
echo 'Setting up qemu-system-x86 (1:7.2) ...'
echo 'Setting up qemu-utils (1:7.2) ...'
add fake-emulator fake-disk-tool"#;

fn ensure_both(machine: &Machine, consent: &Answer, events: &Recorder) -> Result<()> {
    ensure_on(&machine.system, &[EMULATOR, DISK_TOOL], consent, events)
}

fn whole(error: &Error) -> String {
    let steps: Vec<String> = error.next_steps().iter().map(|step| format!("-> {step}")).collect();
    format!("{}: {}\n{}\n{}", error.class().name(), error.what(), error.why().join("\n"), steps.join("\n"))
}

#[test]
fn installed_programs_need_no_consent() {
    let machine = Machine::new(DEBIAN, Privilege::Root).with("fake-emulator", "").with("fake-disk-tool", "");
    let consent = Answer::no();
    ensure_both(&machine, &consent, &Recorder::default()).unwrap();
    assert_eq!(*consent.1.borrow(), "");
}

#[test]
fn without_consent_nothing_runs_and_the_command_is_named() {
    let machine = Machine::new(DEBIAN, Privilege::Sudo).with("apt-get", WORKING_APT).with("sudo", "");
    let consent = Answer::no();
    let error = ensure_both(&machine, &consent, &Recorder::default()).unwrap_err();
    assert_eq!(machine.calls(), "");
    insta::assert_snapshot!(consent.1.borrow(), @r"
    This machine lacks:
      fake-emulator (package qemu-system-x86), which runs the VM
      fake-disk-tool (package qemu-utils), which makes disks
    Install with `sudo apt-get install --no-install-recommends qemu-system-x86 qemu-utils`?
    ");
    insta::assert_snapshot!(whole(&error), @r"
    host: this machine lacks fake-emulator, fake-disk-tool
    fake-emulator (package qemu-system-x86), which runs the VM
    fake-disk-tool (package qemu-utils), which makes disks
    -> sudo apt-get install --no-install-recommends qemu-system-x86 qemu-utils
    -> or run the command again with --yes, which installs them
    ");
}

#[test]
fn installs_with_progress() {
    let machine = Machine::new(DEBIAN, Privilege::Root).with("apt-get", WORKING_APT);
    let events = Recorder::default();
    ensure_both(&machine, &Answer::yes(), &events).unwrap();
    insta::assert_snapshot!(machine.calls(), @"apt-get -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 --no-remove install --no-install-recommends -y qemu-system-x86 qemu-utils");
    insta::assert_snapshot!(events.shown(), @r"
    0 upgraded, 2 newly installed, 0 to remove and 1 not upgraded.
    Setting up qemu-system-x86 (1:7.2) ...
    Setting up qemu-utils (1:7.2) ...
    [packages finished]
    note: installed qemu-system-x86, qemu-utils
    ");
}

#[test]
fn apt_asks_nothing_and_prints_english() {
    let machine = Machine::new(DEBIAN, Privilege::Root).with(
        "apt-get",
        r#"[ "$DEBIAN_FRONTEND $LC_ALL" = "noninteractive C" ] || exit 9; add fake-emulator fake-disk-tool"#,
    );
    ensure_both(&machine, &Answer::yes(), &Recorder::default()).unwrap();
}

#[test]
fn only_what_is_missing_is_installed() {
    let machine = Machine::new(DEBIAN, Privilege::Root).with("apt-get", "add fake-emulator").with("fake-disk-tool", "");
    ensure_both(&machine, &Answer::yes(), &Recorder::default()).unwrap();
    assert!(machine.calls().trim_end().ends_with(" -y qemu-system-x86"), "{}", machine.calls());
}

#[test]
fn goes_through_sudo_without_a_question() {
    let machine = Machine::new(DEBIAN, Privilege::Sudo)
        .with("apt-get", WORKING_APT)
        .with("sudo", r#"[ "$1" = -n ] || exit 1; shift; exec "$@""#);
    ensure_both(&machine, &Answer::yes(), &Recorder::default()).unwrap();
    let calls = machine.calls();
    let programs: Vec<&str> = calls.lines().map(|line| line.split(" -o").next().unwrap()).collect();
    assert_eq!(programs, ["sudo -n true", "sudo -n env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get", "apt-get"]);
}

#[test]
fn a_password_cannot_be_asked_for_without_a_terminal() {
    let machine = Machine::new(DEBIAN, Privilege::Sudo)
        .with("apt-get", WORKING_APT)
        .with("sudo", "echo 'sudo: a password is required' >&2; exit 1");
    let error = ensure_both(&machine, &Answer::yes(), &Recorder::default()).unwrap_err();
    insta::assert_snapshot!(whole(&error), @r"
    host: cannot install qemu-system-x86, qemu-utils
    sudo asks for a password
    there is no terminal to type it on
    -> sudo apt-get install --no-install-recommends qemu-system-x86 qemu-utils
    ");
}

#[test]
fn a_user_who_cannot_become_root_installs_nothing() {
    let machine = Machine::new(DEBIAN, Privilege::Ordinary).with("apt-get", WORKING_APT);
    let error = ensure_both(&machine, &Answer::yes(), &Recorder::default()).unwrap_err();
    assert_eq!(machine.calls(), "");
    insta::assert_snapshot!(whole(&error), @r"
    host: cannot install qemu-system-x86, qemu-utils
    only root can install packages
    this user is not root, and sudo is not installed
    -> su -c 'apt-get install --no-install-recommends qemu-system-x86 qemu-utils'
    ");
}

#[test]
fn lists_are_fetched_first_where_there_are_none() {
    let machine = Machine::new(DEBIAN, Privilege::Root)
        .with("apt-get", r#"case "$*" in *update) ;; *) add fake-emulator fake-disk-tool;; esac"#);
    fs::remove_dir_all(&machine.system.apt_lists).unwrap();
    ensure_both(&machine, &Answer::yes(), &Recorder::default()).unwrap();
    assert_eq!(verbs(&machine), ["update", "install"]);
    let calls = machine.calls();
    assert!(!calls.lines().next().unwrap().contains("--no-remove"), "an update does not know it: {calls}");
}

#[test]
fn stale_lists_are_fetched_once() {
    let script = r#"
case "$*" in *update) touch "$M/fetched"; exit 0;; esac
[ -e "$M/fetched" ] || { echo 'E: Unable to locate package qemu-utils' >&2; exit 100; }
add fake-emulator fake-disk-tool"#;
    let machine = Machine::new(DEBIAN, Privilege::Root).with("apt-get", script);
    ensure_both(&machine, &Answer::yes(), &Recorder::default()).unwrap();
    assert_eq!(verbs(&machine), ["install", "update", "install"]);

    let script = "case \"$*\" in *update) ;; *) echo 'E: Unable to locate package qemu-utils' >&2; exit 100;; esac";
    let machine = Machine::new(DEBIAN, Privilege::Root).with("apt-get", script);
    let error = ensure_both(&machine, &Answer::yes(), &Recorder::default()).unwrap_err();
    assert_eq!(verbs(&machine), ["install", "update", "install"]);
    assert_eq!(error.class(), ErrorClass::Host);
    assert_eq!(error.why()[..2], ["`apt-get` failed with exit code 100", "E: Unable to locate package qemu-utils"]);
}

/// An apt that knows the backports.
const POLICY: &str = "echo ' 100 http://mirror/debian bookworm-backports/main amd64 Packages'
echo '     release o=Debian Backports,a=stable-backports,n=bookworm-backports,l=Debian Backports,c=main,b=amd64'";

/// An apt that can install the emulator from the backports only.
const APT_WITH_A_BACKPORT: &str = r#"
case "$*" in
*"-t bookworm-backports"*) add fake-emulator;;
*) echo 'The following packages will be REMOVED:'; echo '  qemu-utils'
   echo 'E: Packages need to be removed but remove is disabled.' >&2; exit 100;;
esac"#;

#[test]
fn an_installed_backport_brings_the_rest_from_its_suite_and_nothing_is_downgraded() {
    let machine = Machine::new(DEBIAN, Privilege::Root)
        .with("apt-get", APT_WITH_A_BACKPORT)
        .with("apt-cache", POLICY)
        .with("fake-disk-tool", "");
    let (answer, events) = (Answer::yes(), Recorder::default());
    ensure_both(&machine, &answer, &events).unwrap();
    let calls = machine.calls();
    let runs: Vec<&str> = calls.lines().filter(|line| line.starts_with("apt-get")).collect();
    assert!(runs.iter().all(|line| line.contains(" --no-remove ") && !line.contains("downgrade")), "{calls}");
    assert!(runs[1].ends_with("install -t bookworm-backports --no-install-recommends -y qemu-system-x86"), "{calls}");
    insta::assert_snapshot!(answer.1.take(), @r"
    The packages do not fit what is installed.
    Install with `apt-get install -t bookworm-backports --no-install-recommends qemu-system-x86`?
    ");
    insta::assert_snapshot!(events.shown(), @r"
    The following packages will be REMOVED:
    qemu-utils
    E: Packages need to be removed but remove is disabled.
    warning: taking qemu-system-x86 from bookworm-backports
    [packages finished]
    note: installed qemu-system-x86
    ");
}

#[test]
fn consent_to_an_ordinary_installation_downgraded_packages_and_now_the_error_has_the_command() {
    // Only a downgrade would help: apt knows no backports any more.
    let machine = Machine::new(DEBIAN, Privilege::Root)
        .with("apt-get", APT_WITH_A_BACKPORT)
        .with("apt-cache", "")
        .with("fake-disk-tool", "");
    let error = ensure_both(&machine, &Answer::yes(), &Recorder::default()).unwrap_err();
    assert_eq!(verbs(&machine), ["install"], "there is no second try");
    assert!(!machine.calls().contains("downgrade"), "{}", machine.calls());
    assert!(error.why().contains(&"it would not fit what is installed".to_owned()), "{error}");
    insta::assert_snapshot!(error.next_steps().join("\n"), @"apt-get install --no-install-recommends qemu-system-x86    # apt names what it would remove or make older, and asks");
}

#[test]
fn a_conflict_that_stays_is_reported_after_one_more_try() {
    let script = "echo 'The following packages have unmet dependencies:'
echo ' qemu-utils : Breaks: qemu-system-x86 (< 1:10.0) but 1:7.2 is to be installed'
echo 'E: Unable to correct problems, you have held broken packages.' >&2; exit 100";
    let machine = Machine::new(DEBIAN, Privilege::Root)
        .with("apt-get", script)
        .with("apt-cache", POLICY)
        .with("fake-disk-tool", "");
    let error = ensure_both(&machine, &Answer::yes(), &Recorder::default()).unwrap_err();
    assert_eq!(verbs(&machine), ["install", "install"]);
    assert!(error.why().contains(&"it would not fit what is installed".to_owned()), "{error}");
}

#[test]
fn an_interrupted_dpkg_names_the_repair() {
    let script = "echo \"E: dpkg was interrupted, you must manually run 'dpkg --configure -a'\" >&2; exit 100";
    let machine = Machine::new(DEBIAN, Privilege::Root).with("apt-get", script);
    let error = ensure_both(&machine, &Answer::yes(), &Recorder::default()).unwrap_err();
    assert_eq!(error.next_steps()[0], "dpkg --configure -a");
}

#[test]
fn an_installation_without_the_program_is_an_error() {
    let machine = Machine::new(DEBIAN, Privilege::Root).with("apt-get", "exit 0");
    let error = ensure_both(&machine, &Answer::yes(), &Recorder::default()).unwrap_err();
    assert_eq!(error.what(), "this machine lacks fake-emulator, fake-disk-tool");
    assert_eq!(error.why().last().unwrap(), "the packages are installed, yet the programs are not in PATH");
}

#[test]
fn the_other_families_have_their_own_commands() {
    for (os_release, program, expected) in [
        ("ID=fedora\n", "dnf", "dnf install --setopt=install_weak_deps=False -y qemu-system-x86-core qemu-img\n"),
        ("ID=arch\n", "pacman", "pacman -S --needed --noconfirm qemu-system-x86 qemu-img\n"),
    ] {
        let machine = Machine::new(os_release, Privilege::Root).with(program, "add fake-emulator fake-disk-tool");
        ensure_both(&machine, &Answer::yes(), &Recorder::default()).unwrap();
        assert_eq!(machine.calls(), expected);
    }
}

#[test]
fn an_error_on_an_unknown_system_names_the_programs() {
    let machine = Machine::new("ID=nixos\n", Privilege::Root);
    let error = ensure_both(&machine, &Answer::yes(), &Recorder::default()).unwrap_err();
    insta::assert_snapshot!(whole(&error), @r"
    host: this machine lacks fake-emulator, fake-disk-tool
    fake-emulator, which runs the VM
    fake-disk-tool, which makes disks
    its package manager is not known here (neither apt, dnf nor pacman by /etc/os-release)
    -> install fake-emulator, fake-disk-tool as your system does it
    ");
}

/// The verbs that apt-get was called with.
fn verbs(machine: &Machine) -> Vec<&'static str> {
    let calls = machine.calls();
    let runs = calls.lines().filter(|line| line.starts_with("apt-get") || line.starts_with("sudo"));
    runs.map(|line| if line.contains(" update") { "update" } else { "install" }).collect()
}

#[test]
fn a_program_that_two_steps_need_is_named_once() {
    let machine = Machine::new(DEBIAN, Privilege::Root);
    let missing =
        missing(&machine.system, &[EMULATOR, DISK_TOOL, Requirement { purpose: "checks disks", ..DISK_TOOL }]);
    let programs: Vec<&str> = missing.iter().map(|requirement| requirement.program).collect();
    assert_eq!(programs, ["fake-emulator", "fake-disk-tool"]);
}
