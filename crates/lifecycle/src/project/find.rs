//! Finding a project and reading its configuration.

use std::path::{Path, PathBuf};

use host::command::quote;
use host::files;
use model::config::{self, Overrides, Resolved, Setting, Sources, WEB_PORT};
use model::paths::{ProjectPaths, WebPaths};
use model::{Config, Error, ErrorClass, Result};

use crate::project::dot_env;

/// The web port where the configuration cannot be used. A VM that runs has its own.
const DEFAULT_WEB_PORT: &str = "30080";

/// A project with its configuration.
#[derive(Debug, Clone)]
pub struct Project {
    /// Its files.
    pub paths: ProjectPaths,
    /// What the user configured.
    pub config: Config,
    /// Every key of the configuration with the source of its value.
    pub settings: Vec<Setting>,
    /// The flags and variables that override the configuration file, for reading it again.
    pub overrides: Overrides,
}

impl Project {
    /// The nearest directory from `start` upwards that holds `.k3s-vm/`.
    ///
    /// # Errors
    /// A Config error where there is none.
    pub fn find(start: &Path) -> Result<ProjectPaths> {
        start
            .ancestors()
            .find(|directory| directory.join(ProjectPaths::MARKER).is_dir())
            .map(ProjectPaths::new)
            .ok_or_else(|| {
                Error::new(ErrorClass::Config, format!("no project at {} or above it", start.display()))
                    .because(format!("a project is a directory that holds `{}/`", ProjectPaths::MARKER))
                    .next("cd to the project, or name it with --project DIR")
                    .next("mkdir -p .k3s-vm/manifests    # makes this directory a project")
            })
    }

    /// The project in `directory` itself, for `--project`.
    ///
    /// # Errors
    /// A Config error where the directory is no project.
    pub fn at(directory: &Path) -> Result<ProjectPaths> {
        let absolute = std::path::absolute(directory).map_err(|error| {
            Error::new(ErrorClass::Config, format!("cannot resolve {}", directory.display())).because(error)
        })?;
        if absolute.join(ProjectPaths::MARKER).is_dir() {
            return Ok(ProjectPaths::new(absolute));
        }
        Err(Error::new(ErrorClass::Config, format!("{} is no project", absolute.display()))
            .because(format!("it holds no `{}/`", ProjectPaths::MARKER))
            .next(format!("mkdir -p {}    # makes it one", quote(absolute.join(".k3s-vm/manifests").as_os_str()))))
    }

    /// Reads the configuration of the project. `overrides` are the flags and variables that override
    /// its file.
    ///
    /// # Errors
    /// A Config error with all mistakes.
    pub fn load(paths: ProjectPaths, overrides: &Overrides) -> Result<Self> {
        check_path(&paths)?;
        let shown = format!("{}/config.toml", ProjectPaths::MARKER);
        let text = files::read_text_optional(&paths.config())?;
        let file = text.as_deref().map(|text| (shown.as_str(), text));
        let web_directory = paths.root().join(config::web_directory(file, overrides));
        let (web_port, unread) = match web_port(&paths, &web_directory) {
            Ok(web_port) => (web_port, None),
            // An error only where no other source has the port: stopping a VM, for one, does not need this file.
            Err(error) => (None, Some(error)),
        };
        let web_port = web_port.as_ref().map(|(text, source)| (text.as_str(), source.as_str()));
        let resolved = Config::resolve(Sources { file, overrides, web_port });
        let Resolved { config, settings } = resolved.map_err(|error| unread.unwrap_or(error))?;
        Ok(Project { paths, config, settings, overrides: overrides.clone() })
    }

    /// The project with the defaults, for verbs that must work although its configuration is wrong: whoever has made a
    /// mistake can still look at the VM and stop it.
    ///
    /// # Errors
    /// A Config error where the project's path cannot be used.
    pub fn with_defaults(paths: ProjectPaths) -> Result<Self> {
        check_path(&paths)?;
        let overrides = Overrides::default();
        let web_port = Some((DEFAULT_WEB_PORT, "the default"));
        let Resolved { config, settings } = Config::resolve(Sources { file: None, overrides: &overrides, web_port })?;
        Ok(Project { paths, config, settings, overrides })
    }

    /// The web application's files.
    pub fn web(&self) -> WebPaths {
        WebPaths::new(self.paths.root().join(&self.config.web_directory))
    }
}

fn check_path(paths: &ProjectPaths) -> Result<()> {
    if paths.root().to_str().is_none_or(|path| path.contains(char::is_control)) {
        return Err(Error::new(ErrorClass::Config, format!("the project cannot be in {:?}", paths.root()))
            .because("QEMU's options and ssh's configuration carry no control characters, and only UTF-8")
            .next("rename the directory"));
    }
    Ok(())
}

/// `WEB_PORT` of the project's `.env`, else of the web application's, with the name of the file.
fn web_port(paths: &ProjectPaths, web_directory: &Path) -> Result<Option<(String, String)>> {
    let candidates: [PathBuf; 2] = [paths.dot_env(), web_directory.join(".env")];
    for path in candidates {
        let Some(document) = dot_env::read(&path)? else { continue };
        if let Some(value) = document.get(WEB_PORT) {
            let shown = path.strip_prefix(paths.root()).unwrap_or(&path).display().to_string();
            return Ok(Some((value, shown)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_makes_a_project_ran_what_stood_in_its_path() {
        let directory = tempfile::tempdir().expect("a directory");
        let error = Project::at(&directory.path().join("it's $(touch PWNED)")).expect_err("it is no project");
        let command = &error.next_steps()[0];
        host::command::Command::new("sh").args(["-c", command]).current_dir(directory.path()).run().expect("mkdir");
        assert!(directory.path().join("it's $(touch PWNED)/.k3s-vm/manifests").is_dir(), "{command}");
        assert!(!directory.path().join("PWNED").exists(), "{command}");
    }
}
