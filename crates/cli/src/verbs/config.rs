//! `config show` and `config schema`.

use clap::Subcommand;
use lifecycle::Context;
use model::Result;
use model::config::{Setting, SettingValue};

use crate::args::OutputArgs;
use crate::args::config::ConfigArgs;
use crate::output::Output;
use crate::output::style::Style;
use crate::output::table::Table;

const EXAMPLES: &str = "\
Examples:
  k3s-vm config show
  k3s-vm config show --set vm.memory=4GiB -o json
  k3s-vm config schema > .k3s-vm/config.schema.json";

/// Show the configuration and where each value comes from
///
/// Flags override variables (`K3S_VM_PORTS_API` for `ports.api`), variables override `.k3s-vm/config.toml`, and the
/// file overrides the defaults.
#[derive(Debug, PartialEq, Eq, Subcommand)]
#[command(after_long_help = EXAMPLES)]
pub(crate) enum Arguments {
    Show(Show),
    /// Print the JSON Schema of `.k3s-vm/config.toml`, for editors
    Schema,
}

/// Show every key with its value and where it comes from
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct Show {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    pub(crate) config: Box<ConfigArgs>,
}

/// Runs `config show`.
///
/// # Errors
/// As [`Output::result`].
pub(crate) fn show(context: &Context<'_>, arguments: &Show, output: &Output) -> Result<()> {
    output.report(arguments.output, &context.project.settings, |settings, style| render(settings, style))
}

/// Runs `config schema`, which needs no project.
///
/// # Errors
/// As [`Output::result`].
pub(crate) fn schema(output: &Output) -> Result<()> {
    output.result_json(&model::config::schema::schema())
}

/// Every key with its value and where it comes from.
fn render(settings: &[Setting], style: Style) -> String {
    let mut table = Table::new(["KEY", "VALUE", "FROM"]);
    for setting in settings {
        let value = match &setting.value {
            SettingValue::None => "-".to_owned(),
            SettingValue::One(text) => text.clone(),
            SettingValue::List(texts) if texts.is_empty() => "-".to_owned(),
            SettingValue::List(texts) => texts.join(", "),
        };
        table.row([&setting.key, &value, &setting.origin.to_string()]);
    }
    table.render(style)
}
