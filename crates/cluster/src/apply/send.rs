//! The requests of one wave: reads the objects that exist, then applies each object, several at once.

use std::collections::HashMap;

use futures_util::StreamExt;
use futures_util::stream;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, ValidationDirective};
use kube::core::{DynamicObject, ObjectMeta, Status};

use super::inventory::{ApplySet, PART_OF_LABEL};
use super::kinds::ServedKind;
use super::options::{ApplyOptions, FIELD_MANAGER};
use super::outcome::{Applied, Change};
use super::refusal::{self, Refusal};
use crate::client::ClusterClient;
use crate::manifest::ManifestObject;

/// An object, with its kind and its namespace in the cluster.
pub(crate) struct Target<'a> {
    pub(crate) object: &'a ManifestObject,
    pub(crate) namespace: Option<&'a str>,
    kind: ServedKind,
}

/// The outcome for one object.
pub(crate) enum Sent {
    /// It was applied.
    Applied(Applied),
    /// The server refused it, and it is unchanged.
    Refused(Refusal),
    /// It was only checked: the server would accept it, or lacks its namespace or kind and cannot say.
    Checked,
}

/// Whether a wave changes objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Objects are applied.
    Apply,
    /// Objects are only checked (`dryRun=All`): the server reports what it would refuse.
    Check,
}

/// A collection of the server: plural name with group, and namespace.
type Collection<'a> = (&'a str, &'a str, Option<&'a str>);
/// A collection's objects by name.
type Versions = HashMap<String, Before>;
/// The state of an object before it is applied.
struct Before {
    version: Option<String>,
    /// Whether this program manages fields of it.
    ours: bool,
    /// The set that it is a member of.
    part_of: Option<String>,
}

/// The objects of each collection, or the server's refusal.
type Existing<'a> = HashMap<Collection<'a>, Result<Versions, Box<Status>>>;

impl<'a> Target<'a> {
    /// `default_namespace` is for objects that need a namespace and name none.
    pub(crate) fn new(object: &'a ManifestObject, kind: ServedKind, default_namespace: &'a str) -> Self {
        let namespace = kind.namespaced.then(|| object.namespace().unwrap_or(default_namespace));
        Target { object, namespace, kind }
    }

    pub(crate) fn api(&self, client: &kube::Client) -> Api<DynamicObject> {
        self.kind.api(client, self.namespace)
    }

    fn collection(&self) -> Collection<'_> {
        (&self.kind.resource.api_version, &self.kind.resource.plural, self.namespace)
    }
}

/// Sends all of `targets`. `take` gets the outcomes in their order, so that they are known even if the connection
/// breaks.
///
/// # Errors
/// A broken connection; a refusal of the server is an outcome.
pub(crate) async fn send(
    client: &ClusterClient,
    targets: &[Target<'_>],
    mode: Mode,
    options: &ApplyOptions,
    mut take: impl FnMut(Sent),
) -> kube::Result<()> {
    let before = existing(client.kube(), targets, options.concurrency).await?;
    let mut outcomes = stream::iter(
        targets.iter().map(|target| send_one(client, target, before.get(&target.collection()), mode, options)),
    )
    .buffered(options.concurrency.max(1));
    while let Some(outcome) = outcomes.next().await {
        take(outcome?);
    }
    Ok(())
}

/// Reads the objects that exist, with one request for each collection, which are fewer than the objects.
async fn existing<'t>(
    client: &kube::Client,
    targets: &'t [Target<'_>],
    concurrency: usize,
) -> kube::Result<Existing<'t>> {
    let mut collections: HashMap<Collection<'t>, Vec<&'t Target<'_>>> = HashMap::new();
    for target in targets {
        collections.entry(target.collection()).or_default().push(target);
    }
    let mut answers = stream::iter(collections.into_iter().map(async |(collection, members)| {
        let list = match members.as_slice() {
            [only] => ListParams::default().fields(&format!("metadata.name={}", only.object.name())),
            _ => ListParams::default(),
        };
        match members[0].api(client).list_metadata(&list).await {
            Ok(list) => {
                let objects = list.items.into_iter().map(|item| item.metadata);
                Ok((collection, Ok(objects.filter_map(before).collect())))
            }
            // Some users may read single objects but not list them.
            Err(kube::Error::Api(status)) if status.code == 403 => {
                Ok((collection, one_by_one(client, &members).await?))
            }
            Err(kube::Error::Api(status)) => Ok((collection, Err(status))),
            Err(error) => Err(error),
        }
    }))
    .buffer_unordered(concurrency.max(1));
    let mut found = HashMap::new();
    while let Some(answer) = answers.next().await {
        let (collection, versions) = answer?;
        found.insert(collection, versions);
    }
    Ok(found)
}

