# The guest contract as NixOS configuration, without anything of a project's own.
#
# The options that it uses are listed with their types in crates/guest-image/tests/nixos/options.tsv.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.k3sVm;

  # Files that Debian guests have, too.
  k3sFiles = ../k3s/rootfs/etc;
  debianFiles = ../debian/rootfs/etc;

  # The names in a file of modules-load.d(5).
  namesIn =
    file:
    builtins.filter (line: builtins.isString line && builtins.match "[A-Za-z0-9_-]+" line != null) (
      builtins.split "\n" (builtins.readFile file)
    );

  # Files of the running QEMU, read at each login: a guest that was restored from a template booted in another one.
  fromHost = name: "/sys/firmware/qemu_fw_cfg/by_name/opt/k3s-vm/${name}/raw";

  # Uncompressed, since unpacking is expensive on an emulated CPU; the disk image is compressed as a whole.
  airgapImages = pkgs.runCommand "k3s-airgap-images.tar" {
    nativeBuildInputs = [ pkgs.zstd ];
  } "zstd -d --no-progress -o $out ${config.services.k3s.package.airgap-images}";
in
{
  # Booting: the host provides kernel, initial RAM disk and command line.
  boot.loader.grub.enable = false;
  boot.initrd.systemd.enable = true;
  boot.initrd.includeDefaultModules = false;
  boot.initrd.kernelModules = [
    "virtio_pci"
    "virtio_blk"
    "ext4"
  ];
  boot.kernelParams = [
    "console=ttyS0"
    "mitigations=off"
    "audit=0"
    "random.trust_cpu=on"
    "TERM=dumb"
    # A stage 1 that fails panics, which the host sees, instead of waiting at the console.
    "boot.panic_on_fail"
  ];
  fileSystems."/" = {
    device = "/dev/disk/by-label/${(import ./disk.nix).label}";
    fsType = "ext4";
    options = [ "noatime" ];
    # The kernel replays its journal.
    noCheck = true;
  };

  # Loaded by name: for the host's files, the power button, the random numbers of a restored guest, and K3s.
  boot.kernelModules = [
    "qemu_fw_cfg"
    "button"
    "evdev"
    "vmgenid"
  ]
  ++ namesIn (k3sFiles + "/modules-load.d/k3s.conf");

  environment.etc = {
    "sysctl.d/90-kubernetes.conf".source = k3sFiles + "/sysctl.d/90-kubernetes.conf";
    "k3s-vm/hooks.nft".source = debianFiles + "/k3s-vm/hooks.nft";
    "k3s-vm/host-access.nft".source = debianFiles + "/k3s-vm/host-access.nft";
    "k3s-vm/host-access".source = ../debian/rootfs/usr/lib/k3s-vm/host-access;
    "resolv.conf".source = debianFiles + "/resolv.conf";
    "timezone".source = debianFiles + "/timezone";
  };

  # Containers mount these from their host. NixOS itself has protocols, services and CA certificates.
  time.timeZone = "Etc/UTC";
  systemd.tmpfiles.settings."10-k3s-vm"."/usr/share/zoneinfo"."L+".argument = "/etc/zoneinfo";

  # The file explains why.
  systemd.services.k3s-vm-hooks = {
    description = "Netfilter hooks in use before anything else needs them";
    unitConfig.DefaultDependencies = false;
    after = [ "systemd-modules-load.service" ];
    before = [
      "sysinit.target"
      "shutdown.target"
    ];
    conflicts = [ "shutdown.target" ];
    wantedBy = [ "sysinit.target" ];
    serviceConfig = {
      Type = "oneshot";
      RemainAfterExit = true;
      ExecStart = "${pkgs.nftables}/bin/nft -f /etc/k3s-vm/hooks.nft";
    };
  };

  # The same. K3s requires it.
  systemd.services.k3s-vm-host-access = {
    description = "The host's services, closed to pods";
    unitConfig.DefaultDependencies = false;
    after = [ "systemd-modules-load.service" ];
    before = [
      "systemd-networkd.service"
      "k3s.service"
      "sysinit.target"
      "shutdown.target"
    ];
    conflicts = [ "shutdown.target" ];
    wantedBy = [ "sysinit.target" ];
    requiredBy = [ "k3s.service" ];
    path = [ pkgs.nftables ];
    serviceConfig = {
      Type = "oneshot";
      RemainAfterExit = true;
      ExecStart = "/bin/sh /etc/k3s-vm/host-access";
    };
  };

  # QEMU's user network always has these addresses. The guest is reachable only through the host's ports, so NixOS's
  # firewall has nothing to protect; k3s-vm/host-access.nft says what the guest may reach.
  networking = {
    hostName = cfg.nodeName;
    hosts."10.0.2.2" = [ "host.k3s-vm.internal" ];
    useNetworkd = true;
    useDHCP = false;
    usePredictableInterfaceNames = false;
    firewall.enable = false;
    resolvconf.enable = false;
  };
  services.resolved.enable = false;
  systemd.network = {
    # It must not manage the routes of pods.
    config.networkConfig = {
      ManageForeignRoutes = false;
      ManageForeignRoutingPolicyRules = false;
    };
    networks."10-k3s-vm" = {
      matchConfig.Driver = "virtio_net";
      address = [ "10.0.2.15/24" ];
      gateway = [ "10.0.2.2" ];
      networkConfig = {
        LinkLocalAddressing = "no";
        IPv6AcceptRA = false;
      };
      linkConfig.RequiredForOnline = "routable";
    };
    wait-online = {
      anyInterface = true;
      timeout = 20;
    };
  };

  # One sshd for each connection, so that it reads the current keys. Only root can log in, only with a key.
  services.openssh = {
    enable = true;
    startWhenNeeded = true;
    generateHostKeys = false;
    hostKeys = [
      {
        type = "ed25519";
        path = fromHost "ssh_host_ed25519_key";
      }
    ];
    authorizedKeysInHomedir = false;
    authorizedKeysFiles = [ (fromHost "authorized_keys") ];
    settings = {
      PermitRootLogin = "prohibit-password";
      PasswordAuthentication = false;
      KbdInteractiveAuthentication = false;
    };
  };
  # No session manager and no manager of user units for each login.
  security.pam.services.sshd.startSession = lib.mkForce false;

  services.qemuGuest.enable = true;
  systemd.services.qemu-guest-agent = {
    # Programs that the host calls (`ctr`, `df`) are found as in a shell.
    path = [ "/run/current-system/sw" ];
    # After a request to power off the agent ignores SIGTERM; it has nothing to save.
    serviceConfig.KillSignal = "SIGKILL";
    serviceConfig.CPUWeight = 10000;
  };
  # The control plane has priority over pods, so that a restored cluster answers while its pods still resume.
  systemd.slices.system.sliceConfig.CPUWeight = 10000;

  services.k3s = {
    enable = true;
    role = "server";
    package = lib.mkDefault ((import ./k3s.nix pkgs).package cfg.k3sMinor);
    inherit (cfg) disable;
    images = lib.optionals cfg.airgapImages [ airgapImages ];
    manifests.k3s-vm-host.source =
      ../k3s/rootfs/var/lib/rancher/k3s/server/manifests/k3s-vm-host.yaml;
    # The same as in guest/k3s/rootfs/etc/rancher/k3s/config.yaml.
    extraFlags = [
      "--node-name=${cfg.nodeName}"
      "--node-ip=10.0.2.15"
      "--tls-san=127.0.0.1"
      "--tls-san=localhost"
      "--write-kubeconfig-mode=0600"
      "--flannel-backend=host-gw"
    ];
  };
  systemd.services.k3s = {
    # Preempting goroutines by signals is expensive under emulation, and Kubernetes has no loops that need it.
    environment.GODEBUG = "asyncpreemptoff=1";
    # A restart leaves the pods running (KillMode=process); at power-off systemd ends them.
    serviceConfig.TimeoutStopSec = 10;
    serviceConfig.CPUWeight = 10000;
    # A pod that uses all memory must not end the API.
    serviceConfig.OOMScoreAdjust = -999;
  };
  # With this file K3s imports an archive once, otherwise at each start.
  systemd.tmpfiles.settings."10-k3s-vm"."/var/lib/rancher/k3s/agent/images/.cache.json".f = {
    mode = "0644";
    user = "root";
    group = "root";
  };

  # The kernel may have booted with one CPU (maxcpus=1).
  systemd.tmpfiles.settings."10-k3s-vm"."/sys/devices/system/cpu/cpu*/online".w.argument = "1";

  # A container that ignores SIGTERM must not delay a power-off for systemd's default of ninety seconds.
  systemd.settings.Manager.DefaultTimeoutStopSec = "5s";

  # The console is only logged. Not with nixpkgs' profile `headless`: it puts `vga=` on the kernel's command line, which
  # makes a board without VGA wait half a minute for a key.
  systemd.enableEmergencyMode = false;
  systemd.services."serial-getty@ttyS0".enable = false;
  systemd.services."serial-getty@hvc0".enable = false;
  systemd.services."getty@tty1".enable = false;
  systemd.services."autovt@".enable = false;

  # The host sets the clock and logs the console.
  services.timesyncd.enable = false;
  services.journald.storage = "volatile";
  services.journald.extraConfig = "RuntimeMaxUse=48M";

  # A changed configuration is a new image; there is no Nix inside.
  nix.enable = false;
  system.switch.enable = false;
  system.disableInstallerTools = true;
  system.stateVersion = lib.mkDefault lib.trivial.release;
}
