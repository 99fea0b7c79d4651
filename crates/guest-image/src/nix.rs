//! The provider `nix`: the host's Nix builds a NixOS guest from `guest/nixos`, which is copied out of Nix's store.
//!
//! It calls only `nix-build`, and only if the cache has no guest image of the same inputs.

mod build;
mod failure;
pub(crate) mod pin;
mod program;
mod settings;

use std::fs::File;
use std::path::{Path, PathBuf};

use host::deadline::Deadline;
use host::files::{self, Mode};
use host::io_error::at_path;
use host::lock::FileLock;
use host::sparse_copy;
use model::guest_image::{GuestImage, SCHEMA, file};
use model::paths::ProjectPaths;
use model::requirement::Requirement;
use model::{Error, ErrorClass, Result};

use crate::fingerprint::Fingerprint;
use crate::manifest::read_image;
use crate::provider::Provider;
use crate::rebuilds;
use crate::request::ImageRequest;
use crate::store::Store;
use build::Build;
use settings::Settings;

pub(crate) use program::{Places, Program, WITHOUT_NIX, is_too_old, too_old};

/// To be raised when the build changes while its inputs do not.
const BUILDER: &str = "1";
/// The initial content of `configuration.nix`.
const CONFIGURATION: &str = include_str!("nix/configuration.nix");

/// The provider `nix`.
pub(crate) struct Nix {
    /// Where to look for Nix.
    pub(crate) places: Places,
}

/// The inputs of a build, and its key.
struct Plan {
    project: ProjectPaths,
    settings: String,
    key: String,
}

impl Plan {
    /// Reads the inputs. Runs no program.
    fn read(request: &ImageRequest) -> Result<Self> {
        let settings = settings_of(request).map_err(|why| {
            Error::new(ErrorClass::Config, "the configuration asks for something that a NixOS guest cannot have")
                .because(why)
                .next(WITHOUT_NIX)
        })?;
        let project = ProjectPaths::new(request.project);
        let settings = settings.render();
        let is_source = |path: &Path| path.extension().is_none_or(|extension| extension != "md");
        let guest = |name: &str| request.sources.join(name);
        let mut fingerprint = Fingerprint::of("nixos guest image")
            .with("builder", BUILDER)
            .with("schema", SCHEMA.to_string())
            .with("settings", &settings)
            .with("nixpkgs", format!("{:?}", request.config.nixpkgs))
            .with_directory("nixos", &guest("nixos"), &is_source)?
            // The NixOS guest uses files of the other guests.
            .with_directory("debian", &guest("debian/rootfs"), &is_source)?
            .with_directory("k3s", &guest("k3s"), &is_source)?;
        for (name, content) in users_files(&project)? {
            fingerprint = fingerprint.with(&name, content);
        }
        Ok(Plan { project, settings, key: fingerprint.key() })
    }

    fn find(&self, request: &ImageRequest) -> Result<Option<GuestImage>> {
        rebuilds::newest_undamaged(request.cache, &self.key, request.events)
    }

    /// Writes the files that Nix reads. `configuration.nix` is the user's and is only created if it is missing.
    fn write(&self, request: &ImageRequest) -> Result<()> {
        files::create_private_dir(&self.project.nix_directory())?;
        let configuration = self.project.nix_configuration();
        if files::read_optional(&configuration)?.is_none() {
            files::write_atomic(&configuration, CONFIGURATION.as_bytes(), Mode::Exactly(0o644))?;
            let shown = configuration.strip_prefix(request.project).unwrap_or(&configuration).display();
            request.events.note(format!("created {shown}: what you add there becomes a part of the guest"));
        }
        files::write_atomic(&self.project.nix_settings(), self.settings.as_bytes(), Mode::Exactly(0o644))
    }
}

/// What the configuration asks for and a NixOS guest cannot have, as a clause.
pub(crate) fn unsupported(request: &ImageRequest) -> Option<String> {
    settings_of(request).err()
}

fn settings_of(request: &ImageRequest) -> Result<Settings, String> {
    Settings::of(request.config, request.k3s, std::env::consts::ARCH)
}

