//! The fake's guest agent: one client at a time, as on QEMU's character device.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::calls::record;
use super::fake::Fake;
use crate::script::Program;

/// The state of the agent.
#[derive(Default)]
struct State {
    connections: u32,
    running: BTreeMap<i64, Run>,
    files: BTreeMap<i64, Vec<u8>>,
    last: i64,
    /// Nanoseconds, set by the client.
    clock: i64,
}

/// A program that the client has started.
struct Run {
    program: Program,
    input: Vec<u8>,
    looks: u32,
    killed: bool,
}

/// Serves clients without end.
pub(super) fn serve(fake: &Arc<Fake>, listener: &UnixListener) {
    let mut state = State::default();
    for stream in listener.incoming().map_while(Result::ok) {
        state.connections += 1;
        let _ = converse(fake, &mut state, stream);
    }
}

fn converse(fake: &Arc<Fake>, state: &mut State, mut stream: UnixStream) -> std::io::Result<()> {
    let script = &fake.script.agent;
    let deaf = script.absent || state.connections <= script.deaf_connections;
    if !deaf {
        stream.write_all(script.stale.as_bytes())?;
    }
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut line = Vec::new();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if deaf {
            continue;
        }
        line.retain(|byte| *byte != 0xff);
        let call: Value = serde_json::from_slice(&line).unwrap_or_default();
        record(&call);
        let command = call["execute"].as_str().unwrap_or_default();
        if command == "guest-shutdown" {
            if !script.ignore_shutdown {
                fake.power_off();
            }
            continue;
        }
        if command == "guest-sync-delimited" {
            stream.write_all(&[0xff])?;
        }
        let answer = match answer(fake, state, command, &call["arguments"]) {
            Ok(value) => json!({"return": value}),
            Err(text) => json!({"error": {"class": "GenericError", "desc": text}}),
        };
        stream.write_all(format!("{answer}\n").as_bytes())?;
    }
}

fn answer(fake: &Arc<Fake>, state: &mut State, command: &str, arguments: &Value) -> Result<Value, String> {
    match command {
        "guest-sync-delimited" => Ok(arguments["id"].clone()),
        "guest-exec" => exec(fake, state, arguments),
        "guest-exec-status" => exec_status(state, arguments),
        "guest-file-open" => {
            let path = arguments["path"].as_str().unwrap_or_default();
            let content = fake
                .script
                .agent
                .files
                .get(path)
                .ok_or_else(|| format!("failed to open file '{path}' (mode: 'rb'): No such file or directory"))?;
            state.last += 1;
            state.files.insert(state.last, content.clone().into_bytes());
            Ok(json!(state.last))
        }
        "guest-file-read" => {
            let content = file(state, arguments)?;
            let count = usize::try_from(arguments["count"].as_u64().unwrap_or(4096)).unwrap_or(4096);
            let rest = content.split_off(count.min(content.len()));
            let part = std::mem::replace(content, rest);
            Ok(json!({"count": part.len(), "buf-b64": BASE64.encode(&part), "eof": part.len() < count}))
        }
        "guest-file-close" => {
            file(state, arguments)?;
            state.files.remove(&arguments["handle"].as_i64().unwrap_or_default());
            Ok(json!({}))
        }
        "guest-set-time" => {
            state.clock = arguments["time"].as_i64().unwrap_or_default();
            if fake.script.agent.no_hwclock {
                return Err("hwclock failed to set hardware clock to system time".to_owned());
            }
            Ok(json!({}))
        }
        "guest-get-time" => Ok(json!(state.clock)),
        other => Err(format!("The command {other} has not been found")),
    }
}

fn file<'a>(state: &'a mut State, arguments: &Value) -> Result<&'a mut Vec<u8>, String> {
    let handle = arguments["handle"].as_i64().unwrap_or_default();
    state.files.get_mut(&handle).ok_or_else(|| format!("handle '{handle}' has not been found"))
}

fn exec(fake: &Arc<Fake>, state: &mut State, arguments: &Value) -> Result<Value, String> {
    let path = arguments["path"].as_str().unwrap_or_default();
    let words: Vec<&str> = arguments["arg"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let command = [&[path], words.as_slice()].concat().join(" ");
    state.last += 1;
    if let Some(pid) = command.strip_prefix("/bin/kill -KILL ").and_then(|pid| pid.parse().ok()) {
        if let Some(run) = state.running.get_mut(&pid) {
            run.killed = true;
        }
        return Ok(json!({"pid": state.last}));
    }
    let program = fake.script.agent.programs.iter().find(|program| command.contains(&program.command));
    let program = program
        .cloned()
        .ok_or_else(|| format!("Failed to execute child process \u{201c}{path}\u{201d} (No such file or directory)"))?;
    let input = BASE64.decode(arguments["input-data"].as_str().unwrap_or_default()).unwrap_or_default();
    state.running.insert(state.last, Run { program, input, looks: 0, killed: false });
    Ok(json!({"pid": state.last}))
}

fn exec_status(state: &mut State, arguments: &Value) -> Result<Value, String> {
    let pid = arguments["pid"].as_i64().unwrap_or_default();
    let run = state.running.get_mut(&pid).ok_or("Invalid parameter 'pid'")?;
    if run.killed {
        return Ok(json!({"exited": true, "signal": 9}));
    }
    if run.looks < run.program.looks {
        run.looks += u32::from(run.program.looks != Program::FOREVER);
        return Ok(json!({"exited": false}));
    }
    let stdout = run.program.stdout.replace("@stdin", &String::from_utf8_lossy(&run.input));
    let mut status = json!({"exited": true});
    match run.program.signal {
        Some(signal) => status["signal"] = json!(signal),
        None => status["exitcode"] = json!(run.program.code),
    }
    for (key, text) in [("out-data", &stdout), ("err-data", &run.program.stderr)] {
        if !text.is_empty() {
            status[key] = json!(BASE64.encode(text));
        }
    }
    Ok(status)
}
