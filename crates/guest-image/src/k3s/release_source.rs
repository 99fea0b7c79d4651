//! Finds the K3s release of a project in its lock file or on the network, and fetches the files into the cache.

use std::path::PathBuf;
use std::time::Duration;

use host::deadline::Deadline;
use host::digest::Sha256;
use host::download::{Client, Download, Failure, Limits, Reason};
use model::config::k3s::{K3sConfig, K3sVersion};
use model::paths::{CachePaths, ProjectPaths};
use model::{Error, ErrorClass, EventSink, Result};

use super::lock_file;
use super::next_steps::{add_next_steps, with_next_steps};
use super::published::{self, Release};
use crate::request::ImageRequest;

/// Short, so that a network without a way out is reported soon. A download may take any time as
/// long as data arrives.
const LIMITS: Limits = Limits { connect: Duration::from_secs(5), silence: Duration::from_secs(30) };
/// The most bytes of a checksum file or of a channel's answer: far more than usual.
const MOST_TEXT: usize = 1 << 16;
/// The task name in events.
const TASK: &str = "k3s";

/// A file of every release.
struct ReleaseFile {
    name: &'static str,
    /// The most bytes that it may have: several times its usual size.
    most: u64,
    /// The name in messages.
    what: &'static str,
}

/// Usually 70 MiB.
const PROGRAM: ReleaseFile = ReleaseFile { name: published::PROGRAM, most: 512 << 20, what: "K3s" };
/// Usually 200 MiB.
const IMAGES: ReleaseFile = ReleaseFile { name: published::IMAGES, most: 2 << 30, what: "the container images of K3s" };

/// Resolves the requested version of a project to a release and fetches its files.
pub(super) struct ReleaseSource<'a> {
    config: &'a K3sConfig,
    lock: PathBuf,
    cache: &'a CachePaths,
    events: &'a dyn EventSink,
}

impl<'a> ReleaseSource<'a> {
    /// The source for this request.
    pub(super) fn of(request: &ImageRequest<'a>) -> Self {
        ReleaseSource {
            config: request.k3s,
            lock: ProjectPaths::new(request.project).k3s_lock(),
            cache: request.cache,
            events: request.events,
        }
    }

    /// The release in the lock file, if there is one for the requested version.
    pub(super) fn locked(&self) -> Result<Option<Release>> {
        lock_file::read(&self.lock, &self.config.version.to_string())
    }

    /// Resolves the requested version. Does not use the network if the lock file has the release and its files are
    /// cached. Else the digests are fetched from the release host and compared with the lock file, or written to a new
    /// one.
    ///
    /// # Errors
    /// Failures of the network, digests that differ from those of the lock file, and a lock file that cannot be read or
    /// written.
    pub(super) fn resolve(&self) -> Result<Release, Failure> {
        let locked = self.locked()?;
        if let Some(release) = locked.as_ref().filter(|release| self.has_files(release)) {
            return Ok(release.clone());
        }
        let client = Client::new(LIMITS);
        self.events.progress(TASK, format!("looking for K3s {}", self.config.version));
        let version = match (&locked, &self.config.version) {
            (Some(release), _) => release.version.clone(),
            (None, K3sVersion::Exact(version)) => version.clone(),
            (None, K3sVersion::Channel(channel)) => self.ask_channel(client, channel)?,
        };
        let found = self.ask_digests(client, version)?;
        self.events.emit(model::Event::TaskFinished { task: TASK.to_owned() });
        match locked {
            Some(locked) if locked != found => Err(self.changed(&locked, &found).into()),
            Some(locked) => Ok(locked),
            None => {
                let requested = self.config.version.to_string();
                lock_file::write(&self.lock, &requested, &found)?;
                self.events.note(format!(
                    "K3s {} for `{requested}` is now pinned by {}; commit that file",
                    found.version,
                    self.lock_name()
                ));
                Ok(found)
            }
        }
    }

    fn has_files(&self, release: &Release) -> bool {
        let wants_images = self.config.images.is_none();
        self.path(published::PROGRAM, release.program).is_file()
            && (!wants_images || self.path(published::IMAGES, release.images).is_file())
    }

