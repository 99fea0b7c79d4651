//! The order in which objects are applied: those that others need come first.
//!
//! Pure.

use super::object::ManifestObject;

/// The wave in which an object is applied; a wave begins when the one before it is finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wave {
    /// Namespaces and CustomResourceDefinitions.
    Scopes,
    /// Objects that workloads refer to: accounts, secrets, volumes, RBAC, Services.
    References,
    /// Pods and the kinds that make them.
    Workloads,
    /// Everything else, custom resources too.
    Rest,
    /// Webhook configurations and APIServices, which can block all later requests.
    Interceptors,
}

impl Wave {
    /// All waves, first to last.
    pub const ALL: [Wave; 5] = [Wave::Scopes, Wave::References, Wave::Workloads, Wave::Rest, Wave::Interceptors];

    /// The wave of an object.
    pub fn of(object: &ManifestObject) -> Wave {
        Wave::of_kind(object.group(), object.kind())
    }

    /// The wave of the objects of a kind; `group` is empty for the core group.
    pub(crate) fn of_kind(group: &str, kind: &str) -> Wave {
        match (group, kind) {
            ("", "Namespace") | ("apiextensions.k8s.io", "CustomResourceDefinition") => Wave::Scopes,
            (
                "",
                "ServiceAccount"
                | "Secret"
                | "ConfigMap"
                | "PersistentVolume"
                | "PersistentVolumeClaim"
                | "Service"
                | "LimitRange"
                | "ResourceQuota",
            )
            | ("storage.k8s.io" | "rbac.authorization.k8s.io" | "scheduling.k8s.io" | "node.k8s.io", _)
            | ("networking.k8s.io", "NetworkPolicy" | "IngressClass")
            | ("policy", _) => Wave::References,
            ("", "Pod" | "ReplicationController") | ("apps" | "batch", _) => Wave::Workloads,
            ("admissionregistration.k8s.io" | "apiregistration.k8s.io", _) => Wave::Interceptors,
            _ => Wave::Rest,
        }
    }
}

/// Sorts by wave; within a wave the order of the files is unchanged.
pub fn sort_for_apply(objects: &mut [ManifestObject]) {
    objects.sort_by_key(Wave::of);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::manifest::Origin;

    fn object(api_version: &str, kind: &str, name: &str) -> ManifestObject {
        let value = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}});
        ManifestObject::new(value, Origin { file: "test".to_owned(), line: 0 }).unwrap()
    }

    #[test]
    fn what_is_needed_comes_first_and_objects_of_a_wave_stay_in_order() {
        let mut objects = vec![
            object("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "hook"),
            object("example.com/v1", "Shop", "custom"),
            object("networking.k8s.io/v1", "Ingress", "ingress"),
            object("apps/v1", "Deployment", "b"),
            object("apps/v1", "Deployment", "a"),
            object("v1", "Service", "service"),
            object("rbac.authorization.k8s.io/v1", "ClusterRole", "role"),
            object("v1", "Secret", "secret"),
            object("apiextensions.k8s.io/v1", "CustomResourceDefinition", "crd"),
            object("v1", "Namespace", "namespace"),
        ];
        sort_for_apply(&mut objects);
        let names: Vec<&str> = objects.iter().map(ManifestObject::name).collect();
        assert_eq!(names, ["crd", "namespace", "service", "role", "secret", "b", "a", "custom", "ingress", "hook"]);
    }

    #[test]
    fn a_custom_kind_with_a_known_name_is_not_mistaken_for_it() {
        assert_eq!(Wave::of(&object("example.com/v1", "Namespace", "x")), Wave::Rest);
        assert_eq!(Wave::of(&object("serving.knative.dev/v1", "Service", "x")), Wave::Rest);
    }
}
