//! How a runtime ends.
//!
//! 1. *Draining*: tasks are refused that come from outside, and all others are asked to end, those born meanwhile as well.
//!    They are polled as ever, so their catches hear of it, and cleanups take the time they need.
//! 2. *Closing*, when no task is left, or the grace has ended: from here on workers poll nothing; they drop.
//!    The lists of live tasks take no more, and every task that waits is asked to end.
//! 3. Each worker leaves when there is no work anywhere and no task waits. A task that somebody is
//!    just waking stands in a list until a worker has dropped it, so none is overlooked.
//! 4. The last worker seals the queues, so that what comes later is dropped by whoever brings it,
//!    and stops the timer.
//! 5. The blocking pool and the compute lane drop what waits, and their threads end.
//!
//! Nobody needs to conduct steps 2 to 5: a `Runtime` dropped inside async code begins with 2 and goes.

use std::time::Duration;

use crate::context;
use crate::primitive::thread;
use crate::runtime::Handle;
use crate::scheduler::quiet::Awaited;
use crate::task::TaskInfo;
use crate::task::polling::{self, Blocking};

/// How long a dropped runtime waits for blocking jobs that run, and one that is shut down for polls
/// that have not returned when the grace ends.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// How many aborted tasks a report names.
const NAMED: usize = 100;

/// How a runtime ended. See [`Runtime::shutdown`](crate::Runtime::shutdown).
///
/// ```
/// use std::time::Duration;
/// let runtime = filch::Runtime::new()?;
/// runtime.block_on(runtime.spawn(async {})).unwrap();
/// let report = runtime.shutdown(Duration::from_secs(1));
/// assert_eq!((report.cancelled, report.aborted), (0, 0), "nobody was left");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Tasks that ended on their own during the shutdown, among them those that took the request to
    /// end back.
    pub finished: u64,
    /// Tasks that ended because they were asked to, their cleanups done.
    pub cancelled: u64,
    /// Tasks that were dropped the hard way, because the grace had ended.
    pub aborted: u64,
    /// Tasks that panicked, for instance in a cleanup.
    pub panicked: u64,
    /// Who was aborted: where it waited then, and what held it up. (The first hundred of them.)
    pub aborted_tasks: Vec<TaskInfo>,
    /// Tasks whose poll had not returned one second after the grace: their threads are left alone.
    pub stuck: Vec<TaskInfo>,
    /// Blocking jobs that had not returned by then.
    pub stuck_jobs: usize,
    /// Compute jobs that had not returned by then.
    pub stuck_compute_jobs: Vec<TaskInfo>,
}

pub(crate) fn with_grace(
    handle: &Handle,
    threads: &mut Vec<thread::JoinHandle<()>>,
    grace: Duration,
) -> ShutdownReport {
    let mut report = ShutdownReport::default();
    if belongs_to_a_runtime() {
        // Nothing can be waited for.
        handle.scheduler().close();
        handle.blocking().stop();
        handle.compute().stop();
        threads.clear();
        return report;
    }
    // What cannot be added to the present is never.
    let deadline = crate::primitive::now().checked_add(grace);
    let scheduler = handle.scheduler();
    let before = handle.table().totals();
    if !grace.is_zero() {
        handle.blocking().drain();
        handle.compute().drain();
        scheduler.drain();
        let _time_moves = handle.quiet().map(Awaited::new);
        if !scheduler.wait_until_drained(deadline) {
            scheduler.for_each_task(|task| {
                if report.aborted_tasks.len() < NAMED {
                    report.aborted_tasks.push(TaskInfo::of(task.header()));
                }
            });
        }
    }
    let drained = handle.table().totals();
    scheduler.close();
    handle.blocking().stop();
    handle.compute().stop();
    if handle.wait_for_workers(LAST_WAIT) {
        threads.drain(..).for_each(|thread| drop(thread.join()));
    } else {
        report.stuck = handle.table().stuck();
        report.aborted_tasks.retain(|task| !report.stuck.iter().any(|stuck| stuck.id == task.id));
        threads.clear();
    }
    let after = handle.table().totals();
    report.finished = after.finished - before.finished;
    report.cancelled = drained.cancelled - before.cancelled;
    report.aborted = after.cancelled - drained.cancelled;
    report.panicked = after.panicked - before.panicked;
    let last = crate::primitive::now() + LAST_WAIT;
    let deadline = deadline.map_or(last, |deadline| deadline.max(last));
    report.stuck_jobs = handle.blocking().wait_until_gone(deadline);
    report.stuck_compute_jobs = handle.compute().wait_until_gone(deadline);
    report
}

/// The end of `run`: what is left cleans up. Whoever takes too long for that is named.
pub(crate) fn at_end_of_run(
    handle: &Handle,
    threads: &mut Vec<thread::JoinHandle<()>>,
    grace: Duration,
) {
    let report = with_grace(handle, threads, grace);
    let tell = |what: &str, task: &TaskInfo| {
        eprintln!(
            "filch: {what} when the grace of {grace:?} at the end of the program was over: {task}"
        );
    };
    report.aborted_tasks.iter().for_each(|task| tell("it had not ended, and was aborted,", task));
    let left_alone = report.stuck.iter().chain(&report.stuck_compute_jobs);
    left_alone.for_each(|task| tell("it was still running, and is left alone,", task));
}

/// Is this a thread of a runtime, perhaps of this one? Then nothing can be waited for.
fn belongs_to_a_runtime() -> bool {
    context::with(|_| ()).is_some() || polling::blocking() == Blocking::Refused
}

pub(crate) fn at_drop(handle: &Handle, threads: &mut Vec<thread::JoinHandle<()>>) {
    if threads.is_empty() && handle.scheduler().is_closing() {
        // `shutdown` was called.
        return;
    }
    handle.scheduler().close();
    handle.blocking().stop();
    handle.compute().stop();
    if belongs_to_a_runtime() {
        threads.clear();
        return;
    }
    threads.drain(..).for_each(|thread| drop(thread.join()));
    // Of spare workers nobody can wait for the thread, and they may poll something still.
    let _ = handle.wait_for_workers(Duration::MAX);
    let deadline = crate::primitive::now() + LAST_WAIT;
    let _ = handle.blocking().wait_until_gone(deadline);
    let _ = handle.compute().wait_until_gone(deadline);
}
