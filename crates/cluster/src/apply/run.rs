//! The state of one running apply: its deadline, the kinds that it knows, and what has been applied so far.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::time::{Duration, Instant};

use host::wait::{Look, Wait};
use model::{Error, ErrorClass, Event, EventSink, Result};

use super::inventory::Member;
use super::kinds::Kinds;
use super::options::ApplyOptions;
use super::outcome::Applied;
use super::refusal::{self, Refusal};
use super::send::{self, Mode, Sent, Target};
use crate::client::ClusterClient;
use crate::manifest::ManifestObject;

const KIND_INTERVAL: Duration = Duration::from_millis(200);
/// The last look of a wait is made at its deadline, and must have time for an answer.
const LEAST_REQUEST: Duration = Duration::from_secs(1);
/// The task name of the progress events.
const TASK: &str = "manifests";

/// One running apply.
pub(crate) struct Run<'a> {
    pub(crate) client: &'a ClusterClient,
    pub(crate) options: &'a ApplyOptions,
    pub(crate) kinds: Kinds,
    pub(crate) applied: Vec<Applied>,
    events: &'a dyn EventSink,
    begin: Instant,
    total: usize,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        client: &'a ClusterClient,
        options: &'a ApplyOptions,
        events: &'a dyn EventSink,
        total: usize,
    ) -> Self {
        let (kinds, applied, begin) = (Kinds::default(), Vec::new(), Instant::now());
        Run { client, options, kinds, applied, events, begin, total }
    }

    /// The time until the deadline.
    pub(crate) fn left(&self) -> Duration {
        self.options.deadline.saturating_sub(self.begin.elapsed())
    }

    /// Runs requests within the time that is left. The inner error is a refusal of the server.
    pub(crate) fn ask<T>(
        &self,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<std::result::Result<T, Box<kube::core::Status>>> {
        match self.client.within(self.left(), request)? {
            Some(Ok(value)) => Ok(Ok(value)),
            Some(Err(kube::Error::Api(status))) => Ok(Err(status)),
            Some(Err(error)) => Err(self.connection_lost(&error)),
            None => Err(self.timed_out()),
        }
    }

    /// Refuses, before anything is sent, objects of unknown kinds that no object defines, namespaces of objects that
    /// cannot have one, and objects that are written twice.
    pub(crate) fn check(&mut self, objects: &[&ManifestObject]) -> Result<()> {
        self.learn_kinds(objects, self.left())?;
        let defined: HashSet<(&str, &str)> = objects.iter().filter_map(|object| defined_kind(object)).collect();
        let advice = self.client.advice();
        let mut refusals: Vec<Refusal> = Vec::new();
        for object in objects {
            match self.kinds.resolve(object) {
                Some(kind) if !kind.namespaced => {
                    refusals.extend(object.namespace().map(|_| refusal::of_needless_namespace(object)));
                }
                Some(_) => {}
                None if defined.contains(&(object.group(), object.kind())) => {}
                None => refusals.push(refusal::of_unknown_kind(object, self.kinds.knows_version(object), advice)),
            }
        }
        // The default namespace of the cluster may make two of the manifests' objects one.
        let mut places = HashMap::new();
        for (object, place) in objects.iter().zip(self.members(objects)) {
            if let Some(earlier) = places.insert(place, *object) {
                refusals.push(Refusal::new(object, &format!("it is also written at {}", earlier.origin())));
            }
        }
        self.refuse(refusals)
    }

    fn learn_kinds(&mut self, objects: &[&ManifestObject], left: Duration) -> Result<()> {
        let versions = objects.iter().map(|object| object.api_version());
        let learning = self.kinds.learn(self.client.kube(), versions);
        Ok(self.client.request("the kinds it has", left, learning)?)
    }

    /// The place of each object in the cluster, also before it exists.
    pub(crate) fn members(&self, objects: &[&ManifestObject]) -> Vec<Member> {
        let in_namespaces: HashSet<(&str, &str)> = objects
            .iter()
            .filter(|object| object.value().pointer("/spec/scope").is_some_and(|scope| scope == "Namespaced"))
            .filter_map(|object| defined_kind(object))
            .collect();
        let member = |object: &&ManifestObject| {
            let namespaced = match self.kinds.resolve(object) {
                Some(kind) => kind.namespaced,
                None => in_namespaces.contains(&(object.group(), object.kind())),
            };
            let namespace = object.namespace().unwrap_or(self.client.default_namespace());
            Member {
                api_version: object.api_version().to_owned(),
                kind: object.kind().to_owned(),
                namespace: namespaced.then(|| namespace.to_owned()),
                name: object.name().to_owned(),
            }
        };
        objects.iter().map(member).collect()
    }

    /// Sends the objects of a wave; returns those that were refused.
    pub(crate) fn send(&mut self, objects: &[&ManifestObject], mode: Mode) -> Result<Vec<Refusal>> {
        let mut targets = Vec::with_capacity(objects.len());
        let mut refusals = Vec::new();
        for object in objects {
            match self.kinds.resolve(object) {
                Some(kind) => targets.push(Target::new(object, kind, self.client.default_namespace())),
                // The object that defines its kind was refused.
                None if mode == Mode::Check => {}
                None => refusals.push(refusal::of_unknown_kind(
                    object,
                    self.kinds.knows_version(object),
                    self.client.advice(),
                )),
            }
        }
        let applied = &mut self.applied;
        let (events, total) = (self.events, self.total);
        let take = |sent| match sent {
            Sent::Applied(one) => {
                let message = one.kind.to_lowercase() + " " + &one.name;
                events.debug(format!("applied {message}: {:?}", one.change));
                applied.push(one);
                let (done, total) = (Some(applied.len() as u64), Some(total as u64));
                events.emit(Event::Progress { task: TASK.to_owned(), message, done, total });
            }
            Sent::Refused(refusal) => refusals.push(refusal),
            Sent::Checked => {}
        };
        let sending = send::send(self.client, &targets, mode, self.options, take);
        let left = self.options.deadline.saturating_sub(self.begin.elapsed());
        let sent = self.client.within(left, sending)?;
        match sent {
            Some(Ok(())) => Ok(refusals),
            Some(Err(error)) => Err(self.connection_lost(&error)),
            None => Err(self.timed_out()),
        }
    }

    /// Waits until the server serves the kinds of the CustomResourceDefinitions in `sent`, as far as `all` has objects
    /// of them.
    pub(crate) fn wait_for_kinds(&mut self, sent: &[&ManifestObject], all: &[&ManifestObject]) -> Result<()> {
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
            self.learn_kinds(&of_them, left.max(LEAST_REQUEST))?;
            let missing = of_them.iter().find(|object| self.kinds.resolve(object).is_none());
            Ok(missing.map_or(Look::Ready(()), |object| {
                Look::NotYet(format!("{} of {} is not served yet", object.kind(), object.api_version()))
            }))
        })
    }

    /// Reports progress.
    pub(crate) fn progress(&self, message: String, done: usize, total: usize) {
        let (done, total) = (Some(done as u64), Some(total as u64));
        self.events.emit(Event::Progress { task: TASK.to_owned(), message, done, total });
    }

    /// Ends the progress.
    pub(crate) fn finish(&self) {
        self.events.emit(Event::TaskFinished { task: TASK.to_owned() });
    }

    /// One error for all of `refusals`.
    pub(crate) fn refuse(&self, refusals: Vec<Refusal>) -> Result<()> {
        if refusals.is_empty() {
            return Ok(());
        }
        Err(refusal::error(refusals).because(self.so_far("were applied")))
    }

    fn so_far(&self, what: &str) -> String {
        format!("{} of {} objects {what}", self.applied.len(), self.total)
    }

    fn connection_lost(&self, error: &kube::Error) -> Error {
        self.finish();
        let error = Error::from(self.client.connection_error(error));
        if self.applied.is_empty() {
            return error;
        }
        error.because(self.so_far("are known to be applied")).next(format!(
            "{}    # once it answers again; what is applied already stays as it is",
            self.client.advice().apply
        ))
    }

    fn timed_out(&self) -> Error {
        self.finish();
        let deadline = self.options.deadline;
        Error::new(ErrorClass::Timeout, format!("gave up applying the manifests after {deadline:.1?}"))
            .because(self.so_far("are known to be applied"))
            .next(format!("{} --debug    # lists each object", self.client.advice().apply))
    }
}

/// The group and kind that a CustomResourceDefinition defines.
fn defined_kind(object: &ManifestObject) -> Option<(&str, &str)> {
    if object.kind() != "CustomResourceDefinition" || object.group() != "apiextensions.k8s.io" {
        return None;
    }
    let spec = object.value().get("spec")?;
    Some((spec.get("group")?.as_str()?, spec.pointer("/names/kind")?.as_str()?))
}
