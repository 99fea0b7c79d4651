//! What a failed request means, in the user's words. Refused objects are told by [`crate::refusal`].
//!
//! Pure: errors and statuses in, texts and faults out.

use std::error::Error;

use kube::core::Status;
use model::{Fault, FaultClass};

/// An error with its sources, each said once.
pub(crate) fn chain(error: &dyn Error) -> String {
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

/// The fault of a request that failed as a whole.
pub(crate) fn of_request(server: &str, what: &str, error: &kube::Error) -> Fault {
    match error {
        kube::Error::Api(status) => {
            Fault::new(FaultClass::Cluster, format!("{server} refused to give {what}")).because(sentence(status))
        }
        _ => of_connection(server, error),
    }
}

/// The fault of a connection that failed.
pub(crate) fn of_connection(server: &str, error: &kube::Error) -> Fault {
    match tls_error(error) {
        Some(rustls::Error::InvalidCertificate(why)) => {
            Fault::new(FaultClass::Port, format!("another cluster answers on {server}"))
                .because(format!("its certificate is not one of this cluster ({why})"))
                .next("bin/k3s-vm status, which tells who holds the port")
        }
        _ => Fault::new(FaultClass::Cluster, format!("cannot reach the cluster at {server}"))
            .because(chain(error))
            .next("bin/k3s-vm status"),
    }
}

/// The TLS error at the bottom of an error, which `std::io::Error` hides from `source`.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        if let Some(inner) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            let inner: &(dyn Error + 'static) = inner;
            if let Some(found) = tls_error(inner) {
                return Some(found);
            }
        }
        next = error.source();
    }
    None
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
