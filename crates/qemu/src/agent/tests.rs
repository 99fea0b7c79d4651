//! A hostile agent: whatever it says, every call ends with an error, not with a panic, and not never.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use proptest::prelude::*;

use super::*;
use crate::hostile_json::json_value;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(50);

/// Commands and the lines that answer them.
type Answers = Vec<(&'static str, Vec<u8>)>;

/// An agent that answers some commands with the given lines, and all others as it should.
struct HostileAgent {
    directory: tempfile::TempDir,
}

impl HostileAgent {
    fn new(command: &'static str, line: impl Into<Vec<u8>>) -> Self {
        HostileAgent::of(vec![(command, line.into())])
    }

    fn of(answers: Answers) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join(InstancePaths::AGENT_SOCKET)).unwrap();
        // The thread ends with the test.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(std::result::Result::ok) {
                let _ = converse(stream, &answers);
            }
        });
        HostileAgent { directory }
    }

    fn connect(&self) -> Agent {
        Agent::connect(self.directory.path(), LONG).unwrap()
    }
}

fn converse(mut stream: UnixStream, answers: &Answers) -> std::io::Result<()> {
    for request in BufReader::new(stream.try_clone()?).split(b'\n') {
        let request: Vec<u8> = request?.into_iter().filter(|byte| *byte != DELIMITER).collect();
        let request: Value = serde_json::from_slice(&request)?;
        let command = request["execute"].as_str().unwrap();
        let usual = match command {
            "guest-sync-delimited" => {
                stream.write_all(&[DELIMITER])?;
                request["arguments"]["id"].clone()
            }
            "guest-exec" => json!({"pid": 7}),
            "guest-exec-status" => json!({"exited": true, "exitcode": 0}),
            "guest-file-open" => json!(1),
            "guest-file-read" => json!({"count": 0, "buf-b64": "", "eof": true}),
            _ => json!({}),
        };
        let own = answers.iter().find(|(evil, _)| *evil == command).map(|(_, line)| line.clone());
        let answer = own.unwrap_or_else(|| json!({ "return": usual }).to_string().into_bytes());
        stream.write_all(&answer)?;
        stream.write_all(b"\n")?;
    }
    Ok(())
}

/// Makes a call that uses `command`.
fn call(agent: &mut Agent, command: &str, deadline: Duration) -> Result<()> {
    match command {
        "guest-set-time" | "guest-get-time" => agent.set_time(SystemTime::now(), deadline),
        "guest-shutdown" => agent.shut_down(deadline),
        "guest-exec" | "guest-exec-status" => agent.exec(&GuestCommand::new("/bin/true", [""; 0]), deadline).map(drop),
        _ => agent.read_file("/etc/hostname", 100, deadline).map(drop),
    }
}

const COMMANDS: [&str; 6] =
    ["guest-set-time", "guest-exec", "guest-exec-status", "guest-file-open", "guest-file-read", "guest-file-close"];

