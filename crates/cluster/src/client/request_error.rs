//! What a failed request means, in the user's words. Refused objects are reported by the refusals of an apply.
//!
//! Pure: errors and statuses in, texts and errors out.

use model::{Error, ErrorClass};

use super::advice::Advice;
use super::tls_verdict::{self, TlsVerdict};
use crate::error_text::{root, sentence};

/// Why a request gave no answer that can be used.
#[derive(Debug)]
pub(crate) enum RequestError {
    /// The server refused, did not answer in time, or cannot be reached: another attempt may succeed.
    Passing(Error),
    /// Another cluster answers, or the user interrupted: no further attempt is made.
    Final(Error),
}

impl From<RequestError> for Error {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Passing(error) | RequestError::Final(error) => error,
        }
    }
}

/// The error of a request for `what` that failed as a whole.
pub(super) fn of_request(server: &str, advice: &Advice, what: &str, error: &kube::Error) -> RequestError {
    match error {
        kube::Error::Api(status) if status.code == 401 => {
            let of = advice.kubeconfig.as_ref().map(|file| format!(" of {file}")).unwrap_or_default();
            let error = Error::new(ErrorClass::Cluster, format!("{server} does not accept the credentials{of}"))
                .because(sentence(status));
            RequestError::Passing(match advice.kubeconfig {
                Some(_) => error.next(format!("{} auth whoami    # tries the same credentials", advice.kubectl)),
                None => error.next("k3s-vm start    # fetches the credentials of the running cluster"),
            })
        }
        kube::Error::Api(status) => RequestError::Passing(
            Error::new(ErrorClass::Cluster, format!("{server} refused to give {what}")).because(sentence(status)),
        ),
        _ => of_connection(server, advice, error),
    }
}

/// The error of a connection that failed.
pub(super) fn of_connection(server: &str, advice: &Advice, error: &kube::Error) -> RequestError {
    let cause = root(error);
    let verdict = match cause.downcast_ref::<rustls::Error>() {
        Some(rustls::Error::InvalidCertificate(why)) => Some(tls_verdict::verdict(why)),
        _ => None,
    };
    let unreachable =
        |why: String| Error::new(ErrorClass::Cluster, format!("cannot reach the cluster at {server}")).because(why);
    RequestError::Passing(match (verdict, &advice.kubeconfig) {
        (Some(TlsVerdict::Foreign(why)), None) => {
            return RequestError::Final(
                Error::new(ErrorClass::Port, format!("another cluster answers on {server}"))
                    .because(why)
                    .next("k3s-vm status    # shows who holds the port"),
            );
        }
        (Some(TlsVerdict::Foreign(why)), Some(file)) => {
            Error::new(ErrorClass::Cluster, format!("the server at {server} is not the one of {file}"))
                .because(why)
                .next("get a new kubeconfig from those who run the cluster")
        }
        (Some(TlsVerdict::NotNow(why)), None) => unreachable(why).next("k3s-vm start    # sets the guest's clock"),
        (Some(TlsVerdict::NotNow(why)), Some(_)) => {
            unreachable(why).next("date    # if this is right, those who run the cluster must renew its certificate")
        }
        (None, None) => unreachable(cause_text(cause)).next("k3s-vm status"),
        (None, Some(_)) => unreachable(cause_text(cause)).next(format!("{} version", advice.kubectl)),
    })
}

fn cause_text(cause: &(dyn std::error::Error + 'static)) -> String {
    match cause.downcast_ref::<std::io::Error>() {
        Some(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
        _ => cause.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_closed_connection_was_reported_with_the_advice_of_rustls_for_programmers() {
        let closed = io::Error::new(io::ErrorKind::UnexpectedEof, "peer closed connection: https://docs.rs/rustls");
        let error = of_connection("https://127.0.0.1:6443", &Advice::own(), &kube::Error::Service(Box::new(closed)));
        let text = Error::from(error).to_string();
        assert_eq!(text, "cannot reach the cluster at https://127.0.0.1:6443: it closed the connection");
    }
}
