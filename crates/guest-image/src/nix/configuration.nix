# The NixOS of this project's VM, as far as it is yours: an ordinary NixOS module on top of what k3s-vm needs (guest/nixos
# in its checkout). k3s-vm made this file once and never changes it; commit it. What .k3s-vm/config.toml says (size of
# the disk, version of K3s, what it leaves out) is set from there. A change is taken by `k3s-vm reset`, which builds the
# image anew. Files that this one imports belong beside it and end with .nix.
{ pkgs, ... }:
{
  # Programs for `k3s-vm ssh`:
  # environment.systemPackages = [ pkgs.htop ];

  # Settings of the kernel:
  # boot.kernel.sysctl."vm.max_map_count" = 262144;

  # Flags of K3s, added to those of k3s-vm:
  # services.k3s.extraFlags = [ "--kubelet-arg=max-pods=50" ];

  # Where images are pulled from (docs.k3s.io/installation/private-registry):
  # environment.etc."rancher/k3s/registries.yaml".text = ''
  #   mirrors:
  #     docker.io:
  #       endpoint: [ "https://mirror.example" ]
  # '';
}
