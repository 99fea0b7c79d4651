//! `cargo xtask nix`: Nix's evaluator from Debian's packages, unpacked into `target/nix`, for tests alone.
//!
//! Nothing is installed, no store is made: its packages and their libraries are in a folder, and a script beside it runs
//! the program with them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The release of Debian; nixpkgs wants Nix 2.18, and this is the first that has it.
const SUITE: &str = "trixie";

/// Makes `target/nix/nix-instantiate`, unless it is there.
///
/// # Errors
/// mmdebstrap's, and what is not as expected in Debian's packages.
pub(crate) fn run(repository: &Path) -> Result<()> {
    let folder = repository.join("target/nix");
    let script = folder.join("nix-instantiate");
    if !script.exists() {
        let tree = folder.join("tree");
        if tree.exists() {
            fs::remove_dir_all(&tree).with_context(|| format!("cannot remove {}", tree.display()))?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        unpack(&tree)?;
        let text = script_text(&loader(&tree)?, &tree);
        // Written last: where it is, the rest is whole.
        let partial = folder.join("nix-instantiate.partial");
        fs::write(&partial, text)?;
        fs::set_permissions(&partial, fs::Permissions::from_mode(0o755))?;
        fs::rename(&partial, &script)?;
    }
    let output = Command::new(&script).arg("--version").output().with_context(|| script.display().to_string())?;
    if !output.status.success() {
        bail!("{} does not run: {}", script.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    println!("{}: {}", script.display(), String::from_utf8_lossy(&output.stdout).trim());
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
         exec {loader} --library-path \"$(printf '%s:' {tree}/usr/lib/*-linux-gnu)\" --argv0 nix-instantiate {tree}/usr/bin/nix \"$@\"\n"
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
    fn the_script_survives_an_awkward_folder() {
        let tree = Path::new("/the user's/nix/tree");
        insta::assert_snapshot!(script_text(&tree.join("usr/lib64/ld.so"), tree), @r#"
        #!/bin/sh
        # Written by `cargo xtask nix`.
        exec '/the user'\''s/nix/tree/usr/lib64/ld.so' --library-path "$(printf '%s:' '/the user'\''s/nix/tree'/usr/lib/*-linux-gnu)" --argv0 nix-instantiate '/the user'\''s/nix/tree'/usr/bin/nix "$@"
        "#);
    }
}
