//! How a timer is set up.

use std::fmt;
use std::io;
use std::thread;
use std::time::Duration;

use crate::thread::{Hook, Owner};
use crate::turn::{AroundWakes, Core};
use crate::{Clock, Timer};

/// More would help nobody, and each turn visits all of them.
const MOST_SHARDS: usize = 1024;

/// Sets up a [`Timer`]; made by [`Timer::builder`].
///
/// # Examples
///
/// ```
/// use filch_timer::Timer;
/// use std::time::Duration;
///
/// let timer = Timer::builder()
///     .shards(2)
///     .min_gap(Duration::from_micros(200))
///     .thread_name("clockwork")
///     .start()?;
/// futures_lite::future::block_on(timer.sleep(Duration::from_millis(1)));
/// assert_eq!(timer.stats().registered, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a builder does nothing until it is started"]
pub struct Builder {
    clock: Clock,
    shards: Option<usize>,
    min_gap: Duration,
    thread: Option<bool>,
    thread_name: String,
    stack_size: Option<usize>,
    around_wakes: Option<Box<AroundWakes>>,
    each_turn: Option<Hook>,
}

impl Builder {
    pub(crate) fn new() -> Builder {
        Builder {
            clock: Clock::system(),
            shards: None,
            min_gap: Duration::from_millis(1),
            thread: None,
            thread_name: String::from("filch-timer"),
            stack_size: None,
            around_wakes: None,
            each_turn: None,
        }
    }

