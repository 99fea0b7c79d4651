//! `guest/nixos` without a nixpkgs: that it parses, what it evaluates to, and that it keeps to options that NixOS has.
//!
//! What needs Nix's evaluator is ignored by a plain `cargo test`; `cargo xtask nix` brings one, and `bin/test` runs it.

mod evaluation;
mod nix;
mod option_table;
mod parse;
