//! Tests of the translation of recorded output of Nix.

use super::*;

fn concerns() -> Concerns<'static> {
    Concerns {
        configuration: Path::new("/project/.k3s-vm/vm/configuration.nix"),
        log: Path::new("/project/.k3s-vm/nix-build.log"),
        offline: false,
    }
}

fn lines(said: &str) -> Vec<String> {
    said.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
}

/// The error as text, without the next steps that every error has.
fn told(said: &str, offline: bool) -> String {
    let error = translate(1, &lines(said), Concerns { offline, ..concerns() });
    let mut text = format!("{} ({})\n", error.what(), error.class().name());
    for why in error.why() {
        text.push_str(&format!("  {}\n", why.replace('\n', "\n  ")));
    }
    for step in error.next_steps().iter().filter(|step| !step.starts_with("less ") && *step != WITHOUT_NIX) {
        text.push_str(&format!("-> {step}\n"));
    }
    text
}

macro_rules! recorded {
    ($name:literal) => {
        include_str!(concat!("recorded/", $name, ".log"))
    };
}

/// The common text of several outputs, which may differ only in hashes of the store.
fn same(recorded: &[&str]) -> String {
    let of = |said: &&str| told(said, false);
    let without_hash = |text: String| {
        let parts = text.split("/nix/store/").enumerate();
        parts.map(|(place, part)| if place == 0 { part } else { &part[32..] }).collect::<Vec<_>>().join("/nix/store/")
    };
    for other in &recorded[1..] {
        assert_eq!(without_hash(of(other)), without_hash(of(&recorded[0])));
    }
    of(&recorded[0])
}

