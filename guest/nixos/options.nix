# The options k3sVm.*: the project's settings for the guest, which the program passes in settings.json.
{ lib, ... }:
let
  inherit (lib) mkOption types;
  contract = builtins.fromJSON (builtins.readFile ../k3s/contract.json);
in
{
  options.k3sVm = {
    k3sMinor = mkOption {
      type = types.nullOr (types.strMatching "[0-9]+\\.[0-9]+");
      default = null;
      example = "1.36";
      description = "The minor version of K3s, one that the nixpkgs has; null is the one that it calls k3s.";
    };

    disable = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "traefik" ];
      description = "What K3s brings and this cluster leaves out.";
    };

    airgapImages = mkOption {
      type = types.bool;
      default = true;
      description = "Whether the container images of K3s are part of the image, so that the first start pulls nothing.";
    };

    diskMiB = mkOption {
      type = types.ints.between 4096 (16 * 1024 * 1024);
      default = 20480;
      description = "Virtual size of the root disk in MiB. The file system has it from the start.";
    };

    nodeName = mkOption {
      type = types.strMatching "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
      default = contract.nodeName;
      description = "Name of the node and of the machine. The cluster's database is keyed on it.";
    };
  };
}
