//! A line of QMP, parsed as far as needed to know its kind. Pure.

use model::{Error, ErrorClass, Result};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::answer::Object;

/// A line of QMP: a greeting, an event, or an answer. The value of an answer is parsed when its type is known.
#[derive(Deserialize)]
pub(super) struct Message<'a> {
    #[serde(rename = "QMP")]
    pub(super) greeting: Option<IgnoredAny>,
    pub(super) event: Option<String>,
    #[serde(borrow)]
    pub(super) data: Option<&'a RawValue>,
    pub(super) id: Option<u64>,
    #[serde(rename = "return", borrow)]
    pub(super) value: Option<&'a RawValue>,
    pub(super) error: Option<Object<Refusal>>,
}

#[derive(Deserialize)]
pub(super) struct Refusal {
    pub(super) desc: Option<String>,
}

/// Parses a line.
pub(super) fn parse(line: &[u8]) -> Result<Message<'_>> {
    serde_json::from_slice(line).map(|Object(message)| message).map_err(|_| not_qmp(line))
}

/// The error for a line that is not QMP.
pub(super) fn not_qmp(line: &[u8]) -> Error {
    let shown: String = String::from_utf8_lossy(line).chars().take(80).collect();
    Error::new(ErrorClass::Failed, "what answers on the QMP socket is not QEMU").because(format!("it says: {shown}"))
}
