//! Names of container images, normalized as the kubelet does before it looks them up.
//!
//! Pure. The rules are those of github.com/distribution/reference, `ParseDockerRef`, which containerd's CRI uses.

use std::fmt;

use model::{Error, ErrorClass, Result};

const DEFAULT_REGISTRY: &str = "docker.io";
const LEGACY_REGISTRY: &str = "index.docker.io";
const OFFICIAL: &str = "library";
const DEFAULT_TAG: &str = "latest";

/// A full name: `docker.io/library/nginx:latest`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName(String);

impl ImageName {
    /// Reads a name as people and manifests write it: `nginx`, `local/web:dev`, `ghcr.io/a/b@sha256:…`. The tag of a
    /// name that also has a digest is dropped.
    ///
    /// # Errors
    /// A Config error that says which rule the name breaks.
    pub fn parse(text: &str) -> Result<Self> {
        full_name(text).map(ImageName).map_err(|why| {
            Error::new(ErrorClass::Config, format!("`{text}` is no name of a container image")).because(why)
        })
    }

    /// The full name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tag; `None` for a name with a digest.
    pub fn tag(&self) -> Option<&str> {
        if self.0.contains('@') { None } else { split_tag(&self.0).1 }
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn full_name(text: &str) -> Result<String, String> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    let (name, tag) = split_tag(rest);
    let (registry, path) = split_registry(name);
    check_registry(registry)?;
    check_path(path)?;
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("64 hexadecimal digits are an image's id, not a name".to_owned());
    }
    let path = if registry == DEFAULT_REGISTRY && !path.contains('/') {
        format!("{OFFICIAL}/{path}")
    } else {
        path.to_owned()
    };
    if registry.len() + 1 + path.len() > 255 {
        return Err("it is longer than 255 characters".to_owned());
    }
    if let Some(tag) = tag {
        check_tag(tag)?;
    }
    match digest {
        Some(digest) => {
            check_digest(digest)?;
            Ok(format!("{registry}/{path}@{digest}"))
        }
        None => Ok(format!("{registry}/{path}:{}", tag.unwrap_or(DEFAULT_TAG))),
    }
}

/// The colon of a registry's port comes before a slash, the colon of a tag does not.
fn split_tag(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (name, None),
    }
}

/// The first part is a registry if it has a dot, a colon or an upper-case letter, or is `localhost`.
fn split_registry(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((LEGACY_REGISTRY, path)) => (DEFAULT_REGISTRY, path),
        Some((first, path))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.contains(|letter: char| letter.is_ascii_uppercase()) =>
        {
            (first, path)
        }
        _ => (DEFAULT_REGISTRY, name),
    }
}

fn check_registry(registry: &str) -> Result<(), String> {
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (registry, None),
    };
    let label_is_legal = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let port_is_legal = port.is_none_or(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_is_legal = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(label_is_legal),
    };
    if host_is_legal && port_is_legal { Ok(()) } else { Err(format!("`{registry}` is no registry")) }
}

/// Components of lower-case letters and digits, joined by `.`, `_`, `__` or dashes.
fn check_path(path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Err("it is empty".to_owned());
    }
    for component in path.split('/') {
        let legal = component
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-'));
        let word = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = component.as_bytes();
        if !legal || !word(bytes.first()) || !word(bytes.last()) || !separators_are_legal(component) {
            return Err(format!(
                "`{component}` has something other than lower-case letters, digits and single `.`, `_` or `-` between them"
            ));
        }
    }
    Ok(())
}

fn separators_are_legal(component: &str) -> bool {
    component
        .split(|letter: char| letter.is_ascii_alphanumeric())
        .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-'))
}

fn check_tag(tag: &str) -> Result<(), String> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let first = tag.bytes().next().is_some_and(legal);
    if first && tag.len() <= 128 && tag.bytes().all(|byte| legal(byte) || byte == b'.' || byte == b'-') {
        Ok(())
    } else {
        Err(format!("`{tag}` is no tag: letters, digits, `_`, `.` and `-`, at most 128"))
    }
}

