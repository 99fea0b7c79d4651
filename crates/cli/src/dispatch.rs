//! From a verb that was typed to the engine's function for it, and from its report to a result on stdout.
//!
//! No decision about the VM is made here.

mod supervisor;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use host::interrupt::Interruptible;
use lifecycle::Context;
use lifecycle::aftermath;
use lifecycle::apply;
use lifecycle::apply::KubeconfigContext;
use lifecycle::fork::run;
use lifecycle::fork::warm_pool;
use lifecycle::project::Project;
use lifecycle::start;
use lifecycle::start::{StartOptions, StartReport};
use lifecycle::verbs::clone;
use lifecycle::verbs::delete;
use lifecycle::verbs::forward;
use lifecycle::verbs::kubectl;
use lifecycle::verbs::list;
use lifecycle::verbs::load;
use lifecycle::verbs::logs;
use lifecycle::verbs::nix_update;
use lifecycle::verbs::pause;
use lifecycle::verbs::prune;
use lifecycle::verbs::reset;
use lifecycle::verbs::snapshot;
use lifecycle::verbs::ssh;
use lifecycle::verbs::status;
use lifecycle::verbs::stop;
use lifecycle::verbs::stop::StopOptions;
use model::config::Overrides;
use model::instance::InstanceName;
use model::paths::CachePaths;
use model::{Error, ErrorClass, Result};

use crate::PROGRAM_VARIABLE;
use crate::args::{
    self, ApplyArgs, ConfigVerb, Format, ForwardVerb, Globals, Invocation, NixVerb, OutputArgs, SnapshotVerb, Verb,
    WaitArgs,
};
use crate::output::Output;
use crate::output::forwards::forwards;
use crate::output::summary::{Cluster, Summary};
use crate::output::{report, saved};

/// The checkout whose `guest/` images are built from; the launcher sets it.
const HOME_VARIABLE: &str = "K3S_VM_HOME";

/// The device of KVM.
const KVM_DEVICE: &str = "/dev/kvm";

/// Names another file to look at instead of [`KVM_DEVICE`], for tests (CONTRIBUTING.md); QEMU is not told of it.
const KVM_DEVICE_VARIABLE: &str = "K3S_VM_KVM_DEVICE";

/// Runs the verb. An interrupt is told as one, whatever failed because of it.
///
/// # Errors
/// The error of the verb.
pub(crate) fn verb(invocation: Invocation, output: &Output) -> Result<ExitCode> {
    any(invocation, output).map_err(|error| match error.class() {
        // Told already where a verb was interrupted.
        ErrorClass::Interrupted => error,
        _ => aftermath::tell(None, error),
    })
}

