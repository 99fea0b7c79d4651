//! Checks that a server behind a TCP port answers, not only that the port accepts a connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Sends `request` to `address` and waits for the first byte of an answer. A connection alone proves nothing, because a
/// port forward accepts it even if there is no server.
///
/// # Errors
/// A text: refused, closed without an answer, or no answer within `limit`.
pub fn first_answer(address: SocketAddr, request: &[u8], limit: Duration) -> Result<(), String> {
    let limit = limit.max(Duration::from_millis(1));
    let mut stream = TcpStream::connect_timeout(&address, limit).map_err(|error| format!("cannot connect: {error}"))?;
    let set = stream.set_read_timeout(Some(limit)).and_then(|()| stream.set_write_timeout(Some(limit)));
    set.map_err(|error| error.to_string())?;
    stream.write_all(request).map_err(|error| format!("the connection broke: {error}"))?;
    let answer = loop {
        match stream.read(&mut [0; 1]) {
            // A process that is stopped and continued gets EINTR, too (signal(7)).
            Err(error) if error.kind() == ErrorKind::Interrupted && !crate::interrupt::requested() => {}
            answer => break answer,
        }
    };
    match answer {
        Ok(1..) => Ok(()),
        Ok(0) => Err("the connection was closed without an answer".to_owned()),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Err(format!("no answer within {:.0} s", limit.as_secs_f64()))
        }
        Err(error) => Err(format!("the connection broke: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    const LIMIT: Duration = Duration::from_secs(10);

    fn serve(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 64]);
            let _ = stream.write_all(answer);
        });
        address
    }

    #[test]
    fn a_server_that_answers_is_found() {
        assert_eq!(first_answer(serve(b"HTTP/1.0 500"), b"GET /\r\n\r\n", LIMIT), Ok(()));
    }

    #[test]
    fn a_forward_that_accepts_and_closes_is_no_answer() {
        assert!(first_answer(serve(b""), b"GET /\r\n\r\n", LIMIT).unwrap_err().contains("without an answer"));
    }

    #[test]
    fn nobody_listens() {
        let address = ([127, 0, 0, 1], testkit::port::free().number());
        assert!(first_answer(address.into(), b"x", LIMIT).unwrap_err().contains("cannot connect"));
    }
}
