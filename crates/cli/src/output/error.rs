//! Errors as text: what happened, why, the end of the log, and the commands to type next.

use model::Error;

use super::printable::printable;
use super::style::Style;
use super::typed::CommandPrefix;

/// Longer lines of reasons and logs are truncated: the command of a build can fill screens. `--debug` shows all of it.
const MAX_CHARACTERS: usize = 500;

/// The text, ending with a line break. Next steps begin with `prefix`.
pub(crate) fn render(error: &Error, prefix: &CommandPrefix, style: Style) -> String {
    let mut text = format!("{} {}\n", style.error("Error:"), error.what());
    for reason in error.why() {
        text.push_str(&indented("  ", reason));
    }
    if let Some(log) = error.log().filter(|log| !log.lines.is_empty()) {
        text.push_str(&format!("\nEnd of {}:\n", log.source));
        for line in &log.lines {
            text.push_str(&format!("{} {}\n", style.faint("  |"), truncated(&printable(line))));
        }
    }
    if !error.next_steps().is_empty() {
        text.push('\n');
    }
    for step in error.next_steps() {
        text.push_str(&format!("{} {}\n", style.strong("Next:"), prefix.step(step)));
    }
    text
}

/// Every line of `reason` after `margin`. Preserves indentation, because parsers draw with it.
fn indented(margin: &str, reason: &str) -> String {
    reason.lines().map(|line| format!("{margin}{}\n", truncated(&printable(line)))).collect()
}

fn truncated(line: &str) -> String {
    let omitted = line.chars().count().saturating_sub(MAX_CHARACTERS);
    if omitted == 0 {
        return line.to_owned();
    }
    let shown: String = line.chars().take(MAX_CHARACTERS).collect();
    format!("{shown} … ({omitted} more characters)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ErrorClass;
    use model::error::LogTail;

    #[test]
    fn an_error_with_everything() {
        let error = Error::new(ErrorClass::Timeout, "the node is not Ready after 15m")
            .because("last seen: KubeletNotReady")
            .because("container runtime network not ready")
            .with_log(LogTail {
                source: ".k3s-vm/vm.log".to_owned(),
                lines: vec!["[   12.0] \x1b[31mbad\x1b[0m things\r".to_owned(), "login:".to_owned()],
            })
            .next("k3s-vm logs -n 100")
            .next("k3s-vm start --timeout 30m    # on a slow machine");
        insta::assert_snapshot!(render(&error, &CommandPrefix::plain("bin/k3s-vm"), Style::PLAIN), @r"
        Error: the node is not Ready after 15m
          last seen: KubeletNotReady
          container runtime network not ready

        End of .k3s-vm/vm.log:
          | [   12.0] bad things
          | login:

        Next: bin/k3s-vm logs -n 100
        Next: bin/k3s-vm start --timeout 30m    # on a slow machine
        ");
    }

    #[test]
    fn a_headline_alone_is_one_line() {
        let error = Error::new(ErrorClass::Interrupted, "interrupted");
        assert_eq!(render(&error, &CommandPrefix::plain("k3s-vm"), Style::PLAIN), "Error: interrupted\n");
    }

    #[test]
    fn a_parsers_drawing_keeps_its_shape() {
        let error = Error::new(ErrorClass::Config, "it cannot be read").because("line 2\n  |\n2 | api =\n  |       ^");
        insta::assert_snapshot!(render(&error, &CommandPrefix::plain("k3s-vm"), Style::PLAIN), @r"
        Error: it cannot be read
          line 2
            |
          2 | api =
            |       ^
        ");
    }

    #[test]
    fn a_long_line_is_truncated() {
        assert_eq!(truncated(&"é".repeat(MAX_CHARACTERS)), "é".repeat(MAX_CHARACTERS));
        let shown = truncated(&"é".repeat(MAX_CHARACTERS + 7));
        assert_eq!(shown, format!("{} … (7 more characters)", "é".repeat(MAX_CHARACTERS)));
    }
}
