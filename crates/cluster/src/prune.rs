//! What has left the manifests: the list in the cluster, written before and after an apply, and the deletions.
//!
//! The list and its rules are those of [`crate::inventory`]; here they are read, written and carried out.

use std::collections::BTreeSet;

use kube::Api;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::core::{ApiResource, DynamicObject, Status};
use model::{Error, ErrorClass, Result};
use serde::Serialize;

use crate::apply::FIELD_MANAGER;
use crate::apply_run::Run;
use crate::inventory::{ApplySet, Inventory, Member, PART_OF_LABEL, departed, namespace_is_missing};
use crate::kinds::ServedKind;
use crate::manifest::ManifestObject;
use crate::manifest_order::Wave;
use crate::request_error::sentence;

/// What became of an object that has left the manifests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", content = "reason", rename_all = "kebab-case")]
pub enum PruneOutcome {
    /// It is deleted, or would be.
    Deleted,
    /// It stays; the text says why.
    Kept(String),
}

/// One object that has left the manifests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// `Deployment`.
    pub kind: String,
    /// `apps/v1`.
    pub api_version: String,
    /// The namespace, or nothing for an object of the whole cluster.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: PruneOutcome,
}

/// The list of a set during one apply.
pub(crate) struct Books<'a> {
    set: &'a ApplySet,
    wanted: BTreeSet<Member>,
    inventory: Inventory,
    announced: bool,
}

/// What is to be done with a member that has left.
enum Verdict {
    /// It is not there.
    Gone,
    /// It can be deleted, if it is still this very object.
    Delete(ServedKind, Preconditions),
    /// It stays, and in the list.
    Keep(String),
    /// It stays, and is no member any more.
    Release(String),
}

impl<'a> Books<'a> {
    /// Reads the list of the last apply.
    ///
    /// # Errors
    /// A Cluster error where it cannot be read.
    pub(crate) fn open(run: &Run<'_>, set: &'a ApplySet, objects: &[&ManifestObject]) -> Result<Self> {
        let inventory = match run.ask(list(run, set).get_opt(set.name()))? {
            Ok(None) => Inventory::default(),
            Ok(Some(found)) => {
                let document = serde_json::to_value(found).unwrap_or_default();
                Inventory::read(&document).map_err(|why| {
                    error(run, set, "is not one that can be used", &why)
                        .next(format!("{}    # forgets what was applied", delete_command(run, set)))
                })?
            }
            Err(status) => return Err(error(run, set, "cannot be read", &sentence(&status))),
        };
        let wanted = run.members(objects).into_iter().collect();
        Ok(Books { set, wanted, inventory, announced: false })
    }

    /// Writes old and new members, once, before `wave` is applied: an apply that is cut off later loses none. Where the
    /// namespace of the list is yet to be made, that is after the wave that makes it.
    pub(crate) fn announce(&mut self, run: &Run<'_>, wave: Wave) -> Result<()> {
        if self.announced {
            return Ok(());
        }
        let union: BTreeSet<Member> = self.inventory.members.union(&self.wanted).cloned().collect();
        self.announced = match self.write(run, union)? {
            Ok(()) => true,
            Err(status) if wave == Wave::Scopes && namespace_is_missing(&status) => false,
            Err(status) => return Err(self.unwritable(run, &status)),
        };
        Ok(())
    }

    /// Deletes what has left and writes the list as it is now.
    pub(crate) fn settle(mut self, run: &mut Run<'_>) -> Result<Vec<Pruned>> {
        let mut members = self.wanted.clone();
        let mut pruned = Vec::new();
        let mut refused = Vec::new();
        let verdicts = judge_all(run, self.set, &self.inventory, &self.wanted)?;
        let total = verdicts.len();
        for (index, (member, verdict)) in verdicts.into_iter().enumerate() {
            run.progress(format!("pruning {member}"), index, total);
            let outcome = match verdict {
                Verdict::Gone => continue,
                Verdict::Release(why) => PruneOutcome::Kept(why),
                Verdict::Keep(why) => {
                    members.insert(member.clone());
                    PruneOutcome::Kept(why)
                }
                Verdict::Delete(kind, preconditions) => {
                    let api = kind.api(run.client.kube(), member.namespace.as_deref());
                    let how = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
                    match run.ask(api.delete(&member.name, &how))? {
                        Ok(_) => PruneOutcome::Deleted,
                        Err(status) if status.code == 404 => continue,
                        Err(status) => {
                            refused.push(format!("{member}: {}", sentence(&status)));
                            members.insert(member);
                            continue;
                        }
                    }
                }
            };
            pruned.push(Pruned::new(member, outcome));
        }
        run.finish();
        if let Err(status) = self.write(run, members)? {
            return Err(self.unwritable(run, &status));
        }
        if refused.is_empty() {
            return Ok(pruned);
        }
        let headline = match refused.len() {
            1 => "an object that has left the manifests could not be deleted".to_owned(),
            count => format!("{count} objects that have left the manifests could not be deleted"),
        };
        let error = refused.into_iter().fold(Error::new(ErrorClass::Cluster, headline), Error::because);
        Err(error
            .because("all objects of the manifests are applied")
            .next(format!("{} --no-prune    # leaves such objects alone", run.client.advice().apply)))
    }

    /// What [`Books::settle`] would do.
    pub(crate) fn preview(self, run: &mut Run<'_>) -> Result<Vec<Pruned>> {
        let verdicts = judge_all(run, self.set, &self.inventory, &self.wanted)?;
        let outcomes = verdicts.into_iter().filter_map(|(member, verdict)| match verdict {
            Verdict::Gone => None,
            Verdict::Delete(..) => Some(Pruned::new(member, PruneOutcome::Deleted)),
            Verdict::Keep(why) | Verdict::Release(why) => Some(Pruned::new(member, PruneOutcome::Kept(why))),
        });
        Ok(outcomes.collect())
    }

