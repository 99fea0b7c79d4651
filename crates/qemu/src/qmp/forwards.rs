//! The user network of a running VM over QMP: forwarded ports and connections.
//!
//! QMP has no commands for it; the human monitor has (hmp-commands.hx of QEMU).

use model::{Error, ErrorClass, Result};

use super::Qmp;
use crate::Forward;
use crate::argv::NETDEV;
use crate::port_error::{self, ForwardError};
use crate::user_network::UserNetwork;

impl Qmp {
    /// Forwards a port of the host to the running guest.
    ///
    /// # Errors
    /// [`ForwardError::Taken`] when QEMU cannot listen there; otherwise as [`Qmp::execute`].
    pub fn add_forward(&mut self, forward: &Forward) -> Result<(), ForwardError> {
        match self.human(&format!("hostfwd_add {NETDEV} {forward}")).map_err(ForwardError::Other)?.as_str() {
            "" => Ok(()),
            text => {
                let error = port_error::taken(forward.bind.ip(), forward.host);
                Err(ForwardError::Taken(error.because(format!("QEMU says: {text}"))))
            }
        }
    }

    /// Closes a port; success where it is not open.
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

    /// The open ports and the connections.
    ///
    /// # Errors
    /// As [`Qmp::execute`], and Failed when QEMU's answer is not such a list.
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
