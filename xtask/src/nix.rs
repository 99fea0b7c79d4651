//! `cargo xtask nix`: Nix from Debian's packages, unpacked into `target/nix`, for tests alone.
//!
//! Nothing is installed and no store is made: the packages and their libraries are in a directory, and scripts beside it
//! run the programs with them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The Debian release: the first with Nix 2.18, which nixpkgs needs.
const SUITE: &str = "trixie";

/// The programs that tests use; all are links to one program.
const PROGRAMS: [&str; 3] = ["nix-build", "nix-instantiate", "nix-store"];

/// Makes `target/nix/bin`, unless it is there.
///
/// # Errors
/// mmdebstrap failed, or Debian's packages are not as expected.
pub(crate) fn run(repository: &Path) -> Result<()> {
    let directory = repository.join("target/nix");
    let programs = directory.join("bin");
    if !programs.exists() {
        if directory.exists() {
            fs::remove_dir_all(&directory).with_context(|| format!("cannot remove {}", directory.display()))?;
        }
        let (tree, partial) = (directory.join("tree"), directory.join("bin.partial"));
        fs::create_dir_all(&partial).with_context(|| format!("cannot make {}", partial.display()))?;
        unpack(&tree)?;
        let text = script_text(&loader(&tree)?, &tree);
        for name in PROGRAMS {
            fs::write(partial.join(name), &text)?;
            fs::set_permissions(partial.join(name), fs::Permissions::from_mode(0o755))?;
        }
        // Last: where `bin` exists, the rest is complete.
        fs::rename(&partial, &programs)?;
    }
    let program = programs.join(PROGRAMS[0]);
    let output = Command::new(&program).arg("--version").output().with_context(|| program.display().to_string())?;
    if !output.status.success() {
        bail!("{} does not run: {}", program.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    println!("{}: {}", programs.display(), String::from_utf8_lossy(&output.stdout).trim());
    Ok(())
}

/// Unpacks the packages without running their scripts.
fn unpack(tree: &Path) -> Result<()> {
    let status = Command::new("mmdebstrap")
        .args(["--quiet", "--variant=extract", "--include=nix-bin", "--aptopt=Acquire::Languages \"none\"", SUITE])
        .arg(tree)
        .status()
        .context("mmdebstrap, which unpacks Debian's Nix, cannot be run")?;
    if !status.success() {
        bail!("mmdebstrap ended with {status}");
    }
    Ok(())
}

/// The dynamic loader of the tree (`ld.so(8)`).
fn loader(tree: &Path) -> Result<PathBuf> {
    let candidates = ["usr/lib64/ld-linux-x86-64.so.2", "usr/lib/ld-linux-aarch64.so.1"];
    let found = candidates.iter().map(|name| tree.join(name)).find(|path| path.exists());
    found.with_context(|| format!("no dynamic loader in {}", tree.display()))
}

/// The script that runs Nix. Nix chooses its command by the name under which it is called.
fn script_text(loader: &Path, tree: &Path) -> String {
    let (loader, tree) = (quoted(loader), quoted(tree));
    format!(
        "#!/bin/sh\n\
         # Written by `cargo xtask nix`.\n\
         exec {loader} --library-path \"$(printf '%s:' {tree}/usr/lib/*-linux-gnu)\" --argv0 \"${{0##*/}}\" {tree}/usr/bin/nix \"$@\"\n"
    )
}

/// A path, quoted for the shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_blank_and_quote_is_quoted() {
        let tree = Path::new("/the user's/nix/tree");
        insta::assert_snapshot!(script_text(&tree.join("usr/lib64/ld.so"), tree), @r#"
        #!/bin/sh
        # Written by `cargo xtask nix`.
        exec '/the user'\''s/nix/tree/usr/lib64/ld.so' --library-path "$(printf '%s:' '/the user'\''s/nix/tree'/usr/lib/*-linux-gnu)" --argv0 "${0##*/}" '/the user'\''s/nix/tree'/usr/bin/nix "$@"
        "#);
    }
}
