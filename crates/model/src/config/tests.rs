//! Texts of configurations, and what they resolve to.

use std::time::Duration;

use serde_json::{Value, json};

use super::key::KEYS;
use super::*;
use crate::bind_address::BindAddress;
use crate::{ErrorClass, Result};

const FILE: &str = ".k3s-vm/config.toml";

fn resolve_with(text: &str, web_port: Option<&str>, overrides: &Overrides) -> Result<Resolved> {
    Config::resolve(Sources { file: Some((FILE, text)), overrides, web_port: web_port.map(|port| (port, ".env")) })
}

fn resolve(text: &str, web_port: Option<&str>) -> Result<Config> {
    resolve_with(text, web_port, &Overrides::default()).map(|resolved| resolved.config)
}

fn mistakes(text: &str) -> String {
    resolve(text, Some("30080")).expect_err("mistakes").why().join("\n")
}

fn overrides(flags: &[(&str, &str, &str)], variables: &[(&str, &str)]) -> Overrides {
    let flag = |(shown, key, value): &(&str, &str, &str)| Flag {
        shown: (*shown).to_owned(),
        key: (*key).to_owned(),
        value: (*value).to_owned(),
    };
    Overrides {
        flags: flags.iter().map(flag).collect(),
        variables: variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    }
}

#[test]
fn an_empty_file_gives_the_ports_of_the_documentation() {
    let config = resolve("", Some("30080")).expect("valid");
    assert_eq!((config.ports.api.number(), config.ports.ssh.number(), config.ports.web.number()), (6443, 2666, 30080));
    assert_eq!(config.ports.bind, BindAddress::LOOPBACK);
    assert_eq!(config.ports.web_url(), "http://127.0.0.1:30080");
    assert_eq!(config.ports.api_url(), "https://127.0.0.1:6443");
    assert_eq!(config.inject.mode, InjectMode::Secret);
    assert_eq!(config.manifests, [".k3s-vm/manifests"]);
}

#[test]
fn every_key_can_be_set_in_every_way() {
    let value = |key: &key::Key| match key.kind {
        key::Kind::Port => "31234",
        key::Kind::Count(..) => "1",
        key::Kind::Size(_) => "8GiB",
        key::Kind::Duration => "7m",
        key::Kind::Address => "127.0.0.9",
        key::Kind::Choice(words) => words[1],
        key::Kind::Text if key.name == "k3s.version" => "v1.33.5+k3s1",
        key::Kind::Text if key.name == "k3s.mirror" => "https://example.com",
        key::Kind::Text if key.name == "image.nixpkgs" => "channel:nixos-26.05",
        key::Kind::Text => "thing",
        key::Kind::Switch if key.default == Some("true") => "false",
        key::Kind::Switch => "true",
        key::Kind::List if key.name == "ports.forwards" => "8081:81,82",
        key::Kind::List => "one,two",
    };
    for key in KEYS {
        let other_keys = "image.directory = \"image\"\n";
        let written = match key.kind {
            key::Kind::Port | key::Kind::Count(..) | key::Kind::Switch => value(key).to_owned(),
            key::Kind::List => format!("[\"{}\"]", value(key).replace(',', "\", \"")),
            _ => format!("\"{}\"", value(key)),
        };
        let other_keys = if key.name == "image.directory" { "" } else { other_keys };
        let file =
            resolve_with(&format!("{other_keys}{} = {written}\n", key.name), Some("30080"), &Overrides::default());
        let flag = overrides(&[("--set", key.name, value(key))], &[]);
        let variable = key.variable();
        let variable = overrides(&[], &[(variable.as_str(), value(key))]);
        let configs: Vec<Config> =
            [file, resolve_with(other_keys, Some("30080"), &flag), resolve_with(other_keys, Some("30080"), &variable)]
                .into_iter()
                .map(|resolved| resolved.unwrap_or_else(|error| panic!("{}: {error}", key.name)).config)
                .collect();
        assert_eq!(configs[0], configs[1], "{}", key.name);
        assert_eq!(configs[0], configs[2], "{}", key.name);
        if key.name != "version" {
            assert_ne!(Ok(&configs[0]), resolve(other_keys, Some("30080")).as_ref(), "{} has an effect", key.name);
        }
    }
}

