//! URLs as they are shown and compared.

/// The host and port of a URL, for messages; the whole text if it has none.
pub(super) fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    authority.rsplit('@').next().unwrap_or(authority)
}

/// The URL without user name and password, for messages and files.
pub(super) fn shown(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let (authority, path) = rest.split_at(end);
            format!("{scheme}://{}{path}", authority.rsplit('@').next().unwrap_or(authority))
        }
        None => url.to_owned(),
    }
}

/// Whether the URL is HTTPS, which must not be redirected to HTTP.
pub(super) fn is_encrypted(url: &str) -> bool {
    url.get(..8).is_some_and(|begin| begin.eq_ignore_ascii_case("https://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        for (url, name, text) in [
            ("https://a.example/b", "a.example", "https://a.example/b"),
            ("http://user:p%40ss@a.example:8080/b?c=@d", "a.example:8080", "http://a.example:8080/b?c=@d"),
            ("http://a.example", "a.example", "http://a.example"),
            ("http://[::1]:80/x", "[::1]:80", "http://[::1]:80/x"),
            ("nonsense", "nonsense", "nonsense"),
        ] {
            assert_eq!((host(url), shown(url).as_str()), (name, text));
        }
    }

    #[test]
    fn only_https_is_encrypted() {
        assert!(is_encrypted("HTTPS://a") && !is_encrypted("http://a") && !is_encrypted("é"));
    }
}