    fn mirror(&self) -> Option<&'a str> {
        self.config.mirror.as_deref()
    }

    fn ask_channel(&self, client: Client, channel: &str) -> Result<String, Failure> {
        let url = published::channel(self.mirror(), channel);
        let explained = |failure: Failure| match (failure.reason(), self.mirror()) {
            (Reason::Status(404), Some(_)) => failure.map(|error| {
                error
                    .because("the mirror does not know this channel")
                    .next("name a release in .k3s-vm/config.toml instead: k3s.version = \"v1.33.5+k3s1\", for example")
            }),
            (Reason::Status(404), None) => failure.map(|error| {
                error
                    .because(format!("K3s has no channel `{channel}`"))
                    .next("correct k3s.version in .k3s-vm/config.toml")
            }),
            _ => failure,
        };
        let answer = match client.redirect(&url).map_err(explained)? {
            Some(to) => to,
            None => client.text(&url, MOST_TEXT).map_err(explained)?,
        };
        published::release_of(&answer).ok_or_else(|| {
            let answer: String = answer.trim().chars().take(120).collect();
            let error =
                Error::new(ErrorClass::Failed, format!("the channel `{channel}` does not lead to a K3s release"))
                    .because(format!("{url} answers {answer:?}"))
                    .because("something else may have answered in its place, such as a login page of your network");
            add_next_steps(error, self.config).into()
        })
    }

    fn ask_digests(&self, client: Client, version: String) -> Result<Release, Failure> {
        let url = published::file(self.mirror(), &version, published::SUMS);
        let text = client.text(&url, MOST_TEXT).map_err(|failure| match failure.reason() {
            Reason::Status(404) => failure.map(|error| {
                error
                    .because(format!("there is no release {version}, or not for this architecture"))
                    .next("correct k3s.version in .k3s-vm/config.toml; github.com/k3s-io/k3s/releases lists all")
            }),
            _ => failure,
        })?;
        let digest = |name: &str| {
            published::digest_of(&text, name).ok_or_else(|| {
                Failure::from(
                    Error::new(ErrorClass::Failed, format!("{url} cannot be used"))
                        .because(format!("it has no SHA-256 of {name}"))
                        .because("something else may have answered in its place, such as a login page of your network"),
                )
            })
        };
        Ok(Release { program: digest(published::PROGRAM)?, images: digest(published::IMAGES)?, version })
    }

    fn changed(&self, locked: &Release, found: &Release) -> Error {
        let mut error =
            Error::new(ErrorClass::Failed, format!("K3s {} is not the one of {}", locked.version, self.lock_name()));
        for (name, one, other) in
            [(published::PROGRAM, locked.program, found.program), (published::IMAGES, locked.images, found.images)]
        {
            if one != other {
                error = error
                    .because(format!("{name}: the lock file has the SHA-256 {one}"))
                    .because(format!("{name}: the release has the SHA-256 {other}"));
            }
        }
        error
            .because("released files never change: the lock file is wrong, or the release has been tampered with")
            .next(format!("rm {}    # only if you trust what is released now", self.lock_name()))
    }

    /// The lock file's path in messages.
    fn lock_name(&self) -> String {
        format!("{}/k3s.lock", ProjectPaths::MARKER)
    }

    /// Fetches the program and returns its path. `deadline` bounds the wait for another process that fetches it.
    pub(super) fn fetch_program(&self, release: &Release, deadline: Deadline) -> Result<PathBuf> {
        self.fetch(&release.version, release.program, &PROGRAM, deadline)
    }

    /// Fetches the archive of container images, compressed with zstd, as [`ReleaseSource::fetch_program`] does.
    pub(super) fn fetch_images(&self, release: &Release, deadline: Deadline) -> Result<PathBuf> {
        self.fetch(&release.version, release.images, &IMAGES, deadline)
    }

    fn fetch(&self, version: &str, sha256: Sha256, file: &ReleaseFile, deadline: Deadline) -> Result<PathBuf> {
        let to = self.path(file.name, sha256);
        let url = published::file(self.mirror(), version, file.name);
        let download = Download {
            url: &url,
            to: &to,
            sha256,
            most: file.most,
            lock: &self.cache.locks().join(format!("download-{sha256}.lock")),
            lock_deadline: deadline.left(),
            task: TASK,
            what: &format!("{} {version}", file.what),
            events: self.events,
        };
        let failure = match Client::new(LIMITS).fetch(&download) {
            Ok(()) => return Ok(to),
            Err(failure) => failure,
        };
        let again = match failure.reason() {
            Reason::Broken => "run the command again: it continues where it stopped",
            Reason::Other if failure.error().class() == ErrorClass::Failed => "run the command again: it starts over",
            _ => return Err(with_next_steps(failure, self.config)),
        };
        Err(add_next_steps(Error::from(failure).next(again), self.config))
    }

    /// The path of a downloaded file. The digest in its name makes it the right one if it exists.
    fn path(&self, name: &str, sha256: Sha256) -> PathBuf {
        self.cache.downloads().join(format!("{sha256}-{name}"))
    }
}
