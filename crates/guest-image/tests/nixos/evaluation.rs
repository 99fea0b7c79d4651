//! Tests of what `guest/nixos` evaluates to when it is called as the provider calls it.

use model::guest_image::GuestImageManifest;
use serde_json::{Value, json};

use crate::nix::{image, refusal, value};
use crate::option_table::{lines, unused};

/// The lines that these settings change.
fn differences(settings: &Value) -> String {
    let of = |settings: &Value| lines(&image(settings)["guest"]).expect("options");
    let usual = of(&json!({"schema": 1}));
    let usual: Vec<&str> = usual.lines().collect();
    of(settings).lines().filter(|line| !usual.contains(line)).map(|line| format!("{line}\n")).collect()
}

#[test]
#[ignore = "needs Nix: cargo xtask nix"]
fn the_guest_sets_options_that_nixos_has_to_values_of_their_types() {
    let guest = &image(&json!({"schema": 1}))["guest"];
    insta::assert_snapshot!(lines(guest).unwrap(), @r#"
    boot.initrd.includeDefaultModules = false
    boot.initrd.kernelModules = ["virtio_pci","virtio_blk","ext4"]
    boot.initrd.systemd.enable = true
    boot.kernelModules = ["qemu_fw_cfg","button","evdev","vmgenid","overlay","bridge","br_netfilter","veth","vxlan","nf_conntrack","nf_nat","nf_tables","nft_compat","nft_ct","nft_chain_nat","nft_masq","nft_reject_inet","xt_MASQUERADE","xt_REDIRECT","xt_addrtype","xt_comment","xt_conntrack","xt_limit","xt_mark","xt_multiport","xt_nat","xt_physdev","xt_recent","xt_set","xt_statistic","xt_tcpudp","ipt_REJECT","ip_set","ip_set_hash_ip","ip_set_hash_net","xt_NFLOG","nfnetlink_log"]
    boot.kernelParams = ["console=ttyS0","mitigations=off","audit=0","random.trust_cpu=on","TERM=dumb","boot.panic_on_fail"]
    boot.loader.grub.enable = false
    environment.etc."k3s-vm/hooks.nft".source = "guest/debian/rootfs/etc/k3s-vm/hooks.nft"
    environment.etc."k3s-vm/host-access".source = "guest/debian/rootfs/usr/lib/k3s-vm/host-access"
    environment.etc."k3s-vm/host-access.nft".source = "guest/debian/rootfs/etc/k3s-vm/host-access.nft"
    environment.etc."resolv.conf".source = "guest/debian/rootfs/etc/resolv.conf"
    environment.etc."sysctl.d/90-kubernetes.conf".source = "guest/k3s/rootfs/etc/sysctl.d/90-kubernetes.conf"
    environment.etc.timezone.source = "guest/debian/rootfs/etc/timezone"
    fileSystems."/".device = "/dev/disk/by-label/k3s-vm-root"
    fileSystems."/".fsType = "ext4"
    fileSystems."/".noCheck = true
    fileSystems."/".options = ["noatime"]
    networking.firewall.enable = false
    networking.hostName = "k3s-vm"
    networking.hosts = {"10.0.2.2":["host.k3s-vm.internal"]}
    networking.resolvconf.enable = false
    networking.useDHCP = false
    networking.useNetworkd = true
    networking.usePredictableInterfaceNames = false
    nix.enable = false
    security.pam.services.sshd.startSession = {"mkForce":false}
    services.journald.extraConfig = "RuntimeMaxUse=48M"
    services.journald.storage = "volatile"
    services.k3s.disable = []
    services.k3s.enable = true
    services.k3s.extraFlags = ["--node-name=k3s-vm","--node-ip=10.0.2.15","--tls-san=127.0.0.1","--tls-san=localhost","--write-kubeconfig-mode=0600","--flannel-backend=host-gw"]
    services.k3s.images = [{"command":"zstd -d --no-progress -o $out /nix/store/airgap-images-1.35.6+k3s1.tar.zst","name":"k3s-airgap-images.tar"}]
    services.k3s.manifests.k3s-vm-host.source = "guest/k3s/rootfs/var/lib/rancher/k3s/server/manifests/k3s-vm-host.yaml"
    services.k3s.package = {"mkDefault":{"airgap-images":"/nix/store/airgap-images-1.35.6+k3s1.tar.zst","version":"1.35.6+k3s1"}}
    services.k3s.role = "server"
    services.openssh.authorizedKeysFiles = ["/sys/firmware/qemu_fw_cfg/by_name/opt/k3s-vm/authorized_keys/raw"]
    services.openssh.authorizedKeysInHomedir = false
    services.openssh.enable = true
    services.openssh.generateHostKeys = false
    services.openssh.hostKeys = [{"path":"/sys/firmware/qemu_fw_cfg/by_name/opt/k3s-vm/ssh_host_ed25519_key/raw","type":"ed25519"}]
    services.openssh.settings.KbdInteractiveAuthentication = false
    services.openssh.settings.PasswordAuthentication = false
    services.openssh.settings.PermitRootLogin = "prohibit-password"
    services.openssh.startWhenNeeded = true
    services.qemuGuest.enable = true
    services.resolved.enable = false
    services.timesyncd.enable = false
    system.disableInstallerTools = true
    system.stateVersion = {"mkDefault":"26.05"}
    system.switch.enable = false
    systemd.enableEmergencyMode = false
    systemd.network.config.networkConfig = {"ManageForeignRoutes":false,"ManageForeignRoutingPolicyRules":false}
    systemd.network.networks.10-k3s-vm.address = ["10.0.2.15/24"]
    systemd.network.networks.10-k3s-vm.gateway = ["10.0.2.2"]
    systemd.network.networks.10-k3s-vm.linkConfig = {"RequiredForOnline":"routable"}
    systemd.network.networks.10-k3s-vm.matchConfig = {"Driver":"virtio_net"}
    systemd.network.networks.10-k3s-vm.networkConfig = {"IPv6AcceptRA":false,"LinkLocalAddressing":"no"}
    systemd.network.wait-online.anyInterface = true
    systemd.network.wait-online.timeout = 20
    systemd.services."autovt@".enable = false
    systemd.services."getty@tty1".enable = false
    systemd.services.k3s.environment = {"GODEBUG":"asyncpreemptoff=1"}
    systemd.services.k3s.serviceConfig = {"CPUWeight":10000,"OOMScoreAdjust":-999,"TimeoutStopSec":10}
    systemd.services.k3s-vm-hooks.after = ["systemd-modules-load.service"]
    systemd.services.k3s-vm-hooks.before = ["sysinit.target","shutdown.target"]
    systemd.services.k3s-vm-hooks.conflicts = ["shutdown.target"]
    systemd.services.k3s-vm-hooks.description = "Netfilter hooks in use before anything else needs them"
    systemd.services.k3s-vm-hooks.serviceConfig = {"ExecStart":"/nix/store/nftables/bin/nft -f /etc/k3s-vm/hooks.nft","RemainAfterExit":true,"Type":"oneshot"}
    systemd.services.k3s-vm-hooks.unitConfig = {"DefaultDependencies":false}
    systemd.services.k3s-vm-hooks.wantedBy = ["sysinit.target"]
    systemd.services.k3s-vm-host-access.after = ["systemd-modules-load.service"]
    systemd.services.k3s-vm-host-access.before = ["systemd-networkd.service","k3s.service","sysinit.target","shutdown.target"]
    systemd.services.k3s-vm-host-access.conflicts = ["shutdown.target"]
    systemd.services.k3s-vm-host-access.description = "The host's services, closed to pods"
    systemd.services.k3s-vm-host-access.path = ["/nix/store/nftables"]
    systemd.services.k3s-vm-host-access.requiredBy = ["k3s.service"]
    systemd.services.k3s-vm-host-access.serviceConfig = {"ExecStart":"/bin/sh /etc/k3s-vm/host-access","RemainAfterExit":true,"Type":"oneshot"}
    systemd.services.k3s-vm-host-access.unitConfig = {"DefaultDependencies":false}
    systemd.services.k3s-vm-host-access.wantedBy = ["sysinit.target"]
    systemd.services.qemu-guest-agent.path = ["/run/current-system/sw"]
    systemd.services.qemu-guest-agent.serviceConfig = {"CPUWeight":10000,"KillSignal":"SIGKILL"}
    systemd.services."serial-getty@hvc0".enable = false
    systemd.services."serial-getty@ttyS0".enable = false
    systemd.settings.Manager = {"DefaultTimeoutStopSec":"5s"}
    systemd.slices.system.sliceConfig = {"CPUWeight":10000}
    systemd.tmpfiles.settings.10-k3s-vm."/sys/devices/system/cpu/cpu*/online".w.argument = "1"
    systemd.tmpfiles.settings.10-k3s-vm."/usr/share/zoneinfo"."L+".argument = "/etc/zoneinfo"
    systemd.tmpfiles.settings.10-k3s-vm."/var/lib/rancher/k3s/agent/images/.cache.json".f.group = "root"
    systemd.tmpfiles.settings.10-k3s-vm."/var/lib/rancher/k3s/agent/images/.cache.json".f.mode = "0644"
    systemd.tmpfiles.settings.10-k3s-vm."/var/lib/rancher/k3s/agent/images/.cache.json".f.user = "root"
    time.timeZone = "Etc/UTC"
    "#);
    assert_eq!(unused(guest), [""; 0], "options.tsv has options that the guest does not set");
}

#[test]
#[ignore = "needs Nix: cargo xtask nix"]
fn settings_change_what_they_name_and_nothing_else() {
    let settings = json!({"schema": 1, "k3sMinor": "1.36", "disable": ["traefik", "servicelb"], "nodeName": "ci"});
    insta::assert_snapshot!(differences(&settings), @r#"
    networking.hostName = "ci"
    services.k3s.disable = ["traefik","servicelb"]
    services.k3s.extraFlags = ["--node-name=ci","--node-ip=10.0.2.15","--tls-san=127.0.0.1","--tls-san=localhost","--write-kubeconfig-mode=0600","--flannel-backend=host-gw"]
    services.k3s.images = [{"command":"zstd -d --no-progress -o $out /nix/store/airgap-images-1.36.3+k3s1.tar.zst","name":"k3s-airgap-images.tar"}]
    services.k3s.package = {"mkDefault":{"airgap-images":"/nix/store/airgap-images-1.36.3+k3s1.tar.zst","version":"1.36.3+k3s1"}}
    "#);
    insta::assert_snapshot!(differences(&json!({"schema": 1, "airgapImages": false})), @"services.k3s.images = []");
    insta::assert_snapshot!(differences(&json!({"schema": 1, "diskMiB": 8192, "k3sMinor": null})), @"");
}

#[test]
#[ignore = "needs Nix: cargo xtask nix"]
fn the_manifest_is_one_that_the_program_reads() {
    let settings = json!({"schema": 1, "k3sMinor": "1.36", "diskMiB": 8192, "system": "aarch64-linux"});
    let manifest: GuestImageManifest = serde_json::from_value(image(&settings)["manifest"].clone()).unwrap();
    insta::assert_debug_snapshot!(manifest, @r#"
    GuestImageManifest {
        schema: 2,
        architecture: "aarch64",
        provider: "nix",
        distribution: "k3s",
        kubernetes_version: "v1.36.3+k3s1",
        operating_system: "NixOS 26.05.11576.7c8764b7c7b0",
        kernel_command_line: "init=/nix/store/nixos-system/init console=ttyS0 mitigations=off audit=0 random.trust_cpu=on TERM=dumb boot.panic_on_fail root=fstab",
        virtual_size: 8589934592,
        node_name: "k3s-vm",
        kubeconfig: "/etc/rancher/k3s/k3s.yaml",
        service: "k3s.service",
        containerd_socket: "/run/k3s/containerd/containerd.sock",
        certificate_days: 365,
        files: {},
    }
    "#);
}

/// With `vga=` a kernel without VGA waits for a key, longer than the test of KVM lasts; with `panic=1` a guest that
/// panics boots again and again.
#[test]
#[ignore = "needs Nix: cargo xtask nix"]
fn a_profile_of_nixpkgs_put_a_video_mode_on_the_kernels_command_line() {
    let image = image(&json!({"schema": 1}));
    let line = image["manifest"]["kernel_command_line"].as_str().unwrap();
    for word in ["vga=", "panic=", "nomodeset"] {
        assert!(!line.contains(word), "{word} is in {line}");
    }
    // The stand-in has the profile's parameters, so that this could fail.
    let profile = std::fs::read_to_string(crate::nix::stand_in().join("nixos/modules/profiles/headless.nix")).unwrap();
    assert!(profile.contains("\"vga=0x317\"") && profile.contains("\"panic=1\""), "{profile}");
    assert!(image["modules"].to_string().contains("/profiles/minimal.nix"));
}

#[test]
#[ignore = "needs Nix: cargo xtask nix"]
fn the_derivation_calls_the_builder_with_everything_it_wants_and_refers_to_nothing() {
    let derivation = &image(&json!({"schema": 1, "diskMiB": 8192}))["derivation"];
    assert_eq!(derivation["unsafeDiscardReferences"], json!({"out": true}));
    assert_eq!(derivation["__structuredAttrs"], true);
    assert_eq!(derivation.get("requiredSystemFeatures"), None);
    let command = derivation["buildCommand"].as_str().unwrap();
    // Paths in the store begin with a digest.
    let plain =
        command.split(' ').map(|word| match word.strip_prefix("/nix/store/").and_then(|name| name.split_once('-')) {
            Some((digest, name)) if digest.len() == 32 => format!("/nix/store/…-{name}"),
            _ => word.to_owned(),
        });
    insta::assert_snapshot!(plain.collect::<Vec<_>>().join(" "), @r#"
    bash /nix/store/…-build-image.sh \
      --paths /nix/store/closure-of-nixos-system/store-paths \
      --kernel /nix/store/linux/bzImage \
      --initrd /nix/store/initial-ramdisk/initrd \
      --manifest /nix/store/…-manifest.json \
      --label k3s-vm-root \
      --size-mib 8192 \
      --out "$out"
    "#);
}

#[test]
#[ignore = "needs Nix: cargo xtask nix"]
fn the_users_configuration_comes_last_and_is_not_copied() {
    let image = value("image", &["--argstr", "configuration", "/a project/.k3s-vm/vm/configuration.nix"]);
    let modules = image["modules"].as_array().unwrap();
    assert_eq!(modules.last().unwrap(), "/a project/.k3s-vm/vm/configuration.nix");
    assert!(modules[0].as_str().unwrap().ends_with("/nixos/modules/profiles/minimal.nix"));
}

#[test]
#[ignore = "needs Nix: cargo xtask nix"]
fn the_versions_in_nixpkgs_can_be_listed() {
    assert_eq!(
        value("k3sVersions", &[]),
        json!({"1.34": "v1.34.9+k3s1", "1.35": "v1.35.6+k3s1", "1.36": "v1.36.3+k3s1"})
    );
    assert_eq!(value("nixpkgsRevision", &[]), "7c8764b7c7b0");
}

#[test]
#[ignore = "needs Nix: cargo xtask nix"]
fn a_version_that_nixpkgs_lacks_is_an_error_that_lists_those_it_has() {
    // A version that nixpkgs has removed counts as missing.
    insta::assert_snapshot!(refusal(&json!({"schema": 1, "k3sMinor": "1.30"})), @"error: k3s-vm: this nixpkgs has no K3s 1.30; it has 1.34, 1.35, 1.36");
    insta::assert_snapshot!(refusal(&json!({"schema": 2})), @"error: k3s-vm: settings.json has schema 2, this guest reads 1");
    insta::assert_snapshot!(refusal(&json!({})), @"error: k3s-vm: settings.json has schema null, this guest reads 1");
}

#[test]
#[ignore = "needs Nix: cargo xtask nix"]
fn a_nixpkgs_given_as_a_path_is_used_where_it_is_and_not_copied_to_the_store() {
    let directory = crate::nix::stand_in().display().to_string();
    let image = value("image", &["--arg", "nixpkgs", &directory]);
    assert_eq!(image["modules"][0], format!("{directory}/nixos/modules/profiles/minimal.nix"));
}