#[test]
fn an_answer_that_is_a_list_did_panic() {
    let deep = format!(r#"{{"return": {}{}}}"#, "[".repeat(5000), "]".repeat(5000));
    let long = format!(r#"{{"return": "{}"}}"#, "a".repeat(4 << 20));
    let lines: Vec<&[u8]> = vec![
        b"[]",
        b"{}",
        b"7",
        b"null",
        b"",
        b"\x00\xfe\xff{",
        b"{\"return\": []}",
        b"{\"return\": [[]]}",
        b"{\"return\": [7]}",
        b"{\"return\": null}",
        b"{\"return\": \"text\"}",
        b"{\"return\": 1e999}",
        b"{\"return\": 1.5}",
        b"{\"return\": {}, \"return\": {}}",
        b"{\"error\": []}",
        b"{\"error\": 7}",
        b"{\"error\": {}}",
        b"{\"error\": {\"desc\": {}}}",
        deep.as_bytes(),
        long.as_bytes(),
    ];
    for command in COMMANDS {
        for line in &lines {
            let agent = HostileAgent::new(command, *line);
            let mut agent = agent.connect();
            let shown = String::from_utf8_lossy(&line[..line.len().min(40)]).into_owned();
            let error = call(&mut agent, command, LONG).expect_err(&format!("{command}: {shown}"));
            assert_eq!(error.class(), ErrorClass::Failed, "{command}: {shown}: {error}");
        }
    }
}

#[test]
fn numbers_and_texts_out_of_their_range_are_refused() {
    for (command, value) in [
        ("guest-exec", r#"{"pid": -1}"#),
        ("guest-exec", r#"{"pid": 9223372036854775808}"#),
        ("guest-exec", r#"{"pid": "7"}"#),
        ("guest-exec-status", r#"{"exited": 1}"#),
        ("guest-exec-status", r#"{"exited": true, "signal": 9223372036854775807}"#),
        ("guest-exec-status", r#"{"exited": true, "signal": -1}"#),
        ("guest-exec-status", r#"{"exited": true, "exitcode": 2147483648}"#),
        ("guest-exec-status", r#"{"exited": true, "exitcode": 0, "out-data": "!"}"#),
        ("guest-exec-status", r#"{"exited": true, "exitcode": 0, "err-data": 7}"#),
        ("guest-file-open", "99999999999999999999"),
        ("guest-file-read", r#"{"buf-b64": "!", "eof": false}"#),
        ("guest-file-read", r#"{"eof": true}"#),
        // More than was asked for, and more than there may be.
        ("guest-file-read", &format!(r#"{{"buf-b64": "{}", "eof": true}}"#, "AAAA".repeat(35))),
        ("guest-file-read", r#"{"buf-b64": "AAAA", "eof": false}"#),
    ] {
        let agent = HostileAgent::new(command, format!(r#"{{"return": {value}}}"#));
        let error = call(&mut agent.connect(), command, LONG).expect_err(value);
        assert_eq!(error.class(), ErrorClass::Failed, "{value}: {error}");
    }
}

#[test]
fn a_clock_at_the_end_of_time_did_overflow() {
    for time in [i64::MIN, i64::MAX] {
        let refusal = r#"{"error": {"desc": "hwclock failed to set hardware clock to system time"}}"#;
        let agent = HostileAgent::of(vec![
            ("guest-set-time", refusal.into()),
            ("guest-get-time", format!(r#"{{"return": {time}}}"#).into()),
        ]);
        let error = agent.connect().set_time(SystemTime::now(), LONG).unwrap_err();
        assert!(error.to_string().contains("hwclock"), "{error}");
    }
}

#[test]
fn an_endless_answer_takes_bounded_memory() {
    let endless = HostileAgent::new("guest-file-open", vec![b'['; 3 << 20]);
    let error = call(&mut endless.connect(), "guest-file-open", LONG).unwrap_err();
    insta::assert_snapshot!(error, @"cannot read /etc/hostname in the guest: the guest agent cannot be reached (guest-file-open): its answer has more than 65536 bytes");
}

#[test]
fn after_a_bad_answer_the_next_call_opens_a_new_connection() {
    let agent = HostileAgent::new("guest-exec", "[]");
    let mut agent = agent.connect();
    assert!(call(&mut agent, "guest-exec", LONG).is_err());
    agent.set_time(SystemTime::now(), LONG).unwrap();
}

/// Keys of the agent's answers.
const KEYS: &[&str] =
    &["return", "error", "desc", "pid", "exited", "signal", "exitcode", "out-data", "buf-b64", "eof", "count"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_json_makes_a_call_panic(value in json_value(&[""], KEYS), command in prop::sample::select(&COMMANDS[..])) {
        let agent = HostileAgent::new(command, value.to_string());
        let _ = call(&mut agent.connect(), command, SHORT);
    }

    #[test]
    fn no_bytes_make_a_call_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300), command in prop::sample::select(&COMMANDS[..]),
    ) {
        let agent = HostileAgent::new(command, bytes);
        let _ = call(&mut agent.connect(), command, SHORT);
    }
}
