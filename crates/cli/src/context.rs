//! The context of a verb: the project with its configuration, the instance, and what they need of this process.

use lifecycle::Context;
use lifecycle::project::Project;
use model::Result;
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
    let mut others = args::own_variables();
    others.extend(environment::VARIABLES.map(str::to_owned));
    // Only flags that name files use it, and `--project DIR` also works from a directory that was removed.
    let here = std::env::current_dir().unwrap_or_default();
    let overrides = config::overrides(config, &globals.set, std::env::vars_os(), &others, &here);
    Ok(Context {
        project: Project::load(environment::project_paths(globals)?, &overrides)?,
        name: instance,
        cache: CachePaths::new(environment::cache_root()?),
        guest_sources: environment::guest_sources()?,
        kvm_device: environment::kvm_device(),
        events: output.events(),
        consent,
        background: background::command,
    })
}
