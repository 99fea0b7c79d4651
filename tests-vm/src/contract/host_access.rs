//! Point 4: what pods, and the guest, reach of the host: its nameserver, and nothing of its loopback.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};

use super::guest::LiveGuest;
use super::pod::{self, Who};

/// Addresses of QEMU's user network. The first leads to the host's loopback, the last to the host's nameserver; the others
/// would lead to the loopback, too, if QEMU answered ARP for them.
const WAYS: [&str; 4] = ["10.0.2.2", "10.0.2.77", "10.0.2.254", "10.0.2.3"];

/// A guest of Nix's has it in the store alone.
const NFT: &str = "nft=$(command -v nft || ls /nix/store/*nftables*/bin/nft | head -n 1)";

/// A service of the host's that listens on 127.0.0.1, such as a database, cannot be connected to.
pub(super) fn closed(guest: &mut LiveGuest<'_>) {
    let service = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = service.local_addr().expect("an address").port();
    service.set_nonblocking(true).expect("a socket");
    for who in [pod::any(guest), Who::Guest] {
        for way in WAYS {
            let answer = who.connects(guest, way, port);
            let refused = answer.as_ref().is_err_and(|why| why.contains("No route to host"));
            assert!(refused, "{who:?} to {way}:{port}: {answer:?}");
        }
    }
    let connection = service.accept().map(drop).map_err(|error| error.kind());
    assert_eq!(connection, Err(ErrorKind::WouldBlock), "somebody came through");
    let rules = guest.shell(&format!("{NFT}; $nft list table inet k3s-vm-host-access"));
    assert!(rules.contains("ip daddr 10.0.2.3 udp dport 53 accept"), "names cannot be asked for:\n{rules}");
}

/// What is refused is refused by that table alone: without it the same connections come through, so the check above means
/// something. Root in the guest can do this.
pub(super) fn open_without_the_table(guest: &mut LiveGuest<'_>) {
    let service = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = service.local_addr().expect("an address").port();
    guest.shell(&format!("{NFT}; $nft delete table inet k3s-vm-host-access"));
    let pod = pod::any(guest);
    // The one way for which QEMU answers ARP, beside the nameserver: for the others a guest would have to forge that answer.
    let answers: Vec<_> = [pod, Who::Guest].iter().map(|who| who.connects(guest, WAYS[0], port)).collect();
    guest.shell(&format!("{NFT}; $nft -f /etc/k3s-vm/host-access.nft"));
    assert_eq!(answers, [Ok(()), Ok(())]);
}
