//! The context of a verb: the project with its configuration, the instance, and what they need of this process.

use lifecycle::Context;
use lifecycle::project::Project;
use model::Result;
use model::config::Overrides;
use model::instance::InstanceName;
use model::paths::CachePaths;
use model::requirement::Consent;

use crate::args::config::{self, ConfigArgs};
use crate::args::{self, Globals};
use crate::environment;
use crate::output::Output;
use crate::verbs::background;

/// Reads the configuration of the project and makes the context of `instance`. `config` are the verb's own flags that
/// set configuration keys.
///
/// # Errors
/// A Config error when there is no project or its configuration is wrong; errors of reading.
pub(crate) fn load<'a>(
    globals: &Globals,
    instance: InstanceName,
    config: Option<&ConfigArgs>,
    consent: &'a dyn Consent,
    output: &'a Output,
) -> Result<Context<'a>> {
    let project = Project::load(environment::project_paths(globals)?, &overrides(globals, config))?;
    context(project, instance, consent, output)
}

/// As [`load`], for verbs that must work although the configuration is wrong: with a warning, and the defaults.
///
/// # Errors
/// A Config error when there is no project; errors of the environment.
pub(crate) fn load_or_defaults<'a>(
    globals: &Globals,
    instance: InstanceName,
    consent: &'a dyn Consent,
    output: &'a Output,
) -> Result<Context<'a>> {
    let paths = environment::project_paths(globals)?;
    let project = match Project::load(paths.clone(), &overrides(globals, None)) {
        Ok(project) => project,
        Err(error) => {
            let project = Project::with_defaults(paths)?;
            output
                .events()
                .warning(format!("the configuration is not used: {error}; `k3s-vm config show` reports all of it"));
            project
        }
    };
    context(project, instance, consent, output)
}

fn overrides(globals: &Globals, config: Option<&ConfigArgs>) -> Overrides {
    let mut others = args::own_variables();
    others.extend(environment::VARIABLES.map(str::to_owned));
    // Only flags that name files use it, and `--project DIR` also works from a directory that was removed.
    let here = std::env::current_dir().unwrap_or_default();
    config::overrides(config, &globals.set, std::env::vars_os(), &others, &here)
}

fn context<'a>(
    project: Project,
    instance: InstanceName,
    consent: &'a dyn Consent,
    output: &'a Output,
) -> Result<Context<'a>> {
    Ok(Context {
        project,
        name: instance,
        cache: CachePaths::new(environment::cache_root()?),
        guest_sources: environment::guest_sources()?,
        kvm_device: environment::kvm_device(),
        events: output.events(),
        consent,
        background: background::command,
    })
}
