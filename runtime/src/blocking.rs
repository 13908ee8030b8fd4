//! Threads for calls that wait: files, DNS, a database driver without async.
//!
//! A job is a task whose first and only poll is the call. The pool starts threads as they are
//! needed, up to a limit, and lets them go when they were idle for a while. The queue has a limit,
//! too: a job that finds it full is refused at once, with an error that says so.
//!
//! Who is woken for a job: `idle` counts the threads that wait, `called` how many of them have
//! been called and have not come yet. A submitter calls a thread only if one is left to call;
//! else it starts a new one, up to the limit. Both counts change under the lock, and whoever
//! stops waiting, for whatever reason, answers one call. So a thread that gives up at the same
//! moment as a job comes either takes the job or was not counted on.
//!
//! Who has a job: whoever took it out of the queue, under the lock. That may be a canceller: it marks the
//! request and *then* looks into the queue. If the job is still there, the canceller ends it and its place is
//! free at once. If not, a thread has it, which looks for requests before it begins; and if it has begun,
//! the job itself can ask with [`cancel_requested`]. A thread that was called for a job that is gone
//! answers its call all the same: it comes, finds nothing, and waits again.

use std::collections::VecDeque;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::context;
use crate::error::JoinError;
use crate::job::{self, Job, OnPool};
#[cfg(filch_loom)]
use crate::primitive::seeded;
use crate::primitive::{Condvar, Mutex, MutexGuard};
use crate::runtime::Handle;
use crate::scheduler::quiet::Awake;
use crate::scheduler::{Jobs, Scheduler, worker};
use crate::task::cell;
use crate::task::local;
use crate::task::polling::{self, Blocking};
use crate::task::{JoinHandle, Runnable, TaskRef};

/// Runs a call that blocks on a thread made for such calls, and gives its result.
///
/// For calls that *wait*. A job that has started cannot be aborted, but it can ask whether somebody
/// would like to ([`cancel_requested`]); one that waits for a thread is dropped at once when it is
/// cancelled or aborted, by whoever does that. The number of threads and the length of the queue are
/// bounded ([`Builder::max_blocking_threads`](crate::Builder::max_blocking_threads),
/// [`Builder::blocking_queue`](crate::Builder::blocking_queue)); a job that finds the queue full
/// gives an error with [`is_rejected`](JoinError::is_rejected).
///
/// # Panics
///
/// Outside a runtime; and in a process that was forked after the runtime was made.
///
/// ```
/// let sum: u64 = filch::run(async {
///     filch::spawn_blocking(|| (1..=10).sum()).await.unwrap()
/// });
/// assert_eq!(sum, 55);
/// ```
#[doc(alias = "to_thread")]
#[doc(alias = "run_in_executor")]
#[track_caller]
pub fn spawn_blocking<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let site = Location::caller();
    match context::with(Handle::clone) {
        Some(handle) => spawn_blocking_on(&handle, site, f),
        None => context::none("filch::spawn_blocking"),
    }
}

#[track_caller]
pub(crate) fn spawn_blocking_on<F, T>(
    handle: &Handle,
    site: &'static Location<'static>,
    f: F,
) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    handle.scheduler().assert_same_process();
    let new =
        cell::Spawn { owner: handle.scheduler(), site, home: None, extra: local::inherited(None) };
    let (job, join) = cell::spawn::<OnPool, _>(Job::new(f), new);
    if handle.scheduler().is_draining() && cell::current().is_none() {
        // From outside, and too late.
        drop(job);
    } else {
        handle.blocking().submit(handle, job);
    }
    JoinHandle::new(join)
}

/// Runs a call that blocks, or computes for long, where it stands: in the task, on its worker. What waits for
/// this worker is for the others meanwhile; if all others are busy as well, a spare worker comes. For calls that
/// borrow from the task; others are better off in [`spawn_blocking`].
///
/// Inside it, `Runtime::block_on` is allowed. Outside a worker it just calls `f`.
///
/// # Panics
///
/// With the call's own panic.
///
/// ```
/// filch::run(async {
///     let text = String::from("borrowed");
///     let length = filch::spawn(async move {
///         let text = &text;
///         filch::block_in_place(|| text.len())
///     });
///     assert_eq!(length.await.unwrap(), 8);
/// });
/// ```
pub fn block_in_place<R>(f: impl FnOnce() -> R) -> R {
    worker::block_in_place(f)
}

