//! What the tool writes into the web application's folder: the kubeconfig, the link to it, and two variables.
//!
//! Called only after the API has proven to be ours. Every other byte of the user's files stays.

use host::files::{self, Mode};
use model::dotenv::Document;
use model::paths::WebPaths;
use model::{EventSink, Result};

/// What reaches the web application.
pub(crate) struct Access<'a> {
    /// The kubeconfig as YAML.
    pub(crate) kubeconfig: &'a str,
    /// The value of `KUBECONFIG_PRIMARY`: the kubeconfig as one-line JSON in base64.
    pub(crate) primary: &'a str,
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
    files::point_link(&web.kubeconfig_link(), WebPaths::kubeconfig_link_target())?;
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
