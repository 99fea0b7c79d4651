//! `apply --watch`: applies when manifests, variables or the configuration are saved, until the user interrupts.
//!
//! What counts is the content of the files, so that a save of the same, a touch, and our own changes to `web/.env` are
//! no news. No lock is held between two applies.

use std::path::PathBuf;
use std::time::Duration;

use cluster::manifest_files;
use host::file_watch::FileWatch;
use host::files;
use model::{ErrorClass, Result};

use super::{ApplyReport, Options, run};
use crate::context::Context;
use crate::project::Project;
use crate::project::desired::variables_of_the_user;
use crate::project::dot_env;

/// Editors and git write several files at once: an apply begins when they have been quiet for this long.
const QUIET: Duration = Duration::from_millis(200);
/// How often the files are looked at unasked, for what inotify does not tell.
const LOOK: Duration = Duration::from_secs(2);

/// Applies now and after every change; `tell` gets each outcome. Returns when the user interrupts between two applies.
///
/// # Errors
/// An Interrupted error when the user interrupts an apply; State and Host errors of the first apply, which no save
/// cures; those of `tell`.
pub fn watch(
    context: Context<'_>,
    options: &Options,
    tell: &mut dyn FnMut(Result<ApplyReport>) -> Result<()>,
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
            outcome => tell(outcome)?,
        }
        first = false;
        context.events.note("waiting for a change of manifests, variables or configuration; Ctrl-C ends it".to_owned());
        if !changed(&files, &context, &seen)? {
            return Ok(());
        }
    }
}

/// Waits until the files differ from `seen` and have settled; false when the user interrupts.
fn changed(files: &FileWatch, context: &Context<'_>, seen: &[String]) -> Result<bool> {
    loop {
        match files.wait(QUIET, LOOK) {
            Err(error) if error.class() == ErrorClass::Interrupted => return Ok(false),
            other => other?,
        }
        // Before the files are looked at: what happens after that shows at the next look.
        arm(files, context)?;
        if content(context) != seen {
            return Ok(true);
        }
    }
}

/// The configuration may be what was saved. One that cannot be read leaves the last one in force.
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

/// What an apply reads: equal texts give equal applies. A file that cannot be read is its error.
fn content(context: &Context<'_>) -> Vec<String> {
    let paths = &context.project.paths;
    let bytes = |path: PathBuf| format!("{:?}", files::read_optional(&path));
    let variables = dot_env::read(&context.project.web().dot_env())
        .map(|document| document.as_ref().map(variables_of_the_user).unwrap_or_default());
    let manifests = manifest_files::read_all(paths.root(), &context.project.config.manifests);
    vec![bytes(paths.config()), bytes(paths.dot_env()), format!("{variables:?}"), format!("{manifests:?}")]
}
