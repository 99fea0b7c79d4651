//! The step that applies the manifests and deletes the objects that have left them.

use cluster::{ApplyOptions, ApplyOutcome, Change, ClusterClient, ManifestObject, PruneOutcome, Pruned};
use model::Result;

use super::injected::{Destination, Injected, inject};
use super::report::ApplyReport;
use super::settings::Settings;
use crate::context::Context;
use crate::project::desired::{self, Desired};
use crate::steps::Outcome;

/// Applies the manifests and adds what was done to `report`. Returns the objects that are in the cluster now.
pub(super) fn apply(
    context: &Context<'_>,
    client: &ClusterClient,
    (desired, destination): (&Desired, &Destination<'_>),
    (settings, options): (Settings, &ApplyOptions),
    report: &mut ApplyReport,
) -> Result<Outcome<Vec<ManifestObject>>> {
    if desired.is_nothing() {
        if settings.required {
            return Err(desired::nothing(&context.project));
        }
        return Ok(Outcome::Skipped(Vec::new(), format!("no manifests in {}", desired::place(&context.project))));
    }
    let Injected { objects, refused_variables } = inject(context, desired, destination)?;
    report.refused_variables = refused_variables;
    if objects.is_empty() {
        context.events.warning("the manifests are an empty List: all that was applied before is to go".to_owned());
    }
    let ApplyOutcome { applied, pruned } = client.apply(&objects, options, context.events)?;
    for one in &pruned {
        context.events.note(sentence(one, "has left the manifests and was deleted"));
    }
    let mut fact = [(Change::Created, "created"), (Change::Configured, "configured"), (Change::Unchanged, "unchanged")]
        .map(|(change, word)| format!("{} {word}", applied.iter().filter(|one| one.change == change).count()))
        .join(", ");
    let deleted = pruned.iter().filter(|one| one.outcome == PruneOutcome::Deleted).count();
    if deleted > 0 {
        fact = format!("{fact}, {deleted} pruned");
    }
    (report.objects, report.pruned) = (applied, pruned);
    Ok(Outcome::Done(objects, fact))
}

/// One sentence on an object that has left the manifests.
fn sentence(one: &Pruned, deleted: &str) -> String {
    let namespace = one.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
    let object = format!("{} {namespace}{}", one.kind.to_lowercase(), one.name);
    match &one.outcome {
        PruneOutcome::Deleted => format!("{object} {deleted}"),
        PruneOutcome::Kept(why) => format!("{object} has left the manifests and stays: {why}"),
    }
}
