# An evaluated NixOS -> the folder of a guest image, after the guest contract (crates/model/src/guest_image.rs).
#
# No virtual machine, no mount and no user namespace: see build-image.sh.
{ config, pkgs }:
let
  cfg = config.k3sVm;
  inherit (config.system) build;
  contract = builtins.fromJSON (builtins.readFile ../k3s/contract.json);

  closure = pkgs.closureInfo { rootPaths = [ build.toplevel ]; };

  manifest = pkgs.writeText "manifest.json" (
    builtins.toJSON {
      schema = 1;
      architecture = pkgs.stdenv.hostPlatform.parsed.cpu.name;
      provider = "nix";
      distribution = "k3s";
      kubernetes_version = "v${config.services.k3s.package.version}";
      operating_system = "NixOS ${config.system.nixos.version}";
      kernel_command_line = "init=${build.toplevel}/init ${toString config.boot.kernelParams}";
      virtual_size = cfg.diskMiB * 1024 * 1024;
      node_name = cfg.nodeName;
      inherit (contract) kubeconfig service;
      containerd_socket = contract.containerdSocket;
      certificate_days = contract.certificateDays;
    }
  );
in
pkgs.stdenvNoCC.mkDerivation {
  name = "k3s-vm-guest-image";

  nativeBuildInputs = [
    pkgs.e2fsprogs.bin
    pkgs.fakeroot
    pkgs.qemu-utils
  ];

  # The folder has copies of everything, so nothing that it mentions must be kept for it.
  __structuredAttrs = true;
  unsafeDiscardReferences.out = true;
  # Large, and made of what is there anyway: dearer to fetch than to make.
  preferLocalBuild = true;
  allowSubstitutes = false;

  buildCommand = ''
    bash ${./build-image.sh} \
      --paths ${closure}/store-paths \
      --kernel ${build.kernel}/${config.system.boot.loader.kernelFile} \
      --initrd ${build.initialRamdisk}/${config.system.boot.loader.initrdFile} \
      --manifest ${manifest} \
      --label ${(import ./disk.nix).label} \
      --size-mib ${toString cfg.diskMiB} \
      --out "$out"
  '';
}
