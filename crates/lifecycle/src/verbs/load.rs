//! `load`: loads an archive of container images from a file or a stream into the guest.

use std::io::Read;
use std::path::Path;

use cluster::ImageArchive;
use host::files;
use model::Result;

use crate::apply::images::{self, LoadedImage, limit};
use crate::context::Context;
use crate::instance::awake;
use crate::instance::lock;
use crate::instance::observe::{Observed, not_running, observe};

/// The source of the archive.
pub enum Source<'a> {
    /// A file.
    File(&'a Path),
    /// A stream, for example standard input.
    Stream(&'a mut dyn Read),
}

/// Loads the images of an archive. `name` is for an image that has no name in the archive.
///
/// # Errors
/// A State error when the instance does not run, a Config error for what is not an image archive.
pub fn run(context: &Context<'_>, source: Source<'_>, name: Option<&str>) -> Result<Vec<LoadedImage>> {
    let _lock = lock::of(context)?;
    if !matches!(observe(context)?, Observed::Running(_)) {
        return Err(not_running(context));
    }
    awake::ensure_supervised(context)?;
    let paths = context.paths();
    let archive = match source {
        Source::File(path) => ImageArchive::open(path, name)?,
        Source::Stream(reader) => {
            let directory = paths.image_archives();
            files::create_private_dir(&directory)?;
            // Two copies: the stream as it arrives, and the archive with full names.
            ImageArchive::from_reader(reader, &directory, &limit::of(&paths, 2)?, name)?
        }
    };
    images::load_archive(context, &archive)
}
