//! Polls that take too long, and who is told of them.

use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Scheduler;
use crate::task::TaskInfo;
use crate::task::cell::contained;
use crate::task::polling::{self, Blocking};

/// The same spawn site is mentioned on stderr once in this time.
const SAY_AGAIN: Duration = Duration::from_secs(10);
/// And only so many different ones at all.
const SITES: usize = 1000;

/// A task has been in one poll for long: it computes, or calls something that blocks. Its worker does
/// nothing else meanwhile. See [`Builder::on_stall`](crate::Builder::on_stall).
#[doc(alias = "slow_callback_duration")]
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stall {
    /// The task.
    pub task: TaskInfo,
    /// For how long the poll has run so far: at least. It has not returned.
    pub elapsed: Duration,
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (task, elapsed) = (&self.task, self.elapsed.as_millis());
        write!(
            f,
            "{task} has been in one poll for {elapsed} ms: it computes or blocks, and nothing else runs on its \
             worker; use spawn_compute, spawn_blocking or block_in_place for that, or yield_now in between"
        )
    }
}

/// Who is told.
#[derive(Clone)]
pub(crate) struct OnStall(pub(crate) Arc<dyn Fn(&Stall) + Send + Sync>);

impl fmt::Debug for OnStall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnStall")
    }
}

/// What is a stall, who is told, and who was told already.
#[derive(Debug)]
pub(crate) struct Stalls {
    threshold: Duration,
    hook: Option<OnStall>,
    said: HashMap<&'static Location<'static>, Instant>,
}

impl Stalls {
    pub(crate) fn new(threshold: Duration, hook: Option<OnStall>) -> Stalls {
        Stalls { threshold, hook, said: HashMap::new() }
    }

    pub(super) fn threshold(&self) -> Duration {
        self.threshold
    }

    /// On the monitor's thread, under no lock.
    pub(super) fn report(&mut self, scheduler: &Scheduler, task: TaskInfo, elapsed: Duration) {
        let mut stall = Stall { task, elapsed };
        // Who has waited before is listed, and more is known of it.
        scheduler.for_each_task(|task| {
            if task.header().id() == stall.task.id {
                stall.task = TaskInfo::of(task.header());
            }
        });
        match &self.hook {
            Some(hook) => {
                // If it waited for a task, it could be for one that waits for this thread.
                let before = polling::set_blocking(Blocking::Refused);
                contained(|| (hook.0)(&stall));
                polling::set_blocking(before);
            }
            None => self.say(&stall),
        }
    }

    fn say(&mut self, stall: &Stall) {
        let (site, now) = (stall.task.spawned_at, crate::primitive::now());
        let is_new = match self.said.get(site) {
            Some(&last) => now - last >= SAY_AGAIN,
            None => self.said.len() < SITES,
        };
        if is_new {
            self.said.insert(site, now);
            eprintln!("filch: {stall}");
        }
    }
}
