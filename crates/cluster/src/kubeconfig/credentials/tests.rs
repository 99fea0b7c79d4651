//! Hostile kubeconfigs, and the values that are taken from them.

use proptest::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::json;

use super::*;

/// The credentials of a guest: an authority, a certificate followed by the authority (as K3s writes it), and a key.
struct Guest {
    authority: String,
    chain: String,
    key: String,
}

impl Guest {
    fn new() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, "k3s-server-ca");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().unwrap();
        let authority = parameters.self_signed(&authority_key).unwrap().pem();
        let issuer = Issuer::new(parameters, authority_key);
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::default().signed_by(&key, &issuer).unwrap().pem();
        Guest { chain: certificate + &authority, authority, key: key.serialize_pem() }
    }

    fn document(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "default",
            "contexts": [{"name": "default", "context": {"cluster": "default", "user": "default"}}],
            "clusters": [{"name": "default", "cluster": {
                "server": "https://127.0.0.1:6443",
                "certificate-authority-data": STANDARD.encode(&self.authority),
            }}],
            "users": [{"name": "default", "user": {
                "client-certificate-data": STANDARD.encode(&self.chain),
                "client-key-data": STANDARD.encode(&self.key),
            }}],
        })
    }
}

/// Valid credentials.
pub(crate) fn of_a_guest() -> Credentials {
    parse(&Guest::new().document()).unwrap()
}

fn parse(document: &Value) -> Result<Credentials> {
    Credentials::parse("admin.conf", &document.to_string())
}

fn on_host(credentials: &Credentials) -> Kubeconfig {
    credentials.for_host(&InstanceName::default(), BindAddress::LOOPBACK, Port::literal(6443))
}

fn why(document: &Value) -> String {
    parse(document).unwrap_err().why().join("; ")
}

/// All fields of client-go's kubeconfig (`k8s.io/client-go/tools/clientcmd/api/v1/types.go`) and some that do
/// not exist.
fn hostile(guest: &Guest) -> Value {
    let mut document = guest.document();
    let extension = json!([{"name": "evil", "extension": {"command": "touch /tmp/x"}}]);
    let add = |document: &mut Value, place: &str, fields: Value| {
        let map = document.pointer_mut(place).and_then(Value::as_object_mut).unwrap();
        map.extend(fields.as_object().unwrap().clone());
    };
    let cluster = json!({
        "server": "https://evil.example:443", "tls-server-name": "evil.example", "insecure-skip-tls-verify": true,
        "certificate-authority": "/etc/evil", "proxy-url": "http://evil.example:3128", "disable-compression": true,
        "extensions": extension, "evil": "evil",
    });
    let exec = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "command": "evil.sh", "args": ["touch", "/tmp/x"],
        "env": [{"name": "EVIL", "value": "1"}], "installHint": "evil", "provideClusterInfo": true,
        "interactiveMode": "Always",
    });
    let user = json!({
        "exec": exec, "auth-provider": {"name": "gcp", "config": {"cmd-path": "evil.sh", "cmd-args": "evil"}},
        "token": "evil", "tokenFile": "/root/.evil", "client-certificate": "/root/evil.crt",
        "client-key": "/root/evil.key", "username": "evil", "password": "evil", "as": "evil", "as-uid": "evil",
        "as-groups": ["system:evil"], "as-user-extra": {"evil": ["evil"]}, "extensions": extension, "evil": "evil",
    });
    add(&mut document, "/clusters/0/cluster", cluster);
    add(&mut document, "/users/0/user", user);
    add(&mut document, "/contexts/0/context", json!({"namespace": "evil", "extensions": extension, "evil": "evil"}));
    add(
        &mut document,
        "",
        json!({"preferences": {"colors": true, "evil": "evil"}, "extensions": extension, "evil": 1}),
    );
    for (list, inner) in [("clusters", "cluster"), ("users", "user"), ("contexts", "context")] {
        let more = json!({"name": "evil", inner: {"evil": "evil"}});
        document[list].as_array_mut().unwrap().push(more);
    }
    document
}

