//! The user's consent: given by `--yes`, asked for on the terminal, or not available.

use std::io::{self, BufRead};
use std::time::Duration;

use model::requirement::Consent;
use model::{Error, ErrorClass, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::human::Human;
use super::stderr;

/// Who can be asked for consent.
pub(crate) enum Asking<'a> {
    /// Nobody has to be: the user passed `--yes`.
    Agreed,
    /// The user, on the terminal.
    OnTerminal(&'a Human),
    /// Nobody.
    Nobody,
}

/// The [`Consent`] of the command line.
pub(crate) struct TerminalConsent<'a> {
    pub(crate) asking: Asking<'a>,
}

impl Consent for TerminalConsent<'_> {
    fn ask(&self, question: &str) -> Result<bool> {
        match self.asking {
            Asking::Agreed => Ok(true),
            Asking::Nobody => Ok(false),
            Asking::OnTerminal(human) => {
                human.clear_live_lines();
                let mut stdin = io::stdin().lock();
                read_answer(question, &mut stdin, &mut wait_for_stdin, &mut stderr::write)
            }
        }
    }
}

/// Asks until the answer is yes or no. The end of input is a no. `wait` returns when there is input to read.
fn read_answer(
    question: &str,
    input: &mut impl BufRead,
    wait: &mut dyn FnMut() -> Result<()>,
    say: &mut dyn FnMut(&str),
) -> Result<bool> {
    loop {
        say(&format!("{question} [y/N] "));
        wait()?;
        let mut line = String::new();
        let read = input
            .read_line(&mut line)
            .map_err(|error| Error::new(ErrorClass::Failed, "cannot read the answer").because(error))?;
        if read == 0 {
            say("\n");
            return Ok(false);
        }
        match line.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => return Ok(true),
            "" | "n" | "no" => return Ok(false),
            _ => say("Please answer y or n.\n"),
        }
    }
}

/// Waits with poll(2), which a signal interrupts: a read of stdin would resume after Ctrl-C.
fn wait_for_stdin() -> Result<()> {
    const INTERVAL: Duration = Duration::from_millis(500);
    let interval = Timespec { tv_sec: 0, tv_nsec: INTERVAL.as_nanos() as _ };
    loop {
        host::interrupt::check()?;
        match poll(&mut [PollFd::new(&io::stdin(), PollFlags::IN)], Some(&interval)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(Error::new(ErrorClass::Failed, "cannot wait for the answer").because(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(typed: &str) -> (bool, String) {
        let mut printed = String::new();
        let agreed =
            read_answer("Install qemu?", &mut typed.as_bytes(), &mut || Ok(()), &mut |text| printed.push_str(text))
                .unwrap();
        (agreed, printed)
    }

    #[test]
    fn only_a_yes_is_a_yes() {
        for (typed, agreed) in [
            ("y\n", true),
            ("YES\n", true),
            (" yes ", true),
            ("\n", false),
            ("n\n", false),
            ("No\n", false),
            ("", false),
        ] {
            assert_eq!(answer(typed).0, agreed, "{typed:?}");
        }
    }

    #[test]
    fn anything_else_is_asked_again() {
        let (agreed, printed) = answer("what?\ny\n");
        assert!(agreed);
        insta::assert_snapshot!(printed, @r"
        Install qemu? [y/N] Please answer y or n.
        Install qemu? [y/N]
        ");
    }

    #[test]
    fn without_a_terminal_only_the_flag_gives_consent() {
        assert!(!TerminalConsent { asking: Asking::Nobody }.ask("?").unwrap());
        assert!(TerminalConsent { asking: Asking::Agreed }.ask("?").unwrap());
    }
}
