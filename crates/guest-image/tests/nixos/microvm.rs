//! Tests of `.k3s-vm/flake.nix`, the microVM, with stand-ins for its inputs.

use std::process::Command;

use serde_json::{Value, json};

use crate::nix::{program, repository};

/// The module of its guest, evaluated by Nix.
fn guest() -> Value {
    let lib = "{ genAttrs = names: f: builtins.listToAttrs (map (name: { inherit name; value = f name; }) names);
                 trivial.release = \"26.05\";
                 nixosSystem = { system, modules }:
                   { config.microvm.declaredRunner = (builtins.elemAt modules 1) { inherit lib; }; }; }";
    let inputs = "{ nixpkgs = { inherit lib; }; microvm.nixosModules.microvm = { }; }";
    let flake = repository().join(".k3s-vm/flake.nix");
    let expression = format!(
        "let lib = {lib}; in ((import (/. + {:?})).outputs {inputs}).packages.x86_64-linux.default",
        flake.display().to_string()
    );
    let mut command = Command::new(program("nix-instantiate"));
    command.args(["--eval", "--strict", "--json", "--expr", &expression]).env("NIX_REMOTE", "dummy://");
    let output = command.output().expect("nix-instantiate: `cargo xtask nix` fetches one");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// microvm.nix disables the wait for a network.
#[test]
#[ignore = "needs Nix: cargo xtask nix"]
fn k3s_of_the_microvm_was_started_before_there_was_an_address() {
    let guest = guest();
    assert_eq!(guest["networking"]["useNetworkd"], true);
    let network = &guest["systemd"]["network"];
    assert_eq!(network["wait-online"], json!({"enable": true, "anyInterface": true}));
    // Only its own network card; the bridge of the pods would count as online, too.
    assert_eq!(network["networks"]["10-uplink"]["matchConfig"], json!({"Driver": "virtio_net"}));
    for relation in ["after", "wants"] {
        assert_eq!(guest["systemd"]["services"]["k3s"][relation], json!(["network-online.target"]));
    }
}

#[test]
fn the_microvm_did_not_say_that_it_needs_kvm() {
    let text = std::fs::read_to_string(repository().join(".k3s-vm/flake.nix")).unwrap();
    let head: String = text.lines().take_while(|line| line.starts_with('#')).collect();
    assert!(head.contains("needs KVM") && head.contains("host's loopback"), "{head}");
}
