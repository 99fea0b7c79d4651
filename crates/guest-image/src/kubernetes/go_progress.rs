//! Reads progress from the output of `go build -v`. Pure.

use model::Event;

/// The progress of a build.
#[derive(Debug)]
pub(super) struct GoProgress {
    task: &'static str,
    done: u64,
    total: Option<u64>,
}

impl GoProgress {
    /// The progress of the task `task`, with nothing compiled yet.
    pub(super) fn new(task: &'static str) -> Self {
        GoProgress { task, done: 0, total: None }
    }

    /// The event at the start.
    pub(super) fn begin(&self) -> Event {
        self.event("finding out what must be compiled".to_owned(), false)
    }

    /// Sets the number of packages to compile; 0 if it is unknown.
    pub(super) fn expect(&mut self, packages: usize) {
        self.total = (packages > 0).then_some(packages as u64);
    }

    /// The event for a line: a package that is being compiled, a download, or something else.
    pub(super) fn take(&mut self, line: &str) -> Event {
        if let Some(what) = line.strip_prefix("go: downloading ") {
            return self.event(format!("downloading {what}"), false);
        }
        if line.contains(' ') || line.is_empty() {
            return self.event(line.trim().to_owned(), true);
        }
        self.done += 1;
        self.event(format!("compiling {line}"), true)
    }

    fn event(&self, message: String, counted: bool) -> Event {
        Event::Progress {
            task: self.task.to_owned(),
            message,
            done: counted.then_some(self.done),
            total: self.total.filter(|_| counted).map(|total| total.max(self.done)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_counted_and_other_lines_are_shown() {
        let mut progress = GoProgress::new("kubernetes");
        progress.expect(2);
        let lines = ["go: downloading k8s.io/api v0.37.2", "errors", "# k8s.io/x warning: deprecated", "fmt", "more"];
        let seen: Vec<String> = lines
            .iter()
            .map(|line| match progress.take(line) {
                Event::Progress { message, done, total, .. } => format!("{message} {done:?}/{total:?}"),
                other => format!("{other:?}"),
            })
            .collect();
        insta::assert_snapshot!(seen.join("\n"), @r#"
        downloading k8s.io/api v0.37.2 None/None
        compiling errors Some(1)/Some(2)
        # k8s.io/x warning: deprecated Some(1)/Some(2)
        compiling fmt Some(2)/Some(2)
        compiling more Some(3)/Some(3)
        "#);
    }
}
