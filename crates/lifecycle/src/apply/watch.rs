//! `apply --watch`: applies when manifests, variables or the configuration change, until the user interrupts.
//!
//! The content of the files counts, so that a save without a change, a touch, and our own changes to `web/.env` cause no
//! apply. No lock is held between two applies.

use std::path::PathBuf;
use std::time::Duration;

use cluster::manifest_files;
use host::file_watch::FileWatch;
use host::files;
use model::{ErrorClass, Result};

use super::report::ApplyReport;
use super::run::run;
use super::settings::Options;
use crate::context::Context;
use crate::project::Project;
use crate::project::desired::variables_of_the_user;
use crate::project::dot_env;

/// An apply begins when the files have not changed for this long: editors and git write several at once.
const QUIET: Duration = Duration::from_millis(200);
/// How often the files are read even without an event of inotify, which does not report every change.
const LOOK: Duration = Duration::from_secs(2);

/// Applies now and after every change. `report` gets each outcome. Returns when the user
/// interrupts between two applies.
///
/// # Errors
/// An Interrupted error when the user interrupts an apply; State and Host errors of the first apply, which a change of the
/// files does not cure; those of `report`.
pub fn watch(
    context: Context<'_>,
    options: &Options,
    report: &mut dyn FnMut(Result<ApplyReport>) -> Result<()>,
) -> Result<()> {
    let files = FileWatch::new()?;
    let mut context = context;
    let mut first = true;
    loop {
        arm(&files, &context)?;
        let seen = content(&context);
        let outcome = reload(&mut context).and_then(|()| run(&context, options));
        match outcome {
            Err(error) if error.class() == ErrorClass::Interrupted => return Err(error),
            Err(error) if first && matches!(error.class(), ErrorClass::State | ErrorClass::Host) => return Err(error),
            outcome => report(outcome)?,
        }
        first = false;
        context.events.note("waiting for a change of manifests, variables or configuration; Ctrl-C ends it".to_owned());
        if !changed(&files, &context, &seen)? {
            return Ok(());
        }
    }
}

/// Waits until the files differ from `seen` and have been quiet. False when the user interrupts.
fn changed(files: &FileWatch, context: &Context<'_>, seen: &[String]) -> Result<bool> {
    loop {
        match files.wait(QUIET, LOOK) {
            Err(error) if error.class() == ErrorClass::Interrupted => return Ok(false),
            other => other?,
        }
        // Before the files are read, so that a later change is an event for the next wait.
        arm(files, context)?;
        if content(context) != seen {
            return Ok(true);
        }
    }
}

/// Reads the configuration again, which may be what changed. Where it cannot be read, the last one stays in force.
fn reload(context: &mut Context<'_>) -> Result<()> {
    context.project = Project::load(context.project.paths.clone(), &context.project.overrides)?;
    Ok(())
}

fn arm(files: &FileWatch, context: &Context<'_>) -> Result<()> {
    let paths = &context.project.paths;
    let web = context.project.web().dir().to_owned();
    files.add(paths.root())?;
    files.add(&paths.state_dir())?;
    files.add(&web)?;
    // A directory of manifests, or the one that a file of them is in.
    let manifests = context.project.config.manifests.iter().map(|path| paths.root().join(path));
    manifests
        .flat_map(|path| [path.parent().map(PathBuf::from), Some(path)])
        .flatten()
        .try_for_each(|path| files.add(&path))
}

/// What an apply reads. Equal texts give equal applies. A file that cannot be read counts as its error.
fn content(context: &Context<'_>) -> Vec<String> {
    let paths = &context.project.paths;
    let bytes = |path: PathBuf| format!("{:?}", files::read_optional(&path));
    let variables = dot_env::read(&context.project.web().dot_env())
        .map(|document| document.as_ref().map(variables_of_the_user).unwrap_or_default());
    let manifests = manifest_files::read_all(paths.root(), &context.project.config.manifests);
    vec![bytes(paths.config()), bytes(paths.dot_env()), format!("{variables:?}"), format!("{manifests:?}")]
}
