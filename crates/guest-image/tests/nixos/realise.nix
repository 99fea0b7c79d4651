# The derivation of guest/nixos/image.nix for Nix to realise, with programs of this machine and small texts in place of
# a NixOS and of nixpkgs.
{ guest, path }:
let
  run =
    name: script:
    derivation {
      inherit name;
      system = builtins.currentSystem;
      builder = "/bin/sh";
      args = [
        "-ec"
        script
      ];
      PATH = path;
    };

  toplevel = run "nixos-system" "mkdir $out && echo init >$out/init && ln -s init $out/link";
  config = {
    k3sVm = {
      diskMiB = 4096;
      nodeName = "k3s-vm";
    };
    boot.kernelParams = [ "console=ttyS0" ];
    services.k3s.package.version = "1.36.3+k3s1";
    system.nixos.version = "26.05";
    system.boot.loader = {
      kernelFile = "bzImage";
      initrdFile = "initrd";
    };
    system.build = {
      inherit toplevel;
      kernel = run "linux" "mkdir $out && echo kernel >$out/bzImage";
      # As a true one, it names paths of the store.
      initialRamdisk = run "initrd" "mkdir $out && echo ${toplevel} >$out/initrd";
    };
  };

  pkgs = {
    stdenv.hostPlatform.parsed.cpu.name = builtins.head (builtins.split "-" builtins.currentSystem);
    e2fsprogs.bin = null;
    fakeroot = null;
    qemu-utils = null;
    writeText = name: text: run name "cat >$out <<'END'\n${text}\nEND\n";
    closureInfo =
      { rootPaths }:
      run "closure" "mkdir $out && printf '%s\\n' ${toString rootPaths} >$out/store-paths";
    # What nixpkgs' own does with structured attributes and a `buildCommand`.
    stdenvNoCC.mkDerivation =
      attributes:
      derivation (
        removeAttrs attributes [ "nativeBuildInputs" ]
        // {
          system = builtins.currentSystem;
          builder = "/bin/bash";
          args = [
            "-ec"
            ''
              source "$NIX_ATTRS_SH_FILE"
              out=''${outputs[out]}
              export PATH=${path}
              eval "$buildCommand"
            ''
          ];
        }
      );
  };
in
import (/. + guest + "/nixos/image.nix") { inherit config pkgs; }
