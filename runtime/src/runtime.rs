//! A runtime: workers, a timer thread, threads for blocking calls.

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use filch_timer::Timer;

use crate::blocking::{self, Pool};
use crate::builder::{Builder, Config};
use crate::compute::Lane;
use crate::context;
use crate::error::JoinError;
use crate::primitive::{Condvar, Mutex, thread};
use crate::scheduler::monitor::{Sampler, Unpark};
use crate::scheduler::quiet::Quiet;
use crate::scheduler::stall::Stalls;
use crate::scheduler::table::Table;
use crate::scheduler::worker::Worker;
use crate::scheduler::{Scheduler, root};
use crate::shutdown::{self, ShutdownReport};
use crate::spawn::spawn_on;
use crate::spawn_local::spawn_local_on;
use crate::sys;
use crate::task::cell::contained;
use crate::task::local;
use crate::task::polling::{self, Blocking};
use crate::task::{JoinHandle, TaskInfo};

/// Workers, timer and blocking threads. Dropping it shuts it down.
///
/// Shut down means: tasks are dropped at their next suspension, on the workers; the workers and
/// the timer end; blocking jobs that run are given a second and then left alone. On a thread that
/// belongs to a runtime (inside async code) the drop only starts this and waits for nothing;
/// everywhere else it waits for the workers. A poll that never returns would be waited for as
/// well: [`shutdown`](Runtime::shutdown) has a limit and says who is stuck.
///
/// ```
/// let runtime = filch::Runtime::new()?;
/// let first = runtime.block_on(async { 1 });
/// let second = runtime.block_on(async { 2 });
/// assert_eq!(first + second, 3);
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "Runner")]
#[doc(alias = "EventLoop")]
pub struct Runtime {
    handle: Handle,
    threads: Vec<thread::JoinHandle<()>>,
}

/// Refers to a runtime: spawns tasks on it from any thread. Cheap to clone.
///
/// A handle does not keep the runtime from being shut down; after that, spawning gives cancelled
/// handles.
///
/// ```
/// let runtime = filch::Runtime::new()?;
/// let handle = runtime.handle();
/// let thread = std::thread::spawn(move || handle.spawn(async { 7 }).join_timeout(None));
/// assert_eq!(thread.join().unwrap().unwrap().unwrap(), 7);
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "get_running_loop")]
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

/// What the handles of one runtime share.
struct Shared {
    scheduler: &'static Scheduler,
    table: Arc<Table>,
    timer: Timer,
    /// With a manual clock: who is awake.
    quiet: Option<Arc<Quiet>>,
    blocking: Pool,
    compute: Lane,
    config: Config,
    presence: Mutex<Presence>,
    all_left: Condvar,
}

/// Who of the workers is still there.
#[derive(Debug)]
struct Presence {
    workers: usize,
    /// The last one has left, and closed the door behind it.
    over: bool,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.scheduler.give_back();
    }
}

impl Runtime {
    /// A runtime with the default number of workers.
    ///
    /// # Errors
    ///
    /// As [`Builder::build`].
    #[doc(alias = "new_event_loop")]
    pub fn new() -> io::Result<Runtime> {
        Builder::new().build()
    }

