//! Point 4, and what of point 5 needs a cluster: the API, the node, Services, a clock that steps.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use cluster::credentials::LONGEST_KUBECONFIG;
use cluster::services::{questions, silent};
use cluster::{ApiProbe, ApiProof, ClusterClient, Credentials, Kubeconfig, StandingService};
use host::wait::Look;
use model::instance::InstanceName;
use qemu::agent::GuestCommand;

use super::guest::{BOOT, CALL, LiveGuest, sound};
use super::node::Node;

/// How far the clock steps: as for a laptop that slept over a long weekend.
const STEP: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// Both names, against the authority of the kubeconfig in the guest.
pub(super) fn certificate(guest: &mut LiveGuest<'_>) {
    let place = guest.image.manifest.kubeconfig.clone();
    let kubeconfig = guest.wait("the kubeconfig in the guest", BOOT, |guest, _| {
        let Some(bytes) = guest.agent().read_file(&place, LONGEST_KUBECONFIG, CALL)? else {
            return Ok(Look::NotYet(format!("there is no {place}")));
        };
        // Half a file is none yet.
        let parsed = Credentials::parse(&place, &String::from_utf8_lossy(&bytes));
        Ok(parsed.map_or_else(|error| Look::NotYet(error.to_string()), Look::Ready))
    });
    // The probe of the loopback address wants a certificate for it, that of any other one for localhost; Linux connects
    // to the loopback address for 0.0.0.0, too.
    for address in [Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED] {
        answers(guest, &kubeconfig, address);
    }
    guest.kubeconfig = Some(kubeconfig);
}

/// The node of the manifest's name, and no other.
pub(super) fn node_ready(guest: &mut LiveGuest<'_>) {
    let client = sound(ClusterClient::new(&admin(guest)));
    let name = guest.image.manifest.node_name.clone();
    guest.wait("the node to be Ready", BOOT, |_, left| client.look_node(&name, left));
    assert_eq!(Node::of(&admin(guest), &name).names(), [name]);
}

/// The API's own and DNS, asked as the tool asks them.
pub(super) fn services_answer(guest: &mut LiveGuest<'_>) {
    let client = sound(ClusterClient::new(&admin(guest)));
    let services = guest.wait("the Services of API and DNS to be made", BOOT, |_, left| {
        let told = client.standing_services(left.min(CALL))?;
        let services: Vec<StandingService> = told.into_iter().map(|told| told.service).collect();
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

/// kube-proxy reads its rules back when it starts, and removes what it takes for leftovers: a real one is there, so that
/// it is seen when that has happened.
pub(super) fn services_survive_a_restart(guest: &mut LiveGuest<'_>) {
    let leftover = "10.43.255.254";
    // Where it uses iptables there is no such set.
    guest.shell(&format!("nft add element ip kube-proxy cluster-ips '{{ {leftover} }}' 2>/dev/null || true"));
    let service = guest.image.manifest.service.clone();
    guest.shell(&format!("systemctl restart {service}"));
    let kubeconfig = guest.kubeconfig.take().expect("a kubeconfig");
    answers(guest, &kubeconfig, Ipv4Addr::LOCALHOST);
    guest.kubeconfig = Some(kubeconfig);
    guest.wait("kube-proxy to remove a leftover", BOOT, |guest, _| {
        let told = guest.shell("nft list set ip kube-proxy cluster-ips 2>/dev/null || true");
        Ok(if told.contains(leftover) { Look::NotYet("it is still there".to_owned()) } else { Look::Ready(()) })
    });
    services_answer(guest);
}

/// A lease that the kubelet has renewed by the new clock shows that node and API go on in the new time.
pub(super) fn clock_step(guest: &mut LiveGuest<'_>) {
    let node = Node::of(&admin(guest), &guest.image.manifest.node_name);
    // The restore has not harmed it.
    guest.wait("the node to be Ready after the restore", CALL * 2, |_, _| {
        let told = node.readiness();
        Ok(if told.as_deref() == Ok("True") { Look::Ready(()) } else { Look::NotYet(format!("{told:?}")) })
    });
    let then = SystemTime::now() + STEP;
    sound(guest.agent().set_time(then, CALL));
    guest.wait("the kubelet to renew its lease in the new time", CALL * 2, |_, _| {
        // No answer is none yet; any other word than this one ends it.
        if let Ok(told) = node.readiness() {
            assert_eq!(told, "True", "the node does not stay Ready");
        }
        Ok(node.look_lease(then - Duration::from_secs(60)))
    });
    let kubeconfig = guest.kubeconfig.take().expect("a kubeconfig");
    answers(guest, &kubeconfig, Ipv4Addr::LOCALHOST);
    guest.kubeconfig = Some(kubeconfig);
    assert_eq!(node.readiness().as_deref(), Ok("True"));
}

fn answers(guest: &mut LiveGuest<'_>, kubeconfig: &Credentials, address: Ipv4Addr) {
    let probe = sound(ApiProbe::new(SocketAddr::new(address.into(), guest.api.number()), kubeconfig));
    guest.wait(&format!("the API at {address}"), BOOT, |_, left| {
        Ok(match probe.probe(left.min(CALL)) {
            ApiProof::Ready => Look::Ready(()),
            ApiProof::Foreign(why) => panic!("the certificate proves nothing: {why}"),
            ApiProof::Refused(why) | ApiProof::Silent(why) | ApiProof::NotReady(why) => Look::NotYet(why),
        })
    });
}

/// The admin's credentials at the forwarded port of now.
fn admin(guest: &LiveGuest<'_>) -> Kubeconfig {
    let kubeconfig = guest.kubeconfig.as_ref().expect("a kubeconfig");
    kubeconfig.for_host(&InstanceName::default(), model::BindAddress::LOOPBACK, guest.api)
}
