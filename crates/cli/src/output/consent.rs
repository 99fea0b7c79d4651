//! The user's agreement: by `--yes`, by an answer on the terminal, or not at all.

use std::io::{self, BufRead};
use std::time::Duration;

use model::requirement::Consent;
use model::{Error, ErrorClass, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::human::Human;
use super::write_stderr;

/// Who can be asked.
pub(crate) enum Asking<'a> {
    /// The user agreed beforehand.
    Agreed,
    /// Somebody sits at a terminal.
    OnTerminal(&'a Human),
    /// Nobody does.
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
                human.quieten();
                let mut stdin = io::stdin().lock();
                read_answer(question, &mut stdin, &mut wait_for_stdin, &mut |text| write_stderr(text))
            }
        }
    }
}

/// Asks until the answer is one; the end of input is a no. `wait` returns when there is something to read.
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

/// A read of stdin goes on after a signal, so that Ctrl-C would do nothing; poll(2) does not.
fn wait_for_stdin() -> Result<()> {
    const LOOK: Duration = Duration::from_millis(500);
    let look = Timespec { tv_sec: 0, tv_nsec: LOOK.as_nanos() as _ };
    loop {
        host::interrupt::check()?;
        match poll(&mut [PollFd::new(&io::stdin(), PollFlags::IN)], Some(&look)) {
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
        let mut said = String::new();
        let agreed =
            read_answer("Install qemu?", &mut typed.as_bytes(), &mut || Ok(()), &mut |text| said.push_str(text))
                .unwrap();
        (agreed, said)
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
        let (agreed, said) = answer("what?\ny\n");
        assert!(agreed);
        insta::assert_snapshot!(said, @r"
        Install qemu? [y/N] Please answer y or n.
        Install qemu? [y/N]
        ");
    }

    #[test]
    fn nobody_agrees_to_nothing_and_yes_asks_nobody() {
        assert!(!TerminalConsent { asking: Asking::Nobody }.ask("?").unwrap());
        assert!(TerminalConsent { asking: Asking::Agreed }.ask("?").unwrap());
    }
}
