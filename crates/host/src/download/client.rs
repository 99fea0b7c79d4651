//! The HTTP client: time limits, certificates, proxy, redirects.

use std::sync::Arc;
use std::time::Duration;

use ureq::config::ConfigBuilder;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::typestate::AgentScope;
use ureq::{Agent, Proxy};

use super::address::is_encrypted;
use super::answer::Answer;
use super::failure::Failure;
use super::partial::Resume;
use super::proxy;

/// The most redirects to follow; a release file takes two.
const MOST_REDIRECTS: u32 = 10;

/// Time limits of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For resolving the name, and again for connecting, including TLS.
    pub connect: Duration,
    /// How long nothing may arrive. A whole download may take as long as it needs.
    pub silence: Duration,
}

/// An HTTP client.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    limits: Limits,
}

impl Client {
    /// A client with these limits. It takes proxies from the environment and certificates from the system.
    pub fn new(limits: Limits) -> Self {
        Client { limits }
    }

    /// The target to which `url` redirects; `None` if it does not redirect.
    ///
    /// # Errors
    /// A failure of the network, or a status that is neither success nor a redirect.
    pub fn redirect(&self, url: &str) -> Result<Option<String>, Failure> {
        let agent = self.agent(url, 0)?;
        let answer = Answer::ask(agent, url, Vec::new()).map_err(|failure| failure.of(url))?;
        match answer.status() {
            300..=399 => answer.header("location").map(Some).ok_or_else(|| Failure::status(url, answer.status())),
            200..=299 => Ok(None),
            status => Err(Failure::status(url, status)),
        }
    }

    /// Downloads the text at `url`, of at most `most` bytes.
    ///
    /// # Errors
    /// A failure of the network, another status than 200, a longer text, or one that is not UTF-8.
    pub fn text(&self, url: &str, most: usize) -> Result<String, Failure> {
        let mut answer = self.get(url, None)?;
        if answer.status() != 200 {
            return Err(Failure::status(url, answer.status()));
        }
        let mut bytes = Vec::new();
        while let Some(piece) = answer.piece().map_err(|failure| failure.of(url))? {
            bytes.extend(piece);
            if bytes.len() > most {
                return Err(Failure::unexpected(url, &format!("it is longer than {most} bytes")));
            }
        }
        String::from_utf8(bytes).map_err(|_| Failure::unexpected(url, "it is not UTF-8 text"))
    }

    /// Requests `url`, or the rest of it after a partial download.
    pub(super) fn get(&self, url: &str, resume: Option<&Resume>) -> Result<Answer, Failure> {
        let mut headers = Vec::new();
        if let Some(resume) = resume {
            headers.push(("range", format!("bytes={}-", resume.length)));
            headers.push(("if-range", resume.validator.clone()));
        }
        Answer::ask(self.agent(url, MOST_REDIRECTS)?, url, headers).map_err(|failure| failure.of(url))
    }

    fn agent(&self, url: &str, redirects: u32) -> Result<Agent, Failure> {
        let proxy =
            proxy::of(url, &|name| std::env::var(name).ok()).map_err(|name| Failure::proxy_setting(url, &name))?;
        Ok(configured(self.limits, proxy, is_encrypted(url), redirects).build().new_agent())
    }
}

fn configured(limits: Limits, proxy: Option<Proxy>, encrypted: bool, redirects: u32) -> ConfigBuilder<AgentScope> {
    let tls = TlsConfig::builder()
        // The system's certificates include those of a company.
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    Agent::config_builder()
        .http_status_as_error(false)
        .https_only(encrypted)
        .max_redirects(redirects)
        .max_redirects_will_error(redirects > 0)
        .proxy(proxy)
        .tls_config(tls)
        .user_agent(concat!("k3s-vm/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(Some(limits.connect))
        .timeout_connect(Some(limits.connect))
        .timeout_per_read(Some(limits.silence))
        .timeout_per_write(Some(limits.silence))
}