fn check_digest(digest: &str) -> Result<(), String> {
    let hexadecimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let legal = match digest.split_once(':') {
        Some(("sha256", encoded)) => encoded.len() == 64 && hexadecimal(encoded),
        Some(("sha384", encoded)) => encoded.len() == 96 && hexadecimal(encoded),
        Some(("sha512", encoded)) => encoded.len() == 128 && hexadecimal(encoded),
        _ => false,
    };
    if legal { Ok(()) } else { Err(format!("`{digest}` is no digest such as sha256:64 hexadecimal digits")) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn names_are_written_out_as_the_kubelet_looks_them_up() {
        let with_digest = |name: &str| format!("{name}@{DIGEST}");
        for (text, expected) in [
            ("nginx".to_owned(), "docker.io/library/nginx:latest".to_owned()),
            ("nginx:1.27".to_owned(), "docker.io/library/nginx:1.27".to_owned()),
            ("local/web:dev".to_owned(), "docker.io/local/web:dev".to_owned()),
            ("docker.io/nginx".to_owned(), "docker.io/library/nginx:latest".to_owned()),
            ("index.docker.io/a/b".to_owned(), "docker.io/a/b:latest".to_owned()),
            ("localhost/web".to_owned(), "localhost/web:latest".to_owned()),
            ("localhost:5000/web".to_owned(), "localhost:5000/web:latest".to_owned()),
            ("web:5000".to_owned(), "docker.io/library/web:5000".to_owned()),
            ("ghcr.io/a/b/c:v1_2".to_owned(), "ghcr.io/a/b/c:v1_2".to_owned()),
            ("HOST/web".to_owned(), "HOST/web:latest".to_owned()),
            ("[::1]:5000/web".to_owned(), "[::1]:5000/web:latest".to_owned()),
            ("a--b/c__d.e".to_owned(), "docker.io/a--b/c__d.e:latest".to_owned()),
            (with_digest("nginx"), with_digest("docker.io/library/nginx")),
            (with_digest("nginx:1.27"), with_digest("docker.io/library/nginx")),
        ] {
            assert_eq!(ImageName::parse(&text).unwrap().as_str(), expected, "{text}");
        }
    }

    #[test]
    fn a_tag_is_distinguished_from_a_port() {
        let name = ImageName::parse("localhost:5000/web").unwrap();
        assert_eq!(name.tag(), Some("latest"));
        let name = ImageName::parse(&format!("localhost:5000/web:dev@{DIGEST}")).unwrap();
        assert_eq!(name.tag(), None);
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let mut messages = String::new();
        for text in [
            "",
            "Web",
            "a/Web",
            "web:",
            "web:-x",
            "a//b",
            "a/",
            "-a",
            "a_-b",
            "a..b",
            "web@sha256:12",
            "a b",
            "h.:x/web",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ] {
            messages += &format!("{}\n", ImageName::parse(text).unwrap_err());
        }
        insta::assert_snapshot!(messages, @r#"
        `` is no name of a container image: it is empty
        `Web` is no name of a container image: `Web` has something other than lower-case letters, digits and single `.`, `_` or `-` between them
        `a/Web` is no name of a container image: `Web` has something other than lower-case letters, digits and single `.`, `_` or `-` between them
        `web:` is no name of a container image: `` is no tag: letters, digits, `_`, `.` and `-`, at most 128
        `web:-x` is no name of a container image: `-x` is no tag: letters, digits, `_`, `.` and `-`, at most 128
        `a//b` is no name of a container image: `` has something other than lower-case letters, digits and single `.`, `_` or `-` between them
        `a/` is no name of a container image: `` has something other than lower-case letters, digits and single `.`, `_` or `-` between them
        `-a` is no name of a container image: `-a` has something other than lower-case letters, digits and single `.`, `_` or `-` between them
        `a_-b` is no name of a container image: `a_-b` has something other than lower-case letters, digits and single `.`, `_` or `-` between them
        `a..b` is no name of a container image: `a..b` has something other than lower-case letters, digits and single `.`, `_` or `-` between them
        `web@sha256:12` is no name of a container image: `sha256:12` is no digest such as sha256:64 hexadecimal digits
        `a b` is no name of a container image: `a b` has something other than lower-case letters, digits and single `.`, `_` or `-` between them
        `h.:x/web` is no name of a container image: `h.:x` is no registry
        `e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855` is no name of a container image: 64 hexadecimal digits are an image's id, not a name
        "#);
    }

    proptest! {
        #[test]
        fn a_full_name_is_unchanged(
            registry in prop_oneof![Just(String::new()), "[a-z]{1,5}\\.[a-z]{2,3}(:[1-9][0-9]{1,3})?/", Just("localhost/".to_owned())],
            path in "[a-z0-9]{1,6}([._-][a-z0-9]{1,4})?(/[a-z0-9]{1,6}){0,2}",
            tag in prop_oneof![Just(String::new()), ":[A-Za-z0-9_][A-Za-z0-9_.-]{0,10}", Just(format!("@{DIGEST}"))],
        ) {
            let once = ImageName::parse(&format!("{registry}{path}{tag}")).unwrap();
            let twice = ImageName::parse(once.as_str()).unwrap();
            prop_assert_eq!(&twice, &once);
            prop_assert!(once.as_str().contains('/'));
            prop_assert_eq!(once.tag().is_some(), !tag.starts_with('@'));
        }

        #[test]
        fn nothing_makes_it_panic(text in "\\PC{0,40}") {
            let _ = ImageName::parse(&text);
        }
    }
}