    /// Writes `members` unless the list has them. The version read before guards the list of an apply that runs beside
    /// this one.
    fn write(&mut self, run: &Run<'_>, members: BTreeSet<Member>) -> Result<std::result::Result<(), Box<Status>>> {
        if members == self.inventory.members && (self.inventory.version.is_some() || members.is_empty()) {
            return Ok(Ok(()));
        }
        let document = self.set.document(&members, self.inventory.version.as_deref());
        let document: DynamicObject = serde_json::from_value(document)
            .map_err(|error| Error::new(ErrorClass::Failed, "the list of objects cannot be made").because(error))?;
        let api = list(run, self.set);
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let answer = match self.inventory.version {
            Some(_) => run.ask(api.replace(self.set.name(), &parameters, &document))?,
            None => run.ask(api.create(&parameters, &document))?,
        };
        Ok(answer.map(|written| {
            self.inventory = Inventory { members, version: written.metadata.resource_version };
        }))
    }

    fn unwritable(&self, run: &Run<'_>, status: &Status) -> Error {
        let error = error(run, self.set, "cannot be written", &sentence(status));
        match status.code {
            409 => error
                .because("another apply of the same project has written it meanwhile")
                .next(run.client.advice().apply.clone()),
            _ => error,
        }
    }
}

impl Pruned {
    fn new(member: Member, outcome: PruneOutcome) -> Self {
        let Member { api_version, kind, namespace, name } = member;
        Pruned { kind, api_version, namespace, name, outcome }
    }
}

/// The verdict on each member that has left, in the order of deletion.
fn judge_all(
    run: &mut Run<'_>,
    set: &ApplySet,
    inventory: &Inventory,
    wanted: &BTreeSet<Member>,
) -> Result<Vec<(Member, Verdict)>> {
    let departed = departed(&inventory.members, wanted);
    if departed.is_empty() {
        return Ok(Vec::new());
    }
    let learning = run.kinds.learn(run.client.kube(), departed.iter().map(|member| member.api_version.as_str()));
    run.client.request("the kinds it has", run.options.deadline, learning)?;
    let total = departed.len();
    let mut verdicts = Vec::with_capacity(total);
    for (index, member) in departed.into_iter().enumerate() {
        run.progress(format!("looking at {member}"), index, total);
        let verdict = judge(run, set, &member)?;
        verdicts.push((member, verdict));
    }
    run.finish();
    Ok(verdicts)
}

fn judge(run: &mut Run<'_>, set: &ApplySet, member: &Member) -> Result<Verdict> {
    // A kind that has come out of namespaces, or gone into them, has taken its objects along.
    let same_scope = |kind: &ServedKind| kind.namespaced == member.namespace.is_some();
    let Some(kind) = served(run, member)?.filter(same_scope) else { return Ok(Verdict::Gone) };
    let api = kind.api(run.client.kube(), member.namespace.as_deref());
    let metadata = match run.ask(api.get_metadata_opt(&member.name))? {
        Ok(None) => return Ok(Verdict::Gone),
        Ok(Some(found)) => found.metadata,
        Err(status) => return Ok(Verdict::Keep(sentence(&status))),
    };
    let part_of = metadata.labels.as_ref().and_then(|labels| labels.get(PART_OF_LABEL));
    let advice = run.client.advice();
    Ok(if metadata.deletion_timestamp.is_some() {
        Verdict::Gone
    } else if part_of != Some(&set.id()) {
        Verdict::Release("it does not carry this project's label".to_owned())
    } else if !run.options.prune {
        Verdict::Keep("--no-prune".to_owned())
    } else if member.holds_others() {
        let place = member.namespace.as_ref().map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
        let kind = member.kind.to_lowercase();
        Verdict::Keep(format!(
            "what is in it would go, too; by hand: {} delete {kind} {}{place}",
            advice.kubectl, member.name
        ))
    } else {
        Verdict::Delete(kind, Preconditions { uid: metadata.uid, resource_version: None })
    })
}

/// The kind of a member as the server has it now: a version may be gone and its objects be there by another one.
fn served(run: &mut Run<'_>, member: &Member) -> Result<Option<ServedKind>> {
    if let Some(kind) = run.kinds.find(&member.api_version, &member.kind) {
        return Ok(Some(kind));
    }
    let groups = run.client.request("its API groups", run.left(), run.client.kube().list_api_groups())?;
    let group = groups.groups.into_iter().find(|group| !group.name.is_empty() && group.name == member.group());
    let Some(version) = group.and_then(|group| group.preferred_version) else { return Ok(None) };
    let version = version.group_version;
    let learning = run.kinds.learn(run.client.kube(), std::iter::once(version.as_str()));
    run.client.request("the kinds it has", run.options.deadline, learning)?;
    Ok(run.kinds.find(&version, &member.kind))
}

fn list(run: &Run<'_>, set: &ApplySet) -> Api<DynamicObject> {
    let resource = ApiResource::erase::<k8s_openapi::api::core::v1::ConfigMap>(&());
    Api::namespaced_with(run.client.kube().clone(), set.namespace(), &resource)
}

fn error(run: &Run<'_>, set: &ApplySet, what: &str, why: &str) -> Error {
    let (namespace, name) = (set.namespace(), set.name());
    let headline = format!("the list of applied objects (configmap {namespace}/{name}) {what}");
    run.finish();
    Error::new(ErrorClass::Cluster, headline).because(why)
}

fn delete_command(run: &Run<'_>, set: &ApplySet) -> String {
    format!("{} delete configmap {} -n {}", run.client.advice().kubectl, set.name(), set.namespace())
}
