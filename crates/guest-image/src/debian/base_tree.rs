//! Builds the part of a Debian guest that consists of packages: a tar archive made by mmdebstrap.
//!
//! Of the project's own files it has only what the recipe's customisation script adds.

use std::path::{Path, PathBuf};
use std::time::Duration;

use host::command::Command;
use model::{Error, ErrorClass, Event, EventSink, Result};

use super::recipe::{Recipe, SUITE};
use super::tree_owner::TreeOwner;
use crate::architecture::Architecture;
use crate::fingerprint::Fingerprint;

/// The file name of the archive in the cached part.
const ARCHIVE: &str = "tree.tar";
/// The task name in events.
const TASK: &str = "packages";

/// Debian's keys, which verify the packages. Other systems have a package with this name, too.
const KEYRING: &str = "usr/share/keyrings/debian-archive-keyring.gpg";

/// The fingerprint of the tree. The mirror and its current versions of packages do not count.
pub(super) fn fingerprint(recipe: &Recipe, architecture: Architecture) -> Fingerprint {
    Fingerprint::of("debian base tree")
        .with("suite", SUITE)
        .with("architecture", architecture.debian)
        .with("packages", recipe.packages.join(" "))
        .with("leave out", recipe.leave_out.join("\n"))
        .with("customize", &recipe.customize)
}

/// The path of the archive in a cached part.
pub(super) fn archive(part: &Path) -> PathBuf {
    part.join(ARCHIVE)
}

/// Builds the archive in `into`.
///
/// # Errors
/// The output of mmdebstrap, with its command.
pub(super) fn build(
    into: &Path,
    recipe: &Recipe,
    architecture: Architecture,
    owner: TreeOwner,
    deadline: Duration,
    events: &dyn EventSink,
) -> Result<()> {
    let root = Path::new("/");
    check_keyring(root)?;
    let mirrors = super::apt_sources::mirror_lines(&super::apt_sources::of_host(root));
    let mut progress = PackageProgress::default();
    let result = command(&archive(into), recipe, architecture, owner, &mirrors).deadline(deadline).run_streaming(
        events,
        &mut |line| {
            if let Some(event) = progress.take(line) {
                events.emit(event);
            }
        },
    );
    events.emit(Event::TaskFinished { task: TASK.to_owned() });
    result.map_err(|error| explain(error, &progress))
}

fn check_keyring(root: &Path) -> Result<()> {
    let keyring = root.join(KEYRING);
    if keyring.is_file() {
        return Ok(());
    }
    Err(Error::new(ErrorClass::Host, "Debian's packages cannot be verified on this host")
        .because(format!("{} is not there", keyring.display()))
        .next("install the package debian-archive-keyring (Ubuntu, Fedora, Arch: same name)"))
}

fn command(
    archive: &Path,
    recipe: &Recipe,
    architecture: Architecture,
    owner: TreeOwner,
    mirrors: &[String],
) -> Command {
    let exclusions = recipe.leave_out.iter().map(|pattern| format!("--dpkgopt=path-exclude={pattern}"));
    Command::new("mmdebstrap")
        .arg("--verbose")
        .arg(format!("--mode={}", owner.mmdebstrap_mode()))
        .arg("--variant=minbase")
        .arg("--format=tar")
        .arg(format!("--architectures={}", architecture.debian))
        .arg("--aptopt=Acquire::Languages \"none\"")
        .arg("--aptopt=Acquire::Retries \"3\"")
        .args(exclusions)
        .arg(format!("--include={}", recipe.packages.join(",")))
        // The text instead of the file, which users of a namespace may be unable to read.
        .arg(format!("--customize-hook={}", recipe.customize))
        .arg(SUITE)
        .arg(archive)
        .args(mirrors)
        .env("LC_ALL", "C.UTF-8")
}

fn explain(error: Error, progress: &PackageProgress) -> Error {
    let error = error.context("the packages of the guest image cannot be installed");
    match progress.unreachable {
        true => error.next("`sudo apt-get update` shows whether this host reaches its Debian mirror"),
        false => error,
    }
}

/// Reads progress from the output of apt and dpkg.
#[derive(Debug, Default)]
struct PackageProgress {
    done: u64,
    total: u64,
    unreachable: bool,
}

