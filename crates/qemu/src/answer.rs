//! Untrusted answers: of the guest, or of a QEMU that the guest has taken over. They are read into the type that is
//! expected, or refused; no tree is made of anything else.
//!
//! Pure. `wire` limits the length of a line; each command sets the limit.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};

/// The longest line of most answers, in bytes.
pub(crate) const SMALL: usize = 64 << 10;
/// How many characters of untrusted text an error shows.
const SHOWN: usize = 400;

/// A JSON object. serde would also read a struct from a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Object)
    }
}

/// An object of which no member is needed.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Nothing {}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members))
    }
}

/// Reads JSON as a `T`.
///
/// # Errors
/// What is wrong with it, as a sentence.
pub(crate) fn read<T: DeserializeOwned>(json: &str) -> Result<T, String> {
    serde_json::from_str(json).map_err(|error| format!("the answer is not understood: {}", shown(&error.to_string())))
}

/// Untrusted text for an error, cut.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Pair {
        #[allow(dead_code)]
        one: u8,
        #[serde(default)]
        #[allow(dead_code)]
        two: u8,
    }

    #[test]
    fn a_list_in_the_place_of_an_object_is_refused() {
        assert!(read::<Pair>("[1]").is_ok(), "the library itself would take it");
        assert!(read::<Object<Pair>>(r#"{"one": 1, "more": [{}]}"#).is_ok());
        for text in ["[1]", "[]", "null", "7", r#"{"one": 256}"#, r#"{"one": -1}"#, r#"{"one": 1, "one": 1}"#, "{}", ""]
        {
            assert!(read::<Object<Pair>>(text).is_err(), "{text}");
        }
    }
}
