//! The preview of an apply: each object as it is, and as the server would make it (`dryRun=All`). Nothing is written.

use futures_util::{StreamExt, stream};
use kube::api::Patch;
use model::{EventSink, Result};
use serde::Serialize;

use super::diff::{self, Masking};
use super::inventory::{Member, PART_OF_LABEL, with_label};
use super::options::ApplyOptions;
use super::outcome::{Applied, Change, Pruned};
use super::prune::SetUpdate;
use super::refusal::{self, Refusal};
use super::run::Run;
use super::send::{Mode, Target, other_set, parameters};
use crate::client::ClusterClient;
use crate::container_image::annotation;
use crate::manifest::{ManifestObject, order};

/// What an apply would do to an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Previewed {
    /// The object and its change.
    #[serde(flatten)]
    pub applied: Applied,
    /// The change as a unified diff of YAML; empty where there is none.
    pub diff: String,
}

/// The options of a preview beside those of the apply.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PreviewOptions {
    /// Whether the literal values of containers' variables are masked, as values of Secrets always are.
    pub variables_are_secret: bool,
    /// Images (full names) whose content counts as unchanged: they are not built for a preview.
    pub images: Vec<String>,
}

/// What an apply would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preview {
    /// The objects of the manifests, in the order in which they would be applied.
    pub objects: Vec<Previewed>,
    /// The objects that have left the manifests.
    pub pruned: Vec<Pruned>,
}

/// The preview of one object.
enum Seen {
    Previewed(Previewed),
    Refused(Refusal),
}

impl ClusterClient {
    /// What [`ClusterClient::apply`] would do with the same options. An object whose kind or namespace is among the
    /// objects and not yet there is shown as the manifest has it: the server cannot preview it.
    ///
    /// # Errors
    /// As [`ClusterClient::apply`].
    pub fn preview(
        &self,
        objects: &[ManifestObject],
        options: &ApplyOptions,
        preview: &PreviewOptions,
        events: &dyn EventSink,
    ) -> Result<Preview> {
        let mut objects = with_label(objects, options.set.as_ref());
        order::sort_for_apply(&mut objects);
        let all: Vec<&ManifestObject> = objects.iter().collect();
        let mut run = Run::new(self, options, events, all.len());
        run.check(&all)?;
        let update = match &options.set {
            Some(set) => Some(SetUpdate::open(&run, set, &all)?),
            None => None,
        };
        let places = run.members(&all);
        let new_namespaces: Vec<&str> =
            places.iter().filter(|place| place.kind == "Namespace").map(|place| place.name.as_str()).collect();
        let requests = all.iter().zip(&places).map(|(object, place)| {
            let target = run.kinds.resolve(object).map(|kind| Target::new(object, kind, self.default_namespace()));
            let namespace_is_new =
                place.namespace.as_deref().is_some_and(|namespace| new_namespaces.contains(&namespace));
            self.preview_one(object, place, target, namespace_is_new, options, preview)
        });
        let answers = async {
            let mut answers = stream::iter(requests).buffered(options.concurrency.max(1));
            let mut seen = Vec::new();
            while let Some(one) = answers.next().await {
                seen.push(one?);
            }
            Ok(seen)
        };
        let seen = match run.ask(answers)? {
            Ok(seen) => seen,
            Err(status) => return Err(self.request_error("the objects", &kube::Error::Api(status)).into()),
        };
        let mut refusals = Vec::new();
        let mut previewed = Vec::new();
        for one in seen {
            match one {
                Seen::Previewed(one) => previewed.push(one),
                Seen::Refused(refusal) => refusals.push(refusal),
            }
        }
        if !refusals.is_empty() {
            return Err(refusal::error(refusals));
        }
        let pruned = match update {
            Some(update) => update.preview(&mut run)?,
            None => Vec::new(),
        };
        Ok(Preview { objects: previewed, pruned })
    }

    /// The preview of one object; `namespace_is_new` says that its namespace is among the objects.
    async fn preview_one(
        &self,
        object: &ManifestObject,
        place: &Member,
        target: Option<Target<'_>>,
        namespace_is_new: bool,
        options: &ApplyOptions,
        preview: &PreviewOptions,
    ) -> kube::Result<Seen> {
        let previewed = |change, diff| {
            let Member { api_version, kind, namespace, name } = place.clone();
            Seen::Previewed(Previewed { applied: Applied { kind, api_version, namespace, name, change }, diff })
        };
        let masking = Masking { variables: preview.variables_are_secret };
        let as_written = || {
            let diff = diff::unified(&place.to_string(), None, object.value(), masking);
            previewed(Change::Created, diff)
        };
        let Some(target) = target else { return Ok(as_written()) };
        let refused = |status: &kube::core::Status| {
            Seen::Refused(refusal::of_status(object, target.namespace, status, self.advice()))
        };
        let api = target.api(self.kube());
        let before = match api.get_opt(object.name()).await {
            Ok(before) => before,
            Err(kube::Error::Api(status)) => return Ok(refused(&status)),
            Err(error) => return Err(error),
        };
        let part_of = before.as_ref().and_then(|before| before.metadata.labels.as_ref()?.get(PART_OF_LABEL));
        if let Some(other) = other_set(part_of.map(String::as_str), options) {
            return Ok(Seen::Refused(refusal::of_other_set(object, other, self.advice())));
        }
        let before = before.map(|before| serde_json::to_value(before).map_err(kube::Error::SerdeError)).transpose()?;
        let mut wanted = object.clone();
        if let Some(before) = &before {
            annotation::copy(&mut wanted, before, &preview.images);
        }
        let patch = Patch::Apply(wanted.value());
        let after = match api.patch(object.name(), &parameters(Mode::Check, options), &patch).await {
            Ok(after) => after,
            Err(kube::Error::Api(status)) if status.code == 404 && namespace_is_new => return Ok(as_written()),
            Err(kube::Error::Api(status)) => return Ok(refused(&status)),
            Err(error) => return Err(error),
        };
        let after = serde_json::to_value(after).map_err(kube::Error::SerdeError)?;
        let diff = diff::unified(&place.to_string(), before.as_ref(), &after, masking);
        let change = match (&before, diff.is_empty()) {
            (None, _) => Change::Created,
            (Some(_), true) => Change::Unchanged,
            (Some(_), false) => Change::Configured,
        };
        Ok(previewed(change, diff))
    }
}
