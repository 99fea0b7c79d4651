//! The fake's QMP server: one client at a time, as QEMU's.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use super::calls::record;
use super::fake::Fake;
use super::lines::Lines;
use super::migration::Migrations;
use crate::script::{Greeting, PowerButton};

/// The state of the VM.
struct State {
    status: String,
    presses: u32,
    /// The block node that the root disk writes to.
    top: String,
    migrations: Migrations,
    /// How many times each command was received.
    calls: BTreeMap<String, u32>,
}

/// Serves clients without end.
pub(super) fn serve(fake: &Arc<Fake>, listener: &UnixListener) {
    let status = if fake.arguments.waits { "inmigrate" } else { &fake.script.status };
    fake.paused.set(status != "running");
    let mut state = State {
        status: status.to_owned(),
        presses: 0,
        top: "disk".to_owned(),
        migrations: Migrations::default(),
        calls: BTreeMap::new(),
    };
    for stream in listener.incoming().map_while(Result::ok) {
        // A client that goes away in the middle is no reason to end.
        let _ = converse(fake, &mut state, stream);
        if let Ok(mut client) = fake.client.lock() {
            *client = None;
        }
    }
}

fn converse(fake: &Arc<Fake>, state: &mut State, mut stream: UnixStream) -> std::io::Result<()> {
    match &fake.script.greeting {
        Greeting::Usual => {
            let greeting = json!({"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""},
                                  "capabilities": ["oob"]}});
            stream.write_all(format!("{greeting}\r\n").as_bytes())?;
        }
        Greeting::Hang => {}
        Greeting::Garbage(line) => stream.write_all(format!("{line}\r\n").as_bytes())?,
    }
    let mut lines = Lines::of(stream.try_clone()?);
    while let Some(line) = lines.next()? {
        state.migrations.files.append(&mut lines.files);
        let call: Value = serde_json::from_str(&line).unwrap_or_default();
        if fake.script.greeting == Greeting::Hang {
            continue;
        }
        record(&call);
        let command = call["execute"].as_str().unwrap_or_default();
        let unanswered = fake.script.unanswered.get(command);
        if unanswered == Some(&false) {
            continue;
        }
        let mut answer = answer(fake, state, &call);
        if unanswered.is_some() {
            continue;
        }
        if let Some(ms) = fake.script.late_ms.get(command) {
            std::thread::sleep(Duration::from_millis(*ms));
        }
        if let Some(id) = call.get("id") {
            answer["id"] = id.clone();
        }
        stream.write_all(format!("{answer}\r\n").as_bytes())?;
        after(fake, state, &call, &stream)?;
    }
    Ok(())
}

fn answer(fake: &Arc<Fake>, state: &mut State, call: &Value) -> Value {
    let command = call["execute"].as_str().unwrap_or_default();
    if let Some(scripted) = fake.script.qmp.get(command) {
        return scripted.clone();
    }
    let calls = state.calls.entry(command.to_owned()).or_default();
    *calls += 1;
    if fake.script.refuse_after.get(command).is_some_and(|most| *calls > *most) {
        return json!({"error": {"class": "GenericError", "desc": "refused by its script"}});
    }
    match command {
        "qmp_capabilities"
        | "quit"
        | "system_powerdown"
        | "migrate-set-capabilities"
        | "migrate-set-parameters"
        | "migrate"
        | "migrate-incoming"
        | "migrate_cancel" => json!({"return": {}}),
        "query-memdev" => json!({"return": [{"id": "ram0", "size": fake.arguments.memory}]}),
        "query-chardev" => {
            json!({"return": [{"label": "agent", "frontend-open": !fake.script.agent.absent, "filename": "unix"}]})
        }
        "set-action" => {
            if let Some(action) = call["arguments"]["reboot"].as_str() {
                fake.reset_ends.store(action == "shutdown", Ordering::SeqCst);
            }
            json!({"return": {}})
        }
        "blockdev-add" | "blockdev-del" => json!({"return": {}}),
        "blockdev-snapshot" => {
            state.top = call["arguments"]["overlay"].as_str().unwrap_or_default().to_owned();
            json!({"return": {}})
        }
        "query-block" => json!({"return": [{
            "qdev": "/machine/peripheral/root-disk/virtio-backend",
            "inserted": {"node-name": state.top, "image": {"virtual-size": 1 << 30}},
        }]}),
        "query-jobs" => json!({"return": []}),
        "getfd" | "add-fd" => state.migrations.take(command),
        "query-migrate" => state.migrations.info(),
        "query-status" => json!({"return": {"status": state.status, "running": state.status == "running"}}),
        "stop" => {
            state.status = "paused".to_owned();
            fake.paused.set(true);
            fake.event("STOP", &json!({}));
            json!({"return": {}})
        }
        "cont" => {
            state.status = "running".to_owned();
            fake.paused.set(false);
            fake.event("RESUME", &json!({}));
            json!({"return": {}})
        }
        "chardev-add" | "object-add" | "object-del" | "chardev-remove" => {
            fake.paused.command(command, &call["arguments"], &mut state.migrations.files)
        }
        "human-monitor-command" => {
            let line = call["arguments"]["command-line"].as_str().unwrap_or_default();
            json!({"return": human(fake, line)})
        }
        other => json!({"error": {"class": "CommandNotFound",
                                  "desc": format!("The command {other} has not been found")}}),
    }
}

fn human(fake: &Arc<Fake>, line: &str) -> String {
    let Ok(mut forwards) = fake.forwards.lock() else { return "the fake is broken\r\n".to_owned() };
    match line.split(' ').collect::<Vec<_>>().as_slice() {
        ["hostfwd_add", _, rule] => forwards.add(rule).err().map_or_else(String::new, |text| format!("{text}\r\n")),
        ["hostfwd_remove", _, host] => forwards.remove(host),
        ["info", "usernet"] => forwards.list(),
        _ => format!("unknown command: '{line}'\r\n"),
    }
}

/// Does what follows the answer to a command.
fn after(fake: &Arc<Fake>, state: &mut State, call: &Value, stream: &UnixStream) -> std::io::Result<()> {
    let command = call["execute"].as_str().unwrap_or_default();
    if fake.script.qmp.contains_key(command) {
        return Ok(());
    }
    match command {
        "qmp_capabilities" => {
            let copy = stream.try_clone()?;
            if let Ok(mut client) = fake.client.lock() {
                *client = Some(copy);
            }
        }
        "migrate" => state.status = state.migrations.write(fake)?.unwrap_or(&state.status).to_owned(),
        "migrate-incoming" => state.status = state.migrations.read(fake)?.unwrap_or(&state.status).to_owned(),
        "migrate_cancel" => state.migrations.cancel(fake),
        "quit" if !fake.script.ignore_quit => fake.shut_down(false, "host-qmp-quit", 0),
        "system_powerdown" => {
            state.presses += 1;
            fake.event("POWERDOWN", &json!({}));
            // A paused guest does not notice the button.
            let noticed = match fake.script.power_button {
                PowerButton::Obey => state.presses == 1,
                PowerButton::IgnoreFirst(count) => state.presses == count + 1,
                PowerButton::Ignore => false,
            };
            if state.status == "running" && noticed {
                fake.power_off();
            }
        }
        _ => {}
    }
    Ok(())
}
