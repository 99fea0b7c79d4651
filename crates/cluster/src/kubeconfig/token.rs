//! Bearer tokens.

use std::fmt;

/// The longest token in bytes; real ones have about a thousand.
const LONGEST_TOKEN: usize = 16 * 1024;

/// A bearer token.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token in `text`, which may come from anybody; `None` where it has a character that no token has (RFC 6750,
    /// b64token).
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        (!text.is_empty() && text.len() <= LONGEST_TOKEN && text.bytes().all(legal)).then(|| Token(text.to_owned()))
    }

    /// A placeholder for the token that an apply would make.
    pub fn to_be_made() -> Self {
        Token("to-be-made-by-apply".to_owned())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Tokens stay out of debug output.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_stay_out_of_debug_output() {
        assert_eq!(format!("{:?}", Token::parse("secret")), "Some(Token)");
    }
}
