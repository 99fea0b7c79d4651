//! The proxy for a URL, by the environment variables that curl and most tools read.

use std::net::IpAddr;

use ureq::Proxy;

use super::address::{host, is_encrypted};

/// Looks a variable up.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The proxy for `url`: `HTTPS_PROXY` or `HTTP_PROXY` by its scheme, else `ALL_PROXY`, in capitals or not. A name in
/// `NO_PROXY` excludes itself and its subdomains, `*` everything. This host is never reached through a proxy.
///
/// # Errors
/// The name of the variable that is not the address of a proxy.
pub(super) fn of(url: &str, environment: Environment) -> Result<Option<Proxy>, String> {
    if is_this_machine(url) {
        return Ok(None);
    }
    let of_scheme = if is_encrypted(url) { ["https_proxy", "HTTPS_PROXY"] } else { ["http_proxy", "HTTP_PROXY"] };
    let candidates = of_scheme.into_iter().chain(["all_proxy", "ALL_PROXY"]);
    let Some((name, text)) =
        candidates.filter_map(|name| Some((name, environment(name)?))).find(|(_, text)| !text.trim().is_empty())
    else {
        return Ok(None);
    };
    let unusable = |_| name.to_owned();
    let parsed = Proxy::new(text.trim()).map_err(unusable)?;
    let mut proxy = Proxy::builder(parsed.protocol())
        .host(parsed.host())
        .port(parsed.port())
        .resolve_target(parsed.resolve_target());
    if let Some(user) = parsed.username() {
        proxy = proxy.username(user);
    }
    if let Some(password) = parsed.password() {
        proxy = proxy.password(password);
    }
    for expression in exceptions(&environment("no_proxy").or_else(|| environment("NO_PROXY")).unwrap_or_default()) {
        proxy = proxy.no_proxy(&expression);
    }
    proxy.build().map(Some).map_err(unusable)
}

fn is_this_machine(url: &str) -> bool {
    let host = host(url);
    let name = host
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
        .map_or_else(|| host.rsplit_once(':').map_or(host, |(name, _)| name), |(address, _)| address);
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The entries of `NO_PROXY` for the library: each name, and with a dot before it for its subdomains.
fn exceptions(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in text.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()) {
        let name = entry.trim_start_matches('*').trim_start_matches('.');
        if entry == "*" {
            found.push("*".to_owned());
        } else if !name.is_empty() {
            found.extend([name.to_owned(), format!(".{name}")]);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(url: &str, variables: &[(&str, &str)]) -> String {
        let environment =
            |name: &str| variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned());
        match of(url, &environment) {
            Ok(Some(proxy)) if proxy.is_no_proxy(&url.parse().unwrap()) => "direct, by NO_PROXY".to_owned(),
            Ok(Some(proxy)) => format!("{} {}:{}", proxy.protocol(), proxy.host(), proxy.port()),
            Ok(None) => "direct".to_owned(),
            Err(name) => format!("{name} is wrong"),
        }
    }

    #[test]
    fn the_variable_of_the_scheme_decides() {
        let both = [("HTTPS_PROXY", "http://secure.test:3128"), ("http_proxy", "plain.test:8080")];
        for (url, variables, expected) in [
            ("https://a.test/", &both[..], "HTTP secure.test:3128"),
            ("http://a.test/", &both[..], "HTTP plain.test:8080"),
            ("http://a.test/", &both[..1], "direct"),
            ("https://a.test/", &[("ALL_PROXY", "http://any.test")][..], "HTTP any.test:80"),
            ("https://a.test/", &[("https_proxy", ""), ("HTTPS_PROXY", " ")][..], "direct"),
            ("https://a.test/", &[("https_proxy", "what://is this")][..], "https_proxy is wrong"),
        ] {
            assert_eq!(chosen(url, variables), expected, "{url} {variables:?}");
        }
    }

    #[test]
    fn this_machine_is_asked_directly() {
        let variables = [("http_proxy", "http://proxy.test"), ("https_proxy", "http://proxy.test")];
        for url in ["http://127.0.0.1/", "https://localhost:8443/x", "http://[::1]:80/", "http://127.1.2.3:5"] {
            assert_eq!(chosen(url, &variables), "direct", "{url}");
        }
        assert_eq!(chosen("http://localhost.test/", &variables), "HTTP proxy.test:80");
    }

    #[test]
    fn exceptions_are_names_and_their_subdomains() {
        for (exceptions, url, direct) in [
            ("k3s.io", "https://k3s.io/", true),
            ("k3s.io", "https://update.k3s.io/", true),
            (".k3s.io", "https://update.k3s.io/", true),
            ("*.k3s.io", "https://update.k3s.io/", true),
            ("localhost, K3S.io", "https://update.k3s.io/", true),
            ("*", "https://update.k3s.io/", true),
            ("3s.io", "https://update.k3s.io/", false),
            ("github.com", "https://update.k3s.io/", false),
            ("", "https://update.k3s.io/", false),
        ] {
            let variables = [("HTTPS_PROXY", "http://proxy.test"), ("NO_PROXY", exceptions)];
            let expected = if direct { "direct, by NO_PROXY" } else { "HTTP proxy.test:80" };
            assert_eq!(chosen(url, &variables), expected, "{exceptions}");
        }
    }
}
