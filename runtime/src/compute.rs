//! A lane for calls that compute: threads of low priority, on which rayon works.
//!
//! Workers answer within microseconds as long as nobody computes on them. So what computes for long goes to a pool
//! of rayon's, whose threads are *lowered*: the system runs them when no worker wants the CPU. `rayon::join`, `scope` and
//! `par_iter` inside a job use that pool.
//!
//! ```text
//! spawn_compute ──► ticket in the line ──► token in rayon's pool ──► a thread of the lane takes the front ticket
//!                       ▲  cancel: the job is taken out                     │ runs the job as a task
//!                       └── close: all are                                  └──► the joiner's waker ──► schedule()
//! ```
//!
//! The queue (`compute/line.rs`) is ours, so that its length can be seen and limited, and what waits in it be cancelled.
//!
//! **Which locks a lowered thread can hold.** It may be put aside in the middle of anything, for as long as others are busy.
//! What happens when a job ends:
//!
//! | step | with |
//! |------|------|
//! | the output is published, the joiner's waker taken | exchanges on the task's word |
//! | `schedule()` | push-CAS on an injector, exchange on the idle word, futex or eventfd |
//! | the block goes back | a list of this thread's; whole chains are exchanged with the depot |
//! | the desk (who runs what) | a lock of this thread's own; a shutdown that names who is stuck looks there |
//! | callbacks of [`on_done`](crate::task::Task::on_done), a `gather` that watches | a lock of that task or that `gather`, for a moment |
//! | closures and results are dropped | whatever they do; the allocator has locks of its own |
//!
//! And when one begins: the ticket is taken from crossbeam's injector, the job out of it by an exchange. On the way in a
//! worker takes a lock of rayon's if a thread of the pool sleeps, and that thread holds it while it goes to sleep: a worker
//! may have to wait for a lowered thread there, while that one is on its way to have nothing to do. (A worker that waits leaves a CPU
//! to it.) All else that workers and the lane share is atomic.
//!
//! Measured on 2 cores, 2 workers, with 4 clients that ask an echo server once a millisecond, p99 in µs (and jobs/s), the median of
//! 5 to 7 rounds:
//!
//! | beside | lane | lane, not lowered | rayon and a channel by hand | tokio, the same by hand |
//! |--------|------|-------------------|-----------------------------|-------------------------|
//! | 8 jobs of 20 ms | 83 (102) | 1106 (105) | 1065 (102) | 1050 (104) |
//! | 64 jobs of 20 ms | 100 (101) | | 987 (102) | |
//! | 3 jobs of 100 µs, so that threads often go to sleep | 123 (17,300) | 608 (17,600) | 504 (17,900) | |
//! | nothing | 128 | | | |
//!
//! So the lock that a thread holds while it goes to sleep is not seen, and what the line costs is below 4 %.
//!
//! **Who starts the threads.** A nice level is inherited, and so is a wish for short slices, which the workers have.
//! So it must be a thread that has neither: the first job asks the timer's thread, which starts one that makes
//! the pool and ends. Tokens from before that are owed, and given out then.

use std::fmt;
use std::io;
use std::panic::Location;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rayon_core::{ThreadPool, ThreadPoolBuilder};

use crate::context;
use crate::error::JoinError;
use crate::job::{Job, OnPool};
use crate::primitive::{AtomicBool, AtomicUsize, Condvar, Mutex, Ordering};
use crate::runtime::{Handle, Runtime};
use crate::sys;
use crate::task::cell::{self, contained};
use crate::task::extra::Extra;
use crate::task::local;
use crate::task::polling::{self, Blocking};
use crate::task::pool::Boxed;
use crate::task::{JoinHandle, Runnable, TaskInfo, TaskRef};

use self::line::{Line, Refused, Taken, Ticket};

mod line;
mod quota;

#[cfg(all(filch_loom, not(filch_shuttle)))]
pub use self::line::models;
pub(crate) use self::quota::default_threads;
pub use crate::job::cancel_requested;

