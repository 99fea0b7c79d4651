//! Point 4, and the part of point 5 that needs a cluster: API, node, Services, a clock step.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use cluster::credentials::LONGEST_KUBECONFIG;
use cluster::services::{questions, silent};
use cluster::{ApiProbe, ApiProof, ClusterClient, CoreService, Credentials, Kubeconfig};
use host::wait::Look;
use model::instance::InstanceName;
use qemu::agent::GuestCommand;

use super::guest::{BOOT, CALL, LiveGuest};
use super::node::Node;
use crate::expect::expect_ok;

/// The clock step: a laptop that was suspended over a long weekend.
const STEP: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// The certificate is valid for both names, by the CA of the guest's kubeconfig.
pub(super) fn certificate(guest: &mut LiveGuest<'_>) {
    let place = guest.image.manifest.kubeconfig.clone();
    let kubeconfig = guest.wait("the kubeconfig in the guest", BOOT, |guest, _| {
        let Some(bytes) = guest.agent().read_file(&place, LONGEST_KUBECONFIG, CALL)? else {
            return Ok(Look::NotYet(format!("there is no {place}")));
        };
        // It may be half written.
        let parsed = Credentials::parse(&place, &String::from_utf8_lossy(&bytes));
        Ok(parsed.map_or_else(|error| Look::NotYet(error.to_string()), Look::Ready))
    });
    // The probe of the loopback address checks the certificate for 127.0.0.1, that of any other address for localhost.
    // Linux takes 0.0.0.0 as the loopback address, too.
    for address in [Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED] {
        answers(guest, &kubeconfig, address);
    }
    guest.kubeconfig = Some(kubeconfig);
}

/// There is one node, with the name from the manifest, and it becomes Ready.
pub(super) fn node_ready(guest: &mut LiveGuest<'_>) {
    let client = expect_ok(ClusterClient::new(&admin(guest)));
    let name = guest.image.manifest.node_name.clone();
    guest.wait("the node to be Ready", BOOT, |_, left| client.look_node(&name, left));
    assert_eq!(Node::of(&admin(guest), &name).names(), [name]);
}

/// The Services of API and DNS answer to the same questions that k3s-vm asks.
pub(super) fn services_answer(guest: &mut LiveGuest<'_>) {
    let client = expect_ok(ClusterClient::new(&admin(guest)));
    let services = guest.wait("the Services of API and DNS to be made", BOOT, |_, left| {
        let found = client.core_services(left.min(CALL))?;
        let services: Vec<CoreService> = found.into_iter().map(|found| found.service).collect();
        let names: Vec<String> = services.iter().map(ToString::to_string).collect();
        Ok(if services.len() == 2 { Look::Ready(services) } else { Look::NotYet(format!("there are {names:?}")) })
    });
    guest.wait("the Services of API and DNS to answer", BOOT, |guest, _| {
        let asked = guest.agent().exec(&GuestCommand::new("/bin/sh", questions(&services)), CALL)?;
        let silent = silent(&services, asked.code, &asked.stdout).unwrap_or_else(|why| panic!("{why}: {asked:?}"));
        let names: Vec<String> = silent.iter().map(ToString::to_string).collect();
        Ok(if names.is_empty() { Look::Ready(()) } else { Look::NotYet(format!("{names:?} do not")) })
    });
}

/// kube-proxy reads its rules back when it starts and removes stale ones. A stale element is added, and its removal shows
/// when that has happened.
pub(super) fn services_survive_a_restart(guest: &mut LiveGuest<'_>) {
    let stale = "10.43.255.254";
    // With iptables there is no such set.
    guest.shell(&format!("nft add element ip kube-proxy cluster-ips '{{ {stale} }}' 2>/dev/null || true"));
    let service = guest.image.manifest.service.clone();
    guest.shell(&format!("systemctl restart {service}"));
    let kubeconfig = guest.kubeconfig.take().expect("a kubeconfig");
    answers(guest, &kubeconfig, Ipv4Addr::LOCALHOST);
    guest.kubeconfig = Some(kubeconfig);
    guest.wait("kube-proxy to remove a stale element", BOOT, |guest, _| {
        let elements = guest.shell("nft list set ip kube-proxy cluster-ips 2>/dev/null || true");
        Ok(if elements.contains(stale) { Look::NotYet("it is still there".to_owned()) } else { Look::Ready(()) })
    });
    services_answer(guest);
}

/// A lease that the kubelet has renewed by the new clock shows that node and API work after the step.
pub(super) fn clock_step(guest: &mut LiveGuest<'_>) {
    let node = Node::of(&admin(guest), &guest.image.manifest.node_name);
    guest.wait("the node to be Ready after the restore", CALL * 2, |_, _| {
        let status = node.readiness();
        Ok(if status.as_deref() == Ok("True") { Look::Ready(()) } else { Look::NotYet(format!("{status:?}")) })
    });
    let then = SystemTime::now() + STEP;
    expect_ok(guest.agent().set_time(then, CALL));
    guest.wait("the kubelet to renew its lease in the new time", CALL * 2, |_, _| {
        // The API may not answer at first; a node that is not Ready fails the check.
        if let Ok(status) = node.readiness() {
            assert_eq!(status, "True", "the node does not stay Ready");
        }
        Ok(node.look_lease(then - Duration::from_secs(60)))
    });
    let kubeconfig = guest.kubeconfig.take().expect("a kubeconfig");
    answers(guest, &kubeconfig, Ipv4Addr::LOCALHOST);
    guest.kubeconfig = Some(kubeconfig);
    assert_eq!(node.readiness().as_deref(), Ok("True"));
}

fn answers(guest: &mut LiveGuest<'_>, kubeconfig: &Credentials, address: Ipv4Addr) {
    let probe = expect_ok(ApiProbe::new(SocketAddr::new(address.into(), guest.api.number()), kubeconfig));
    guest.wait(&format!("the API at {address}"), BOOT, |_, left| {
        Ok(match probe.probe(left.min(CALL)) {
            ApiProof::Ready => Look::Ready(()),
            ApiProof::Foreign(why) => panic!("the API has another certificate: {why}"),
            ApiProof::Refused(why) | ApiProof::Silent(why) | ApiProof::NotReady(why) => Look::NotYet(why),
        })
    });
}

/// The admin's credentials at the port that is forwarded now.
fn admin(guest: &LiveGuest<'_>) -> Kubeconfig {
    let kubeconfig = guest.kubeconfig.as_ref().expect("a kubeconfig");
    kubeconfig.for_host(&InstanceName::default(), model::BindAddress::LOOPBACK, guest.api)
}
