//! The one error type of all layers, and the exit code of each class of errors.
//!
//! An error holds texts and a class; the command line renders it (colour, layout).

use std::fmt;

/// The result of every operation that can fail for a reason the user should read.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The class of an error, which decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// An operation failed for a reason that no other class covers.
    Failed,
    /// The command line, the configuration or a file of the user is wrong.
    Config,
    /// The verb does not fit the state of the instance (for example `ssh` while it is stopped).
    State,
    /// A wait reached its deadline.
    Timeout,
    /// The guest or its QEMU died, or the guest panicked.
    Guest,
    /// Another program holds a port.
    Port,
    /// The cluster refused a request, or a manifest cannot be applied.
    Cluster,
    /// The host lacks something: a tool, a permission, disk space (`EX_UNAVAILABLE` of sysexits.h).
    Host,
    /// The user interrupted (128 + SIGINT, as shells report it).
    Interrupted,
}

impl ErrorClass {
    /// All classes, in the order of the table in the documentation.
    pub const ALL: [ErrorClass; 9] = [
        ErrorClass::Failed,
        ErrorClass::Config,
        ErrorClass::State,
        ErrorClass::Timeout,
        ErrorClass::Guest,
        ErrorClass::Port,
        ErrorClass::Cluster,
        ErrorClass::Host,
        ErrorClass::Interrupted,
    ];

    /// The exit code of the process.
    pub fn exit_code(self) -> u8 {
        match self {
            ErrorClass::Failed => 1,
            ErrorClass::Config => 2,
            ErrorClass::State => 3,
            ErrorClass::Timeout => 4,
            ErrorClass::Guest => 5,
            ErrorClass::Port => 6,
            ErrorClass::Cluster => 7,
            ErrorClass::Host => 69,
            ErrorClass::Interrupted => 130,
        }
    }

    /// The stable name for machine output.
    pub fn name(self) -> &'static str {
        match self {
            ErrorClass::Failed => "failed",
            ErrorClass::Config => "config",
            ErrorClass::State => "state",
            ErrorClass::Timeout => "timeout",
            ErrorClass::Guest => "guest",
            ErrorClass::Port => "port",
            ErrorClass::Cluster => "cluster",
            ErrorClass::Host => "host",
            ErrorClass::Interrupted => "interrupted",
        }
    }
}

/// The last lines of a log that belong to an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogTail {
    /// The path of the whole log, as shown to the user.
    pub source: String,
    /// The last lines, oldest first.
    pub lines: Vec<String>,
}

/// What happened, to which thing, why, and the next command to type.
///
/// The headline is one sentence without a full stop. The reasons begin with the nearest cause and never repeat the
/// headline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Box<Body>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Body {
    class: ErrorClass,
    what: String,
    why: Vec<String>,
    next: Vec<String>,
    log: Option<LogTail>,
}

impl Error {
    /// Makes an error of `class`; the headline `what` says what happened and to which thing.
    pub fn new(class: ErrorClass, what: impl Into<String>) -> Self {
        Error(Box::new(Body { class, what: what.into(), why: Vec::new(), next: Vec::new(), log: None }))
    }

    /// Adds a reason (an underlying error, the last observation).
    #[must_use]
    pub fn because(mut self, why: impl fmt::Display) -> Self {
        self.0.why.push(why.to_string());
        self
    }

    /// Adds a next step: a command to type, with a word on what it does if the command does not show that.
    #[must_use]
    pub fn next(mut self, step: impl Into<String>) -> Self {
        self.0.next.push(step.into());
        self
    }

    /// Attaches the end of a log.
    #[must_use]
    pub fn with_log(mut self, log: LogTail) -> Self {
        self.0.log = Some(log);
        self
    }

    /// Puts a new headline before this error; the old headline becomes the first reason.
    #[must_use]
    pub fn context(mut self, what: impl Into<String>) -> Self {
        let inner = std::mem::replace(&mut self.0.what, what.into());
        self.0.why.insert(0, inner);
        self
    }

    /// Makes an error of `class` with this one as its reason. An interrupt stays what it is: the user wanted it, so
    /// nothing has failed. The next steps and the log are dropped.
    #[must_use]
    pub fn as_reason_of(self, class: ErrorClass, what: impl Into<String>) -> Self {
        match self.class() {
            ErrorClass::Interrupted => self,
            _ => Error::new(class, what).because(self),
        }
    }

    /// The class.
    pub fn class(&self) -> ErrorClass {
        self.0.class
    }
    /// The headline.
    pub fn what(&self) -> &str {
        &self.0.what
    }
    /// The reasons, the nearest cause first.
    pub fn why(&self) -> &[String] {
        &self.0.why
    }
    /// The next steps.
    pub fn next_steps(&self) -> &[String] {
        &self.0.next
    }
    /// The end of the log, if one was attached.
    pub fn log(&self) -> Option<&LogTail> {
        self.0.log.as_ref()
    }
}

impl fmt::Display for Error {
    /// Writes headline and reasons on one line, for logs and as the reason of another error.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.what)?;
        for why in &self.0.why {
            write!(f, ": {why}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_distinct_and_never_zero() {
        let mut codes: Vec<u8> = ErrorClass::ALL.iter().map(|class| class.exit_code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), ErrorClass::ALL.len());
        assert!(!codes.contains(&0));
    }

    #[test]
    fn an_interrupt_became_a_failure_of_what_was_interrupted() {
        let reason_of = |class| Error::new(class, "x").as_reason_of(ErrorClass::Guest, "the guest did not write");
        assert_eq!(reason_of(ErrorClass::Interrupted), Error::new(ErrorClass::Interrupted, "x"));
        let failure = reason_of(ErrorClass::Timeout);
        assert_eq!((failure.class(), failure.to_string().as_str()), (ErrorClass::Guest, "the guest did not write: x"));
    }

    #[test]
    fn context_keeps_the_old_headline_as_the_nearest_reason() {
        let error =
            Error::new(ErrorClass::Host, "cannot write /x").because("no space").context("cannot save the kubeconfig");
        assert_eq!(error.to_string(), "cannot save the kubeconfig: cannot write /x: no space");
    }
}
