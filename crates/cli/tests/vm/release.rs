//! Starts that need a release of K3s that cannot be downloaded, and downloads through proxies and with own
//! certificates.

use testkit::Script;
use testkit::http_server::{Answer, HttpServer, Request};
use testkit::proxy_server::ProxyServer;

use crate::setup::Setup;

/// Some digest.
const DIGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A project that downloads K3s from `mirror`. Its lock file has digests that no release has, so that a start that
/// reaches the mirror ends there.
fn project(mirror: &str) -> Setup {
    let setup = Setup::new(&Script::default());
    let config = format!("[image]\nprovider = \"debian\"\ndistribution = \"k3s\"\n[k3s]\nmirror = \"{mirror}\"\n");
    setup.project.write(".k3s-vm/config.toml", &config);
    setup
}

fn lock(setup: &Setup) {
    let other = "f".repeat(64);
    let text = format!(
        "version = 1\nrequested = \"stable\"\nrelease = \"v1.33.5+k3s1\"\n\
         [sha256]\nk3s = \"{other}\"\n\"k3s-airgap-images-amd64.tar.zst\" = \"{DIGEST}\"\n"
    );
    setup.project.write(".k3s-vm/k3s.lock", &text);
}

fn release(request: &Request, _before: usize) -> Answer {
    match request.path.as_str() {
        "/channels/stable" => Answer::redirect("/releases/tag/v1.33.5+k3s1"),
        "/v1.33.5%2Bk3s1/sha256sum-amd64.txt" => {
            Answer::body(format!("{DIGEST}  k3s\n{DIGEST}  k3s-airgap-images-amd64.tar.zst\n"))
        }
        _ => Answer::status(404),
    }
}