pub use crate::job::cancel_requested;

/// Limits of the pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) threads: usize,
    pub(crate) queue: usize,
    pub(crate) keep_alive: Duration,
}

/// The threads and what waits for them.
#[derive(Debug)]
pub(crate) struct Pool {
    limits: Limits,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    /// There is a job, or the end has come.
    news: Condvar,
    /// A thread has left.
    gone: Condvar,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Queued>,
    threads: usize,
    idle: usize,
    called: usize,
    stopping: bool,
}

/// A job that waits for a thread.
#[derive(Debug)]
struct Queued {
    job: Runnable,
    /// With a manual clock: no time passes until the job has ended. (Dropped after it.)
    awake: Option<Awake>,
}

/// What a submitter does about its job.
enum Submit {
    Queued,
    StartThread,
    Refused(Queued, Refusal),
}

enum Refusal {
    Stopping,
    Full,
}

impl Pool {
    pub(crate) fn new(limits: Limits) -> Pool {
        let inner = Inner {
            state: Mutex::new(State::default()),
            news: Condvar::new(),
            gone: Condvar::new(),
        };
        Pool { limits, inner: Arc::new(inner) }
    }

    /// Hears of this scheduler's jobs that are asked to end.
    pub(crate) fn serve(&self, scheduler: &Scheduler) {
        let inner = Arc::clone(&self.inner);
        scheduler.set_jobs(Some(Jobs(Arc::new(move |job| inner.requested(job)))));
    }

    pub(crate) fn submit(&self, handle: &Handle, job: Runnable) {
        let queued = Queued { job, awake: handle.quiet().map(Awake::new) };
        let next = self.inner.state.lock().submit(queued, self.limits);
        match next {
            Submit::Queued => self.inner.news.notify_one(),
            Submit::StartThread => self.start_thread(handle),
            Submit::Refused(queued, Refusal::Stopping) => drop(queued),
            Submit::Refused(Queued { job, awake: _awake }, Refusal::Full) => {
                let limit = self.limits.queue;
                job.fail(|label| {
                    JoinError::rejected(
                        label,
                        format!(
                            "{limit} blocking jobs wait already, the most this runtime allows; \
                             hold callers back with a semaphore, or raise Builder::blocking_queue"
                        ),
                    )
                });
            }
        }
    }

    fn start_thread(&self, handle: &Handle) {
        let (inner, limits) = (Arc::clone(&self.inner), self.limits);
        let context = handle.clone();
        let started = handle.thread_builder("blocking").spawn(move || {
            let hooks = context.clone();
            let _entered = context::enter(context);
            polling::set_blocking(Blocking::Allowed);
            hooks.thread_starts();
            inner.work(limits.keep_alive);
            hooks.thread_stops();
        });
        if let Err(error) = started {
            self.thread_refused(&error);
        }
    }

    /// The system gives no further thread. That only matters if there is none at all.
    fn thread_refused(&self, error: &std::io::Error) {
        let mut state = self.inner.state.lock();
        state.threads -= 1;
        let stranded =
            if state.threads == 0 { std::mem::take(&mut state.queue) } else { VecDeque::new() };
        drop(state);
        for Queued { job, awake: _awake } in stranded {
            job.fail(|label| {
                JoinError::rejected(
                    label,
                    format!("the system refused a thread for blocking jobs: {error}"),
                )
            });
        }
    }

    /// Drops the jobs that wait; cleanups may bring new ones.
    pub(crate) fn drain(&self) {
        let dropped = std::mem::take(&mut self.inner.state.lock().queue);
        drop(dropped);
    }

    /// Refuses jobs from now on, and drops those that wait.
    pub(crate) fn stop(&self) -> usize {
        let mut state = self.inner.state.lock();
        state.stopping = true;
        let dropped = std::mem::take(&mut state.queue);
        drop(state);
        self.inner.news.notify_all();
        dropped.len()
    }

