//! What a failed request means, in the user's words. Refused objects are told by [`crate::refusal`].
//!
//! Pure: errors and statuses in, texts and errors out.

use kube::core::Status;
use model::{Error, ErrorClass};

use crate::client::ClusterClient;
use crate::tls_verdict::{self, TlsVerdict};

/// An error with its sources, each said once.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let more = source.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = source.source();
    }
    text
}

/// The error of a request that failed as a whole.
pub(crate) fn of_request(client: &ClusterClient, what: &str, error: &kube::Error) -> Error {
    let (server, advice) = (client.server(), client.advice());
    match error {
        kube::Error::Api(status) if status.code == 401 => {
            let of = advice.kubeconfig.as_ref().map(|file| format!(" of {file}")).unwrap_or_default();
            let error = Error::new(ErrorClass::Cluster, format!("{server} does not accept the credentials{of}"))
                .because(sentence(status));
            match advice.kubeconfig {
                Some(_) => error.next(format!("{} auth whoami    # tries the same credentials", advice.kubectl)),
                None => error.next("k3s-vm start    # fetches the credentials of the running cluster"),
            }
        }
        kube::Error::Api(status) => {
            Error::new(ErrorClass::Cluster, format!("{server} refused to give {what}")).because(sentence(status))
        }
        _ => of_connection(client, error),
    }
}

/// The error of a connection that failed.
pub(crate) fn of_connection(client: &ClusterClient, error: &kube::Error) -> Error {
    let (server, advice) = (client.server(), client.advice());
    let cause = root(error);
    let verdict = match cause.downcast_ref::<rustls::Error>() {
        Some(rustls::Error::InvalidCertificate(why)) => Some(tls_verdict::verdict(why)),
        _ => None,
    };
    let unreachable =
        |why: String| Error::new(ErrorClass::Cluster, format!("cannot reach the cluster at {server}")).because(why);
    match (verdict, &advice.kubeconfig) {
        (Some(TlsVerdict::Foreign(why)), None) => {
            Error::new(ErrorClass::Port, format!("another cluster answers on {server}"))
                .because(why)
                .next("k3s-vm status    # tells who holds the port")
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
    }
}

fn cause_text(cause: &(dyn std::error::Error + 'static)) -> String {
    match cause.downcast_ref::<std::io::Error>() {
        // What rustls says here is advice for programmers.
        Some(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
        _ => cause.to_string(),
    }
}

/// The error at the bottom: what is above it names the layers of the HTTP client. `std::io::Error` hides the error
/// that it carries from `source`.
fn root<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    let carried = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let below = match carried {
        Some(carried) => Some(carried as &(dyn std::error::Error + 'static)),
        None => error.source(),
    };
    below.map_or(error, root)
}

/// The message of a status with its code; never empty.
pub(crate) fn sentence(status: &Status) -> String {
    match (status.message.as_str(), status.reason.as_str()) {
        ("", "") => format!("HTTP status {}", status.code),
        ("", reason) => format!("{reason} (HTTP status {})", status.code),
        (message, _) if status.code >= 500 => format!("{message} (HTTP status {})", status.code),
        (message, _) => message.to_owned(),
    }
}
