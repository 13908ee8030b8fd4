//! A timer for any executor: sharded intake, one binary heap, one thread.
//!
//! It knows [`std::task::Waker`] and nothing of any runtime. Whoever can poll a future can sleep:
//!
//! ```
//! use filch_timer::{Clock, Timer};
//! use futures_lite::future::block_on;
//! use std::time::{Duration, Instant};
//!
//! let timer = Timer::new(Clock::system())?;
//! let start = Instant::now();
//! block_on(timer.sleep(Duration::from_millis(3)));
//! assert!(start.elapsed() >= Duration::from_millis(3), "never early");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # What it is made for
//!
//! Services set a timeout around nearly everything, and nearly none of them fires. So setting
//! and dropping one is what must be cheap: a [`Sleep`] goes into a *shard*, a list that belongs
//! to the thread that polled it, and comes out again by two writes. Only what is still there when
//! the timer next *turns*, and is due soon, enters the heap.
//!
//! ```
//! # use filch_timer::{Clock, Timer};
//! # use futures_lite::future::{block_on, or, ready};
//! # use std::time::Duration;
//! # let timer = Timer::new(Clock::system())?;
//! let answer = block_on(or(
//!     async { Some(ready(42).await) },
//!     async {
//!         timer.sleep(Duration::from_secs(3600)).await;
//!         None
//!     },
//! ));
//! assert_eq!(answer, Some(42));
//! assert_eq!(timer.stats().registered, 0, "the timeout is gone without a trace");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! A sleep fires never early, and late by at most the [minimum gap](Builder::min_gap) between two
//! turns (1 ms by default) and what the system adds. Everything that becomes due within one gap
//! costs the thread one turn, and its wakers run in [batches](Builder::around_wakes). Sleeps with
//! the same deadline fire in the order in which they were first polled, if that was on one
//! thread.
//!
//! # Tests that do not wait
//!
//! On a [manual clock](Clock::manual) time passes when the test says so, and what is due fires
//! inside [`advance`](Clock::advance), on the test's own thread:
//!
//! ```
//! use filch_timer::{Clock, Timer};
//! use std::{future::Future, pin::pin, task::{Context, Waker}, time::Duration};
//!
//! let clock = Clock::manual();
//! let timer = Timer::new(clock.clone())?;
//! let mut cx = Context::from_waker(Waker::noop());
//!
//! let mut year = pin!(timer.sleep(Duration::from_secs(365 * 24 * 3600)));
//! assert!(year.as_mut().poll(&mut cx).is_pending());
//!
//! // Let time pass until something happens.
//! let next = timer.next_deadline().expect("someone sleeps");
//! clock.advance(next - clock.now());
//! assert!(year.as_mut().poll(&mut cx).is_ready());
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # For runtimes
//!
//! * [`Entry`] is a sleep without a handle: 32 bytes, polled with a `&Timer`.
//! * [`set_shard`] gives each worker its own shard.
//! * [`Builder::around_wakes`] lends a scope in which wakes can be gathered.
//! * [`Builder::each_turn`] lends the thread to a monitor.
//!
//! # How it works
//!
//! The comments of the source files tell it: `shard.rs` (how no registration is missed by a
//! turner that goes to sleep), `turn.rs` (who relies on whom), `far.rs` (why a million sleepers of
//! an hour cost nothing), `entry.rs` (what a poll costs).
#![forbid(unsafe_code)]

mod batch;
mod builder;
mod clock;
mod entry;
mod far;
mod heap;
mod park;
mod primitive;
mod shard;
mod slab;
mod sleep;
mod thread;
mod turn;

#[cfg(all(filch_loom, not(filch_shuttle)))]
#[path = "../../loom-tests/src/timer_models/mod.rs"]
#[doc(hidden)]
#[allow(missing_docs)]
pub mod __models;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use batch::Batch;
pub use builder::Builder;
pub use clock::Clock;
pub use entry::Entry;
pub use shard::set_shard;
pub use sleep::Sleep;

use thread::Owner;
use turn::Core;

/// A timer. Clones are handles to the same one; when the last handle (sleeps included) is dropped,
/// it is [shut down](Timer::shutdown).
///
/// The [front page](crate) is the introduction.
///
/// # Examples
///
/// ```
/// use filch_timer::{Clock, Timer};
/// use std::time::Duration;
///
/// let timer = Timer::new(Clock::system())?;
/// futures_lite::future::block_on(timer.sleep(Duration::from_millis(1)));
/// assert_eq!(timer.stats().registered, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Timer {
    owner: Arc<Owner>,
}

