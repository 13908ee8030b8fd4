//! Settings of a runtime.

use std::env::{self, VarError};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use filch_timer::{Clock, Timer};

use crate::blocking;
use crate::compute;
use crate::error::JoinError;
use crate::primitive::thread;
use crate::primitive::unmodelled::{AtomicUsize, Ordering};
use crate::runtime::Runtime;
use crate::scheduler::stall::{OnStall, Stall};
use crate::scheduler::{OnUnhandled, worker};
use crate::sys;
use crate::task::cell::contained;

/// The variable that sets the number of workers where the program does not.
const WORKERS_VARIABLE: &str = "FILCH_WORKER_THREADS";
/// A runtime with more could not number them all.
const MOST_WORKERS: usize = 4096;

type Hook = Arc<dyn Fn() + Send + Sync>;

/// Settings of a [`Runtime`]; everything has a default.
///
/// ```
/// use std::time::Duration;
/// let runtime = filch::Runtime::builder()
///     .worker_threads(2)
///     .thread_name("api")
///     .blocking_keep_alive(Duration::from_secs(2))
///     .build()?;
/// assert_eq!(runtime.block_on(async { 1 + 1 }), 2);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct Builder {
    workers: Option<usize>,
    compute_threads: Option<usize>,
    config: Config,
    timer_gap: Duration,
    manual_clock: bool,
}

/// What a running runtime still needs of its settings.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) threads: ThreadConfig,
    pub(crate) blocking: blocking::Limits,
    pub(crate) compute: compute::Limits,
    pub(crate) on_unhandled: Option<OnUnhandled>,
    pub(crate) on_stall: Option<OnStall>,
    pub(crate) stall_threshold: Duration,
    /// `None`: as many as there are workers.
    pub(crate) spare_workers: Option<usize>,
}

#[derive(Clone)]
pub(crate) struct ThreadConfig {
    name: Arc<str>,
    stack_size: Option<usize>,
    on_start: Option<Hook>,
    on_stop: Option<Hook>,
}

impl Default for Builder {
    fn default() -> Builder {
        Builder::new()
    }
}

impl Builder {
    /// The default settings.
    pub fn new() -> Builder {
        Builder {
            workers: None,
            compute_threads: None,
            config: Config {
                threads: ThreadConfig {
                    name: "filch".into(),
                    stack_size: None,
                    on_start: None,
                    on_stop: None,
                },
                blocking: blocking::Limits {
                    threads: 512,
                    queue: 65_536,
                    keep_alive: Duration::from_secs(10),
                },
                compute: compute::Limits { threads: 1, queue: 65_536, nice: Some(10) },
                on_unhandled: None,
                on_stall: None,
                stall_threshold: Duration::from_millis(100),
                spare_workers: None,
            },
            timer_gap: Duration::from_millis(1),
            manual_clock: false,
        }
    }

    /// How many threads poll tasks. Default: `FILCH_WORKER_THREADS` if it is set, else the
    /// number of CPUs this process may use (a cgroup's quota counts).
    pub fn worker_threads(mut self, count: usize) -> Builder {
        self.workers = Some(count);
        self
    }

    /// The first part of the names of threads: `name-worker-1`, `name-blocking-2`, `name-compute-3`, `name-timer`.
    /// Default: `filch`.
    pub fn thread_name(mut self, name: impl AsRef<str>) -> Builder {
        self.config.threads.name = name.as_ref().into();
        self
    }

    /// The stack of each thread, in bytes. Default: what std takes (2 MiB).
    pub fn thread_stack_size(mut self, bytes: usize) -> Builder {
        self.config.threads.stack_size = Some(bytes);
        self
    }

    /// Is called on each worker, blocking and compute thread before its first task. A panic in it is
    /// reported by the panic hook, and goes no further.
    pub fn on_thread_start(mut self, f: impl Fn() + Send + Sync + 'static) -> Builder {
        self.config.threads.on_start = Some(Arc::new(f));
        self
    }

