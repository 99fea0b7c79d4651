//! Chooses the distribution of a guest image. `auto` means K3s, or Kubernetes from source if the release host of K3s
//! cannot be reached.
//!
//! A fallback is remembered in the cache, so that a machine without that network does not wait at every start.

use std::path::PathBuf;
use std::time::Duration;

use host::download::Reason;
use host::files::{self, Mode};
use model::config::Distribution as Configured;
use model::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::architecture::Architecture;
use crate::distribution::Distribution;
use crate::fingerprint::Fingerprint;
use crate::k3s::{self, K3s};
use crate::kubernetes::Kubernetes;
use crate::request::ImageRequest;

/// How long the release host counts as unreachable without a new attempt. A failed build is mostly repeated within
/// minutes.
const FRESH: Duration = Duration::from_secs(600);
/// The reason of the fallback, for people.
const UNREACHABLE: &str = "k3s: release host not reachable";

/// A distribution and why it was chosen.
pub(crate) struct Chosen {
    /// The distribution.
    pub(crate) distribution: Box<dyn Distribution>,
    /// The reason of a fallback.
    pub(crate) reason: Option<String>,
}

/// A remembered fallback.
#[derive(Serialize, Deserialize)]
struct Remembered {
    reason: String,
}

/// The possible distributions as far as they are known without the network, best first.
///
/// # Errors
/// The user's files that cannot be used.
pub(crate) fn known(request: &ImageRequest) -> Result<Vec<Chosen>> {
    let k3s = || Ok::<_, Error>(K3s::known(request)?.map(first_choice));
    Ok(match request.config.distribution {
        Configured::Kubernetes => vec![kubernetes(request, None)?],
        Configured::K3s => k3s()?.into_iter().collect(),
        Configured::Auto => {
            let mut known: Vec<Chosen> = k3s()?.into_iter().collect();
            if let Some((remembered, _)) = remembered(request)? {
                known.push(kubernetes(request, Some(remembered.reason))?);
            }
            known
        }
    })
}

/// Chooses the distribution. May ask the release host; remembers a fallback.
///
/// # Errors
/// As [`known`], and failures of the network. An unreachable host is one only if K3s was asked for by name.
pub(crate) fn decide(request: &ImageRequest) -> Result<Chosen> {
    let may_fall_back = match request.config.distribution {
        Configured::Kubernetes => return kubernetes(request, None),
        Configured::K3s => false,
        Configured::Auto => true,
    };
    if may_fall_back
        && let Some((remembered, age)) = remembered(request)?
        && age < FRESH
    {
        return kubernetes(request, Some(remembered.reason));
    }
    match K3s::resolved(request) {
        Ok(k3s) => {
            forget(request)?;
            Ok(first_choice(k3s))
        }
        Err(failure) if failure.reason() == Reason::Unreachable && may_fall_back => {
            let why = failure.error().why().join(": ");
            request.events.note(format!(
                "taking Kubernetes from source instead of K3s, since {why}; `k3s-vm reset --rebuild` tries K3s again"
            ));
            remember(request, UNREACHABLE)?;
            kubernetes(request, Some(UNREACHABLE.to_owned()))
        }
        Err(failure) => Err(k3s::with_next_steps(failure, request.k3s)),
    }
}

/// Forgets a remembered fallback, so that the next build asks the release host again.
pub(crate) fn forget(request: &ImageRequest) -> Result<()> {
    files::remove(&place(request))
}

fn first_choice(k3s: K3s) -> Chosen {
    Chosen { distribution: Box::new(k3s), reason: None }
}

fn kubernetes(request: &ImageRequest, reason: Option<String>) -> Result<Chosen> {
    let kubernetes = Kubernetes::read(request.sources, Architecture::of_host()?.name)?;
    Ok(Chosen { distribution: Box::new(kubernetes), reason })
}

/// The remembered fallback and its age. One that cannot be parsed does not count.
fn remembered(request: &ImageRequest) -> Result<Option<(Remembered, Duration)>> {
    let place = place(request);
    let Some(bytes) = files::read_optional(&place)? else { return Ok(None) };
    let age = std::fs::metadata(&place).and_then(|metadata| metadata.modified()).ok();
    let age = age.and_then(|time| time.elapsed().ok()).unwrap_or(Duration::MAX);
    Ok(serde_json::from_slice(&bytes).ok().map(|remembered| (remembered, age)))
}

fn remember(request: &ImageRequest, reason: &str) -> Result<()> {
    let place = place(request);
    if let Some(directory) = place.parent() {
        files::create_dir(directory)?;
    }
    let text = serde_json::to_vec(&Remembered { reason: reason.to_owned() }).unwrap_or_default();
    files::write_atomic(&place, &text, Mode::Exactly(0o644))
}

/// The file of a remembered fallback: one for each requested version and each mirror.
fn place(request: &ImageRequest) -> PathBuf {
    let key = Fingerprint::of("choice of a distribution")
        .with("version", request.k3s.version.to_string())
        .with("mirror", request.k3s.mirror.as_deref().unwrap_or_default())
        .key();
    request.cache.choices().join(format!("{key}.json"))
}
