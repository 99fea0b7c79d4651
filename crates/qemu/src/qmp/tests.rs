//! A QEMU that the guest has taken over: every answer is refused or read, and none causes a panic.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use model::event::Silent;
use proptest::prelude::*;

use super::*;
use crate::hostile_json::json_value;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(60);

/// A QEMU that answers `command` with the value `answer`, or with these bytes as a line, and all other commands with `{}`.
fn hostile(command: &'static str, answer: Vec<u8>, as_value: bool, deadline: Duration) -> Qmp {
    let directory = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(directory.path().join(InstancePaths::QMP_SOCKET)).unwrap();
    // The thread ends with the connection.
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let _ = converse(stream, command, &answer, as_value);
    });
    let mut qmp = Qmp::connect(directory.path(), LONG).unwrap();
    qmp.deadline = deadline;
    qmp
}

fn converse(mut stream: UnixStream, evil: &str, answer: &[u8], as_value: bool) -> std::io::Result<()> {
    stream.write_all(b"{\"QMP\": {}}\r\n")?;
    for request in BufReader::new(stream.try_clone()?).split(b'\n') {
        let request: Value = serde_json::from_slice(&request?)?;
        let is_evil = request["execute"] == evil;
        let (begin, id) = (b"{\"return\": ".to_vec(), format!(", \"id\": {}}}\r\n", request["id"]));
        let line = match (is_evil, as_value) {
            (true, false) => [answer, b"\r\n"].concat(),
            (true, true) => [&begin, answer, id.as_bytes()].concat(),
            (false, _) => [&begin, &b"{}"[..], id.as_bytes()].concat(),
        };
        stream.write_all(&line)?;
    }
    Ok(())
}

const COMMANDS: [&str; 9] = [
    "query-status",
    "query-memdev",
    "query-block",
    "query-jobs",
    "query-named-block-nodes",
    "human-monitor-command",
    "add-fd",
    "query-migrate",
    "cont",
];

fn call(qmp: &mut Qmp, command: &str) -> Result<()> {
    let file = tempfile::tempfile().unwrap();
    match command {
        "query-status" => qmp.status().map(drop),
        "query-memdev" => qmp.memory("ram0").map(drop),
        "query-block" => qmp.top_of_root_disk().map(drop),
        "query-jobs" => qmp.cancel_stream(),
        "query-named-block-nodes" => qmp
            .ask_much::<Value>("query-block", Value::Null)
            .and_then(|_| qmp.stream_to(Path::new("/a"), Path::new("/b"), SHORT, &Silent)),
        "human-monitor-command" => {
            let _ = (qmp.host_address("ram0"), qmp.memory_file("ram0"));
            qmp.user_network().map(drop)
        }
        "add-fd" => qmp.save_devices(&file),
        "query-migrate" => {
            let target = std::os::fd::AsFd::as_fd(&file);
            qmp.migrate_from(target, crate::Version::new(10, 0, 0), SHORT)
        }
        _ => qmp.cont(),
    }
}