    /// The clock; by default the system's.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::{Clock, Timer};
    ///
    /// let timer = Timer::builder().clock(Clock::manual()).start()?;
    /// assert!(timer.clock().is_manual());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn clock(mut self, clock: Clock) -> Builder {
        self.clock = clock;
        self
    }

    /// How many shards: as many as there are threads that register sleeps all the time (zero is
    /// taken as one). By default as many as the machine has CPUs, but no more than 8. See
    /// [`set_shard`](crate::set_shard).
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::{Clock, Timer};
    ///
    /// let timer = Timer::builder().clock(Clock::manual()).shards(0).start()?;
    /// assert_eq!(timer.stats().shards, 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shards(mut self, shards: usize) -> Builder {
        self.shards = Some(shards.clamp(1, MOST_SHARDS));
        self
    }

    /// The minimum gap between two turns: by default 1 ms. A sleep fires at most this much late
    /// (and what the system adds); in return, everything due within a gap costs one turn. Zero
    /// is allowed.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::Timer;
    /// use std::time::Duration;
    ///
    /// let timer = Timer::builder().min_gap(Duration::ZERO).start()?;
    /// futures_lite::future::block_on(timer.sleep(Duration::from_micros(50)));
    /// assert_eq!(timer.stats().registered, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn min_gap(mut self, gap: Duration) -> Builder {
        self.min_gap = gap;
        self
    }

    /// Whether the timer has a thread that turns it. By default it has one on the system's clock
    /// and none on a manual clock, whose [`advance`](Clock::advance) turns the timer. Without a
    /// thread somebody must call [`Timer::turn_now`] or [`Timer::turn`] in time.
    ///
    /// # Examples
    ///
    /// A timer that is driven by a thread of the program's own:
    ///
    /// ```
    /// use filch_timer::Timer;
    /// use std::time::Duration;
    ///
    /// let timer = Timer::builder().thread(false).start()?;
    /// let driver = std::thread::spawn({
    ///     let timer = timer.clone();
    ///     move || {
    ///         while !timer.is_shut_down() {
    ///             let next = timer.turn_now();
    ///             timer.park(next);
    ///         }
    ///     }
    /// });
    /// futures_lite::future::block_on(timer.sleep(Duration::from_millis(1)));
    /// timer.shutdown();
    /// assert!(driver.join().is_ok());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn thread(mut self, thread: bool) -> Builder {
        self.thread = Some(thread);
        self
    }

    /// The thread's name; by default `filch-timer`.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::Timer;
    ///
    /// assert!(Timer::builder().thread_name("clockwork").start().is_ok());
    /// assert!(Timer::builder().thread_name("not\0so").start().is_err());
    /// ```
    pub fn thread_name(mut self, name: impl Into<String>) -> Builder {
        self.thread_name = name.into();
        self
    }

    /// The size of the thread's stack in bytes; by default what std gives. Wakers run on it.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::Timer;
    ///
    /// assert!(Timer::builder().stack_size(256 * 1024).start().is_ok());
    /// assert!(Timer::builder().stack_size(1 << 60).start().is_err());
    /// ```
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_size = Some(bytes);
        self
    }

    /// Lends a scope for the wakes of due sleeps: `scope` is called with a function that runs a
    /// batch of at most 256 wakers, on whatever thread turns the timer. A runtime opens
    /// its wake batch, calls the function, and closes the batch.
    ///
    /// If `scope` returns without having called the function, the wakers run afterwards; if it
    /// panics, the panic ends there. It must not own a handle to the timer: the timer would keep
    /// itself alive.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::{Clock, Timer};
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    /// use std::task::{Context, Waker};
    /// use std::time::Duration;
    ///
    /// static BATCHES: AtomicUsize = AtomicUsize::new(0);
    ///
    /// let clock = Clock::manual();
    /// let timer = Timer::builder()
    ///     .clock(clock.clone())
    ///     .around_wakes(|wake_them| {
    ///         BATCHES.fetch_add(1, Ordering::Relaxed);
    ///         wake_them();
    ///     })
    ///     .start()?;
    /// let mut cx = Context::from_waker(Waker::noop());
    /// let mut entries: Vec<_> = (0..100).map(|_| timer.entry(Duration::from_secs(1))).collect();
    /// assert!(entries.iter_mut().all(|entry| entry.poll(&timer, &mut cx).is_pending()));
    /// clock.advance(Duration::from_secs(1));
    /// assert_eq!(BATCHES.load(Ordering::Relaxed), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn around_wakes(
        mut self,
        scope: impl Fn(&mut dyn FnMut()) + Send + Sync + 'static,
    ) -> Builder {
        self.around_wakes = Some(Box::new(scope));
        self
    }

    /// Lends the timer's thread something else to do: `call` is called after each turn, and
    /// again at the latest when the duration that it returns has passed (`None`: it has no wish).
    /// So one thread does for timers and for a runtime's monitor. [`Timer::unpark`] makes the
    /// thread turn, and call, soon. The duration is real time, also on a manual clock; one that
    /// panics is not called again. Without a thread it is never called. (It must not own a handle to
    /// the timer: the timer would keep itself alive.)
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::Timer;
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    ///
    /// let (called, calls) = mpsc::channel();
    /// let timer = Timer::builder()
    ///     .each_turn(move || {
    ///         let _ = called.send(());
    ///         Some(Duration::from_millis(2))
    ///     })
    ///     .start()?;
    /// assert!((0..3).all(|_| calls.recv().is_ok()));
    /// drop(timer);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn each_turn(mut self, call: impl FnMut() -> Option<Duration> + Send + 'static) -> Builder {
        self.each_turn = Some(Box::new(call));
        self
    }

    /// Starts the timer.
    ///
    /// # Errors
    ///
    /// If the system refuses the thread, or its name contains a NUL.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::Timer;
    ///
    /// let timer = Timer::builder().start()?;
    /// assert!(!timer.is_shut_down());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn start(self) -> io::Result<Timer> {
        let shards = self
            .shards
            .unwrap_or_else(|| thread::available_parallelism().map_or(1, |cpus| cpus.get().min(8)));
        let threaded = self.thread.unwrap_or(!self.clock.is_manual());
        let core = Core::new(self.clock, shards, self.min_gap, self.around_wakes);
        let thread = if threaded {
            match crate::thread::start(&core, self.thread_name, self.stack_size, self.each_turn) {
                Ok(thread) => Some(thread),
                Err(refused) => {
                    // The shards go back to the spares.
                    core.close();
                    return Err(refused);
                }
            }
        } else {
            None
        };
        Ok(Timer::from_owner(Owner::new(core, thread)))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("clock", &self.clock)
            .field("shards", &self.shards)
            .field("min_gap", &self.min_gap)
            .field("thread", &self.thread)
            .field("thread_name", &self.thread_name)
            .field("stack_size", &self.stack_size)
            .finish_non_exhaustive()
    }
}
