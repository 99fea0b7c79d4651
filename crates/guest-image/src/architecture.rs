//! The architecture of guests that are built from packages or from source.

use model::{Error, ErrorClass, Result};

/// What differs between architectures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Architecture {
    /// As `uname -m` and the manifest have it.
    pub(crate) name: &'static str,
    /// As Debian has it.
    pub(crate) debian: &'static str,
}

impl Architecture {
    /// The architecture that this program runs on, whose guests it can start.
    ///
    /// # Errors
    /// A Host error on an architecture for which there is no recipe.
    pub(crate) fn of_host() -> Result<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Ok(Architecture { name: "x86_64", debian: "amd64" }),
            other => Err(Error::new(ErrorClass::Host, format!("no guest image can be built for {other}"))
                .because("the Debian provider knows x86_64 only")
                .next(
                    "name an image of your own: image.provider = \"prebuilt\" and image.directory in .k3s-vm/config.toml",
                )),
        }
    }
}
