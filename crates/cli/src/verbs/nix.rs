//! `nix update`.

use clap::Subcommand;
use lifecycle::verbs::nix_update;
use model::Result;

use crate::args::OutputArgs;
use crate::environment;
use crate::output::Output;

/// Manage the nixpkgs of NixOS guests
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum Arguments {
    /// Pin the newest nixpkgs of the channel that is followed
    ///
    /// Rewrites guest/nixos/nixpkgs.json of this checkout, from which all projects build. The next `reset` rebuilds the
    /// image.
    Update(OutputArgs),
}

/// Runs the verb, which needs no project: the pin belongs to the checkout.
///
/// # Errors
/// As [`nix_update::run`].
pub(crate) fn run(arguments: &Arguments, output: &Output) -> Result<()> {
    let Arguments::Update(arguments) = arguments;
    output.report_to_programs(*arguments, &nix_update::run(&environment::guest_sources()?, output.events())?)
}