#[test]
fn an_answer_of_another_form_is_refused() {
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    for command in COMMANDS {
        for value in ["[[]]", "[7]", "null", "7", "1e999", "\"text\"", "{\"a\": []", &deep] {
            let mut qmp = hostile(command, value.as_bytes().to_vec(), true, LONG);
            call(&mut qmp, command).expect_err(&format!("{command}: {value:.20}"));
        }
    }
    for (command, value) in [
        ("query-status", "[]"),
        ("query-memdev", r#"[{"id": "ram0", "size": -1}]"#),
        ("query-memdev", r#"[["ram0", 1, true]]"#),
        ("query-block", r#"[{"qdev": "root-disk", "inserted": {"node-name": "a", "image": {"virtual-size": 1.5}}}]"#),
        ("query-jobs", r#"[{"id": "shorten", "current-progress": -1, "total-progress": 1}]"#),
        ("add-fd", r#"{"fdset-id": "1/../../../etc/passwd"}"#),
    ] {
        let mut qmp = hostile(command, value.as_bytes().to_vec(), true, LONG);
        call(&mut qmp, command).expect_err(value);
    }
}

#[test]
fn lines_that_are_no_messages_are_refused() {
    for line in
        ["[]", "7", "{", "{\"id\": -1}", "{\"event\": 7}", "{\"error\": []}", "{\"event\": \"A\", \"data\": 1e999}"]
    {
        let mut qmp = hostile("cont", line.as_bytes().to_vec(), false, LONG);
        let error = qmp.cont().expect_err(line);
        assert_eq!(error.class(), ErrorClass::Failed, "{line}: {error}");
    }
}

#[test]
fn a_line_that_is_too_long_is_not_parsed() {
    let long = vec![b'['; 5 << 20];
    let error = hostile("cont", long.clone(), false, LONG).cont().unwrap_err();
    insta::assert_snapshot!(error, @"QEMU cannot be reached through QMP (cont): its answer has more than 65536 bytes");
    let error = hostile("human-monitor-command", long, false, LONG).user_network().unwrap_err();
    insta::assert_snapshot!(error, @"QEMU cannot be reached through QMP (human-monitor-command): its answer has more than 4194304 bytes");
    let event = format!("{{\"event\": \"A\", \"data\": [{}0]}}", "0,".repeat(100_000));
    let error = hostile("human-monitor-command", event.into_bytes(), false, LONG).user_network().unwrap_err();
    insta::assert_snapshot!(error, @"QEMU's events are too many or too large");
}

#[test]
fn events_without_an_end_are_not_collected() {
    let events = ["{\"event\": \"A\"}"].repeat(MOST_EVENTS + 10).join("\n");
    assert!(hostile("cont", events.clone().into_bytes(), false, LONG).cont().is_err());
    let mut qmp = hostile("cont", format!("{{\"return\": {{}}, \"id\": 2}}\n{events}").into_bytes(), false, LONG);
    qmp.cont().unwrap();
    let mut seen = 0;
    while seen < MOST_EVENTS + 10 {
        let some = qmp.events(LONG).unwrap();
        assert!((1..=MOST_EVENTS).contains(&some.len()));
        seen += some.len();
    }
}

#[test]
fn the_last_event_was_lost_where_a_command_was_sent_after_qemu_had_ended() {
    let directory = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(directory.path().join(InstancePaths::QMP_SOCKET)).unwrap();
    let qemu = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut requests = BufReader::new(stream.try_clone().unwrap()).lines();
        stream.write_all(b"{\"QMP\": {}}\r\n").unwrap();
        requests.next().unwrap().unwrap();
        stream.write_all(b"{\"return\": {}, \"id\": 1}\r\n").unwrap();
        stream.write_all(b"{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true}}\r\n").unwrap();
    });
    let mut qmp = Qmp::connect(directory.path(), LONG).unwrap();
    qemu.join().unwrap();
    assert!(qmp.power_down().is_err());
    assert!(qmp.is_closed());
    let events: Vec<String> = qmp.events(Duration::ZERO).unwrap().into_iter().map(|event| event.name).collect();
    assert_eq!(events, ["SHUTDOWN"]);
}

/// Texts and keys of QMP's answers.
const TEXTS: &[&str] = &["root-disk", "ram0", "shorten", "qcow2"];
const KEYS: &[&str] = &[
    "id",
    "size",
    "qdev",
    "inserted",
    "node-name",
    "image",
    "virtual-size",
    "status",
    "fdset-id",
    "current-progress",
    "file",
    "drv",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_json_makes_a_command_panic(value in json_value(TEXTS, KEYS), command in prop::sample::select(&COMMANDS[..])) {
        let _ = call(&mut hostile(command, value.to_string().into_bytes(), true, SHORT), command);
    }

    #[test]
    fn no_bytes_make_a_command_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300), command in prop::sample::select(&COMMANDS[..]),
    ) {
        let _ = call(&mut hostile(command, bytes, false, SHORT), command);
    }

    #[test]
    fn no_text_makes_the_list_of_connections_panic(text in "(TCP\\[[A-Z_]{0,12}\\]|[ 0-9.*:\\r\\n]|.){0,60}") {
        let _ = crate::UserNetwork::parse(&format!("Protocol[State]\n{text}"));
    }
}
