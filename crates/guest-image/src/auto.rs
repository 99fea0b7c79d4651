//! The provider `auto`: Nix where it is installed, new enough, and can make what the configuration says; else Debian.
//!
//! It decides and leaves the rest to the two. That a cache of Nix cannot be reached changes nothing: who installed Nix
//! wants to know.

use model::Result;
use model::guest_image::GuestImage;
use model::requirement::Requirement;

use crate::debian::Debian;
use crate::nix::{self, Nix, is_too_old, too_old};
use crate::provider::Provider;
use crate::request::ImageRequest;

/// The best provider that works here.
pub(crate) struct Auto {
    /// The first choice.
    pub(crate) nix: Nix,
}

/// Who makes the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Nix.
    Nix,
    /// mmdebstrap.
    Debian {
        /// Why not Nix, where it is installed.
        reason: Option<String>,
    },
    /// It depends on the version of Nix, which was not asked yet.
    Open,
}

impl Auto {
    /// What is known without running a program.
    fn known(&self, request: &ImageRequest) -> Choice {
        let Some(program) = self.nix.places.find() else { return Choice::Debian { reason: None } };
        if let Some(reason) = nix::misfit(request) {
            return Choice::Debian { reason: Some(reason) };
        }
        match program.known_version(request.cache) {
            None => Choice::Open,
            Some(version) if is_too_old(&version) => Choice::Debian { reason: Some(too_old(&version)) },
            Some(_) => Choice::Nix,
        }
    }

    /// What works here; asks Nix for its version where that is not known.
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
        // What was open when the image was looked for may have led to one that is there.
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
