//! The kinds that the server has, requested by API version and cached during one apply.

use std::collections::{BTreeSet, HashMap};

use futures_util::future::join_all;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResource;
use kube::Api;
use kube::core::{ApiResource, DynamicObject};

use crate::manifest::ManifestObject;

/// A kind as the server serves it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ServedKind {
    /// The resource of its objects.
    pub(crate) resource: ApiResource,
    /// Whether its objects are in namespaces.
    pub(crate) namespaced: bool,
}

impl ServedKind {
    /// The API of its objects, in `namespace` where there is one.
    pub(crate) fn api(&self, client: &kube::Client, namespace: Option<&str>) -> Api<DynamicObject> {
        match namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &self.resource),
            None => Api::all_with(client.clone(), &self.resource),
        }
    }
}

/// The kinds by API version; `None` for a version that the server does not have.
#[derive(Default)]
pub(crate) struct Kinds {
    versions: HashMap<String, Option<Vec<APIResource>>>,
}

impl Kinds {
    /// Requests the API versions that are not known yet, all at once.
    pub(crate) async fn learn(
        &mut self,
        client: &kube::Client,
        versions: impl Iterator<Item = &str>,
    ) -> kube::Result<()> {
        let unknown: BTreeSet<&str> = versions.filter(|version| !self.versions.contains_key(*version)).collect();
        let answers = join_all(unknown.into_iter().map(async |version| {
            let answer = if version.contains('/') {
                client.list_api_group_resources(version).await
            } else {
                client.list_core_api_resources(version).await
            };
            (version.to_owned(), answer)
        }));
        for (version, answer) in answers.await {
            let resources = match answer {
                Ok(list) => Some(list.resources),
                Err(kube::Error::Api(status)) if status.code == 404 => None,
                Err(error) => return Err(error),
            };
            self.versions.insert(version, resources);
        }
        Ok(())
    }

    /// Drops the API versions of `objects`, so that they are requested again.
    pub(crate) fn forget(&mut self, objects: &[&ManifestObject]) {
        for object in objects {
            self.versions.remove(object.api_version());
        }
    }

    /// Whether the server has the API version of `object`.
    pub(crate) fn knows_version(&self, object: &ManifestObject) -> bool {
        matches!(self.versions.get(object.api_version()), Some(Some(_)))
    }

    /// The kind of `object`; `None` where the server does not have it.
    pub(crate) fn resolve(&self, object: &ManifestObject) -> Option<ServedKind> {
        self.find(object.api_version(), object.kind())
    }

    /// The kind `kind` of an API version; `None` where the server does not have it.
    pub(crate) fn find(&self, api_version: &str, kind: &str) -> Option<ServedKind> {
        let resources = self.versions.get(api_version)?.as_ref()?;
        // `deployments/scale` has a kind too; only what has no slash can be applied.
        let found = resources.iter().find(|found| found.kind == kind && !found.name.contains('/'))?;
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: api_version.to_owned(),
            kind: found.kind.clone(),
            plural: found.name.clone(),
        };
        Some(ServedKind { resource, namespaced: found.namespaced })
    }
}
