//! `guest/nixos` without a nixpkgs: that it parses, what it evaluates to, that it keeps to options
//! that NixOS has, and that Nix can build its image. And the provider that calls Nix, with a true one.
//!
//! What needs Nix is ignored by a plain `cargo test`; `cargo xtask nix` brings one, and `bin/test` runs it.

mod driver;
mod evaluation;
mod microvm;
mod nix;
mod option_table;
mod parse;
mod realisation;
