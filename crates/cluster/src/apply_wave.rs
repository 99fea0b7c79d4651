//! The requests of one wave: what is there, then each object by server-side apply, several at once.

use std::collections::HashMap;

use futures_util::StreamExt;
use futures_util::stream;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, ValidationDirective};
use kube::core::{DynamicObject, ObjectMeta, Status};

use crate::apply::{Applied, ApplyOptions, Change, FIELD_MANAGER};
use crate::client::ClusterClient;
use crate::inventory::{ApplySet, PART_OF_LABEL};
use crate::kinds::ServedKind;
use crate::manifest::ManifestObject;
use crate::refusal::{self, Refusal};

/// An object and where it goes.
pub(crate) struct Target<'a> {
    pub(crate) object: &'a ManifestObject,
    pub(crate) namespace: Option<&'a str>,
    kind: ServedKind,
}

/// What became of an object.
pub(crate) enum Sent {
    /// It is as the manifest says.
    Applied(Applied),
    /// It is as it was.
    Refused(Refusal),
    /// It would be accepted, or what it needs is not there to tell.
    Checked,
}

/// Whether objects are changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They are.
    Apply,
    /// They are not (`dryRun=All`): the server says what it would refuse.
    Check,
}

/// A collection of the server: plural name with group, and namespace.
type Collection<'a> = (&'a str, &'a str, Option<&'a str>);
/// A collection's objects by name.
type Versions = HashMap<String, Before>;
/// What is known of an object before it is applied.
struct Before {
    version: Option<String>,
    /// Whether it has fields that are ours.
    ours: bool,
    /// The set that it is a member of.
    part_of: Option<String>,
}

/// What each collection holds, or why the server does not say.
type Existing<'a> = HashMap<Collection<'a>, Result<Versions, Box<Status>>>;

impl<'a> Target<'a> {
    /// `default_namespace` is that of an object that needs one and names none.
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

/// Sends all of `targets`; the outcomes are given to `take` in their order, so that they are known even if the
/// connection breaks.
///
/// # Errors
/// What is no answer of the server: a broken connection.
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

/// The objects that are there before, one request for each collection: fewer than one for each object.
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
            // Who may read each object may still not list them.
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

/// The set that the object is a member of, where that is not the one that is applied.
pub(crate) fn other_set<'a>(part_of: Option<&'a str>, options: &ApplyOptions) -> Option<&'a str> {
    let set = options.set.as_ref().map(ApplySet::id);
    part_of.filter(|part_of| !options.force && Some(*part_of) != set.as_deref())
}

/// How an object is patched.
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
        // Its namespace or kind may be what an earlier object was to bring.
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

/// Where the resource version is the same, nothing has changed. Where it differs though no field was or is ours, the
/// manifest says nothing but the name, and the server has only begun to keep its books (`before-first-apply`).
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
