//! The provider `auto`: Nix if it is installed, new enough, and can build what the configuration asks for; else Debian.
//!
//! It only chooses. An unreachable binary cache of Nix does not change the choice: whoever installed Nix wants that
//! error.

use model::Result;
use model::guest_image::GuestImage;
use model::requirement::Requirement;

use crate::debian::Debian;
use crate::nix::{self, Nix, is_too_old, too_old};
use crate::provider::Provider;
use crate::request::ImageRequest;

/// Chooses between Nix and Debian.
pub(crate) struct Auto {
    /// The provider that is preferred.
    pub(crate) nix: Nix,
}

/// Which provider builds the guest image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The provider `nix`.
    Nix,
    /// The provider `debian`.
    Debian {
        /// Why not Nix; none if Nix is not installed.
        reason: Option<String>,
    },
    /// Not known before Nix is asked for its version.
    Open,
}

impl Auto {
    /// The choice as far as it is known without running a program.
    fn known(&self, request: &ImageRequest) -> Choice {
        let Some(program) = self.nix.places.find() else { return Choice::Debian { reason: None } };
        if let Some(reason) = nix::unsupported(request) {
            return Choice::Debian { reason: Some(reason) };
        }
        match program.known_version(request.cache) {
            None => Choice::Open,
            Some(version) if is_too_old(&version) => Choice::Debian { reason: Some(too_old(&version)) },
            Some(_) => Choice::Nix,
        }
    }

    /// The choice. Asks Nix for its version if that is not known.
    pub(crate) fn decide(&self, request: &ImageRequest) -> Choice {
        match (self.known(request), self.nix.places.find()) {
            (Choice::Open, Some(program)) => match program.version(request.cache, request.events) {
                Ok(version) if is_too_old(&version) => Choice::Debian { reason: Some(too_old(&version)) },
                Ok(_) => Choice::Nix,
                Err(error) => Choice::Debian { reason: Some(error.to_string()) },
            },
            (choice, _) => choice,
        }
    }

    fn provider(&self, choice: &Choice) -> &dyn Provider {
        match choice {
            Choice::Nix | Choice::Open => &self.nix,
            Choice::Debian { .. } => &Debian,
        }
    }
}

impl Provider for Auto {
    fn locate(&self, request: &ImageRequest) -> Result<Option<GuestImage>> {
        self.provider(&self.known(request)).locate(request)
    }

    fn requirements(&self, request: &ImageRequest) -> Result<Vec<Requirement>> {
        let known = self.known(request);
        let choice = self.decide(request);
        if let Choice::Debian { reason: Some(reason) } = &choice {
            request.events.note(format!("taking a Debian guest instead of a NixOS one: {reason}"));
        }
        let provider = self.provider(&choice);
        // The caller could not look for the guest image before the provider was known; it may exist.
        if known == Choice::Open && provider.locate(request)?.is_some() {
            return Ok(Vec::new());
        }
        provider.requirements(request)
    }

    fn ensure(&self, request: &ImageRequest) -> Result<GuestImage> {
        self.provider(&self.decide(request)).ensure(request)
    }

    fn rebuild(&self, request: &ImageRequest) -> Result<GuestImage> {
        self.provider(&self.decide(request)).rebuild(request)
    }
}
