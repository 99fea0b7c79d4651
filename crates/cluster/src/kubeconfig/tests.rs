//! Tables, snapshots and properties of the rewriting.

use proptest::prelude::*;

use super::*;

fn pem_data(label: &str) -> String {
    STANDARD.encode(format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n"))
}

fn guest() -> String {
    format!(
        "clusters:\n- cluster:\n    certificate-authority-data: {ca}\n    server: https://127.0.0.1:6443\n    \
         tls-server-name: other\n  name: default\ncontexts:\n- context:\n    cluster: default\n    user: default\n    \
         namespace: shop\n  name: default\ncurrent-context: default\nkind: Config\npreferences: {{}}\nusers:\n- name: \
         default\n  user:\n    client-certificate-data: {certificate}\n    client-key-data: {key}\nextensions:\n- name: \
         mine\n  extension: {{a: 1}}\n",
        ca = pem_data("CERTIFICATE"),
        certificate = pem_data("CERTIFICATE"),
        key = pem_data("EC PRIVATE KEY"),
    )
}

fn name() -> InstanceName {
    InstanceName::default()
}

fn parsed() -> Kubeconfig {
    Kubeconfig::parse("k3s.yaml", &guest()).unwrap()
}

#[test]
fn for_host_names_everything_for_the_instance_and_keeps_the_rest() {
    let config = parsed().for_host(&name(), IpAddr::V4(Ipv4Addr::LOCALHOST), Port::literal(7443));
    insta::assert_snapshot!(config.to_yaml(), @r#"
    apiVersion: v1
    kind: Config
    clusters:
    - cluster:
        certificate-authority-data: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCkFBQUEKLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=
        server: https://127.0.0.1:7443
      name: k3s-vm
    contexts:
    - context:
        cluster: k3s-vm
        user: k3s-vm
        namespace: shop
      name: k3s-vm
    current-context: k3s-vm
    preferences: {}
    users:
    - name: k3s-vm
      user:
        client-certificate-data: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCkFBQUEKLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=
        client-key-data: LS0tLS1CRUdJTiBFQyBQUklWQVRFIEtFWS0tLS0tCkFBQUEKLS0tLS1FTkQgRUMgUFJJVkFURSBLRVktLS0tLQo=
    extensions:
    - name: mine
      extension:
        a: 1
    "#);
}

#[test]
fn json_is_one_line_and_base64_of_it_decodes_to_it() {
    let config = parsed().inside_cluster(&InstanceName::with_suffix("a").unwrap());
    let json = config.to_json();
    assert!(!json.contains('\n') && json.starts_with(r#"{"apiVersion":"v1","kind":"Config","clusters":"#), "{json}");
    assert!(json.contains(r#""server":"https://kubernetes.default.svc:443""#), "{json}");
    assert!(json.contains(r#""current-context":"k3s-vm-a""#), "{json}");
    assert_eq!(STANDARD.decode(config.to_json_base64()).unwrap(), json.as_bytes());
}

#[test]
fn addresses_become_servers_that_the_certificate_covers() {
    for (host, server, certificate_name) in [
        ("127.0.0.1", "https://127.0.0.1:6443", None),
        ("0.0.0.0", "https://127.0.0.1:6443", None),
        ("192.168.1.5", "https://192.168.1.5:6443", Some("localhost")),
        ("::", "https://[::1]:6443", Some("localhost")),
        ("::1", "https://[::1]:6443", Some("localhost")),
    ] {
        let config = parsed().for_host(&name(), host.parse().unwrap(), Port::literal(6443));
        assert_eq!(config.server(), server, "{host}");
        let cluster = &config.ordered()["clusters"][0]["cluster"];
        assert_eq!(cluster["server"], server, "{host}");
        assert_eq!(cluster.get("tls-server-name").and_then(Value::as_str), certificate_name, "{host}");
    }
}

#[test]
fn credentials_are_decoded_and_stay_out_of_debug_output() {
    let config = parsed();
    assert!(config.certificate_authority().starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(config.client_identity().unwrap().1.starts_with("-----BEGIN EC PRIVATE KEY-----"));
    let debug = format!("{config:?}");
    assert!(!debug.contains("BEGIN") && !debug.contains(&pem_data("EC PRIVATE KEY")), "{debug}");
}

#[test]
fn a_token_instead_of_a_certificate_is_fine() {
    let text = guest();
    let start = text.find("    client-certificate-data").unwrap();
    let end = text.find("extensions:").unwrap();
    let text = format!("{}    token: abc\n{}", &text[..start], &text[end..]);
    assert_eq!(Kubeconfig::parse("k3s.yaml", &text).unwrap().client_identity(), None);
}

#[test]
fn what_is_missing_is_named() {
    let mut messages = String::new();
    for text in [
        String::new(),
        "a: [".to_owned(),
        "kind: Config\n".to_owned(),
        guest().replace("current-context: default", "current-context: other"),
        guest().replace("certificate-authority-data", "certificate-authority"),
        guest().replace("    server: https://127.0.0.1:6443\n", ""),
        guest().replace("    user: default\n", "    user: nobody\n"),
        guest().replace(&pem_data("EC PRIVATE KEY"), "%%%"),
        guest().replace(&pem_data("EC PRIVATE KEY"), "aGVsbG8="),
    ] {
        let fault = Kubeconfig::parse("k3s.yaml", &text).unwrap_err();
        assert_eq!(fault.class(), FaultClass::Cluster);
        messages += &format!("{fault}\n");
    }
    insta::assert_snapshot!(messages, @r#"
    k3s.yaml is no kubeconfig that can be used: it does not hold a map of keys
    k3s.yaml is no kubeconfig that can be used: line 1, column 4: unclosed bracket '['
    k3s.yaml is no kubeconfig that can be used: current-context is not set
    k3s.yaml is no kubeconfig that can be used: contexts has no entry named other
    k3s.yaml is no kubeconfig that can be used: cluster default has no certificate-authority-data
    k3s.yaml is no kubeconfig that can be used: cluster default has no server
    k3s.yaml is no kubeconfig that can be used: users has no entry named nobody
    k3s.yaml is no kubeconfig that can be used: line 20, column 22: unexpected character: `%'
    k3s.yaml is no kubeconfig that can be used: client-key-data of user default is not PEM
    "#);
}

/// Values as JSON and YAML files carry them.
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
    #[test]
    fn unknown_fields_survive_at_every_level(extras in prop::collection::vec(("x-[a-z]{1,8}", extra()), 0..4)) {
        let mut document: Value = crate::yaml::read(&guest()).unwrap();
        for place in ["", "/clusters/0", "/clusters/0/cluster", "/contexts/0/context", "/users/0/user"] {
            let map = document.pointer_mut(place).and_then(Value::as_object_mut).unwrap();
            for (key, value) in &extras {
                map.insert(key.clone(), value.clone());
            }
        }
        let config = Kubeconfig::parse("k3s.yaml", &document.to_string()).unwrap();
        let host = config.for_host(&name(), IpAddr::V4(Ipv4Addr::LOCALHOST), Port::literal(6443));
        let read_back = crate::yaml::read(&host.to_yaml()).unwrap();
        for place in ["", "/clusters/0", "/clusters/0/cluster", "/contexts/0/context", "/users/0/user"] {
            let map = read_back.pointer(place).and_then(Value::as_object).unwrap();
            for (key, value) in document.pointer(place).and_then(Value::as_object).unwrap() {
                if key.starts_with("x-") {
                    prop_assert_eq!(map.get(key), Some(value));
                }
            }
        }
        prop_assert_eq!(&read_back["contexts"][0]["context"]["namespace"], "shop");
    }

    #[test]
    fn yaml_and_json_say_the_same_and_rewriting_twice_is_rewriting_once(port in 1u16..) {
        let port = Port::new(port).unwrap();
        let once = parsed().for_host(&name(), IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        prop_assert_eq!(&Kubeconfig::parse("y", &once.to_yaml()).unwrap().to_json(), &once.to_json());
        prop_assert_eq!(&Kubeconfig::parse("j", &once.to_json()).unwrap().to_yaml(), &once.to_yaml());
        let inside = once.inside_cluster(&name());
        prop_assert_eq!(inside.for_host(&name(), IpAddr::V4(Ipv4Addr::LOCALHOST), port), once);
    }
}
