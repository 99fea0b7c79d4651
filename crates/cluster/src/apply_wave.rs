//! The requests of one wave: what is there, then each object by server-side apply, several at once.

use std::collections::HashMap;

use futures_util::StreamExt;
use futures_util::stream;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, ValidationDirective};
use kube::core::DynamicObject;

use crate::apply::{Applied, ApplyOptions, Change, FIELD_MANAGER};
use crate::kinds::ServedKind;
use crate::manifest::ManifestObject;
use crate::refusal::{self, Refusal};

const DEFAULT_NAMESPACE: &str = "default";

/// An object and where it goes.
pub(crate) struct Target<'a> {
    object: &'a ManifestObject,
    kind: ServedKind,
    namespace: Option<&'a str>,
}

/// What became of an object.
pub(crate) enum Sent {
    /// It is as the manifest says.
    Applied(Applied),
    /// It is as it was.
    Refused(Refusal),
}

/// A collection of the server: plural name with group, and namespace.
type Collection<'a> = (&'a str, &'a str, Option<&'a str>);
/// The resource versions of a collection's objects by name.
type Versions = HashMap<String, String>;

impl<'a> Target<'a> {
    pub(crate) fn new(object: &'a ManifestObject, kind: ServedKind) -> Self {
        let namespace = kind.namespaced.then(|| object.namespace().unwrap_or(DEFAULT_NAMESPACE));
        Target { object, kind, namespace }
    }

    fn api(&self, client: &kube::Client) -> Api<DynamicObject> {
        match self.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &self.kind.resource),
            None => Api::all_with(client.clone(), &self.kind.resource),
        }
    }

    fn collection(&self) -> Collection<'_> {
        (&self.kind.resource.api_version, &self.kind.resource.plural, self.namespace)
    }
}

/// Sends all of `targets`; the outcomes are in their order.
///
/// # Errors
/// What is no answer of the server: a broken connection.
pub(crate) async fn send(
    client: &kube::Client,
    targets: &[Target<'_>],
    options: &ApplyOptions,
) -> kube::Result<Vec<Sent>> {
    let before = existing(client, targets, options.concurrency).await?;
    let mut outcomes = stream::iter(targets.iter().map(|target| {
        let version = before.get(&target.collection()).and_then(|versions| versions.get(target.object.name()));
        send_one(client, target, version, options)
    }))
    .buffered(options.concurrency.max(1));
    let mut sent = Vec::with_capacity(targets.len());
    while let Some(outcome) = outcomes.next().await {
        sent.push(outcome?);
    }
    Ok(sent)
}

/// The objects that are there before, one request for each collection: fewer than one for each object.
async fn existing<'t>(
    client: &kube::Client,
    targets: &'t [Target<'_>],
    concurrency: usize,
) -> kube::Result<HashMap<Collection<'t>, Versions>> {
    let mut collections: HashMap<Collection<'t>, Vec<&'t Target<'_>>> = HashMap::new();
    for target in targets {
        collections.entry(target.collection()).or_default().push(target);
    }
    let mut answers = stream::iter(collections.into_iter().map(async |(collection, members)| {
        let list = match members.as_slice() {
            [only] => ListParams::default().fields(&format!("metadata.name={}", only.object.name())),
            _ => ListParams::default(),
        };
        let versions = match members[0].api(client).list_metadata(&list).await {
            Ok(list) => list
                .items
                .into_iter()
                .filter_map(|item| Some((item.metadata.name?, item.metadata.resource_version?)))
                .collect(),
            // The apply itself will say what is wrong.
            Err(kube::Error::Api(_)) => Versions::new(),
            Err(error) => return Err(error),
        };
        Ok((collection, versions))
    }))
    .buffer_unordered(concurrency.max(1));
    let mut found = HashMap::new();
    while let Some(answer) = answers.next().await {
        let (collection, versions) = answer?;
        found.insert(collection, versions);
    }
    Ok(found)
}

async fn send_one(
    client: &kube::Client,
    target: &Target<'_>,
    version_before: Option<&String>,
    options: &ApplyOptions,
) -> kube::Result<Sent> {
    let parameters = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        force: options.force,
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::default()
    };
    let answer =
        target.api(client).patch(target.object.name(), &parameters, &Patch::Apply(target.object.value())).await;
    match answer {
        Ok(object) => {
            let change = match version_before {
                None => Change::Created,
                Some(before) if object.metadata.resource_version.as_ref() == Some(before) => Change::Unchanged,
                Some(_) => Change::Configured,
            };
            Ok(Sent::Applied(Applied {
                kind: target.object.kind().to_owned(),
                api_version: target.object.api_version().to_owned(),
                namespace: target.namespace.map(str::to_owned),
                name: target.object.name().to_owned(),
                change,
            }))
        }
        Err(kube::Error::Api(status)) => {
            Ok(Sent::Refused(refusal::of_status(target.object, target.namespace, &status)))
        }
        Err(error) => Err(error),
    }
}