/// Runs a call that computes on a thread made for such calls, and gives its result.
///
/// These threads have a low priority: tasks go first. There are as many as CPUs (fewer under a quota, see
/// [`Builder::compute_threads`](crate::Builder::compute_threads)), and jobs beyond that wait in a line, in the order in which
/// they came. Calls that *wait* belong to [`spawn_blocking`](crate::spawn_blocking): here they would hold up the line.
///
/// The threads are a pool of [rayon](https://docs.rs/rayon)'s: `rayon::join`, `rayon::scope` and parallel iterators in
/// the call use the same threads, all of them, and need no further pool.
///
/// A job that waits is dropped at once when it is cancelled or aborted, by whoever does that. One that has started can ask
/// with [`cancel_requested`]. A job that finds the line full
/// ([`Builder::compute_queue`](crate::Builder::compute_queue)) gives an error with
/// [`is_rejected`](JoinError::is_rejected).
///
/// # Inside a job
///
/// - It is a task: [`task::current`](crate::task::current), its name and task locals are there, also those of the task that
///   spawned it. A panic is an error of the handle.
/// - While rayon waits for the other half of a `join`, or the end of a scope, it runs other jobs on the same thread: what is
///   held meanwhile (a lock, a `RefCell`'s borrow) is held while a foreign job runs. Each sees its own task and its own locals.
/// - The halves of a `join` and the items of a parallel iterator may run on other threads, and there the task
///   is not known. Ask before (`let me = filch::task::current()`), or hand a flag in.
/// - It may spawn tasks, and further jobs. To *wait* for a job in a job, by
///   [`join_timeout`](JoinHandle::join_timeout) or `block_on`, is to stand in the way of it: with one thread, for ever. Use
///   `rayon::join` and `rayon::scope` for parts of the work, which wait without standing still.
/// - What is spawned with `rayon::spawn` belongs to nobody: its panic is told by the panic hook and goes no further.
///
/// # Panics
///
/// Outside a runtime; and in a process that was forked after the runtime was made.
///
/// # Cancel safety
///
/// Dropping the handle lets the job go on.
///
/// ```
/// filch::run(async {
///     let sum: u64 = filch::spawn_compute(|| (1..=1000).sum()).await.unwrap();
///     assert_eq!(sum, 500_500);
///
///     let (left, right) = filch::spawn_compute(|| rayon::join(|| 1, || 2)).await.unwrap();
///     assert_eq!((left, right), (1, 2));
/// });
/// ```
#[doc(alias = "ProcessPoolExecutor")]
#[doc(alias = "run_in_executor")]
#[doc(alias = "rayon")]
#[doc(alias = "block_in_place")]
#[track_caller]
pub fn spawn_compute<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    spawn_compute_here(Location::caller(), None, f)
}

#[track_caller]
pub(crate) fn spawn_compute_here<F, T>(
    site: &'static Location<'static>,
    extra: Option<Boxed<Extra>>,
    f: F,
) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    match context::with(Handle::clone) {
        Some(handle) => spawn_compute_on(&handle, site, extra, f),
        None => context::none("filch::spawn_compute"),
    }
}

#[track_caller]
pub(crate) fn spawn_compute_on<F, T>(
    handle: &Handle,
    site: &'static Location<'static>,
    extra: Option<Boxed<Extra>>,
    f: F,
) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let scheduler = handle.scheduler();
    scheduler.assert_same_process();
    let ticket = Ticket::new(&handle.compute().inner.line, handle.quiet());
    let mut extra = local::inherited(extra).unwrap_or_default();
    extra.stands_in(ticket.clone());
    let new = cell::Spawn { owner: scheduler, site, home: None, extra: Some(extra) };
    let (job, join) = cell::spawn::<OnPool, _>(Job::new(f), new);
    if scheduler.is_draining() && cell::current().is_none() {
        // From outside, and too late.
        drop(job);
    } else {
        handle.compute().submit(handle, &ticket, job);
    }
    JoinHandle::new(join)
}

impl Runtime {
    /// Runs a call that computes, as [`filch::spawn_compute`](crate::spawn_compute) does.
    #[track_caller]
    pub fn spawn_compute<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.handle().spawn_compute(f)
    }
}

impl Handle {
    /// Runs a call that computes, as [`filch::spawn_compute`](crate::spawn_compute) does, from any thread.
    ///
    /// ```
    /// let runtime = filch::Runtime::new()?;
    /// let mut job = runtime.handle().spawn_compute(|| 6 * 7);
    /// assert_eq!(job.join_timeout(None).unwrap().unwrap(), 42);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn spawn_compute<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        spawn_compute_on(self, Location::caller(), None, f)
    }

    /// How busy the threads for [`spawn_compute`] are. A look at counters, which may be
    /// out of date.
    ///
    /// ```
    /// let runtime = filch::Runtime::new()?;
    /// let load = runtime.handle().compute_load();
    /// assert_eq!((load.queued, load.threads), (0, 0), "threads start with the first job");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn compute_load(&self) -> Load {
        self.compute().load()
    }
}

/// How busy the lane is: see [`Handle::compute_load`].
///
/// ```
/// let runtime = filch::Runtime::new()?;
/// runtime.block_on(runtime.spawn_compute(|| ())).unwrap();
/// let load = runtime.handle().compute_load();
/// assert_eq!((load.queued, load.started), (0, 1));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Load {
    /// Jobs that wait for a thread.
    pub queued: usize,
    /// Jobs that run; a moment longer than their handles wait. (Those that a thread interrupted for another one, while rayon
    /// waited, count as well.)
    pub running: usize,
    /// Threads. None before the first job.
    pub threads: usize,
    /// Jobs that a thread has taken since the runtime began.
    pub started: u64,
    /// How long these have waited for a thread, all together.
    pub waited: Duration,
}

