//! Shortens the chain of a running VM's disk: QEMU copies the layers between the top and a backing file into the top, while
//! the guest runs, and then makes that file the backing file of the top.
//!
//! Source: qapi/block-core.json and qapi/job.json of QEMU. A job outlives the connection that started it.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use host::deadline::moment_after;
use host::interrupt;
use host::io_error::at_path;
use model::event::Silent;
use model::{Error, ErrorClass, Event, EventSink, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Qmp, QmpEvent, RunState};
use crate::answer::{Object, shown};

/// The job's id.
const JOB: &str = "shorten";
/// The name of the task in progress events.
const TASK: &str = "disk";
/// How often a wait checks for the user's interrupt and reports progress.
const SLICE: Duration = Duration::from_millis(200);
/// How long a cancelled job may take to end.
const CANCELLED: Duration = Duration::from_secs(60);

impl Qmp {
    /// Makes `backing_file`, the path of a file of the chain as QEMU opened it, the backing file of the root disk, whose file
    /// is `disk`; waits at most `deadline`. A job that does not end is cancelled: the chain is the old one then, and the top
    /// has more data of its own.
    ///
    /// # Errors
    /// Failed with QEMU's reason, Guest when QEMU ends, Timeout, Interrupted, or as [`Qmp::execute`].
    pub(crate) fn stream_to(
        &mut self,
        disk: &Path,
        backing_file: &Path,
        deadline: Duration,
        events: &dyn EventSink,
    ) -> Result<()> {
        let top = self.top_of_root_disk()?.name;
        let images = self.images()?;
        let Some((base_node, _)) = images.iter().find(|(_, file)| Path::new(file) == backing_file) else {
            return Err(Error::new(ErrorClass::Failed, format!("QEMU has not opened {}", backing_file.display())));
        };
        let arguments = json!({
            "job-id": JOB, "device": top, "base-node": base_node, "backing-file": backing_file.to_string_lossy(),
            "auto-finalize": false,
        });
        self.execute("block-stream", arguments)?;
        let merged = self
            .until_job_is(End::Pending, "the disk's layers to be merged", deadline, events)
            .and_then(|()| Ok(self.write_out(disk)?))
            .and_then(|()| Ok(self.execute("job-finalize", json!({"id": JOB}))?))
            .and_then(|()| self.until_job_is(End::Gone, "the disk to be put onto its backing file", deadline, events));
        events.emit(Event::TaskFinished { task: TASK.to_owned() });
        if merged.is_err() && !self.closed {
            let _deferred = interrupt::defer();
            // The first error is the one to report.
            let _ = self.cancel_stream();
        }
        merged?;
        // A node that was opened by name stays open, and its file takes space on the disk, until it is closed by name.
        for (name, _) in images.iter().filter(|(name, _)| !is_made_by_qemu(name) && *name != top) {
            self.close_node(name);
        }
        Ok(())
    }

    /// Has QEMU write what it has cached of the disk. Once the disk has its new backing file, nothing must be lost when QEMU
    /// is killed; QEMU (7.2) does not ensure that itself, but a pause does. Most data are written before, so that the guest
    /// is paused for some milliseconds.
    fn write_out(&mut self, disk: &Path) -> Result<()> {
        let ran = self.status()? == RunState::Running;
        let file = File::open(disk).map_err(|error| at_path("read", disk, &error))?;
        file.sync_data().map_err(|error| at_path("write", disk, &error))?;
        let _deferred = interrupt::defer();
        self.stop()?;
        if ran { self.cont() } else { Ok(()) }
    }

    /// Cancels the job of a program that was killed, if there is one: QEMU refuses other work on the disk meanwhile.
    ///
    /// # Errors
    /// Timeout when it does not end, or as [`Qmp::execute`].
    pub(crate) fn cancel_stream(&mut self) -> Result<()> {
        if self.job()?.is_none() {
            return Ok(());
        }
        // It may have ended by itself meanwhile.
        let _ = self.execute("job-cancel", json!({"id": JOB}));
        match self.until_job_is(End::Gone, "the earlier job on the disk to end", CANCELLED, &Silent) {
            Err(JobError::Failed(_)) => Ok(()),
            ended => Ok(ended?),
        }
    }