fn any(invocation: Invocation, output: &Output) -> Result<ExitCode> {
    if invocation.verb == Verb::Config(ConfigVerb::Schema) {
        // It is the same for all projects, so none is needed.
        output.result_json(&model::config::schema::schema())?;
        return Ok(ExitCode::SUCCESS);
    }
    if invocation.verb == Verb::Reaper {
        // Without the configuration, which may be wrong by now: what was made with it has to go.
        let name = invocation.globals.name.clone().unwrap_or_default();
        run::reaper(&find(&invocation.globals)?, &name, std::io::stdin().lock(), output.events())?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Verb::Supervisor(arguments) = invocation.verb {
        supervisor::run(&invocation.globals.name.unwrap_or_default(), arguments, output)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Verb::Nix(NixVerb::Update(arguments)) = invocation.verb {
        // The pin is this checkout's, not a project's.
        let report = nix_update::run(&checkout()?.join("guest"), output.events())?;
        // People have read it in the step's line.
        output.report(arguments, &report, |_, _| String::new())?;
        return Ok(ExitCode::SUCCESS);
    }
    let project = Project::load(find(&invocation.globals)?, &overrides(&invocation))?;
    let consent = output.consent();
    let context = Context {
        project,
        name: invocation.globals.name.clone().unwrap_or_default(),
        cache: CachePaths::new(cache_root()?),
        guest_sources: checkout()?.join("guest"),
        kvm_device: std::env::var_os(KVM_DEVICE_VARIABLE).map_or_else(|| KVM_DEVICE.into(), PathBuf::from),
        events: output.events(),
        consent: &consent,
    };
    let concerned = concerned(&invocation.verb, &context.name).map(|name| context.with_name(name));
    with_context(invocation.verb, context, output).map_err(|error| aftermath::tell(concerned.as_ref(), error))
}

/// The instance that the verb changes, and whose state is worth a word when it is interrupted.
fn concerned(verb: &Verb, name: &InstanceName) -> Option<InstanceName> {
    match verb {
        Verb::Clone(arguments) => Some(arguments.new.clone()),
        Verb::Apply(ApplyArgs { kubeconfig: Some(_), .. }) => None,
        Verb::Start(_)
        | Verb::Reset { .. }
        | Verb::Stop { .. }
        | Verb::Snapshot(SnapshotVerb::Save { .. } | SnapshotVerb::Restore { .. })
        | Verb::Pause(_)
        | Verb::Resume { .. }
        | Verb::Apply(_)
        | Verb::Load { .. }
        | Verb::Delete { all: false, .. } => Some(name.clone()),
        _ => None,
    }
}

fn with_context(verb: Verb, context: Context<'_>, output: &Output) -> Result<ExitCode> {
    match verb {
        Verb::Start(arguments) => {
            let report = start::run(&context, options(&arguments.wait))?;
            started(&report, arguments.output, output)?;
        }
        Verb::Reset { rebuild, start: arguments } => {
            let report = reset::run(&context, options(&arguments.wait), rebuild)?;
            started(&report, arguments.output, output)?;
        }
        Verb::Stop { power_off, timeout, output: arguments } => {
            let report = stop::run(&context, StopOptions { power_off, timeout })?;
            // People have read it in the step's line.
            output.report(arguments, &report, |_, _| String::new())?;
        }
        Verb::Config(ConfigVerb::Show { output: arguments, .. }) => {
            output.report(arguments, &context.project.settings, |settings, style| report::settings(settings, style))?;
        }
        // Done already.
        Verb::Config(ConfigVerb::Schema) | Verb::Reaper | Verb::Supervisor(_) | Verb::Nix(_) => {}
        Verb::PoolFill => warm_pool::fill(&context)?,
        Verb::Clone(arguments) => {
            let context = context.with_name(arguments.new);
            let report = clone::run(&context, arguments.from.as_deref(), options(&arguments.start.wait))?;
            started(&report, arguments.start.output, output)?;
        }
        Verb::Run(arguments) => return crate::fork::run(&context, arguments, output),
        Verb::Delete { all, output: arguments } => {
            let report = delete::run(&context, all)?;
            // People have read it in the step's line.
            output.report(arguments, &report, |_, _| String::new())?;
        }
        Verb::Prune { dry_run, output: arguments } => {
            output.report(arguments, &prune::run(&context, dry_run)?, saved::pruned)?;
        }
        Verb::Snapshot(verb) => snapshot(&context, verb, output)?,
        Verb::List(arguments) => {
            output.report(arguments, &list::run(&context)?, report::list)?;
        }
        Verb::Pause(arguments) => {
            let report = pause::pause(&context)?;
            output.report(arguments, &report, |_, _| String::new())?;
        }
        Verb::Resume { timeout, output: arguments } => {
            let report = pause::resume(&context, timeout)?;
            output.report(arguments, &report, |_, _| String::new())?;
        }
        Verb::Forward(verb) => forward(&context, verb, output)?,
        Verb::Status(arguments) => {
            let report = status::run(&context)?;
            output.report(arguments, &report, |report, style| report::status(report, output.prefix(), style))?;
        }
        Verb::Apply(arguments) => return apply(context, arguments, output),
        Verb::Load { archive, output: arguments } => {
            let mut stdin = Interruptible::stdin()?;
            let source =
                if archive == Path::new("-") { load::Source::Stream(&mut stdin) } else { load::Source::File(&archive) };
            let images = load::run(&context, source, None)?;
            output.report(arguments, &images, |images, style| report::images(images, style))?;
        }
        Verb::Logs { follow, lines, previous, raw } => {
            let mut log = output.log(raw);
            let text = logs::lines(&context, previous.unwrap_or(0), lines)?;
            log.write(text.iter().map(|line| format!("{line}\n")).collect::<String>().as_bytes())?;
            if follow {
                logs::follow(&context, &mut |bytes| log.write(bytes))?;
            }
            log.end()?;
        }
        Verb::Ssh { command } => return replace(ssh::run(&context, &command)?, output),
        Verb::Kubectl { arguments } => return replace(kubectl::run(&context, &arguments)?, output),
    }
    Ok(ExitCode::SUCCESS)
}

fn forward(context: &Context<'_>, verb: ForwardVerb, output: &Output) -> Result<()> {
    match verb {
        ForwardVerb::Add { forward, save, output: arguments } => {
            let report = forward::add(context, forward, save)?;
            output.report(arguments, &report, |report, style| forwards(std::slice::from_ref(report), style))
        }
        ForwardVerb::List(arguments) => {
            output.report(arguments, &forward::list(context)?, |reports, style| forwards(reports, style))
        }
        ForwardVerb::Rm { host, save, output: arguments } => {
            let report = forward::remove(context, host, save)?;
            // People have read it in a note.
            output.report(arguments, &report, |_, _| String::new())
        }
    }
}

/// Flags and variables that count before the configuration file.
fn overrides(invocation: &Invocation) -> Overrides {
    let mut others = args::own_variables();
    others.extend([HOME_VARIABLE, KVM_DEVICE_VARIABLE, PROGRAM_VARIABLE].map(str::to_owned));
    let (arguments, set) = (invocation.verb.config(), &invocation.globals.set);
    // Only flags that name files need it: `--project DIR` also works from a directory that has been removed.
    let here = std::env::current_dir().unwrap_or_default();
    args::config::overrides(arguments, set, std::env::vars_os(), &others, &here)
}

/// Tells what a start came to.
fn started(report: &StartReport, arguments: OutputArgs, output: &Output) -> Result<()> {
    output.report(arguments, report, |report, style| summary(report, output).render(style))
}

fn snapshot(context: &Context<'_>, verb: SnapshotVerb, output: &Output) -> Result<()> {
    match verb {
        SnapshotVerb::Save { snapshot: name, replace, output: arguments } => {
            let report = snapshot::save(context, &name, replace)?;
            // People have read it in the step's line.
            output.report(arguments, &report, |_, _| String::new())
        }
        SnapshotVerb::List(arguments) => {
            output.report(arguments, &snapshot::list(context)?, |entries, style| saved::snapshots(entries, style))
        }
        SnapshotVerb::Rm { snapshots, output: arguments } => {
            let report = snapshot::remove(context, &snapshots)?;
            output.report(arguments, &report, |report, _| saved::removed(report))
        }
        SnapshotVerb::Restore { snapshot: name, wait, output: arguments } => {
            started(&snapshot::restore(context, &name, options(&wait))?, arguments, output)
        }
    }
}

fn apply(context: Context<'_>, arguments: ApplyArgs, output: &Output) -> Result<ExitCode> {
    let target = match arguments.kubeconfig {
        Some(file) => apply::Target::Kubeconfig(KubeconfigContext { file, context: arguments.context }),
        None => apply::Target::Instance,
    };
    let settings = apply::Settings { force: arguments.force_conflicts, prune: !arguments.no_prune, required: true };
    let (wait, timeout) = (arguments.wait.waits(), arguments.wait.timeout);
    let options = apply::Options { target, settings, wait, timeout };
    let (json, style) = (arguments.output.output == Format::Json, output.result_style());
    if arguments.dry_run {
        let preview = apply::preview(&context, &options)?;
        output.report(arguments.output, &preview, report::preview)?;
    } else if arguments.watch {
        apply::watch(context, &options, &mut |outcome| match outcome {
            Ok(report) if json => output.result_json_line(&report),
            Ok(report) => output.result(&report::apply_news(&report, style)),
            // Told as a verb's last word is, but the next save may cure it.
            Err(error) => {
                output.error(&error);
                Ok(())
            }
        })?;
    } else {
        let report = apply::run(&context, &options)?;
        output.report(arguments.output, &report, report::apply)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn options(wait: &WaitArgs) -> StartOptions {
    StartOptions { wait: wait.waits(), timeout: wait.timeout }
}

fn find(globals: &Globals) -> Result<model::paths::ProjectPaths> {
    match &globals.project {
        Some(directory) => Project::at(directory),
        None => Project::find(&working_directory()?),
    }
}

fn working_directory() -> Result<PathBuf> {
    std::env::current_dir().map_err(|error| {
        Error::new(ErrorClass::Failed, "the working directory cannot be read").because(error).next("cd to the project")
    })
}

/// `$XDG_CACHE_HOME/k3s-vm`, by default in `~/.cache` (XDG Base Directory Specification).
fn cache_root() -> Result<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .map(|root| root.join("k3s-vm"))
        .ok_or_else(|| {
            Error::new(ErrorClass::Config, "there is no place for the image cache")
                .because("neither XDG_CACHE_HOME nor HOME is set to an absolute path")
                .next("export XDG_CACHE_HOME=$PWD/.cache")
        })
}

/// The checkout: told by the launcher, else found from the place of this program (`target/PROFILE/k3s-vm`).
fn checkout() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os(HOME_VARIABLE) {
        return Ok(PathBuf::from(home));
    }
    let program = std::env::current_exe().ok();
    let root = program.as_deref().and_then(|path| path.ancestors().nth(3)).filter(|root| root.join("guest").is_dir());
    root.map(Path::to_path_buf).ok_or_else(|| {
        Error::new(ErrorClass::Config, "the sources of the guest image cannot be found")
            .because(format!("{HOME_VARIABLE} is not set, and this program is not in a checkout of k3s-vm"))
            .next("run bin/k3s-vm of the checkout")
    })
}

/// Lets `replacement` take the place of this process; its exit code is then that of the verb.
fn replace(replacement: ssh::Replacement, output: &Output) -> Result<ExitCode> {
    output.quieten();
    let mut command = std::process::Command::new(&replacement.program);
    command.args(&replacement.arguments).envs(replacement.environment.iter().map(|(name, value)| (name, value)));
    if let Some(path) = &replacement.input {
        let file = std::fs::File::open(path).map_err(|error| {
            Error::new(ErrorClass::Failed, format!("cannot read {}", path.display())).because(error)
        })?;
        command.stdin(file);
    }
    let error = command.exec();
    Err(Error::new(ErrorClass::Host, format!("cannot run {}", replacement.program.display())).because(error))
}

fn summary(report: &StartReport, output: &Output) -> Summary {
    let here = std::env::current_dir().unwrap_or_default();
    let near =
        |path: &str| Path::new(path).strip_prefix(&here).map_or_else(|_| path.to_owned(), |p| p.display().to_string());
    Summary {
        prefix: output.prefix().clone(),
        cluster: Cluster::of(report),
        web_url: report.web.clone(),
        api_url: report.api.clone(),
        kubeconfig: near(&report.kubeconfig),
        context: report.context.clone(),
        log: near(&report.log),
        ssh_port: report.ssh_port,
        variables: near(&report.variables),
    }
}
