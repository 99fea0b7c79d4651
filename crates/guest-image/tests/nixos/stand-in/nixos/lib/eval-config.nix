# A stand-in for the evaluation of a NixOS: it calls guest.nix, and of profiles of nixpkgs what they put on the kernel's
# command line. `image` becomes what all were called with.
{ system, modules }:
let
  guest = builtins.head (
    builtins.filter (module: builtins.isPath module && baseNameOf module == "guest.nix") modules
  );
  root = toString (dirOf (dirOf guest));

  isProfile =
    module:
    (builtins.isPath module || builtins.isString module)
    && baseNameOf (dirOf (toString module)) == "profiles";
  ofProfiles = builtins.concatMap (
    profile: (import profile { inherit lib; }).boot.kernelParams or [ ]
  ) (builtins.filter isProfile modules);

  # The defaults of options.nix, which needs the true library.
  settings = builtins.foldl' (all: module: all // module.k3sVm or { }) {
    k3sMinor = null;
    disable = [ ];
    airgapImages = true;
    diskMiB = 20480;
    nodeName = "k3s-vm";
  } modules;

  lib = import ../../lib;
  pkgs = import ../.. {
    inherit system;
    config = { };
    overlays = [ ];
  };

  definitions = import guest { inherit config lib pkgs; };
  config = {
    k3sVm = settings;
    boot.kernelParams = ofProfiles ++ definitions.boot.kernelParams ++ [ "root=fstab" ];
    services.k3s.package = definitions.services.k3s.package.mkDefault;
    system.nixos.version = "26.05.11576.7c8764b7c7b0";
    system.boot.loader = {
      kernelFile = "bzImage";
      initrdFile = "initrd";
    };
    system.build = {
      toplevel = "/nix/store/nixos-system";
      kernel = "/nix/store/linux";
      initialRamdisk = "/nix/store/initial-ramdisk";
    };
  };

  # JSON has no paths, and there is no store to copy them to: those of this checkout begin with "guest".
  shown =
    value:
    if builtins.isPath value then
      builtins.replaceStrings [ root ] [ "guest" ] (toString value)
    else if builtins.isAttrs value then
      builtins.mapAttrs (_: shown) value
    else if builtins.isList value then
      map shown value
    else
      value;
in
{
  inherit config;
  pkgs = pkgs // {
    stdenvNoCC.mkDerivation = derivation: {
      inherit system;
      modules = shown modules;
      guest = shown definitions;
      manifest = import (dirOf guest + "/manifest.nix") { inherit config pkgs; };
      derivation = shown derivation;
    };
  };
}
