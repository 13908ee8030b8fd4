//! What a runtime counts and measures, for those who ask.
//!
//! Whoever asks pays: nothing is summed up, and no lock is taken, before. Where the numbers are kept: the workers' in
//! `scheduler/tally.rs`, what is measured now and then in `scheduler/worker/care.rs` and `scheduler/sample.rs` (with what it
//! costs), and the rest where it was before.

use std::time::Duration;

use crate::compute::Load;
use crate::primitive::Ordering;
use crate::runtime::Handle;
use crate::scheduler::table::Entry;
use crate::scheduler::tally::{BUCKETS, Spread};

impl Handle {
    /// How busy the runtime is, and has been since it began.
    ///
    /// Counting is always on, and what it costs is not measurable: most numbers are plain stores by the thread whose number
    /// it is. What is measured in time is measured for few:
    ///
    /// - [`poll_time`](WorkerMetrics::poll_time): each worker times its first poll, and then one in 256. Which of the 256 changes,
    ///   so that nothing that comes every fourth poll is preferred. (A poll is one call of the task's `Future::poll`, with
    ///   what ends it: drops, and the wake-up of who awaits it.)
    /// - [`wake_to_poll`](WorkerMetrics::wake_to_poll): one task at a time in the whole runtime is *followed*, from the moment at
    ///   which it is queued (spawned, woken, or yielding) until its poll begins, on whatever worker. Followed are: the first task that
    ///   is queued by a poll that is timed; one of the tasks that the timer wakes together; one in 64 that come
    ///   from other threads, beginning with the first; one of those that a look into the I/O driver wakes, in one of 16 such looks. But
    ///   only if nobody is on the way, nor has been for sixteen times as long as the last one took. So
    ///   tasks that wait for long are not followed more often than others, but at most once in that time. It is counted
    ///   by the worker that polls the task.
    ///
    /// Both are in real time, also with a [manual clock](crate::Builder::manual_clock).
    ///
    /// The numbers are not of one moment: while they are read, workers go on; and a task is counted as ended just after its handle
    /// has the result. Counts never fall while the runtime lives, and still can be
    /// asked for when it has ended; then nothing waits, nothing is registered, and no worker is there. To ask
    /// takes a few microseconds, and some locks for a moment. Ask once a second, not in a hot loop.
    ///
    /// ```
    /// let runtime = filch::Runtime::builder().worker_threads(1).build()?;
    /// runtime.block_on(async {
    ///     let tasks: Vec<_> = (0..10).map(|_| filch::spawn(filch::yield_now())).collect();
    ///     for task in tasks {
    ///         task.await.unwrap();
    ///     }
    /// });
    /// let handle = runtime.handle();
    /// drop(runtime);
    /// let metrics = handle.metrics();
    /// assert_eq!((metrics.total.finished, metrics.total.polls), (10, 20));
    /// assert_eq!(metrics.total.injected, 10, "they were spawned by a thread that is no worker");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "RuntimeMetrics")]
    #[doc(alias = "RuntimeMonitor")]
    #[doc(alias = "statistics")]
    pub fn metrics(&self) -> Metrics {
        let (scheduler, table) = (self.scheduler(), self.table());
        let regular = scheduler.workers();
        let mut workers = vec![WorkerMetrics::default(); regular];
        let (mut present, mut spare) = (0, 0);
        for (i, entry) in table.entries() {
            if i < regular {
                present += 1;
                workers[i] = WorkerMetrics::of(entry);
            } else {
                spare += usize::from(entry.is_summoned());
                workers.push(WorkerMetrics::of(entry));
            }
        }
        let mut total = WorkerMetrics::default();
        workers.iter().for_each(|worker| total.add(worker));
        let monitor = &scheduler.monitor;
        total.driver_turns += monitor.turns.get();
        total.events += monitor.events.get();
        let is_over = scheduler.is_closing();
        let (injector_len, due_len) = scheduler.waiting_outside();
        let timer = self.timer().stats();
        let blocking = self.blocking();
        Metrics {
            regular_workers: if is_over { 0 } else { present },
            spare_workers: if is_over { 0 } else { spare },
            workers,
            total,
            alive: scheduler.alive(),
            injector_len,
            due_len,
            timers: timer.registered,
            timers_fired: timer.fired,
            stalls: monitor.stalls.load(Ordering::Relaxed),
            blocking_queue: blocking.queue_depth(),
            blocking_threads: blocking.threads(),
            blocking_idle: blocking.idle(),
            compute: self.compute_load(),
            sockets: scheduler.door().driver().map_or(0, |driver| driver.registered()),
        }
    }
}

