//! The objects that a project has applied: the set, its members, and the ConfigMap with the list of members.
//!
//! Pure. Labels and annotations are those of an ApplySet (KEP-3659, "kubectl apply prune redesign"), so that other
//! tools see to which set an object belongs and do not change it. The list of members is ours: an object is pruned only
//! if it is in the list and has the label.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kube::core::Status;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::manifest::ManifestObject;
use crate::manifest::order::Wave;

/// The label of every member; its value is [`ApplySet::id`].
pub const PART_OF_LABEL: &str = "applyset.kubernetes.io/part-of";
/// The label of the ConfigMap with the list.
const ID_LABEL: &str = "applyset.kubernetes.io/id";
const TOOLING: &str = "applyset.kubernetes.io/tooling";
const GROUP_KINDS: &str = "applyset.kubernetes.io/contains-group-kinds";
const NAMESPACES: &str = "applyset.kubernetes.io/additional-namespaces";
/// The tool that may change a set. Tools do not change the sets of others (KEP-3659).
const OUR_TOOL: &str = "k3s-vm/";
/// The key of the list: one member a line.
const OBJECTS: &str = "objects";

/// The set of objects that one project applies to a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplySet {
    name: String,
    namespace: String,
}

impl ApplySet {
    /// The set whose list is the ConfigMap `name` in `namespace`.
    pub fn new(name: impl Into<String>, namespace: impl Into<String>) -> Self {
        ApplySet { name: name.into(), namespace: namespace.into() }
    }
    /// The ConfigMap's name.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// The ConfigMap's namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }
    /// `applyset-<base64(sha256(name.namespace.kind.group))>-v1`, the format of KEP-3659.
    pub fn id(&self) -> String {
        let identity = format!("{}.{}.ConfigMap.", self.name, self.namespace);
        format!("applyset-{}-v1", URL_SAFE_NO_PAD.encode(Sha256::digest(identity)))
    }

    /// The ConfigMap for `members`, which replaces the one of the resource version `version`.
    pub(crate) fn document(&self, members: &BTreeSet<Member>, version: Option<&str>) -> Value {
        let unique = |texts: BTreeSet<String>| texts.into_iter().collect::<Vec<_>>().join(",");
        let namespaces = members.iter().filter_map(|member| member.namespace.clone());
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": self.name,
                "namespace": self.namespace,
                "resourceVersion": version,
                "labels": {ID_LABEL: self.id()},
                "annotations": {
                    TOOLING: concat!("k3s-vm/v", env!("CARGO_PKG_VERSION")),
                    GROUP_KINDS: unique(members.iter().map(Member::group_kind).collect()),
                    NAMESPACES: unique(namespaces.filter(|namespace| *namespace != self.namespace).collect()),
                },
            },
            "data": {OBJECTS: members.iter().map(|member| member.line() + "\n").collect::<String>()},
        })
    }
}

/// `objects` with the label of `set`, where there is one.
pub(crate) fn with_label(objects: &[ManifestObject], set: Option<&ApplySet>) -> Vec<ManifestObject> {
    let mut objects = objects.to_vec();
    if let Some(id) = set.map(ApplySet::id) {
        objects.iter_mut().for_each(|object| object.label(PART_OF_LABEL, &id));
    }
    objects
}

/// The list of a set as the cluster has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Inventory {
    /// The members, as of the last apply.
    pub(crate) members: BTreeSet<Member>,
    /// The resource version of the ConfigMap; `None` where there is no ConfigMap.
    pub(crate) version: Option<String>,
}

impl Inventory {
    /// Reads the ConfigMap.
    ///
    /// # Errors
    /// Why it cannot be used: it belongs to another tool, or is no list.
    pub(crate) fn read(document: &Value) -> Result<Self, String> {
        let tool = document.pointer("/metadata/annotations").and_then(|annotations| annotations.get(TOOLING)?.as_str());
        match tool {
            Some(tool) if tool.starts_with(OUR_TOOL) => {}
            Some(tool) => return Err(format!("it belongs to {tool}")),
            None => return Err(format!("it has no annotation {TOOLING}")),
        }
        let text = document.pointer(&format!("/data/{OBJECTS}")).and_then(Value::as_str).unwrap_or_default();
        let members = text
            .lines()
            .map(|line| Member::parse(line).ok_or_else(|| format!("its line {line:?} names no object")))
            .collect::<Result<_, _>>()?;
        let version = document.pointer("/metadata/resourceVersion").and_then(Value::as_str).map(str::to_owned);
        Ok(Inventory { members, version })
    }
}

/// An object by its place in the cluster. Its API version is the one of the last apply, and no part of its identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Member {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    /// `None` for an object of the whole cluster.
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
}

impl Member {
    /// The API group, empty for the core group.
    pub(crate) fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    fn group_kind(&self) -> String {
        match self.group() {
            "" => self.kind.clone(),
            group => format!("{}.{group}", self.kind),
        }
    }

    /// The identity of the object in all API versions.
    fn identity(&self) -> (&str, &str, Option<&str>, &str) {
        (self.group(), &self.kind, self.namespace.as_deref(), &self.name)
    }

    /// `apps/v1 Deployment default web`; none of the four can have a blank.
    fn line(&self) -> String {
        let namespace = self.namespace.as_deref().unwrap_or(CLUSTER);
        format!("{} {} {namespace} {}", self.api_version, self.kind, self.name)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let member = Member {
            api_version: words.next().filter(|word| !word.is_empty())?.to_owned(),
            kind: words.next()?.to_owned(),
            namespace: words.next().map(|word| (word != CLUSTER).then(|| word.to_owned()))?,
            name: words.next().filter(|word| !word.is_empty())?.to_owned(),
        };
        words.next().is_none().then_some(member)
    }

    /// Whether its deletion also deletes what another apply does not restore: the objects of a namespace or of a kind,
    /// data.
    pub(crate) fn holds_others(&self) -> bool {
        matches!(
            (self.group(), self.kind.as_str()),
            ("", "Namespace" | "PersistentVolumeClaim" | "PersistentVolume")
                | ("apiextensions.k8s.io", "CustomResourceDefinition")
        )
    }

    /// The wave in which it was applied.
    pub(crate) fn wave(&self) -> Wave {
        Wave::of_kind(self.group(), &self.kind)
    }
}

/// Stands for the namespace of an object that has none; no namespace can have this name (RFC 1123 label).
const CLUSTER: &str = "-";

/// `deployment default/web`, as messages name an object.
impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind.to_lowercase())?;
        match &self.namespace {
            Some(namespace) => write!(f, " {namespace}/{}", self.name),
            None => write!(f, " {}", self.name),
        }
    }
}

/// The members of `previous` that are not in `wanted`, those of the last wave first.
pub(crate) fn departed(previous: &BTreeSet<Member>, wanted: &BTreeSet<Member>) -> Vec<Member> {
    let wanted: BTreeSet<_> = wanted.iter().map(Member::identity).collect();
    let mut departed: Vec<Member> =
        previous.iter().filter(|member| !wanted.contains(&member.identity())).cloned().collect();
    departed.sort_by_key(|member| std::cmp::Reverse(member.wave()));
    departed
}

/// Whether the answer says that the namespace of the list does not exist.
pub(crate) fn namespace_is_missing(status: &Status) -> bool {
    status.code == 404 && status.details.as_ref().is_some_and(|details| details.kind == "namespaces")
}

#[cfg(test)]
mod tests;
