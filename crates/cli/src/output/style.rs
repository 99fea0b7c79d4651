//! Colours, by role. Meaning is never carried by colour alone.

use std::fmt::Display;

/// Whether and how text is coloured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    color: bool,
}

impl Style {
    /// No colour.
    pub(crate) const PLAIN: Style = Style { color: false };

    /// Colour where `color` says so.
    pub(crate) fn new(color: bool) -> Self {
        Style { color }
    }
    /// What went wrong.
    pub(crate) fn error(self, text: impl Display) -> String {
        self.paint("1;31", text)
    }
    /// What should be looked at.
    pub(crate) fn warning(self, text: impl Display) -> String {
        self.paint("1;33", text)
    }
    /// What is taken away.
    pub(crate) fn removed(self, text: impl Display) -> String {
        self.paint("31", text)
    }
    /// What went well.
    pub(crate) fn good(self, text: impl Display) -> String {
        self.paint("32", text)
    }
    /// What stands out: headings, commands to type.
    pub(crate) fn strong(self, text: impl Display) -> String {
        self.paint("1", text)
    }
    /// What may be skipped while reading.
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
    fn colours_only_when_told() {
        assert_eq!(Style::PLAIN.error("no"), "no");
        assert_eq!(Style::new(true).error("no"), "\x1b[1;31mno\x1b[0m");
    }
}
