//! Finds the host's Debian mirror in its apt sources, to fetch the guest's packages from there.
//!
//! Only the address of the mirror is used; suites and keys are the guest's own. The address is not written anywhere.

use std::path::Path;

use super::recipe::SUITE;

/// Suites of Debian. Those of Ubuntu and of third parties have other names.
const DEBIAN_SUITES: [&str; 10] =
    ["bullseye", "bookworm", "trixie", "forky", "sid", "oldstable", "stable", "testing", "unstable", "duke"];

/// An entry of the host's sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    uri: String,
    suite: String,
}

/// Reads `/etc/apt/sources.list` and `/etc/apt/sources.list.d` below `root`; files that cannot be read are skipped.
pub(super) fn of_host(root: &Path) -> Vec<Source> {
    let directory = root.join("etc/apt");
    let mut sources = one_line_entries(&std::fs::read_to_string(directory.join("sources.list")).unwrap_or_default());
    let mut files: Vec<_> = std::fs::read_dir(directory.join("sources.list.d"))
        .map(|read| read.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => sources.extend(one_line_entries(&text)),
            Some("sources") => sources.extend(deb822_entries(&text)),
            _ => {}
        }
    }
    sources
}

/// The lines for mmdebstrap: main archive, updates and, if the host has it, security of the guest's suite. Empty if the
/// host has no Debian source; then mmdebstrap uses its defaults.
pub(super) fn mirror_lines(sources: &[Source]) -> Vec<String> {
    let main = sources.iter().find(|source| source.is_debian() && !source.suite.contains('-'));
    let Some(main) = main else { return Vec::new() };
    let security = sources.iter().find(|source| source.is_debian() && source.suite.ends_with("-security"));
    let mut lines = vec![format!("deb {} {SUITE} main", main.uri), format!("deb {} {SUITE}-updates main", main.uri)];
    lines.extend(security.map(|source| format!("deb {} {SUITE}-security main", source.uri)));
    lines
}

impl Source {
    fn is_debian(&self) -> bool {
        let release = self.suite.split(['-', '/']).next().unwrap_or_default();
        let path = self.uri.trim_end_matches('/');
        (self.uri.starts_with("http://") || self.uri.starts_with("https://"))
            && DEBIAN_SUITES.contains(&release)
            && (path.ends_with("/debian") || path.ends_with("/debian-security"))
    }
}

/// Parses the one-line format of sources.list(5).
fn one_line_entries(text: &str) -> Vec<Source> {
    text.lines()
        .filter_map(|line| {
            let line = line.split('#').next().unwrap_or_default().trim();
            let rest = line.strip_prefix("deb")?.strip_prefix([' ', '\t'])?.trim_start();
            let rest = match rest.strip_prefix('[') {
                Some(options) => options.split_once(']')?.1,
                None => rest,
            };
            let mut words = rest.split_whitespace();
            Some(Source { uri: words.next()?.to_owned(), suite: words.next()?.to_owned() })
        })
        .collect()
}

/// Parses the deb822 format of sources.list(5): in a paragraph, every URI is combined with every suite.
fn deb822_entries(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    for paragraph in lines.split(|line| line.trim().is_empty()) {
        if field(paragraph, "enabled").is_some_and(|value| matches!(value[..], ["no" | "false" | "0" | "off"])) {
            continue;
        }
        if !field(paragraph, "types").is_some_and(|types| types.contains(&"deb")) {
            continue;
        }
        for uri in field(paragraph, "uris").unwrap_or_default() {
            for suite in field(paragraph, "suites").unwrap_or_default() {
                sources.push(Source { uri: uri.to_owned(), suite: suite.to_owned() });
            }
        }
    }
    sources
}

/// The words of a field and of its continuation lines.
fn field<'a>(paragraph: &[&'a str], name: &str) -> Option<Vec<&'a str>> {
    let mut found: Option<Vec<&str>> = None;
    let mut inside = false;
    for line in paragraph {
        let value = if line.starts_with([' ', '\t']) {
            *line
        } else {
            let (key, value) = line.split_once(':')?;
            inside = key.eq_ignore_ascii_case(name);
            value
        };
        if inside {
            found.get_or_insert_default().extend(value.split_whitespace());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_line_format_gives_mirror_updates_and_security() {
        let text = "\
# deb http://old.example/debian bookworm main
deb-src http://src.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/other.gpg] https://packages.example/apt cloud-sdk main
deb [ arch=amd64 ] http://mirror.example/debian/ bookworm main # near
deb http://mirror.example/debian bookworm-updates main
deb https://mirror.example/debian-security bookworm-security main
";
        insta::assert_snapshot!(mirror_lines(&one_line_entries(text)).join("\n"), @r"
        deb http://mirror.example/debian/ trixie main
        deb http://mirror.example/debian/ trixie-updates main
        deb https://mirror.example/debian-security trixie-security main
        ");
    }

    #[test]
    fn the_deb822_format_has_paragraphs_comments_and_continued_fields() {
        let text = "\
Types: deb deb-src
# a comment inside
URIs: http://mirror.example/debian
Suites: bookworm
 bookworm-updates
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian-security
Suites: bookworm-security

Types: deb-src
URIs: http://src.example/debian
Suites: sid
";
        insta::assert_snapshot!(mirror_lines(&deb822_entries(text)).join("\n"), @r"
        deb http://mirror.example/debian trixie main
        deb http://mirror.example/debian trixie-updates main
        ");
    }

    #[test]
    fn a_host_of_another_system_leaves_the_choice_to_mmdebstrap() {
        for text in [
            "",
            "deb http://archive.ubuntu.example/ubuntu noble main",
            "deb http://mirror.example/debian noble main",
            "deb cdrom:[Debian]/debian bookworm main",
            "deb file:/srv/debian bookworm main",
            "deb http://mirror.example/debian bookworm-security main",
        ] {
            assert_eq!(mirror_lines(&one_line_entries(text)), [""; 0], "{text}");
        }
    }

    #[test]
    fn both_kinds_of_files_are_read_and_others_are_not() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(of_host(root.path()), []);
        let directory = root.path().join("etc/apt/sources.list.d");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("b.sources"), "Types: deb\nURIs: http://b.example/debian\nSuites: sid\n")
            .unwrap();
        std::fs::write(directory.join("a.list"), "deb http://a.example/debian sid main\n").unwrap();
        std::fs::write(directory.join("c.save"), "deb http://c.example/debian sid main\n").unwrap();
        let uris: Vec<_> = of_host(root.path()).into_iter().map(|source| source.uri).collect();
        assert_eq!(uris, ["http://a.example/debian", "http://b.example/debian"]);
    }
}