    /// Is called on each worker, blocking and compute thread after its last task. A panic in it is
    /// reported by the panic hook, and goes no further.
    pub fn on_thread_stop(mut self, f: impl Fn() + Send + Sync + 'static) -> Builder {
        self.config.threads.on_stop = Some(Arc::new(f));
        self
    }

    /// Is told of each task (or blocking job) that panicked while nobody can take its result any
    /// more: its [`JoinHandle`](crate::JoinHandle) was dropped, before the task's end or after. Once for each.
    /// Default: one line on stderr.
    ///
    /// It is not told of panics that somebody was told of: results that were taken, a main task's
    /// panic (it goes on to the caller of `block_on`), and what a group reports. Nor of cancelled tasks.
    ///
    /// It is called by the thread that ends the task or drops the handle, as part of no task, and
    /// must not block. A panic in it is reported by the panic hook, and goes no further. Handles that are
    /// dropped after their runtime are no longer its business.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// let (failed, failures) = mpsc::channel();
    /// let runtime = filch::Runtime::builder()
    ///     .on_unhandled_failure(move |error| failed.send(error.to_string()).unwrap())
    ///     .build()?;
    /// # std::panic::set_hook(Box::new(|_| {}));
    /// drop(runtime.spawn(async { panic!("oh no") }));
    /// assert!(failures.recv().unwrap().ends_with("panicked: oh no"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "set_exception_handler")]
    #[doc(alias = "call_exception_handler")]
    #[doc(alias = "unhandled_panic")]
    pub fn on_unhandled_failure(
        mut self,
        f: impl Fn(&JoinError) + Send + Sync + 'static,
    ) -> Builder {
        self.config.on_unhandled = Some(OnUnhandled(Arc::new(f)));
        self
    }

    /// How many threads there may be for [`spawn_blocking`](crate::spawn_blocking). Default: 512.
    pub fn max_blocking_threads(mut self, count: usize) -> Builder {
        self.config.blocking.threads = count;
        self
    }

    /// How many blocking jobs may wait for a thread before further ones are refused. Default:
    /// 65,536.
    pub fn blocking_queue(mut self, jobs: usize) -> Builder {
        self.config.blocking.queue = jobs;
        self
    }

    /// How long an idle blocking thread stays. Default: 10 s.
    pub fn blocking_keep_alive(mut self, time: Duration) -> Builder {
        self.config.blocking.keep_alive = time;
        self
    }

    /// How many threads there are for [`spawn_compute`](crate::spawn_compute), from the first job on. Default: the number
    /// of CPUs; if a cgroup's quota allows less, the whole CPUs in it less one, but at least one. (Whoever uses
    /// up the quota stops all threads of the process until the next period, so something is left for the workers.)
    #[doc(alias = "num_threads")]
    pub fn compute_threads(mut self, count: usize) -> Builder {
        self.compute_threads = Some(count);
        self
    }

    /// To which nice level threads for [`spawn_compute`](crate::spawn_compute) lower themselves (on Linux), from 0 to 19; `None`
    /// leaves them alone. Default: 10. A system that refuses that is no error: they run as they are then.
    ///
    /// A level says who goes first among the threads of one group: with cgroups those of the process's own, else, on desktops,
    /// those of its session. Between groups it changes nothing: other services get neither more nor less.
    ///
    /// ```
    /// let error = filch::Runtime::builder().compute_nice(20).build().unwrap_err();
    /// assert!(error.to_string().contains("from 0 to 19"));
    /// ```
    pub fn compute_nice(mut self, level: impl Into<Option<i32>>) -> Builder {
        self.config.compute.nice = level.into();
        self
    }

    /// How many compute jobs may wait while all threads for them are busy, before further ones are refused. Default:
    /// 65,536. (Jobs cancelled while they wait are refused room only if there are as many of them, and more
    /// than a thousand, that no thread had the time to look at.)
    pub fn compute_queue(mut self, jobs: usize) -> Builder {
        self.config.compute.queue = jobs;
        self
    }

    /// The least time between two turns of the timer: sleeps are late by at most this and what
    /// the system adds, and a smaller gap costs more CPU. Default: 1 ms.
    pub fn timer_gap(mut self, gap: Duration) -> Builder {
        self.timer_gap = gap;
        self
    }

