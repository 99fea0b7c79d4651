//! The kubeconfig that containers get: made where one of them gets it, taken away where none does.
//!
//! The administrator's credentials stay on the host.

use cluster::Kubeconfig;
use cluster::container_account::{CONTAINER_ACCOUNT, CONTAINER_ACCOUNT_NAMESPACE, Token};
use host::deadline::Deadline;
use model::Result;

use crate::context::Context;
use crate::instance::wait::readiness::Access;

/// Where the kubeconfig for containers is from.
pub(super) enum Inside<'a> {
    /// Nowhere: the cluster is not the project's VM, and the user's own credentials are not for containers.
    Nowhere,
    /// The instance, in which it is made.
    Made(&'a Access, Deadline),
    /// The instance, in which nothing may be changed.
    Seen(&'a Access, Deadline),
}

impl Inside<'_> {
    /// The kubeconfig for containers, of which one gets it if it is `wanted`.
    ///
    /// # Errors
    /// Cluster and Timeout errors of the API.
    pub(super) fn kubeconfig(&self, context: &Context<'_>, wanted: bool) -> Result<Option<Kubeconfig>> {
        let role = context.project.config.inject.cluster_role.as_deref();
        let (access, token) = match self {
            Inside::Nowhere => return Ok(None),
            Inside::Made(access, deadline) if wanted => {
                (access, access.client.container_token(role, deadline.left(), context.events)?)
            }
            Inside::Made(access, deadline) => {
                if access.client.revoke_container_account(deadline.left())? {
                    context.events.note(format!(
                        "no container gets KUBECONFIG_PRIMARY any more: the ServiceAccount \
                         {CONTAINER_ACCOUNT_NAMESPACE}/{CONTAINER_ACCOUNT} and its token are gone"
                    ));
                }
                return Ok(None);
            }
            Inside::Seen(..) if !wanted => return Ok(None),
            Inside::Seen(access, deadline) => {
                let account = access.client.look_container_account(deadline.left())?;
                let name =
                    |role: Option<&str>| role.map_or("no ClusterRole".to_owned(), |it| format!("the ClusterRole {it}"));
                if account.role.as_deref() != role {
                    let (before, after) = (name(account.role.as_deref()), name(role));
                    context
                        .events
                        .note(format!("the credential of the containers would have {after}; it has {before}"));
                }
                (access, account.token.unwrap_or_else(Token::to_be_made))
            }
        };
        Ok(Some(Kubeconfig::inside_cluster(access.admin.certificate_authority(), token)))
    }
}
