//! What time it is: the system's clock, or one that a test moves by hand.
//!
//! Inside the crate a time is a `u64`: nanoseconds since one base instant that the whole process
//! shares. So a deadline can be computed before it is known which timer will keep it, costs eight
//! bytes, and is compared in one instruction. 2⁶⁴ ns are 584 years: whatever does not fit is
//! [`NEVER`].

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use crate::primitive::{AtomicU64, Mutex, Ordering, global};
use crate::turn::Core;

/// The deadline that is never reached.
pub(crate) const NEVER: u64 = u64::MAX - 1;

/// Not a time: what a shard says the time is once its timer has been shut down. It is later than
/// every deadline, so whoever compares a deadline with it leaves the fast path.
pub(crate) const CLOSED: u64 = u64::MAX;

/// Where a manual clock starts under loom: model runs must not depend on the time of day.
#[cfg(filch_loom)]
const MODEL_START: u64 = 3_600_000_000_000;

fn base() -> Instant {
    global! { static BASE: OnceLock<Instant> = OnceLock::new() }
    *BASE.get_or_init(crate::primitive::now)
}

/// The nanoseconds in a duration; what does not fit is [`NEVER`].
#[inline]
pub(crate) fn duration_to_ns(duration: Duration) -> u64 {
    duration
        .as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::from(duration.subsec_nanos()))
        .min(NEVER)
}

/// An instant before the base is the base itself: it has passed in any case.
#[inline]
pub(crate) fn to_ns(instant: Instant) -> u64 {
    duration_to_ns(instant.saturating_duration_since(base()))
}

/// `None` is never.
pub(crate) fn from_ns(ns: u64) -> Option<Instant> {
    if ns >= NEVER { None } else { base().checked_add(Duration::from_nanos(ns)) }
}

/// What the system's clock says.
#[inline]
pub(crate) fn system_now_ns() -> u64 {
    // The base first: made after the reading, it would be later than "now".
    let base = base();
    duration_to_ns(crate::primitive::now().saturating_duration_since(base))
}

/// `now + duration`, or never.
#[inline]
pub(crate) fn add(now_ns: u64, duration: Duration) -> u64 {
    now_ns.saturating_add(duration_to_ns(duration)).min(NEVER)
}

/// The clock of a [`Timer`](crate::Timer): the system's monotonic one, or one that only moves when
/// it is told to.
///
/// Cloning it is cheap, and all clones of a manual clock are the same clock; several timers may
/// share it.
///
/// # Examples
///
/// ```
/// use filch_timer::Clock;
/// use std::time::Duration;
///
/// let clock = Clock::manual();
/// let start = clock.now();
/// assert_eq!(clock.now(), start, "time stands still");
/// clock.advance(Duration::from_secs(3600));
/// assert_eq!(clock.now() - start, Duration::from_secs(3600));
/// ```
#[derive(Clone)]
pub struct Clock(Kind);

#[derive(Clone)]
enum Kind {
    System,
    Manual(Arc<Manual>),
}

struct Manual {
    /// Nanoseconds since the base. Relaxed everywhere: whoever must see an advance is turned by
    /// the advancing thread itself, and every turn goes through locks.
    now_ns: AtomicU64,
    /// The timers that this clock drives.
    timers: Mutex<Vec<Weak<Core>>>,
}

impl Clock {
    /// The system's monotonic clock, the one that [`Instant::now`] reads.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::Clock;
    /// use std::time::Instant;
    ///
    /// let before = Instant::now();
    /// assert!(Clock::system().now() >= before);
    /// ```
    pub fn system() -> Clock {
        Clock(Kind::System)
    }

