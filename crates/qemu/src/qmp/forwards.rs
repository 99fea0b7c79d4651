//! The user network of a running VM over QMP: ports that come and go, and what is connected.
//!
//! There are no QMP commands for it, only those of the human monitor (hmp-commands.hx of QEMU).

use model::{Error, ErrorClass, Result};

use super::Qmp;
use crate::argv::NETDEV;
use crate::user_network::UserNetwork;
use crate::{Forward, port_error};

impl Qmp {
    /// Opens a port of the host into the running guest.
    ///
    /// # Errors
    /// Port when QEMU cannot listen there; otherwise as [`Qmp::execute`].
    pub fn add_forward(&mut self, forward: &Forward) -> Result<()> {
        match self.human(&format!("hostfwd_add {NETDEV} {forward}"))?.as_str() {
            "" => Ok(()),
            text => Err(port_error::taken(forward.bind.ip(), forward.host).because(format!("QEMU says: {text}"))),
        }
    }

    /// Closes it again; one that is not open is success.
    ///
    /// # Errors
    /// Failed when QEMU says anything else; otherwise as [`Qmp::execute`].
    pub fn remove_forward(&mut self, forward: &Forward) -> Result<()> {
        let text = self.human(&format!("hostfwd_remove {NETDEV} tcp:{}:{}", forward.bind, forward.host))?;
        // "host forwarding rule for tcp:127.0.0.1:18644 removed", or "… not found" (net/slirp.c).
        if text.ends_with("removed") || text.ends_with("not found") {
            Ok(())
        } else {
            Err(Error::new(ErrorClass::Failed, format!("port {} was not closed", forward.host)).because(text))
        }
    }

    /// What is open and what is connected now.
    ///
    /// # Errors
    /// As [`Qmp::execute`], and Failed when QEMU's answer is no such list.
    pub fn user_network(&mut self) -> Result<UserNetwork> {
        let text = self.human("info usernet")?;
        UserNetwork::parse(&text).ok_or_else(|| {
            Error::new(ErrorClass::Failed, "QEMU's list of connections is not understood")
                .because(text.replace('\r', ""))
        })
    }

    /// The ports of the host that lead into the guest.
    ///
    /// # Errors
    /// As [`Qmp::user_network`].
    pub fn forwards(&mut self) -> Result<Vec<Forward>> {
        Ok(self.user_network()?.forwards)
    }
}
