//! Tests of `guest/nixos` without nixpkgs: that it parses, what it evaluates to, that it sets only options of NixOS,
//! and that Nix can build its guest image. Also tests of the provider with a real Nix.
//!
//! A plain `cargo test` ignores the tests that need Nix. `cargo xtask nix` fetches it, and `bin/test` runs them.

mod driver;
mod evaluation;
mod microvm;
mod nix;
mod option_table;
mod parse;
mod realisation;
