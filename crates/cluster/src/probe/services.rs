//! The Services that every application needs, the API's own and DNS: their addresses, the script that probes them from
//! inside the guest, and its output.
//!
//! They can fail while the API is ready: kube-proxy writes their rules, and the API on its port needs none.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::api::ListParams;
use model::Result;
use serde::{Deserialize, Serialize};

use crate::client::ClusterClient;

/// The script for bash in the guest, with bash's redirections to network connections (bash(1), Redirection). It prints
/// the number of each Service that answers. A Service without rules refuses at once or never answers, hence the limits.
///
/// The message to DNS is a header without a question (RFC 1035, 4.1.1), which every server answers with an error and
/// without a lookup. The answer begins with the same byte.
const SCRIPT: &str = r#"
ask() {
    case $1 in
    connection) exec 3<>"/dev/tcp/$2/$3" ;;
    dns)
        exec 3<>"/dev/udp/$2/$3" || return
        for _ in 1 2 3; do
            printf 'K3\1\0\0\0\0\0\0\0\0\0' >&3
            read -r -t 1 -n 1 reply <&3 && [ "$reply" = K ] && return
        done
        return 1
        ;;
    esac
}
number=0
while [ $# -ge 3 ]; do
    (ask "$1" "$2" "$3" && echo "$number") 2>/dev/null &
    shift 3
    number=$((number + 1))
done
wait
"#;
/// Runs the script. The script and the Services come as arguments.
const SHELL: &str = r#"exec timeout 5 bash -c "$0" bash "$@""#;
/// The exit code of `timeout` (timeout(1)); the Services that answered in time have been printed.
const TIMED_OUT: i32 = 124;

/// How a Service is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// Whether it accepts a TCP connection.
    Connection,
    /// Whether it answers a DNS message over UDP.
    Dns,
}

/// A Service that every application needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CoreService {
    /// How it is probed.
    pub question: Question,
    /// The ClusterIP.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
}

impl fmt::Display for CoreService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.question {
            Question::Connection => "the API's Service",
            Question::Dns => "DNS",
        };
        write!(f, "{name} ({}:{})", self.address, self.port)
    }
}

/// A Service and the state of its endpoints, as the API reports them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreServiceStatus {
    /// The Service.
    pub service: CoreService,
    /// Whether it has a ready endpoint. Without one it cannot answer, even with correct rules.
    pub has_ready_endpoint: bool,
}

impl ClusterClient {
    /// The API's own Service and that of DNS, as far as the cluster has them.
    ///
    /// # Errors
    /// A Cluster error, or a Timeout error after `limit`.
    pub fn core_services(&self, limit: Duration) -> Result<Vec<CoreServiceStatus>> {
        let (default, system): (Api<Service>, Api<Service>) =
            (Api::namespaced(self.kube().clone(), "default"), Api::namespaced(self.kube().clone(), "kube-system"));
        let slices: Api<EndpointSlice> = Api::namespaced(self.kube().clone(), "kube-system");
        // The Service of CoreDNS has this name in every cluster, K3s included.
        let of_dns = ListParams::default().labels("kubernetes.io/service-name=kube-dns");
        let all = futures_util::future::try_join3(
            default.get_opt("kubernetes"),
            system.get_opt("kube-dns"),
            slices.list(&of_dns),
        );
        let (api, dns, slices) = self.request("the Services kubernetes and kube-dns", limit, all)?;
        // The endpoint of the API's own Service has just answered.
        let api = standing(api.as_ref(), Question::Connection, "TCP").map(|service| (service, true));
        let dns =
            standing(dns.as_ref(), Question::Dns, "UDP").map(|service| (service, has_ready_endpoint(&slices.items)));
        let reported = |(service, has_ready_endpoint)| CoreServiceStatus { service, has_ready_endpoint };
        Ok([api, dns].into_iter().flatten().map(reported).collect())
    }
}

/// Conditions that are not set count as ready (`EndpointConditions` of discovery.k8s.io/v1).
fn has_ready_endpoint(slices: &[EndpointSlice]) -> bool {
    let mut endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
    endpoints.any(|endpoint| endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true))
}

fn standing(service: Option<&Service>, question: Question, protocol: &str) -> Option<CoreService> {
    let specification = service?.spec.as_ref()?;
    let has_protocol = |given: &Option<String>| given.as_deref().unwrap_or("TCP") == protocol;
    let port = specification.ports.iter().flatten().find(|port| has_protocol(&port.protocol))?;
    // The address of a headless Service is the word None.
    let address = specification.cluster_ip.as_deref()?.parse().ok()?;
    Some(CoreService { question, address, port: u16::try_from(port.port).ok()? })
}

/// The arguments with which `/bin/sh` of the guest probes `services`.
pub fn questions(services: &[CoreService]) -> Vec<String> {
    let words = services.iter().flat_map(|service| {
        let question = match service.question {
            Question::Connection => "connection",
            Question::Dns => "dns",
        };
        [question.to_owned(), service.address.to_string(), service.port.to_string()]
    });
    ["-c".to_owned(), SHELL.to_owned(), SCRIPT.to_owned()].into_iter().chain(words).collect()
}

