//! An error as people read it: what happened, why, the end of the log, and what to type next.

use model::Error;

use super::printable::printable;
use super::style::Style;
use super::typed::CommandPrefix;

/// Longer lines of reasons and logs are cut: the command of a build can fill screens. `--debug` shows it whole.
const MOST_CHARACTERS: usize = 500;

/// The whole text, ending with a line break. Next steps stand as `prefix` lets them be typed.
pub(crate) fn render(error: &Error, prefix: &CommandPrefix, style: Style) -> String {
    let mut text = format!("{} {}\n", style.error("Error:"), error.what());
    for reason in error.why() {
        text.push_str(&indented("  ", reason));
    }
    if let Some(log) = error.log().filter(|log| !log.lines.is_empty()) {
        text.push_str(&format!("\nEnd of {}:\n", log.source));
        for line in &log.lines {
            text.push_str(&format!("{} {}\n", style.faint("  |"), clipped(&printable(line))));
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

/// Every line of `reason` behind `margin`, its own indentation kept: a parser's drawing stays readable.
fn indented(margin: &str, reason: &str) -> String {
    reason.lines().map(|line| format!("{margin}{}\n", clipped(&printable(line)))).collect()
}

fn clipped(line: &str) -> String {
    let left_out = line.chars().count().saturating_sub(MOST_CHARACTERS);
    if left_out == 0 {
        return line.to_owned();
    }
    let kept: String = line.chars().take(MOST_CHARACTERS).collect();
    format!("{kept} … ({left_out} more characters)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::typed::tests::plain;
    use model::ErrorClass;
    use model::error::LogTail;

    #[test]
    fn a_error_with_everything() {
        let error = Error::new(ErrorClass::Timeout, "the node is not Ready after 15m")
            .because("last seen: KubeletNotReady")
            .because("container runtime network not ready")
            .with_log(LogTail {
                source: ".k3s-vm/vm.log".to_owned(),
                lines: vec!["[   12.0] \x1b[31mbad\x1b[0m things\r".to_owned(), "login:".to_owned()],
            })
            .next("k3s-vm logs -n 100")
            .next("k3s-vm start --timeout 30m    # on a slow machine");
        insta::assert_snapshot!(render(&error, &plain("bin/k3s-vm"), Style::PLAIN), @r"
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
        assert_eq!(render(&error, &plain("k3s-vm"), Style::PLAIN), "Error: interrupted\n");
    }

    #[test]
    fn a_parsers_drawing_keeps_its_shape() {
        let error = Error::new(ErrorClass::Config, "it cannot be read").because("line 2\n  |\n2 | api =\n  |       ^");
        insta::assert_snapshot!(render(&error, &plain("k3s-vm"), Style::PLAIN), @r"
        Error: it cannot be read
          line 2
            |
          2 | api =
            |       ^
        ");
    }

    #[test]
    fn an_endless_line_is_cut() {
        assert_eq!(clipped(&"é".repeat(MOST_CHARACTERS)), "é".repeat(MOST_CHARACTERS));
        let cut = clipped(&"é".repeat(MOST_CHARACTERS + 7));
        assert_eq!(cut, format!("{} … (7 more characters)", "é".repeat(MOST_CHARACTERS)));
    }
}
