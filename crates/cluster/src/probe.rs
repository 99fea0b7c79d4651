//! Looks at a cluster: whether the API is ours and ready, and whether nodes, Deployments and Services are.

mod api_proof;
mod deadline_stream;
mod deployments;
pub mod ready;
mod rollout;
pub mod services;

pub use api_proof::{ApiProbe, ApiProof};
pub use deployments::DeploymentName;
pub use services::{CoreService, CoreServiceStatus};
