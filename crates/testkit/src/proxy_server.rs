//! An HTTP proxy on 127.0.0.1 that leads every tunnel to one server, whatever the requested name is, or refuses.

use std::io::{BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::http_server::Request;

/// The proxy; its threads end with the test program.
#[derive(Debug)]
pub struct ProxyServer {
    address: SocketAddr,
    tunnels: Arc<Mutex<Vec<String>>>,
}

impl ProxyServer {
    /// Starts a proxy with tunnels to `target`; without a target it answers 403.
    ///
    /// # Panics
    /// When no port can be had.
    pub fn start(target: Option<SocketAddr>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("its address");
        let tunnels: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&tunnels);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = Arc::clone(&seen);
                // The client notices errors of the tunnel.
                std::thread::spawn(move || tunnel(stream, target, &seen));
            }
        });
        ProxyServer { address, tunnels }
    }

    /// The value of `HTTPS_PROXY`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests: methods, and names with their ports.
    pub fn tunnels(&self) -> Vec<String> {
        self.tunnels.lock().map(|tunnels| tunnels.clone()).unwrap_or_default()
    }
}

fn tunnel(mut client: TcpStream, target: Option<SocketAddr>, seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
    // A client sends nothing more before the answer, so the buffer reads nothing of the tunnel.
    let Some(request) = Request::read(&mut BufReader::new(client.try_clone()?)) else { return Ok(()) };
    if let Ok(mut seen) = seen.lock() {
        seen.push(format!("{} {}", request.method, request.path));
    }
    let Some(target) = target.filter(|_| request.method == "CONNECT") else {
        return client.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    };
    let mut server = TcpStream::connect(target)?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    std::io::copy(&mut server, &mut client)?;
    client.shutdown(Shutdown::Both)
}
