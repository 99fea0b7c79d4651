//! The CPU architecture of a guest image that is built from packages or from source.

use model::{Error, ErrorClass, Result};

/// The names of a CPU architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Architecture {
    /// The name in `uname -m` and in the manifest: `x86_64`.
    pub(crate) name: &'static str,
    /// Debian's name: `amd64`.
    pub(crate) debian: &'static str,
}

impl Architecture {
    /// The architecture of this host. Only guests of the same architecture can be started.
    ///
    /// # Errors
    /// A Host error if there is no recipe for this architecture.
    pub(crate) fn of_host() -> Result<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Ok(Architecture { name: "x86_64", debian: "amd64" }),
            other => Err(Error::new(ErrorClass::Host, format!("no guest image can be built for {other}"))
                .because("the Debian provider knows x86_64 only")
                .next(
                    "use a guest image of your own: image.provider = \"prebuilt\" and image.directory in .k3s-vm/config.toml",
                )),
        }
    }
}
