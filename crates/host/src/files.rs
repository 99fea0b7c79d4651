//! Files and directories: atomic writes, private directories, names that survive a power cut. Errors name the path.

mod atomic;
mod attributes;
mod directories;
mod journal;
mod names;
mod reading;
mod space;
mod tail;
mod user_file;

pub use atomic::{Mode, write_atomic};
pub use directories::{create_dir, create_private_dir, in_open_directory, open_private_dir};
pub use journal::recover;
pub use names::{exchange, make_link, move_away, publish, remove, rename, rename_directory_if_free, sync};
pub use reading::{read_optional, read_text_optional};
pub use space::{free_space, on_disk};
pub(crate) use tail::last_lines;
pub use tail::tail;
pub use user_file::{UserFile, Written};

#[cfg(test)]
mod tests;
