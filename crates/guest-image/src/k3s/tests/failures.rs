//! Tests of the errors about releases that cannot be fetched or verified.

use std::sync::{Arc, Mutex};

use super::*;

#[test]
fn what_a_mirror_lacks_is_an_error() {
    let empty = HttpServer::start(|_, _| Answer::status(404));
    let mut project = Project::new(&empty.url("/k3s"));
    insta::assert_snapshot!(project.told(&empty), @r#"
    cannot fetch http://MIRROR/k3s/channels/stable (failed)
      MIRROR answers 404: it has no such file
      the mirror does not know this channel
    Next: name a release in .k3s-vm/config.toml instead: k3s.version = "v1.33.5+k3s1", for example
    "#);
    project.k3s.version = K3sVersion::Exact("v1.2.3+k3s1".to_owned());
    insta::assert_snapshot!(project.told(&empty), @r"
    cannot fetch http://MIRROR/k3s/v1.2.3%2Bk3s1/sha256sum-amd64.txt (failed)
      MIRROR answers 404: it has no such file
      there is no release v1.2.3+k3s1, or not for this architecture
    Next: correct k3s.version in .k3s-vm/config.toml; github.com/k3s-io/k3s/releases lists all
    ");
    assert!(!project.lock().exists());
}

#[test]
fn a_login_page_in_place_of_the_mirror_is_told() {
    let portal = HttpServer::start(|_, _| Answer::body("<html>Please log in</html>"));
    let mut project = Project::new(&portal.url("/k3s"));
    insta::assert_snapshot!(project.told(&portal), @r#"
    the channel `stable` does not lead to a K3s release (failed)
      http://MIRROR/k3s/channels/stable answers "<html>Please log in</html>"
      something else may have answered in its place, such as a login page of your network
    Next: correct k3s.mirror in .k3s-vm/config.toml, if it is wrong
    Next: export HTTPS_PROXY=http://HOST:PORT    # if your network has a proxy
    Next: k3s-vm start --k3s-binary FILE --k3s-images FILE    # a release that you have as files
    Next: or set image.distribution = "kubernetes": upstream Kubernetes, built on this machine
    "#);
    project.k3s.version = K3sVersion::Exact(VERSION.to_owned());
    insta::assert_snapshot!(project.told(&portal), @r#"
    http://MIRROR/k3s/v1.33.5%2Bk3s1/sha256sum-amd64.txt cannot be used (failed)
      it has no SHA-256 of k3s
      something else may have answered in its place, such as a login page of your network
    Next: correct k3s.mirror in .k3s-vm/config.toml, if it is wrong
    Next: export HTTPS_PROXY=http://HOST:PORT    # if your network has a proxy
    Next: k3s-vm start --k3s-binary FILE --k3s-images FILE    # a release that you have as files
    Next: or set image.distribution = "kubernetes": upstream Kubernetes, built on this machine
    "#);
}

#[test]
fn a_file_that_is_not_what_the_checksums_say_is_refused() {
    let tampered = mirror(|request, answer| match request.path.ends_with("/k3s") {
        true => Answer::body("tampered"),
        false => answer,
    });
    let project = Project::new(&tampered.url("/k3s"));
    insta::assert_snapshot!(project.told(&tampered), @r#"
    K3s v1.33.5+k3s1 does not match its checksum (failed)
      http://MIRROR/k3s/v1.33.5%2Bk3s1/k3s has the SHA-256 d121be3103007b41edf96f8262925f8c7d61894afe9a041843b631f69445bc57
      expected is DIGEST-OF-K3S
    Next: run the command again: it starts over
    Next: correct k3s.mirror in .k3s-vm/config.toml, if it is wrong
    Next: export HTTPS_PROXY=http://HOST:PORT    # if your network has a proxy
    Next: k3s-vm start --k3s-binary FILE --k3s-images FILE    # a release that you have as files
    Next: or set image.distribution = "kubernetes": upstream Kubernetes, built on this machine
    "#);
}

#[test]
fn a_release_that_is_not_the_one_of_the_lock_file_is_refused() {
    let mirror = mirror(|_, answer| answer);
    let project = Project::new(&mirror.url("/k3s"));
    let release = Release { version: VERSION.to_owned(), program: Sha256::of(b"other"), images: Sha256::of(&images()) };
    lock_file::write(&project.lock(), "stable", &release).unwrap();
    insta::assert_snapshot!(project.told(&mirror), @r"
    K3s v1.33.5+k3s1 is not the one of .k3s-vm/k3s.lock (failed)
      k3s: the lock file has the SHA-256 d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa
      k3s: the release has the SHA-256 DIGEST-OF-K3S
      released files never change: the lock file is wrong, or the release has been tampered with
    Next: rm .k3s-vm/k3s.lock    # only if you trust what is released now
    ");
}

#[test]
fn a_download_that_breaks_off_goes_on_with_the_next_start() {
    let broken = Arc::new(Mutex::new(true));
    let still = Arc::clone(&broken);
    let mirror = mirror(move |request, answer| match (request.path.ends_with("/k3s"), request.header("range")) {
        (true, None) => answer.cut(1000),
        (true, Some(_)) if *still.lock().unwrap() => answer.cut(0),
        _ => answer,
    });
    let project = Project::new(&mirror.url("/k3s"));
    insta::assert_snapshot!(project.told(&mirror), @r#"
    cannot fetch http://MIRROR/k3s/v1.33.5%2Bk3s1/k3s (failed)
      the connection ended before the file did
    Next: run the command again: it continues where it stopped
    Next: correct k3s.mirror in .k3s-vm/config.toml, if it is wrong
    Next: export HTTPS_PROXY=http://HOST:PORT    # if your network has a proxy
    Next: k3s-vm start --k3s-binary FILE --k3s-images FILE    # a release that you have as files
    Next: or set image.distribution = "kubernetes": upstream Kubernetes, built on this machine
    "#);
    *broken.lock().unwrap() = false;
    project.payload().unwrap();
    assert!(mirror.requests().iter().any(|request| request.ends_with("/k3s bytes=1000-")));
}

#[test]
fn a_release_host_that_answers_with_an_error_causes_no_fallback() {
    for distribution in [Configured::K3s, Configured::Auto] {
        let mirror = HttpServer::start(|_, _| Answer::status(503));
        let mut project = Project::new(&mirror.url("/k3s"));
        project.config.distribution = distribution;
        insta::allow_duplicates! {
            insta::assert_snapshot!(project.told(&mirror), @r#"
            cannot fetch http://MIRROR/k3s/channels/stable (failed)
              MIRROR answers 503: it has an internal error
            Next: correct k3s.mirror in .k3s-vm/config.toml, if it is wrong
            Next: export HTTPS_PROXY=http://HOST:PORT    # if your network has a proxy
            Next: k3s-vm start --k3s-binary FILE --k3s-images FILE    # a release that you have as files
            Next: or set image.distribution = "kubernetes": upstream Kubernetes, built on this machine
            "#);
        }
    }
}
