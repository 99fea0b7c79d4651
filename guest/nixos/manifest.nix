# An evaluated NixOS -> the image's manifest (crates/model/src/guest_image.rs), without the digests of its files, which
# build-image.sh adds.
{ config, pkgs }:
let
  cfg = config.k3sVm;
  contract = builtins.fromJSON (builtins.readFile ../k3s/contract.json);
in
{
  schema = 2;
  architecture = pkgs.stdenv.hostPlatform.parsed.cpu.name;
  provider = "nix";
  distribution = "k3s";
  kubernetes_version = "v${config.services.k3s.package.version}";
  operating_system = "NixOS ${config.system.nixos.version}";
  # Stage 1 finds the system by `init=`, and the root by the /etc/fstab in the initial RAM disk.
  kernel_command_line = "init=${config.system.build.toplevel}/init ${toString config.boot.kernelParams}";
  virtual_size = cfg.diskMiB * 1024 * 1024;
  node_name = cfg.nodeName;
  inherit (contract) kubeconfig service;
  containerd_socket = contract.containerdSocket;
  certificate_days = contract.certificateDays;
}
