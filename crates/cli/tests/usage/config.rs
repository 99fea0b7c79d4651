//! `config show` and `config schema`, and the ways to set a key, as a user types them.

use std::fs;

use serde_json::Value;

use crate::Place;

/// The entry of a key in `config show -o json`.
fn setting<'a>(settings: &'a Value, key: &str) -> &'a Value {
    settings.as_array().unwrap().iter().find(|setting| setting["key"] == key).unwrap()
}

#[test]
fn every_way_to_set_a_key_is_shown_with_its_place() {
    let project = Place::project();
    fs::write(project.path(".k3s-vm/config.toml"), "version = 1\n\n[ports]\napi = 7443\nssh = 2222\n[vm]\ncpus = 3\n")
        .unwrap();
    let mut command = project.command(&["config", "show", "-o", "json", "--cpus", "4", "--set", "vm.memory=3GiB"]);
    let run = project.finish(command.env("K3S_VM_PORTS_SSH", "2223").env("K3S_VM_VM_CPUS", "5"));
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    let settings: Value = serde_json::from_str(&run.stdout).unwrap();
    for (key, value, origin) in [
        ("ports.api", "7443", serde_json::json!({"kind": "file", "where": ".k3s-vm/config.toml:4"})),
        ("ports.ssh", "2223", serde_json::json!({"kind": "variable", "where": "K3S_VM_PORTS_SSH"})),
        ("ports.web", "30080", serde_json::json!({"kind": "dot-env", "where": ".env"})),
        ("vm.cpus", "4", serde_json::json!({"kind": "flag", "where": "--cpus"})),
        ("vm.memory", "3GiB", serde_json::json!({"kind": "flag", "where": "--set"})),
        ("vm.accel", "auto", serde_json::json!({"kind": "default"})),
    ] {
        assert_eq!(setting(&settings, key)["value"], value, "{key}");
        assert_eq!(setting(&settings, key)["origin"], origin, "{key}");
    }
}

#[test]
fn people_get_a_table() {
    let run = Place::project().run(&["config", "show", "--api-port", "7443"]);
    let lines: Vec<&str> = run.stdout.lines().take(6).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    KEY                       VALUE              FROM
    version                   1                  default
    pool                      0                  default
    templates                 true               default
    auto_pause                -                  default
    ports.api                 7443               --api-port
    ");
}

#[test]
fn mistakes_name_the_flag_the_variable_or_the_line() {
    let project = Place::project();
    fs::write(project.path(".k3s-vm/config.toml"), "[ports]\nssh = 2222\nhttp = 80\n").unwrap();
    let mut command = project.command(&["start", "--api-port", "70000", "--set", "vm.cpu=1"]);
    let run = project.finish(command.env("K3S_VM_VM_MEMORY", "lots").env("K3S_VM_PORT_WEB", "1"));
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    insta::assert_snapshot!(run.stderr, @r#"
    Error: the configuration has 5 mistakes
      .k3s-vm/config.toml:3: ports.http: there is no such key
      --set vm.cpu=1: there is no such key; did you mean vm.cpus?
      K3S_VM_PORT_WEB is set: there is no such variable; did you mean K3S_VM_PORTS_WEB?
      --api-port 70000: not a port (1 to 65535)
      K3S_VM_VM_MEMORY=lots: not a size such as "4GiB"

    Next: correct it where it stands, then run the command again
    "#);
}

#[test]
fn old_spellings_and_ipv6_are_mistakes_that_say_what_to_write() {
    let project = Place::project();
    let text = "templates = \"off\"\n[ports]\nbind = \"::1\"\n[timeouts]\nkvm-test = \"1m\"\n";
    fs::write(project.path(".k3s-vm/config.toml"), text).unwrap();
    let run = project.run(&["reset"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    insta::assert_snapshot!(run.stderr, @r#"
    Error: the configuration has 3 mistakes
      .k3s-vm/config.toml:1: templates must be true or false without quotes: write templates = false
      .k3s-vm/config.toml:5: timeouts.kvm-test: there is no such key; it is written timeouts.kvm_test
      .k3s-vm/config.toml:3: ports.bind = "::1": an IPv6 address, and QEMU's user network forwards IPv4 only: write 127.0.0.1

    Next: correct it where it stands, then run the command again
    "#);
    fs::remove_file(project.path(".k3s-vm/config.toml")).unwrap();
    let mut command = project.command(&["reset", "--bind", "fd00::5"]);
    let run = project.finish(command.env("K3S_VM_TEMPLATES", "off"));
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    insta::assert_snapshot!(run.stderr, @r#"
    Error: the configuration has 2 mistakes
      K3S_VM_TEMPLATES=off: must be true or false: write false
      --bind fd00::5: an IPv6 address, and QEMU's user network forwards IPv4 only: write 127.0.0.1, 0.0.0.0 for all addresses of this host, or the IPv4 address of one interface

    Next: correct it where it stands, then run the command again
    "#);
}

#[test]
fn a_file_that_is_no_toml_is_reported_with_line_and_column() {
    let project = Place::project();
    fs::write(project.path(".k3s-vm/config.toml"), "[ports]\napi = \n").unwrap();
    let run = project.run(&["list"]);
    assert_eq!(run.code, Some(2));
    insta::assert_snapshot!(run.stderr, @r"
    Error: the configuration has a mistake
      .k3s-vm/config.toml:2:7: string values must be quoted, expected literal string

    Next: correct it where it stands, then run the command again
    ");
    fs::write(project.path(".k3s-vm/config.toml"), b"# \xff\n").unwrap();
    let run = project.run(&["list"]);
    assert_eq!(run.code, Some(2));
    insta::assert_snapshot!(run.stderr, @r"
    Error: [PLACE]/.k3s-vm/config.toml is not valid UTF-8
      line 1 has bytes that are not UTF-8

    Next: save [PLACE]/.k3s-vm/config.toml as UTF-8
    ");
}

#[test]
fn the_schema_needs_no_project() {
    let run = Place::empty().run(&["config", "schema"]);
    let schema: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(schema["properties"]["ports"]["properties"]["api"]["default"], 6443);
}

#[test]
fn a_set_without_a_value_is_a_mistake_of_usage() {
    let run = Place::project().run(&["status", "--set", "vm.cpus"]);
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("not KEY=VALUE, such as vm.memory=4GiB"), "{}", run.stderr);
}
