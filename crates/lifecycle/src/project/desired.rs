//! What the project wants in its cluster: manifests and variables, read once a verb. What is applied, and what is recorded
//! as applied, come from this one value, even if the user changes the files meanwhile.

use cluster::manifest::ManifestText;
use cluster::{ManifestObject, manifest, manifest_files};
use host::digest::Sha256;
use model::dotenv::Document;
use model::{Error, ErrorClass, Result};

use crate::project::{Project, dot_env};

/// Variables that the tool writes itself.
const OWN_VARIABLES: [&str; 2] = ["KUBECONFIG", "KUBECONFIG_PRIMARY"];

/// The manifests and variables of the project as they were when the verb began.
pub(crate) struct Desired {
    files: Vec<ManifestText>,
    objects: Vec<ManifestObject>,
    variables: Document,
}

impl Desired {
    /// Reads manifests and variables.
    ///
    /// # Errors
    /// A Config error with all mistakes of all manifests, or where `.env` is not text; errors of reading.
    pub(crate) fn read(project: &Project) -> Result<Self> {
        let bytes = dot_env::read_bytes(&project.web().dot_env())?;
        Self::with_variables(project, bytes)
    }

    /// The same for the instance, for which a missing `.env` of the web application is made from its example.
    ///
    /// # Errors
    /// As [`Desired::read`].
    pub(crate) fn read_for_instance(project: &Project, is_default: bool) -> Result<Self> {
        let web = project.web();
        let bytes = match dot_env::read_bytes(&web.dot_env())? {
            None if is_default => dot_env::read_bytes(&web.dot_env_example())?,
            bytes => bytes,
        };
        Self::with_variables(project, bytes)
    }

    fn with_variables(project: &Project, bytes: Option<Vec<u8>>) -> Result<Self> {
        let files = manifest_files::read_all(project.paths.root(), &project.config.manifests)?;
        let variables = Document::parse(&bytes.unwrap_or_default());
        Ok(Desired { objects: manifest::parse(&files)?, files, variables })
    }

    /// The objects of the manifests, in the order of the files.
    pub(crate) fn objects(&self) -> &[ManifestObject] {
        &self.objects
    }

    /// The variables of the web application.
    pub(crate) fn variables(&self) -> &Document {
        &self.variables
    }

    /// Whether there is nothing to apply. Only an empty List in a file means that no object is wanted: otherwise lost files
    /// would delete what was applied from them.
    pub(crate) fn is_nothing(&self) -> bool {
        self.objects.is_empty() && !manifest::want_nothing(&self.files)
    }

    /// Checks that there is something to apply, before long work.
    ///
    /// # Errors
    /// A Config error where there is nothing to apply.
    pub(crate) fn check(&self, project: &Project) -> Result<()> {
        if self.is_nothing() { Err(nothing(project)) } else { Ok(()) }
    }

    /// A digest of all of it and of the rules of injection, without container images.
    pub(crate) fn digest(&self, project: &Project) -> String {
        let variables = variables_of_the_user(&self.variables);
        // The version is included, since the order and the names of the fields may change with it.
        let (version, files, inject) = (env!("CARGO_PKG_VERSION"), &self.files, &project.config.inject);
        Sha256::of(format!("{version} {files:?} {variables:?} {inject:?}").as_bytes()).to_string()
    }
}

/// The variables of a document without those that the tool writes itself.
pub(crate) fn variables_of_the_user(document: &Document) -> Vec<(String, String)> {
    let variables = document.variables().into_iter();
    variables.filter(|(name, _)| !OWN_VARIABLES.contains(&name.as_str())).collect()
}

/// The places of the manifests, for messages.
pub(crate) fn place(project: &Project) -> String {
    project.config.manifests.join(", ")
}

/// The error that there are no manifests.
pub(crate) fn nothing(project: &Project) -> Error {
    Error::new(ErrorClass::Config, format!("there are no manifests in {}", place(project)))
        .because("no .json, .yaml or .yml file there holds an object")
        .because("nothing was applied, and nothing deleted")
        .next("write .k3s-vm/manifests/base.json    # an empty List in it deletes what was applied before")
}