#[test]
fn root_in_the_guest_had_the_host_run_programs_and_read_files_by_its_kubeconfig() {
    let guest = Guest::new();
    let plain = parse(&guest.document()).unwrap();
    let document = hostile(&guest);
    let credentials = parse(&document).unwrap();
    assert!(credentials == plain, "something of it changes the credentials");
    let kubeconfig = on_host(&credentials);
    assert_eq!(
        crate::yaml::read(&kubeconfig.to_yaml()).unwrap(),
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "k3s-vm", "cluster": {
                "certificate-authority-data": STANDARD.encode(&guest.authority),
                "server": "https://127.0.0.1:6443",
            }}],
            "contexts": [{"name": "k3s-vm", "context": {"cluster": "k3s-vm", "user": "k3s-vm"}}],
            "current-context": "k3s-vm",
            "users": [{"name": "k3s-vm", "user": {
                "client-certificate-data": STANDARD.encode(&guest.chain),
                "client-key-data": STANDARD.encode(&guest.key),
            }}],
        })
    );
    for text in [kubeconfig.to_yaml(), kubeconfig.to_json()] {
        assert!(!text.contains("evil") && !text.contains("exec"), "{text}");
    }
}

#[test]
fn only_the_three_values_are_read_from_a_changed_file_of_ours() {
    let guest = Guest::new();
    let ours = on_host(&parse(&guest.document()).unwrap());
    let mut document: Value = serde_json::from_str(&ours.to_json()).unwrap();
    document["users"][0]["user"]["exec"] = json!({"command": "evil.sh"});
    document["clusters"][0]["cluster"]["server"] = "https://evil.example".into();
    assert_eq!(on_host(&parse(&document).unwrap()), ours);
}

