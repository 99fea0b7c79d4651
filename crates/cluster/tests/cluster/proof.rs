//! The proof of the API: only the right authority passes, and all other cases are distinguished.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use cluster::{ApiProbe, ApiProof};
use host::wait::Look;
use model::ErrorClass;

use crate::certificates::Authority;

const LIMIT: Duration = Duration::from_secs(20);
const CONTRACT_NAMES: [&str; 2] = ["127.0.0.1", "localhost"];

/// Runs `serve` with the first connection to a port of its own.
fn listen(serve: impl FnOnce(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        if let Ok((stream, _)) = listener.accept() {
            serve(stream);
        }
    });
    address
}

/// A TLS server that answers one request with `answer` and reports the path of the request.
fn api(config: Arc<rustls::ServerConfig>, answer: &'static str) -> SocketAddr {
    listen(move |stream| serve(stream, config, answer))
}

fn serve(stream: TcpStream, config: Arc<rustls::ServerConfig>, answer: &'static str) {
    let connection = rustls::ServerConnection::new(config).unwrap();
    let mut stream = rustls::StreamOwned::new(connection, stream);
    let mut request = [0; 1024];
    let Ok(count) = stream.read(&mut request) else { return };
    let asked_for_readyz = request[..count].starts_with(b"GET /readyz HTTP/1.1\r\n");
    let answer = if asked_for_readyz { answer } else { "HTTP/1.1 404 Not Found\r\n\r\n" };
    let _ = stream.write_all(answer.as_bytes()).and_then(|()| stream.flush());
    stream.conn.send_close_notify();
    let _ = stream.flush();
}

fn probe(authority: &Authority, address: SocketAddr) -> ApiProof {
    ApiProbe::new(address, &authority.credentials()).unwrap().probe(LIMIT)
}

const READY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn ours_and_ready() {
    let ours = Authority::new();
    let address = api(ours.server(&CONTRACT_NAMES), READY);
    assert_eq!(probe(&ours, address), ApiProof::Ready);
}

#[test]
fn ours_and_not_ready_names_the_failing_checks() {
    let ours = Authority::new();
    let answer = "HTTP/1.1 500 Internal Server Error\r\n\r\n[+]ping ok\n[-]etcd failed: reason withheld\n";
    let address = api(ours.server(&CONTRACT_NAMES), answer);
    assert_eq!(probe(&ours, address), ApiProof::NotReady("the API server waits for etcd".to_owned()));
}

#[test]
fn a_server_that_refuses_anonymous_clients_gets_the_certificate_from_then_on() {
    let ours = Authority::new();
    let config = ours.server_that_asks(&CONTRACT_NAMES);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let mut known = Vec::new();
        for stream in listener.incoming().take(3).flatten() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream);
            let _ = stream.read(&mut [0; 1024]);
            known.push(stream.conn.peer_certificates().is_some());
            let answer = if known.ends_with(&[true]) { READY } else { "HTTP/1.1 401 Unauthorized\r\n\r\n" };
            let _ = stream.write_all(answer.as_bytes()).and_then(|()| stream.flush());
        }
        known
    });
    let probe = ApiProbe::new(address, &ours.credentials()).unwrap();
    assert_eq!(probe.probe(LIMIT), ApiProof::Ready);
    assert_eq!(probe.probe(LIMIT), ApiProof::Ready);
    assert_eq!(server.join().unwrap(), [false, true, true]);
}

#[test]
fn another_cluster_is_a_port_error_even_if_it_would_say_ready() {
    let (ours, other) = (Authority::new(), Authority::new());
    let address = api(other.server(&CONTRACT_NAMES), READY);
    let error = ApiProbe::new(address, &ours.credentials()).unwrap().look(LIMIT).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Port);
    let text = error.to_string().replace(&address.port().to_string(), "PORT");
    insta::assert_snapshot!(text, @"another cluster answers on 127.0.0.1:PORT: its certificate is signed by another authority");
}

#[test]
fn a_certificate_of_ours_for_another_name_is_foreign() {
    let ours = Authority::new();
    let address = api(ours.server(&["kubelet.example"]), READY);
    assert!(matches!(probe(&ours, address), ApiProof::Foreign(_)));
}

#[test]
fn an_expired_certificate_is_never_ready_and_is_reported() {
    let ours = Authority::new();
    let address = api(ours.expired_server(&CONTRACT_NAMES), READY);
    let proof = probe(&ours, address);
    assert!(matches!(&proof, ApiProof::NotReady(text) if text.contains("not valid now")), "{proof:?}");
}

#[test]
fn a_server_without_tls_is_foreign() {
    let address = listen(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    assert_eq!(probe(&Authority::new(), address), ApiProof::Foreign("it does not speak TLS".to_owned()));
}

#[test]
fn nothing_that_listens_is_refused() {
    // Port 1 (tcpmux) has had no server for decades; a port bound and dropped could be another test's by now.
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    assert_eq!(probe(&Authority::new(), address), ApiProof::Refused("nothing listens on 127.0.0.1:1".to_owned()));
}

#[test]
fn a_forward_with_no_guest_behind_it_is_not_there_yet() {
    let closes = listen(drop);
    let authority = Authority::new();
    let probe = ApiProbe::new(closes, &authority.credentials()).unwrap();
    assert!(matches!(probe.look(LIMIT), Ok(Look::NotYet(text)) if text.contains("no API server answers behind it")));
}

/// QEMU's user network delays a connection that the guest does not accept at once by six seconds; a reset took as long.
/// took.
#[test]
fn a_connection_that_waits_is_replaced_by_a_new_one() {
    let ours = Authority::new();
    let config = ours.server(&CONTRACT_NAMES);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, came) = mpsc::channel();
    std::thread::spawn(move || {
        let (first, _) = listener.accept().unwrap();
        let (config_of_first, asked_first) = (Arc::clone(&config), asked.clone());
        let (_second_came, second_comes) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            // As long as QEMU waits, unless the test has ended.
            if second_comes.recv_timeout(Duration::from_secs(6)) == Err(RecvTimeoutError::Timeout) {
                let _ = asked_first.send("first");
                serve(first, config_of_first, READY);
            }
        });
        let (second, _) = listener.accept().unwrap();
        let _ = asked.send("second");
        serve(second, config, READY);
    });
    let probe = ApiProbe::new(address, &ours.credentials()).unwrap();
    testkit::wait::until(|| matches!(probe.look(LIMIT).unwrap(), Look::Ready(())));
    assert_eq!(came.recv_timeout(testkit::wait::DEADLINE).unwrap(), "second");
}

#[test]
fn a_look_at_a_silent_or_slow_server_ends_at_the_limit() {
    let silent = listen(|mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let trickles = listen(|mut stream| {
        // The first bytes of a TLS record of 16 KiB, which never ends.
        let _ = stream.write_all(&[22, 3, 3, 0x40, 0]);
        while stream.write_all(&[0]).is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    for address in [silent, trickles] {
        let authority = Authority::new();
        let probe = ApiProbe::new(address, &authority.credentials()).unwrap();
        let proof = probe.probe(Duration::from_millis(300));
        assert!(matches!(&proof, ApiProof::Silent(text) if text.contains("no answer in time")), "{proof:?}");
    }
}
