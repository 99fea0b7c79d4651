//! Tests with a server that behaves as servers and networks do.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::event::Silent;
use model::{ErrorClass, Event, EventSink};
use testkit::RecordingSink;
use testkit::http_server::{Answer, Ending, HttpServer, Request};

use super::*;
use crate::digest::Sha256;

const LIMITS: Limits = Limits { connect: Duration::from_secs(60), silence: Duration::from_secs(60) };
const TAG: &str = "\"one\"";

/// Bytes without repetition.
fn content() -> Vec<u8> {
    (0..300_000_u32).flat_map(u32::to_le_bytes).collect()
}

struct Scratch(tempfile::TempDir, u64);

impl Scratch {
    fn new() -> Self {
        Scratch::at_most(u64::MAX)
    }
    fn at_most(most: u64) -> Self {
        Scratch(tempfile::tempdir().unwrap(), most)
    }
    fn to(&self) -> PathBuf {
        self.0.path().join("downloads/k3s")
    }
    fn fetch_with(&self, url: &str, limits: Limits, events: &dyn EventSink) -> Result<(), Failure> {
        Client::new(limits).fetch(&Download {
            url,
            to: &self.to(),
            sha256: Sha256::of(&content()),
            most: self.1,
            lock: &self.0.path().join("locks/k3s"),
            lock_deadline: Duration::from_secs(600),
            task: "k3s",
            what: "k3s v1.33.5+k3s1",
            events,
        })
    }
    fn fetch(&self, url: &str) -> Result<(), Failure> {
        self.fetch_with(url, LIMITS, &Silent)
    }
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.0.path().join("downloads"))
            .map(|read| read.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
            .unwrap_or_default();
        names.sort();
        names
    }
    fn assert_whole(&self) {
        assert!(std::fs::read(self.to()).unwrap() == content(), "another content");
        assert_eq!(self.names(), ["k3s"]);
    }
}

/// A server of the file that first answers with `first`, once each.
fn server(first: Vec<fn(&Request) -> Answer>) -> HttpServer {
    let bytes = Arc::new(content());
    HttpServer::start(move |request, before| match first.get(before) {
        Some(answer) => answer(request),
        None => Answer::file(request, &bytes, TAG),
    })
}

/// The message with the address of the server as `SERVER`.
fn text_of(failure: &Failure, server: &HttpServer) -> String {
    let error = failure.error();
    let mut text = format!("{} ({})\n", error.what(), error.class().name());
    for why in error.why() {
        text.push_str(&format!("  {why}\n"));
    }
    for step in error.next_steps() {
        text.push_str(&format!("Next: {step}\n"));
    }
    text.replace(&server.address().to_string(), "SERVER")
}

#[test]
fn a_file_is_fetched_whole_with_progress() {
    let (scratch, server, sink) = (Scratch::new(), server(Vec::new()), RecordingSink::default());
    scratch.fetch_with(&server.url("/k3s"), LIMITS, &sink).unwrap();
    scratch.assert_whole();
    let last = sink.events().into_iter().filter_map(|event| match event {
        Event::Progress { task, message, .. } if task == "k3s" => Some(message),
        _ => None,
    });
    let last = last.collect::<Vec<_>>().pop().unwrap();
    assert!(last.starts_with("fetching k3s v1.33.5+k3s1: 1.1 MiB of 1.1 MiB"), "{last}");
    assert!(sink.events().contains(&Event::TaskFinished { task: "k3s".to_owned() }));
}

#[test]
fn an_existing_file_is_checked_and_fetched_again_only_if_damaged() {
    let (scratch, server) = (Scratch::new(), server(Vec::new()));
    scratch.fetch(&server.url("/k3s")).unwrap();
    scratch.fetch(&server.url("/k3s")).unwrap();
    assert_eq!(server.requests(), ["GET /k3s"]);
    std::fs::write(scratch.to(), "rotten").unwrap();
    let sink = RecordingSink::default();
    scratch.fetch_with(&server.url("/k3s"), LIMITS, &sink).unwrap();
    scratch.assert_whole();
    assert_eq!(sink.warnings(), [format!("{} is damaged and is fetched again", scratch.to().display())]);
}

#[test]
fn a_download_is_resumed_after_its_connection_broke() {
    let scratch = Scratch::new();
    let server = server(vec![|request| Answer::file(request, &content(), TAG).cut(1000), |request| {
        Answer::file(request, &content(), TAG).cut(500)
    }]);
    scratch.fetch(&server.url("/k3s")).unwrap();
    scratch.assert_whole();
    assert_eq!(server.requests(), ["GET /k3s", "GET /k3s bytes=1000-", "GET /k3s bytes=1500-"]);
}

