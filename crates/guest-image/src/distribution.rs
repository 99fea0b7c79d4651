//! The interface between a guest's operating system and the distribution that runs in it.

use std::path::{Path, PathBuf};

use host::deadline::Deadline;
use model::paths::CachePaths;
use model::requirement::Requirement;
use model::{Error, ErrorClass, Result};

use crate::contract::Contract;
use crate::fingerprint::Fingerprint;
use crate::request::ImageRequest;
use crate::store::Store;

/// The Kubernetes distribution of a guest.
pub(crate) trait Distribution {
    /// The name in configurations and manifests.
    fn name(&self) -> &'static str;
    /// Its `contract.json`.
    fn contract(&self) -> &Contract;
    /// The directory of the contract: `guest/kubernetes`.
    fn directory(&self) -> &Path;
    /// Adds all inputs of its part of a guest image, except [`Distribution::directory`].
    fn add_inputs(&self, fingerprint: Fingerprint) -> Fingerprint;
    /// The host programs that are needed to add it to a guest image.
    fn requirements(&self, cache: &CachePaths) -> Vec<Requirement>;
    /// The version of Kubernetes, for the manifest. May run a program; called once per build.
    fn version(&self) -> String;
    /// Asks for the user's consent if that is needed, and returns the rest of the work, which can run on another
    /// thread.
    ///
    /// # Errors
    /// A Host error if the user does not agree.
    fn begin<'a>(&'a self, request: &ImageRequest<'a>, store: Store<'a>, deadline: Deadline) -> Result<Work<'a>>;
}

/// Fetches or builds a distribution's files on this host.
pub(crate) type Work<'a> = Box<dyn FnOnce() -> Result<Payload> + Send + 'a>;

/// What a distribution adds to a guest image, besides the overlay of its contract.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Payload {
    /// Files and their paths in the guest.
    pub(crate) files: Vec<PayloadFile>,
    /// A command that changes the guest's tree, whose path replaces `{root}`. Empty if there is none.
    pub(crate) seed: Vec<String>,
}

/// A file for the guest image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PayloadFile {
    /// The content.
    pub(crate) content: Content,
    /// The path in the guest.
    pub(crate) to: PathBuf,
    /// The permissions.
    pub(crate) mode: u32,
}

/// The content of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// A copy of a file of the host.
    File(PathBuf),
    /// A zstd file of the host that the guest gets decompressed: emulated CPUs are slow, and the whole disk is
    /// compressed anyway.
    Compressed(PathBuf),
    /// This text.
    Text(String),
}

impl Payload {
    /// The programs that a contract installs, taken from the directory `programs`.
    ///
    /// # Errors
    /// A Failed error for a mode that is not an octal number.
    pub(crate) fn installed(contract: &Contract, programs: &Path) -> Result<Vec<PayloadFile>> {
        let file = |program: &crate::contract::Installed| {
            let mode = u32::from_str_radix(&program.mode, 8).map_err(|_| {
                Error::new(
                    ErrorClass::Failed,
                    format!("contract.json: {} has the mode {:?}", program.from, program.mode),
                )
                .because("a mode is an octal number such as \"0755\"")
            })?;
            let content = Content::File(programs.join(&program.from));
            Ok(PayloadFile { content, to: PathBuf::from(&program.to), mode })
        };
        contract.install.iter().map(file).collect()
    }
}
