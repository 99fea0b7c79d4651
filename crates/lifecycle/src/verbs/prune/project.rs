//! Prunes the project: templates that cannot be used, incomplete saved VMs, suspended RAM without a disk, and backing files
//! that no disk needs.

use host::lock::FileLock;
use model::Result;
use model::paths::SavedStatePaths;
use qemu::Qemu;
use qemu::saved_state::{sweep, try_remove};

use super::report::{Kind, Work, usage};
use crate::context::Context;
use crate::directory::entries;
use crate::instance::registry;
use crate::instance::suspended_files;
use crate::saved_vm::backing_files::BackingFiles;
use crate::saved_vm::{SavedVm, fits_now, usage_without_disk};
use crate::start;

pub(super) fn prune(context: &Context<'_>, work: &mut Work) -> Result<()> {
    let project = &context.project.paths;
    // So that no restore chooses one meanwhile.
    let backing_files = BackingFiles::of_project(&context.project).lock(context.events)?;
    let mut unfit = Vec::new();
    for directory in entries(&project.templates())? {
        let is_hidden = directory.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if let Some(why) = if is_hidden { None } else { useless(context, &directory) } {
            let bytes = usage_without_disk(&SavedStatePaths::new(&directory));
            // One that is in use is being restored.
            if !work.dry_run && !try_remove(&directory)? {
                continue;
            }
            work.found(Kind::Template, &directory, why, bytes);
            unfit.push(directory);
        }
    }
    for parent in [project.templates(), project.snapshots()] {
        let swept = sweep(&parent, work.dry_run)?;
        if swept.directories > 0 {
            work.found(Kind::Unfinished, &parent, "the command that made it was killed", swept.bytes);
        }
    }
    let collected = if work.dry_run {
        backing_files.would_collect(&unfit, context.events)?
    } else {
        backing_files.collect(context.events)?
    };
    if collected.disks > 0 {
        let why = format!("no disk needs them ({})", collected.disks);
        work.found(Kind::BackingFiles, &project.disks(), why, collected.bytes);
    }
    drop(backing_files);
    for name in registry::names(project) {
        suspended(&context.with_name(name), work)?;
    }
    Ok(())
}

/// Why no start can use a template; `None` where one may.
fn useless(context: &Context<'_>, directory: &std::path::Path) -> Option<String> {
    let saved_vm = match SavedVm::open(directory) {
        Ok(saved_vm) => saved_vm,
        Err(why) => return Some(why),
    };
    if let Ok(Some(image)) = start::configured_image(context)
        && image.directory != saved_vm.cluster.image_directory
    {
        return Some("new instances have another guest image".to_owned());
    }
    // Without QEMU it is not known.
    let qemu = Qemu::find(&context.cache, context.events).ok()?;
    fits_now(context, &qemu, &saved_vm, SavedVm::fits).err()
}

/// Removes suspended RAM whose disk is gone.
fn suspended(context: &Context<'_>, work: &mut Work) -> Result<()> {
    let paths = context.paths();
    let suspended = paths.suspended();
    let files = suspended_files::files(&suspended)?;
    if files.is_empty() || paths.disk().exists() {
        return Ok(());
    }
    // Otherwise another verb works on the instance.
    let Some(_lock) = FileLock::try_acquire(&paths.lock())? else { return Ok(()) };
    if paths.disk().exists() {
        return Ok(());
    }
    let bytes = files.iter().map(|file| usage(file)).sum();
    work.found(Kind::SuspendedRam, &suspended.description(), "its disk is gone", bytes);
    if work.dry_run { Ok(()) } else { suspended_files::discard(&suspended) }
}

#[cfg(test)]
mod tests {
    use host::lock::Sharing;
    use model::config::Overrides;
    use model::instance::InstanceName;
    use model::paths::CachePaths;
    use model::port::Port;
    use model::requirement::Consent;
    use testkit::{RecordingSink, TempProject};

    use super::*;
    use crate::project::Project;

    struct No;

    impl Consent for No {
        fn ask(&self, _: &str) -> Result<bool> {
            Ok(false)
        }
    }

    #[test]
    fn a_template_that_is_being_restored_was_reported_as_removed() {
        let (temporary, events) = (TempProject::new(Port::literal(30080)), RecordingSink::default());
        let paths = temporary.paths();
        let context = Context {
            project: Project::load(paths.clone(), &Overrides::default()).expect("a project"),
            name: InstanceName::default(),
            cache: CachePaths::new(temporary.root().join("cache")),
            guest_sources: temporary.root().join("guest"),
            kvm_device: "/dev/kvm".into(),
            events: &events,
            consent: &No,
            background: |_, _| Err(std::io::Error::other("no background process in this test")),
        };
        let template = paths.templates().join("ready");
        std::fs::create_dir_all(&template).expect("a directory");
        let restore = FileLock::try_acquire_existing(&template, Sharing::Shared).expect("a lock");
        let mut work = Work::default();
        prune(&context, &mut work).expect("pruned");
        assert_eq!((work.removed.len(), template.exists()), (0, true));
        drop(restore);
        prune(&context, &mut work).expect("pruned");
        assert_eq!((work.removed.len(), template.exists()), (1, false));
    }
}
