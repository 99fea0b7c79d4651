//! The documents, and the configuration of a client.

use super::*;

fn of_host(certificate_name: Option<&'static str>) -> Kubeconfig {
    Kubeconfig {
        name: "k3s-vm-a".to_owned(),
        server: "https://127.0.0.1:7443".to_owned(),
        certificate_name,
        certificate_authority: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(),
        login: Login::Certificate { certificate: "certificate".to_owned(), key: "key".to_owned() },
    }
}

#[test]
fn everything_is_named_for_the_instance() {
    insta::assert_snapshot!(of_host(Some("localhost")).to_yaml(), @r#"
    apiVersion: v1
    kind: Config
    clusters:
    - name: k3s-vm-a
      cluster:
        certificate-authority-data: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCkFBQUEKLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=
        server: https://127.0.0.1:7443
        tls-server-name: localhost
    contexts:
    - name: k3s-vm-a
      context:
        cluster: k3s-vm-a
        user: k3s-vm-a
    current-context: k3s-vm-a
    users:
    - name: k3s-vm-a
      user:
        client-certificate-data: Y2VydGlmaWNhdGU=
        client-key-data: a2V5
    "#);
}

#[test]
fn containers_get_a_token_and_no_key_and_json_is_one_line() {
    let config = Kubeconfig::inside_cluster("authority", Token::to_be_made());
    let json = config.to_json();
    insta::assert_snapshot!(json, @r#"{"apiVersion":"v1","kind":"Config","clusters":[{"name":"k3s-vm","cluster":{"certificate-authority-data":"YXV0aG9yaXR5","server":"https://kubernetes.default.svc:443"}}],"contexts":[{"name":"k3s-vm","context":{"cluster":"k3s-vm","user":"k3s-vm"}}],"current-context":"k3s-vm","users":[{"name":"k3s-vm","user":{"token":"to-be-made-by-apply"}}]}"#);
    assert_eq!(STANDARD.decode(config.to_json_base64()).unwrap(), json.as_bytes());
}

#[test]
fn a_client_of_our_own_cluster_cannot_run_a_program_read_a_file_or_use_a_proxy() {
    for kubeconfig in [of_host(None), of_host(Some("localhost"))] {
        let config = kubeconfig.client_config().unwrap();
        let auth = serde_json::to_value(&config.auth_info).unwrap();
        let keys: Vec<&str> = auth.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["client-certificate-data", "client-key-data"]);
        assert!(config.proxy_url.is_none() && config.root_cert_file.is_none() && !config.accept_invalid_certs);
        assert_eq!(config.root_cert.unwrap(), [vec![0, 0, 0]]);
        assert_eq!(config.tls_server_name.as_deref(), kubeconfig.certificate_name);
    }
}
