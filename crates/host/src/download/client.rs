//! One request: limits, trust, proxy, redirects.

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

/// As many redirects as curl's users are used to; a release file takes two.
const MOST_REDIRECTS: u32 = 10;

/// How patient to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For looking a name up, and again for connecting, TLS included.
    pub connect: Duration,
    /// For every moment in which nothing arrives. A download as a whole may take as long as it needs.
    pub silence: Duration,
}

/// Asks servers.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    limits: Limits,
}

impl Client {
    /// A client with these limits; proxies come from the environment, trust from the system.
    pub fn new(limits: Limits) -> Self {
        Client { limits }
    }

    /// Where `url` redirects to; nothing where it answers by itself.
    ///
    /// # Errors
    /// The failure of the network, or a status that is neither.
    pub fn redirect(&self, url: &str) -> Result<Option<String>, Failure> {
        let agent = self.agent(url, 0)?;
        let answer = Answer::ask(agent, url, Vec::new()).map_err(|failure| failure.of(url))?;
        match answer.status() {
            300..=399 => answer.header("location").map(Some).ok_or_else(|| Failure::status(url, answer.status())),
            200..=299 => Ok(None),
            status => Err(Failure::status(url, status)),
        }
    }

    /// The text at `url`, of at most `most` bytes.
    ///
    /// # Errors
    /// The failure of the network, or another status than success.
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
        String::from_utf8(bytes).map_err(|_| Failure::unexpected(url, "it is no text"))
    }

    /// Asks for `url` or for the rest of it.
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
        // The system's certificates: a company's own are there, too.
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
