//! Kubeconfigs as users have them, and the messages for broken ones.

use super::*;

/// The certificate of an authority; only its form matters here.
const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

const TWO: &str = "
apiVersion: v1
kind: Config
current-context: dev
contexts:
- {name: dev, context: {cluster: one, user: token}}
- {name: staging, context: {cluster: two, user: file, namespace: shop}}
- {name: nobody, context: {cluster: one}}
- {name: lost, context: {cluster: gone, user: token}}
- {name: stranger, context: {cluster: one, user: gone}}
clusters:
- {name: one, cluster: {server: 'https://one.example:6443', insecure-skip-tls-verify: true}}
- {name: two, cluster: {server: 'https://10.0.0.1', certificate-authority: ca.pem, tls-server-name: two.example, proxy-url: 'socks5://127.0.0.1:1080'}}
users:
- {name: token, user: {token: abc}}
- {name: file, user: {tokenFile: token.txt}}
";

struct File(tempfile::TempDir);

impl File {
    fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("config"), text).unwrap();
        std::fs::write(directory.path().join("ca.pem"), PEM).unwrap();
        std::fs::write(directory.path().join("token.txt"), "from-file\n").unwrap();
        File(directory)
    }

    fn read(&self, context: Option<&str>) -> Result<Destination> {
        read(&KubeconfigContext { file: self.0.path().join("config"), context: context.map(str::to_owned) })
    }

    fn mistake(&self, context: Option<&str>) -> String {
        let error = self.read(context).err().unwrap();
        let text = [&[error.to_string()], error.next_steps()].concat().join("\n");
        text.replace(&self.0.path().display().to_string(), "DIRECTORY")
    }
}

#[test]
fn the_current_context_is_meant_unless_one_is_named() {
    let file = File::new(TWO);
    let current = file.read(None).unwrap();
    assert_eq!((current.context.as_str(), current.config.default_namespace.as_str()), ("dev", "default"));
    assert_eq!(current.config.cluster_url.to_string(), "https://one.example:6443/");
    assert!(current.config.accept_invalid_certs && current.config.root_cert.is_none());
    let named = file.read(Some("staging")).unwrap();
    assert_eq!((named.context.as_str(), named.config.default_namespace.as_str()), ("staging", "shop"));
    assert_eq!(named.config.tls_server_name.as_deref(), Some("two.example"));
    assert_eq!(named.config.proxy_url.unwrap().to_string(), "socks5://127.0.0.1:1080/");
    assert_eq!(named.config.root_cert.unwrap(), [vec![0, 0, 0]]);
    assert!(!named.config.accept_invalid_certs);
    // Relative to the file's directory, and without the line break.
    let auth = serde_json::to_value(&named.config.auth_info).unwrap();
    assert_eq!((auth["token"].as_str(), auth.get("tokenFile")), (Some("from-file"), None));
    assert!(file.read(Some("nobody")).is_ok(), "a context without a user is one that logs nobody in");
}

#[test]
fn what_is_missing_is_named() {
    let file = File::new(TWO);
    insta::assert_snapshot!(file.mistake(Some("prod")), @r"
    there is no context prod in DIRECTORY/config: it has dev, staging, nobody, lost, stranger
    kubectl --kubeconfig DIRECTORY/config config get-contexts
    ");
    insta::assert_snapshot!(file.mistake(Some("lost")), @"the context lost of DIRECTORY/config cannot be used: there is no cluster named gone in the file");
    insta::assert_snapshot!(file.mistake(Some("stranger")), @"the context stranger of DIRECTORY/config cannot be used: there is no user named gone in the file");
    insta::assert_snapshot!(File::new("apiVersion: v1\nkind: Config\n").mistake(None), @r"
    DIRECTORY/config does not name a context: current-context is not set; it has none
    name one: --context NAME
    ");
    insta::assert_snapshot!(File::new(&TWO.replace("current-context: dev", "")).mistake(None), @r"
    DIRECTORY/config does not name a context: current-context is not set; it has dev, staging, nobody, lost, stranger
    name one: --context NAME
    ");
    insta::assert_snapshot!(File::new("clusters: [\n").mistake(None), @"the kubeconfig DIRECTORY/config cannot be read: unclosed bracket '[' at line 1, column 11");
    insta::assert_snapshot!(File::new(&TWO.replace("ca.pem", "gone.pem")).mistake(Some("staging")), @"the context staging of DIRECTORY/config cannot be used: certificate-authority DIRECTORY/gone.pem: No such file or directory (os error 2)");
    insta::assert_snapshot!(File::new(&TWO.replace("'https://10.0.0.1'", "''")).mistake(Some("staging")), @"the context staging of DIRECTORY/config cannot be used: its cluster has no server");
    std::fs::remove_file(file.0.path().join("config")).unwrap();
    insta::assert_snapshot!(file.mistake(None), @"the kubeconfig DIRECTORY/config cannot be read: No such file or directory (os error 2)");
}
