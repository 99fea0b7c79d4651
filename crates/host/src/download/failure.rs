//! Failures of downloads.

use std::io::ErrorKind;

use model::{Error, ErrorClass};
use ureq::{Error as HttpError, Timeout};

use super::address::{host, shown};
use super::target::Download;
use crate::digest::Sha256;

/// Why a download failed, for callers that have an alternative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// No connection was made: unknown name, refused, no route, no answer, or refused by the proxy.
    Unreachable,
    /// The connection broke, or nothing more arrived.
    Broken,
    /// The server answered with this status code.
    Status(u16),
    /// Anything else: an untrusted certificate, a wrong digest, the disk, an interrupt.
    Other,
}

/// A failed download: the error for the user, and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    reason: Reason,
    error: Error,
}

impl Failure {
    /// Why it failed.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The error for the user.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// Changes the error and keeps the reason.
    #[must_use]
    pub fn map(self, change: impl FnOnce(Error) -> Error) -> Self {
        Failure { reason: self.reason, error: change(self.error) }
    }

    /// The server answered with a status that is no success.
    pub(super) fn status(url: &str, status: u16) -> Self {
        let host = host(url);
        let meaning = match status {
            401 | 403 => "it denies access",
            404 | 410 => "it has no such file",
            407 => "the proxy asks for a name and a password",
            429 => "it has received too many requests",
            300..=399 => "it redirects without a target",
            500..=599 => "it has an internal error",
            _ => "the request failed",
        };
        Failure::new(
            Reason::Status(status),
            cannot(ErrorClass::Failed, url).because(format!("{host} answers {status}: {meaning}")),
        )
    }

    /// The response is not the expected one.
    pub(super) fn unexpected(url: &str, why: &str) -> Self {
        Failure::new(Reason::Other, cannot(ErrorClass::Failed, url).because(why))
    }

    /// The complete file has the wrong digest.
    pub(super) fn digest(download: &Download, found: Sha256) -> Self {
        let error = Error::new(ErrorClass::Failed, format!("{} does not match its checksum", download.what))
            .because(format!("{} has the SHA-256 {found}", shown(download.url)))
            .because(format!("expected is {}", download.sha256));
        Failure::new(Reason::Other, error)
    }

    /// The server sends more bytes than the file may have.
    pub(super) fn too_large(download: &Download) -> Self {
        let most = bytesize::ByteSize(download.most);
        Failure::unexpected(download.url, &format!("{} has at most {most}, and the server sends more", download.what))
    }

    /// An environment variable does not have the address of a proxy.
    pub(super) fn proxy_setting(url: &str, variable: &str) -> Self {
        let error = cannot(ErrorClass::Config, url)
            .because(format!("the variable {variable} is not the address of a proxy"))
            .next(format!("export {variable}=http://HOST:PORT    # or unset it"));
        Failure::new(Reason::Other, error)
    }

    fn new(reason: Reason, error: Error) -> Self {
        Failure { reason, error }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::new(Reason::Other, error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

/// A failure of the reading thread, without the URL.
pub(super) enum Trouble {
    Library(HttpError),
    Error(Error),
    /// The thread ended without an error.
    Lost,
}

impl Trouble {
    /// The failure to fetch `url`.
    pub(super) fn of(self, url: &str) -> Failure {
        match self {
            Trouble::Library(error) => explain(url, &error),
            Trouble::Error(error) => error.into(),
            Trouble::Lost => Failure::unexpected(url, "the reader of the response ended early"),
        }
    }
}

fn cannot(class: ErrorClass, url: &str) -> Error {
    Error::new(class, format!("cannot fetch {}", shown(url)))
}

fn explain(url: &str, error: &HttpError) -> Failure {
    let host = host(url);
    let unreachable = |why: &str| {
        let error = cannot(ErrorClass::Host, url).because(format!("{host} cannot be reached: {why}"));
        Failure::new(Reason::Unreachable, error)
    };
    let broken = |class, why: &str| Failure::new(Reason::Broken, cannot(class, url).because(why));
    match error {
        HttpError::HostNotFound => unreachable("its name has no address"),
        HttpError::Timeout(Timeout::Resolve) => unreachable("its name was not resolved in time"),
        HttpError::Timeout(Timeout::Connect) => unreachable("it did not answer in time"),
        HttpError::Timeout(_) => broken(ErrorClass::Timeout, &format!("{host} fell silent")),
        HttpError::ConnectProxyFailed(why) => match why.rsplit_once('/') {
            Some((_, status)) => unreachable(&format!("the proxy answers {status}")),
            None => unreachable("the proxy does not answer"),
        },
        HttpError::ConnectionFailed => unreachable("no connection was made"),
        HttpError::TooManyRedirects => Failure::unexpected(url, "it redirects in a circle"),
        HttpError::RequireHttpsOnly(to) => {
            Failure::unexpected(url, &format!("it redirects to {}, which is not encrypted", shown(to)))
        }
        HttpError::BadUri(_) | HttpError::Http(_) => {
            Failure::new(Reason::Other, cannot(ErrorClass::Config, url).because("this is not a valid URL"))
        }
        HttpError::Rustls(why) => untrusted(url, &why.to_string()),
        HttpError::Tls(why) => untrusted(url, why),
        HttpError::Io(error) => match error.kind() {
            ErrorKind::ConnectionRefused => unreachable("it refuses the connection"),
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable => {
                unreachable("there is no route to it")
            }
            ErrorKind::PermissionDenied => unreachable("this system does not allow the connection"),
            ErrorKind::TimedOut => unreachable("it did not answer in time"),
            // std has no error kind for a failed name lookup.
            _ if error.to_string().starts_with("failed to lookup") => unreachable("its name cannot be resolved"),
            _ if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => untrusted(url, &error.to_string()),
            ErrorKind::UnexpectedEof => broken(ErrorClass::Failed, "the connection ended before the file did"),
            _ => broken(ErrorClass::Failed, &format!("the connection broke: {}", crate::io_error::text(error))),
        },
        other => Failure::unexpected(url, &other.to_string()),
    }
}

fn untrusted(url: &str, why: &str) -> Failure {
    let host = host(url);
    let error = cannot(ErrorClass::Host, url)
        .because(format!("{host} cannot be trusted: {why}"))
        .next("add your company's certificate to the system's, or name it: export SSL_CERT_FILE=/path/to/ca.pem");
    Failure::new(Reason::Other, error)
}
