//! The port of the guest to which the web application's host port leads. Pure.

use std::fmt;

use cluster::ManifestObject;
use model::config::WebService;
use model::port::Port;
use model::{Error, ErrorClass, Result};

/// The NodePort behind the host's `web` port. The first of these that applies:
///
/// 1. the NodePort of the Service that the configuration names;
/// 2. the same number, if a Service of the manifests has it as its NodePort;
/// 3. the only NodePort of the manifests, or the only one whose `port` is that number, so that another host port needs no
///    other manifests;
/// 4. the same number, if it can be a NodePort.
///
/// # Errors
/// A Config error where neither the configuration nor the manifests decide.
pub(crate) fn node_port(web: Port, service: Option<&WebService>, objects: &[ManifestObject]) -> Result<Port> {
    let ports = service_ports(objects);
    if let Some(service) = service {
        return named(service, &ports);
    }
    if is_served(web, objects) {
        return Ok(web);
    }
    let mut exposed: Vec<&ServicePort> = ports.iter().filter(|port| port.node_port.is_some()).collect();
    exposed.sort_unstable_by_key(|port| port.node_port);
    exposed.dedup_by_key(|port| port.node_port);
    let same_number: Vec<&ServicePort> =
        exposed.iter().copied().filter(|port| port.port == Some(web.number())).collect();
    match (exposed.as_slice(), same_number.as_slice()) {
        ([only], _) | (_, [only]) => only.node_port.ok_or_else(|| undecided(web)),
        _ if web.is_node_port() => Ok(web),
        ([], _) => Err(undecided(web).because("no Service of the manifests has a nodePort")),
        (several, _) => {
            let named: Vec<String> = several.iter().map(|port| port.to_string()).collect();
            Err(undecided(web).because(format!("the manifests have several: {}", named.join(", "))))
        }
    }
}

/// The NodePort of the Service that the configuration names.
fn named(wanted: &WebService, ports: &[ServicePort]) -> Result<Port> {
    // A Service that is not in the manifests is named by its NodePort.
    if let Some(port) = Port::parse(&wanted.name) {
        return Ok(port);
    }
    let is_service = |port: &&ServicePort| {
        port.service == wanted.name && wanted.namespace.as_ref().is_none_or(|namespace| *namespace == port.namespace)
    };
    let is_port = |port: &&ServicePort| {
        let number = port.port.map(|number| number.to_string());
        wanted.port.as_ref().is_none_or(|name| Some(name) == port.name.as_ref() || Some(name) == number.as_ref())
    };
    let of_service: Vec<&ServicePort> = ports.iter().filter(is_service).collect();
    let matching: Vec<&ServicePort> = of_service.iter().copied().filter(|port| is_port(port)).collect();
    let failed = |why: String| {
        Error::new(ErrorClass::Config, format!("web.service names the Service {}, which cannot be used", wanted.name))
            .because(why)
    };
    match matching.as_slice() {
        [ServicePort { node_port: Some(port), .. }] => Ok(*port),
        [port] => Err(failed(format!("{port} has no nodePort"))
            .next("give it a nodePort from 30000 to 32767 in .k3s-vm/manifests/")),
        [] if of_service.is_empty() => Err(failed("the manifests have no such Service".to_owned())
            .next("correct web.service in .k3s-vm/config.toml, or add the Service to .k3s-vm/manifests/")),
        [] => Err(failed(format!("it has no such port; it has {}", list(&of_service)))
            .next("correct web.service in .k3s-vm/config.toml, for example \"NAME:PORT\"")),
        several => Err(failed(format!("it has several ports: {}", list(several)))
            .next("name one in web.service in .k3s-vm/config.toml, for example \"NAME:PORT\"")),
    }
}

fn list(ports: &[&ServicePort]) -> String {
    let shown: Vec<String> = ports.iter().map(|port| port.to_string()).collect();
    shown.join(", ")
}

/// Whether a Service of `objects` has `port` as a NodePort.
pub(crate) fn is_served(port: Port, objects: &[ManifestObject]) -> bool {
    service_ports(objects).iter().any(|known| known.node_port == Some(port))
}

fn undecided(web: Port) -> Error {
    Error::new(ErrorClass::Config, format!("it is not clear which NodePort WEB_PORT={web} leads to"))
        .because(format!("{web} itself cannot be a NodePort, which lie in 30000 to 32767"))
        .next("give one Service in .k3s-vm/manifests/ a nodePort, or name the one you mean as web.service in .k3s-vm/config.toml")
}

/// One port of a Service.
struct ServicePort {
    namespace: String,
    service: String,
    name: Option<String>,
    port: Option<u16>,
    node_port: Option<Port>,
}

impl fmt::Display for ServicePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.name.clone().or_else(|| self.port.map(|number| number.to_string()));
        write!(f, "Service {}:{}", self.service, port.unwrap_or_default())?;
        match self.node_port {
            Some(node_port) => write!(f, " at {node_port}"),
            None => Ok(()),
        }
    }
}