async fn one_by_one(client: &kube::Client, members: &[&Target<'_>]) -> kube::Result<Result<Versions, Box<Status>>> {
    let mut versions = Versions::new();
    for member in members {
        match member.api(client).get_metadata_opt(member.object.name()).await {
            Ok(found) => versions.extend(found.and_then(|found| before(found.metadata))),
            Err(kube::Error::Api(status)) => return Ok(Err(status)),
            Err(error) => return Err(error),
        }
    }
    Ok(Ok(versions))
}

fn before(metadata: ObjectMeta) -> Option<(String, Before)> {
    let ours = has_our_fields(&metadata);
    let part_of = metadata.labels.and_then(|mut labels| labels.remove(PART_OF_LABEL));
    Some((metadata.name?, Before { version: metadata.resource_version, ours, part_of }))
}

/// The set that the object belongs to, where that is not the one of this apply and must not be taken over.
pub(crate) fn other_set<'a>(part_of: Option<&'a str>, options: &ApplyOptions) -> Option<&'a str> {
    let set = options.set.as_ref().map(ApplySet::id);
    part_of.filter(|part_of| !options.force && Some(*part_of) != set.as_deref())
}

/// The parameters of the patch of an object.
pub(crate) fn parameters(mode: Mode, options: &ApplyOptions) -> PatchParams {
    PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        force: options.force,
        dry_run: mode == Mode::Check,
        field_validation: Some(ValidationDirective::Strict),
    }
}

async fn send_one(
    client: &ClusterClient,
    target: &Target<'_>,
    before: Option<&Result<Versions, Box<Status>>>,
    mode: Mode,
    options: &ApplyOptions,
) -> kube::Result<Sent> {
    let refused = |status: &Status| match mode {
        // An earlier object that was refused may define its namespace or kind.
        Mode::Check if status.code == 404 => Ok(Sent::Checked),
        _ => Ok(Sent::Refused(refusal::of_status(target.object, target.namespace, status, client.advice()))),
    };
    let before = match before {
        Some(Ok(versions)) => versions.get(target.object.name()),
        Some(Err(status)) => return refused(status),
        None => None,
    };
    if let Some(other) = before.and_then(|before| other_set(before.part_of.as_deref(), options)) {
        return Ok(Sent::Refused(refusal::of_other_set(target.object, other, client.advice())));
    }
    let patch = Patch::Apply(target.object.value());
    let api = target.api(client.kube());
    let answer = api.patch(target.object.name(), &parameters(mode, options), &patch).await;
    match answer {
        Ok(_) if mode == Mode::Check => Ok(Sent::Checked),
        Ok(object) => {
            let change = change(before, &object.metadata);
            Ok(Sent::Applied(Applied {
                kind: target.object.kind().to_owned(),
                api_version: target.object.api_version().to_owned(),
                namespace: target.namespace.map(str::to_owned),
                name: target.object.name().to_owned(),
                change,
            }))
        }
        Err(kube::Error::Api(status)) => refused(&status),
        Err(error) => Err(error),
    }
}

/// The change by the resource versions. Where they differ although this program manages no field, the manifest has
/// nothing but the name, and the server has only added its own `managedFields` (`before-first-apply`).
fn change(before: Option<&Before>, after: &ObjectMeta) -> Change {
    match before {
        None => Change::Created,
        Some(before) if before.version == after.resource_version => Change::Unchanged,
        Some(before) if !before.ours && !has_our_fields(after) => Change::Unchanged,
        Some(_) => Change::Configured,
    }
}

fn has_our_fields(metadata: &ObjectMeta) -> bool {
    metadata.managed_fields.iter().flatten().any(|entry| entry.manager.as_deref() == Some(FIELD_MANAGER))
}
