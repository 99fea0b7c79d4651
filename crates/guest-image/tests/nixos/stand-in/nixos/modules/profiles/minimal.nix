# Nixpkgs' profile of this name leaves the kernel's command line alone.
{ ... }:
{
  documentation.enable = false;
}
