//! Point 4: pods and the guest reach the host's nameserver, and no service on its loopback.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};

use super::guest::LiveGuest;
use super::pod::{self, Who};

/// Addresses of QEMU's user network. The first leads to the host's loopback, the last to the host's nameserver; the others
/// would lead to the loopback, too, if QEMU answered ARP for them.
const ADDRESSES: [&str; 4] = ["10.0.2.2", "10.0.2.77", "10.0.2.254", "10.0.2.3"];

/// Finds nft; a NixOS guest has it only in the store.
const NFT: &str = "nft=$(command -v nft || ls /nix/store/*nftables*/bin/nft | head -n 1)";

/// No connection to a service on the host's 127.0.0.1, such as a database.
pub(super) fn closed(guest: &mut LiveGuest<'_>) {
    let service = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = service.local_addr().expect("an address").port();
    service.set_nonblocking(true).expect("a socket");
    for who in [pod::any(guest), Who::Guest] {
        for address in ADDRESSES {
            let answer = who.connects(guest, address, port);
            let refused = answer.as_ref().is_err_and(|why| why.contains("No route to host"));
            assert!(refused, "{who:?} to {address}:{port}: {answer:?}");
        }
    }
    let connection = service.accept().map(drop).map_err(|error| error.kind());
    assert_eq!(connection, Err(ErrorKind::WouldBlock), "there was a connection");
    let rules = guest.shell(&format!("{NFT}; $nft list table inet k3s-vm-host-access"));
    assert!(rules.contains("ip daddr 10.0.2.3 udp dport 53 accept"), "DNS is not allowed:\n{rules}");
}

/// Without the guest's nftables table the same connections succeed, so [`closed`] tests that table. Root in the guest can
/// remove it.
pub(super) fn open_without_the_table(guest: &mut LiveGuest<'_>) {
    let service = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = service.local_addr().expect("an address").port();
    guest.shell(&format!("{NFT}; $nft delete table inet k3s-vm-host-access"));
    let pod = pod::any(guest);
    // QEMU answers ARP for this address and the nameserver only; for the others a guest would have to forge the answer.
    let answers: Vec<_> = [pod, Who::Guest].iter().map(|who| who.connects(guest, ADDRESSES[0], port)).collect();
    guest.shell(&format!("{NFT}; $nft -f /etc/k3s-vm/host-access.nft"));
    assert_eq!(answers, [Ok(()), Ok(())]);
}
