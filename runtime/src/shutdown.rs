//! How a runtime ends.
//!
//! 1. The scheduler is closed: spawns are refused, the lists of live tasks take no more, and every
//!    task that waits is asked to end. From here on workers poll nothing; they drop.
//! 2. Each worker leaves when there is no work anywhere and no task waits. A task that somebody is
//!    just waking stands in a list until a worker has dropped it, so none is overlooked.
//! 3. The last worker seals the queues, so that what comes later is dropped by whoever brings it,
//!    and stops the timer.
//! 4. The blocking pool drops what waits, and its threads end.
//!
//! Nobody needs to conduct this: a `Runtime` dropped inside async code does step 1 and goes.

use std::thread;
use std::time::{Duration, Instant};

use crate::context;
use crate::runtime::Handle;
use crate::task::TaskInfo;
use crate::task::polling::{self, Blocking};

/// How long a dropped runtime waits for blocking jobs that run.
const JOBS_AT_DROP: Duration = Duration::from_secs(1);

/// How a runtime ended. See [`Runtime::shutdown`](crate::Runtime::shutdown).
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Tasks that ended on their own during the shutdown.
    pub finished: u64,
    /// Tasks that were dropped because of it.
    pub cancelled: u64,
    /// Tasks that were dropped the hard way, because the grace had ended. (Without cleanup that
    /// takes time there is no difference yet: see `cancelled`.)
    pub aborted: u64,
    /// Tasks that panicked, for instance in a drop.
    pub panicked: u64,
    /// Tasks and blocking jobs whose poll or call had not returned when the grace ended.
    pub stuck: Vec<TaskInfo>,
    /// Blocking jobs among those, whose names are not known.
    pub stuck_jobs: usize,
}

pub(crate) fn with_grace(
    handle: &Handle,
    threads: &mut Vec<thread::JoinHandle<()>>,
    grace: Duration,
) -> ShutdownReport {
    let deadline = Instant::now().checked_add(grace);
    let before = handle.table().totals();
    handle.scheduler().close();
    handle.blocking().stop();
    let mut report = ShutdownReport::default();
    if belongs_to_a_runtime() {
        threads.clear();
        return report;
    }
    if handle.wait_for_workers(grace) {
        threads.drain(..).for_each(|thread| drop(thread.join()));
    } else {
        report.stuck = handle.table().stuck();
        threads.clear();
    }
    let after = handle.table().totals();
    report.finished = after.finished - before.finished;
    report.cancelled = after.cancelled - before.cancelled;
    report.panicked = after.panicked - before.panicked;
    let far = || Instant::now() + Duration::from_secs(86_400 * 365);
    report.stuck_jobs = handle.blocking().wait_until_gone(deadline.unwrap_or_else(far));
    report
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
    if belongs_to_a_runtime() {
        threads.clear();
        return;
    }
    threads.drain(..).for_each(|thread| drop(thread.join()));
    let _ = handle.blocking().wait_until_gone(Instant::now() + JOBS_AT_DROP);
}
