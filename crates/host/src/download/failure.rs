//! What can go wrong with a download, in words, and whether the host was reached at all.

use std::io::ErrorKind;

use model::{Fault, FaultClass};
use ureq::{Error, Timeout};

use super::Download;
use super::address::{host, shown};
use crate::digest::Sha256;

/// Why a download failed, for callers that can do without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// No connection could be made: no such name, refused, no route, no answer, or the proxy did not let us.
    Unreachable,
    /// The connection broke or fell silent on the way.
    Broken,
    /// The server answered with this status.
    Status(u16),
    /// Anything else: no trust, another digest, the disk, an interrupt.
    Other,
}

/// A failure: the fault to tell, and its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    reason: Reason,
    fault: Fault,
}

impl Failure {
    /// Why.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// What to tell.
    pub fn fault(&self) -> &Fault {
        &self.fault
    }

    /// The same for the same reason, told otherwise.
    #[must_use]
    pub fn map(self, tell: impl FnOnce(Fault) -> Fault) -> Self {
        Failure { reason: self.reason, fault: tell(self.fault) }
    }

    /// The server answered, but not with what was asked for.
    pub(super) fn status(url: &str, status: u16) -> Self {
        let host = host(url);
        let meaning = match status {
            401 | 403 => "it does not let us",
            404 | 410 => "it has no such file",
            407 => "the proxy asks for a name and a password",
            429 => "it has had too many requests",
            300..=399 => "it redirects to nowhere",
            500..=599 => "it is in trouble itself",
            _ => "that is not what was asked for",
        };
        Failure::new(
            Reason::Status(status),
            cannot(FaultClass::Failed, url).because(format!("{host} answers {status}: {meaning}")),
        )
    }

    /// What arrived is not what was asked for.
    pub(super) fn unexpected(url: &str, why: &str) -> Self {
        Failure::new(Reason::Other, cannot(FaultClass::Failed, url).because(why))
    }

    /// The whole file has another digest.
    pub(super) fn digest(download: &Download, found: Sha256) -> Self {
        let fault = Fault::new(FaultClass::Failed, format!("{} does not match its checksum", download.what))
            .because(format!("{} has the SHA-256 {found}", shown(download.url)))
            .because(format!("expected is {}", download.sha256));
        Failure::new(Reason::Other, fault)
    }

    /// The server sends more than such a file can have.
    pub(super) fn too_large(download: &Download) -> Self {
        let most = bytesize::ByteSize(download.most);
        Failure::unexpected(download.url, &format!("{} has at most {most}, and the server sends more", download.what))
    }

    /// A variable of the environment names no proxy.
    pub(super) fn proxy_setting(url: &str, variable: &str) -> Self {
        let fault = cannot(FaultClass::Config, url)
            .because(format!("the variable {variable} holds no address of a proxy"))
            .next(format!("export {variable}=http://HOST:PORT    # or unset it"));
        Failure::new(Reason::Other, fault)
    }

    fn new(reason: Reason, fault: Fault) -> Self {
        Failure { reason, fault }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Failure::new(Reason::Other, fault)
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        failure.fault
    }
}

/// What the reading thread met, before it is known for which address.
pub(super) enum Trouble {
    Library(Error),
    Fault(Fault),
    /// The thread ended without a word.
    Lost,
}

impl Trouble {
    /// The failure of fetching `url`.
    pub(super) fn of(self, url: &str) -> Failure {
        match self {
            Trouble::Library(error) => explain(url, &error),
            Trouble::Fault(fault) => fault.into(),
            Trouble::Lost => Failure::unexpected(url, "the reader of the answer ended early"),
        }
    }
}

fn cannot(class: FaultClass, url: &str) -> Fault {
    Fault::new(class, format!("cannot fetch {}", shown(url)))
}

fn explain(url: &str, error: &Error) -> Failure {
    let host = host(url);
    let unreachable = |why: &str| {
        let fault = cannot(FaultClass::Host, url).because(format!("{host} cannot be reached: {why}"));
        Failure::new(Reason::Unreachable, fault)
    };
    let broken = |class, why: &str| Failure::new(Reason::Broken, cannot(class, url).because(why));
    match error {
        Error::HostNotFound => unreachable("its name has no address"),
        Error::Timeout(Timeout::Resolve) => unreachable("no server told the address of its name in time"),
        Error::Timeout(Timeout::Connect) => unreachable("it did not answer in time"),
        Error::Timeout(_) => broken(FaultClass::Timeout, &format!("{host} fell silent")),
        Error::ConnectProxyFailed(why) => match why.rsplit_once('/') {
            Some((_, status)) => unreachable(&format!("the proxy answers {status}")),
            None => unreachable("the proxy does not answer"),
        },
        Error::ConnectionFailed => unreachable("no connection was made"),
        Error::TooManyRedirects => Failure::unexpected(url, "it redirects in a circle"),
        Error::RequireHttpsOnly(to) => {
            Failure::unexpected(url, &format!("it redirects to {}, which is not encrypted", shown(to)))
        }
        Error::BadUri(_) | Error::Http(_) => {
            Failure::new(Reason::Other, cannot(FaultClass::Config, url).because("that is no address of a file"))
        }
        Error::Rustls(why) => untrusted(url, &why.to_string()),
        Error::Tls(why) => untrusted(url, why),
        Error::Io(error) => match error.kind() {
            ErrorKind::ConnectionRefused => unreachable("it refuses the connection"),
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable => {
                unreachable("there is no route to it")
            }
            ErrorKind::PermissionDenied => unreachable("this system does not allow the connection"),
            ErrorKind::TimedOut => unreachable("it did not answer in time"),
            _ if error.to_string().starts_with("failed to lookup") => unreachable("its name cannot be resolved"),
            _ if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => untrusted(url, &error.to_string()),
            ErrorKind::UnexpectedEof => broken(FaultClass::Failed, "the connection ended before the file did"),
            _ => broken(FaultClass::Failed, &format!("the connection broke: {}", crate::io_fault::text(error))),
        },
        other => Failure::unexpected(url, &other.to_string()),
    }
}

fn untrusted(url: &str, why: &str) -> Failure {
    let host = host(url);
    let fault = cannot(FaultClass::Host, url)
        .because(format!("{host} cannot be trusted: {why}"))
        .next("add your company's certificate to the system's, or name it: export SSL_CERT_FILE=/path/to/ca.pem");
    Failure::new(Reason::Other, fault)
}
