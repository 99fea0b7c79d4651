//! What errors of the Kubernetes client and statuses of the API say, in texts for users.
//!
//! Pure.

use std::error::Error;
use std::io;

use kube::core::Status;

/// An error with its sources, each text once.
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

/// The error at the bottom: those above it name the layers of the HTTP client. `std::io::Error` hides the error that it
/// carries from `source`. A closed connection is the bottom: the text that rustls puts below it is for programmers.
pub(crate) fn root<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let below = match error.downcast_ref::<io::Error>() {
        Some(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
        Some(error) => error.get_ref().map(|carried| carried as &(dyn Error + 'static)),
        None => error.source(),
    };
    below.map_or(error, root)
}

/// The message of a status, else its reason or code; never empty.
pub(crate) fn sentence(status: &Status) -> String {
    match (status.message.as_str(), status.reason.as_str()) {
        ("", "") => format!("HTTP status {}", status.code),
        ("", reason) => format!("{reason} (HTTP status {})", status.code),
        (message, _) if status.code >= 500 => format!("{message} (HTTP status {})", status.code),
        (message, _) => message.to_owned(),
    }
}
