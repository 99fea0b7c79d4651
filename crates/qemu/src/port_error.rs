//! A port that QEMU cannot listen on, and who holds it.

use std::net::IpAddr;

use host::port_holder::{PortHolder, port_holders};
use model::port::Port;
use model::{Error, ErrorClass};

/// Why QEMU does not forward a port.
#[derive(Debug)]
pub enum ForwardError {
    /// QEMU cannot listen there; the error names who does.
    Taken(Error),
    /// An error of QMP.
    Other(Error),
}

impl From<ForwardError> for Error {
    fn from(error: ForwardError) -> Self {
        match error {
            ForwardError::Taken(error) | ForwardError::Other(error) => error,
        }
    }
}

/// The error for a port that is taken; it names the processes that listen there now.
pub(crate) fn taken(bind: IpAddr, port: Port) -> Error {
    // The holder may have ended by now, or be invisible to this user.
    message(bind, port, &port_holders(bind, port).unwrap_or_default())
}

fn message(bind: IpAddr, port: Port, holders: &[PortHolder]) -> Error {
    let mut error = Error::new(ErrorClass::Port, format!("port {port} on {bind} is taken"));
    for holder in holders {
        let user = &holder.user;
        let address = holder.address;
        error = match &holder.process {
            Some(process) => {
                let words: Vec<String> =
                    process.arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
                let command: String = words.join(" ").chars().take(160).collect();
                error.because(format!("pid {} of user {user} listens on {address}: {command}", process.pid))
            }
            None => error.because(format!("a process of user {user} listens on {address}")),
        };
    }
    if holders.is_empty() {
        error = error.because(if port.number() < 1024 {
            "no listener is seen; a port below 1024 needs root"
        } else {
            "no listener is seen now; it may have ended, or the address is not one of this host's"
        });
    }
    for holder in holders.iter().filter_map(|holder| holder.process.as_ref()) {
        error = error.next(format!("kill {}    # if you can do without it", holder.pid));
    }
    error.next("choose another port: [ports] in .k3s-vm/config.toml, or WEB_PORT in .env")
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use host::process_table::ProcessInfo;

    use super::*;

    fn error(holders: &[PortHolder]) -> String {
        let error = message(IpAddr::V4(Ipv4Addr::LOCALHOST), Port::literal(6443), holders);
        assert_eq!(error.class(), ErrorClass::Port);
        format!("{error}\n{}", error.next_steps().join("\n"))
    }

    #[test]
    fn names_the_holder_where_it_can_be_seen() {
        let mut holder = PortHolder {
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            user: "ada".to_owned(),
            process: Some(ProcessInfo {
                pid: 4711,
                arguments: vec!["k3s".into(), "server".into()],
                user: "ada".to_owned(),
                is_own: true,
            }),
        };
        insta::assert_snapshot!(error(std::slice::from_ref(&holder)), @r"
        port 6443 on 127.0.0.1 is taken: pid 4711 of user ada listens on 0.0.0.0: k3s server
        kill 4711    # if you can do without it
        choose another port: [ports] in .k3s-vm/config.toml, or WEB_PORT in .env
        ");
        holder.process = None;
        insta::assert_snapshot!(error(&[holder]), @r"
        port 6443 on 127.0.0.1 is taken: a process of user ada listens on 0.0.0.0
        choose another port: [ports] in .k3s-vm/config.toml, or WEB_PORT in .env
        ");
    }

    #[test]
    fn says_so_when_nobody_is_seen() {
        insta::assert_snapshot!(error(&[]), @r"
        port 6443 on 127.0.0.1 is taken: no listener is seen now; it may have ended, or the address is not one of this host's
        choose another port: [ports] in .k3s-vm/config.toml, or WEB_PORT in .env
        ");
    }
}
