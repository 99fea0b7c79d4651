//! `apply`.

use std::path::PathBuf;

use clap::Args;
use lifecycle::Context;
use lifecycle::apply::{
    self, Applied, ApplyReport, Change, KubeconfigContext, Options, PreviewReport, PruneOutcome, Pruned, Settings,
    Target,
};
use model::Result;

use crate::args::{Format, OutputArgs, WaitArgs};
use crate::output::Output;
use crate::output::style::Style;
use crate::output::table::Table;

const EXAMPLES: &str = "\
Examples:
  k3s-vm apply
  k3s-vm apply --dry-run     Print what would change as a diff
  k3s-vm apply --watch       Apply again whenever manifests or variables change
  k3s-vm apply -o json       Print every object and what happened to it
  k3s-vm apply --kubeconfig ~/.kube/config --context staging
                             Apply to another cluster; needs no VM";

/// Apply the manifests and the web application's variables without rebuilding
///
/// Loads the configured container images first, and replaces pods only where something changed. Deletes objects that
/// are no longer in the manifests, except namespaces, volumes and custom resource definitions.
#[derive(Debug, PartialEq, Eq, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Print what would change as a diff, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Apply again whenever manifests, variables or configuration change, until Ctrl-C
    #[arg(long, conflicts_with = "dry_run")]
    watch: bool,
    /// Do not delete objects that are no longer in the manifests
    #[arg(long)]
    no_prune: bool,
    /// Take over fields that others have set, and objects of other projects
    #[arg(long)]
    force_conflicts: bool,
    /// Apply to the cluster of this kubeconfig instead of the project's VM; `$KUBECONFIG` is ignored
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; defaults to its current one
    #[arg(long, value_name = "NAME", requires = "kubeconfig")]
    context: Option<String>,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the verb.
///
/// # Errors
/// As [`apply::run`], [`apply::preview`] and [`apply::watch`].
pub(crate) fn run(context: Context<'_>, arguments: &Arguments, output: &Output) -> Result<()> {
    let target = match &arguments.kubeconfig {
        Some(file) => Target::Kubeconfig(KubeconfigContext { file: file.clone(), context: arguments.context.clone() }),
        None => Target::Instance,
    };
    let settings = Settings { force: arguments.force_conflicts, prune: !arguments.no_prune, required: true };
    let options = Options { target, settings, wait: arguments.wait.waits(), timeout: arguments.wait.timeout };
    if arguments.dry_run {
        return output.report(arguments.output, &apply::preview(&context, &options)?, render_preview);
    }
    if !arguments.watch {
        return output.report(arguments.output, &apply::run(&context, &options)?, render);
    }
    apply::watch(context, &options, &mut |outcome| match (outcome, arguments.output.output) {
        (Ok(report), Format::Json) => output.result_json_line(&report),
        (Ok(report), Format::Human) => output.result(&render_changes(&report, output.result_style())),
        // The next save may correct it.
        (Err(error), _) => {
            output.error(&error);
            Ok(())
        }
    })
}

/// Every object and what happened to it.
fn render(report: &ApplyReport, style: Style) -> String {
    table(report.objects.iter(), &report.pruned, style)
}

/// The objects that were changed, for one apply of a watch.
fn render_changes(report: &ApplyReport, style: Style) -> String {
    table(report.objects.iter().filter(|object| object.change != Change::Unchanged), &report.pruned, style)
}

/// What an apply would change: the diffs, then every object.
fn render_preview(report: &PreviewReport, style: Style) -> String {
    let diffs = report.objects.iter().filter(|object| !object.diff.is_empty());
    let lines = diffs.flat_map(|object| object.diff.lines()).map(|line| diff_line(line, style) + "\n");
    let mut text: String = lines.collect();
    if !text.is_empty() {
        text.push('\n');
    }
    text + &table(report.objects.iter().map(|object| &object.applied), &report.pruned, style)
}

fn diff_line(line: &str, style: Style) -> String {
    match line.as_bytes() {
        [b'-', b'-', b'-', b' ', ..] | [b'+', b'+', b'+', b' ', ..] => style.strong(line),
        [b'-', ..] => style.removed(line),
        [b'+', ..] => style.good(line),
        [b'@', ..] => style.faint(line),
        _ => line.to_owned(),
    }
}

fn table<'a>(objects: impl Iterator<Item = &'a Applied>, pruned: &'a [Pruned], style: Style) -> String {
    let mut table = Table::new(["KIND", "NAMESPACE", "NAME", "CHANGE"]);
    for object in objects {
        let change = format!("{:?}", object.change).to_lowercase();
        table.row([&object.kind, object.namespace.as_deref().unwrap_or("-"), &object.name, &change]);
    }
    for object in pruned {
        let change = match object.outcome {
            PruneOutcome::Deleted => "pruned",
            PruneOutcome::Kept(_) => "kept",
        };
        table.row([&object.kind, object.namespace.as_deref().unwrap_or("-"), &object.name, change]);
    }
    table.render(style)
}

#[cfg(test)]
mod tests {
    use lifecycle::apply::Previewed;

    use super::*;

    fn applied(name: &str, change: Change) -> Applied {
        let (kind, api_version) = ("ConfigMap".to_owned(), "v1".to_owned());
        Applied { kind, api_version, namespace: Some("default".to_owned()), name: name.to_owned(), change }
    }

    fn pruned(name: &str, outcome: PruneOutcome) -> Pruned {
        let (kind, api_version) = ("Namespace".to_owned(), "v1".to_owned());
        Pruned { kind, api_version, namespace: None, name: name.to_owned(), outcome }
    }

    #[test]
    fn an_apply_lists_what_was_applied_and_what_has_left() {
        let report = ApplyReport {
            objects: vec![applied("a", Change::Created), applied("b", Change::Unchanged)],
            pruned: vec![pruned("c", PruneOutcome::Deleted), pruned("d", PruneOutcome::Kept("why".to_owned()))],
            ..ApplyReport::default()
        };
        insta::assert_snapshot!(render(&report, Style::PLAIN), @r"
        KIND       NAMESPACE  NAME  CHANGE
        ConfigMap  default    a     created
        ConfigMap  default    b     unchanged
        Namespace  -          c     pruned
        Namespace  -          d     kept
        ");
        insta::assert_snapshot!(render_changes(&report, Style::PLAIN), @r"
        KIND       NAMESPACE  NAME  CHANGE
        ConfigMap  default    a     created
        Namespace  -          c     pruned
        Namespace  -          d     kept
        ");
        assert_eq!(render_changes(&ApplyReport::default(), Style::PLAIN), "");
    }

    #[test]
    fn a_preview_shows_differences_before_the_list() {
        let diff = "--- a (in the cluster)\n+++ a (after apply)\n@@ -1 +1 @@\n-x: 1\n+x: 2\n".to_owned();
        let objects = vec![
            Previewed { applied: applied("a", Change::Configured), diff },
            Previewed { applied: applied("b", Change::Unchanged), diff: String::new() },
        ];
        let report = PreviewReport { dry_run: true, objects, ..PreviewReport::default() };
        insta::assert_snapshot!(render_preview(&report, Style::PLAIN), @r"
        --- a (in the cluster)
        +++ a (after apply)
        @@ -1 +1 @@
        -x: 1
        +x: 2

        KIND       NAMESPACE  NAME  CHANGE
        ConfigMap  default    a     configured
        ConfigMap  default    b     unchanged
        ");
        assert!(render_preview(&report, Style::new(true)).contains("\x1b[31m-x: 1\x1b[0m\n\x1b[32m+x: 2\x1b[0m"));
    }
}