#[test]
fn what_the_host_lacks() {
    let told = [
        same(&[recorded!("no-daemon-2.26"), recorded!("no-daemon-2.34")]),
        same(&[recorded!("not-the-owner-2.26")]),
        same(&[recorded!("not-the-owner-2.34")]),
        same(&[recorded!("no-build-group-2.26"), recorded!("no-build-group-2.34")]),
        same(&[recorded!("sandbox-2.26")]),
        same(&[recorded!("feature-off-2.26")]),
        same(&[recorded!("feature-off-2.34")]),
        same(&[recorded!("disk-full-2.26")]),
        same(&[recorded!("disk-full-2.34")]),
        same(&[recorded!("platform-2.26")]),
        same(&[recorded!("platform-2.34")]),
        same(&[recorded!("no-kvm-2.34")]),
    ];
    insta::assert_snapshot!(told.join(""), @r#"
    the daemon of Nix does not answer (host)
      cannot connect to socket at '/nix/var/nix/daemon-socket/socket': No such file or directory
    -> sudo systemctl start nix-daemon    # or as your system starts services
    this user may not use the store of Nix: it is another user's, or its daemon does not run (host)
      opening lock file '/nix/var/nix/db/big-lock': Permission denied
    -> sudo systemctl start nix-daemon    # where Nix was installed for all users
    this user may not use the store of Nix: it is another user's, or its daemon does not run (host)
      opening lock file "/nix/var/nix/db/big-lock": Permission denied
    -> sudo systemctl start nix-daemon    # where Nix was installed for all users
    Nix cannot build as root without the users that build (host)
      the group 'nixbld' specified in 'build-users-group' does not exist
    -> export NIX_CONFIG='build-users-group ='    # root builds by itself; then run the command again
    Nix cannot build in a sandbox here, which most containers forbid (host)
      this system does not support the kernel namespaces that are required for sandboxing; use '--no-sandbox' to disable sandboxing
    -> export NIX_CONFIG='sandbox = false'    # then run the command again
    a feature of Nix is off that the guest's configuration needs (host)
      attribute 'getFlake' missing
    -> export NIX_CONFIG='extra-experimental-features = nix-command flakes'    # then run the command again
    a feature of Nix is off that the guest's configuration needs (host)
      experimental Nix feature 'flakes' is disabled; add '--extra-experimental-features flakes' to enable it
    -> export NIX_CONFIG='extra-experimental-features = nix-command flakes'    # then run the command again
    Nix has no space left for the guest image (host)
      writing to file: No space left on device
    -> nix-collect-garbage    # removes what nothing uses; `df -h /nix` shows how much there is
    Nix has no space left for the guest image (host)
      setting journal mode: database or disk is full, database or disk is full (in '/nix/var/nix/db/db.sqlite')
    -> nix-collect-garbage    # removes what nothing uses; `df -h /nix` shows how much there is
    this Nix has no builder for the guest's platform, or for a feature that .k3s-vm/vm/configuration.nix needs (host)
      a 'aarch64-darwin' with features {} is required to build '/nix/store/iz1s8d2isqysrzyysk4qj65rg4624id1-plat.drv', but I am a 'x86_64-linux' with features {benchmark, big-parallel, kvm, nixos-test, uid-range}
    -> man nix.conf    # builders and system-features; on macOS `nix run nixpkgs#darwin.linux-builder` is one
    this Nix has no builder for the guest's platform, or for a feature that .k3s-vm/vm/configuration.nix needs (host)
      Reason: platform mismatch
    -> man nix.conf    # builders and system-features; on macOS `nix run nixpkgs#darwin.linux-builder` is one
    this Nix has no builder for the guest's platform, or for a feature that .k3s-vm/vm/configuration.nix needs (host)
      Reason: missing system features
    -> man nix.conf    # builders and system-features; on macOS `nix run nixpkgs#darwin.linux-builder` is one
    "#);
}

#[test]
fn what_should_have_come_from_somewhere() {
    let told = [
        same(&[recorded!("no-nixpkgs-2.26"), recorded!("no-nixpkgs-2.34")]),
        same(&[recorded!("archive-hash-mismatch-2.26"), recorded!("archive-hash-mismatch-2.34")]),
        same(&[recorded!("archive-unreachable-2.26")]),
        same(&[recorded!("archive-unreachable-2.34")]),
        self::told(recorded!("archive-unreachable-2.34"), true),
        same(&["error: unable to download 'https://example.com/n.tar.gz': HTTP error 404"]),
    ];
    insta::assert_snapshot!(told.join(""), @r#"
    Nix does not find a nixpkgs by its search path (config)
      file 'nixpkgs/nixos' was not found in the Nix search path (add it using $NIX_PATH or -I)
    -> name a directory, an address or channel:NAME in image.nixpkgs, or leave it out
    what Nix fetched is not what was pinned (failed)
      hash mismatch in file downloaded from 'file:///guest/nixos/exprs.tar.xz':
    -> k3s-vm nix update    # pins the newest nixpkgs, with what it is now
    Nix cannot fetch https://releases.nixos.org/nixexprs.tar.xz (host)
      Could not connect to server (7) Failed to connect to 127.0.0.1 port 9 after 0 ms: Could not connect to server
    -> export https_proxy=http://HOST:PORT    # if your network has a proxy; the daemon of Nix needs it, too
    -> k3s-vm start --nixpkgs DIRECTORY    # a nixpkgs that you have
    Nix cannot fetch https://releases.nixos.org/nixexprs.tar.xz (host)
      Could not connect to server (7) Failed to connect to 127.0.0.1:9 after 0 ms: Could not connect to server
    -> export https_proxy=http://HOST:PORT    # if your network has a proxy; the daemon of Nix needs it, too
    -> k3s-vm start --nixpkgs DIRECTORY    # a nixpkgs that you have
    Nix cannot fetch https://releases.nixos.org/nixexprs.tar.xz (host)
      Could not connect to server (7) Failed to connect to 127.0.0.1:9 after 0 ms: Could not connect to server
      image.offline is set, and it is not on this machine
    -> k3s-vm start --set image.offline=false    # fetches it
    Nix cannot fetch https://example.com/n.tar.gz (failed)
      HTTP error 404
    -> correct image.nixpkgs, if that names it
    -> k3s-vm nix update    # pins the newest nixpkgs, with what it is now
    "#);
}

#[test]
fn what_is_in_the_project() {
    let option = "error:\n       … while evaluating the attribute 'config'\n\n       error: The option `services.k3s.rol' does not exist. Definition values:\n       - In `/project/.k3s-vm/vm/configuration.nix': \"agent\"\n\n       Did you mean `services.k3s.role'?";
    let told = [
        same(&[recorded!("no-such-k3s-2.26"), recorded!("no-such-k3s-2.34")]),
        same(&["error: k3s-vm: settings.json has schema 2, this guest reads 1"]),
        same(&[recorded!("syntax-error-2.26"), recorded!("syntax-error-2.34")]),
        same(&[option]),
        same(&["error: cannot create symlink '/project/.k3s-vm/vm/result'; already exists"]),
    ];
    insta::assert_snapshot!(told.join(""), @r#"
    this nixpkgs has no K3s 1.30; it has 1.34, 1.35, 1.36 (config)
    -> set k3s.version in .k3s-vm/config.toml to one of these, such as "v1.35", or leave it out
    -> k3s-vm nix update    # pins the newest nixpkgs, which may have it
    settings.json has schema 2, this guest reads 1 (config)
    -> k3s-vm config show    # shows where each value comes from
    /project/.k3s-vm/vm/configuration.nix has a mistake (config)
      syntax error, unexpected ';'
      at /project/.k3s-vm/vm/configuration.nix:2:7:
    -> correct it, then run the command again
    /project/.k3s-vm/vm/configuration.nix has a mistake (config)
      The option `services.k3s.rol' does not exist. Definition values:
      - In `/project/.k3s-vm/vm/configuration.nix': "agent"
      Did you mean `services.k3s.role'?
    -> correct it, then run the command again
    something is in the way of the link that Nix makes to the guest image (state)
      cannot create symlink '/project/.k3s-vm/vm/result'; already exists
    -> move it away, then run the command again
    "#);
}

#[test]
fn the_first_builder_that_fails_is_told_and_anything_else_in_nix_s_words() {
    let in_a_builder = "building '/nix/store/x-image.drv'...\nmkfs.ext4: No space left on device while writing\n\
                        error: builder for '/nix/store/x-image.drv' failed with exit code 1;\n       last 1 log lines:";
    let quoted = "error: builder for '/nix/store/x-image.drv' failed with exit code 1;\n       last 1 log lines:\n       > hash mismatch in";
    let told = [
        same(&[recorded!("builder-failed-2.26"), recorded!("builder-failed-2.34")]),
        same(&[recorded!("dependency-failed-2.26"), recorded!("dependency-failed-2.34")]),
        same(&[in_a_builder]),
        same(&[quoted]),
        same(&[
            "error:\n       … while calling the 'f' builtin\n\n       error: stack overflow; max-call-depth exceeded",
        ]),
        same(&[""]),
    ];
    insta::assert_snapshot!(told.join(""), @r#"
    the build of fail failed (failed)
      its builder ended with exit code 3
    -> nix-store --read-log /nix/store/fb4513wdyaifsshwn16n98yc2iiyh04c-fail.drv    # its whole output
    the build of first failed (failed)
      its builder ended with exit code 4
    -> nix-store --read-log /nix/store/741ilvr0ija3xwg7g6dpvfbfynxwg8bd-first.drv    # its whole output
    Nix has no space left for the guest image (host)
      mkfs.ext4: No space left on device while writing
    -> nix-collect-garbage    # removes what nothing uses; `df -h /nix` shows how much there is
    the build of x-image failed (failed)
      its builder ended with exit code 1
    -> nix-store --read-log /nix/store/x-image.drv    # its whole output
    `nix-build` failed with exit code 1 (failed)
      stack overflow; max-call-depth exceeded
    `nix-build` failed with exit code 1 (failed)
    "#);
}

#[test]
fn every_failure_has_the_last_lines_and_where_the_rest_is() {
    let said: Vec<String> = (0..50).map(|number| format!("l {number}")).collect();
    let error = translate(1, &said, concerns());
    let log = error.log().unwrap();
    assert_eq!(log.source, "/project/.k3s-vm/nix-build.log");
    assert_eq!((log.lines.len(), log.lines[0].as_str()), (20, "l 30"));
    assert_eq!(error.next_steps(), ["less /project/.k3s-vm/nix-build.log    # the whole output of Nix", WITHOUT_NIX]);
}

/// The error when a build starts after these lines.
fn at_the_begin(said: &str, offline: bool) -> Option<Error> {
    let mut announced = Announced::default();
    assert!(said.lines().all(|line| announced.take(line, offline).is_none()), "{said}");
    announced.take("building '/nix/store/x.drv'...", offline)
}

#[test]
fn the_world_is_not_compiled_without_a_cache() {
    let unreachable = "warning: unable to download 'https://c/nix-cache-info': no";
    for (said, offline, expected) in [
        (format!("{unreachable}\nthese 2113 derivations will be built:"), false, true),
        (format!("{unreachable}\nthese 100 derivations will be built:"), false, false),
        (format!("{unreachable}\nthis derivation will be built:"), false, false),
        // Another cache has most of it.
        (
            format!(
                "{unreachable}\nthese 180 derivations will be built:\n\
                 these 700 paths will be fetched (900.00 MiB download, 3000.00 MiB unpacked):"
            ),
            false,
            false,
        ),
        ("these 2113 derivations will be built:".to_owned(), false, false),
        ("these 2113 derivations will be built:".to_owned(), true, true),
        // Nix tries again.
        (format!("{unreachable}; retrying in 268 ms\nthese 2113 derivations will be built:"), false, false),
    ] {
        assert_eq!(at_the_begin(&said, offline).is_some(), expected, "{said}");
    }
    for recorded in [recorded!("cache-unreachable-2.26"), recorded!("cache-unreachable-2.34")] {
        assert!(at_the_begin(recorded.split_once("building").map_or(recorded, |(before, _)| before), false).is_none());
        let much = recorded.replace("this derivation will be built:", "these 2113 derivations will be built:");
        let error = at_the_begin(much.split_once("\nbuilding").map_or(&*much, |(before, _)| before), false).unwrap();
        assert!(error.why()[1].starts_with("https://cache.nixos.org: Could not connect to server (7)"), "{error}");
    }
}
