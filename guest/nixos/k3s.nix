# The K3s packages of a nixpkgs: one for each minor version, `k3s_1_NN`; `k3s` is the recommended one.
# Only builtins, so that it can be evaluated without a nixpkgs.
pkgs:
let
  numbers = builtins.match "k3s_([0-9]+)_([0-9]+)";
  minor = name: builtins.concatStringsSep "." (numbers name);

  # The name of a removed version stays for a while and throws.
  usable = name: numbers name != null && (builtins.tryEval pkgs.${name}.version).success;
  names = builtins.filter usable (builtins.attrNames pkgs);

  packages = builtins.listToAttrs (
    map (name: {
      name = minor name;
      value = pkgs.${name};
    }) names
  );
  offered = builtins.concatStringsSep ", " (builtins.attrNames packages);
in
{
  # { "1.36" = "v1.36.3+k3s1"; … }
  versions = builtins.mapAttrs (_: package: "v${package.version}") packages;

  # The package of a minor version; null is the recommended one.
  package =
    wanted:
    if wanted == null then
      pkgs.k3s
    else
      packages.${wanted} or (throw "k3s-vm: this nixpkgs has no K3s ${wanted}; it has ${offered}");
}
