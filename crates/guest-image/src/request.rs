//! What a caller asks of this crate.

use std::path::Path;
use std::time::Duration;

use model::EventSink;
use model::config::{ImageConfig, K3sConfig};
use model::paths::CachePaths;
use model::requirement::Consent;

/// What is needed to find or build a guest image.
#[derive(Clone, Copy)]
pub struct ImageRequest<'a> {
    /// The section `[image]` of the configuration.
    pub config: &'a ImageConfig,
    /// The section `[k3s]` of the configuration.
    pub k3s: &'a K3sConfig,
    /// The project's directory; relative paths of the configuration start there.
    pub project: &'a Path,
    /// The repository's `guest/` directory, an absolute path: the sources of what goes into the VM.
    pub sources: &'a Path,
    /// The cache that projects share.
    pub cache: &'a CachePaths,
    /// How long a build may take, the wait for another builder included (`timeouts.build`).
    pub deadline: Duration,
    /// Asks the user before a toolchain is fetched.
    pub consent: &'a dyn Consent,
    /// Receives progress, notes and warnings.
    pub events: &'a dyn EventSink,
}