    /// After [`Pool::stop`]: waits for the running jobs, no longer than until `deadline`. Answers how many
    /// still run.
    pub(crate) fn wait_until_gone(&self, deadline: Instant) -> usize {
        let mut state = self.inner.state.lock();
        while state.threads > 0 {
            let left = deadline.saturating_duration_since(crate::primitive::now());
            if left.is_zero() {
                break;
            }
            (state, _) = self.inner.gone.wait_timeout(state, left);
        }
        state.threads
    }

    /// Jobs that wait for a thread.
    pub(crate) fn queue_depth(&self) -> usize {
        self.inner.state.lock().queue.len()
    }

    /// Threads that wait for a job.
    pub(crate) fn idle(&self) -> usize {
        self.inner.state.lock().idle
    }

    /// Threads, busy and idle.
    pub(crate) fn threads(&self) -> usize {
        self.inner.state.lock().threads
    }
}

impl State {
    fn submit(&mut self, job: Queued, limits: Limits) -> Submit {
        if self.stopping {
            return Submit::Refused(job, Refusal::Stopping);
        }
        let free = self.idle - self.called;
        #[cfg(filch_loom)] // A twin counts on threads that were called for other jobs.
        let free = if seeded("call-twice") { self.idle } else { free };
        if free == 0 && self.threads >= limits.threads && self.queue.len() >= limits.queue {
            return Submit::Refused(job, Refusal::Full);
        }
        self.queue.push_back(job);
        if free > 0 {
            self.called += 1;
            Submit::Queued
        } else if self.threads < limits.threads {
            self.threads += 1;
            Submit::StartThread
        } else {
            Submit::Queued
        }
    }

    /// A look at each that waits, from the front: a group cancels its jobs in the order they came.
    /// (The longest queue that a runtime has by default is 1 MiB.)
    fn take(&mut self, job: &TaskRef) -> Option<Queued> {
        let is = |queued: &Queued| std::ptr::eq(queued.job.header(), job.header());
        let taken = self.queue.iter().position(is).and_then(|index| self.queue.remove(index));
        #[cfg(filch_loom)] // A twin takes back a call that may have been for another job.
        if seeded("uncall") && taken.is_some() {
            self.called = self.called.saturating_sub(1);
        }
        taken
    }
}

impl Inner {
    /// Ends a job that was asked to end, if it waits for a thread.
    fn requested(&self, job: &TaskRef) {
        let Some(request) = job::request(job) else { return };
        let taken = self.state.lock().take(job);
        if let Some(Queued { job, awake: _awake }) = taken {
            // Unpolled, even if the request is taken back now: that comes too late.
            job.fail(|label| JoinError::cancelled(label, request));
        }
    }

    fn work(&self, keep_alive: Duration) {
        let mut state = self.state.lock();
        loop {
            if let Some(Queued { job, awake }) = state.queue.pop_front() {
                drop(state);
                let awake = awake.map(Awake::here);
                // Its end is in its handle; a panic ended inside.
                let _ = job.run();
                drop(awake);
                state = self.state.lock();
                continue;
            }
            let stay = !state.stopping && {
                let called;
                (state, called) = self.wait(state, keep_alive);
                called || !state.queue.is_empty()
            };
            if !stay {
                // Under the lock that saw the queue empty: a job that comes now starts a thread.
                state.threads -= 1;
                drop(state);
                self.gone.notify_all();
                return;
            }
        }
    }

    /// Waits to be called. `false`: nobody did for a long time.
    fn wait<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        keep_alive: Duration,
    ) -> (MutexGuard<'a, State>, bool) {
        state.idle += 1;
        let give_up = crate::primitive::now().checked_add(keep_alive);
        while state.called == 0 && !state.stopping {
            let left = match give_up {
                Some(at) => at.saturating_duration_since(crate::primitive::now()),
                None => Duration::MAX,
            };
            if left.is_zero() {
                break;
            }
            let in_time;
            (state, in_time) = self.news.wait_timeout(state, left);
            if !in_time {
                break;
            }
        }
        state.idle -= 1;
        let called = state.called > 0;
        if called {
            state.called -= 1;
        }
        let stopping = state.stopping;
        (state, called || stopping)
    }
}

#[cfg(all(filch_loom, not(filch_shuttle)))]
#[path = "../../loom-tests/src/models/blocking.rs"]
#[allow(missing_docs)]
pub mod models;

impl fmt::Debug for Submit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Submit")
    }
}