impl Timer {
    /// A timer on `clock`, otherwise as the [builder](Timer::builder) makes it by default.
    ///
    /// # Errors
    ///
    /// If the system refuses its thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::{Clock, Timer};
    ///
    /// let timer = Timer::new(Clock::system())?;
    /// assert!(!timer.clock().is_manual());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(clock: Clock) -> io::Result<Timer> {
        Timer::builder().clock(clock).start()
    }

    /// Sets up a timer.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::Timer;
    ///
    /// let timer = Timer::builder().shards(4).start()?;
    /// assert_eq!(timer.stats().shards, 4);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn from_owner(owner: Owner) -> Timer {
        Timer { owner: Arc::new(owner) }
    }

    #[inline]
    pub(crate) fn core(&self) -> &Core {
        &self.owner.core
    }

    /// The clock it goes by.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::{Clock, Timer};
    ///
    /// assert!(Timer::new(Clock::manual())?.clock().is_manual());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn clock(&self) -> &Clock {
        &self.core().clock
    }

    /// What time it is on its clock.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::{Clock, Timer};
    ///
    /// let clock = Clock::manual();
    /// assert_eq!(Timer::new(clock.clone())?.now(), clock.now());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn now(&self) -> Instant {
        self.core().clock.now()
    }

    /// Sleeps for `duration`, counted from this call. What overflows is never over:
    /// [`Duration::MAX`] is a sleep that ends only with the timer.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::{Clock, Timer};
    /// use std::time::Duration;
    ///
    /// let timer = Timer::new(Clock::manual())?;
    /// let sleep = timer.sleep(Duration::from_secs(1));
    /// assert_eq!(sleep.deadline(), Some(timer.now() + Duration::from_secs(1)));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn sleep(&self, duration: Duration) -> Sleep {
        Sleep::new(self.clone(), self.entry(duration))
    }

    /// Sleeps until `deadline`, which belongs to this timer's clock.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::{Clock, Timer};
    ///
    /// let timer = Timer::new(Clock::manual())?;
    /// assert!(timer.sleep_until(timer.now()).is_elapsed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn sleep_until(&self, deadline: Instant) -> Sleep {
        Sleep::new(self.clone(), Entry::at(deadline))
    }

    /// An [`Entry`] that is due when `duration` has passed on this timer's clock, from now on.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::{Clock, Timer};
    /// use std::time::Duration;
    ///
    /// let timer = Timer::new(Clock::manual())?;
    /// let entry = timer.entry(Duration::from_secs(1));
    /// assert_eq!(entry.deadline(), Some(timer.now() + Duration::from_secs(1)));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn entry(&self, duration: Duration) -> Entry {
        Entry::after_ns(self.core().clock.now_ns(), duration)
    }

    /// The earliest deadline that anybody sleeps for; `None` if nobody does (or nobody who could
    /// wake up). It is exact, and so it costs a look at much of what is pending: it is for tests,
    /// which advance a manual clock to it when nothing else can happen.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::{Clock, Timer};
    /// use std::task::{Context, Waker};
    /// use std::time::Duration;
    ///
    /// let timer = Timer::new(Clock::manual())?;
    /// assert_eq!(timer.next_deadline(), None);
    /// let mut entry = timer.entry(Duration::from_secs(3600));
    /// let _ = entry.poll(&timer, &mut Context::from_waker(Waker::noop()));
    /// assert_eq!(timer.next_deadline(), entry.deadline());
    /// drop(entry);
    /// assert_eq!(timer.next_deadline(), None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn next_deadline(&self) -> Option<Instant> {
        self.core().next_deadline().and_then(clock::from_ns)
    }

    /// One turn, for those who want to run the wakers themselves: puts the wakers of what is due
    /// at `now` into `batch` (up to 256; what was in it stays) and returns when to turn next at the
    /// latest, which is `None` if there is nothing to turn for.
    ///
    /// If more is due than the batch holds, or somebody else is turning at this moment, that
    /// is soon. A `now` in the future of the timer's clock is taken as the present: nothing
    /// fires early.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::{Batch, Timer};
    /// use std::task::{Context, Waker};
    /// use std::time::Duration;
    ///
    /// let timer = Timer::builder().thread(false).start()?;
    /// let mut entry = timer.entry(Duration::from_millis(1));
    /// let _ = entry.poll(&timer, &mut Context::from_waker(Waker::noop()));
    ///
    /// let mut batch = Batch::new();
    /// let next = timer.turn(timer.now(), &mut batch).expect("someone sleeps");
    /// std::thread::sleep(next - timer.now());
    /// timer.turn(timer.now(), &mut batch);
    /// assert_eq!(batch.len(), 1);
    /// batch.wake();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn turn(&self, now: Instant, batch: &mut Batch) -> Option<Instant> {
        self.core().try_turn(clock::to_ns(now), batch).and_then(clock::from_ns)
    }

    /// Turns until nothing is due any more, running the wakers (on this thread, within
    /// [`Builder::around_wakes`]); returns when to turn next at the latest. It is what the timer's
    /// thread does between two rests.
    ///
    /// Wakers may call it. If another thread is turning, what that one has found due may
    /// be on its way still when this returns.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::{Clock, Timer};
    ///
    /// let timer = Timer::new(Clock::manual())?;
    /// assert_eq!(timer.turn_now(), None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn turn_now(&self) -> Option<Instant> {
        self.core().turn_and_wake().and_then(clock::from_ns)
    }

    /// Rests between two turns: blocks this thread until a registration asks for an earlier
    /// turn than the last one planned, until `limit`, until [`unpark`](Timer::unpark), or until the
    /// timer is shut down; but not shorter than the minimum gap after the last turn. May return for
    /// no reason. On a manual clock `limit` means nothing: [`Clock::advance`] ends the rest.
    ///
    /// It is meant for one thread at a time, that of whoever drives a timer that has
    /// [no thread](Builder::thread).
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::Timer;
    ///
    /// let timer = Timer::builder().thread(false).start()?;
    /// timer.unpark();
    /// timer.park(None); // Returns, because it was unparked.
    /// assert_eq!(timer.turn_now(), None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn park(&self, limit: Option<Instant>) {
        self.core().park(limit.map(clock::to_ns), None);
    }

    /// Makes whoever [rests](Timer::park) between turns (the timer's thread) turn again soon; if
    /// nobody rests, the next rest ends at once. For those who lend the thread something to do with
    /// [`Builder::each_turn`].
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::Timer;
    /// use std::sync::mpsc;
    ///
    /// let (called, calls) = mpsc::channel();
    /// let timer = Timer::builder()
    ///     .each_turn(move || {
    ///         let _ = called.send(());
    ///         None
    ///     })
    ///     .start()?;
    /// assert!(calls.recv().is_ok());
    /// timer.unpark();
    /// assert!(calls.recv().is_ok());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn unpark(&self) {
        self.core().unpark();
    }

    /// Ends the timer, for all handles: wakes everyone who sleeps, once, and waits for the end of
    /// its thread (not if it is called on that very thread, by a waker). Who polls a sleep after
    /// that gets a panic, unless the deadline has passed. Doing it twice is fine.
    ///
    /// It blocks while the thread runs wakers.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::{Clock, Timer};
    ///
    /// let timer = Timer::new(Clock::system())?;
    /// timer.shutdown();
    /// assert!(timer.is_shut_down());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shutdown(&self) {
        self.owner.shutdown();
    }

    /// Whether it was shut down.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::{Clock, Timer};
    ///
    /// assert!(!Timer::new(Clock::manual())?.is_shut_down());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn is_shut_down(&self) -> bool {
        self.core().is_closed()
    }

    /// How full it is. It visits every shard; the numbers are not of one moment.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::{Clock, Timer};
    /// use std::task::{Context, Waker};
    /// use std::time::Duration;
    ///
    /// let timer = Timer::new(Clock::manual())?;
    /// let mut entry = timer.entry(Duration::from_secs(3600));
    /// let _ = entry.poll(&timer, &mut Context::from_waker(Waker::noop()));
    /// let stats = timer.stats();
    /// assert_eq!((stats.registered, stats.heap), (1, 0));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn stats(&self) -> Stats {
        let core = self.core();
        let mut stats = Stats {
            shards: core.shards.len(),
            heap: core.heap_len(),
            fired: core.fired.load(primitive::unmodelled::Ordering::Relaxed),
            ..Stats::default()
        };
        if !core.is_closed() {
            for shard in &core.shards {
                let census = shard.census();
                stats.registered += census.registered;
                stats.slots += census.slots;
                stats.dead += census.dead;
            }
        }
        stats
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let core = self.core();
        f.debug_struct("Timer")
            .field("clock", &core.clock)
            .field("shards", &core.shards.len())
            .field("min_gap", &Duration::from_nanos(core.min_gap))
            .finish_non_exhaustive()
    }
}

/// How full a [`Timer`] is: see [`Timer::stats`].
///
/// # Examples
///
/// ```
/// assert_eq!(filch_timer::Stats::default().registered, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Sleeps that are registered: polled, and neither dropped nor polled to their end.
    pub registered: usize,
    /// Slots that memory is held for, of 32 bytes each.
    pub slots: usize,
    /// References in the heap, dead ones included.
    pub heap: usize,
    /// How many references in the heap are dead: cancelled or moved, and not thrown out yet.
    pub dead: usize,
    /// How many shards there are.
    pub shards: usize,
    /// Sleeps whose time has come since the timer was made, and whose waker was handed out for that.
    pub fired: u64,
}
