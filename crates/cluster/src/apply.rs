//! Server-side apply of manifests, and what it changed.
//!
//! Which objects are sent, in which order, belongs to [`crate::manifest_order`]; what a refusal means to
//! `refusal`.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use host::wait::{Look, Wait};
use model::{Fault, FaultClass, Result};
use serde::Serialize;

use crate::apply_wave::{self, Mode, Sent};
use crate::client::ClusterClient;
use crate::kinds::Kinds;
use crate::manifest::ManifestObject;
use crate::manifest_order::Wave;
use crate::refusal::{self, Refusal};
use crate::request_fault;

/// The name under which the cluster records which fields are ours. Never changes: a new name would own nothing.
pub const FIELD_MANAGER: &str = "k3s-vm";

const KIND_INTERVAL: Duration = Duration::from_millis(200);
/// The last look of a wait is made at its deadline, and should still see more than a request cut off.
const LEAST_REQUEST: Duration = Duration::from_secs(1);

/// What an apply did to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It was not there.
    Created,
    /// It was there and differs now.
    Configured,
    /// It was as the manifest says.
    Unchanged,
}

/// One object that was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// `Deployment`.
    pub kind: String,
    /// `apps/v1`.
    pub api_version: String,
    /// The namespace, or nothing for an object of the whole cluster.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
    /// What happened to it.
    pub change: Change,
}

/// How to apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApplyOptions {
    /// For the whole apply, the waits for new kinds included.
    pub deadline: Duration,
    /// Whether fields of other managers are taken over.
    pub force: bool,
    /// How many requests run at once. Each has a connection of its own, and a TLS handshake costs a guest without KVM
    /// more than a request does.
    pub concurrency: usize,
}

impl Default for ApplyOptions {
    fn default() -> Self {
        ApplyOptions { deadline: Duration::from_secs(120), force: false, concurrency: 4 }
    }
}

impl ClusterClient {
    /// Applies `objects` wave by wave ([`crate::manifest_order::Wave`]); the result is in the order of the objects
    /// sorted so. An object that needs a namespace and names none goes to `default`.
    ///
    /// # Errors
    /// A Cluster fault with one reason for each object that was refused: unknown kind, missing namespace, conflict
    /// with the field and its manager, immutable field. Nothing is sent where a kind is unknown; the waves after the
    /// first one with a refused object are only checked (`dryRun`), so that all refusals are told at once.
    pub fn apply(&self, objects: &[ManifestObject], options: &ApplyOptions) -> Result<Vec<Applied>> {
        let mut run = Run {
            client: self,
            options,
            begin: Instant::now(),
            kinds: Kinds::default(),
            applied: Vec::new(),
            total: objects.len(),
        };
        let all: Vec<&ManifestObject> = objects.iter().collect();
        run.check_kinds(&all)?;
        let mut refusals = Vec::new();
        for wave in Wave::ALL {
            let members: Vec<&ManifestObject> = all.iter().copied().filter(|object| Wave::of(object) == wave).collect();
            if members.is_empty() {
                continue;
            }
            let mode = if refusals.is_empty() { Mode::Apply } else { Mode::Check };
            refusals.extend(run.send(&members, mode)?);
            if refusals.is_empty() {
                run.wait_for_kinds(&members, &all)?;
            }
        }
        run.refuse(refusals)?;
        Ok(run.applied)
    }
}

/// One apply under way.
struct Run<'a> {
    client: &'a ClusterClient,
    options: &'a ApplyOptions,
    begin: Instant,
    kinds: Kinds,
    applied: Vec<Applied>,
    total: usize,
}

