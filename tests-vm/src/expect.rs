//! Results that fail a test with the error's own words.

/// The value of a result that must be `Ok`.
///
/// # Panics
/// With the whole error when it is not.
#[track_caller]
pub(crate) fn expect_ok<T>(result: model::Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}