    /// For tests: time stands still, and moves on to the next deadline when nothing else can
    /// happen. Default: `false`, the system's clock.
    ///
    /// Nothing else can happen when all workers are idle, each thread in
    /// [`block_on`](Runtime::block_on) waits (time moves on only if there is one), and no job of
    /// [`spawn_blocking`](crate::spawn_blocking) or [`spawn_compute`](crate::spawn_compute) is queued or runs. Other threads are not known to
    /// the runtime: time does not wait for what they are about to do. And it does wait for a task
    /// that is busy, also if it is busy asking for the time again and again, and for a job that
    /// blocks until a task is done ([`join_timeout`](crate::JoinHandle::join_timeout)): `block_on`,
    /// or a task that awaits, lets time pass.
    ///
    /// [`time::now`](crate::time::now) tells the time, [`time::advance`](crate::time::advance) moves
    /// it by hand. `#[filch::test(clock = manual)]` sets this.
    ///
    /// ```
    /// use filch::time::now;
    /// use std::time::{Duration, Instant};
    ///
    /// let (real_start, week) = (Instant::now(), Duration::from_secs(7 * 86_400));
    /// let runtime = filch::Runtime::builder().manual_clock(true).build()?;
    /// runtime.block_on(async {
    ///     let start = now();
    ///     let (short, long) = (filch::spawn(filch::sleep(week)), filch::sleep(2 * week));
    ///     long.await;
    ///     assert!(short.is_finished());
    ///     assert_eq!(now() - start, 2 * week);
    /// });
    /// assert!(real_start.elapsed() < week);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "start_paused")]
    #[doc(alias = "pause")]
    pub fn manual_clock(mut self, manual: bool) -> Builder {
        self.manual_clock = manual;
        self
    }

    /// From when on a poll is a stall. Default: 100 ms.
    ///
    /// ```
    /// use std::time::Duration;
    /// let runtime = filch::Runtime::builder().stall_threshold(Duration::from_millis(20)).build()?;
    /// # drop(runtime);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "slow_callback_duration")]
    pub fn stall_threshold(mut self, threshold: Duration) -> Builder {
        self.config.stall_threshold = threshold;
        self
    }

    /// Told of each poll that takes longer than [`stall_threshold`](Builder::stall_threshold), while it runs, on
    /// the timer's thread: it must be quick, and may not wait for tasks (that panics). A panic in it ends there. By default a line goes to stderr, at most
    /// one in 10 s for each place where such tasks are spawned.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    ///
    /// let (stalls, reports) = mpsc::channel();
    /// let runtime = filch::Runtime::builder()
    ///     .stall_threshold(Duration::from_millis(20))
    ///     .on_stall(move |stall| stalls.send(stall.clone()).unwrap())
    ///     .build()?;
    /// runtime.block_on(async {
    ///     let slow = async { std::thread::sleep(Duration::from_millis(100)) };
    ///     filch::task::Builder::new().name("slow").spawn(slow).await.unwrap();
    /// });
    /// let stall = reports.recv().unwrap();
    /// assert_eq!(stall.task.name.as_deref(), Some("slow"));
    /// assert!(stall.elapsed >= Duration::from_millis(20));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "set_debug")]
    pub fn on_stall(mut self, f: impl Fn(&Stall) + Send + Sync + 'static) -> Builder {
        self.config.on_stall = Some(OnStall(Arc::new(f)));
        self
    }

    /// How many spare workers may come at most while others are stuck in polls that do not return. Default: as
    /// many as there are workers, which is also the most. With 0 a blocked worker is only reported. (On Linux none comes for
    /// a worker that only lacks a processor.)
    pub fn spare_workers(mut self, count: usize) -> Builder {
        self.config.spare_workers = Some(count);
        self
    }