impl Run<'_> {
    fn left(&self) -> Duration {
        self.options.deadline.saturating_sub(self.begin.elapsed())
    }

    /// Refuses all objects of unknown kinds before anything is sent, but for those whose definition is among them.
    fn check_kinds(&mut self, objects: &[&ManifestObject]) -> Result<()> {
        self.learn(objects, self.left())?;
        let defined: Vec<(&str, &str)> = objects.iter().filter_map(|object| defined_kind(object)).collect();
        let refusals: Vec<Refusal> = objects
            .iter()
            .filter(|object| self.kinds.resolve(object).is_none())
            .filter(|object| !defined.contains(&(object.group(), object.kind())))
            .map(|object| refusal::of_unknown_kind(object, self.kinds.knows_version(object)))
            .collect();
        self.refuse(refusals)
    }

    fn learn(&mut self, objects: &[&ManifestObject], left: Duration) -> Result<()> {
        let learning = self.kinds.learn(self.client.kube(), objects);
        self.client.request("the kinds it has", left, learning)
    }

    fn send(&mut self, objects: &[&ManifestObject], mode: Mode) -> Result<Vec<Refusal>> {
        let mut targets = Vec::with_capacity(objects.len());
        let mut refusals = Vec::new();
        for object in objects {
            match self.kinds.resolve(object) {
                Some(kind) => targets.push(apply_wave::Target::new(object, kind)),
                // Its definition has just been refused.
                None if mode == Mode::Check => {}
                None => refusals.push(refusal::of_unknown_kind(object, self.kinds.knows_version(object))),
            }
        }
        let sending = apply_wave::send(self.client.kube(), &targets, mode, self.options);
        let outcomes = match self.client.within(self.left(), sending)? {
            Some(Ok(outcomes)) => outcomes,
            Some(Err(error)) => return Err(request_fault::of_connection(self.client.server(), &error)),
            None => return Err(self.timed_out()),
        };
        for outcome in outcomes {
            match outcome {
                Sent::Applied(applied) => self.applied.push(applied),
                Sent::Refused(refusal) => refusals.push(refusal),
                Sent::Checked => {}
            }
        }
        Ok(refusals)
    }

    /// After CustomResourceDefinitions: until the server serves their kinds, for the objects that are of them.
    fn wait_for_kinds(&mut self, sent: &[&ManifestObject], all: &[&ManifestObject]) -> Result<()> {
        let defined: Vec<(&str, &str)> = sent.iter().filter_map(|object| defined_kind(object)).collect();
        let of_them: Vec<&ManifestObject> =
            all.iter().copied().filter(|object| defined.contains(&(object.group(), object.kind()))).collect();
        if of_them.is_empty() {
            return Ok(());
        }
        let wait =
            Wait { what: "the kinds of the CustomResourceDefinitions", deadline: self.left(), interval: KIND_INTERVAL };
        wait.until(|left| {
            self.kinds.forget(&of_them);
            self.learn(&of_them, left.max(LEAST_REQUEST))?;
            let missing = of_them.iter().find(|object| self.kinds.resolve(object).is_none());
            Ok(missing.map_or(Look::Ready(()), |object| {
                Look::NotYet(format!("{} of {} is not served yet", object.kind(), object.api_version()))
            }))
        })
    }

    fn refuse(&self, refusals: Vec<Refusal>) -> Result<()> {
        if refusals.is_empty() {
            return Ok(());
        }
        let headline = match refusals.len() {
            1 => "the cluster refused an object of the manifests".to_owned(),
            count => format!("the cluster refused {count} objects of the manifests"),
        };
        let mut fault = Fault::new(FaultClass::Cluster, headline);
        let mut steps: HashMap<String, ()> = HashMap::new();
        for Refusal { reason, next } in refusals {
            fault = fault.because(reason);
            if let Some(step) = next
                && steps.insert(step.clone(), ()).is_none()
            {
                fault = fault.next(step);
            }
        }
        Err(fault.because(format!("{} of {} objects were applied", self.applied.len(), self.total)))
    }

    fn timed_out(&self) -> Fault {
        let done = self.applied.len();
        Fault::new(FaultClass::Timeout, format!("gave up applying the manifests after {:?}", self.options.deadline))
            .because(format!("{done} of {} objects are known to be applied", self.total))
            .next("k3s-vm apply --debug    # tells each request")
    }
}

/// Group and kind that a CustomResourceDefinition defines.
fn defined_kind(object: &ManifestObject) -> Option<(&str, &str)> {
    if object.kind() != "CustomResourceDefinition" || object.group() != "apiextensions.k8s.io" {
        return None;
    }
    let spec = object.value().get("spec")?;
    Some((spec.get("group")?.as_str()?, spec.pointer("/names/kind")?.as_str()?))
}
