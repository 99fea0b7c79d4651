//! The kubeconfig for containers: made where a container gets it, revoked where none does.
//!
//! The administrator's credentials stay on the host.

use cluster::Kubeconfig;
use cluster::container_account::{CONTAINER_ACCOUNT, CONTAINER_ACCOUNT_NAMESPACE, Token};
use host::deadline::Deadline;
use model::Result;

use crate::context::Context;
use crate::instance::wait::api::Access;

/// The source of the kubeconfig for containers.
pub(super) enum Inside<'a> {
    /// There is none: the cluster is not the project's VM, and the user's own credentials are not for containers.
    Nowhere,
    /// The instance; the account for containers is made or revoked in it.
    Made(&'a Access, Deadline),
    /// The instance, of which the account is only read.
    Seen(&'a Access, Deadline),
}

impl Inside<'_> {
    /// The kubeconfig for containers; `wanted` is whether a container gets it.
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
