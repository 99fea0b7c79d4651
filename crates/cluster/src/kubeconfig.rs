//! Kubeconfigs: those that this program writes, the credentials that it takes from a guest's, and those that users
//! name.

pub(crate) mod context;
pub mod credentials;
mod document;
mod owner;
mod pem;
mod token;

pub use context::KubeconfigContext;
pub use credentials::Credentials;
pub use document::{Kubeconfig, SERVER_INSIDE_CLUSTER};
pub use owner::OwnKubeconfig;
pub use token::Token;
