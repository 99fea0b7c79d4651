//! What the tool writes into the web application's directory: the kubeconfig, the link to it, and two variables.
//!
//! It is written only after the API has proved to be ours. The kubeconfig and the link replace nothing but what is provably
//! ours; in `.env`, which is the user's, every other byte stays.

mod obstacles;
mod variables;

use std::path::Path;

use cluster::OwnKubeconfig;
use host::files::{self, Mode, UserFile};
use model::dotenv::Document;
use model::instance::InstanceName;
use model::paths::WebPaths;
use model::{Error, ErrorClass, EventSink, Result};

use crate::project::dot_env;

use obstacles::leads_to_kubeconfig;
pub(crate) use obstacles::{check, check_kubeconfig};
use variables::{KUBECONFIG, PRIMARY, set};

/// The access to the cluster that is written for the web application.
pub(crate) struct Access<'a> {
    /// The instance, after which everything in the kubeconfig is named.
    pub(crate) name: &'a InstanceName,
    /// The kubeconfig as YAML.
    pub(crate) kubeconfig: &'a str,
    /// The value of `KUBECONFIG_PRIMARY`: the kubeconfig as one-line JSON in base64.
    pub(crate) primary: &'a str,
}

/// The web directory of a project. The caller holds the instance's lock.
#[derive(Clone, Copy)]
pub(crate) struct Web<'a> {
    /// The paths of its files.
    pub(crate) paths: &'a WebPaths,
    /// The private directory of the instance, in which new files are made before they are moved into place.
    pub(crate) scratch: &'a Path,
}

impl Web<'_> {
    /// Brings the directory up to date.
    ///
    /// # Errors
    /// Errors of reading and writing. A file that is not ours is an error, and stays as it is.
    pub(crate) fn write(&self, access: &Access<'_>, events: &dyn EventSink) -> Result<()> {
        files::create_dir(self.paths.dir())?;
        self.write_kubeconfig(access, events)?;
        let link = self.paths.kubeconfig_link();
        if !leads_to_kubeconfig(self.paths, &link) {
            files::make_link(&link, WebPaths::kubeconfig_link_target())?;
        }
        self.write_variables(access, events)
    }

    fn write_kubeconfig(&self, access: &Access<'_>, events: &dyn EventSink) -> Result<()> {
        // Through the open directory, so that a link that replaces it meanwhile is not followed.
        let directory = files::open_private_dir(&self.paths.kubeconfig_directory())?;
        let path = files::in_open_directory(&directory, WebPaths::KUBECONFIG_NAME);
        let shown = &self.paths.kubeconfig();
        let file = UserFile { shown, follow: false, ..UserFile::new(&path, self.scratch) };
        file.sweep();
        let (own, former) = match obstacles::own_kubeconfig(&path, access.name) {
            Ok(None) => (OwnKubeconfig::default(), None),
            Ok(Some((own, text))) => (own, Some(text)),
            Err(why) => {
                let error = Error::new(ErrorClass::State, format!("{} is not k3s-vm's", shown.display()));
                return Err(error.because(why).next(files::move_away(shown)));
            }
        };
        let text = own.merged_into(access.kubeconfig);
        if former.as_deref() != Some(text.as_str()) {
            file.write(text.as_bytes(), Mode::Exactly(0o600))?;
            events.debug(format!("wrote {}", shown.display()));
        }
        Ok(())
    }

    /// Sets `KUBECONFIG` and `KUBECONFIG_PRIMARY` in the application's `.env`.
    fn write_variables(&self, access: &Access<'_>, events: &dyn EventSink) -> Result<()> {
        let path = self.paths.dot_env();
        let file = UserFile::new(&path, self.scratch);
        file.sweep();
        let present = dot_env::read_bytes(&path)?;
        let (before, mode) = match &present {
            Some(bytes) => (bytes.clone(), Mode::Keep),
            None => (self.example(events)?, Mode::Exactly(0o600)),
        };
        let mut document = Document::parse(&before);
        if present.is_some() {
            self.save_former(&document, &before, access, events)?;
        }
        set(&mut document, &path, access.primary)?;
        let after = document.to_bytes();
        if present.as_ref() != Some(&after) {
            let written = file.write(&after, mode)?;
            events.debug(format!("set KUBECONFIG and KUBECONFIG_PRIMARY in {} ({written:?})", path.display()));
        }
        Ok(())
    }

    /// Saves a copy of `.env` where one of the two variables has a value of the user's own, which is about to be replaced.
    fn save_former(
        &self,
        document: &Document,
        before: &[u8],
        access: &Access<'_>,
        events: &dyn EventSink,
    ) -> Result<()> {
        let is_own = |name: &str, value: &str| match name {
            KUBECONFIG => value == WebPaths::KUBECONFIG_VALUE,
            _ => value == access.primary || OwnKubeconfig::is_variable(value, access.name),
        };
        let foreign: Vec<&str> = [KUBECONFIG, PRIMARY]
            .into_iter()
            .filter(|name| document.get(name).is_some_and(|value| !value.is_empty() && !is_own(name, &value)))
            .collect();
        if foreign.is_empty() {
            return Ok(());
        }
        let former = self.scratch.join("web.env.former");
        files::write_atomic(&former, before, Mode::Exactly(0o600))?;
        events.warning(format!(
            "{} had another value of {}, which k3s-vm sets: the file as it was is in {}",
            self.paths.dot_env().display(),
            foreign.join(" and "),
            former.display()
        ));
        Ok(())
    }

    /// The content that a missing `.env` begins with.
    fn example(&self, events: &dyn EventSink) -> Result<Vec<u8>> {
        match dot_env::read_bytes(&self.paths.dot_env_example())? {
            Some(bytes) => {
                events.note(format!(
                    "{} did not exist: made it from {}",
                    self.paths.dot_env().display(),
                    self.paths.dot_env_example().display()
                ));
                Ok(bytes)
            }
            None => Ok(Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests;
