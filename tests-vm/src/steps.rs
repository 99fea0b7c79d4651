//! Named steps that share one VM: they run in order, and none runs after the first failure.

use std::io::Write;
use std::time::{Duration, Instant};

/// Runs named steps and counts them.
#[derive(Debug, Default)]
pub struct Steps {
    passed: usize,
    failed: Option<String>,
    not_run: usize,
}

impl Steps {
    /// Runs one step unless an earlier one failed. A step fails by panicking, as any test does.
    pub fn run(&mut self, name: &str, step: impl FnOnce()) {
        let mut out = std::io::stdout();
        if self.failed.is_some() {
            self.not_run += 1;
            let _ = writeln!(out, "test {name} ... not run, since an earlier step failed");
            return;
        }
        let _ = writeln!(out, "test {name} ...");
        let begin = Instant::now();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(step));
        let seconds = begin.elapsed().as_secs_f64();
        match result {
            Ok(()) => {
                self.passed += 1;
                let _ = writeln!(out, "test {name} ... ok ({seconds:.1} s)");
            }
            Err(_) => {
                self.failed = Some(name.to_owned());
                let _ = writeln!(out, "test {name} ... FAILED ({seconds:.1} s)");
            }
        }
    }

    /// Lists a step as skipped, and why.
    pub fn skip(&mut self, name: &str, reason: &str) {
        self.not_run += 1;
        let _ = writeln!(std::io::stdout(), "test {name} ... skipped: {reason}");
        testkit::skipped::list(&format!("On a VM: {name}"), reason);
    }

    /// Whether a step failed.
    pub fn failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Prints the summary; the exit code of the test program.
    pub fn finish(self) -> std::process::ExitCode {
        let failed = usize::from(self.failed.is_some());
        let mut out = std::io::stdout();
        let _ = writeln!(out, "\n{} passed, {failed} failed, {} skipped", self.passed, self.not_run);
        if failed == 0 && self.passed > 0 { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
    }
}

/// Asks until there is an answer; `None` when `deadline` has passed.
pub fn try_eventually<T>(deadline: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if begin.elapsed() > deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Asks until there is an answer.
///
/// # Panics
/// When `deadline` has passed.
pub fn eventually<T>(what: &str, deadline: Duration, ask: impl FnMut() -> Option<T>) -> T {
    try_eventually(deadline, ask).unwrap_or_else(|| panic!("{what}: not within {deadline:?}"))
}
