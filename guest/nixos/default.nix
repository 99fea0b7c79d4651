# The entry: attributes `image`, `k3sVersions` and `nixpkgsRevision`. README.md describes the arguments.
{
  nixpkgs ? null,
  settings ? null,
  configuration ? null,
}:
let
  pin = (builtins.fromJSON (builtins.readFile ./nixpkgs.json)).pins.nixpkgs;
  # Never `"${source}"`: a path would be copied to the store, all of nixpkgs.
  source =
    if nixpkgs != null then
      nixpkgs
    else
      fetchTarball {
        inherit (pin) url;
        sha256 = pin.hash;
      };

  given =
    if settings == null then { schema = 1; } else builtins.fromJSON (builtins.readFile settings);
  checked =
    if given.schema or null == 1 then
      given
    else
      throw "k3s-vm: settings.json has schema ${
        builtins.toJSON (given.schema or null)
      }, this guest reads 1";

  # A guest is Linux whatever the host is; on macOS Nix needs a Linux builder.
  hostAsLinux = builtins.replaceStrings [ "darwin" ] [ "linux" ] builtins.currentSystem;
  system = checked.system or hostAsLinux;

  pkgs = import source {
    inherit system;
    config = { };
    overlays = [ ];
  };

  guest = import (source + "/nixos/lib/eval-config.nix") {
    inherit system;
    modules = [
      (source + "/nixos/modules/profiles/minimal.nix")
      ./options.nix
      ./guest.nix
      {
        k3sVm = removeAttrs checked [
          "schema"
          "system"
        ];
      }
    ]
    ++ (if configuration == null then [ ] else [ configuration ]);
  };
in
{
  image = import ./image.nix { inherit (guest) config pkgs; };
  k3sVersions = (import ./k3s.nix pkgs).versions;
  nixpkgsRevision = (import (source + "/lib")).trivial.revisionWithDefault null;
}
