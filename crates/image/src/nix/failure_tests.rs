//! What Nix said, recorded, and what is told.

use super::super::transcript::of;
use super::*;

fn told(fault: &Fault) -> String {
    let mut text = format!("{} ({})\n", fault.what(), fault.class().name());
    for why in fault.why() {
        text.push_str(&format!("  {}\n", why.replace('\n', "\n  ")));
    }
    for step in fault.next_steps() {
        text.push_str(&format!("Next: {step}\n"));
    }
    if let Some(log) = fault.log() {
        text.push_str(&format!("{}: {} lines, the last: {}\n", log.source, log.lines.len(), log.lines.last().unwrap()));
    }
    text
}

fn concerns() -> Concerns<'static> {
    Concerns { configuration: Path::new("/project/.k3s-vm/vm/configuration.nix"), offline: false }
}

fn of_recorded(recorded: &str) -> String {
    told(&translate(1, &of(recorded), concerns()))
}

/// All must be told in the same words.
fn same(recorded: &[&str]) -> String {
    let told: Vec<String> = recorded.iter().map(|recorded| of_recorded(recorded)).collect();
    for other in &told[1..] {
        assert_eq!(*other, told[0]);
    }
    told[0].clone()
}

/// The same where the derivations have other hashes.
fn same_but_for_the_hash(recorded: &[&str]) -> String {
    let without = |text: String| {
        let words: Vec<String> = text.split("/nix/store/").map(|part| part[part.len().min(32)..].to_owned()).collect();
        words.join("/nix/store/HASH")
    };
    let told: Vec<String> = recorded.iter().map(|recorded| of_recorded(recorded)).collect();
    for other in &told[1..] {
        assert_eq!(without(other.clone()), without(told[0].clone()));
    }
    told[0].clone()
}

/// A message of Nix's log.
fn message(text: &str) -> String {
    format!("@nix {}", serde_json::json!({"action": "msg", "level": 0, "msg": text}))
}

macro_rules! recorded {
    ($name:literal) => {
        include_str!(concat!("recorded/", $name, ".jsonl"))
    };
}