fn service_ports(objects: &[ManifestObject]) -> Vec<ServicePort> {
    let services = objects.iter().filter(|object| object.kind() == "Service");
    services
        .flat_map(|service| {
            let ports = service.value().pointer("/spec/ports").and_then(|ports| ports.as_array());
            ports.into_iter().flatten().map(|entry| {
                let number = |key| entry.get(key)?.as_u64().and_then(|number| u16::try_from(number).ok());
                ServicePort {
                    namespace: service.namespace().unwrap_or("default").to_owned(),
                    service: service.name().to_owned(),
                    name: entry.get("name").and_then(|name| name.as_str()).map(str::to_owned),
                    port: number("port"),
                    node_port: number("nodePort").and_then(Port::new),
                }
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cluster::manifest::{ManifestText, parse};

    fn services(ports: &[(&str, &[u16])]) -> Vec<ManifestObject> {
        let documents: Vec<String> = ports
            .iter()
            .map(|(name, ports)| {
                let ports: Vec<String> = (80..)
                    .zip(ports.iter())
                    .map(|(number, port)| format!("{{port: {number}, nodePort: {port}}}"))
                    .collect();
                format!(
                    "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{}]}}\n",
                    ports.join(", ")
                )
            })
            .collect();
        parse(&[ManifestText { file: "s.yaml".to_owned(), text: documents.join("---\n") }]).expect("valid")
    }

    fn decide(web: u16, service: Option<&str>, ports: &[(&str, &[u16])]) -> Result<u16> {
        let service = service.map(|text| {
            let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port.to_owned())));
            WebService { namespace: None, name: name.to_owned(), port }
        });
        node_port(Port::new(web).expect("a port"), service.as_ref(), &services(ports)).map(Port::number)
    }

    #[test]
    fn a_node_port_is_itself_where_the_manifests_have_it_or_do_not_decide() {
        assert_eq!(decide(30080, None, &[]).expect("itself"), 30080);
        assert_eq!(decide(30080, None, &[("web", &[30080]), ("api", &[31000])]).expect("itself"), 30080);
        assert_eq!(decide(30080, None, &[("web", &[31001]), ("api", &[31000])]).expect("itself"), 30080);
    }

    #[test]
    fn a_changed_web_port_needs_no_other_manifests() {
        assert_eq!(decide(30081, None, &[("web", &[30080])]).expect("the only one"), 30080);
    }

    #[test]
    fn another_port_leads_to_the_only_node_port() {
        assert_eq!(decide(8080, None, &[("web", &[31000]), ("database", &[])]).expect("the only one"), 31000);
    }

    #[test]
    fn another_port_leads_to_the_service_with_that_port() {
        assert_eq!(decide(81, None, &[("api", &[31001]), ("web", &[31002, 31003])]).expect("its port"), 31003);
    }

    #[test]
    fn a_named_service_has_precedence() {
        let both: &[(&str, &[u16])] = &[("api", &[31001]), ("web", &[31002, 31003])];
        assert_eq!(decide(8080, Some("api"), both).expect("named"), 31001);
        assert_eq!(decide(30080, Some("web:81"), both).expect("named"), 31003);
        assert_eq!(decide(30080, Some("32000"), both).expect("by number"), 32000);
    }

    #[test]
    fn an_undecided_port_is_an_error() {
        let both: &[(&str, &[u16])] = &[("web", &[31000, 31005]), ("api", &[31001]), ("inner", &[0])];
        let told: Vec<String> = [
            decide(8080, None, &[]),
            decide(8080, None, both),
            decide(8080, Some("shop"), both),
            decide(8080, Some("web"), both),
            decide(8080, Some("web:https"), both),
            decide(8080, Some("inner"), both),
        ]
        .map(|decided| decided.expect_err("a mistake").to_string())
        .to_vec();
        insta::assert_snapshot!(told.join("\n"), @r"
        it is not clear which NodePort WEB_PORT=8080 leads to: 8080 itself cannot be a NodePort, which lie in 30000 to 32767: no Service of the manifests has a nodePort
        it is not clear which NodePort WEB_PORT=8080 leads to: 8080 itself cannot be a NodePort, which lie in 30000 to 32767: the manifests have several: Service web:80 at 31000, Service api:80 at 31001, Service web:81 at 31005
        web.service names the Service shop, which cannot be used: the manifests have no such Service
        web.service names the Service web, which cannot be used: it has several ports: Service web:80 at 31000, Service web:81 at 31005
        web.service names the Service web, which cannot be used: it has no such port; it has Service web:80 at 31000, Service web:81 at 31005
        web.service names the Service inner, which cannot be used: Service inner:80 has no nodePort
        ");
    }
}
