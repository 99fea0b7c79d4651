//! A web server on 127.0.0.1 that answers as a test says and records the requests.
//!
//! It speaks as much HTTP/1.1 as downloads need: one request per connection, ranges, answers that break off or stall.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method: `GET`.
    pub method: String,
    /// `/path?query`, as it was sent.
    pub path: String,
    /// The headers, with names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Request {
    /// The value of a header, if the request has it.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Reads a request; `None` where the connection ends before it.
    pub(crate) fn read(reader: &mut impl BufRead) -> Option<Self> {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let mut words = line.split_whitespace();
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            match line.trim_end().split_once(':') {
                Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim().to_owned())),
                None => return Some(Request { method, path, headers }),
            }
        }
    }
}

/// How the connection ends after the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The server closes it.
    Close,
    /// The server sends nothing more until the client closes it.
    Silence,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// The value of `Content-Length`; `None` leaves the header out.
    length: Option<usize>,
    ending: Ending,
}

impl Answer {
    /// A status without a body.
    pub fn status(status: u16) -> Self {
        Answer { status, headers: Vec::new(), body: Vec::new(), length: Some(0), ending: Ending::Close }
    }

    /// A redirect.
    pub fn redirect(to: impl Into<String>) -> Self {
        Answer::status(302).with("Location", to)
    }

    /// A body with status 200.
    pub fn body(body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Answer { length: Some(body.len()), body, ..Answer::status(200) }
    }

    /// A file with an entity tag, also for requests of a range.
    pub fn file(request: &Request, bytes: &[u8], tag: &str) -> Self {
        let begin =
            request.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        let same = request.header("if-range").is_none_or(|condition| condition == tag);
        let answer = match begin {
            Some(begin) if same && begin < bytes.len() => {
                let range = format!("bytes {begin}-{}/{}", bytes.len() - 1, bytes.len());
                Answer::body(&bytes[begin..]).with_status(206).with("Content-Range", range)
            }
            Some(_) if same => Answer::status(416),
            _ => Answer::body(bytes),
        };
        answer.with("ETag", tag)
    }

    /// Changes the status.
    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        Answer { status, ..self }
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sends only the first `count` bytes of the body; `Content-Length` stays.
    #[must_use]
    pub fn cut(mut self, count: usize) -> Self {
        self.body.truncate(count);
        self
    }

    /// Sets `Content-Length`, whatever the length of the body is.
    #[must_use]
    pub fn promising(self, length: usize) -> Self {
        Answer { length: Some(length), ..self }
    }

    /// Leaves `Content-Length` out.
    #[must_use]
    pub fn unmeasured(self) -> Self {
        Answer { length: None, ..self }
    }

    /// Sets how the connection ends.
    #[must_use]
    pub fn ending(mut self, ending: Ending) -> Self {
        self.ending = ending;
        self
    }

    fn send(&self, stream: &mut impl Stream) -> std::io::Result<()> {
        let mut head = format!("HTTP/1.1 {} Told\r\n", self.status);
        if let Some(length) = self.length {
            head.push_str(&format!("Content-Length: {length}\r\n"));
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
        stream.write_all(&self.body)?;
        stream.flush()?;
        if self.ending == Ending::Silence {
            // Until the client closes its side.
            stream.read_to_end(&mut Vec::new())?;
        }
        Ok(())
    }
}

/// The server; its threads end with the test program.
#[derive(Debug)]
pub struct HttpServer {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    certificate: Option<String>,
}

/// A connection, encrypted or not.
trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl HttpServer {
    /// Starts a server; `answer` gets each request and the number of requests before it.
    ///
    /// # Panics
    /// When no port can be had.
    pub fn start(answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_as(answer, None, None)
    }

    /// [`HttpServer::start`] with TLS for the names `localhost` and `name`, with a self-signed certificate.
    ///
    /// # Panics
    /// When no port or no certificate can be had.
    pub fn start_encrypted(name: &str, answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Self {
        let made =
            rcgen::generate_simple_self_signed(["localhost".to_owned(), name.to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a usable certificate");
        Self::start_as(answer, Some(Arc::new(config)), Some(made.cert.pem()))
    }

    fn start_as(
        answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static,
        tls: Option<Arc<ServerConfig>>,
        certificate: Option<String>,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("its address");
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (answer, seen) = (Arc::new(answer), Arc::clone(&requests));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, seen, tls) = (Arc::clone(&answer), Arc::clone(&seen), tls.clone());
                std::thread::spawn(move || match tls.map(ServerConnection::new) {
                    None => serve(stream, &*answer, &seen),
                    Some(Ok(connection)) => serve(StreamOwned::new(connection, stream), &*answer, &seen),
                    Some(Err(_)) => {}
                });
            }
        });
        HttpServer { address, requests, certificate }
    }

    /// The certificate of a server with TLS, in PEM.
    pub fn certificate(&self) -> &str {
        self.certificate.as_deref().unwrap_or_default()
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT` and `path`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The requests, one line each, with the range where there is one.
    pub fn requests(&self) -> Vec<String> {
        let requests = self.requests.lock().map(|requests| requests.clone()).unwrap_or_default();
        requests
            .iter()
            .map(|request| match request.header("range") {
                Some(range) => format!("{} {} {range}", request.method, request.path),
                None => format!("{} {}", request.method, request.path),
            })
            .collect()
    }
}

fn serve(mut stream: impl Stream, answer: &dyn Fn(&Request, usize) -> Answer, seen: &Mutex<Vec<Request>>) {
    // A client sends nothing after its request, so the buffer reads no more than that.
    let Some(request) = Request::read(&mut BufReader::new(&mut stream)) else { return };
    let before = match seen.lock() {
        Ok(mut seen) => {
            seen.push(request.clone());
            seen.len() - 1
        }
        Err(_) => return,
    };
    // The client may have closed the connection.
    let _ = answer(&request, before).send(&mut stream);
}
