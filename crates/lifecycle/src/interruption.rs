//! The error of an operation that the user interrupted.

use model::{Error, ErrorClass};

/// An error of class Interrupted with the headline `what` and the reasons of `error`. The next steps of `error` are
/// dropped: they are for a failure.
pub(crate) fn interrupted(what: impl Into<String>, error: &Error) -> Error {
    let what = what.into();
    let reasons = std::iter::once(error.what()).chain(error.why().iter().map(String::as_str));
    let reasons: Vec<&str> = reasons.filter(|reason| *reason != "interrupted" && *reason != what).collect();
    reasons.into_iter().fold(Error::new(ErrorClass::Interrupted, what), Error::because)
}
