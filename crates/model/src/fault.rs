//! What went wrong, told for the user: one error type for all layers, and the exit code of each class.
//!
//! It holds text and a class; rendering (colour, layout) belongs to the command line.

use std::fmt;

/// The result of every operation that can fail for a reason the user should read.
pub type Result<T, E = Fault> = std::result::Result<T, E>;

/// The class of a fault. It decides the exit code and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultClass {
    /// An operation failed for a reason outside of the other classes.
    Failed,
    /// The command line, the configuration or a file of the user's is wrong.
    Config,
    /// The verb does not fit the state of the instance (for example `ssh` while it is stopped).
    State,
    /// A wait reached its deadline.
    Timeout,
    /// The guest or its QEMU died, or the guest panicked.
    Guest,
    /// A port is held by somebody else.
    Port,
    /// The cluster refused a request, or a manifest cannot be applied.
    Cluster,
    /// The host lacks something: a tool, a permission, disk space (`EX_UNAVAILABLE` of sysexits.h).
    Host,
    /// The user interrupted (128 + SIGINT, as shells report it).
    Interrupted,
}

impl FaultClass {
    /// All classes, in the order of the documented table.
    pub const ALL: [FaultClass; 9] = [
        FaultClass::Failed,
        FaultClass::Config,
        FaultClass::State,
        FaultClass::Timeout,
        FaultClass::Guest,
        FaultClass::Port,
        FaultClass::Cluster,
        FaultClass::Host,
        FaultClass::Interrupted,
    ];

    /// The exit code of the process.
    pub fn exit_code(self) -> u8 {
        match self {
            FaultClass::Failed => 1,
            FaultClass::Config => 2,
            FaultClass::State => 3,
            FaultClass::Timeout => 4,
            FaultClass::Guest => 5,
            FaultClass::Port => 6,
            FaultClass::Cluster => 7,
            FaultClass::Host => 69,
            FaultClass::Interrupted => 130,
        }
    }

    /// The stable name for machine output.
    pub fn name(self) -> &'static str {
        match self {
            FaultClass::Failed => "failed",
            FaultClass::Config => "config",
            FaultClass::State => "state",
            FaultClass::Timeout => "timeout",
            FaultClass::Guest => "guest",
            FaultClass::Port => "port",
            FaultClass::Cluster => "cluster",
            FaultClass::Host => "host",
            FaultClass::Interrupted => "interrupted",
        }
    }
}

/// The last lines of a log that belong to a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogTail {
    /// Where the whole log is, as shown to the user.
    pub source: String,
    /// The last lines, oldest first.
    pub lines: Vec<String>,
}

/// What happened, to which thing, why, and the next command to type.
///
/// The headline is one sentence without a full stop; the reasons go from near to far and never repeat the headline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault(Box<Body>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Body {
    class: FaultClass,
    what: String,
    why: Vec<String>,
    next: Vec<String>,
    log: Option<LogTail>,
}

impl Fault {
    /// A fault of `class`; `what` names what happened and to which thing.
    pub fn new(class: FaultClass, what: impl Into<String>) -> Self {
        Fault(Box::new(Body { class, what: what.into(), why: Vec::new(), next: Vec::new(), log: None }))
    }

    /// Adds a reason (an underlying error, the last observation).
    #[must_use]
    pub fn because(mut self, why: impl fmt::Display) -> Self {
        self.0.why.push(why.to_string());
        self
    }

    /// Adds a next step: a command to type, with a word on what it does where the command does not say so.
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

    /// Puts a new headline before this fault; the old headline becomes the first reason.
    #[must_use]
    pub fn context(mut self, what: impl Into<String>) -> Self {
        let inner = std::mem::replace(&mut self.0.what, what.into());
        self.0.why.insert(0, inner);
        self
    }

    /// A fault of `class` with this one as its reason. An interrupt stays one: what the user wanted is no failure of what
    /// was under way. What is to be done next and the end of the log are not taken over.
    #[must_use]
    pub fn as_reason_of(self, class: FaultClass, what: impl Into<String>) -> Self {
        match self.class() {
            FaultClass::Interrupted => self,
            _ => Fault::new(class, what).because(self),
        }
    }

    /// The class.
    pub fn class(&self) -> FaultClass {
        self.0.class
    }
    /// The headline.
    pub fn what(&self) -> &str {
        &self.0.what
    }
    /// The reasons, near to far.
    pub fn why(&self) -> &[String] {
        &self.0.why
    }
    /// The next steps.
    pub fn next_steps(&self) -> &[String] {
        &self.0.next
    }
    /// The end of the log that belongs to it.
    pub fn log(&self) -> Option<&LogTail> {
        self.0.log.as_ref()
    }
}

impl fmt::Display for Fault {
    /// Headline and reasons on one line, for logs and for use as a reason of another fault.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.what)?;
        for why in &self.0.why {
            write!(f, ": {why}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_distinct_and_never_zero() {
        let mut codes: Vec<u8> = FaultClass::ALL.iter().map(|class| class.exit_code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), FaultClass::ALL.len());
        assert!(!codes.contains(&0));
    }

    #[test]
    fn an_interrupt_became_a_failure_of_what_was_interrupted() {
        let reason_of = |class| Fault::new(class, "x").as_reason_of(FaultClass::Guest, "the guest did not write");
        assert_eq!(reason_of(FaultClass::Interrupted), Fault::new(FaultClass::Interrupted, "x"));
        let failure = reason_of(FaultClass::Timeout);
        assert_eq!((failure.class(), failure.to_string().as_str()), (FaultClass::Guest, "the guest did not write: x"));
    }

    #[test]
    fn context_keeps_the_old_headline_as_the_nearest_reason() {
        let fault =
            Fault::new(FaultClass::Host, "cannot write /x").because("no space").context("cannot save the kubeconfig");
        assert_eq!(fault.to_string(), "cannot save the kubeconfig: cannot write /x: no space");
    }
}