    /// Settings for a runtime.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn start(
        mut config: Config,
        workers: usize,
        timer: filch_timer::Builder,
    ) -> io::Result<Runtime> {
        let scheduler = Scheduler::obtain(workers);
        let table = Arc::new(Table::new(workers));
        // The sampler lives in the timer's thread, and must not keep the runtime alive.
        let shared: Arc<OnceLock<Weak<Shared>>> = Arc::default();
        let start_spare = {
            let shared = Arc::clone(&shared);
            move |index| match shared.get().and_then(Weak::upgrade) {
                Some(shared) => Handle { shared }.start_spare(index),
                None => Ok(()),
            }
        };
        // (Not kept here, too: a hook may hold a handle of this very runtime.)
        let stalls = Stalls::new(config.stall_threshold, config.on_stall.take());
        let most = config.spare_workers.unwrap_or(workers);
        let mut sampler =
            Sampler::new(scheduler, Arc::clone(&table), most, stalls, Box::new(start_spare));
        let compute = Lane::new(config.compute);
        let starter = compute.starter();
        let mut has_begun = false;
        let each_turn = move || {
            if !std::mem::replace(&mut has_begun, true) {
                // What it is late with, everybody is late with.
                sys::ask_for_slices(sys::Slices::Short);
            }
            starter();
            sampler.look()
        };
        let timer = timer.each_turn(each_turn).start().map_err(|error| {
            scheduler.give_back();
            let text = format!("the system refused the timer thread: {error}");
            io::Error::new(error.kind(), text)
        })?;
        let unpark = timer.clone();
        scheduler.monitor.set_unpark(Some(Unpark(Arc::new(move || unpark.unpark()))));
        let quiet = timer.clock().is_manual().then(|| {
            let timer = timer.clone();
            Arc::new(Quiet::new(scheduler, workers, Box::new(move || go_to_next_deadline(&timer))))
        });
        scheduler.set_on_unhandled(config.on_unhandled.clone());
        let this = Shared {
            scheduler,
            table,
            timer,
            quiet,
            blocking: Pool::new(config.blocking),
            compute,
            config,
            presence: Mutex::new(Presence { workers, over: false }),
            all_left: Condvar::new(),
        };
        this.blocking.serve(scheduler);
        let handle = Handle { shared: Arc::new(this) };
        let _ = shared.set(Arc::downgrade(&handle.shared));
        let mut runtime = Runtime { handle, threads: Vec::with_capacity(workers) };
        for index in 0..workers {
            match runtime.handle.start_worker(index) {
                Ok(thread) => runtime.threads.push(thread),
                Err(error) => {
                    // Those that were started leave when `runtime` is dropped.
                    runtime.handle.workers_left(workers - index);
                    return Err(io::Error::new(
                        error.kind(),
                        format!(
                            "the system refused worker thread {} of {workers}: {error}",
                            index + 1
                        ),
                    ));
                }
            }
        }
        Ok(runtime)
    }

    /// Polls a future on this thread, as a task, until it is ready. Other tasks run on the
    /// workers meanwhile, and go on afterwards.
    ///
    /// # Panics
    ///
    /// In a task on a worker: it would block the worker. Also with the future's own panic.
    ///
    /// ```
    /// let runtime = filch::Runtime::builder().worker_threads(1).build()?;
    /// let handle = runtime.block_on(async { filch::spawn(async { "from a worker" }) });
    /// assert_eq!(runtime.block_on(handle).unwrap(), "from a worker");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "run_until_complete")]
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        assert!(
            polling::blocking() != Blocking::Refused,
            "block_on was called on a worker thread (or the timer's), which would stand still \
             with all its tasks; await the future, start it with `filch::spawn`, or move the blocking caller into \
             `filch::spawn_blocking`"
        );
        let site = Location::caller();
        match self.block_on_at(site, future) {
            Ok(value) => value,
            Err(error) => panic!(
                "the future of block_on at {site} was cancelled, so there is no value ({error}); spawn it, and \
                 its handle gives an error instead"
            ),
        }
    }

    #[track_caller]
    pub(crate) fn block_on_at<F: Future>(
        &self,
        site: &'static Location<'static>,
        future: F,
    ) -> Result<F::Output, JoinError> {
        self.handle.scheduler().assert_same_process();
        let _entered = context::enter(self.handle.clone());
        let extra = local::inherited(None);
        let scheduler = self.handle.scheduler();
        root::block_on(scheduler, self.handle.quiet(), site, extra, future)
    }

    /// The end of a program.
    pub(crate) fn end(mut self, grace: Duration) {
        shutdown::at_end_of_run(&self.handle, &mut self.threads, grace);
    }

    /// Starts a task, as [`filch::spawn`](fn@crate::spawn) does inside the runtime.
    ///
    /// ```
    /// let runtime = filch::Runtime::new()?;
    /// let mut task = runtime.spawn(async { 1 });
    /// assert_eq!(task.join_timeout(None).unwrap().unwrap(), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.handle.spawn(future)
    }

    /// Starts a task that stays on one thread, as [`filch::spawn_local`](fn@crate::spawn_local) does.
    #[track_caller]
    pub fn spawn_local<F, Fut>(&self, f: F) -> JoinHandle<Fut::Output>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future + 'static,
        Fut::Output: Send + 'static,
    {
        self.handle.spawn_local(f)
    }

    /// Runs a blocking call, as [`filch::spawn_blocking`](crate::spawn_blocking) does.
    #[track_caller]
    pub fn spawn_blocking<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.handle.spawn_blocking(f)
    }

    /// A handle for other threads.
    ///
    /// ```
    /// let runtime = filch::Runtime::new()?;
    /// let (one, two) = (runtime.handle(), runtime.handle());
    /// assert_eq!(one.tasks().len(), two.tasks().len());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Ends the runtime and reports how. All tasks are cancelled, and so are those that are started meanwhile; their
    /// cleanups have until the grace ends. Then what is left is aborted (and named in the report).
    /// Polls and blocking jobs that have not returned a second after that are *stuck*: named in the
    /// report and left alone (their threads end when they return).
    ///
    /// From the beginning, nothing can be started from outside the runtime's tasks. Without a grace
    /// ([`Duration::ZERO`]) everything is aborted at once.
    ///
    /// On a thread that belongs to a runtime (inside async code) nothing can be waited for: there everything is
    /// aborted, and the report is empty.
    ///
    /// ```
    /// use std::time::Duration;
    /// let runtime = filch::Runtime::new()?;
    /// runtime.block_on(async {
    ///     let waiting = filch::spawn(std::future::pending::<()>());
    ///     filch::spawn(async {}).await.unwrap();
    ///     drop(waiting);
    /// });
    /// let report = runtime.shutdown(Duration::from_secs(5));
    /// assert_eq!((report.cancelled, report.panicked), (1, 0));
    /// assert!(report.stuck.is_empty());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "shutdown_background")]
    #[doc(alias = "shutdown_timeout")]
    pub fn shutdown(mut self, grace: Duration) -> ShutdownReport {
        shutdown::with_grace(&self.handle, &mut self.threads, grace)
    }
}

