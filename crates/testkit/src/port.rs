//! Ports for tests.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use model::port::Port;

/// A port of 127.0.0.1 on which nobody listens at this moment; no two calls of a process give the same one, although the
/// system gives a port again as soon as it is closed.
///
/// # Panics
/// When the host has none.
pub fn free() -> Port {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    // Open until there is a new one, so that the system does not give them once more.
    let mut known = Vec::new();
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let number = listener.local_addr().expect("its address").port();
        if given.insert(number) {
            return Port::new(number).expect("the system never gives port 0");
        }
        known.push(listener);
    }
}

/// A free port in the range of Kubernetes' NodePorts; no two calls of a process give the same one.
///
/// # Panics
/// When the range is used up.
pub fn free_node_port() -> Port {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test programs run at the same time, some of them as process 2 of a namespace of their own: not by the pid.
    static BEGIN: OnceLock<u16> = OnceLock::new();
    let begin = *BEGIN.get_or_init(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u16::try_from(since.subsec_micros() % 2000).unwrap_or_default()
    });
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(step < 700, "no free NodePort");
        let number = 30000 + begin + step;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
            return Port::new(number).expect("not 0");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ports_of_a_test_were_the_same_one() {
        let ports: BTreeSet<u16> = (0..2000).map(|_| free().number()).collect();
        assert_eq!(ports.len(), 2000);
    }
}
