//! Colors by role. Color alone never carries meaning.

use std::fmt::Display;

/// The style of text, with or without colors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    color: bool,
}

impl Style {
    /// Without colors.
    pub(crate) const PLAIN: Style = Style { color: false };

    /// With colors if `color`.
    pub(crate) fn new(color: bool) -> Self {
        Style { color }
    }
    /// Errors and failed steps.
    pub(crate) fn error(self, text: impl Display) -> String {
        self.paint("1;31", text)
    }
    /// Warnings.
    pub(crate) fn warning(self, text: impl Display) -> String {
        self.paint("1;33", text)
    }
    /// Removed lines of a diff.
    pub(crate) fn removed(self, text: impl Display) -> String {
        self.paint("31", text)
    }
    /// Successful outcomes, and added lines of a diff.
    pub(crate) fn good(self, text: impl Display) -> String {
        self.paint("32", text)
    }
    /// Headings, labels and commands to type.
    pub(crate) fn strong(self, text: impl Display) -> String {
        self.paint("1", text)
    }
    /// Text of little interest.
    pub(crate) fn faint(self, text: impl Display) -> String {
        self.paint("2", text)
    }

    /// Select Graphic Rendition of ECMA-48.
    fn paint(self, code: &str, text: impl Display) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_are_optional() {
        assert_eq!(Style::PLAIN.error("no"), "no");
        assert_eq!(Style::new(true).error("no"), "\x1b[1;31mno\x1b[0m");
    }
}
