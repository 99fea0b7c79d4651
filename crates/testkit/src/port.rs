//! Ports for tests; no two tests on this machine have the same one at a time.
//!
//! A port is reserved by a name in the abstract namespace of Unix sockets (unix(7)). The name belongs to the same network
//! namespace as the port, only one socket can have it, and it is released when the process ends, however it ends.

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Mutex, PoisonError};

use model::port::Port;

/// Below the ports that the tool chooses itself (from 20000), and below those that the kernel gives to outgoing connections
/// (from 32768), one of which could be in use before the test listens on it.
const ANY: Range<u16> = 10_000..20_000;
/// Kubernetes' range, without those that the example and the tests of messages name.
const NODE_PORTS: Range<u16> = 30_100..32_700;

/// A port of 127.0.0.1 on which nobody listens, and which no other test gets as long as this process lives.
///
/// # Panics
/// When none is free.
pub fn free() -> Port {
    reserved(ANY)
}

/// [`free`] in the range of Kubernetes' NodePorts.
///
/// # Panics
/// As [`free`].
pub fn free_node_port() -> Port {
    reserved(NODE_PORTS)
}

/// Starts at a random port, so that processes that start together seldom try the same ones.
fn reserved(range: Range<u16>) -> Port {
    let count = range.end - range.start;
    // A remainder of `count` fits.
    let begin = u16::try_from(RandomState::new().hash_one(()) % u64::from(count)).unwrap_or_default();
    let mut numbers = (0..count).map(|step| range.start + (begin + step) % count);
    let number = numbers.find(|number| reserve(*number) && is_free(*number)).expect("a free port");
    Port::new(number).expect("not 0")
}

/// Reserves the number for this process, even where another process listens on the port.
fn reserve(number: u16) -> bool {
    static HELD: Mutex<Vec<UnixDatagram>> = Mutex::new(Vec::new());
    let name = SocketAddr::from_abstract_name(format!("k3s-vm-test-port-{number}")).expect("a short name");
    let socket = UnixDatagram::bind_addr(&name);
    socket.map(|socket| HELD.lock().unwrap_or_else(PoisonError::into_inner).push(socket)).is_ok()
}

fn is_free(number: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::process::{Command, Stdio};

    use super::*;

    /// Set in the processes that the test starts: they print the ports that they get.
    const PRINTS: &str = "K3S_TEST_PRINTS_PORTS";
    const COUNT: usize = 300;

    #[test]
    fn two_ports_of_a_test_were_the_same_one() {
        let ports: BTreeSet<u16> = (0..COUNT).map(|_| free().number()).collect();
        assert_eq!(ports.len(), COUNT);
        assert!(ports.iter().all(|number| ANY.contains(number)));
        assert_ne!(free_node_port(), free_node_port());
    }

    /// Three processes with so many ports would choose the same ones by chance.
    #[test]
    fn two_processes_got_the_same_port() {
        if std::env::var_os(PRINTS).is_some() {
            let mine: Vec<String> = (0..COUNT).map(|_| free_node_port().to_string()).collect();
            println!("ports: {}.", mine.join(","));
            // The ports stay reserved until the test closes its end.
            let _ = std::io::stdin().read_line(&mut String::new());
            return;
        }
        let start = || {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "port::tests::two_processes_got_the_same_port", "--nocapture"])
                .env(PRINTS, "1")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        };
        let mut others = [start(), start()];
        let mut ports: Vec<u16> = (0..COUNT).map(|_| free_node_port().number()).collect();
        for other in &mut others {
            ports.extend(printed(other.stdout.as_mut().unwrap()));
        }
        for mut other in others {
            drop(other.stdin.take());
            assert!(other.wait().unwrap().success());
        }
        let different: BTreeSet<&u16> = ports.iter().collect();
        assert_eq!((ports.len(), different.len()), (3 * COUNT, 3 * COUNT));
    }

    fn printed(output: impl std::io::Read) -> Vec<u16> {
        use std::io::BufRead;
        let mut lines = std::io::BufReader::new(output).lines().map(Result::unwrap);
        let ports = lines.find_map(|line| Some(line.split_once("ports: ")?.1.to_owned())).expect("its ports");
        ports.trim_end_matches('.').split(',').map(|number| number.parse().unwrap()).collect()
    }
}
