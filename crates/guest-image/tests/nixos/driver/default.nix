# A guest that Nix builds in a second with programs of this machine, for the tests of the provider that calls it. The
# user's configuration says what happens: a text for the builder's shell.
{ settings, configuration }:
let
  given = builtins.fromJSON (builtins.readFile settings);
  inherit (import configuration { }) script;

  run =
    name: text:
    derivation {
      inherit name;
      system = builtins.currentSystem;
      builder = "/bin/sh";
      args = [
        "-ec"
        text
      ];
      PATH = "/usr/bin:/bin";
    };
  kernel = run "linux-6.12" "echo CC first.o; echo LD vmlinux; echo kernel >$out";
  manifest = builtins.toFile "manifest.json" (
    builtins.toJSON {
      schema = 2;
      architecture = builtins.head (builtins.split "-" given.system);
      provider = "nix";
      distribution = "k3s";
      kubernetes_version = "v1.36.3+k3s1";
      operating_system = "none";
      kernel_command_line = "console=ttyS0";
      virtual_size = given.diskMiB * 1024 * 1024;
      node_name = "k3s-vm";
      kubeconfig = "/etc/rancher/k3s/k3s.yaml";
      service = "k3s.service";
      containerd_socket = "/run/k3s/containerd/containerd.sock";
      certificate_days = 365;
    }
  );
in
{
  image = run "guest-image" ''
    ${script}
    mkdir $out
    cp ${kernel} $out/kernel
    echo initrd >$out/initrd
    truncate -s 64M $out/root.qcow2
    # As guest/nixos/build-image.sh does it.
    files=
    for name in kernel initrd root.qcow2; do
      digest=$(sha256sum $out/$name | cut -d ' ' -f 1)
      files="$files,\"$name\":{\"size\":$(stat -c %s $out/$name),\"sha256\":\"$digest\"}"
    done
    sed "\$s/}\$/,\"files\":{''${files#,}}}/" ${manifest} >$out/manifest.json
  '';
}