    /// Waits until the job is at `wanted` (`BLOCK_JOB_PENDING`, `BLOCK_JOB_COMPLETED`, `BLOCK_JOB_CANCELLED`).
    fn until_job_is(
        &mut self,
        wanted: End,
        what: &str,
        deadline: Duration,
        sink: &dyn EventSink,
    ) -> Result<(), JobError> {
        let end = moment_after(deadline);
        // BLOCK_JOB_PENDING has another key than the others.
        let is_ours = |event: &QmpEvent| ["device", "id"].iter().any(|key| event.text(key) == Some(JOB));
        let failed = |why: &str| {
            let error = Error::new(ErrorClass::Failed, "QEMU could not merge the disk's layers");
            Err(JobError::Failed(error.because(why)))
        };
        loop {
            let left = end.saturating_duration_since(Instant::now());
            // A job that is gone has sent its last event before.
            let job = self.job()?;
            let mut reached = None;
            let patience = if job.is_some() { left.min(SLICE) } else { Duration::ZERO };
            for event in self.events(patience)?.into_iter().filter(is_ours) {
                match event.name.as_str() {
                    "BLOCK_JOB_PENDING" => reached = Some(End::Pending),
                    "BLOCK_JOB_CANCELLED" => return failed("it was cancelled"),
                    "BLOCK_JOB_COMPLETED" => match event.text("error") {
                        Some(why) => return failed(&shown(why)),
                        None => reached = Some(End::Gone),
                    },
                    _ => {}
                }
            }
            let job = match job {
                _ if reached == Some(wanted) => return Ok(()),
                None if wanted == End::Gone => return Ok(()),
                None => return failed("it ended before its time"),
                Some(job) => job,
            };
            if self.closed {
                let error = Error::new(ErrorClass::Guest, format!("QEMU ended while we waited for {what}"));
                return Err(error.into());
            }
            if left.is_zero() {
                let limit = humantime::format_duration(deadline);
                let error = Error::new(ErrorClass::Timeout, format!("gave up waiting for {what} after {limit}"));
                return Err(error.because(job.text()).into());
            }
            sink.emit(job.event());
        }
    }

    fn job(&mut self) -> Result<Option<Job>> {
        let jobs: Vec<Object<JobInfo>> = self.ask("query-jobs", Value::Null)?;
        let ours = jobs.into_iter().map(|Object(job)| job).find(|job| job.id == JOB);
        Ok(ours.map(|job| Job { done: job.done, total: job.total }))
    }

    /// The nodes of qcow2 images, each with the path by which its file was opened.
    fn images(&mut self) -> Result<Vec<(String, String)>> {
        let nodes: Vec<Object<Node>> = self.ask_much("query-named-block-nodes", json!({"flat": true}))?;
        let images = nodes.into_iter().map(|Object(node)| node).filter(|node| node.driver == "qcow2");
        Ok(images.map(|node| (node.name.unwrap_or_default(), node.file)).collect())
    }
}

/// `JobInfo` of qapi/job.json.
#[derive(Deserialize)]
struct JobInfo {
    id: String,
    #[serde(rename = "current-progress")]
    done: u64,
    #[serde(rename = "total-progress")]
    total: u64,
}

/// `BlockDeviceInfo` of qapi/block-core.json.
#[derive(Deserialize)]
struct Node {
    #[serde(rename = "node-name")]
    name: Option<String>,
    #[serde(rename = "drv")]
    driver: String,
    file: String,
}

/// Whether QEMU made the name itself (`id_generate` of util/id.c).
fn is_made_by_qemu(node: &str) -> bool {
    node.starts_with('#')
}

/// Why a job does not come to its end.
enum JobError {
    /// The job failed or was cancelled; there is none any more.
    Failed(Error),
    /// Anything else; the job may still run.
    Other(Error),
}

impl From<Error> for JobError {
    fn from(error: Error) -> Self {
        JobError::Other(error)
    }
}

impl From<JobError> for Error {
    fn from(error: JobError) -> Self {
        match error {
            JobError::Failed(error) | JobError::Other(error) => error,
        }
    }
}

/// The point that a wait is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Everything is copied.
    Pending,
    /// It is over.
    Gone,
}

/// The progress of the job, in bytes.
struct Job {
    done: u64,
    total: u64,
}

impl Job {
    fn text(&self) -> String {
        let mebibytes = |bytes: u64| bytes >> 20;
        format!("{} of {} MiB looked through", mebibytes(self.done), mebibytes(self.total))
    }

    fn event(&self) -> Event {
        Event::Progress { task: TASK.to_owned(), message: self.text(), done: Some(self.done), total: Some(self.total) }
    }
}