/// Limits of the lane.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) threads: usize,
    pub(crate) queue: usize,
    pub(crate) nice: Option<i32>,
}

/// The threads and what waits for them.
#[derive(Debug)]
pub(crate) struct Lane {
    inner: Arc<Inner>,
}

struct Inner {
    limits: Limits,
    line: Arc<Line>,
    /// Only read after it was made, until the end; readers do not wait for each other.
    pool: RwLock<Option<ThreadPool>>,
    begin: Mutex<Begin>,
    /// Somebody of normal priority is to start the pool.
    wanted: AtomicBool,
    /// For each thread, what it runs: the last is on top.
    desks: Box<[Mutex<Vec<TaskRef>>]>,
    threads: AtomicUsize,
    /// The last thread has left.
    gone: (Mutex<()>, Condvar),
}

/// Until there is a pool.
#[derive(Default)]
struct Begin {
    asked: bool,
    /// Whose lane it is, for the one who starts it.
    handle: Option<Handle>,
    /// Tokens for jobs that came before the pool.
    owed: usize,
}

impl Lane {
    pub(crate) fn new(limits: Limits) -> Lane {
        Lane {
            inner: Arc::new(Inner {
                limits,
                line: Arc::new(Line::new(limits.queue, limits.threads)),
                pool: RwLock::new(None),
                begin: Mutex::new(Begin::default()),
                wanted: AtomicBool::new(false),
                desks: (0..limits.threads).map(|_| Mutex::new(Vec::new())).collect(),
                threads: AtomicUsize::new(0),
                gone: (Mutex::new(()), Condvar::new()),
            }),
        }
    }

    /// For a thread of normal priority that comes by when it is unparked.
    pub(crate) fn starter(&self) -> impl Fn() + Send + 'static {
        let inner = Arc::clone(&self.inner);
        move || {
            if inner.wanted.load(Ordering::Relaxed) {
                inner.start();
            }
        }
    }

    fn submit(&self, handle: &Handle, ticket: &Arc<Ticket>, job: Runnable) {
        match self.inner.line.join(ticket, job) {
            Ok(()) => self.inner.give_token(handle),
            Err(Refused::Closed(taken)) => drop(taken),
            Err(Refused::Full(Taken { job, awake: _awake })) => {
                let limit = self.inner.limits.queue;
                job.fail(|label| {
                    JoinError::rejected(
                        label,
                        format!(
                            "{limit} compute jobs wait already, the most this runtime allows; \
                             hold callers back with a semaphore, or raise Builder::compute_queue"
                        ),
                    )
                });
            }
        }
    }

    /// Drops the jobs that wait; cleanups may bring new ones.
    pub(crate) fn drain(&self) {
        self.inner.line.drain();
    }

    /// Refuses jobs from now on, drops those that wait, and lets the threads go.
    pub(crate) fn stop(&self) {
        let inner = &self.inner;
        inner.line.close();
        let handle = inner.begin.lock().handle.take();
        // Whoever makes the pool looks, under the same lock, whether the line is closed.
        let pool = inner.pool.write().unwrap_or_else(PoisonError::into_inner).take();
        drop((pool, handle));
    }

    /// After [`Lane::stop`]: waits for the running jobs, no longer than until `deadline`. Answers which still run.
    pub(crate) fn wait_until_gone(&self, deadline: Instant) -> Vec<TaskInfo> {
        let inner = &self.inner;
        let (lock, changed) = &inner.gone;
        let mut guard = lock.lock();
        while inner.threads.load(Ordering::Relaxed) > 0 {
            let left = deadline.saturating_duration_since(crate::primitive::now());
            if left.is_zero() {
                break;
            }
            (guard, _) = changed.wait_timeout(guard, left);
        }
        drop(guard);
        let running = |desk: &Mutex<Vec<TaskRef>>| desk.lock().clone();
        let jobs: Vec<TaskRef> = inner.desks.iter().flat_map(running).collect();
        jobs.iter().map(|job| TaskInfo::of(job.header())).collect()
    }

    pub(crate) fn load(&self) -> Load {
        let counts = self.inner.line.counts();
        Load {
            queued: counts.waiting,
            running: counts.running,
            threads: self.inner.threads.load(Ordering::Relaxed),
            started: counts.started,
            waited: counts.waited,
        }
    }
}

