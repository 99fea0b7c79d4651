//! What a failed request means, in the user's words. Refused objects are told by [`crate::refusal`].
//!
//! Pure: errors and statuses in, texts and faults out.

use std::error::Error;

use kube::core::Status;
use model::{Fault, FaultClass};

use crate::tls_verdict::{self, TlsVerdict};

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
    let cause = root(error);
    let verdict = match cause.downcast_ref::<rustls::Error>() {
        Some(rustls::Error::InvalidCertificate(why)) => Some(tls_verdict::verdict(why)),
        _ => None,
    };
    let unreachable =
        |why: String| Fault::new(FaultClass::Cluster, format!("cannot reach the cluster at {server}")).because(why);
    match verdict {
        Some(TlsVerdict::Foreign(why)) => Fault::new(FaultClass::Port, format!("another cluster answers on {server}"))
            .because(why)
            .next("k3s-vm status    # tells who holds the port"),
        Some(TlsVerdict::NotNow(why)) => unreachable(why).next("k3s-vm start    # sets the guest's clock"),
        None => unreachable(cause.to_string()).next("k3s-vm status"),
    }
}

/// The error at the bottom: what is above it names the layers of the HTTP client. `std::io::Error` hides the error
/// that it carries from `source`.
fn root<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let carried = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let below = match carried {
        Some(carried) => Some(carried as &(dyn Error + 'static)),
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
