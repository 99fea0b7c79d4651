//! Which port of the guest the web application's host port leads to. Pure.

use cluster::ManifestObject;
use model::port::Port;
use model::{Fault, FaultClass, Result};

/// The NodePort behind the host's `web` port: the same number where it can be a NodePort, else the only NodePort that
/// the manifests' Services have.
///
/// # Errors
/// A Config fault where the number cannot be a NodePort and the manifests do not decide.
pub(crate) fn node_port(web: Port, objects: &[ManifestObject]) -> Result<Port> {
    if web.is_node_port() {
        return Ok(web);
    }
    let mut ports = node_ports(objects);
    ports.sort_unstable_by_key(|(port, _)| *port);
    ports.dedup_by_key(|(port, _)| *port);
    match ports.as_slice() {
        [(port, _)] => Ok(*port),
        [] => Err(undecided(web).because("no Service of the manifests has a nodePort")),
        several => {
            let named: Vec<String> =
                several.iter().map(|(port, service)| format!("{port} (Service {service})")).collect();
            Err(undecided(web).because(format!("the manifests have several: {}", named.join(", "))))
        }
    }
}

/// Whether a Service of `objects` has `port` as a NodePort.
pub(crate) fn is_served(port: Port, objects: &[ManifestObject]) -> bool {
    node_ports(objects).iter().any(|(known, _)| *known == port)
}

fn undecided(web: Port) -> Fault {
    Fault::new(FaultClass::Config, format!("it is not clear which NodePort WEB_PORT={web} leads to"))
        .because(format!("{web} itself cannot be a NodePort, which lie in 30000 to 32767"))
        .next("give one Service in .k3s-vm/manifests/ a nodePort, or set WEB_PORT to the one you mean")
}

/// Each NodePort with the Service that has it.
fn node_ports(objects: &[ManifestObject]) -> Vec<(Port, String)> {
    let services = objects.iter().filter(|object| object.kind() == "Service");
    services
        .flat_map(|service| {
            let ports = service.value().pointer("/spec/ports").and_then(|ports| ports.as_array());
            ports.into_iter().flatten().filter_map(|entry| {
                let number = entry.get("nodePort")?.as_u64()?;
                Some((Port::new(u16::try_from(number).ok()?)?, service.name().to_owned()))
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
                let ports: Vec<String> = ports.iter().map(|port| format!("{{port: 80, nodePort: {port}}}")).collect();
                format!(
                    "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{}]}}\n",
                    ports.join(", ")
                )
            })
            .collect();
        parse(&[ManifestText { file: "s.yaml".to_owned(), text: documents.join("---\n") }]).expect("valid")
    }

    fn decide(web: u16, ports: &[(&str, &[u16])]) -> Result<u16> {
        node_port(Port::new(web).expect("a port"), &services(ports)).map(Port::number)
    }

    #[test]
    fn a_node_port_is_itself() {
        assert_eq!(decide(30080, &[]).expect("itself"), 30080);
        assert_eq!(decide(30080, &[("web", &[31000])]).expect("itself"), 30080);
    }

    #[test]
    fn another_port_leads_to_the_only_node_port() {
        assert_eq!(decide(8080, &[("web", &[31000]), ("database", &[])]).expect("the only one"), 31000);
    }

    #[test]
    fn what_the_manifests_leave_open_is_a_mistake() {
        insta::assert_snapshot!(decide(8080, &[]).expect_err("none"), @"it is not clear which NodePort WEB_PORT=8080 leads to: 8080 itself cannot be a NodePort, which lie in 30000 to 32767: no Service of the manifests has a nodePort");
        insta::assert_snapshot!(decide(8080, &[("web", &[31000]), ("api", &[31001])]).expect_err("two"), @"it is not clear which NodePort WEB_PORT=8080 leads to: 8080 itself cannot be a NodePort, which lie in 30000 to 32767: the manifests have several: 31000 (Service web), 31001 (Service api)");
    }
}