/// How busy a runtime is: what [`Handle::metrics`] gives. Counts are since the runtime began.
///
/// ```
/// let runtime = filch::Runtime::builder().worker_threads(2).build()?;
/// let metrics = runtime.handle().metrics();
/// assert_eq!((metrics.workers.len(), metrics.spare_workers), (2, 0));
/// assert_eq!((metrics.alive, metrics.total.panicked, metrics.stalls), (0, 0, 0));
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "RuntimeMetrics")]
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Metrics {
    /// Worker threads that have begun, without spare ones. (In a runtime's first moments not all may have; in one that ends, 0.)
    #[doc(alias = "num_workers")]
    pub regular_workers: usize,
    /// Spare workers that are at work, because others are stuck in long polls.
    pub spare_workers: usize,
    /// Each worker's numbers: first the regular ones, then the spare ones there ever were.
    pub workers: Vec<WorkerMetrics>,
    /// All workers' numbers together; turns and events of the driver with those of the monitor.
    pub total: WorkerMetrics,
    /// Tasks that were polled and have not ended, those that `block_on` polls included. (Those that wait for their first
    /// poll are not known: that is what keeps spawning cheap. They stand in the queues.)
    #[doc(alias = "num_alive_tasks")]
    pub alive: usize,
    /// Tasks that came from threads that are no workers, and that no worker has taken yet. (Not those at home on
    /// one worker, of [`spawn_local`](fn@crate::spawn_local).)
    #[doc(alias = "global_queue_depth")]
    pub injector_len: usize,
    /// Tasks that the timer has woken, and that no worker has taken yet.
    pub due_len: usize,
    /// Sleeps and timeouts that were polled and have neither ended nor been dropped.
    pub timers: usize,
    /// Sleeps and timeouts whose time came while they were waited for.
    pub timers_fired: u64,
    /// Polls that took longer than the [threshold](crate::Builder::stall_threshold) while the monitor watched.
    pub stalls: u64,
    /// Jobs of [`spawn_blocking`](fn@crate::spawn_blocking) that wait for a thread.
    #[doc(alias = "blocking_queue_depth")]
    pub blocking_queue: usize,
    /// Threads for them, busy and idle.
    #[doc(alias = "num_blocking_threads")]
    pub blocking_threads: usize,
    /// Those of them that wait for a job.
    #[doc(alias = "num_idle_blocking_threads")]
    pub blocking_idle: usize,
    /// The threads for [`spawn_compute`](fn@crate::spawn_compute): as [`Handle::compute_load`].
    pub compute: Load,
    /// Sockets and file descriptors that the I/O driver watches over.
    #[doc(alias = "io_driver_fd_registered_count")]
    pub sockets: usize,
}

/// One worker's numbers, or those of all: see [`Metrics`]. Counts are since the runtime began.
///
/// ```
/// let runtime = filch::Runtime::builder().worker_threads(1).build()?;
/// runtime.block_on(runtime.spawn(async {})).unwrap();
/// let metrics = runtime.handle().metrics();
/// assert_eq!(metrics.workers[0].polls, metrics.total.polls);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct WorkerMetrics {
    /// Polls that have begun. (A task that is dropped instead of being polled, because it was asked to end, counts as well.)
    #[doc(alias = "worker_poll_count")]
    pub polls: u64,
    /// Tasks that ended here with a value. (Counted are tasks that workers end: not the future of a `block_on`, nor
    /// an [eager](crate::task::Builder::eager) task that ends where it is spawned, nor jobs. What runs a callback that was added
    /// [late](crate::task::Task::on_done) is polled, but no task of the program's.)
    pub finished: u64,
    /// Tasks that ended here because they were cancelled or aborted.
    pub cancelled: u64,
    /// Tasks that ended here with a panic.
    pub panicked: u64,
    /// Polls of tasks from the LIFO slot: those that were woken last, or spawned while nobody waited.
    pub from_slot: u64,
    /// Tasks taken that other threads had woken or spawned: those that are no workers of this runtime.
    #[doc(alias = "remote_schedule_count")]
    pub injected: u64,
    /// Tasks taken that the timer had woken.
    pub due: u64,
    /// How often something was stolen from another worker.
    #[doc(alias = "worker_steal_operations")]
    pub steals: u64,
    /// How many tasks that were.
    #[doc(alias = "worker_steal_count")]
    pub stolen: u64,
    /// How often it went to sleep for lack of work.
    #[doc(alias = "worker_park_count")]
    pub parks: u64,
    /// How often it has looked, or slept, in the I/O driver.
    pub driver_turns: u64,
    /// Events that it has taken out of the driver.
    #[doc(alias = "io_driver_ready_count")]
    pub events: u64,
    /// Tasks in its queue and its slot, just now.
    #[doc(alias = "worker_local_queue_depth")]
    pub queue_len: usize,
    /// How long polls take, of a [sample](Handle::metrics).
    #[doc(alias = "poll_time_histogram")]
    #[doc(alias = "mean_poll_duration")]
    pub poll_time: Histogram,
    /// How long tasks wait from the push into a queue until the poll, of a [sample](Handle::metrics).
    #[doc(alias = "scheduling_delay")]
    pub wake_to_poll: Histogram,
}

