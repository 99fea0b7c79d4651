//! The proof that the API behind a port is the instance's: a TLS handshake with a certificate of its authority, then
//! `/readyz`.
//!
//! Blocking and without a Kubernetes client, so that a look costs one connection and leaves none open.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use host::deadline::moment_after;
use host::wait::Look;
use model::{Error, ErrorClass, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::deadline_stream::DeadlineStream;
use crate::client::tls_verdict::{self, TlsVerdict};
use crate::kubeconfig::credentials::{CERTIFICATE_NAME, Credentials};

/// The longest look. A guest that restarts its API server silently drops connections.
const LONGEST_LOOK: Duration = Duration::from_secs(10);
/// The longest first look; each look after a silent one may take twice as long. QEMU's user network drops a connection
/// that the guest does not accept within a second, and retries after six, so that a new connection is answered sooner.
const FIRST_LOOK: Duration = Duration::from_millis(1500);
/// The last look of a wait is made at its deadline, and must have time for an answer.
const LEAST_LOOK: Duration = Duration::from_secs(1);
/// The longest answer in bytes. That of `/readyz` lists about forty checks.
const LONGEST_ANSWER: u64 = 64 * 1024;

/// What a look at a port found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiProof {
    /// Nothing listens.
    Refused(String),
    /// Something accepts connections, but no TLS server answers: a forward to a guest that is still booting, or a
    /// silent server.
    Silent(String),
    /// A server without a certificate of the cluster's authority; the text says what it has instead.
    Foreign(String),
    /// Not ready; the text names the checks that fail. A certificate that is not valid now counts as well: it proves
    /// nothing until the clock is corrected.
    NotReady(String),
    /// The API is the instance's, and is ready.
    Ready,
}

/// A probe of one address, prepared once for all looks.
pub struct ApiProbe {
    address: SocketAddr,
    name: ServerName<'static>,
    /// Without a client certificate, which would double the guest's cost of a handshake. Kubernetes answers `/readyz`
    /// to anonymous clients.
    anonymous: Arc<ClientConfig>,
    /// With the client certificate, for servers that refuse anonymous clients, as K3s does.
    identified: Arc<ClientConfig>,
    wants_identity: Cell<bool>,
    /// How long the next look may take.
    patience: Cell<Duration>,
}

