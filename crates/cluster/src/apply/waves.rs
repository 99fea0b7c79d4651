//! An apply: the waves of requests in their order, then the deletion of what has left the manifests.

use model::{EventSink, Result};

use super::inventory::with_label;
use super::options::ApplyOptions;
use super::outcome::ApplyOutcome;
use super::prune::SetUpdate;
use super::run::Run;
use super::send::Mode;
use crate::client::ClusterClient;
use crate::manifest::ManifestObject;
use crate::manifest::order::Wave;

impl ClusterClient {
    /// Applies `objects` wave by wave ([`crate::manifest::order::Wave`]), then deletes what has left the set since the
    /// last apply. An object that needs a namespace and names none goes to [`ClusterClient::default_namespace`].
    ///
    /// The list of the set has old and new members before anything is applied, and exactly the new ones after the last
    /// deletion, so that an apply that is interrupted in between loses no member.
    ///
    /// # Errors
    /// A Cluster error with one reason for each object that was refused: unknown kind, missing namespace, conflict
    /// with the field and its manager, immutable field. Nothing is sent where a kind is unknown; the waves after the
    /// first one with a refused object are only checked (`dryRun`), so that all refusals are reported at once, and
    /// nothing is deleted.
    pub fn apply(
        &self,
        objects: &[ManifestObject],
        options: &ApplyOptions,
        events: &dyn EventSink,
    ) -> Result<ApplyOutcome> {
        let labelled = with_label(objects, options.set.as_ref());
        let all: Vec<&ManifestObject> = labelled.iter().collect();
        let mut run = Run::new(self, options, events, all.len());
        run.check(&all)?;
        let mut update = match &options.set {
            Some(set) => Some(SetUpdate::open(&run, set, &all)?),
            None => None,
        };
        let mut refusals = Vec::new();
        for wave in Wave::ALL {
            // The namespace of the list may be one that the first wave creates.
            if let Some(update) = &mut update
                && refusals.is_empty()
            {
                update.add_new_members(&run, wave)?;
            }
            let members: Vec<&ManifestObject> = all.iter().copied().filter(|object| Wave::of(object) == wave).collect();
            if members.is_empty() {
                continue;
            }
            let mode = if refusals.is_empty() { Mode::Apply } else { Mode::Check };
            refusals.extend(run.send(&members, mode)?);
            if refusals.is_empty() {
                run.wait_for_kinds(&members, &all)?;
            }
        }
        run.finish();
        run.refuse(refusals)?;
        let pruned = match update {
            Some(update) => update.prune(&mut run)?,
            None => Vec::new(),
        };
        Ok(ApplyOutcome { applied: run.applied, pruned })
    }
}
