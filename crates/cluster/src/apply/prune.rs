//! Pruning: reads and writes the list of a set in the cluster, and deletes the members that have left the manifests.
//!
//! The format of the list and its rules are in [`super::inventory`].

use std::collections::BTreeSet;

use kube::Api;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::core::{ApiResource, DynamicObject, Status};
use model::{Error, ErrorClass, Result};

use super::inventory::{ApplySet, Inventory, Member, PART_OF_LABEL, departed, namespace_is_missing};
use super::kinds::ServedKind;
use super::options::FIELD_MANAGER;
use super::outcome::{PruneOutcome, Pruned};
use super::run::Run;
use crate::error_text::sentence;
use crate::manifest::ManifestObject;
use crate::manifest::order::Wave;

/// The update of a set's list by one apply.
pub(crate) struct SetUpdate<'a> {
    set: &'a ApplySet,
    /// The members after the apply.
    wanted: BTreeSet<Member>,
    /// The list as the cluster has it.
    inventory: Inventory,
    /// Whether the list has the new members.
    has_new_members: bool,
}

/// What pruning does with a member that has left.
enum Verdict {
    /// Nothing: the object does not exist.
    Gone,
    /// Deletes the object, if it is still the same one.
    Delete(ServedKind, Preconditions),
    /// Leaves the object in place and in the list.
    Keep(String),
    /// Leaves the object in place and removes it from the list.
    Release(String),
}

impl<'a> SetUpdate<'a> {
    /// Reads the list of the last apply.
    ///
    /// # Errors
    /// A Cluster error where the list cannot be read.
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
        Ok(SetUpdate { set, wanted, inventory, has_new_members: false })
    }

    /// Adds the new members to the list, once, before `wave` is applied: an apply that is interrupted later loses none.
    /// Where the namespace of the list does not exist yet, this succeeds after the wave that creates it.
    pub(crate) fn add_new_members(&mut self, run: &Run<'_>, wave: Wave) -> Result<()> {
        if self.has_new_members {
            return Ok(());
        }
        let union: BTreeSet<Member> = self.inventory.members.union(&self.wanted).cloned().collect();
        self.has_new_members = match self.write(run, union)? {
            Ok(()) => true,
            Err(status) if wave == Wave::Scopes && namespace_is_missing(&status) => false,
            Err(status) => return Err(self.unwritable(run, &status)),
        };
        Ok(())
    }

    /// Deletes the members that have left and writes the final list.
    pub(crate) fn prune(mut self, run: &mut Run<'_>) -> Result<Vec<Pruned>> {
        let mut members = self.wanted.clone();
        let mut pruned = Vec::new();
        let mut refused = Vec::new();
        let verdicts = decide_all(run, self.set, &self.inventory, &self.wanted)?;
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
            pruned.push(pruned_member(member, outcome));
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

    /// What [`SetUpdate::prune`] would do.
    pub(crate) fn preview(self, run: &mut Run<'_>) -> Result<Vec<Pruned>> {
        let verdicts = decide_all(run, self.set, &self.inventory, &self.wanted)?;
        let outcomes = verdicts.into_iter().filter_map(|(member, verdict)| match verdict {
            Verdict::Gone => None,
            Verdict::Delete(..) => Some(pruned_member(member, PruneOutcome::Deleted)),
            Verdict::Keep(why) | Verdict::Release(why) => Some(pruned_member(member, PruneOutcome::Kept(why))),
        });
        Ok(outcomes.collect())
    }

    /// Writes `members` unless the list has them. The resource version makes the write fail where another apply has
    /// written the list meanwhile.
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

fn pruned_member(member: Member, outcome: PruneOutcome) -> Pruned {
    let Member { api_version, kind, namespace, name } = member;
    Pruned { kind, api_version, namespace, name, outcome }
}

/// The verdict on each member that has left, in the order of deletion.
fn decide_all(
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
        run.progress(format!("checking {member}"), index, total);
        let verdict = decide(run, set, &member)?;
        verdicts.push((member, verdict));
    }
    run.finish();
    Ok(verdicts)
}

fn decide(run: &mut Run<'_>, set: &ApplySet, member: &Member) -> Result<Verdict> {
    // A kind whose scope has changed has lost its objects.
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
            "its contents would be deleted, too; by hand: {} delete {kind} {}{place}",
            advice.kubectl, member.name
        ))
    } else {
        Verdict::Delete(kind, Preconditions { uid: metadata.uid, resource_version: None })
    })
}

/// The kind of a member as the server has it now. Where the server has dropped its version, the objects are still
/// served in another one.
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
