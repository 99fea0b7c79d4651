//! Names by pattern: `*` stands for any letters, `?` for one, a leading `!` leaves out what it matches.

use wildmatch::WildMatch;

/// Which names are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patterns(Vec<String>);

impl Patterns {
    /// All names that one of `patterns` matches and none that begins with `!`. Where all begin with `!`, every name
    /// is meant that none of them leaves out.
    pub fn new(patterns: Vec<String>) -> Self {
        Patterns(patterns)
    }

    /// Every name.
    pub fn all() -> Self {
        Patterns(vec!["*".to_owned()])
    }

    /// Whether one of the ways to write a name is meant and none of them left out.
    pub fn matches(&self, names: &[&str]) -> bool {
        let matched = |pattern: &str| names.iter().any(|name| WildMatch::new(pattern).matches(name));
        let left_out = self.0.iter().filter_map(|pattern| pattern.strip_prefix('!')).any(matched);
        let mut meant = self.0.iter().filter(|pattern| !pattern.starts_with('!')).peekable();
        let meant = match meant.peek() {
            None => !self.0.is_empty(),
            Some(_) => meant.any(|pattern| matched(pattern)),
        };
        meant && !left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_meant_unless_left_out() {
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