impl Inner {
    /// To be followed by nothing: whoever gets the token takes the job at the front.
    fn give_token(self: &Arc<Inner>, handle: &Handle) {
        if self.spawn_token() {
            return;
        }
        let mut begin = self.begin.lock();
        // Perhaps it was made since: that is done under this lock.
        if self.spawn_token() || self.line.is_closed() {
            return;
        }
        begin.owed += 1;
        if begin.asked {
            return;
        }
        begin.asked = true;
        begin.handle = Some(handle.clone());
        self.wanted.store(true, Ordering::Relaxed);
        drop(begin);
        if handle.quiet().is_some() {
            // With a manual clock the timer has no thread, and nobody measures anything.
            self.start();
        } else {
            handle.timer().unpark();
        }
    }

    /// `false`: there is no pool.
    fn spawn_token(self: &Arc<Inner>) -> bool {
        let pool = self.pool.read().unwrap_or_else(PoisonError::into_inner);
        let inner = Arc::clone(self);
        pool.as_ref().map(|pool| pool.spawn(move || inner.serve())).is_some()
    }

    /// A token: runs the job at the front, on this thread of the pool. (Perhaps in the middle of another job: what
    /// belongs to a job is put aside by the frames that it runs in, and comes back.)
    fn serve(&self) {
        let Some(Taken { job, awake }) = self.line.next() else { return };
        let desk = rayon_core::current_thread_index().map(|index| &self.desks[index]);
        desk.iter().for_each(|desk| desk.lock().push(job.task()));
        let awake = awake.map(crate::scheduler::quiet::Awake::here);
        // Its end is in its handle; a panic ended inside.
        let _ = job.run();
        drop(awake);
        let done = desk.and_then(|desk| desk.lock().pop());
        drop(done);
        self.line.ended();
    }

    /// On a thread of normal priority: has the pool made by another one, which ends then.
    fn start(self: &Arc<Inner>) {
        self.wanted.store(false, Ordering::Relaxed);
        let Some(handle) = self.begin.lock().handle.take() else { return };
        let inner = Arc::clone(self);
        let started = handle.thread_builder("starter").spawn({
            let handle = handle.clone();
            move || inner.make(&handle)
        });
        if let Err(error) = started {
            self.refuse(&error);
        }
    }

    fn make(self: &Arc<Inner>, handle: &Handle) {
        let built = ThreadPoolBuilder::new()
            .num_threads(self.limits.threads)
            .panic_handler(|payload| contained(|| drop(payload)))
            .spawn_handler(|thread| self.start_thread(handle, thread))
            .build();
        match built {
            Ok(pool) => self.open(pool),
            Err(error) => self.refuse(&error),
        }
    }

    fn open(self: &Arc<Inner>, pool: ThreadPool) {
        let mut begin = self.begin.lock();
        if self.line.is_closed() {
            drop(begin);
            return drop(pool);
        }
        *self.pool.write().unwrap_or_else(PoisonError::into_inner) = Some(pool);
        let owed = std::mem::take(&mut begin.owed);
        drop(begin);
        (0..owed).for_each(|_| _ = self.spawn_token());
    }

    /// The system gives no threads: those who wait hear of it, and the next one tries again.
    fn refuse(&self, error: &dyn fmt::Display) {
        let mut begin = self.begin.lock();
        begin.asked = false;
        let owed = std::mem::take(&mut begin.owed);
        drop(begin);
        for Taken { job, awake: _awake } in (0..owed).filter_map(|_| self.line.next()) {
            job.fail(|label| {
                JoinError::rejected(
                    label,
                    format!("the system refused a thread for compute jobs: {error}"),
                )
            });
            self.line.ended();
        }
    }

    fn start_thread(
        self: &Arc<Inner>,
        handle: &Handle,
        thread: rayon_core::ThreadBuilder,
    ) -> io::Result<()> {
        self.threads.fetch_add(1, Ordering::Relaxed);
        let present = Present(Arc::clone(self));
        let context = handle.clone();
        handle.thread_builder("compute").spawn(move || {
            let _present = present;
            // It is started by the timer's thread, whose slices are short.
            sys::ask_for_slices(sys::Slices::Usual);
            if let Some(nice) = _present.0.limits.nice {
                sys::lower_this_thread(nice);
            }
            let hooks = context.clone();
            let _entered = context::enter(context);
            polling::set_blocking(Blocking::Allowed);
            hooks.thread_starts();
            thread.run();
            hooks.thread_stops();
        })?;
        Ok(())
    }
}

/// A thread of the lane, from before its start until its end.
struct Present(Arc<Inner>);

impl Drop for Present {
    fn drop(&mut self) {
        self.0.threads.fetch_sub(1, Ordering::Relaxed);
        drop(self.0.gone.0.lock());
        self.0.gone.1.notify_all();
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("limits", &self.limits).field("line", &self.line).finish()
    }
}