impl PackageProgress {
    fn take(&mut self, line: &str) -> Option<Event> {
        if line.contains("Failed to fetch") || line.contains("Could not connect") || line.contains("Could not resolve")
        {
            self.unreachable = true;
        }
        let message = if let Some(words) = line.strip_prefix("Get:") {
            // Get:12 http://… trixie/main amd64 runc amd64 1.1.15 [3 MB]
            format!("fetching {}", words.split_whitespace().nth(4)?)
        } else if let Some(rest) = line.strip_prefix("Unpacking ") {
            format!("unpacking {}", package(rest)?)
        } else if let Some(rest) = line.strip_prefix("Setting up ") {
            self.done += 1;
            format!("setting up {}", package(rest)?)
        } else if line.starts_with("I: ") && line.contains("creating tarball") {
            "packing the tree".to_owned()
        } else {
            // 0 upgraded, 113 newly installed, 0 to remove and 0 not upgraded.
            let (_, rest) = line.split_once(" upgraded, ")?;
            self.total += rest.split_whitespace().next()?.parse::<u64>().ok()?;
            return None;
        };
        let counted = self.total > 0;
        Some(Event::Progress {
            task: TASK.to_owned(),
            message,
            done: counted.then_some(self.done),
            total: counted.then_some(self.total.max(self.done)),
        })
    }
}

/// The package name in "libc6:amd64 (2.41-12) ...".
fn package(text: &str) -> Option<&str> {
    text.split([':', ' ']).next().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const AMD64: Architecture = Architecture { name: "x86_64", debian: "amd64" };

    fn recipe() -> Recipe {
        Recipe {
            packages: vec!["runc".into(), "systemd".into()],
            leave_out: vec!["/usr/share/doc/*".into()],
            customize: "true".into(),
            initrd_modules: vec!["virtio_blk".into()],
            initrd_init: b"#!".to_vec(),
        }
    }

    #[test]
    fn the_command_line() {
        let line = |owner, mirrors: &[String]| {
            command(Path::new("/cache/tree.tar"), &recipe(), AMD64, owner, mirrors).display().replace(" --", "\n --")
        };
        insta::assert_snapshot!(
            line(TreeOwner::Root, &["deb http://mirror.example/debian trixie main".into()]), @r#"
        LC_ALL=C.UTF-8 mmdebstrap
         --verbose '--mode=root' '--variant=minbase' '--format=tar' '--architectures=amd64' '--aptopt=Acquire::Languages "none"' '--aptopt=Acquire::Retries "3"' '--dpkgopt=path-exclude=/usr/share/doc/*' '--include=runc,systemd' '--customize-hook=true' trixie /cache/tree.tar 'deb http://mirror.example/debian trixie main'
        "#);
        assert!(line(TreeOwner::UserNamespace, &[]).contains("--mode=unshare"));
    }

    #[test]
    fn a_host_without_debians_keys_is_an_error_that_names_the_package() {
        let root = tempfile::tempdir().unwrap();
        let error = check_keyring(root.path()).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Host);
        assert!(error.next_steps()[0].contains("debian-archive-keyring"));
        let keyring = root.path().join(KEYRING);
        std::fs::create_dir_all(keyring.parent().unwrap()).unwrap();
        std::fs::write(keyring, "").unwrap();
        check_keyring(root.path()).unwrap();
    }

    #[test]
    fn the_key_depends_on_what_makes_the_tree_and_nothing_else() {
        let key = |recipe: &Recipe| fingerprint(recipe, AMD64).key();
        let base = key(&recipe());
        let with = |change: fn(&mut Recipe)| {
            let mut changed = recipe();
            change(&mut changed);
            key(&changed)
        };
        assert_ne!(with(|recipe| recipe.packages.push("x".into())), base);
        assert_ne!(with(|recipe| recipe.leave_out.push("/x".into())), base);
        assert_ne!(with(|recipe| recipe.customize.push('x')), base);
        assert_eq!(with(|recipe| recipe.initrd_modules.push("x".into())), base);
        assert_eq!(with(|recipe| recipe.initrd_init.push(b'x')), base);
    }

    #[test]
    fn packages_are_counted_over_both_of_mmdebstraps_rounds() {
        let text = "\
I: installing essential packages...
Get:1 http://mirror.example/debian trixie/main amd64 libc6 amd64 2.41-12 [2847 kB]
0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded.
Unpacking libc6:amd64 (2.41-12) ...
Setting up libc6:amd64 (2.41-12) ...
2 upgraded, 1 newly installed, 0 to remove and 0 not upgraded.
Setting up runc (1.1.15) ...
something else
I: creating tarball...
";
        let mut progress = PackageProgress::default();
        let seen: Vec<String> = text
            .lines()
            .filter_map(|line| match progress.take(line)? {
                Event::Progress { message, done, total, .. } => Some(format!("{message} {done:?}/{total:?}")),
                _ => None,
            })
            .collect();
        insta::assert_snapshot!(seen.join("\n"), @r#"
        fetching libc6 None/None
        unpacking libc6 Some(0)/Some(2)
        setting up libc6 Some(1)/Some(2)
        setting up runc Some(2)/Some(3)
        packing the tree Some(2)/Some(3)
        "#);
    }
}