#[test]
fn an_invalid_value_is_refused_by_its_name() {
    let guest = Guest::new();
    let other = Guest::new();
    let with = |place: &str, value: Value| {
        let mut document = guest.document();
        *document.pointer_mut(place).unwrap() = value;
        why(&document)
    };
    let pem = |text: &str| Value::from(STANDARD.encode(text));
    let block = |label: &str| pem(&format!("-----BEGIN {label}-----\nQUJD\n-----END {label}-----\n"));
    let (authority, certificate, key) = (
        "/clusters/0/cluster/certificate-authority-data",
        "/users/0/user/client-certificate-data",
        "/users/0/user/client-key-data",
    );
    let mut told = String::new();
    for (place, value) in [
        (authority, Value::Null),
        (authority, "%%%".into()),
        (authority, pem("\u{1b}[2J")),
        (authority, pem(&format!("#!/bin/sh\n{}", guest.authority))),
        (authority, pem(&(guest.authority.clone() + &guest.key))),
        (authority, block("CERTIFICATE")),
        (authority, pem(&guest.authority.repeat(17))),
        (certificate, 7.into()),
        (certificate, block("CERTIFICATE")),
        (certificate, pem(&(guest.chain.clone() + "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n"))),
        (certificate, pem(&other.chain)),
        (key, pem(&guest.authority)),
        (key, block("EC PRIVATE KEY")),
        (key, block("ENCRYPTED PRIVATE KEY")),
        (key, pem(&guest.key.repeat(2))),
        (key, pem(&other.key)),
    ] {
        told += &(with(place, value) + "\n");
    }
    insta::assert_snapshot!(told, @r"
    certificate-authority-data is not set
    certificate-authority-data: it is not base64
    certificate-authority-data: it has something other than PEM blocks of CERTIFICATE
    certificate-authority-data: it has something other than PEM blocks of CERTIFICATE
    certificate-authority-data: it has something other than PEM blocks of CERTIFICATE
    certificate-authority-data: it is no certificate
    certificate-authority-data: it holds more than 16 PEM blocks
    client-certificate-data is not set
    client-certificate-data: it is no certificate
    client-certificate-data: it is no certificate
    client-key-data is not the key of client-certificate-data
    client-key-data: it has something other than PEM blocks of EC PRIVATE KEY, RSA PRIVATE KEY, PRIVATE KEY
    client-key-data: it is no key that can be used
    client-key-data: it has something other than PEM blocks of EC PRIVATE KEY, RSA PRIVATE KEY, PRIVATE KEY
    client-key-data: it holds more than one key
    client-key-data is not the key of client-certificate-data
    ");
}

#[test]
fn what_is_missing_is_named_and_nothing_of_the_text_is_repeated() {
    let guest = Guest::new();
    let mut told = String::new();
    for change in [
        |document: &mut Value| *document = Value::Null,
        |document: &mut Value| *document = json!([1]),
        |document: &mut Value| drop(document.as_object_mut().unwrap().remove("current-context")),
        |document: &mut Value| document["current-context"] = "\u{1b}[2Jevil".into(),
        |document: &mut Value| document["contexts"][0]["context"]["cluster"] = Value::Null,
        |document: &mut Value| document["contexts"][0]["context"]["user"] = "evil".into(),
        |document: &mut Value| document["clusters"] = "evil".into(),
        |document: &mut Value| document["clusters"] = json!([1, {"name": "default"}]),
        |document: &mut Value| document["users"][0]["user"] = json!({"token": "evil"}),
    ] {
        let mut document = guest.document();
        change(&mut document);
        told += &(why(&document) + "\n");
    }
    assert!(!told.contains("evil"), "{told}");
    insta::assert_snapshot!(told, @r"
    it does not hold a map of keys
    it does not hold a map of keys
    current-context is not set
    contexts has no entry of the name that the current context names
    its context has no cluster
    users has no entry of the name that the current context names
    clusters has no entry of the name that the current context names
    the entry of clusters that the current context names has no cluster
    client-certificate-data is not set
    ");
    let broken = Credentials::parse("admin.conf", "a: [").unwrap_err();
    insta::assert_snapshot!(broken.to_string(), @"admin.conf is no kubeconfig that can be used: line 1, column 4: unclosed bracket '['");
    assert_eq!(broken.class(), ErrorClass::Cluster);
}

#[test]
fn a_file_that_is_made_to_cost_memory_is_refused() {
    let bomb: String = (0..24).fold("a0: &a0 [x, x]\n".to_owned(), |text, level| {
        let names = vec![format!("*a{level}"); 12].join(", ");
        text + &format!("a{}: &a{} [{names}]\n", level + 1, level + 1)
    });
    for text in [bomb, "[".repeat(60_000), "{a: ".repeat(15_000), "a".repeat(LONGEST_KUBECONFIG + 1)] {
        assert!(Credentials::parse("admin.conf", &text).is_err(), "{}", &text[..40]);
    }
}

#[test]
fn addresses_become_servers_that_the_certificate_covers() {
    let credentials = parse(&Guest::new().document()).unwrap();
    for (host, server, certificate_name) in [
        ("127.0.0.1", "https://127.0.0.1:6443", None),
        ("0.0.0.0", "https://127.0.0.1:6443", None),
        ("192.168.1.5", "https://192.168.1.5:6443", Some("localhost")),
    ] {
        let config =
            credentials.for_host(&InstanceName::default(), BindAddress::parse(host).unwrap(), Port::literal(6443));
        assert_eq!(config.server(), server, "{host}");
        let document = crate::yaml::read(&config.to_yaml()).unwrap();
        let cluster = &document["clusters"][0]["cluster"];
        assert_eq!(cluster["server"], server, "{host}");
        assert_eq!(cluster.get("tls-server-name").and_then(Value::as_str), certificate_name, "{host}");
    }
}

#[test]
fn keys_stay_out_of_debug_output() {
    let credentials = parse(&Guest::new().document()).unwrap();
    for debug in [format!("{credentials:?}"), format!("{:?}", on_host(&credentials))] {
        assert!(!debug.contains("BEGIN") && !debug.contains("LS0t"), "{debug}");
    }
}

/// Values as JSON and YAML files have them.
fn extra() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[a-z]{1,6}", inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_unknown_field_survives(extras in prop::collection::vec(("x-[a-z]{1,8}", extra()), 0..4)) {
        let guest = Guest::new();
        let mut document = guest.document();
        for place in ["", "/clusters/0", "/clusters/0/cluster", "/contexts/0/context", "/users/0/user"] {
            let map = document.pointer_mut(place).and_then(Value::as_object_mut).unwrap();
            for (key, value) in &extras {
                map.insert(key.clone(), value.clone());
            }
        }
        prop_assert!(parse(&document).unwrap() == parse(&guest.document()).unwrap());
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        let _ = Credentials::parse("admin.conf", &text);
    }
}
