//! The seam between the operating system of a guest and what runs in it.

use std::path::{Path, PathBuf};

use host::deadline::Deadline;
use model::paths::CachePaths;
use model::requirement::Requirement;
use model::{Error, ErrorClass, Result};

use crate::contract::Contract;
use crate::fingerprint::Fingerprint;
use crate::request::ImageRequest;
use crate::store::Store;

/// What runs in a guest.
pub(crate) trait Distribution {
    /// Its name in configurations and manifests.
    fn name(&self) -> &'static str;
    /// What it says of itself.
    fn contract(&self) -> &Contract;
    /// The directory of its contract: `guest/kubernetes`.
    fn directory(&self) -> &Path;
    /// Adds all that its part of a guest is made from, beside [`Distribution::directory`].
    fn add_inputs(&self, print: Fingerprint) -> Fingerprint;
    /// The host programs that it needs to come into an image.
    fn requirements(&self, cache: &CachePaths) -> Vec<Requirement>;
    /// Its version, for manifests and people. May run a program; asked when an image is built.
    fn version(&self) -> String;
    /// Asks the user what has to be asked, and returns the work: that can be done while other work is under way.
    fn begin<'a>(&'a self, request: &ImageRequest<'a>, store: Store<'a>, deadline: Deadline) -> Result<Work<'a>>;
}

/// Brings a distribution's files onto this host.
pub(crate) type Work<'a> = Box<dyn FnOnce() -> Result<Payload> + Send + 'a>;

/// What a distribution puts into a guest, beside the overlay of its contract.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Payload {
    /// Files and their places.
    pub(crate) files: Vec<PayloadFile>,
    /// A command that works on the guest's tree, for which `{root}` stands; none where it is empty.
    pub(crate) seed: Vec<String>,
}

/// A file for the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PayloadFile {
    /// What it is made of.
    pub(crate) content: Content,
    /// Its path in the guest.
    pub(crate) to: PathBuf,
    /// Its permissions.
    pub(crate) mode: u32,
}

/// What a file is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// A file of the host.
    File(PathBuf),
    /// A file of the host, compressed with zstd, which the guest gets uncompressed: emulated CPUs are slow, and the
    /// disk's image is compressed as a whole.
    Compressed(PathBuf),
    /// A text.
    Text(String),
}

impl Payload {
    /// The programs that a contract installs, from the directory `programs`.
    ///
    /// # Errors
    /// A mode that is no octal number.
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