#[test]
fn a_flag_counts_before_a_variable_before_the_file_before_dot_env() {
    let all = overrides(&[("--web-port", "ports.web", "31001")], &[("K3S_VM_PORTS_WEB", "31002")]);
    let variable = overrides(&[], &[("K3S_VM_PORTS_WEB", "31002")]);
    let empty = overrides(&[], &[("K3S_VM_PORTS_WEB", "")]);
    for (overrides, text, expected, origin) in [
        (&all, "ports.web = 31003", 31001, "--web-port"),
        (&variable, "ports.web = 31003", 31002, "K3S_VM_PORTS_WEB"),
        (&empty, "# \nports.web = 31003", 31003, ".k3s-vm/config.toml:2"),
        (&empty, "", 31004, "WEB_PORT in .env"),
    ] {
        let resolved = resolve_with(text, Some("31004"), overrides).expect("valid");
        assert_eq!(resolved.config.ports.web.number(), expected);
        let setting = resolved.settings.iter().find(|setting| setting.key == "ports.web").expect("shown");
        assert_eq!(setting.origin.to_string(), origin);
    }
}

#[test]
fn the_last_of_two_flags_counts() {
    let twice = overrides(&[("--set", "vm.cpus", "3"), ("--cpus", "vm.cpus", "4")], &[]);
    assert_eq!(resolve_with("", Some("30080"), &twice).expect("valid").config.vm.cpus, 4);
}