#[test]
fn no_daemon() {
    insta::assert_snapshot!(same(&[recorded!("no-daemon-2.8"), recorded!("no-daemon-2.26"), recorded!("no-daemon-2.34")]), @r"
    the daemon of Nix does not answer (host)
      cannot connect to socket at '/nix/var/nix/daemon-socket/socket': No such file or directory
    Next: sudo systemctl start nix-daemon    # or as your system starts services
    Next: k3s-vm start --provider debian    # a Debian guest, made without Nix
    ");
}

#[test]
fn another_users_store() {
    insta::assert_snapshot!(of_recorded(recorded!("not-the-owner-2.26")), @r"
    this user may not use the store of Nix (host)
      opening lock file '/nix/var/nix/db/big-lock': Permission denied
      it was installed for one user, who is another, or its daemon does not run
    Next: sudo systemctl start nix-daemon    # where it was installed for all users
    Next: ls -ld /nix/store    # shows its owner, where it was installed for one
    Next: k3s-vm start --provider debian    # a Debian guest, made without Nix
    ");
    insta::assert_snapshot!(of_recorded(recorded!("not-the-owner-2.34")), @r#"
    this user may not use the store of Nix (host)
      opening lock file "/nix/var/nix/db/big-lock": Permission denied
      it was installed for one user, who is another, or its daemon does not run
    Next: sudo systemctl start nix-daemon    # where it was installed for all users
    Next: ls -ld /nix/store    # shows its owner, where it was installed for one
    Next: k3s-vm start --provider debian    # a Debian guest, made without Nix
    "#);
    insta::assert_snapshot!(of_recorded("error: could not set permissions on '/nix/var/nix/profiles/per-user' to 755: Operation not permitted"), @r"
    this user may not use the store of Nix (host)
      could not set permissions on '/nix/var/nix/profiles/per-user' to 755: Operation not permitted
      it was installed for one user, who is another, or its daemon does not run
    Next: sudo systemctl start nix-daemon    # where it was installed for all users
    Next: ls -ld /nix/store    # shows its owner, where it was installed for one
    Next: k3s-vm start --provider debian    # a Debian guest, made without Nix
    ");
}

#[test]
fn root_without_the_group_of_builders() {
    insta::assert_snapshot!(same(&[recorded!("no-build-group-2.26"), recorded!("no-build-group-2.34")]), @r"
    Nix cannot build as root without the users that build (host)
      the group 'nixbld' specified in 'build-users-group' does not exist
    Next: export NIX_CONFIG='build-users-group ='    # root builds by itself; then run the command again
    ");
}

#[test]
fn a_sandbox_that_is_impossible() {
    insta::assert_snapshot!(of_recorded(recorded!("sandbox-2.26")), @r"
    Nix cannot build in a sandbox here (host)
      this system does not support the kernel namespaces that are required for sandboxing; use '--no-sandbox' to disable sandboxing
      most containers forbid it
    Next: export NIX_CONFIG='sandbox = false'    # then run the command again
    ");
}

#[test]
fn a_feature_that_is_off() {
    insta::assert_snapshot!(of_recorded(recorded!("feature-off-2.34")), @r"
    a feature of Nix is off that the guest's configuration needs (host)
      experimental Nix feature 'flakes' is disabled; add '--extra-experimental-features flakes' to enable it
    Next: export NIX_CONFIG='extra-experimental-features = nix-command flakes'    # then run the command again
    ");
}

#[test]
fn no_nixpkgs() {
    insta::assert_snapshot!(same(&[recorded!("no-nixpkgs-2.8"), recorded!("no-nixpkgs-2.26"), recorded!("no-nixpkgs-2.34")]), @r"
    Nix does not find a nixpkgs by its search path (config)
      file 'nixpkgs/nixos' was not found in the Nix search path (add it using $NIX_PATH or -I)
    Next: name a folder, an address or channel:NAME in image.nixpkgs, or leave it out
    ");
}

#[test]
fn an_archive_that_cannot_be_fetched() {
    for recorded in [
        recorded!("archive-unreachable-2.8"),
        recorded!("archive-unreachable-2.26"),
        recorded!("archive-unreachable-2.34"),
    ] {
        let fault = translate(1, &of(recorded), concerns());
        assert_eq!(fault.what(), "Nix cannot fetch https://releases.nixos.org/nixexprs.tar.xz");
        assert_eq!(fault.class(), FaultClass::Host);
    }
    insta::assert_snapshot!(of_recorded(recorded!("archive-unreachable-2.34")), @r"
    Nix cannot fetch https://releases.nixos.org/nixexprs.tar.xz (host)
      Could not connect to server (7) Failed to connect to 127.0.0.1:9 after 0 ms: Could not connect to server
    Next: export https_proxy=http://HOST:PORT    # if your network has a proxy; the daemon of Nix needs it, too
    Next: k3s-vm start --nixpkgs FOLDER    # a nixpkgs that you have
    Next: k3s-vm start --provider debian    # a Debian guest, made without Nix
    ");
    let offline = Concerns { offline: true, ..concerns() };
    insta::assert_snapshot!(told(&translate(1, &of(recorded!("archive-unreachable-2.26")), offline)), @r"
    Nix cannot fetch https://releases.nixos.org/nixexprs.tar.xz (host)
      Could not connect to server (7) Failed to connect to 127.0.0.1 port 9 after 0 ms: Could not connect to server
      image.offline is set, and it is not on this machine
    Next: k3s-vm start --set image.offline=false
    ");
    insta::assert_snapshot!(of_recorded("error: unable to download 'https://example.com/n.tar.gz': HTTP error 404"), @r"
    Nix cannot fetch https://example.com/n.tar.gz (failed)
      HTTP error 404
    Next: correct image.nixpkgs, if that names it
    Next: k3s-vm nix update    # pins the newest nixpkgs, if the pinned one is gone
    ");
}

#[test]
fn something_else_than_was_pinned() {
    insta::assert_snapshot!(same(&[recorded!("archive-hash-mismatch-2.26"), recorded!("archive-hash-mismatch-2.34")]), @r"
    what Nix fetched is not what was pinned (failed)
      hash mismatch in file downloaded from 'file:///guest/nixos/exprs.tar.xz':
      specified: sha256:1fzrxmr2qi7fy76wh9v0l1a7vdvscxn4p2d5ng9rhpcnrhdil6zy
      got:       sha256:08y2dkbdcdnqvq2swnknmvrzlf968gaq28v6i613n9fgpahqw0fi
    Next: k3s-vm nix update    # pins the newest nixpkgs, with what it is now
    ");
    insta::assert_snapshot!(of_recorded(recorded!("hash-mismatch-2.26")), @r"
    what Nix fetched is not what was pinned (failed)
      hash mismatch in fixed-output derivation '/nix/store/6x8g10rz1sg0jbx4b1001air2fkiv8qc-fod.drv':
      specified: sha256-/hsaG8yWXZjTs6WJS2xnerd9VKBgJ8jN8e5ELHLt+bs=
      got:    sha256-c8s4WKaHqElMozIwUwFigvPa051Cz2LKTnndoqrH2aw=
    Next: k3s-vm nix update    # pins the newest nixpkgs, with what it is now
    ");
}

#[test]
fn another_platform() {
    insta::assert_snapshot!(of_recorded(recorded!("platform-2.26")), @r"
    this Nix cannot build for the guest's platform (host)
      a 'aarch64-darwin' with features {} is required to build '/nix/store/iz1s8d2isqysrzyysk4qj65rg4624id1-plat.drv', but I am a 'x86_64-linux' with features {benchmark, big-parallel, kvm, nixos-test, uid-range}
    Next: on macOS add a Linux builder: `nix run nixpkgs#darwin.linux-builder`
    Next: or a remote one: `man nix.conf`, builders
    ");
    insta::assert_snapshot!(of_recorded(recorded!("platform-2.34")), @r"
    this Nix cannot build for the guest's platform (host)
      Cannot build '/nix/store/w2dvz5j4js47ilxq4hv92rs1qhj2gk95-plat.drv'.
      Reason: platform mismatch
      Required system: 'aarch64-darwin'
      Current system: 'x86_64-linux'
    Next: on macOS add a Linux builder: `nix run nixpkgs#darwin.linux-builder`
    Next: or a remote one: `man nix.conf`, builders
    ");
}

#[test]
fn a_builder_without_kvm() {
    insta::assert_snapshot!(of_recorded(recorded!("no-kvm-2.26")), @r"
    this Nix has no builder with the feature kvm (host)
      a 'x86_64-linux' with features {kvm} is required to build '/nix/store/3acl7p1k4x67gqh0bng3s5c7dkj0qjxh-kvm2.drv', but I am a 'x86_64-linux' with features {}
      k3s-vm's own guest needs none, so something in .k3s-vm/vm/configuration.nix does
    Next: take out what needs it, or add a builder that has it: `man nix.conf`, system-features and builders
    ");
    insta::assert_snapshot!(of_recorded(recorded!("no-kvm-2.34")), @r"
    this Nix has no builder with the feature kvm (host)
      Cannot build '/nix/store/nxk4xxclic0nkx1myz6xlqyf3mbf9cb2-kvm2.drv'.
      Reason: missing system features
      Required features: {kvm}
      Available features: {}
      k3s-vm's own guest needs none, so something in .k3s-vm/vm/configuration.nix does
    Next: take out what needs it, or add a builder that has it: `man nix.conf`, system-features and builders
    ");
    let between = "error: Cannot build '/nix/store/x.drv'.\n       Reason: required system or feature not available\n       Required system: 'x86_64-linux' with features {kvm}";
    assert!(of_recorded(&message(between)).starts_with("this Nix has no builder with the feature kvm (host)\n"));
}

#[test]
fn a_builder_that_fails_is_told_with_the_end_of_its_log() {
    insta::assert_snapshot!(of_recorded(recorded!("builder-failed-2.26")), @r"
    the build of fail failed (failed)
      its builder ended with exit code 3
    Next: nix-store --read-log /nix/store/fb4513wdyaifsshwn16n98yc2iiyh04c-fail.drv    # all that it said
    log of fail: 20 lines, the last: l 29
    ");
    insta::assert_snapshot!(of_recorded(recorded!("builder-failed-2.34")), @r"
    the build of fail failed (failed)
      its builder ended with exit code 3
    Next: nix-store --read-log /nix/store/1w34bzp2xn5rf3f7pa6f3ac745bkw98v-fail.drv    # all that it said
    log of fail: 20 lines, the last: l 29
    ");
}

#[test]
fn the_first_of_a_chain_of_failures_is_told() {
    insta::assert_snapshot!(same_but_for_the_hash(&[recorded!("dependency-failed-2.26"), recorded!("dependency-failed-2.34")]), @r"
    the build of first failed (failed)
      its builder ended with exit code 4
    Next: nix-store --read-log /nix/store/741ilvr0ija3xwg7g6dpvfbfynxwg8bd-first.drv    # all that it said
    log of first: 1 lines, the last: the reason
    ");
}

#[test]
fn something_in_the_place_of_the_link() {
    for text in ["'/project/.k3s-vm/vm/result'", "\"/project/.k3s-vm/vm/result\""] {
        let fault = of_recorded(&message(&format!("error: cannot create symlink {text}; already exists")));
        assert!(
            fault.starts_with("/project/.k3s-vm/vm/result is in the way of the link that Nix makes there (state)\n")
        );
    }
}

#[test]
fn a_full_disk() {
    insta::assert_snapshot!(of_recorded(recorded!("disk-full-2.26")), @r"
    Nix has no space left for the guest image (host)
      writing to file: No space left on device
    Next: nix-collect-garbage    # removes what nothing uses; `df -h /nix` shows how much there is
    ");
    insta::assert_snapshot!(of_recorded(recorded!("disk-full-2.34")), @r"
    Nix has no space left for the guest image (host)
      setting journal mode: database or disk is full, database or disk is full (in '/nix/var/nix/db/db.sqlite')
    Next: nix-collect-garbage    # removes what nothing uses; `df -h /nix` shows how much there is
    ");
    let in_a_builder = [
        r#"@nix {"action":"start","id":5,"level":3,"text":"","type":105,"fields":["/nix/store/qlnr8f6drbflmvdnm70da6fkjakihqm7-image.drv","",1,1]}"#,
        r#"@nix {"action":"result","id":5,"type":101,"fields":["mkfs.ext4: No space left on device while writing"]}"#,
        r#"@nix {"action":"msg","level":0,"msg":"error: builder for '/nix/store/qlnr8f6drbflmvdnm70da6fkjakihqm7-image.drv' failed with exit code 1"}"#,
    ];
    assert!(of_recorded(&in_a_builder.join("\n")).starts_with("Nix has no space left for the guest image (host)\n"));
}

#[test]
fn a_k3s_that_the_nixpkgs_does_not_have() {
    insta::assert_snapshot!(same(&[recorded!("no-such-k3s-2.8"), recorded!("no-such-k3s-2.26"), recorded!("no-such-k3s-2.34")]), @r#"
    this nixpkgs has no K3s 1.30; it has 1.34, 1.35, 1.36 (config)
    Next: set k3s.version in .k3s-vm/config.toml to one of these, such as "v1.35", or leave it out
    Next: k3s-vm nix update    # pins the newest nixpkgs, which may have it
    "#);
    insta::assert_snapshot!(of_recorded("error: k3s-vm: settings.json has schema 2, this guest reads 1"), @r"
    settings.json has schema 2, this guest reads 1 (config)
    Next: k3s-vm config show    # tells where each value is from
    ");
}

#[test]
fn a_mistake_in_the_users_configuration() {
    insta::assert_snapshot!(same(&[recorded!("syntax-error-2.26"), recorded!("syntax-error-2.34")]), @r"
    /project/.k3s-vm/vm/configuration.nix has a mistake (config)
      syntax error, unexpected ';'
      at /project/.k3s-vm/vm/configuration.nix:2:7:
    Next: correct it, then run the command again
    ");
    insta::assert_snapshot!(of_recorded(recorded!("syntax-error-2.8")), @r"
    /project/.k3s-vm/vm/configuration.nix has a mistake (config)
      syntax error, unexpected ';'
      at /project/.k3s-vm/vm/configuration.nix:2:7:
    Next: correct it, then run the command again
    ");
    let option = r#"@nix {"action":"msg","level":0,"msg":"error:\n       … while evaluating the attribute 'config'\n\n       error: The option `services.k3s.rol' does not exist. Definition values:\n       - In `/project/.k3s-vm/vm/configuration.nix': \"agent\"\n\n       Did you mean `services.k3s.role'?"}"#;
    insta::assert_snapshot!(of_recorded(option), @r#"
    /project/.k3s-vm/vm/configuration.nix has a mistake (config)
      The option `services.k3s.rol' does not exist. Definition values:
      - In `/project/.k3s-vm/vm/configuration.nix': "agent"
      Did you mean `services.k3s.role'?
    Next: correct it, then run the command again
    "#);
}

#[test]
fn anything_else_is_told_in_nixs_words() {
    insta::assert_snapshot!(of_recorded(&message("error:\n       … while calling the 'import' builtin\n\n       error: stack overflow; max-call-depth exceeded")), @r"
    `nix-build` failed with exit code 1 (failed)
      stack overflow; max-call-depth exceeded
    Next: k3s-vm --debug start    # tells the command, to run it by hand
    Next: k3s-vm start --provider debian    # a Debian guest, made without Nix
    output of `nix-build`: 3 lines, the last:        error: stack overflow; max-call-depth exceeded
    ");
    insta::assert_snapshot!(of_recorded(""), @r"
    `nix-build` failed with exit code 1 (failed)
    Next: k3s-vm --debug start    # tells the command, to run it by hand
    Next: k3s-vm start --provider debian    # a Debian guest, made without Nix
    ");
}

#[test]
fn what_would_be_compiled_is_told_with_the_caches() {
    let said = "warning: unable to download 'https://cache.nixos.org/nix-cache-info': Could not resolve hostname (6) Could not resolve host: cache.nixos.org\nthese 2113 derivations will be built:";
    let transcript = of(said);
    let plan = transcript.world(false).unwrap();
    insta::assert_snapshot!(told(&world(plan, &transcript, concerns())), @r"
    2113 things would have to be compiled for the guest image (host)
      no cache of Nix that has them can be reached
      https://cache.nixos.org: Could not resolve hostname (6) Could not resolve host: cache.nixos.org
    Next: export https_proxy=http://HOST:PORT    # if your network has a proxy; the daemon of Nix needs it, too
    Next: k3s-vm start --provider debian    # a Debian guest, made without Nix
    ");
    let offline = Concerns { offline: true, ..concerns() };
    insta::assert_snapshot!(told(&world(plan, &transcript, offline)), @r"
    2113 things would have to be compiled for the guest image (host)
      image.offline is set, and they are not on this machine
    Next: k3s-vm start --set image.offline=false    # fetches them from Nix's caches
    Next: k3s-vm start --provider debian    # a Debian guest, made without Nix
    ");
}
