//! Checks, before anything is built, that the web application's files can be written. They change nothing.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use cluster::OwnKubeconfig;
use host::command::quote;
use host::files::{self, move_away};
use host::io_error;
use model::dotenv::Document;
use model::instance::InstanceName;
use model::paths::WebPaths;
use model::{Error, ErrorClass, Result};

use super::variables;
use crate::project::dot_env;

/// The target of the link, in messages.
const KUBECONFIG: &str = ".kube/config";

/// What is in the way, and the command that clears it.
type Obstacle = (String, String);

/// Checks that [`super::Web::write`] would succeed, so that nobody waits for a cluster to learn that it does not.
///
/// # Errors
/// A State error that names each file that has to be moved or made writable; a Config error where `.env` is no text, or
/// has no place for the variables.
pub(crate) fn check(web: &WebPaths, name: &InstanceName) -> Result<()> {
    let dot_env = web.dot_env();
    let text = match dot_env.is_dir() {
        true => None,
        false => {
            dot_env::read_bytes(&dot_env)?.map(Ok).or_else(|| dot_env::read_bytes(&web.dot_env_example()).transpose())
        }
    };
    if let Some(text) = text.transpose()? {
        variables::set(&mut Document::parse(&text), &dot_env, "e30=")?;
    }
    let found: Vec<Obstacle> =
        [directory(web), kubeconfig(web, name), link(web), dot_env_file(&dot_env)].into_iter().flatten().collect();
    if found.is_empty() {
        return Ok(());
    }
    let error = Error::new(ErrorClass::State, "the web directory cannot take the kubeconfig");
    Err(found.into_iter().fold(error, |error, (why, next)| error.because(why).next(next)))
}

/// Checks that the kubeconfig, if it exists, is the tool's own, so that no command reaches another cluster.
///
/// # Errors
/// A State error that names the file.
pub(crate) fn check_kubeconfig(web: &WebPaths, name: &InstanceName) -> Result<()> {
    match kubeconfig(web, name) {
        None => Ok(()),
        Some((why, next)) => {
            Err(Error::new(ErrorClass::State, "the kubeconfig of the project is not k3s-vm's").because(why).next(next))
        }
    }
}

fn directory(web: &WebPaths) -> Option<Obstacle> {
    let dir = web.dir();
    (dir.symlink_metadata().is_ok() && !dir.is_dir()).then(|| {
        let hint = "or name the web directory: web.directory in .k3s-vm/config.toml";
        (format!("{} is no directory", dir.display()), format!("{}    # {hint}", move_away(dir)))
    })
}

fn kubeconfig(web: &WebPaths, name: &InstanceName) -> Option<Obstacle> {
    let (directory, path) = (web.kubeconfig_directory(), web.kubeconfig());
    let metadata = fs::symlink_metadata(&directory).ok()?;
    if !metadata.is_dir() {
        let what = if metadata.is_symlink() { is_a_link(&directory) } else { "is no directory".to_owned() };
        return Some((format!("{} {what}", directory.display()), move_away(&directory)));
    }
    let why = own_kubeconfig(&path, name).err()?;
    Some((format!("{} is not k3s-vm's: {why}", path.display()), move_away(&path)))
}

/// The kubeconfig at `path` with its text, where there is one and it is the tool's own.
///
/// # Errors
/// Why it is not the tool's own, as a part of a sentence.
pub(super) fn own_kubeconfig(path: &Path, name: &InstanceName) -> Result<Option<(OwnKubeconfig, String)>, String> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error::text(&error)),
        Ok(metadata) if metadata.is_symlink() => return Err(format!("it {}", is_a_link(path))),
        Ok(metadata) if !metadata.is_file() => return Err("it is not a regular file".to_owned()),
        Ok(_) => {}
    }
    let text = files::read_text_optional(path).map_err(|error| error.why().join(": "))?.unwrap_or_default();
    let own = OwnKubeconfig::read(&text, name)?;
    Ok(Some((own, text)))
}

fn link(web: &WebPaths) -> Option<Obstacle> {
    let link = web.kubeconfig_link();
    let metadata = fs::symlink_metadata(&link).ok()?;
    if leads_to_kubeconfig(web, &link) {
        return None;
    }
    let what = if metadata.is_symlink() {
        format!("{} is a link of yours to {}", link.display(), target(&link))
    } else {
        format!("{} is a file of yours", link.display())
    };
    Some((format!("{what}; it has to be a link to {KUBECONFIG}"), move_away(&link)))
}

fn dot_env_file(dot_env: &Path) -> Option<Obstacle> {
    let metadata = fs::metadata(dot_env).ok()?;
    if !metadata.is_file() {
        return Some((format!("{} is no file", dot_env.display()), move_away(dot_env)));
    }
    let set = "KUBECONFIG and KUBECONFIG_PRIMARY have to be set in it";
    let quoted = quote(dot_env.as_os_str());
    if metadata.permissions().mode() & 0o222 == 0 {
        // The file could be replaced nevertheless, but somebody took the permission away on purpose.
        return Some((format!("{} is read-only; {set}", dot_env.display()), format!("chmod u+w {quoted}")));
    }
    let error = OpenOptions::new().write(true).open(dot_env).err()?;
    let why = format!("{} cannot be written ({}); {set}", dot_env.display(), io_error::text(&error));
    Some((why, format!("ls -l {quoted}; findmnt -T {quoted}    # whose it is, and on which mount")))
}

/// Whether `link` is a link that leads to the kubeconfig, however its target is written.
pub(super) fn leads_to_kubeconfig(web: &WebPaths, link: &Path) -> bool {
    fs::read_link(link).is_ok_and(|target| web.dir().join(target).components().eq(web.kubeconfig().components()))
}

fn is_a_link(path: &Path) -> String {
    format!("is a link to {}, through which another file would be overwritten", target(path))
}

fn target(link: &Path) -> String {
    fs::read_link(link).map(|target| target.display().to_string()).unwrap_or_default()
}
