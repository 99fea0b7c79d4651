//! The files of the host through which the user and the web application reach the instance's cluster.

use host::files::{self, Mode};
use model::Result;

use crate::context::Context;
use crate::instance::wait::api::Access;
use crate::project::dot_env;
use crate::project::web_files;

/// Checks that [`write_web`] would succeed. Changes nothing.
///
/// # Errors
/// A State error that names each file that has to be moved or made writable.
pub(crate) fn check_web(context: &Context<'_>) -> Result<()> {
    let web = context.project.web();
    if context.is_default() {
        return web_files::check(&web, &context.name);
    }
    dot_env::read(&web.dot_env()).map(drop)
}

/// Writes kubeconfig, link and variables for a cluster that has proved to be ours; for a named instance only its
/// kubeconfig.
///
/// # Errors
/// Errors of reading and writing.
pub(crate) fn write_web(context: &Context<'_>, access: &Access) -> Result<()> {
    let yaml = access.kubeconfig.to_yaml();
    if !context.is_default() {
        return files::write_atomic(&context.kubeconfig(), yaml.as_bytes(), Mode::Exactly(0o600));
    }
    let primary = access.kubeconfig.to_json_base64();
    let (web, scratch) = (context.project.web(), context.paths().vm_dir());
    web_files::Web { paths: &web, scratch: &scratch }
        .write(&web_files::Access { name: &context.name, kubeconfig: &yaml, primary: &primary }, context.events)
}