    /// A clock that stands still until [`advance`](Clock::advance) moves it. It starts at the
    /// present instant.
    ///
    /// A timer on a manual clock has no thread unless it is asked for one (see
    /// [`Builder::thread`](crate::Builder::thread)): `advance` runs what becomes due on the thread
    /// that calls it, so tests neither wait nor race.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::Clock;
    ///
    /// let clock = Clock::manual();
    /// assert!(clock.is_manual());
    /// assert!(!Clock::system().is_manual());
    /// ```
    pub fn manual() -> Clock {
        #[cfg(not(filch_loom))]
        let start = system_now_ns();
        #[cfg(filch_loom)]
        let start = MODEL_START;
        Clock(Kind::Manual(Arc::new(Manual {
            now_ns: AtomicU64::new(start),
            timers: Mutex::new(Vec::new()),
        })))
    }

    /// Whether this clock is moved by hand.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(filch_timer::Clock::manual().is_manual());
    /// ```
    pub fn is_manual(&self) -> bool {
        matches!(self.0, Kind::Manual(_))
    }

    /// What time it is.
    ///
    /// # Panics
    ///
    /// If a manual clock was advanced beyond what an [`Instant`] of this system can say.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::Clock;
    ///
    /// let clock = Clock::system();
    /// let first = clock.now();
    /// assert!(clock.now() >= first);
    /// ```
    pub fn now(&self) -> Instant {
        match &self.0 {
            Kind::System => crate::primitive::now(),
            Kind::Manual(_) => from_ns(self.now_ns()).expect("the manual clock has left time"),
        }
    }

    /// Moves a manual clock forward by `by`, then makes each timer on it wake what has become due,
    /// on this thread: when `advance` returns, the due wakers have run.
    ///
    /// (Unless a timer was given a thread of its own besides: then some of them may be running
    /// there at this moment.) What a woken task starts to wait for begins at the new time; timers
    /// see one jump, not the time between.
    ///
    /// # Panics
    ///
    /// If this is the system's clock.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::{Clock, Timer};
    /// use std::time::Duration;
    ///
    /// let clock = Clock::manual();
    /// let timer = Timer::new(clock.clone())?;
    /// let sleep = timer.sleep(Duration::from_secs(60));
    /// clock.advance(Duration::from_secs(59));
    /// assert!(!sleep.is_elapsed());
    /// clock.advance(Duration::from_secs(1));
    /// assert!(sleep.is_elapsed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn advance(&self, by: Duration) {
        let Kind::Manual(manual) = &self.0 else {
            panic!("only a manual clock can be advanced: make the timer with `Clock::manual()`");
        };
        let by = duration_to_ns(by);
        // Not fetch_add: time must stop before `NEVER` rather than wrap.
        let mut now = manual.now_ns.load(Ordering::Relaxed);
        while let Err(actual) = manual.now_ns.compare_exchange(
            now,
            now.saturating_add(by).min(NEVER - 1),
            Ordering::Relaxed,
            Ordering::Relaxed,
        ) {
            now = actual;
        }
        // Copied: a waker may make or drop timers on this very clock.
        let timers: Vec<_> = manual.timers.lock().iter().filter_map(Weak::upgrade).collect();
        for core in timers {
            core.turn_and_wake();
            // Whoever drives the timer with `park` ought to know as well.
            core.unpark();
        }
    }

    #[inline]
    pub(crate) fn now_ns(&self) -> u64 {
        match &self.0 {
            Kind::System => system_now_ns(),
            Kind::Manual(manual) => manual.now_ns.load(Ordering::Relaxed),
        }
    }

    /// Enters a timer among those that [`advance`](Clock::advance) turns.
    pub(crate) fn drives(&self, core: &Arc<Core>) {
        if let Kind::Manual(manual) = &self.0 {
            let mut timers = manual.timers.lock();
            timers.retain(|timer| timer.strong_count() > 0);
            timers.push(Arc::downgrade(core));
        }
    }
}

impl Default for Clock {
    /// The system's clock.
    fn default() -> Clock {
        Clock::system()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::System => f.write_str("Clock::System"),
            Kind::Manual(_) => {
                f.debug_struct("Clock::Manual").field("now_ns", &self.now_ns()).finish()
            }
        }
    }
}
