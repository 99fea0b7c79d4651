//! `apply --dry-run`: what an apply would change. No file, no object and no image is written.

use cluster::{ApplyOptions, ClusterClient, PreviewOptions, Previewed, Pruned};
use model::Result;
use model::config::InjectMode;
use qemu::console::ConsoleReader;
use serde::Serialize;

use super::credential::Inside;
use super::injected::{Destination, Injected, inject};
use super::report::count;
use super::run::{prove, running};
use super::settings::{Options, Target};
use super::shared;
use super::shared::configured_images;
use crate::context::Context;
use crate::instance::lock;
use crate::instance::observe::{Observed, not_running, observe};
use crate::instance::wait::watch::GuestWatch;
use crate::project::desired::Desired;
use crate::steps::{Outcome, Steps};

/// What an apply would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PreviewReport {
    /// True, which distinguishes it from the report of an apply.
    pub dry_run: bool,
    /// The objects, each with its difference.
    pub objects: Vec<Previewed>,
    /// The objects that have left the manifests.
    pub pruned: Vec<Pruned>,
    /// Variables that Kubernetes would refuse, with the reason.
    pub refused_variables: Vec<(String, String)>,
}

/// Asks the cluster what an apply would change. The lock of the project's instance is held meanwhile.
///
/// # Errors
/// As [`super::run`]. A difference is no error.
pub fn preview(context: &Context<'_>, options: &Options) -> Result<PreviewReport> {
    let deadline = options.deadline(context);
    let mut steps = Steps::new(context.events, 2);
    match &options.target {
        Target::Kubeconfig(target) => {
            let desired = Desired::read(&context.project)?;
            desired.check(&context.project)?;
            let client = steps.run("Connecting to the cluster", || shared::connect(target, deadline))?;
            let settings = options.settings.shared(context, &client, deadline.left());
            compare(context, &mut steps, &client, (&desired, &shared::destination(&client)), &settings)
        }
        Target::Instance => {
            // First, so that no lock file with its directory is made for an instance that does not exist.
            if !matches!(observe(context)?, Observed::Running(_)) {
                return Err(not_running(context));
            }
            // It resumes a paused guest, which must not happen between the steps of a verb such as `stop`.
            let _lock = lock::of(context)?;
            let running = running(context)?;
            let desired = Desired::read_for_instance(&context.project, context.is_default())?;
            desired.check(&context.project)?;
            let paths = context.paths();
            let console = ConsoleReader::from_end(paths.log())?;
            let mut watch = GuestWatch::new(&running.process, console, &paths, context.events);
            let access = steps.run("Connecting to the cluster", || {
                let access = prove(context, &running, &mut watch, deadline)?;
                let server = access.client.server().to_owned();
                Ok(Outcome::Done(access, server))
            })?;
            let (client, inside) = (&access.client, Inside::Seen(&access, deadline));
            let destination = Destination { inside, namespace: client.default_namespace(), images: Vec::new() };
            compare(context, &mut steps, client, (&desired, &destination), &options.settings.own(deadline.left()))
        }
    }
}

fn compare(
    context: &Context<'_>,
    steps: &mut Steps<'_>,
    client: &ClusterClient,
    (desired, destination): (&Desired, &Destination<'_>),
    options: &ApplyOptions,
) -> Result<PreviewReport> {
    steps.run("Comparing the manifests with the cluster", || {
        let Injected { objects, refused_variables } = inject(context, desired, destination)?;
        let preview = PreviewOptions {
            variables_are_secret: context.project.config.inject.mode == InjectMode::Env,
            images: configured_images(context),
        };
        if !preview.images.is_empty() && !matches!(destination.inside, Inside::Nowhere) {
            context.events.note("images are not built: their content counts as unchanged".to_owned());
        }
        let found = client.preview(&objects, options, &preview, context.events)?;
        let changed = found.objects.iter().filter(|one| !one.diff.is_empty()).count();
        let fact = format!("{changed} of {} would change", count(found.objects.len(), "object"));
        let report = PreviewReport { dry_run: true, objects: found.objects, pruned: found.pruned, refused_variables };
        Ok(Outcome::Done(report, fact))
    })
}
