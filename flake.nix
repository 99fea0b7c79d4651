# The program as a package, and a shell for work on it. The guest is not built by this flake, but by the program, with
# guest/nixos/default.nix.
{
  description = "A Kubernetes cluster for a project, in a VM of its own";

  # The guest's pin (guest/nixos/nixpkgs.json), so that a machine needs one nixpkgs for both.
  inputs.nixpkgs.url = "https://releases.nixos.org/nixos/26.05/nixos-26.05.11576.7c8764b7c7b0/nixexprs.tar.xz";

  outputs =
    { nixpkgs, ... }:
    let
      inherit (nixpkgs) lib;
      forAllSystems =
        make:
        lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] (system: make nixpkgs.legacyPackages.${system});

      # What the program runs on the host; what is missing it would otherwise install by the system's own packages.
      hostTools = pkgs: [
        pkgs.e2fsprogs
        pkgs.openssh
        pkgs.qemu
      ];
    in
    {
      packages = forAllSystems (pkgs: {
        default = pkgs.rustPlatform.buildRustPackage {
          pname = "k3s-vm";
          version = (lib.importTOML ./Cargo.toml).workspace.package.version;
          src = lib.fileset.toSource {
            root = ./.;
            fileset = lib.fileset.unions [
              ./Cargo.toml
              ./Cargo.lock
              ./crates
              ./guest
              ./tests-vm
              ./xtask
            ];
          };
          cargoLock.lockFile = ./Cargo.lock;
          cargoBuildFlags = [
            "--package"
            "k3s-vm"
          ];
          # Tests want programs of the host, and some a VM: bin/test.
          doCheck = false;
          nativeBuildInputs = [ pkgs.makeWrapper ];
          # The sources of the guest images are read at run time.
          postInstall = ''
            mkdir -p $out/share/k3s-vm
            cp -R guest $out/share/k3s-vm/guest
            wrapProgram $out/bin/k3s-vm \
              --set-default K3S_VM_HOME $out/share/k3s-vm \
              --suffix PATH : ${lib.makeBinPath (hostTools pkgs)}
          '';
          meta = {
            description = "A Kubernetes cluster for a project, in a VM of its own";
            license = [
              lib.licenses.mit
              lib.licenses.asl20
            ];
            mainProgram = "k3s-vm";
            platforms = lib.platforms.linux;
          };
        };
      });

      devShells = forAllSystems (pkgs: {
        default = pkgs.mkShell {
          packages = hostTools pkgs ++ [
            pkgs.cargo
            pkgs.clippy
            pkgs.deadnix
            pkgs.go
            pkgs.kubectl
            pkgs.nixfmt
            pkgs.rustc
            pkgs.rustfmt
            pkgs.shellcheck
          ];
        };
      });

      formatter = forAllSystems (pkgs: pkgs.nixfmt);
    };
}
