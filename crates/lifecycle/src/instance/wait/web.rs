//! Waiting for an answer on the web port.

use std::time::Duration;

use host::deadline::Deadline;
use host::first_answer::first_answer;
use host::wait::Look;
use model::Result;
use model::config::Ports;

use crate::instance::wait::watch::GuestWatch;

/// A request that any HTTP server answers, if only with an error. OPTIONS is safe (RFC 9110, 9.2.1): the application
/// counts no visit and does no work for it.
const REQUEST: &[u8] = b"OPTIONS / HTTP/1.0\r\nHost: localhost\r\n\r\n";

/// Waits until something behind the web port sends an answer. A connection alone proves nothing: QEMU accepts it
/// whether or not a server is behind it.
///
/// # Errors
/// Timeout and Guest errors of the watch.
pub(crate) fn wait(watch: &mut GuestWatch<'_>, ports: &Ports, deadline: Deadline) -> Result<()> {
    watch.wait(&format!("an answer of {}", ports.web_url()), deadline, |left| {
        Ok(match first_answer(ports.web_address(), REQUEST, left.min(Duration::from_secs(10))) {
            Ok(()) => Look::Ready(()),
            Err(why) => Look::NotYet(why),
        })
    })
}
