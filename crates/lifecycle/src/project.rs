//! The project: where it is, what its files want, and the files that belong to the web application.

pub(crate) mod applied_inputs;
pub(crate) mod desired;
pub(crate) mod dot_env;
mod find;
pub(crate) mod ignore_file;
pub(crate) mod web_files;
pub(crate) mod web_port;

pub use find::Project;
