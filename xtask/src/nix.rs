//! `cargo xtask nix`: Nix from Debian's packages, unpacked into `target/nix`, for tests alone.
//!
//! Nothing is installed, no store is made: its packages and their libraries are in a directory, and scripts beside it run
//! the programs with them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The release of Debian; nixpkgs wants Nix 2.18, and this is the first that has it.
const SUITE: &str = "trixie";

/// The programs that tests use, all of them links to one.
const PROGRAMS: [&str; 3] = ["nix-build", "nix-instantiate", "nix-store"];

/// Makes `target/nix/bin`, unless it is there.
///
/// # Errors
/// mmdebstrap's, and what is not as expected in Debian's packages.
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
        // Last: where it is, the rest is whole.
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

/// Packages unpacked, no script of theirs run.
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

/// The program that starts programs with libraries from the tree (`ld.so(8)`).
fn loader(tree: &Path) -> Result<PathBuf> {
    let candidates = ["usr/lib64/ld-linux-x86-64.so.2", "usr/lib/ld-linux-aarch64.so.1"];
    let found = candidates.iter().map(|name| tree.join(name)).find(|path| path.exists());
    found.with_context(|| format!("no dynamic loader in {}", tree.display()))
}

/// The name by which it is called tells Nix which of its commands it is.
fn script_text(loader: &Path, tree: &Path) -> String {
    let (loader, tree) = (quoted(loader), quoted(tree));
    format!(
        "#!/bin/sh\n\
         # Written by `cargo xtask nix`.\n\
         exec {loader} --library-path \"$(printf '%s:' {tree}/usr/lib/*-linux-gnu)\" --argv0 \"${{0##*/}}\" {tree}/usr/bin/nix \"$@\"\n"
    )
}

/// A path as a word of the shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_survives_an_awkward_directory() {
        let tree = Path::new("/the user's/nix/tree");
        insta::assert_snapshot!(script_text(&tree.join("usr/lib64/ld.so"), tree), @r#"
        #!/bin/sh
        # Written by `cargo xtask nix`.
        exec '/the user'\''s/nix/tree/usr/lib64/ld.so' --library-path "$(printf '%s:' '/the user'\''s/nix/tree'/usr/lib/*-linux-gnu)" --argv0 "${0##*/}" '/the user'\''s/nix/tree'/usr/bin/nix "$@"
        "#);
    }
}