impl ApiProbe {
    /// A probe of `address` with the certificate authority and the identity of `credentials`.
    ///
    /// # Errors
    /// A Cluster error where the certificates cannot be read.
    pub fn new(address: SocketAddr, credentials: &Credentials) -> Result<Self> {
        let unusable = |error: &dyn std::fmt::Display| {
            Error::new(ErrorClass::Cluster, "the certificates of the cluster cannot be used").because(error)
        };
        let certificates = |pem: &str| {
            CertificateDer::pem_slice_iter(pem.as_bytes())
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| unusable(&error))
        };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(credentials.certificate_authority())? {
            roots.add(certificate).map_err(|error| unusable(&error))?;
        }
        let builder = || {
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(|error| unusable(&error))
                .map(|builder| builder.with_root_certificates(roots.clone()))
        };
        let anonymous = Arc::new(builder()?.with_no_client_auth());
        let (certificate, key) = credentials.client_identity();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| unusable(&error))?;
        let identity = builder()?.with_client_auth_cert(certificates(certificate)?, key);
        let identified = Arc::new(identity.map_err(|error| unusable(&error))?);
        // The guest contract: the certificate is for 127.0.0.1 and localhost, whatever address is forwarded.
        let name = match address {
            SocketAddr::V4(address) if address.ip().is_loopback() => ServerName::from(*address.ip()),
            _ => ServerName::try_from(CERTIFICATE_NAME).map_err(|error| unusable(&error))?,
        };
        Ok(ApiProbe {
            address,
            name,
            anonymous,
            identified,
            wants_identity: Cell::new(false),
            patience: Cell::new(FIRST_LOOK),
        })
    }

    /// One attempt, which takes no longer than `limit`.
    pub fn probe(&self, limit: Duration) -> ApiProof {
        let end = moment_after(limit);
        if !self.wants_identity.get() {
            let answer = self.attempt(&self.anonymous, end);
            if !matches!(&answer, Ok(answer) if matches!(status_of(answer), "401" | "403")) {
                return answer.map_or_else(|proof| proof, |answer| of_answer(&answer));
            }
            self.wants_identity.set(true);
        }
        self.attempt(&self.identified, end).map_or_else(|proof| proof, |answer| of_answer(&answer))
    }

    /// The answer of the instance's API until `end`, else what the look found instead.
    fn attempt(&self, config: &Arc<ClientConfig>, end: Instant) -> Result<String, ApiProof> {
        let address = self.address;
        let limit = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let stream = TcpStream::connect_timeout(&address, limit).map_err(|error| match error.kind() {
            std::io::ErrorKind::ConnectionRefused => ApiProof::Refused(format!("nothing listens on {address}")),
            _ => ApiProof::Silent(format!("cannot connect to {address}: {error}")),
        })?;
        // The end of the handshake and the request are two small segments: Nagle's algorithm (tcp(7)) would delay the
        // second until the guest's delayed acknowledgement of the first, some 40 ms. An error here does no harm.
        let _ = stream.set_nodelay(true);
        let mut stream = DeadlineStream::new(stream, end);
        let mut connection = ClientConnection::new(Arc::clone(config), self.name.clone())
            .map_err(|error| ApiProof::Silent(error.to_string()))?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream).map_err(|error| self.of_handshake(&error))?;
        }
        // The handshake has proved that the server is ours.
        let mut stream = rustls::StreamOwned::new(connection, stream);
        let interrupted = |error: std::io::Error| ApiProof::NotReady(format!("/readyz does not answer: {error}"));
        // One write makes one TLS record; each costs an emulated guest a decryption.
        let request =
            format!("GET /readyz HTTP/1.1\r\nHost: {CERTIFICATE_NAME}\r\nAccept: */*\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).and_then(|()| stream.flush()).map_err(interrupted)?;
        let mut answer = Vec::new();
        let ended = read_answer(stream.take(LONGEST_ANSWER), &mut answer);
        match (answer.is_empty(), ended) {
            (true, Err(error)) => Err(interrupted(error)),
            // The part before the connection broke is still an answer.
            _ => Ok(String::from_utf8_lossy(&answer).into_owned()),
        }
    }

    fn of_handshake(&self, error: &std::io::Error) -> ApiProof {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match tls {
            Some(rustls::Error::InvalidCertificate(why)) => match tls_verdict::verdict(why) {
                TlsVerdict::Foreign(text) => ApiProof::Foreign(text),
                TlsVerdict::NotNow(text) => ApiProof::NotReady(text),
            },
            Some(rustls::Error::InvalidMessage(_)) => ApiProof::Foreign("it does not speak TLS".to_owned()),
            Some(other) => ApiProof::Foreign(format!("it does not agree on TLS: {other}")),
            None => ApiProof::Silent(format!("{} accepts, but no API server answers behind it: {error}", self.address)),
        }
    }

    /// One look for [`host::wait::Wait`].
    ///
    /// # Errors
    /// A Port error where another cluster answers.
    pub fn look(&self, left: Duration) -> Result<Look<()>> {
        let (begin, limit) = (Instant::now(), left.max(LEAST_LOOK).min(self.patience.get()));
        let proof = self.probe(limit);
        if begin.elapsed() >= limit {
            self.patience.set((2 * limit).min(LONGEST_LOOK));
        }
        match proof {
            ApiProof::Ready => Ok(Look::Ready(())),
            ApiProof::Refused(text) | ApiProof::Silent(text) | ApiProof::NotReady(text) => Ok(Look::NotYet(text)),
            ApiProof::Foreign(why) => {
                Err(Error::new(ErrorClass::Port, format!("another cluster answers on {}", self.address))
                    .because(why)
                    .next("k3s-vm status    # shows who holds the port"))
            }
        }
    }
}

/// Reads until the connection ends or the status line says ready; the rest does not matter then.
fn read_answer(mut stream: impl Read, answer: &mut Vec<u8>) -> std::io::Result<()> {
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece)? {
            0 => return Ok(()),
            length => answer.extend_from_slice(&piece[..length]),
        }
        if answer.contains(&b'\n') && of_answer(&String::from_utf8_lossy(answer)) == ApiProof::Ready {
            return Ok(());
        }
    }
}

/// The status code of an HTTP answer; empty where the text is no HTTP answer.
fn status_of(answer: &str) -> &str {
    answer.lines().next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default()
}

/// The verdict of an HTTP answer of `/readyz`: 200 is ready; the line of a failing check begins with `[-]`.
fn of_answer(answer: &str) -> ApiProof {
    let status = status_of(answer);
    if status == "200" {
        return ApiProof::Ready;
    }
    let failing: Vec<&str> =
        answer.lines().filter_map(|line| line.strip_prefix("[-]")?.split_whitespace().next()).collect();
    let text = match (status, failing.is_empty()) {
        ("", _) => "/readyz gives no HTTP answer".to_owned(),
        (status, true) => format!("/readyz answers {status}"),
        (_, false) => format!("the API server waits for {}", failing.join(", ")),
    };
    ApiProof::NotReady(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let not_ready = |text: &str| ApiProof::NotReady(text.to_owned());
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", ApiProof::Ready),
            ("HTTP/1.1 401 Unauthorized\r\n\r\n", not_ready("/readyz answers 401")),
            (
                "HTTP/1.1 500 Internal Server Error\r\n\r\n[+]ping ok\n[-]etcd failed: reason withheld\n[-]poststarthook/rbac/bootstrap-roles failed: reason withheld\nreadyz check failed\n",
                not_ready("the API server waits for etcd, poststarthook/rbac/bootstrap-roles"),
            ),
            ("", not_ready("/readyz gives no HTTP answer")),
        ] {
            assert_eq!(of_answer(answer), expected, "{answer}");
        }
    }
}