    /// Makes the runtime and starts its threads.
    ///
    /// # Errors
    ///
    /// `InvalidInput`: no worker or more than 4096, no blocking thread, no compute thread or more than 4096, a nice
    /// level that does not exist or would raise threads, or a `FILCH_WORKER_THREADS` that is not such a number. Otherwise what the system said when it
    /// refused a thread; those already started end again.
    ///
    /// ```
    /// let error = filch::Runtime::builder().worker_threads(0).build().unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    /// ```
    pub fn build(mut self) -> io::Result<Runtime> {
        let workers = match self.workers {
            Some(count) => check_workers(count, "Builder::worker_threads")?,
            None => default_workers()?,
        };
        if self.config.blocking.threads == 0 {
            return Err(invalid(
                "Builder::max_blocking_threads is 0: blocking jobs would wait for ever; allow at \
                 least one thread"
                    .into(),
            ));
        }
        self.config.compute.threads = match self.compute_threads {
            None => compute::default_threads(),
            Some(count @ 1..=MOST_WORKERS) => count,
            Some(0) => {
                return Err(invalid(
                    "Builder::compute_threads is 0: compute jobs would wait for ever; say at least \
                     1, or leave it out"
                        .into(),
                ));
            }
            Some(count) => {
                let text =
                    format!("Builder::compute_threads is {count}: the most is {MOST_WORKERS}");
                return Err(invalid(text));
            }
        };
        if let Some(level) = self.config.compute.nice.filter(|level| !(0..=19).contains(level)) {
            return Err(invalid(format!(
                "Builder::compute_nice is {level}: nice levels of compute threads go from 0 to 19; \
                 a negative one would put them before the workers"
            )));
        }
        sys::watch_forks();
        sys::enlist_for_barriers();
        let threads = &self.config.threads;
        let mut timer = Timer::builder()
            .clock(if self.manual_clock { Clock::manual() } else { Clock::system() })
            .shards(workers + 1)
            .min_gap(self.timer_gap)
            .thread_name(format!("{}-timer", threads.name))
            .around_wakes(worker::batch);
        if let Some(bytes) = threads.stack_size {
            timer = timer.stack_size(bytes);
        }
        Runtime::start(self.config, workers, timer)
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

fn check_workers(count: usize, source: &str) -> io::Result<usize> {
    match count {
        0 => Err(invalid(format!(
            "{source} is 0: without a worker no task would ever run; say at least 1, or leave it \
             out for one worker per CPU"
        ))),
        1..=MOST_WORKERS => Ok(count),
        _ => Err(invalid(format!("{source} is {count}: the most is {MOST_WORKERS}"))),
    }
}

fn default_workers() -> io::Result<usize> {
    match env::var(WORKERS_VARIABLE) {
        Ok(text) => match text.trim().parse() {
            Ok(count) => check_workers(count, WORKERS_VARIABLE),
            Err(_) => Err(invalid(format!(
                "{WORKERS_VARIABLE} is `{text}`: it must be a whole number from 1 to \
                 {MOST_WORKERS}, or not set for one worker per CPU"
            ))),
        },
        Err(VarError::NotPresent) => Ok(num_cpus::get().clamp(1, MOST_WORKERS)),
        Err(VarError::NotUnicode(text)) => Err(invalid(format!(
            "{WORKERS_VARIABLE} is {text:?}: it must be a whole number from 1 to {MOST_WORKERS}"
        ))),
    }
}

impl ThreadConfig {
    pub(crate) fn builder(&self, kind: &str) -> thread::Builder {
        static COUNT: AtomicUsize = AtomicUsize::new(1);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut builder = thread::Builder::new().name(format!("{}-{kind}-{number}", self.name));
        if let Some(bytes) = self.stack_size {
            builder = builder.stack_size(bytes);
        }
        builder
    }

    pub(crate) fn starts(&self) {
        contained(|| self.on_start.iter().for_each(|f| f()));
    }

    pub(crate) fn stops(&self) {
        contained(|| self.on_stop.iter().for_each(|f| f()));
    }
}

impl fmt::Debug for ThreadConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadConfig")
            .field("name", &self.name)
            .field("stack_size", &self.stack_size)
            .field("on_start", &self.on_start.is_some())
            .field("on_stop", &self.on_stop.is_some())
            .finish()
    }
}
