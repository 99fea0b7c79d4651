//! Point 6: what the components of Kubernetes and common containers expect of a host: names of protocols and services, time
//! zones, certificates, a locale, and the commands that they call.
//!
//! The list is from the sources of Kubernetes 1.37.2, knftables 0.0.22, mount-utils 0.37.2, containerd 2.4.2 and cAdvisor
//! 0.60.5. In a guest without `/etc/protocols` all Services stopped after an hour, without an error.

use super::guest::LiveGuest;

/// Who expects it; a script for the guest's shell; how its output begins.
const FILES: [(&str, &str, &str); 22] = [
    // nft prints the name if there is one, and kube-proxy compares it with "tcp", "udp" and "sctp".
    ("kube-proxy, by what nft prints: tcp", "getent protocols 6", "tcp "),
    ("kube-proxy, by what nft prints: udp", "getent protocols 17", "udp "),
    ("kube-proxy, by what nft prints: sctp", "getent protocols 132", "sctp "),
    ("iptables and nft, by name: icmp", "getent protocols icmp | tr -s ' '", "icmp 1"),
    ("iptables and nft, by name: ipv6-icmp", "getent protocols ipv6-icmp | tr -s ' '", "ipv6-icmp 58"),
    ("ports by name: https", "getent services https/tcp | tr -s ' '", "https 443/tcp"),
    ("ports by name: domain", "getent services domain/udp | tr -s ' '", "domain 53/udp"),
    ("names without a server: localhost", "getent ahostsv4 localhost", "127.0.0.1"),
    ("the kubelet, for pods on the host's network: hosts", "grep -m1 localhost /etc/hosts", "127.0.0.1"),
    (
        "the kubelet, for pods: a resolver that pods can reach",
        "grep -v '^nameserver 127' /etc/resolv.conf | grep -m1 '^nameserver '",
        "nameserver ",
    ),
    ("glibc: files and DNS", "grep '^hosts:.*files.*dns' /etc/nsswitch.conf", "hosts:"),
    ("cAdvisor: the machine ID", "tr -d '0-9a-f' </etc/machine-id; wc -c </etc/machine-id", "\n33"),
    ("cAdvisor, and the node's description: the system", "grep ^NAME= /etc/os-release", "NAME="),
    ("runc, by the name of a user", "getent passwd 0", "root:"),
    ("hostPath: the local time", "date -r /etc/localtime +%Y && head -c 4 /etc/localtime", "2"),
    ("hostPath: the name of the zone", "cat /etc/timezone", "Etc/UTC"),
    ("CronJobs, and hostPath: zones", "TZ=:/usr/share/zoneinfo/Asia/Tokyo date +%z", "+0900"),
    ("CronJobs: zones by name", "TZ=Asia/Tokyo date +%z", "+0900"),
    (
        "hostPath, and pulls of images: CA certificates",
        "test $(grep -c BEGIN /etc/ssl/certs/ca-certificates.crt) -ge 100 && echo many",
        "many",
    ),
    ("the locale C.UTF-8: one letter of two bytes", "printf 'ä' | LC_ALL=C.UTF-8 wc -m", "1"),
    ("hostPath: logs", "test -d /var/log && echo there", "there"),
    ("hostPath: /tmp for everybody", "stat -c %a /tmp", "1777"),
];

/// Commands for any distribution: the kubelet mounts volumes, and people inspect containers from the host.
const COMMANDS: &str = "mount umount findmnt nsenter modprobe blkid losetup blockdev fsck fsck.ext4 mkfs.ext4 resize2fs du \
    nice systemd-run journalctl sysctl ip getent";
/// Commands for the distribution `kubernetes`; K3s has its own.
const OF_KUBERNETES: &str = "nft runc tar";

/// The files are there and the C library can use them.
pub(super) fn files(guest: &mut LiveGuest<'_>) {
    let mut missing = Vec::new();
    for (who, script, expected) in FILES {
        let output = guest.shell(&format!("{{ {script}; }} 2>&1 || true"));
        if !output.starts_with(expected) || output.is_empty() {
            missing.push(format!("{who}: `{script}` says {:?}, not {expected:?}", output.trim_end()));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    let node = &guest.image.manifest.node_name;
    assert!(!guest.shell(&format!("getent ahostsv4 {node}")).is_empty(), "it does not resolve its own name");
}

/// The commands are in the `PATH` of a systemd service.
pub(super) fn commands(guest: &mut LiveGuest<'_>) {
    let own = if is_kubernetes(guest) { OF_KUBERNETES } else { "" };
    let missing = guest.shell(&format!("for c in {COMMANDS} {own}; do command -v $c >/dev/null || echo $c; done"));
    assert_eq!(missing, "", "the guest lacks these commands");
}

/// kube-proxy can read back the elements that it has written. K3s has an nft or iptables of its own.
pub(super) fn nft_prints_what_kube_proxy_reads(guest: &mut LiveGuest<'_>) {
    let map = "add table ip t; add map ip t m { type inet_proto . inet_service : verdict ; }; \
        add element ip t m { tcp . 30080 : drop, udp . 53 : drop, sctp . 9 : drop }";
    let output = guest.shell(&format!(
        "command -v nft >/dev/null || exit 0; nft --version; unshare --net sh -ec \"nft '{map}'; nft --json list map ip t m\""
    ));
    if output.is_empty() && !is_kubernetes(guest) {
        return;
    }
    // Elements of a map are pairs of a key and a verdict.
    for key in [r#"{"concat": ["tcp", 30080]}"#, r#"{"concat": ["udp", 53]}"#, r#"{"concat": ["sctp", 9]}"#] {
        assert!(output.contains(key), "{key} is not in what nft prints:\n{output}");
    }
    assert!(output.contains(r#""json_schema_version": 1"#), "{output}");
}

fn is_kubernetes(guest: &LiveGuest<'_>) -> bool {
    guest.image.manifest.distribution == "kubernetes"
}
