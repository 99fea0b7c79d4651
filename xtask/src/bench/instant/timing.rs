//! Times a command from outside: when it ended and when each line of its events arrived.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::bench::events::Steps;
use crate::bench::project::BenchProject;

/// The times of a command that succeeded.
pub(super) struct Timed {
    /// Seconds from its start to its end.
    pub(super) seconds: f64,
    /// Its steps, in seconds after its start.
    pub(super) steps: Steps,
}

/// Runs a verb, which must succeed.
pub(super) fn verb(project: &BenchProject, arguments: &[&str]) -> Result<Timed> {
    verb_with_lines(project, arguments, |_, _| ())
}

/// Runs a verb, which must succeed. `on_line` gets the time when the verb was started and each line of its stderr as it
/// arrives.
pub(super) fn verb_with_lines(
    project: &BenchProject,
    arguments: &[&str],
    on_line: impl FnMut(Instant, &str),
) -> Result<Timed> {
    run(project.command(&project.program()).args(arguments), on_line)
        .with_context(|| format!("k3s-vm {}", arguments.join(" ")))
}

fn run(command: &mut Command, mut on_line: impl FnMut(Instant, &str)) -> Result<Timed> {
    let begin = Instant::now();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("cannot be run")?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let lines = std::thread::scope(|scope| {
        // The output is discarded; a full pipe would block the command.
        scope.spawn(|| stdout.map(|mut stdout| stdout.read_to_end(&mut Vec::new())));
        let mut lines = Vec::new();
        for line in BufReader::new(stderr.context("there is no stderr")?).lines() {
            let line = line.context("stderr cannot be read")?;
            on_line(begin, &line);
            lines.push((begin.elapsed().as_secs_f64(), line));
        }
        anyhow::Ok(lines)
    });
    let status = child.wait().context("cannot wait for it")?;
    let (seconds, lines) = (begin.elapsed().as_secs_f64(), lines?);
    if !status.success() {
        bail!("ended with {status}\n{}", lines.last().map(|(_, line)| line.as_str()).unwrap_or_default());
    }
    Ok(Timed { seconds, steps: Steps::arrived(&lines) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Result<Timed> {
        run(Command::new("/bin/sh").args(["-c", script]), |_, _| ())
    }

    #[test]
    fn events_are_timed_by_their_arrival() {
        let line = r#"{"at":0,"event":"step-EVENT","title":"Booting"}"#;
        let script = ["started", "finished"].map(|event| format!("echo '{}' >&2\n", line.replace("EVENT", event)));
        let timed = shell(&script.concat()).unwrap();
        assert!(timed.steps.end_of("Booting").unwrap() <= timed.seconds);
    }

    #[test]
    fn a_command_that_fails_is_no_figure() {
        let error = shell("echo why >&2; exit 3").err().unwrap().to_string();
        assert!(error.contains("exit status: 3") && error.contains("why"), "{error}");
    }
}