#[test]
fn a_connection_that_breaks_without_progress_is_a_failure_and_the_partial_file_stays() {
    let scratch = Scratch::new();
    let cut = server(vec![|request| Answer::file(request, &content(), TAG).cut(1000), |request| {
        Answer::file(request, &content(), TAG).cut(0)
    }]);
    let failure = scratch.fetch(&cut.url("/k3s")).unwrap_err();
    insta::assert_snapshot!(text_of(&failure, &cut), @r"
    cannot fetch http://SERVER/k3s (failed)
      the connection ended before the file did
    ");
    assert_eq!(scratch.names(), ["k3s.partial", "k3s.partial.json"]);
    scratch.fetch(&cut.url("/k3s")).unwrap();
    scratch.assert_whole();
    assert_eq!(cut.requests().last().unwrap(), "GET /k3s bytes=1000-");
}

#[test]
fn a_file_that_changed_meanwhile_is_fetched_anew() {
    let scratch = Scratch::new();
    let server = server(vec![|request| Answer::file(request, &[7; 5000], "\"old\"").cut(1000), |request| {
        Answer::file(request, &[7; 5000], "\"old\"").cut(0)
    }]);
    scratch.fetch(&server.url("/k3s")).unwrap_err();
    scratch.fetch(&server.url("/k3s")).unwrap();
    scratch.assert_whole();
}

#[test]
fn a_server_that_cannot_resume_gets_a_whole_request() {
    for second in [
        (|_| Answer::status(416)) as fn(&Request) -> Answer,
        // A range that was not asked for.
        |_| Answer::body("x").with_status(206).with("Content-Range", "bytes 3-3/9"),
        // It knows no ranges.
        |_| Answer::body(content()),
        // Its tag is the same though the file is another one: the digest tells.
        |request| Answer::file(request, &[7; 2_000_000], TAG),
    ] {
        let scratch = Scratch::new();
        let server = server(vec![|request| Answer::file(request, &content(), TAG).cut(1000), second]);
        scratch.fetch(&server.url("/k3s")).unwrap();
        scratch.assert_whole();
    }
}

#[test]
fn without_a_validator_a_broken_download_begins_anew() {
    let scratch = Scratch::new();
    let server = server(vec![|_| Answer::body(content()).cut(1000)]);
    scratch.fetch(&server.url("/k3s")).unwrap();
    scratch.assert_whole();
    assert_eq!(server.requests(), ["GET /k3s", "GET /k3s"]);
}

#[test]
fn content_with_a_wrong_digest_is_refused_and_removed() {
    let scratch = Scratch::new();
    let server = HttpServer::start(|request, _| Answer::file(request, b"tampered", TAG));
    let failure = scratch.fetch(&server.url("/k3s")).unwrap_err();
    assert_eq!(failure.reason(), Reason::Other);
    insta::assert_snapshot!(text_of(&failure, &server), @r"
    k3s v1.33.5+k3s1 does not match its checksum (failed)
      http://SERVER/k3s has the SHA-256 d121be3103007b41edf96f8262925f8c7d61894afe9a041843b631f69445bc57
      expected is 552a438886f75fd5e70ff6ad0671698758af0a126388ab130f4eb85c0cf6c725
    ");
    assert_eq!(scratch.names(), [""; 0]);
}

#[test]
fn errors_explain_the_status() {
    for status in [404, 403, 503, 418] {
        let server = HttpServer::start(move |_, _| Answer::status(status));
        let failure = Scratch::new().fetch(&server.url("/a/k3s")).unwrap_err();
        assert_eq!(failure.reason(), Reason::Status(status));
        let text = text_of(&failure, &server);
        match status {
            404 => insta::assert_snapshot!(text, @r"
            cannot fetch http://SERVER/a/k3s (failed)
              SERVER answers 404: it has no such file
            "),
            503 => insta::assert_snapshot!(text, @r"
            cannot fetch http://SERVER/a/k3s (failed)
              SERVER answers 503: it has an internal error
            "),
            _ => assert!(text.contains(&format!("SERVER answers {status}: ")), "{text}"),
        }
    }
}

#[test]
fn redirects_are_followed_but_not_in_a_circle() {
    let scratch = Scratch::new();
    let server = HttpServer::start(|request, _| match request.path.as_str() {
        "/k3s" => Answer::redirect("/there"),
        "/there" => Answer::file(request, &content(), TAG),
        _ => Answer::redirect("/circle"),
    });
    scratch.fetch(&server.url("/k3s")).unwrap();
    scratch.assert_whole();
    let failure = Scratch::new().fetch(&server.url("/circle")).unwrap_err();
    insta::assert_snapshot!(text_of(&failure, &server), @r"
    cannot fetch http://SERVER/circle (failed)
      it redirects in a circle
    ");
    let client = Client::new(LIMITS);
    assert_eq!(client.redirect(&server.url("/k3s")).unwrap().as_deref(), Some("/there"));
    assert_eq!(client.redirect(&server.url("/there")).unwrap(), None);
}

#[test]
fn a_silent_server_is_a_timeout() {
    let limits = Limits { silence: Duration::from_millis(300), ..LIMITS };
    for bytes in [0, 1000] {
        let scratch = Scratch::new();
        let server = HttpServer::start(move |request, _| {
            Answer::file(request, &content(), TAG)
                .cut(if request.header("range").is_some() { 0 } else { bytes })
                .ending(Ending::Silence)
        });
        let failure = scratch.fetch_with(&server.url("/k3s"), limits, &Silent).unwrap_err();
        assert_eq!(failure.reason(), Reason::Broken);
        insta::allow_duplicates! {
            insta::assert_snapshot!(text_of(&failure, &server), @r"
            cannot fetch http://SERVER/k3s (timeout)
              SERVER fell silent
            ");
        }
    }
}

#[test]
fn a_host_that_does_not_exist_is_unreachable() {
    let gone = HttpServer::start(|_, _| Answer::status(200));
    let nobody = format!("127.0.0.1:{}", testkit::port::free());
    let failure = Scratch::new().fetch(&format!("http://user:secret@{nobody}/k3s")).unwrap_err();
    assert_eq!(failure.reason(), Reason::Unreachable);
    insta::assert_snapshot!(text_of(&failure, &gone).replace(&nobody, "NOBODY"), @r"
    cannot fetch http://NOBODY/k3s (host)
      NOBODY cannot be reached: it refuses the connection
    ");
    // A name that can never be resolved (RFC 6761).
    let failure = Scratch::new().fetch("https://k3s.invalid/k3s").unwrap_err();
    assert_eq!(failure.reason(), Reason::Unreachable);
}

#[test]
fn a_file_that_does_not_fit_on_the_disk_is_not_begun() {
    let scratch = Scratch::new();
    let server = HttpServer::start(|_, _| Answer::body("").promising(1 << 60));
    let failure = scratch.fetch(&server.url("/k3s")).unwrap_err();
    let error = failure.error();
    let directory = scratch.to().parent().unwrap().display().to_string();
    assert_eq!(error.what(), format!("there is too little space for k3s v1.33.5+k3s1 in {directory}"));
    assert!(error.why()[0].ends_with(" may be used, it needs 1.0 EiB"), "{error}");
    assert_eq!(error.class(), ErrorClass::Host);
}

#[test]
fn an_endless_response_filled_the_disk() {
    let refusal = |answer: fn(&Request) -> Answer, most: u64, expected: Reason| {
        let scratch = Scratch::at_most(most);
        let server = server(vec![answer; 20]);
        let failure = scratch.fetch(&server.url("/k3s")).unwrap_err();
        assert_eq!(failure.reason(), expected);
        assert_eq!(scratch.names(), [""; 0]);
        text_of(&failure, &server)
    };
    let measured: fn(&Request) -> Answer = |request| Answer::file(request, &content(), TAG);
    let unmeasured: fn(&Request) -> Answer = |_| Answer::body(content()).unmeasured();
    let refusals = [refusal(measured, 1 << 20, Reason::Other), refusal(unmeasured, 1 << 20, Reason::Other)];
    assert_eq!(refusals[0], refusals[1]);
    insta::assert_snapshot!(refusals[0], @r"
    cannot fetch http://SERVER/k3s (failed)
      k3s v1.33.5+k3s1 has at most 1.0 MiB, and the server sends more
    ");
    // A file of exactly that size is accepted.
    for answer in [measured, unmeasured] {
        let scratch = Scratch::at_most(content().len() as u64);
        scratch.fetch(&server(vec![answer]).url("/k3s")).unwrap();
        scratch.assert_whole();
    }
}

#[test]
fn a_text_has_a_limit() {
    let server = HttpServer::start(|_, _| Answer::body("0123456789"));
    let client = Client::new(LIMITS);
    assert_eq!(client.text(&server.url("/sums"), 10).unwrap(), "0123456789");
    let failure = client.text(&server.url("/sums"), 9).unwrap_err();
    insta::assert_snapshot!(text_of(&failure, &server), @r"
    cannot fetch http://SERVER/sums (failed)
      it is longer than 9 bytes
    ");
}

#[test]
fn a_response_that_is_not_http_is_a_failure() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").unwrap();
    });
    let failure = Scratch::new().fetch(&format!("http://{address}/k3s")).unwrap_err();
    assert_ne!(failure.reason(), Reason::Unreachable);
    assert!(failure.error().what().starts_with("cannot fetch http://127.0.0.1:"));
}

#[test]
fn two_at_once_fetch_it_once() {
    let (scratch, server) = (Scratch::new(), server(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| scratch.fetch(&server.url("/k3s")).unwrap());
        }
    });
    scratch.assert_whole();
    assert_eq!(server.requests(), ["GET /k3s"]);
}
