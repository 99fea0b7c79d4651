//! A pristine Kubernetes cluster for every test: forks of a k3s-vm project.
//!
//! A fork is a copy of the project's saved cluster, application included. It is Ready in seconds, has ports and data of its
//! own, and is destroyed when the [`Cluster`] is dropped, or when the test process ends or is killed. It needs the program
//! `k3s-vm`, which does all the work: this library starts and ends it.
//!
//! ```no_run
//! # #[cfg(feature = "client")]
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use k3s_vm_testing::{Cluster, k8s_openapi::api::core::v1::ConfigMap, kube};
//!
//! // In a test: `#[tokio::test] async fn settings_are_kept() -> …`
//! let cluster = Cluster::fork()?;
//! let maps: kube::Api<ConfigMap> = kube::Api::namespaced(cluster.client().await?, "default");
//! // … change whatever you like: no other test sees it.
//! assert!(maps.get_opt("settings").await?.is_none());
//! println!("the application answers at {}", cluster.web_url());
//! cluster.close()?;
//! # Ok(())
//! # }
//! ```

mod builder;
#[cfg(feature = "client")]
mod client;
mod cluster;
mod error;
mod greeting;
mod process;
mod program;

pub use builder::Builder;
pub use cluster::Cluster;
pub use error::Error;
#[cfg(feature = "client")]
pub use {k8s_openapi, kube};
