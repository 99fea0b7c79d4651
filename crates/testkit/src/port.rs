//! Ports for tests, each given to one test of this machine at a time, whichever process it runs in.
//!
//! A port is reserved by a name in the abstract namespace of Unix sockets (unix(7)): it belongs to the same network namespace
//! as the port, no two sockets have it, and it goes with the process that holds it, however that ends.

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Mutex, PoisonError};

use model::port::Port;

/// Below those that the tool chooses itself (from 20000) and those of the kernel's own choice (from 32768), which it also
/// gives to outgoing connections: a port from there could be in use again before the test listens on it.
const ANY: Range<u16> = 10_000..20_000;
/// Kubernetes' range, without those that the example and the tests of messages name.
const NODE_PORTS: Range<u16> = 30_100..32_700;

/// A port of 127.0.0.1 on which nobody listens at this moment, and which no other test gets as long as this process lives.
///
/// # Panics
/// When none is free.
pub fn free() -> Port {
    reserved(ANY)
}

/// The same in the range of Kubernetes' NodePorts.
///
/// # Panics
/// As [`free`].
pub fn free_node_port() -> Port {
    reserved(NODE_PORTS)
}

/// From a place of chance on, so that processes that begin at once seldom try the same ones.
fn reserved(range: Range<u16>) -> Port {
    let count = range.end - range.start;
    // A remainder of `count` fits.
    let begin = u16::try_from(RandomState::new().hash_one(()) % u64::from(count)).unwrap_or_default();
    let mut numbers = (0..count).map(|step| range.start + (begin + step) % count);
    let number = numbers.find(|number| reserve(*number) && is_free(*number)).expect("a free port");
    Port::new(number).expect("not 0")
}

/// Takes the number for this process; one that somebody else listens on stays taken, too.
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

    /// Set in the process that another test starts: it tells the ports that it gets.
    const TELLS: &str = "K3S_TEST_TELLS_PORTS";
    const COUNT: usize = 300;

    #[test]
    fn two_ports_of_a_test_were_the_same_one() {
        let ports: BTreeSet<u16> = (0..COUNT).map(|_| free().number()).collect();
        assert_eq!(ports.len(), COUNT);
        assert!(ports.iter().all(|number| ANY.contains(number)));
        assert_ne!(free_node_port(), free_node_port());
    }

    /// Two processes alive at once, a quarter of the range each way: by chance alone they would meet.
    #[test]
    fn two_processes_got_the_same_port() {
        if std::env::var_os(TELLS).is_some() {
            let mine: Vec<String> = (0..COUNT).map(|_| free_node_port().to_string()).collect();
            println!("ports: {}.", mine.join(","));
            // Until the other end is closed: the ports are this process's until then.
            let _ = std::io::stdin().read_line(&mut String::new());
            return;
        }
        let start = || {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "port::tests::two_processes_got_the_same_port", "--nocapture"])
                .env(TELLS, "1")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        };
        let mut others = [start(), start()];
        let mut ports: Vec<u16> = (0..COUNT).map(|_| free_node_port().number()).collect();
        for other in &mut others {
            ports.extend(told(other.stdout.as_mut().unwrap()));
        }
        for mut other in others {
            drop(other.stdin.take());
            assert!(other.wait().unwrap().success());
        }
        let different: BTreeSet<&u16> = ports.iter().collect();
        assert_eq!((ports.len(), different.len()), (3 * COUNT, 3 * COUNT));
    }

    fn told(output: impl std::io::Read) -> Vec<u16> {
        use std::io::BufRead;
        let mut lines = std::io::BufReader::new(output).lines().map(Result::unwrap);
        let ports = lines.find_map(|line| Some(line.split_once("ports: ")?.1.to_owned())).expect("its ports");
        ports.trim_end_matches('.').split(',').map(|number| number.parse().unwrap()).collect()
    }
}
