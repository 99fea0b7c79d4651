//! The distribution `k3s`: a program and an archive of container images, of a release or the user's own files.

mod local;
mod lock_file;
mod next_steps;
mod published;
mod release_source;

use std::path::{Path, PathBuf};

use host::deadline::Deadline;
use host::download::Failure;
use model::Result;
use model::paths::CachePaths;
use model::requirement::Requirement;

use crate::contract::Contract;
use crate::distribution::{Content, Distribution, Payload, PayloadFile, Work};
use crate::fingerprint::Fingerprint;
use crate::request::ImageRequest;
use crate::store::Store;
use local::LocalImages;
use published::Release;
use release_source::ReleaseSource;

pub(crate) use next_steps::with_next_steps;

/// The path of the program in the guest.
const PROGRAM: &str = "/usr/local/bin/k3s";
/// The directory in which K3s looks for archives of container images (docs.k3s.io, air-gap installation).
const IMAGES: &str = "/var/lib/rancher/k3s/agent/images";
/// Merged into `config.yaml` (docs.k3s.io, configuration file).
const CONFIGURATION: &str = "/etc/rancher/k3s/config.yaml.d/k3s-vm.yaml";

/// The distribution `k3s`.
pub(crate) struct K3s {
    directory: PathBuf,
    contract: Contract,
    program: Program,
    images: Images,
    disable: Vec<String>,
}

enum Program {
    Released(Release),
    Local(local::LocalProgram),
}

enum Images {
    Released,
    Local(LocalImages),
    /// The guest pulls them.
    None,
}

impl K3s {
    /// The K3s that the configuration names, if it is known without the network. None if the project has no lock file
    /// for the requested version.
    ///
    /// # Errors
    /// The user's files that are missing or not usable, a lock file that cannot be read.
    pub(crate) fn known(request: &ImageRequest) -> Result<Option<Self>> {
        match request.k3s.binary {
            Some(_) => Self::local(request).map(Some),
            None => match ReleaseSource::of(request).locked()? {
                Some(release) => Self::of_release(request, release).map(Some),
                None => Ok(None),
            },
        }
    }

    /// The K3s that the configuration names. Asks the release host if necessary, and writes the lock file.
    ///
    /// # Errors
    /// As [`K3s::known`], and failures of the network.
    pub(crate) fn resolved(request: &ImageRequest) -> Result<Self, Failure> {
        match request.k3s.binary {
            Some(_) => Ok(Self::local(request)?),
            None => {
                let release = ReleaseSource::of(request).resolve()?;
                Ok(Self::of_release(request, release)?)
            }
        }
    }

    fn local(request: &ImageRequest) -> Result<Self> {
        let config = request.k3s;
        let program = local::program(request.project, config.binary.as_deref().unwrap_or_default())?;
        let images = match &config.images {
            Some(file) => Images::Local(local::images(request.project, file)?),
            None => Images::None,
        };
        Self::new(request, Program::Local(program), images)
    }

    fn of_release(request: &ImageRequest, release: Release) -> Result<Self> {
        let images = match &request.k3s.images {
            Some(file) => Images::Local(local::images(request.project, file)?),
            None if request.k3s.airgap => Images::Released,
            None => Images::None,
        };
        Self::new(request, Program::Released(release), images)
    }

    fn new(request: &ImageRequest, program: Program, images: Images) -> Result<Self> {
        let directory = request.sources.join("k3s");
        let contract = Contract::read(&directory)?;
        Ok(K3s { directory, contract, program, images, disable: request.k3s.disable.clone() })
    }
}

impl Distribution for K3s {
    fn name(&self) -> &'static str {
        "k3s"
    }

    fn contract(&self) -> &Contract {
        &self.contract
    }

    fn directory(&self) -> &Path {
        &self.directory
    }

    fn add_inputs(&self, fingerprint: Fingerprint) -> Fingerprint {
        let program = match &self.program {
            Program::Released(release) => release.program,
            Program::Local(local) => local.digest,
        };
        let images = match (&self.images, &self.program) {
            (Images::Local(local), _) => local.digest.to_string(),
            (Images::Released, Program::Released(release)) => release.images.to_string(),
            (Images::Released | Images::None, _) => String::new(),
        };
        fingerprint
            .with("k3s program", program.to_string())
            .with("k3s images", images)
            .with("k3s configuration", configuration(&self.disable))
    }

    fn requirements(&self, _cache: &CachePaths) -> Vec<Requirement> {
        Vec::new()
    }

    fn version(&self) -> String {
        match &self.program {
            Program::Released(release) => release.version.clone(),
            Program::Local(local) => local.version(),
        }
    }

    fn begin<'a>(&'a self, request: &ImageRequest<'a>, _store: Store<'a>, deadline: Deadline) -> Result<Work<'a>> {
        let source = ReleaseSource::of(request);
        if matches!(self.images, Images::None) {
            request.events.note(
                "the guest image has no container images of K3s (k3s.images, k3s.airgap): the guest will fetch them"
                    .to_owned(),
            );
        }
        Ok(Box::new(move || {
            let program = match &self.program {
                Program::Released(release) => source.fetch_program(release, deadline)?,
                Program::Local(local) => local.path.clone(),
            };
            let mut files = vec![
                PayloadFile { content: Content::File(program), to: PROGRAM.into(), mode: 0o755 },
                PayloadFile {
                    content: Content::Text(configuration(&self.disable)),
                    to: CONFIGURATION.into(),
                    mode: 0o600,
                },
            ];
            let images = match (&self.images, &self.program) {
                (Images::Local(local), _) => Some((local.content(), local.name)),
                (Images::Released, Program::Released(release)) => {
                    Some((Content::Compressed(source.fetch_images(release, deadline)?), local::PLAIN_ARCHIVE))
                }
                (Images::Released | Images::None, _) => None,
            };
            if let Some((content, name)) = images {
                files.push(PayloadFile { content, to: Path::new(IMAGES).join(name), mode: 0o644 });
            }
            Ok(Payload { files, seed: Vec::new() })
        }))
    }
}

/// The part of K3s's configuration that the user sets. Strings are written as JSON, which is YAML, too.
fn configuration(disable: &[String]) -> String {
    let mut text = String::from("# From the section [k3s] of .k3s-vm/config.toml.\n");
    if !disable.is_empty() {
        text.push_str("disable:\n");
        for name in disable {
            text.push_str(&format!("  - {}\n", serde_json::Value::from(name.as_str())));
        }
    }
    text
}

#[cfg(test)]
mod tests;
