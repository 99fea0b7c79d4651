//! Which distribution a request means. `auto` is K3s; where its release host cannot be reached, Kubernetes from source.
//!
//! A choice that was made because a host could not be reached is remembered, so that a machine without a way there is
//! not kept waiting at every start.

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

/// For how long a host counts as out of reach without being asked again, while there is no image yet. A build that
/// failed is mostly repeated at once.
const FRESH: Duration = Duration::from_secs(600);
/// The reason, for people.
const OUT_OF_REACH: &str = "k3s: release host not reachable";

/// A distribution, and why it was taken where the user left it open.
pub(crate) struct Chosen {
    /// The distribution.
    pub(crate) distribution: Box<dyn Distribution>,
    /// The reason, where it is not the first choice.
    pub(crate) reason: Option<String>,
}

/// What is remembered.
#[derive(Serialize, Deserialize)]
struct Remembered {
    reason: String,
}

/// What the request may mean as far as that is known without the network, best first.
///
/// # Errors
/// Files of the user's that cannot be used.
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

/// What the request means; may ask the release host, and notes what it decides.
///
/// # Errors
/// As [`known`]; failures of the network, those of a host out of reach only where K3s was asked for by name.
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
            remember(request, OUT_OF_REACH)?;
            kubernetes(request, Some(OUT_OF_REACH.to_owned()))
        }
        Err(failure) => Err(k3s::with_next_steps(failure, request.k3s)),
    }
}

/// Forgets what was decided, so that the next build asks again.
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

/// What was decided for this request, and how long ago; nothing where it cannot be understood.
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

/// One file for each release that may be wanted and each host that may be asked for it.
fn place(request: &ImageRequest) -> PathBuf {
    let key = Fingerprint::of("choice of a distribution")
        .with("version", request.k3s.version.to_string())
        .with("mirror", request.k3s.mirror.as_deref().unwrap_or_default())
        .key();
    request.cache.choices().join(format!("{key}.json"))
}