/// The output of a start with these variables in its environment.
fn says(setup: &Setup, variables: &[(&str, &str)], code: i32) -> String {
    let mut command = setup.command(&["start"]);
    for name in
        ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"]
    {
        command.env_remove(name);
    }
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let text = setup.steady(&String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

#[test]
fn nobody_answers() {
    let nobody = format!("127.0.0.1:{}", testkit::port::free());
    let setup = project(&format!("http://{nobody}"));
    insta::assert_snapshot!(says(&setup, &[], 69).replace(&nobody, "NOBODY"), @r#"
    [1/11] Checking the host …
    Error: cannot fetch http://NOBODY/channels/stable
      NOBODY cannot be reached: it refuses the connection

    Next: correct k3s.mirror in .k3s-vm/config.toml, if it is wrong
    Next: export HTTPS_PROXY=http://HOST:PORT    # if your network has a proxy
    Next: k3s-vm start --k3s-binary FILE --k3s-images FILE    # a release that you have as files
    Next: or set image.distribution = "kubernetes": upstream Kubernetes, built on this machine
    "#);
}

#[test]
fn there_is_no_such_release() {
    let mirror = HttpServer::start(|_, _| Answer::status(404));
    let setup = project(&mirror.url(""));
    insta::assert_snapshot!(says(&setup, &[], 1).replace(&mirror.address().to_string(), "MIRROR"), @r#"
    [1/11] Checking the host …
    Error: cannot fetch http://MIRROR/channels/stable
      MIRROR answers 404: it has no such file
      the mirror does not know this channel

    Next: name a release in .k3s-vm/config.toml instead: k3s.version = "v1.33.5+k3s1", for example
    "#);
}

#[test]
fn the_checksums_are_none() {
    let mirror = HttpServer::start(|request, before| match request.path.contains("sha256") {
        true => Answer::body("<html>"),
        false => release(request, before),
    });
    let setup = project(&mirror.url(""));
    insta::assert_snapshot!(says(&setup, &[], 1).replace(&mirror.address().to_string(), "MIRROR"), @r#"
    [1/11] Checking the host …
    Error: http://MIRROR/v1.33.5%2Bk3s1/sha256sum-amd64.txt cannot be used
      it has no SHA-256 of k3s
      something else may have answered in its place, such as a login page of your network

    Next: correct k3s.mirror in .k3s-vm/config.toml, if it is wrong
    Next: export HTTPS_PROXY=http://HOST:PORT    # if your network has a proxy
    Next: k3s-vm start --k3s-binary FILE --k3s-images FILE    # a release that you have as files
    Next: or set image.distribution = "kubernetes": upstream Kubernetes, built on this machine
    "#);
}

#[test]
fn the_release_is_not_the_one_of_the_lock_file() {
    let mirror = HttpServer::start(release);
    let setup = project(&mirror.url(""));
    lock(&setup);
    insta::assert_snapshot!(says(&setup, &[], 1), @r"
    [1/11] Checking the host …
    Error: K3s v1.33.5+k3s1 is not the one of .k3s-vm/k3s.lock
      k3s: the lock file has the SHA-256 ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff
      k3s: the release has the SHA-256 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
      released files never change: the lock file is wrong, or the release has been tampered with

    Next: rm .k3s-vm/k3s.lock    # only if you trust what is released now
    ");
}

#[test]
fn a_lock_file_with_a_conflict_is_not_guessed_at() {
    let setup = project("http://127.0.0.1:1");
    setup.project.write(".k3s-vm/k3s.lock", "<<<<<<< HEAD\nversion = 1\n");
    insta::assert_snapshot!(says(&setup, &[], 2), @r"
    [1/11] Checking the host …
    Error: PROJECT/.k3s-vm/k3s.lock cannot be used
      TOML parse error at line 1, column 9
        |
      1 | <<<<<<< HEAD
        |         ^
      key with no value, expected `=`

    Next: rm PROJECT/.k3s-vm/k3s.lock    # the next start writes a new one
    Next: or restore the one in your version control
    ");
}

#[test]
fn a_proxy_is_asked_for_names_that_this_machine_cannot_resolve() {
    let mirror = HttpServer::start(release);
    let proxy = ProxyServer::start(Some(mirror.address()));
    let setup = project("http://releases.test");
    lock(&setup);
    let text = says(&setup, &[("HTTP_PROXY", &proxy.url())], 1);
    assert!(text.contains("is not the one of .k3s-vm/k3s.lock"), "{text}");
    assert_eq!(proxy.tunnels(), ["CONNECT releases.test:80"]);
}

#[test]
fn a_proxy_that_refuses_makes_the_host_unreachable() {
    let proxy = ProxyServer::start(None);
    let setup = project("https://releases.test");
    insta::assert_snapshot!(says(&setup, &[("https_proxy", &proxy.url())], 69), @r#"
    [1/11] Checking the host …
    Error: cannot fetch https://releases.test/channels/stable
      releases.test cannot be reached: the proxy answers 403

    Next: correct k3s.mirror in .k3s-vm/config.toml, if it is wrong
    Next: export HTTPS_PROXY=http://HOST:PORT    # if your network has a proxy
    Next: k3s-vm start --k3s-binary FILE --k3s-images FILE    # a release that you have as files
    Next: or set image.distribution = "kubernetes": upstream Kubernetes, built on this machine
    "#);
}

#[test]
fn a_server_that_the_system_does_not_trust_is_refused_until_its_certificate_is_named() {
    let mirror = HttpServer::start_encrypted("releases.test", release);
    let setup = project(&format!("https://localhost:{}", mirror.address().port()));
    lock(&setup);
    let port = format!(":{}", mirror.address().port());
    insta::assert_snapshot!(says(&setup, &[], 69).replace(&port, ":PORT"), @r"
    [1/11] Checking the host …
    Error: cannot fetch https://localhost:PORT/v1.33.5%2Bk3s1/sha256sum-amd64.txt
      localhost:PORT cannot be trusted: invalid peer certificate: UnknownIssuer

    Next: add your company's certificate to the system's, or name it: export SSL_CERT_FILE=/path/to/ca.pem
    ");
    let certificate = setup.project.root().join("ca.pem");
    std::fs::write(&certificate, mirror.certificate()).unwrap();
    let text = says(&setup, &[("SSL_CERT_FILE", certificate.to_str().unwrap())], 1);
    assert!(text.contains("is not the one of .k3s-vm/k3s.lock"), "{text}");
}

#[test]
fn an_encrypted_server_is_reached_through_a_proxys_tunnel() {
    let mirror = HttpServer::start_encrypted("releases.test", release);
    let proxy = ProxyServer::start(Some(mirror.address()));
    let setup = project("https://releases.test");
    lock(&setup);
    let certificate = setup.project.root().join("ca.pem");
    std::fs::write(&certificate, mirror.certificate()).unwrap();
    let variables = [("SSL_CERT_FILE", certificate.to_str().unwrap()), ("HTTPS_PROXY", &proxy.url())];
    let text = says(&setup, &variables, 1);
    assert!(text.contains("is not the one of .k3s-vm/k3s.lock"), "{text}");
    assert_eq!(proxy.tunnels(), ["CONNECT releases.test:443"]);
}

#[test]
fn an_encrypted_server_must_not_redirect_to_one_that_is_not() {
    let plain = HttpServer::start(release);
    let to = plain.url("/sums");
    let mirror = HttpServer::start_encrypted("releases.test", move |_, _| Answer::redirect(to.clone()));
    let setup = project(&format!("https://localhost:{}", mirror.address().port()));
    lock(&setup);
    let certificate = setup.project.root().join("ca.pem");
    std::fs::write(&certificate, mirror.certificate()).unwrap();
    let text = says(&setup, &[("SSL_CERT_FILE", certificate.to_str().unwrap())], 1);
    assert!(text.contains("which is not encrypted"), "{text}");
    assert!(plain.requests().is_empty());
}

#[test]
fn a_k3s_of_the_users_that_cannot_be_used_is_reported_before_anything_is_built() {
    let setup = project("http://127.0.0.1:1");
    setup.project.write("k3s", "#!/bin/sh\n");
    insta::assert_snapshot!(setup.says(&["start", "--k3s-binary", "k3s"], 2), @r"
    [1/11] Checking the host …
    Error: PROJECT/k3s is not a K3s program for the guest
      it is a script, not a program

    Next: name the file `k3s` of a release for x86_64: k3s.binary in .k3s-vm/config.toml, or --k3s-binary
    ");
}
