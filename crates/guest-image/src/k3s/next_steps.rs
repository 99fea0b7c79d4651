//! The next steps of an error about a K3s release.

use host::download::Failure;
use model::config::K3sConfig;
use model::{Error, ErrorClass};

/// The error of a failed download. Adds next steps if it has none.
pub(crate) fn with_next_steps(failure: Failure, config: &K3sConfig) -> Error {
    let error = Error::from(failure);
    if error.next_steps().is_empty() && error.class() != ErrorClass::Interrupted {
        add_next_steps(error, config)
    } else {
        error
    }
}

/// Adds the next steps that apply whenever a release cannot be fetched.
pub(super) fn add_next_steps(error: Error, config: &K3sConfig) -> Error {
    let error = match config.mirror {
        Some(_) => error.next("correct k3s.mirror in .k3s-vm/config.toml, if it is wrong"),
        None => error.next("set k3s.mirror in .k3s-vm/config.toml, if your network has a mirror of the releases"),
    };
    error
        .next("export HTTPS_PROXY=http://HOST:PORT    # if your network has a proxy")
        .next("k3s-vm start --k3s-binary FILE --k3s-images FILE    # a release that you have as files")
        .next("or set image.distribution = \"kubernetes\": upstream Kubernetes, built on this machine")
}
