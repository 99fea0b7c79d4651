//! Whether this tool wrote a kubeconfig and so may overwrite it, and which setting of the user it then has to preserve.
//!
//! Pure. The content decides, not a record of earlier writes: one cluster, one user and one context, all with the
//! instance's name; a server that is an address, not a name; certificates inline; nothing else. Former versions wrote
//! the guest's own document under these names, which has the same keys.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::instance::InstanceName;
use serde_json::{Map, Value};

use super::credentials;
use crate::yaml;

/// A kubeconfig that this tool wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnKubeconfig {
    /// The namespace that the user has set in its context.
    pub namespace: Option<String>,
}

impl OwnKubeconfig {
    /// Reads the kubeconfig of the instance `name`; an empty file counts as ours.
    ///
    /// # Errors
    /// What the file has that this tool does not write.
    pub fn read(text: &str, name: &InstanceName) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(OwnKubeconfig::default());
        }
        // This tool writes no comments, and no value of its own has a `#`.
        if text.contains('#') {
            return Err("it has comments".to_owned());
        }
        let value = yaml::read(text).map_err(|mistake| format!("line {}: {}", mistake.line, mistake.message))?;
        let document = value.as_object().ok_or("it is no kubeconfig")?;
        only(
            document,
            "the file",
            &["apiVersion", "kind", "clusters", "contexts", "current-context", "preferences", "users"],
        )?;
        if document.get("preferences").is_some_and(|value| !is_empty(value)) {
            return Err("it has preferences".to_owned());
        }
        // kubectl can unset it, and the file has no other context to set it to.
        match document.get("current-context").and_then(Value::as_str) {
            None | Some("") => {}
            Some(current) if current == name.as_str() => {}
            Some(current) => return Err(format!("its current context is {current}")),
        }
        let cluster = single(document, "clusters", "cluster", name)?;
        only(cluster, "its cluster", &["certificate-authority-data", "server", "tls-server-name"])?;
        let server = cluster.get("server").and_then(Value::as_str).unwrap_or_default();
        let address = server.strip_prefix("https://").and_then(|address| address.parse::<SocketAddr>().ok());
        if address.is_none() {
            return Err(format!("its server is {server:?}"));
        }
        if !cluster.contains_key("certificate-authority-data") {
            return Err("its cluster has no certificate-authority-data".to_owned());
        }
        let user = single(document, "users", "user", name)?;
        only(user, "its user", &["client-certificate-data", "client-key-data", "token"])?;
        let context = single(document, "contexts", "context", name)?;
        only(context, "its context", &["cluster", "user", "namespace"])?;
        for member in ["cluster", "user"] {
            if context.get(member).and_then(Value::as_str) != Some(name.as_str()) {
                return Err(format!("its context has another {member}"));
            }
        }
        let namespace = context.get("namespace").and_then(Value::as_str).filter(|text| !text.is_empty());
        Ok(OwnKubeconfig { namespace: namespace.map(str::to_owned) })
    }

    /// Whether `value`, a value of the variable `KUBECONFIG_PRIMARY`, is a kubeconfig of the instance `name` in base64.
    pub fn is_variable(value: &str, name: &InstanceName) -> bool {
        let text = STANDARD.decode(value.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        text.is_some_and(|text| Self::read(&text, name).is_ok())
    }

    /// `text`, a new kubeconfig for the same context, with the namespace that the user has set.
    #[must_use]
    pub fn merged_into(&self, text: &str) -> String {
        let (Some(namespace), Ok(mut value)) = (&self.namespace, yaml::read(text)) else { return text.to_owned() };
        let context = value.pointer_mut("/contexts/0/context").and_then(Value::as_object_mut);
        let Some(context) = context else { return text.to_owned() };
        context.insert("namespace".to_owned(), namespace.as_str().into());
        yaml::write(&value)
    }
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(Map::is_empty)
}

/// The member `inner` of the only entry of `list`, which has the instance's name.
fn single<'a>(
    document: &'a Map<String, Value>,
    list: &str,
    inner: &str,
    name: &InstanceName,
) -> Result<&'a Map<String, Value>, String> {
    let entries = credentials::entries(document, list);
    let named = |entry: &Value| entry["name"].as_str().unwrap_or("without a name").to_owned();
    match entries {
        [] => Err(format!("it has no {list}")),
        [entry] if entry["name"] == name.as_str() => {
            let object = entry.as_object().ok_or_else(|| format!("its {inner} is no map"))?;
            only(object, &format!("its {inner}"), &["name", inner])?;
            credentials::inner(entry, inner).ok_or_else(|| format!("its {inner} is no map"))
        }
        _ => {
            let others: Vec<String> = entries.iter().map(named).filter(|other| other != name.as_str()).collect();
            Err(match others.as_slice() {
                [] => format!("it has several {list} named {name}"),
                [other] => format!("it has the {inner} {other}"),
                others => format!("it has the {list} {}", others.join(", ")),
            })
        }
    }
}

