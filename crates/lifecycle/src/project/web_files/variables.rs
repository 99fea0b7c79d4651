//! The two variables that the tool sets in the web application's `.env`.

use std::path::Path;

use model::dotenv::Document;
use model::paths::WebPaths;
use model::{Error, ErrorClass, Result};

/// The variable with the path of the kubeconfig.
pub(super) const KUBECONFIG: &str = "KUBECONFIG";
/// The variable with the kubeconfig itself, as one-line JSON in base64.
pub(super) const PRIMARY: &str = "KUBECONFIG_PRIMARY";

/// Sets both variables in `document`, which is the file `path`.
///
/// # Errors
/// A Config error where the document has no place for them.
pub(super) fn set(document: &mut Document, path: &Path, primary: &str) -> Result<()> {
    for (name, value) in [(KUBECONFIG, WebPaths::KUBECONFIG_VALUE), (PRIMARY, primary)] {
        if !document.set(name, value) {
            return Err(Error::new(ErrorClass::Config, format!("{name} cannot be set in {}", path.display()))
                .because("a quote that is opened further up and never closed would take the value for its end")
                .next(format!("close the quote in {}", path.display())));
        }
    }
    Ok(())
}
