//! What the tool writes into the web application's folder: the kubeconfig, the link to it, and two variables.
//!
//! Called only after the API has proven to be ours. Every other byte of the user's files stays.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use host::command::quote;
use host::files::{self, Mode};
use model::dotenv::Document;
use model::paths::WebPaths;
use model::{EventSink, Fault, FaultClass, Result};

/// What the link leads to, in messages.
const KUBECONFIG: &str = ".kube/config";

/// What reaches the web application.
pub(crate) struct Access<'a> {
    /// The kubeconfig as YAML.
    pub(crate) kubeconfig: &'a str,
    /// The value of `KUBECONFIG_PRIMARY`: the kubeconfig as one-line JSON in base64.
    pub(crate) primary: &'a str,
}

/// Whether [`write`] would find something in its way, so that nobody waits for a cluster to be told. Changes nothing.
///
/// # Errors
/// A State fault that names each file that has to be moved or made writable.
pub(crate) fn check(web: &WebPaths) -> Result<()> {
    let mut found: Vec<(String, String)> = Vec::new();
    let quoted = |path: &Path| quote(path.as_os_str());
    if web.dir().exists() && !web.dir().is_dir() {
        let dir = web.dir();
        found.push((
            format!("{} is no folder", dir.display()),
            format!(
                "mv {} {}.old    # or name the web folder: web.folder in .k3s-vm/config.toml",
                quoted(dir),
                quoted(dir)
            ),
        ));
    }
    let link = web.kubeconfig_link();
    if fs::symlink_metadata(&link).is_ok_and(|metadata| !metadata.is_symlink()) {
        found.push((
            format!("{} is a file of yours; it has to be a link to {KUBECONFIG}", link.display()),
            format!("mv {} {}.old", quoted(&link), quoted(&link)),
        ));
    }
    let dot_env = web.dot_env();
    if let Ok(metadata) = fs::metadata(&dot_env) {
        if !metadata.is_file() {
            found.push((
                format!("{} is no file", dot_env.display()),
                format!("mv {} {}.old", quoted(&dot_env), quoted(&dot_env)),
            ));
        } else if metadata.permissions().mode() & 0o222 == 0 {
            // It could be replaced all the same, but whoever took the permission away meant something by it.
            found.push((
                format!("{} is read-only; KUBECONFIG and KUBECONFIG_PRIMARY have to be set in it", dot_env.display()),
                format!("chmod u+w {}", quoted(&dot_env)),
            ));
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    let fault = Fault::new(FaultClass::State, "the web folder cannot take the kubeconfig");
    Err(found.into_iter().fold(fault, |fault, (why, next)| fault.because(why).next(next)))
}

/// Brings the web folder up to date and says what changed, for the phase's line.
///
/// # Errors
/// Faults of reading and writing; `kubeconfig.yaml` that is no symbolic link is left alone and is a fault.
pub(crate) fn write(web: &WebPaths, access: &Access<'_>, events: &dyn EventSink) -> Result<()> {
    files::create_dir(web.dir())?;
    let kubeconfig = web.kubeconfig();
    if let Some(folder) = kubeconfig.parent() {
        files::create_private_dir(folder)?;
    }
    if files::read_optional(&kubeconfig)?.as_deref() != Some(access.kubeconfig.as_bytes()) {
        files::write_atomic(&kubeconfig, access.kubeconfig.as_bytes(), Mode::Exactly(0o600))?;
        events.debug(format!("wrote {}", kubeconfig.display()));
    }
    let link = web.kubeconfig_link();
    let before = fs::read_link(&link).ok();
    if files::point_link(&link, WebPaths::kubeconfig_link_target())?
        && let Some(before) = before
    {
        events.note(format!("{} pointed to {}; it points to {KUBECONFIG} now", link.display(), before.display()));
    }
    write_variables(web, access.primary, events)
}

/// Sets `KUBECONFIG` and `KUBECONFIG_PRIMARY` in the application's `.env`.
fn write_variables(web: &WebPaths, primary: &str, events: &dyn EventSink) -> Result<()> {
    let path = web.dot_env();
    let (before, mode) = match files::read_optional(&path)? {
        Some(bytes) => (bytes, Mode::Keep),
        None => (example(web, events)?, Mode::Exactly(0o600)),
    };
    let mut document = Document::parse(&before);
    document.set("KUBECONFIG", WebPaths::KUBECONFIG_VALUE);
    document.set("KUBECONFIG_PRIMARY", primary);
    let after = document.to_bytes();
    if after != before || !path.exists() {
        files::write_atomic(&path, &after, mode)?;
        events.debug(format!("set KUBECONFIG and KUBECONFIG_PRIMARY in {}", path.display()));
    }
    Ok(())
}

/// What a missing `.env` begins as.
fn example(web: &WebPaths, events: &dyn EventSink) -> Result<Vec<u8>> {
    match files::read_optional(&web.dot_env_example())? {
        Some(bytes) => {
            events.note(format!(
                "{} did not exist: made it from {}",
                web.dot_env().display(),
                web.dot_env_example().display()
            ));
            Ok(bytes)
        }
        None => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests;