/// The user's Nix files, by name. A missing `configuration.nix` counts with its initial content.
fn users_files(project: &ProjectPaths) -> Result<Vec<(String, Vec<u8>)>> {
    let directory = project.nix_directory();
    let entries = match std::fs::read_dir(&directory) {
        Ok(entries) => entries.collect::<Result<Vec<_>, _>>(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    let entries = entries.map_err(|error| at_path("read the directory", &directory, &error))?;
    let mut found = vec![("configuration.nix".to_owned(), CONFIGURATION.as_bytes().to_vec())];
    for path in entries.into_iter().map(|entry| entry.path()) {
        let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| name.ends_with(".nix")) else {
            continue;
        };
        if let Some(content) = files::read_optional(&path)? {
            found.retain(|(other, _)| other != name);
            found.push((name.to_owned(), content));
        }
    }
    found.sort();
    Ok(found)
}

impl Nix {
    /// Finds the host's Nix and checks its version.
    fn program(&self, request: &ImageRequest) -> Result<Program> {
        let program = self.places.find().ok_or_else(|| self.places.not_found())?;
        program.check(request.cache, request.events)?;
        Ok(program)
    }

    /// Builds the guest image under the name `key`. `refresh` looks for newer archives of channels.
    fn make(&self, request: &ImageRequest, plan: &Plan, key: String, refresh: bool) -> Result<GuestImage> {
        let deadline = Deadline::after(request.deadline);
        let program = self.program(request)?;
        let (images, locks) = (request.cache.images(), request.cache.locks());
        let store = Store { compares: false, directory: &images, locks: &locks, remove: &files::remove };
        let events = request.events;
        let directory = store.ensure(&key, "the guest image", deadline.left(), events, |into| {
            // A project has one `settings.json` and one link, but its instances may use different guest images.
            let project =
                Fingerprint::of("project").with("directory", plan.project.root().as_os_str().as_encoded_bytes());
            let lock = locks.join(format!("nix-{}.lock", project.key()));
            let _lock = FileLock::acquire(&lock, "the project's NixOS guest", deadline.left(), events)?;
            plan.write(request)?;
            let build = Build {
                program: &program,
                entry: &request.sources.join("nixos/default.nix"),
                project: &plan.project,
                nixpkgs: request.config.nixpkgs.as_ref(),
                offline: request.config.offline,
                refresh,
                deadline: deadline.left(),
                events,
            };
            copy(&build.run()?, into)
        })?;
        read_image(&directory, key, ErrorClass::Failed)
    }
}

/// Copies a guest image out of Nix's store, whose garbage collection must not remove the backing file of an instance's
/// disk.
fn copy(from: &Path, into: &Path) -> Result<()> {
    for name in [file::KERNEL, file::INITRD, file::ROOT_DISK, file::MANIFEST] {
        let (source, target): (PathBuf, PathBuf) = (from.join(name), into.join(name));
        let read = File::open(&source).map_err(|error| at_path("read", &source, &error))?;
        let written = File::create_new(&target).and_then(|file| sparse_copy::copy(&read, &file));
        written.map_err(|error| at_path("write", &target, &error))?;
    }
    // Verifies the copy.
    let image = read_image(into, String::new(), ErrorClass::Failed)?;
    crate::integrity::compare(&image)
        .map_err(|why| Error::new(ErrorClass::Failed, "the guest image that Nix built is damaged").because(why))
}

impl Provider for Nix {
    fn locate(&self, request: &ImageRequest) -> Result<Option<GuestImage>> {
        Plan::read(request)?.find(request)
    }

    fn requirements(&self, request: &ImageRequest) -> Result<Vec<Requirement>> {
        Plan::read(request)?;
        self.program(request)?.note_place(request.events);
        Ok(Vec::new())
    }

    fn ensure(&self, request: &ImageRequest) -> Result<GuestImage> {
        let plan = Plan::read(request)?;
        match plan.find(request)? {
            Some(image) => Ok(image),
            None => {
                let key = rebuilds::unused(request.cache, &plan.key, request.events)?;
                self.make(request, &plan, key, false)
            }
        }
    }

    fn rebuild(&self, request: &ImageRequest) -> Result<GuestImage> {
        let plan = Plan::read(request)?;
        let key = rebuilds::next(&request.cache.images(), &plan.key)?;
        self.make(request, &plan, key, true)
    }
}

#[cfg(test)]
mod tests;
