//! Shortens the chain of disks under a running VM: QEMU copies what lies between the top and a base into the top, as a job
//! of its own while the guest goes on, and at the end names the base in the top.
//!
//! Source: qapi/block-core.json and qapi/job.json of QEMU. A job outlives the connection that began it.

use std::path::Path;
use std::time::{Duration, Instant};

use model::{Event, EventSink, Fault, FaultClass, Result};
use serde_json::{Value, json};

use super::Qmp;

/// The job's name.
const JOB: &str = "shorten";
/// The task as the user sees it.
const TASK: &str = "disk";
/// How long a wait lasts before the user's interrupt is looked at and the progress is told.
const SLICE: Duration = Duration::from_millis(200);
/// How long a job may take to end once it was told to.
const CANCELLED: Duration = Duration::from_secs(60);

impl Qmp {
    /// Puts the root disk onto `base`, the path of a disk of its chain as QEMU opened it; waits at most `deadline`. A
    /// job that does not end is cancelled, and nothing has changed but that the top has more data of its own.
    ///
    /// # Errors
    /// Failed with QEMU's reason, Guest when QEMU ends, Timeout, Interrupted, or as [`Qmp::execute`].
    pub(crate) fn stream_to(&mut self, base: &Path, deadline: Duration, events: &dyn EventSink) -> Result<()> {
        let top = self.top_of_root_disk()?.name;
        let nodes = self.nodes()?;
        let base_name = nodes.iter().find(|node| node.is_image && Path::new(&node.file) == base);
        let Some(base_node) = base_name.map(|node| node.name.clone()) else {
            let what = format!("QEMU has not opened {}", base.display());
            return Err(Fault::new(FaultClass::Failed, what));
        };
        let arguments =
            json!({"job-id": JOB, "device": top, "base-node": base_node, "backing-file": base.to_string_lossy()});
        self.execute("block-stream", arguments)?;
        let ended = self.until_job_ends("the disk's layers to be merged", deadline, events);
        let goes_on = |fault: &Fault| matches!(fault.class(), FaultClass::Timeout | FaultClass::Interrupted);
        if ended.as_ref().is_err_and(goes_on) && !self.closed {
            self.ignore_interrupts();
            // The first fault is the one to tell.
            let _ = self.cancel_stream();
        }
        events.emit(Event::TaskFinished { task: TASK.to_owned() });
        ended?;
        // What was opened by name stays open, with its space on the disk, until it is closed by name. The files of images
        // come after those, which use them; QEMU refuses to close what is in use.
        for is_image in [true, false] {
            for node in nodes.iter().filter(|node| node.is_image == is_image && node.is_named() && node.name != top) {
                let _ = self.close_node(&node.name);
            }
        }
        Ok(())
    }

    /// Ends the job of a program that was killed, if there is one: the VM's disk takes no other work meanwhile.
    ///
    /// # Errors
    /// Timeout when it does not end, or as [`Qmp::execute`].
    pub(crate) fn cancel_stream(&mut self) -> Result<()> {
        if self.job()?.is_none() {
            return Ok(());
        }
        // One that ends by itself this moment is as good.
        let _ = self.execute("job-cancel", json!({"id": JOB}));
        match self.until_job_ends("a former work on the disk to end", CANCELLED, &model::event::Silent) {
            Err(fault) if fault.class() == FaultClass::Failed => Ok(()),
            ended => ended,
        }
    }

    /// Waits until the job is over, and looks how it ended (`BLOCK_JOB_COMPLETED`, `BLOCK_JOB_CANCELLED`).
    fn until_job_ends(&mut self, what: &str, deadline: Duration, sink: &dyn EventSink) -> Result<()> {
        let end = Instant::now() + deadline;
        let mut others = Vec::new();
        let ended = loop {
            let left = end.saturating_duration_since(Instant::now());
            // A job that is gone has told its end before.
            let job = match self.job() {
                Ok(job) => job,
                Err(fault) => break Err(fault),
            };
            let news = match self.events(job.as_ref().map_or(Duration::ZERO, |_| left.min(SLICE))) {
                Ok(news) => news,
                Err(fault) => break Err(fault),
            };
            let mut failure = None;
            let mut over = job.is_none();
            for event in news {
                let ours = event.data["device"] == JOB;
                match event.name.as_str() {
                    "BLOCK_JOB_COMPLETED" if ours => {
                        over = true;
                        failure = event.data["error"].as_str().map(str::to_owned);
                    }
                    "BLOCK_JOB_CANCELLED" if ours => {
                        over = true;
                        failure = Some("it was cancelled".to_owned());
                    }
                    _ => others.push(event),
                }
            }
            match (failure, job) {
                (Some(why), _) => {
                    break Err(Fault::new(FaultClass::Failed, "QEMU could not merge the disk's layers").because(why));
                }
                (None, _) if over => break Ok(()),
                (None, _) if self.closed => {
                    break Err(Fault::new(FaultClass::Guest, format!("QEMU ended while we waited for {what}")));
                }
                (None, Some(job)) if left.is_zero() => {
                    let limit = humantime::format_duration(deadline);
                    let fault = Fault::new(FaultClass::Timeout, format!("gave up waiting for {what} after {limit}"));
                    break Err(fault.because(job.text()));
                }
                (None, Some(job)) => sink.emit(job.event()),
                (None, None) => {}
            }
        };
        self.events.splice(0..0, others);
        ended
    }

    fn job(&mut self) -> Result<Option<Job>> {
        let answer = self.execute("query-jobs", Value::Null)?;
        let jobs = answer.as_array().map(Vec::as_slice).unwrap_or_default();
        let number = |job: &Value, key: &str| job[key].as_u64().unwrap_or_default();
        Ok(jobs
            .iter()
            .find(|job| job["id"] == JOB)
            .map(|job| Job { done: number(job, "current-progress"), total: number(job, "total-progress") }))
    }

    fn nodes(&mut self) -> Result<Vec<Node>> {
        let answer = self.execute("query-named-block-nodes", json!({"flat": true}))?;
        let text = |node: &Value, key: &str| node[key].as_str().unwrap_or_default().to_owned();
        let nodes = answer.as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(nodes
            .iter()
            .map(|node| Node {
                name: text(node, "node-name"),
                file: text(node, "file"),
                is_image: node["drv"] == "qcow2",
            })
            .collect())
    }
}

/// How far the job is, in bytes.
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

/// A block node.
struct Node {
    name: String,
    file: String,
    is_image: bool,
}

impl Node {
    /// Whether it has a name of ours: those that QEMU makes begin so (`id_generate` of util/id.c).
    fn is_named(&self) -> bool {
        !self.name.starts_with('#')
    }
}