/// Moves a manual clock on, when nothing else can happen. `false`: nobody waits for any time.
fn go_to_next_deadline(timer: &Timer) -> bool {
    let Some(next) = timer.next_deadline() else { return false };
    timer.clock().advance(next.saturating_duration_since(timer.now()));
    true
}

impl Drop for Runtime {
    fn drop(&mut self) {
        shutdown::at_drop(&self.handle, &mut self.threads);
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("workers", &self.handle.scheduler().workers()).finish()
    }
}

impl Handle {
    /// The runtime this thread belongs to.
    ///
    /// # Panics
    ///
    /// Outside a runtime: [`try_current`](Handle::try_current) asks.
    ///
    /// ```
    /// let handle = filch::run(async { filch::Handle::current() });
    /// # drop(handle);
    /// ```
    #[track_caller]
    pub fn current() -> Handle {
        match Handle::try_current() {
            Some(handle) => handle,
            None => context::none("Handle::current"),
        }
    }

    /// The runtime this thread belongs to, if it does.
    ///
    /// ```
    /// assert!(filch::Handle::try_current().is_none());
    /// ```
    pub fn try_current() -> Option<Handle> {
        context::with(Handle::clone)
    }

    /// Starts a task on this runtime, from any thread.
    ///
    /// # Panics
    ///
    /// In a process that was forked after the runtime was made.
    #[doc(alias = "run_coroutine_threadsafe")]
    #[doc(alias = "call_soon_threadsafe")]
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        spawn_on(self.scheduler(), future, None)
    }

    /// Starts a task that stays on one thread, as [`filch::spawn_local`](fn@crate::spawn_local) does,
    /// from any thread.
    ///
    /// ```
    /// use std::rc::Rc;
    /// let runtime = filch::Runtime::new()?;
    /// let handle = runtime.handle();
    /// let mut length = handle.spawn_local(|| async {
    ///     let text: Rc<str> = "stays here".into();
    ///     filch::yield_now().await;
    ///     text.len()
    /// });
    /// assert_eq!(length.join_timeout(None).unwrap().unwrap(), 10);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn spawn_local<F, Fut>(&self, f: F) -> JoinHandle<Fut::Output>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future + 'static,
        Fut::Output: Send + 'static,
    {
        spawn_local_on(self.scheduler(), f)
    }

    /// Runs a blocking call, as [`filch::spawn_blocking`](crate::spawn_blocking) does.
    #[track_caller]
    pub fn spawn_blocking<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        blocking::spawn_blocking_on(self, Location::caller(), f)
    }

    /// The tasks that have been polled and have not ended. (Those that wait for their first poll
    /// are not listed: that is what keeps spawning cheap.) Tasks that come or go while the list
    /// is made may be missing.
    ///
    /// ```
    /// filch::run(async {
    ///     let waits = std::future::pending::<()>();
    ///     let _detached = filch::task::Builder::new().name("waits").spawn(waits);
    ///     let is_listed = || {
    ///         let tasks = filch::Handle::current().tasks();
    ///         tasks.iter().any(|task| task.name.as_deref() == Some("waits"))
    ///     };
    ///     while !is_listed() {
    ///         filch::yield_now().await; // until a worker has polled it
    ///     }
    /// });
    /// ```
    #[doc(alias = "all_tasks")]
    pub fn tasks(&self) -> Vec<TaskInfo> {
        let mut tasks = Vec::new();
        self.scheduler().for_each_task(|task| tasks.push(TaskInfo::of(task.header())));
        tasks
    }

    /// Blocking jobs that wait for a thread, and threads there are for them.
    ///
    /// ```
    /// let runtime = filch::Runtime::new()?;
    /// assert_eq!(runtime.handle().blocking_load(), (0, 0));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn blocking_load(&self) -> (usize, usize) {
        (self.blocking().queue_depth(), self.blocking().threads())
    }

    pub(crate) fn scheduler(&self) -> &'static Scheduler {
        self.shared.scheduler
    }

    pub(crate) fn timer(&self) -> &Timer {
        &self.shared.timer
    }

    pub(crate) fn quiet(&self) -> Option<&Arc<Quiet>> {
        self.shared.quiet.as_ref()
    }

    pub(crate) fn blocking(&self) -> &Pool {
        &self.shared.blocking
    }

    pub(crate) fn compute(&self) -> &Lane {
        &self.shared.compute
    }

    pub(crate) fn table(&self) -> &Table {
        &self.shared.table
    }

    /// A thread of this runtime, named and sized as the builder said.
    pub(crate) fn thread_builder(&self, kind: &str) -> thread::Builder {
        self.shared.config.threads.builder(kind)
    }

    pub(crate) fn thread_starts(&self) {
        self.shared.config.threads.starts();
    }

    pub(crate) fn thread_stops(&self) {
        self.shared.config.threads.stops();
    }

    /// One more worker, for a while. (Nobody joins its thread; the last one that leaves closes the door.)
    fn start_spare(&self, index: usize) -> io::Result<()> {
        {
            let mut presence = self.shared.presence.lock();
            if presence.workers == 0 {
                // The end was faster.
                return Ok(());
            }
            presence.workers += 1;
        }
        let started = self.start_worker(index);
        if started.is_err() {
            self.workers_left(1);
        }
        started.map(drop)
    }

    fn start_worker(&self, index: usize) -> io::Result<thread::JoinHandle<()>> {
        let handle = self.clone();
        self.thread_builder("worker").spawn(move || {
            let (scheduler, table) = (handle.scheduler(), Arc::clone(&handle.shared.table));
            let leaving = handle.clone();
            let _entered = context::enter(handle);
            filch_timer::set_shard(index.min(scheduler.workers()));
            sys::ask_for_slices(sys::Slices::Short);
            leaving.thread_starts();
            Worker::new(scheduler, table, index, leaving.quiet().cloned()).run();
            leaving.thread_stops();
            leaving.workers_left(1);
        })
    }

    /// So many workers have left (or were never started). The last one closes the door.
    fn workers_left(&self, count: usize) {
        let last = {
            let mut presence = self.shared.presence.lock();
            presence.workers -= count;
            presence.workers == 0
        };
        if last {
            // Tasks that came too late are dropped here: user code, so not under the lock.
            contained(|| self.scheduler().seal());
            self.shared.timer.shutdown();
            self.shared.presence.lock().over = true;
            self.shared.all_left.notify_all();
        }
    }

    /// Waits until all workers have left, or the time is up.
    pub(crate) fn wait_for_workers(&self, limit: Duration) -> bool {
        let end = crate::primitive::now().checked_add(limit);
        let mut presence = self.shared.presence.lock();
        while !presence.over {
            let left = match end {
                Some(end) => end.saturating_duration_since(crate::primitive::now()),
                None => Duration::MAX,
            };
            if left.is_zero() {
                return false;
            }
            (presence, _) = self.shared.all_left.wait_timeout(presence, left);
        }
        true
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("workers", &self.scheduler().workers()).finish()
    }
}
