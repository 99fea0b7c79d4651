//! The known name that a misspelt one probably means.

use super::key::VARIABLE_PREFIX;

/// Returns `; did you mean X?`, or an empty text if no name is near.
pub(super) fn hint<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    // All variables begin alike, which must not make them near.
    let bare = |name: &'a str| name.strip_prefix(VARIABLE_PREFIX).unwrap_or(name);
    let wanted = name.strip_prefix(VARIABLE_PREFIX).unwrap_or(name);
    let scored = known.map(|candidate| (strsim::jaro_winkler(wanted, bare(candidate)), candidate));
    // Names below this score have little more than some letters in common.
    const NEAR: f64 = 0.75;
    match scored.filter(|(score, _)| *score >= NEAR).max_by(|(one, _), (other, _)| one.total_cmp(other)) {
        Some((_, candidate)) => format!("; did you mean {candidate}?"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::hint;

    #[test]
    fn the_common_prefix_of_variables_does_not_make_them_near() {
        let known = ["K3S_VM_PORTS_API", "K3S_VM_VM_CPUS"];
        assert_eq!(hint("K3S_VM_PORT_API", known.into_iter()), "; did you mean K3S_VM_PORTS_API?");
        assert_eq!(hint("K3S_VM_X", known.into_iter()), "");
    }

    #[test]
    fn a_typo_finds_its_name_and_nonsense_finds_none() {
        let known = ["api", "ssh", "web", "bind", "memory"];
        for (name, expected) in [
            ("apii", "; did you mean api?"),
            ("memry", "; did you mean memory?"),
            ("bnid", "; did you mean bind?"),
            ("colour", ""),
        ] {
            assert_eq!(hint(name, known.into_iter()), expected, "{name}");
        }
    }
}
