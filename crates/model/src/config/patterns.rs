//! Patterns of names: `*` matches any text, `?` one character; a leading `!` excludes what the pattern matches.

use wildmatch::WildMatch;

/// A selection of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patterns(Vec<String>);

impl Patterns {
    /// Selects all names that one of `patterns` matches, except those that a pattern with `!` excludes. If all patterns
    /// begin with `!`, selects every name that none of them excludes.
    pub fn new(patterns: Vec<String>) -> Self {
        Patterns(patterns)
    }

    /// Selects every name.
    pub fn all() -> Self {
        Patterns(vec!["*".to_owned()])
    }

    /// Whether a name is selected. `names` are the ways to write it: one must be selected and none excluded.
    pub fn matches(&self, names: &[&str]) -> bool {
        let matched = |pattern: &str| names.iter().any(|name| WildMatch::new(pattern).matches(name));
        let excluded = self.0.iter().filter_map(|pattern| pattern.strip_prefix('!')).any(matched);
        let mut selected = self.0.iter().filter(|pattern| !pattern.starts_with('!')).peekable();
        let selected = match selected.peek() {
            None => !self.0.is_empty(),
            Some(_) => selected.any(|pattern| matched(pattern)),
        };
        selected && !excluded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_selected_unless_excluded() {
        for (patterns, name, expected) in [
            (&["*"][..], "web", true),
            (&["web", "api-*"], "api-1", true),
            (&["web", "api-*"], "worker", false),
            (&["*", "!SECRET_*"], "SECRET_KEY", false),
            (&["!SECRET_*"], "PORT", true),
            (&["!SECRET_*"], "SECRET_KEY", false),
            (&["w?b"], "web", true),
            (&[], "web", false),
        ] {
            let patterns = Patterns::new(patterns.iter().map(|text| (*text).to_owned()).collect());
            assert_eq!(patterns.matches(&[name]), expected, "{patterns:?} {name}");
        }
    }

    #[test]
    fn either_way_to_write_a_name_counts() {
        let patterns = Patterns::new(vec!["shop/web".to_owned()]);
        assert!(patterns.matches(&["web", "shop/web"]));
        assert!(!patterns.matches(&["web", "default/web"]));
    }
}
