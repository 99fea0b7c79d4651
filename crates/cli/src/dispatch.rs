//! From the parsed command line to the function of the verb.

use std::process::ExitCode;

use lifecycle::{Context, aftermath};
use model::instance::InstanceName;
use model::{ErrorClass, Result};

use crate::args::Globals;
use crate::args::config::ConfigArgs;
use crate::command_line::{Invocation, Verb};
use crate::context;
use crate::output::Output;
use crate::verbs::{
    apply, background, clone, config, delete, forward, kubectl, list, load, logs, nix, pause, prune, reset, resume,
    run, snapshot, ssh, start, status, stop,
};

/// Runs the verb.
///
/// # Errors
/// The error of the verb; Interrupted after an interrupt, whatever failed because of it.
pub(crate) fn run_verb(invocation: Invocation, output: &Output) -> Result<ExitCode> {
    dispatch(invocation, output).map_err(|error| match error.class() {
        ErrorClass::Interrupted => error,
        _ => aftermath::tell(None, error),
    })
}

fn dispatch(invocation: Invocation, output: &Output) -> Result<ExitCode> {
    let name = invocation.instance().cloned().unwrap_or_default();
    let Invocation { globals, verb } = &invocation;
    let project = InProject { globals, name: &name, output };
    match verb {
        Verb::Start(it) => project.changing(Some(&it.config), |context| start::run(&context, it, output))?,
        Verb::Stop(it) => project.always(|context| stop::run(&context, it, output))?,
        Verb::Pause(it) => project.changing(None, |context| pause::run(&context, it, output))?,
        Verb::Resume(it) => project.changing(None, |context| resume::run(&context, it, output))?,
        Verb::Forward(it) => project.run(None, |context| forward::run(&context, it, output))?,
        Verb::Status(it) => project.always(|context| status::run(&context, it, output))?,
        Verb::Ssh(it) => return project.always(|context| ssh::run(&context, it, output)),
        Verb::Reset(it) => project.changing(Some(&it.start.config), |context| reset::run(&context, it, output))?,
        Verb::Apply(it) if it.kubeconfig.is_some() => project.run(None, |context| apply::run(context, it, output))?,
        Verb::Apply(it) => project.changing(None, |context| apply::run(context, it, output))?,
        Verb::Logs(it) => project.always(|context| logs::run(&context, it, output))?,
        Verb::Load(it) => project.changing(None, |context| load::run(&context, it, output))?,
        Verb::Config(config::Arguments::Show(it)) => {
            project.run(Some(&it.config), |context| config::show(&context, it, output))?;
        }
        Verb::Config(config::Arguments::Schema) => config::schema(output)?,
        Verb::Nix(it) => nix::run(it, output)?,
        Verb::Kubectl(it) => return project.run(None, |context| kubectl::run(&context, it, output)),
        Verb::Clone(it) => project.changing(Some(&it.start.config), |context| clone::run(&context, it, output))?,
        Verb::Run(it) => return project.run(Some(&it.config), |context| run::run(&context, it, output)),
        Verb::Delete(it) if it.all => project.run(None, |context| delete::run(&context, it, output))?,
        Verb::Delete(it) => project.changing(None, |context| delete::run(&context, it, output))?,
        Verb::Snapshot(it) if it.changes_instance() => {
            project.changing(None, |context| snapshot::run(&context, it, output))?;
        }
        Verb::Snapshot(it) => project.run(None, |context| snapshot::run(&context, it, output))?,
        Verb::List(it) => project.run(None, |context| list::run(&context, it, output))?,
        Verb::Prune(it) => project.run(None, |context| prune::run(&context, it, output))?,
        Verb::Background(background::Arguments::Reaper) => background::reap(globals, &name, output)?,
        Verb::Background(background::Arguments::Supervisor { auto_pause, paused }) => {
            background::supervise(&name, *auto_pause, *paused, output)?;
        }
        Verb::Background(background::Arguments::FillWarmPool) => {
            project.run(None, |context| background::fill_warm_pool(&context))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs verbs that need the project and its configuration.
struct InProject<'a> {
    globals: &'a Globals,
    name: &'a InstanceName,
    output: &'a Output,
}

impl InProject<'_> {
    /// Runs a verb. `config` are its own flags that set configuration keys.
    fn run<T>(&self, config: Option<&ConfigArgs>, verb: impl FnOnce(Context<'_>) -> Result<T>) -> Result<T> {
        let consent = self.output.consent();
        verb(context::load(self.globals, self.name.clone(), config, &consent, self.output)?)
    }

    /// Runs a verb that works although the configuration is wrong. If it is interrupted, its error tells the state of the
    /// instance.
    fn always<T>(&self, verb: impl FnOnce(Context<'_>) -> Result<T>) -> Result<T> {
        let consent = self.output.consent();
        self.telling(context::load_or_defaults(self.globals, self.name.clone(), &consent, self.output)?, verb)
    }

    /// Runs a verb that changes the instance: if it is interrupted, its error tells the state of the instance.
    fn changing<T>(&self, config: Option<&ConfigArgs>, verb: impl FnOnce(Context<'_>) -> Result<T>) -> Result<T> {
        self.run(config, |context| self.telling(context, verb))
    }

    fn telling<T>(&self, context: Context<'_>, verb: impl FnOnce(Context<'_>) -> Result<T>) -> Result<T> {
        let observed = context.with_name(self.name.clone());
        verb(context).map_err(|error| aftermath::tell(Some(&observed), error))
    }
}
