//! Finding a project and reading its configuration.

use std::path::{Path, PathBuf};

use host::files;
use model::config::{self, Overrides, Resolved, Setting, Sources, WEB_PORT};
use model::paths::{ProjectPaths, WebPaths};
use model::{Config, Fault, FaultClass, Result};

use crate::dot_env;

/// A project with its configuration.
#[derive(Debug, Clone)]
pub struct Project {
    /// Its files.
    pub paths: ProjectPaths,
    /// What the user configured.
    pub config: Config,
    /// Every key of the configuration with where its value is from.
    pub settings: Vec<Setting>,
    /// The flags and variables that count before its file, for reading it again.
    pub overrides: Overrides,
}

impl Project {
    /// The nearest folder from `start` upwards that holds `.k3s-vm/`.
    ///
    /// # Errors
    /// A Config fault where there is none.
    pub fn find(start: &Path) -> Result<ProjectPaths> {
        start.ancestors().find(|folder| folder.join(ProjectPaths::MARKER).is_dir()).map(ProjectPaths::new).ok_or_else(
            || {
                Fault::new(FaultClass::Config, format!("no project at {} or above it", start.display()))
                    .because(format!("a project is a folder that holds `{}/`", ProjectPaths::MARKER))
                    .next("cd to the project, or name it with --project DIR")
                    .next("mkdir -p .k3s-vm/manifests    # makes this folder a project")
            },
        )
    }

    /// The project in `folder` itself, for `--project`.
    ///
    /// # Errors
    /// A Config fault where the folder is no project.
    pub fn at(folder: &Path) -> Result<ProjectPaths> {
        let absolute = std::path::absolute(folder).map_err(|error| {
            Fault::new(FaultClass::Config, format!("cannot resolve {}", folder.display())).because(error)
        })?;
        if absolute.join(ProjectPaths::MARKER).is_dir() {
            return Ok(ProjectPaths::new(absolute));
        }
        Err(Fault::new(FaultClass::Config, format!("{} is no project", absolute.display()))
            .because(format!("it holds no `{}/`", ProjectPaths::MARKER))
            .next(format!("mkdir -p '{}/.k3s-vm/manifests'    # makes it one", absolute.display())))
    }

    /// Reads the configuration of the project; `overrides` are the flags and variables that count before its file.
    ///
    /// # Errors
    /// A Config fault with all mistakes.
    pub fn load(paths: ProjectPaths, overrides: &Overrides) -> Result<Self> {
        if paths.root().to_str().is_none_or(|path| path.contains(char::is_control)) {
            return Err(Fault::new(FaultClass::Config, format!("the project cannot be in {:?}", paths.root()))
                .because("QEMU's options and ssh's configuration carry no control characters, and only UTF-8")
                .next("rename the folder"));
        }
        let shown = format!("{}/config.toml", ProjectPaths::MARKER);
        let text = files::read_text_optional(&paths.config())?;
        let file = text.as_deref().map(|text| (shown.as_str(), text));
        let web_folder = paths.root().join(config::web_folder(file, overrides));
        let (web_port, unread) = match web_port(&paths, &web_folder) {
            Ok(web_port) => (web_port, None),
            // Whoever has the port elsewhere can stop a VM all the same.
            Err(fault) => (None, Some(fault)),
        };
        let web_port = web_port.as_ref().map(|(text, source)| (text.as_str(), source.as_str()));
        let resolved = Config::resolve(Sources { file, overrides, web_port });
        let Resolved { config, settings } = resolved.map_err(|fault| unread.unwrap_or(fault))?;
        Ok(Project { paths, config, settings, overrides: overrides.clone() })
    }

    /// The web application's files.
    pub fn web(&self) -> WebPaths {
        WebPaths::new(self.paths.root().join(&self.config.web_folder))
    }
}

/// `WEB_PORT` of the project's `.env`, else of the web application's, with the name of the file it stands in.
fn web_port(paths: &ProjectPaths, web_folder: &Path) -> Result<Option<(String, String)>> {
    let candidates: [PathBuf; 2] = [paths.dot_env(), web_folder.join(".env")];
    for path in candidates {
        let Some(document) = dot_env::read(&path)? else { continue };
        if let Some(value) = document.get(WEB_PORT) {
            let shown = path.strip_prefix(paths.root()).unwrap_or(&path).display().to_string();
            return Ok(Some((value, shown)));
        }
    }
    Ok(None)
}