#[test]
fn all_mistakes_of_all_sources_are_reported_at_once() {
    let text = "version = 2\nports.api = 70000\nports.bind = \"here\"\nvm.cpus = 0\nvm.memory = \"1 GB\"\nvm.accel = \"hvf\"\n\
                image.disk = \"lots\"\nk3s.version = \"1.33\"\ninject.mode = \"file\"\ntimeouts.start = \"soon\"\n\
                web.service = \"a b\"\nports.forwards = [\"80-80\"]\nauto_pause = \"0s\"\nk3s.mirror = \"ftp://x\"\napply.name = \"My Shop\"\n[[images]]\nname = \"a\"\n";
    let others = overrides(
        &[("--ssh-port", "ports.ssh", "ssh"), ("--set", "vm.memroy", "1GiB")],
        &[("K3S_VM_TIMEOUTS_STOP", "x"), ("K3S_VM_PORT_API", "1")],
    );
    let error = resolve_with(text, Some("web"), &others).expect_err("mistakes");
    insta::assert_snapshot!(error.why().join("\n"), @r#"
    .k3s-vm/config.toml:16: image a: needs either archive or files
    --set vm.memroy=1GiB: there is no such key; did you mean vm.memory?
    K3S_VM_PORT_API is set: there is no such variable; did you mean K3S_VM_PORTS_API?
    .k3s-vm/config.toml:1: version = 2: must be 1
    .k3s-vm/config.toml:13: auto_pause = "0s": must be 1s or more
    .k3s-vm/config.toml:2: ports.api = 70000: not a port (1 to 65535)
    --ssh-port ssh: not a port (1 to 65535)
    WEB_PORT=web in .env: not a port (1 to 65535)
    .k3s-vm/config.toml:3: ports.bind = "here": not an IPv4 address such as 127.0.0.1
    .k3s-vm/config.toml:12: ports.forwards = "80-80": not two ports such as "8080:80", nor one port of the guest
    .k3s-vm/config.toml:4: vm.cpus = 0: must be a number from 1 to 64
    .k3s-vm/config.toml:5: vm.memory = "1 GB": at least 1.0 GiB is needed
    .k3s-vm/config.toml:6: vm.accel = "hvf": must be one of "auto", "tcg", "kvm"
    .k3s-vm/config.toml:7: image.disk = "lots": not a size such as "4GiB"
    .k3s-vm/config.toml:8: k3s.version = "1.33": neither a channel (stable, latest, v1.33) nor a version (v1.33.5+k3s1)
    .k3s-vm/config.toml:14: k3s.mirror = "ftp://x": not an address that begins with https:// or http://
    .k3s-vm/config.toml:11: web.service = "a b": not a Service such as "web", "shop/web" or "web:http"
    .k3s-vm/config.toml:9: inject.mode = "file": must be one of "secret", "env", "off"
    .k3s-vm/config.toml:15: apply.name = "My Shop": a name has lower-case letters, digits and inner dashes, 40 at most
    .k3s-vm/config.toml:10: timeouts.start = "soon": not a duration such as "90s" or "15m"
    K3S_VM_TIMEOUTS_STOP=x: not a duration such as "90s" or "15m"
    "#);
    assert_eq!(error.class(), ErrorClass::Config);
}

#[test]
fn all_keys_are_written_in_one_style() {
    for key in KEYS {
        let is_snake_case = |word: &str| {
            word.starts_with(|first: char| first.is_ascii_lowercase())
                && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        };
        assert!(key.name.split('.').all(is_snake_case), "{}", key.name);
        if let key::Kind::Choice(words) = key.kind {
            assert!(words.len() > 2, "{}: two words are a switch", key.name);
        }
    }
}

#[test]
fn templates_was_on_or_off_while_other_switches_were_booleans() {
    for (old, new) in [("off", "false"), ("on", "true")] {
        let file = mistakes(&format!("pool = 0\ntemplates = \"{old}\"\n"));
        let must = "templates must be true or false without quotes";
        assert_eq!(file, format!(".k3s-vm/config.toml:2: {must}: write templates = {new}"));
        for (given, shown) in [
            (overrides(&[("--set", "templates", old)], &[]), format!("--set templates={old}")),
            (overrides(&[], &[("K3S_VM_TEMPLATES", old)]), format!("K3S_VM_TEMPLATES={old}")),
        ] {
            let error = resolve_with("", Some("30080"), &given).expect_err("a mistake");
            assert_eq!(error.why(), [format!("{shown}: must be true or false: write {new}")]);
        }
    }
    assert_eq!(
        mistakes("templates = \"never\"\n"),
        ".k3s-vm/config.toml:1: templates must be true or false without quotes"
    );
}

#[test]
fn a_key_that_was_renamed_names_the_new_one() {
    let refusal = "there is no such key; it is written web.directory";
    assert_eq!(mistakes("web.folder = \"site\"\n"), format!(".k3s-vm/config.toml:1: web.folder: {refusal}"));
    let flag = overrides(&[("--set", "image.folder", "x")], &[]);
    let error = resolve_with("", Some("30080"), &flag).expect_err("a mistake");
    assert_eq!(error.why(), ["--set image.folder=x: there is no such key; it is written image.directory"]);
    let variable = overrides(&[], &[("K3S_VM_WEB_FOLDER", "site")]);
    let error = resolve_with("", Some("30080"), &variable).expect_err("a mistake");
    assert_eq!(error.why(), ["K3S_VM_WEB_FOLDER is set: there is no such variable; it is K3S_VM_WEB_DIRECTORY now"]);
}

#[test]
fn kvm_test_was_written_with_a_dash_while_other_keys_had_none() {
    let refusal = "there is no such key; it is written timeouts.kvm_test";
    assert_eq!(
        mistakes("[timeouts]\nkvm-test = \"1m\"\n"),
        format!(".k3s-vm/config.toml:2: timeouts.kvm-test: {refusal}")
    );
    let flag = overrides(&[("--set", "timeouts.kvm-test", "1m")], &[]);
    let error = resolve_with("", Some("30080"), &flag).expect_err("a mistake");
    assert_eq!(error.why(), [format!("--set timeouts.kvm-test=1m: {refusal}")]);
    // The variable was always written like this.
    let variable = overrides(&[], &[("K3S_VM_TIMEOUTS_KVM_TEST", "1m")]);
    let timeouts = resolve_with("", Some("30080"), &variable).expect("valid").config.timeouts;
    assert_eq!(timeouts.kvm_test, Duration::from_secs(60));
}

#[test]
fn an_ipv6_bind_passed_the_configuration_and_failed_after_reset_had_destroyed_the_cluster() {
    let refusal = "an IPv6 address, and QEMU's user network forwards IPv4 only: write 127.0.0.1";
    assert_eq!(mistakes("ports.bind = \"::1\"\n"), format!(".k3s-vm/config.toml:1: ports.bind = \"::1\": {refusal}"));
    for (given, shown) in [
        (overrides(&[("--bind", "ports.bind", "::1")], &[]), "--bind ::1"),
        (overrides(&[("--set", "ports.bind", "::1")], &[]), "--set ports.bind=::1"),
        (overrides(&[], &[("K3S_VM_PORTS_BIND", "::1")]), "K3S_VM_PORTS_BIND=::1"),
    ] {
        let error = resolve_with("", Some("30080"), &given).expect_err("a mistake");
        assert_eq!((error.class(), error.why()), (ErrorClass::Config, [format!("{shown}: {refusal}")].as_slice()));
    }
}

#[test]
fn a_deadline_of_zero_was_accepted_and_every_start_failed() {
    for key in KEYS.iter().filter(|key| key.name.starts_with("timeouts.")) {
        let result = resolve_with(&format!("{} = \"0s\"\n", key.name), Some("30080"), &Overrides::default());
        match key.name {
            // A user may want not to wait for another command.
            "timeouts.lock" => assert!(result.expect("valid").config.timeouts.lock.is_zero()),
            name => assert!(result.expect_err(name).why().join("\n").contains("must be more than zero"), "{name}"),
        }
    }
}

#[test]
fn the_role_of_containers_is_the_name_of_a_cluster_role_or_none() {
    let role = |text: &str| {
        let text = format!("inject.cluster_role = {text:?}\n");
        resolve_with(&text, Some("30080"), &Overrides::default()).map(|resolved| resolved.config.inject.cluster_role)
    };
    assert_eq!(role("view").unwrap(), Some("view".to_owned()));
    assert_eq!(role("system:node-reader").unwrap(), Some("system:node-reader".to_owned()));
    assert_eq!(role("none").unwrap(), None);
    let default = resolve_with("", Some("30080"), &Overrides::default()).unwrap().config.inject.cluster_role;
    assert_eq!(default.as_deref(), Some("cluster-admin"));
    for wrong in ["", " ", "a b", "a/b", "..", "a%b", "größe", &"a".repeat(254)] {
        assert!(role(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn web_port_must_be_a_port_of_its_own() {
    for (text, port, expected) in [
        ("", None, "WEB_PORT is not set: add a line such as WEB_PORT=30080 to .env"),
        ("", Some("0"), "WEB_PORT=0 in .env: not a port (1 to 65535)"),
        ("", Some("99999"), "WEB_PORT=99999 in .env: not a port (1 to 65535)"),
        ("ports.api = 30080", Some("30080"), "ports.api and WEB_PORT are both 30080: each needs a port of its own"),
        ("ports.ssh = 6443", Some("30080"), "ports.api and ports.ssh are both 6443: each needs a port of its own"),
    ] {
        let error = resolve(text, port).expect_err(expected);
        assert_eq!(error.why(), [expected]);
    }
}

#[test]
fn mistakes_of_form_are_reported_with_their_lines() {
    let text = "version = 1\nport = 1\n[ports]\nhttp = 80\napii = 6443\nssh = \"2666\"\n[vm]\ncpus = 1.5\n[vmm]\nmemory = \"2GiB\"\n\
                [web]\ndirectory = [\"web\"]\n[[images]]\nnam = \"x\"\n[[images]]\nname = 1\narchive = \"a.tar\"\n";
    insta::assert_snapshot!(mistakes(text), @r"
    .k3s-vm/config.toml:2: port: there is no such key; did you mean ports?
    .k3s-vm/config.toml:4: ports.http: there is no such key
    .k3s-vm/config.toml:5: ports.apii: there is no such key; did you mean api?
    .k3s-vm/config.toml:6: ports.ssh must be a number without quotes
    .k3s-vm/config.toml:8: vm.cpus must be a number without quotes
    .k3s-vm/config.toml:9: vmm: there is no such key; did you mean vm?
    .k3s-vm/config.toml:12: web.directory must be a string in quotes
    .k3s-vm/config.toml:13: an entry of images needs name
    .k3s-vm/config.toml:14: images.nam: there is no such key; did you mean name?
    .k3s-vm/config.toml:16: images.name must be a string in quotes
    ");
    insta::assert_snapshot!(mistakes("vm = 2\nimages = 1\nmanifests = \"deploy\"\nk3s.disable = [1]\n"), @r#"
    .k3s-vm/config.toml:1: vm is a section: [vm]
    .k3s-vm/config.toml:2: images is a list: [[images]]
    .k3s-vm/config.toml:3: manifests must be a list of strings, such as ["one", "two"]
    .k3s-vm/config.toml:4: k3s.disable must be a list of strings, such as ["one", "two"]
    "#);
    insta::assert_snapshot!(mistakes("images = [1]\n"), @".k3s-vm/config.toml:1: an entry of images is a section: [[images]]");
}

#[test]
fn all_mistakes_of_syntax_are_reported_and_nothing_else() {
    insta::assert_snapshot!(mistakes("[ports\napi = = 1\nunknown = 1\nssh = 1\nssh = 2\n"), @r"
    .k3s-vm/config.toml:1:7: unclosed table, expected `]`
    .k3s-vm/config.toml:2:7: extra `=`, expected nothing
    .k3s-vm/config.toml:2:9: unexpected key or value, expected newline, `#`
    ");
}

#[test]
fn an_image_is_an_archive_or_files() {
    let archive = resolve("[[images]]\nname = \"a\"\narchive = \"a.tar\"\n", Some("30080")).expect("valid");
    assert_eq!(archive.images[0].source, ContainerImageSource::Archive("a.tar".to_owned()));
    assert_eq!(archive.images[0].sources, BuildSources::default());
    let built = "[[images]]\nname = \"a\"\narchive = \"a.tar\"\nbuild = \"make\"\nsources = [\"a\", \"!a/b\"]\n";
    let sources = resolve(built, Some("30080")).expect("valid").images.remove(0).sources;
    assert_eq!(sources, BuildSources { paths: vec!["a".to_owned()], without: vec!["a/b".to_owned()] });
    for (rest, expected) in [
        ("archive = \"a.tar\"\nentrypoint = [\"/a\"]\nfiles = { \"/a\" = \"a\" }", "needs either archive or files"),
        ("files = { \"/a\" = \"a\" }", "an image made of files needs entrypoint"),
        ("build = \"make\"", "needs either archive or files"),
        ("archive = \"a.tar\"\nsources = [\"a\"]", "sources has no effect without build"),
    ] {
        let reported = mistakes(&format!("[[images]]\nname = \"a\"\n{rest}\n"));
        assert_eq!(reported, format!(".k3s-vm/config.toml:1: image a: {expected}"));
    }
}

#[test]
fn the_web_directory_is_known_before_the_rest_is_right() {
    let flag = overrides(&[("--set", "web.directory", "front")], &[]);
    assert_eq!(web_directory(Some((FILE, "web.directory = \"app\"\nvm.cpus = 0\n")), &Overrides::default()), "app");
    assert_eq!(web_directory(Some((FILE, "web.directory = \"app\"\n")), &flag), "front");
    assert_eq!(web_directory(Some((FILE, "[[[")), &Overrides::default()), "web");
    assert_eq!(web_directory(None, &Overrides::default()), "web");
}

#[test]
fn every_default_is_shown_and_valid() {
    let resolved = resolve_with("", Some("30080"), &Overrides::default()).expect("valid");
    let keys: Vec<&str> = resolved.settings.iter().map(|setting| setting.key.as_str()).collect();
    assert_eq!(keys.len(), KEYS.len() + 1);
    assert!(resolved.settings.iter().filter(|setting| setting.key != "ports.web").all(|s| s.origin == Origin::Default));
}

/// The published schema and the reader accept the same files.
#[test]
fn the_schema_accepts_what_the_reader_accepts() {
    let mut compiler = boon::Compiler::new();
    let mut schemas = boon::Schemas::new();
    compiler.add_resource("mem:///config", schema::schema()).expect("a schema");
    let compiled = compiler.compile("mem:///config", &mut schemas).expect("a valid schema");
    for (text, value) in [
        ("", json!({})),
        ("ports = { api = 7443, bind = \"0.0.0.0\" }", json!({"ports": {"api": 7443, "bind": "0.0.0.0"}})),
        ("ports.bind = \"192.168.1.255\"", json!({"ports": {"bind": "192.168.1.255"}})),
        ("ports.bind = \"::1\"", json!({"ports": {"bind": "::1"}})),
        ("ports.bind = \"::\"", json!({"ports": {"bind": "::"}})),
        ("ports.bind = \"::ffff:127.0.0.1\"", json!({"ports": {"bind": "::ffff:127.0.0.1"}})),
        ("ports.bind = \"localhost\"", json!({"ports": {"bind": "localhost"}})),
        ("ports.bind = \"127.0.0.256\"", json!({"ports": {"bind": "127.0.0.256"}})),
        ("ports.bind = \"127.0.0.01\"", json!({"ports": {"bind": "127.0.0.01"}})),
        ("templates = false", json!({"templates": false})),
        ("templates = \"off\"", json!({"templates": "off"})),
        ("timeouts.kvm_test = \"1m\"", json!({"timeouts": {"kvm_test": "1m"}})),
        ("timeouts.kvm-test = \"1m\"", json!({"timeouts": {"kvm-test": "1m"}})),
        ("ports.api = 0", json!({"ports": {"api": 0}})),
        ("ports.api = \"7443\"", json!({"ports": {"api": "7443"}})),
        ("ports.http = 80", json!({"ports": {"http": 80}})),
        ("vm.accel = \"hvf\"", json!({"vm": {"accel": "hvf"}})),
        ("vm.memory = \"3 GiB\"", json!({"vm": {"memory": "3 GiB"}})),
        ("vm.memory = \"much\"", json!({"vm": {"memory": "much"}})),
        ("timeouts.start = \"1h 30m\"", json!({"timeouts": {"start": "1h 30m"}})),
        ("timeouts.start = \"soon\"", json!({"timeouts": {"start": "soon"}})),
        ("version = 2", json!({"version": 2})),
        ("manifests = [\"deploy\"]", json!({"manifests": ["deploy"]})),
        ("manifests = \"deploy\"", json!({"manifests": "deploy"})),
        ("colour = 1", json!({"colour": 1})),
        ("[[images]]\nname = \"a\"\narchive = \"a\"", json!({"images": [{"name": "a", "archive": "a"}]})),
        ("[[images]]\nname = \"a\"", json!({"images": [{"name": "a"}]})),
        ("[[images]]\narchive = \"a\"", json!({"images": [{"archive": "a"}]})),
    ] {
        let value: Value = value;
        let read = resolve(text, Some("30080")).is_ok();
        assert_eq!(schemas.validate(&value, compiled).is_ok(), read, "{text}");
    }
}
