//! The results of `forward`, for people. Pure.

use lifecycle::verbs::forward::{ForwardReport, Purpose};

use super::style::Style;
use super::table::Table;

/// Every forward with what it is for.
pub(crate) fn forwards(reports: &[ForwardReport], style: Style) -> String {
    let mut table = Table::new(["HOST", "GUEST", "FOR", "STATE"]);
    for report in reports {
        let host = match report.host {
            Some(host) => format!("{}:{host}", report.bind),
            None => format!("{}:any", report.bind),
        };
        let guest = report.guest.map_or_else(|| "-".to_owned(), |guest| guest.to_string());
        let purpose = match report.purpose {
            Purpose::Api => "Kubernetes API",
            Purpose::Ssh => "SSH",
            Purpose::Web => "web application",
            Purpose::Own => "-",
        };
        let state = match (report.open, report.kept) {
            (true, true) => "open",
            (true, false) => "open until stop",
            (false, _) => "opens at start",
        };
        table.row([&host, &guest, purpose, state]);
    }
    table.render(style)
}

#[cfg(test)]
mod tests {
    use model::BindAddress;
    use model::port::Port;

    use super::*;

    #[test]
    fn what_is_open_and_what_will_be() {
        let bind = BindAddress::LOOPBACK;
        let report = |host, guest, purpose, open, kept| ForwardReport {
            bind,
            host: Port::new(host),
            guest: Port::new(guest),
            purpose,
            open,
            kept,
        };
        let reports = [
            report(6443, 6443, Purpose::Api, true, true),
            report(2666, 22, Purpose::Ssh, true, true),
            report(30080, 30080, Purpose::Web, true, true),
            report(8080, 80, Purpose::Own, true, false),
            report(0, 5432, Purpose::Own, false, true),
        ];
        insta::assert_snapshot!(forwards(&reports, Style::PLAIN), @r"
        HOST             GUEST  FOR              STATE
        127.0.0.1:6443   6443   Kubernetes API   open
        127.0.0.1:2666   22     SSH              open
        127.0.0.1:30080  30080  web application  open
        127.0.0.1:8080   80     -                open until stop
        127.0.0.1:any    5432   -                opens at start
        ");
    }
}
