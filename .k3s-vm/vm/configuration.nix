# Your own part of the NixOS guest (image.provider = "nix"): an ordinary NixOS module, imported after the guest's own
# (guest/nixos/guest.nix), whose values lib.mkForce overrides. Other providers do not read it.
{ }
