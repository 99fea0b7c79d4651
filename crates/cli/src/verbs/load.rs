//! `load`.

use std::path::{Path, PathBuf};

use clap::Args;
use host::interrupt::Interruptible;
use lifecycle::Context;
use lifecycle::apply::images::LoadedImage;
use lifecycle::verbs::load;
use model::Result;

use crate::args::OutputArgs;
use crate::output::Output;
use crate::output::style::Style;
use crate::output::table::Table;

const EXAMPLES: &str = "\
Examples:
  k3s-vm load web.tar
  docker save local/web:dev | k3s-vm load -";

/// Load container images from a docker or OCI archive into the cluster
#[derive(Debug, PartialEq, Eq, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Archive, or `-` for standard input
    #[arg(value_name = "FILE")]
    archive: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the verb.
///
/// # Errors
/// As [`load::run`].
pub(crate) fn run(context: &Context<'_>, arguments: &Arguments, output: &Output) -> Result<()> {
    let mut stdin = Interruptible::stdin()?;
    let archive = &arguments.archive;
    let source = if archive == Path::new("-") { load::Source::Stream(&mut stdin) } else { load::Source::File(archive) };
    let images = load::run(context, source, None)?;
    output.report(arguments.output, &images, |images, style| render(images, style))
}

/// Every image, and whether it was loaded now.
fn render(images: &[LoadedImage], style: Style) -> String {
    let mut table = Table::new(["IMAGE", "ID", "STATE"]);
    for image in images {
        let id: String = image.digest.trim_start_matches("sha256:").chars().take(12).collect();
        table.row([&image.name, &id, if image.transferred { "loaded" } else { "there already" }]);
    }
    table.render(style)
}
