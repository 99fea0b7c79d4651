//! `forward`: ports that are opened and closed while the VM runs, and ports that are saved.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use testkit::Script;

use crate::setup::Setup;

/// A VM whose guest answers `pong` on port 80.
fn started() -> Setup {
    let setup = Setup::new(&listening());
    setup.says(&["start", "--no-wait"], 0);
    setup
}

fn listening() -> Script {
    let guest_ports = BTreeMap::from([(80, pong())]);
    Script { listen: true, guest_ports, ..Script::default() }
}

/// The address of a server that answers every four bytes with `pong`.
pub(crate) fn pong() -> String {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in server.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut request = [0; 4];
                while stream.read_exact(&mut request).and_then(|()| stream.write_all(b"pong")).is_ok() {}
            });
        }
    });
    address
}

/// The answer on a port of the host.
pub(crate) fn ask(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    let mut answer = [0; 4];
    stream.write_all(b"ping").and_then(|()| stream.read_exact(&mut answer))?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The output of `forward` with names for ports that differ from run to run.
fn lists(setup: &Setup, arguments: &[&str], own: u16) -> String {
    let output = setup.run(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = setup.steady(&String::from_utf8_lossy(&output.stdout)).replace(&own.to_string(), "OWN");
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect()
}

#[test]
fn a_port_is_opened_and_closed_while_the_vm_runs() {
    let setup = started();
    let port = testkit::port::free().number();
    let rule = format!("{port}:80");
    assert!(ask(port).is_err());
    let added = lists(&setup, &["forward", "add", &rule], port);
    insta::assert_snapshot!(added, @r"
    HOST GUEST FOR STATE
    127.0.0.1:OWN 80 - open until stop
    ");
    assert_eq!(lists(&setup, &["forward", "add", &rule], port), added, "it is open already");
    assert_eq!(ask(port).unwrap(), "pong");
    insta::assert_snapshot!(lists(&setup, &["forward", "list"], port), @r"
    HOST GUEST FOR STATE
    127.0.0.1:API_PORT 6443 Kubernetes API open
    127.0.0.1:SSH_PORT 22 SSH open
    127.0.0.1:WEB_PORT WEB_PORT web application open
    127.0.0.1:OWN 80 - open until stop
    ");
    let said = |code| setup.says(&["forward", "rm", &port.to_string()], code).replace(&port.to_string(), "OWN");
    insta::assert_snapshot!(said(0), @"Note: port OWN no longer leads to port 80 of the guest");
    assert!(ask(port).is_err());
    insta::assert_snapshot!(said(0), @"Note: port OWN is not open");
    assert!(!setup.project.read(".k3s-vm/config.toml").contains("forwards"));
}

#[test]
fn any_free_port_will_do() {
    let setup = started();
    let json = setup.json(&["forward", "add", "80", "-o", "json"]);
    let port = u16::try_from(json["host"].as_u64().unwrap()).unwrap();
    assert_eq!(ask(port).unwrap(), "pong");
    assert_eq!(
        (&json["guest"], &json["purpose"], &json["open"], &json["kept"]),
        (&80.into(), &"own".into(), &true.into(), &false.into())
    );
    let json = setup.json(&["forward", "rm", &port.to_string(), "-o", "json"]);
    assert_eq!((&json["was_open"], &json["kept"]), (&true.into(), &false.into()));
}

#[test]
fn what_is_saved_is_opened_at_every_start_and_the_file_keeps_its_comments() {
    let setup = started();
    let before = setup.project.read(".k3s-vm/config.toml").replace("[vm]", "# the machine\n[vm]");
    setup.project.write(".k3s-vm/config.toml", &before);
    let port = testkit::port::free().number();
    setup.says(&["forward", "add", "--save", &format!("{port}:80")], 0);
    let line = format!("forwards = [\"{port}:80\"]\n");
    assert_eq!(setup.project.read(".k3s-vm/config.toml").replace(&line, ""), before);
    setup.says(&["stop", "--power-off"], 0);
    insta::assert_snapshot!(lists(&setup, &["forward", "list"], port), @r"
    HOST GUEST FOR STATE
    127.0.0.1:API_PORT - Kubernetes API opens at start
    127.0.0.1:SSH_PORT - SSH opens at start
    127.0.0.1:WEB_PORT - web application opens at start
    127.0.0.1:OWN 80 - opens at start
    ");
    setup.script(&listening());
    setup.says(&["start", "--no-wait"], 0);
    assert_eq!(ask(port).unwrap(), "pong");
    let said = |words: &[&str]| setup.says(words, 0).replace(&port.to_string(), "OWN");
    let number = port.to_string();
    insta::assert_snapshot!(said(&["forward", "rm", &number]), @"Note: port OWN is closed until the next start; --save closes it for good");
    insta::assert_snapshot!(lists(&setup, &["forward", "list"], port), @r"
    HOST GUEST FOR STATE
    127.0.0.1:API_PORT 6443 Kubernetes API open
    127.0.0.1:SSH_PORT 22 SSH open
    127.0.0.1:WEB_PORT WEB_PORT web application open
    127.0.0.1:OWN 80 - opens at start
    ");
    insta::assert_snapshot!(said(&["forward", "rm", &number, "--save"]), @"Note: port OWN is not open");
    assert_eq!(setup.project.read(".k3s-vm/config.toml"), before);
}

#[test]
fn a_stopped_instance_takes_only_saved_forwards() {
    let setup = Setup::new(&listening());
    insta::assert_snapshot!(setup.says(&["forward", "add", "8080:80"], 3), @r"
    Error: k3s-vm is not running

    Next: k3s-vm start
    Next: k3s-vm forward add --save HOST:GUEST    # for every later start
    ");
    setup.says(&["forward", "add", "--save", "8080:80"], 0);
    assert!(setup.project.read(".k3s-vm/config.toml").contains("forwards = [\"8080:80\"]"));
    insta::assert_snapshot!(setup.says(&["forward", "add", "--save", "8080:81"], 2), @r"
    Error: port 8080 leads to port 80 of the guest

    Next: k3s-vm forward rm 8080 --save
    ");
    setup.says(&["forward", "rm", "8080", "--save"], 0);
    assert!(!setup.project.read(".k3s-vm/config.toml").contains("forwards"));
}

#[test]
fn an_instance_with_a_name_has_host_ports_of_its_own() {
    let setup = Setup::new(&listening());
    let port = testkit::port::free().number();
    setup.says(&["forward", "add", "--save", &format!("{port}:80")], 0);
    let named = |words: &[&str]| setup.json(&[&["--name", "two"], words].concat());
    let vm_dir = setup.project.root().join(".k3s-vm/instances/two/vm");
    std::fs::create_dir_all(&vm_dir).unwrap();
    named(&["start", "--no-wait", "-o", "json"]);
    let list = named(&["forward", "list", "-o", "json"]);
    let own = list.as_array().unwrap().iter().find(|one| one["guest"] == 80).unwrap();
    let own_port = u16::try_from(own["host"].as_u64().unwrap()).unwrap();
    assert_ne!(own_port, port);
    assert_eq!((&own["open"], &own["kept"]), (&true.into(), &true.into()));
    assert_eq!(ask(own_port).unwrap(), "pong");
    named(&["stop", "--power-off", "-o", "json"]);
}

#[test]
fn a_port_that_is_not_available_is_reported_with_its_reason() {
    let setup = started();
    let api = setup.api.to_string();
    insta::assert_snapshot!(setup.says(&["forward", "add", &format!("{api}:80")], 2), @r"
    Error: API_PORT is that of the Kubernetes API
      ports.api in .k3s-vm/config.toml changes it

    Next: k3s-vm forward list
    ");
    insta::assert_snapshot!(setup.says(&["forward", "rm", &api], 2), @r"
    Error: API_PORT is that of the Kubernetes API
      ports.api in .k3s-vm/config.toml changes it

    Next: k3s-vm forward list
    ");
    let port = testkit::port::free().number();
    setup.says(&["forward", "add", &format!("{port}:80")], 0);
    let said = setup.says(&["forward", "add", &format!("{port}:81")], 2).replace(&port.to_string(), "OWN");
    insta::assert_snapshot!(said, @r"
    Error: port OWN leads to port 80 of the guest

    Next: k3s-vm forward rm OWN
    ");

    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port();
    let said = setup.says(&["forward", "add", &format!("{port}:80")], 6);
    let start = format!("Error: port {port} on 127.0.0.1 is taken\n  pid PID of user ");
    assert!(said.starts_with(&start), "{said}");
    // A start that would open it fails the same way.
    setup.says(&["stop", "--power-off"], 0);
    setup.says(&["forward", "add", "--save", &format!("{port}:80")], 0);
    setup.script(&listening());
    let said = setup.says(&["start", "--no-wait"], 6);
    assert!(said.contains(&start), "{said}");
    insta::assert_snapshot!(setup.says(&["forward", "add", "http"], 2), @r#"
    error: invalid value 'http' for '<[HOST:]GUEST>': not two ports such as "8080:80", nor one port of the guest

    For more information, try '--help'.
    "#);
}
