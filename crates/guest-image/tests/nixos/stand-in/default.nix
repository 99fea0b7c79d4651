# A stand-in for nixpkgs: packages that are names, functions that show what was asked of them.
{
  system,
  config,
  overlays,
}:
assert config == { } && overlays == [ ];
let
  k3s = version: {
    inherit version;
    airgap-images = "/nix/store/airgap-images-${version}.tar.zst";
  };
in
{
  stdenv.hostPlatform.parsed.cpu.name = builtins.head (builtins.split "-" system);
  closureInfo = { rootPaths }: "/nix/store/closure-of-${baseNameOf (toString rootPaths)}";
  runCommand = name: _: command: { inherit name command; };
  writeText = builtins.toFile;
  e2fsprogs.bin = "/nix/store/e2fsprogs-bin";
  fakeroot = "/nix/store/fakeroot";
  nftables = "/nix/store/nftables";
  qemu-utils = "/nix/store/qemu-utils";
  zstd = "/nix/store/zstd";

  # As nixpkgs has them: several minors, a recommended one, one that was taken out, and what only begins alike.
  k3s = k3s "1.35.6+k3s1";
  k3s_1_34 = k3s "1.34.9+k3s1";
  k3s_1_35 = k3s "1.35.6+k3s1";
  k3s_1_36 = k3s "1.36.3+k3s1";
  k3s_1_30 = throw "k3s_1_30 has been removed";
  k3sup = throw "another program";
}
