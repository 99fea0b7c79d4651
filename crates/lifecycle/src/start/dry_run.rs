//! `start --dry-run` and `reset --dry-run`: the plan with the reasons for it, made and not run.

use model::Result;
use serde::Serialize;

use super::beginning::{Beginning, of_new_instance};
use super::execute::planned;
use super::look::{self, Inputs, Look};
use super::plan::{From, InstanceState, Plan, Step, Unused, Way};
use crate::context::Context;

/// A step that would be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlannedStep {
    /// The step.
    pub step: Step,
    /// What is shown while it runs.
    pub title: &'static str,
    /// What is known of it already: "kubernetes v1.37.2, built before".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fact: Option<String>,
}

/// A way to a VM that would be taken, or taken where the one before it fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlannedWay {
    /// What the VM would begin from.
    pub from: From,
    /// What would be known only after a step: whether this way can be taken at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_after: Option<Step>,
    /// Its steps.
    pub steps: Vec<PlannedStep>,
}

/// What a start would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DryRun {
    /// The instance.
    pub instance: String,
    /// The steps before there is a VM.
    pub prepare: Vec<PlannedStep>,
    /// The ways to a VM, the best first, each the fallback of the one before it.
    pub ways: Vec<PlannedWay>,
    /// Saved VMs that are there and would not be used, with the reason.
    pub unused: Vec<Unused>,
}

/// Makes the plan and describes it.
///
/// # Errors
/// Those of reading the project's files, and the refusal of an instance that cannot be started.
pub(crate) fn dry_run(context: &Context<'_>, wait: bool, beginning: &Beginning<'_>) -> Result<DryRun> {
    let inputs = Inputs::read(context)?;
    let look = Look::at(context, &inputs, beginning)?;
    let request = look::request(context, beginning, wait);
    let plan = planned(context, &look, beginning, &request)?;
    let known_after = look.saved.as_ref().err().copied();
    let Plan { prepare, ways, unused } = plan;
    Ok(DryRun {
        instance: context.name.to_string(),
        prepare: prepare.into_iter().map(|step| planned_step(context, &look, step)).collect(),
        ways: ways.iter().map(|way| planned_way(context, &look, way, known_after)).collect(),
        unused,
    })
}

/// The same of an instance that is not there, from the snapshot `from` where one is named.
///
/// # Errors
/// As [`dry_run`]; State where the snapshot cannot be used.
pub(crate) fn dry_run_from(context: &Context<'_>, from: Option<&str>, wait: bool) -> Result<DryRun> {
    of_new_instance(context, from, |beginning| dry_run(context, wait, beginning))
}

fn planned_way(context: &Context<'_>, look: &Look, way: &Way, known_after: Option<Step>) -> PlannedWay {
    PlannedWay {
        from: way.from,
        known_after: known_after.filter(|_| !way.boots() && way.from != From::Running),
        steps: way.steps.iter().map(|step| planned_step(context, look, *step)).collect(),
    }
}

fn planned_step(context: &Context<'_>, look: &Look, step: Step) -> PlannedStep {
    let parts = &look.parts;
    let fact = match step {
        Step::PrepareImage => parts.image.as_ref().map(|image| format!("{}, built before", image.describe())),
        Step::ChooseAccelerator => parts.choice.as_ref().map(|choice| format!("{choice}, as it was tested before")),
        Step::DestroyInstance => Some(match look::state_of(&look.observed) {
            InstanceState::Absent => "there is none".to_owned(),
            InstanceState::Stopped => "its disk and data".to_owned(),
            _ => "its VM, disk and data".to_owned(),
        }),
        Step::LoadImages if context.project.config.images.is_empty() => {
            Some("no [[images]] in .k3s-vm/config.toml".to_owned())
        }
        _ => None,
    };
    PlannedStep { step, title: step.title(), fact }
}
