# An evaluated NixOS -> the directory of a guest image, after the guest contract (crates/model/src/guest_image.rs).
#
# No virtual machine, no mount and no user namespace: see build-image.sh.
{ config, pkgs }:
let
  cfg = config.k3sVm;
  inherit (config.system) build;
  closure = pkgs.closureInfo { rootPaths = [ build.toplevel ]; };

  manifest = pkgs.writeText "manifest.json" (
    builtins.toJSON (import ./manifest.nix { inherit config pkgs; })
  );
in
pkgs.stdenvNoCC.mkDerivation {
  name = "k3s-vm-guest-image";

  nativeBuildInputs = [
    pkgs.e2fsprogs.bin
    pkgs.fakeroot
    pkgs.qemu-utils
  ];

  # The directory has copies of everything, so it needs no references to the store.
  __structuredAttrs = true;
  unsafeDiscardReferences.out = true;
  # Large, and made of inputs that are needed anyway: fetching it would cost more than making it.
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
