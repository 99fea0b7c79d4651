# An alternative to `bin/k3s-vm`, which does not use this file: a NixOS with K3s as a microVM (microvm.nix), for users who
# want only Nix. It has no templates, no kubeconfig for web/ and no manifests. It uses the same ports, so stop the other
# VM first. It needs KVM (microvm.nix starts QEMU with `-enable-kvm -cpu host`), and one that works. guest.host_access
# does not apply: its pods reach services on the host's loopback at 10.0.2.2. The serial console, a root shell, is the terminal;
# the cluster's data are in k3s-microvm.img in the directory from which it is started.
#
# How to call it: Nix copies a flake's whole source to its store whenever it has changed, and the flake's URL decides what
# the source is. The disks in vm/ must never be part of it.
#
#   nix run ./.k3s-vm
#     in a Git checkout that tracks this file: the source is what Git tracks, and Git ignores vm/.
#
#   d=$(mktemp -d) && cp .k3s-vm/flake.* "$d" && nix run "path:$d"
#     everywhere else: Git ignores .k3s-vm ("is not tracked by Git", "does not exist"), or there is no Git.
#
# Never `nix run path:.k3s-vm`: that is the directory with all disks in it. Both commands need
# `--extra-experimental-features 'nix-command flakes'` where these features are off.
{
  description = "K3s in a microVM";

  inputs = {
    nixpkgs.url = "https://releases.nixos.org/nixos/26.05/nixos-26.05.11576.7c8764b7c7b0/nixexprs.tar.xz";
    microvm = {
      url = "github:microvm-nix/microvm.nix";
      inputs.nixpkgs.follows = "nixpkgs";
    };
  };

  outputs =
    { nixpkgs, microvm, ... }:
    let
      inherit (nixpkgs) lib;
      forAllSystems = lib.genAttrs [
        "x86_64-linux"
        "aarch64-linux"
      ];
      forward = host: guest: {
        from = "host";
        host.address = "127.0.0.1";
        host.port = host;
        guest.port = guest;
      };

      guest =
        { lib, ... }:
        {
          # Not the name of an instance of k3s-vm, which would take the VM for its own.
          networking.hostName = "microvm-k3s";
          networking.firewall.enable = false;
          # microvm.nix does not wait for a network, but K3s needs an address when it starts.
          networking.useNetworkd = true;
          systemd.network = {
            networks."10-uplink" = {
              matchConfig.Driver = "virtio_net";
              networkConfig.DHCP = "ipv4";
              linkConfig.RequiredForOnline = "routable";
            };
            wait-online = {
              enable = true;
              anyInterface = true;
            };
          };

          microvm = {
            hypervisor = "qemu";
            vcpu = 2;
            # Not 2048: QEMU's machine `microvm` hangs with exactly that much.
            mem = 3072;
            # The root is in memory; the data of K3s and containerd need a filesystem on a disk.
            volumes = [
              {
                image = "k3s-microvm.img";
                mountPoint = "/var/lib/rancher";
                size = 10240;
              }
            ];
            interfaces = [
              {
                type = "user";
                id = "k3s";
                mac = "02:00:00:6b:33:73";
              }
            ];
            # API and the example's web port.
            forwardPorts = [
              (forward 6443 6443)
              (forward 30080 30080)
            ];
          };

          boot.kernelModules = [
            "br_netfilter"
            "nf_conntrack"
            "overlay"
          ];
          services.k3s = {
            enable = true;
            role = "server";
            extraFlags = [
              "--node-name=k3s-vm"
              "--tls-san=127.0.0.1"
              "--tls-san=localhost"
              "--write-kubeconfig-mode=0600"
            ];
          };
          systemd.services.k3s = {
            wants = [ "network-online.target" ];
            after = [ "network-online.target" ];
          };
          # The node's password must be stored with the database that has its hash.
          systemd.tmpfiles.settings."10-k3s-microvm" = {
            "/var/lib/rancher/etc".d.mode = "0755";
            "/etc/rancher".L.argument = "/var/lib/rancher/etc";
          };

          services.getty.autologinUser = "root";
          users.motd = "kubeconfig: /etc/rancher/k3s/k3s.yaml; it fits the host as it is. `poweroff` ends the VM.";
          system.stateVersion = lib.trivial.release;
        };

      vm =
        system:
        lib.nixosSystem {
          inherit system;
          modules = [
            microvm.nixosModules.microvm
            guest
          ];
        };
    in
    {
      packages = forAllSystems (system: {
        default = (vm system).config.microvm.declaredRunner;
      });
    };
}
