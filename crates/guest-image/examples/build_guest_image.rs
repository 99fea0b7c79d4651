//! Builds a guest image and prints its directory, for work on the guest without the rest of the tool:
//! `cargo run -p k3s-vm-guest-image --example build_guest_image -- CACHE [SOURCES]`.
//!
//! SOURCES is `guest/` of this checkout by default. Environment variables: K3S_BINARY is a program of K3s (default: the
//! distribution `kubernetes`); IMAGE_PROVIDER is `debian` (default), `nix` or `auto`; with OFFLINE set, nothing is
//! fetched. Nix builds the guest of the project in the working directory.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use guest_image::ImageRequest;
use model::config::{Distribution, ImageConfig, K3sConfig, Provider};
use model::paths::CachePaths;
use model::requirement::Consent;
use model::{Error, ErrorClass, Event, EventSink, Result};

/// Prints every event with the seconds since the start.
struct Lines(Instant);

impl EventSink for Lines {
    fn emit(&self, event: Event) {
        eprintln!("{:8.2} {event:?}", self.0.elapsed().as_secs_f64());
    }
}

struct Yes;

impl Consent for Yes {
    fn ask(&self, _question: &str) -> Result<bool> {
        Ok(true)
    }
}

fn main() -> Result<()> {
    host::interrupt::install()?;
    let cache = std::env::args_os().nth(1).map(PathBuf::from).ok_or_else(|| {
        Error::new(ErrorClass::Config, "a directory for the cache is missing").next("build_guest_image CACHE [SOURCES]")
    })?;
    let sources = std::env::args_os()
        .nth(2)
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest"), PathBuf::from);
    let k3s = K3sConfig { binary: std::env::var("K3S_BINARY").ok(), ..K3sConfig::default() };
    let provider = match std::env::var("IMAGE_PROVIDER").as_deref() {
        Ok("nix") => Provider::Nix,
        Ok("auto") => Provider::Auto,
        _ => Provider::Debian,
    };
    let of_debian = if k3s.binary.is_some() { Distribution::K3s } else { Distribution::Kubernetes };
    let here =
        std::env::current_dir().map_err(|error| Error::new(ErrorClass::Failed, "no directory").because(error))?;
    let config = ImageConfig {
        provider,
        distribution: if provider == Provider::Debian { of_debian } else { Distribution::Auto },
        directory: None,
        disk: 20 << 30,
        nixpkgs: None,
        offline: std::env::var_os("OFFLINE").is_some(),
    };
    let request = ImageRequest {
        config: &config,
        k3s: &k3s,
        project: &here,
        sources: &sources,
        cache: &CachePaths::new(cache),
        deadline: Duration::from_secs(3600),
        consent: &Yes,
        events: &Lines(Instant::now()),
    };
    let image = guest_image::ensure(&request)?;
    println!("{}", image.directory.display());
    Ok(())
}