impl WorkerMetrics {
    fn of(entry: &Entry) -> WorkerMetrics {
        let tally = &entry.tally;
        WorkerMetrics {
            polls: entry.polls(),
            finished: tally.finished.get(),
            cancelled: tally.cancelled.get(),
            panicked: tally.panicked.get(),
            from_slot: tally.from_slot.get(),
            injected: tally.injected.get(),
            due: tally.due.get(),
            steals: tally.steals.get(),
            stolen: tally.stolen.get(),
            parks: tally.parks.get(),
            driver_turns: tally.turns.get(),
            events: tally.events.get(),
            queue_len: entry.queue_len(),
            poll_time: Histogram::of(&tally.poll_time),
            wake_to_poll: Histogram::of(&tally.wake_to_poll),
        }
    }

    fn add(&mut self, other: &WorkerMetrics) {
        self.polls += other.polls;
        self.finished += other.finished;
        self.cancelled += other.cancelled;
        self.panicked += other.panicked;
        self.from_slot += other.from_slot;
        self.injected += other.injected;
        self.due += other.due;
        self.steals += other.steals;
        self.stolen += other.stolen;
        self.parks += other.parks;
        self.driver_turns += other.driver_turns;
        self.events += other.events;
        self.queue_len += other.queue_len;
        self.poll_time.add(&other.poll_time);
        self.wake_to_poll.add(&other.wake_to_poll);
    }
}

/// How durations are spread: in 40 buckets, each up to twice as long as the one before; the first is up to 2 ns, the last from
/// 9 minutes on.
///
/// ```
/// use std::time::Duration;
/// let runtime = filch::Runtime::builder().worker_threads(1).build()?;
/// runtime.block_on(runtime.spawn(async { std::thread::sleep(Duration::from_millis(2)) })).unwrap();
/// # let handle = runtime.handle();
/// # drop(runtime);
/// let poll_time = handle.metrics().total.poll_time;
/// assert_eq!(poll_time.count(), 1, "a worker's first poll is timed");
/// assert!(poll_time.sum() >= Duration::from_millis(2));
/// assert!(poll_time.quantile(0.5).unwrap() >= Duration::from_millis(2));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    buckets: [u64; BUCKETS],
    sum_ns: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { buckets: [0; BUCKETS], sum_ns: 0 }
    }
}

impl Histogram {
    fn of(spread: &Spread) -> Histogram {
        let buckets = std::array::from_fn(|i| spread.buckets[i].get());
        Histogram { buckets, sum_ns: spread.sum_ns.get() }
    }

    fn add(&mut self, other: &Histogram) {
        self.buckets.iter_mut().zip(other.buckets).for_each(|(sum, more)| *sum += more);
        self.sum_ns += other.sum_ns;
    }

    /// How many durations were measured.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// All of them together.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_ns)
    }

    /// For each bucket, in order: what its durations are shorter than (`None`: the last has no end), and how many there are.
    ///
    /// ```
    /// use std::time::Duration;
    /// let buckets: Vec<_> = filch::Histogram::default().buckets().collect();
    /// assert_eq!(buckets[9], (Some(Duration::from_nanos(1024)), 0));
    /// assert_eq!((buckets.len(), buckets[39].0), (40, None));
    /// ```
    pub fn buckets(&self) -> impl Iterator<Item = (Option<Duration>, u64)> + '_ {
        self.buckets.iter().enumerate().map(|(i, &count)| (end(i), count))
    }

    /// Where the bucket ends that this part of all durations (0.5: half of them) comes up to: at most twice as long as the
    /// exact answer. `None` if nothing was measured, or for the last bucket.
    ///
    /// ```
    /// assert_eq!(filch::Histogram::default().quantile(0.99), None);
    /// ```
    #[doc(alias = "percentile")]
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let wanted = ((self.count() as f64 * part).ceil() as u64).max(1);
        let mut sum = 0;
        let bucket = self.buckets.iter().position(|count| {
            sum += count;
            sum >= wanted
        });
        bucket.and_then(end)
    }
}

/// Where this bucket ends.
fn end(bucket: usize) -> Option<Duration> {
    (bucket + 1 < BUCKETS).then(|| Duration::from_nanos(2 << bucket))
}