/// The `services` that have not answered, by the output and exit code of the guest's shell.
///
/// # Errors
/// Why the output cannot be used.
pub fn silent<'a>(services: &'a [CoreService], code: i32, output: &[u8]) -> Result<Vec<&'a CoreService>, String> {
    if code != 0 && code != TIMED_OUT {
        return Err(format!("the guest's shell ended with {code}"));
    }
    let output = String::from_utf8_lossy(output);
    let answered: Vec<usize> = output.lines().filter_map(|line| line.trim().parse().ok()).collect();
    let silent = services.iter().enumerate().filter(|(number, _)| !answered.contains(number));
    Ok(silent.map(|(_, service)| service).collect())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::process::Command;

    use serde_json::json;

    use super::*;

    fn service(question: Question, port: u16) -> CoreService {
        CoreService { question, address: "127.0.0.1".parse().unwrap(), port }
    }

    /// Runs the script as the guest does. Returns the Services that have not answered.
    fn ask(services: &[CoreService]) -> Vec<String> {
        let output = Command::new("/bin/sh").args(questions(services)).output().unwrap();
        let silent = silent(services, output.status.code().unwrap(), &output.stdout).unwrap();
        silent.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn services_that_answer_and_others_are_distinguished() {
        let api = TcpListener::bind("127.0.0.1:0").unwrap();
        let dns = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mute = UdpSocket::bind("127.0.0.1:0").unwrap();
        let gone = testkit::port::free().number();
        let port = dns.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let mut message = [0; 512];
            while let Ok((length, from)) = dns.recv_from(&mut message) {
                // A header without a question, which a server gives back with QR and FORMERR.
                assert_eq!(&message[..length], b"K3\x01\0\0\0\0\0\0\0\0\0");
                message[2] |= 0x80;
                let _ = dns.send_to(&message[..length], from);
            }
        });
        let mute = service(Question::Dns, mute.local_addr().unwrap().port());
        let answering = [service(Question::Connection, api.local_addr().unwrap().port()), service(Question::Dns, port)];
        assert_eq!(ask(&answering), [""; 0]);
        let [one, two] = answering;
        let gone = service(Question::Connection, gone);
        assert_eq!(ask(&[gone.clone(), one, mute.clone(), two]), [gone.to_string(), mute.to_string()]);
    }

    #[test]
    fn only_numbers_in_the_output_of_a_guest_count() {
        let services = [service(Question::Connection, 443), service(Question::Dns, 53)];
        let told = |code, output: &[u8]| silent(&services, code, output).map(|silent| silent.len());
        assert_eq!(told(0, b"1\n0\n"), Ok(0));
        assert_eq!(told(0, b""), Ok(2));
        assert_eq!(told(TIMED_OUT, b"0\n"), Ok(1));
        assert_eq!(told(0, b"7\n-1\n\xff\n99999999999999999999\n1"), Ok(1));
        assert_eq!(told(127, b"0\n1\n"), Err("the guest's shell ended with 127".to_owned()));
    }

    #[test]
    fn a_pod_that_is_not_ready_is_no_endpoint_yet() {
        let slice = |endpoints: serde_json::Value| -> EndpointSlice {
            serde_json::from_value(json!({"addressType": "IPv4", "metadata": {}, "endpoints": endpoints})).unwrap()
        };
        let of = |ready: serde_json::Value| json!([{"addresses": ["10.42.0.2"], "conditions": {"ready": ready}}]);
        assert!(!has_ready_endpoint(&[]));
        assert!(!has_ready_endpoint(&[slice(json!([])), slice(of(false.into()))]));
        assert!(has_ready_endpoint(&[slice(of(false.into())), slice(of(true.into()))]));
        assert!(has_ready_endpoint(&[slice(json!([{"addresses": ["10.42.0.2"]}]))]));
    }

    #[test]
    fn addresses_are_read_where_a_service_has_them() {
        let read = |value, question, protocol| {
            let service: Service = serde_json::from_value(value).unwrap();
            standing(Some(&service), question, protocol).map(|service| service.to_string())
        };
        let api = json!({"spec": {"clusterIP": "10.43.0.1", "ports": [{"port": 443, "protocol": "TCP"}]}});
        assert_eq!(read(api, Question::Connection, "TCP").as_deref(), Some("the API's Service (10.43.0.1:443)"));
        let ports = json!([{"port": 9153, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]);
        let dns = |address| json!({"spec": {"clusterIP": address, "ports": ports}});
        assert_eq!(read(dns("10.43.0.10"), Question::Dns, "UDP").as_deref(), Some("DNS (10.43.0.10:53)"));
        assert_eq!(read(dns("None"), Question::Dns, "UDP"), None);
        assert_eq!(standing(None, Question::Dns, "UDP"), None);
    }
}