/// Nothing but these keys.
fn only(map: &Map<String, Value>, what: &str, keys: &[&str]) -> Result<(), String> {
    match map.keys().find(|key| !keys.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(format!("{what} has {key}")),
    }
}

#[cfg(test)]
mod tests {
    use testkit::kubeconfig::OF_THE_PROGRAM as OURS;

    use super::*;

    fn read(text: &str) -> Result<OwnKubeconfig, String> {
        OwnKubeconfig::read(text, &InstanceName::default())
    }

    #[test]
    fn what_this_tool_wrote_may_be_overwritten_whatever_its_version_and_ports() {
        for text in [
            OURS.to_owned(),
            // Former versions left in place what kubeadm and K3s write beside it.
            OURS.replace("users:", "preferences: {}\nusers:"),
            OURS.replace("127.0.0.1:6443", "[::1]:7443")
                .replace("  name: k3s-vm\ncontexts", "    tls-server-name: localhost\n  name: k3s-vm\ncontexts"),
            OURS.replace("current-context: k3s-vm\n", "current-context: \"\"\n"),
            yaml::read(OURS).unwrap().to_string(),
            String::new(),
            "\n".to_owned(),
        ] {
            assert_eq!(read(&text), Ok(OwnKubeconfig::default()), "{text}");
        }
    }

    #[test]
    fn a_kubeconfig_of_the_users_own_is_recognized_by_its_content() {
        let mut reasons = Vec::new();
        for text in [
            "hello".to_owned(),
            "a: [".to_owned(),
            OURS.replace("k3s-vm", "default"),
            OURS.replace("https://127.0.0.1:6443", "https://prod.example.com"),
            OURS.replace("contexts:\n", "contexts:\n- context:\n    cluster: k3s-vm\n    user: admin\n  name: prod\n"),
            OURS.replace("clusters:\n", "clusters:\n- cluster:\n    server: https://1.2.3.4:6443\n  name: a\n- cluster:\n    server: https://1.2.3.4:6443\n  name: b\n"),
            OURS.replace("users:\n", "users:\n- name: k3s-vm\n  user: {}\n"),
            OURS.replace("    client-key-data: S0U=\n", "    exec:\n      command: aws\n"),
            OURS.replace("    server:", "    proxy-url: http://proxy:3128\n    server:"),
            OURS.replace("certificate-authority-data: Q0E=", "certificate-authority: /etc/ca.pem"),
            OURS.replace("users:", "preferences: {colors: true}\nusers:"),
            OURS.replace("users:", "extensions: []\nusers:"),
            OURS.replace("kind: Config", "kind: Config # for the demo"),
            OURS.replace("current-context: k3s-vm", "current-context: other"),
            OURS[..OURS.find("users:").unwrap()].to_owned(),
            OURS.replace("    user: k3s-vm\n", "    user: admin\n"),
        ] {
            reasons.push(read(&text).unwrap_err());
        }
        insta::assert_snapshot!(reasons.join("\n"), @r#"
        it is no kubeconfig
        line 1: unclosed bracket '['
        its current context is default
        its server is "https://prod.example.com"
        it has the context prod
        it has the clusters a, b
        it has several users named k3s-vm
        its user has exec
        its cluster has proxy-url
        its cluster has certificate-authority
        it has preferences
        the file has extensions
        it has comments
        its current context is other
        it has no users
        its context has another user
        "#);
    }

    #[test]
    fn what_is_written_for_the_host_is_recognized_as_ours() {
        let guest = crate::kubeconfig::credentials::tests::of_a_guest();
        let (host, port) = (model::BindAddress::parse("192.168.1.5").unwrap(), model::port::Port::literal(7443));
        for name in [InstanceName::default(), InstanceName::with_suffix("two").unwrap()] {
            let written = guest.for_host(&name, host, port);
            assert_eq!(OwnKubeconfig::read(&written.to_yaml(), &name), Ok(OwnKubeconfig::default()));
            assert!(OwnKubeconfig::is_variable(&written.to_json_base64(), &name));
        }
    }

    #[test]
    fn a_namespace_that_the_user_has_set_stays() {
        let text = OURS.replace("    user: k3s-vm\n", "    namespace: team\n    user: k3s-vm\n");
        let own = read(&text).unwrap();
        assert_eq!(own.namespace.as_deref(), Some("team"));
        let anew = OURS.replace("Q0E=", "TkVX");
        let merged = own.merged_into(&anew);
        assert_eq!(read(&merged), Ok(own));
        assert!(merged.contains("TkVX"), "{merged}");
        assert_eq!(OwnKubeconfig::default().merged_into(&anew), anew);
    }
}
