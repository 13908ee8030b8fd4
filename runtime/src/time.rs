//! Waiting for time to pass.
//!
//! All of it is measured on the monotonic clock: setting the system's clock moves nothing. A
//! sleep is never early; it is late by at most the timer's gap (1 ms unless
//! [`Builder::timer_gap`](crate::Builder::timer_gap) says otherwise) and what the system takes to
//! wake a thread.
//!
//! # Tests that do not wait
//!
//! In a test with a manual clock (`#[filch::test(clock = manual)]`, or a runtime built with
//! [`Builder::manual_clock`](crate::Builder::manual_clock)) time stands still while anything
//! happens. When nothing can happen any more, because all tasks wait, it jumps to the next
//! deadline. So a test that sleeps for a day takes no time, and what it measures is exact:
//!
//! ```
//! use filch::time::now;
//! use std::time::Duration;
//!
//! # mod hidden {
//! # use super::*;
//! #[filch::test(clock = manual)]
//! # async fn hidden() {}
//! # }
//! async fn a_day_is_not_long() {
//!     let start = now();
//!     filch::sleep(Duration::from_secs(86_400)).await;
//!     assert_eq!(now() - start, Duration::from_secs(86_400));
//! }
//! # let runtime = filch::Runtime::builder().manual_clock(true).build().unwrap();
//! # runtime.block_on(a_day_is_not_long());
//! ```
//!
//! Time is read with [`now`], and moved by hand with [`advance`].

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use filch_timer::Entry;

use crate::context;
use crate::task::cell::Waits;
use crate::task::polling;

pub use crate::timeouts::{Deadline, Timeout, timeout, timeout_at, timeout_scope};

/// Waits. `Duration::ZERO` suspends once, as [`yield_now`](crate::yield_now) does;
/// `Duration::MAX` (or anything else too large to add to the present) waits for ever.
///
/// # Panics
///
/// When polled outside a runtime, or after its runtime was shut down.
///
/// # Cancel safety
///
/// Dropping it forgets the wait, at no cost.
///
/// ```
/// use std::time::{Duration, Instant};
/// let start = Instant::now();
/// filch::run(filch::sleep(Duration::from_millis(5)));
/// assert!(start.elapsed() >= Duration::from_millis(5));
/// ```
#[doc(alias = "call_later")]
#[track_caller]
pub fn sleep(duration: Duration) -> Sleep {
    Sleep::after(duration)
}

/// Waits until `deadline`; as [`sleep`] if that has passed.
///
/// # Panics
///
/// As [`sleep`].
///
/// ```
/// use std::time::{Duration, Instant};
/// filch::run(async {
///     let deadline = Instant::now() + Duration::from_millis(2);
///     filch::sleep_until(deadline).await;
///     assert!(Instant::now() >= deadline);
/// });
/// ```
#[doc(alias = "call_at")]
#[track_caller]
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep::at(deadline)
}

/// The present, on the clock of this thread's runtime (outside a runtime, the system's).
///
/// With the system's clock it is [`Instant::now`]. Code that wants to be tested with a manual clock
/// asks this one.
///
/// ```
/// use filch::time::now;
/// use std::time::{Duration, Instant};
///
/// filch::run(async {
///     let before = Instant::now();
///     assert!(now() >= before);
/// });
///
/// let by_hand = filch::Runtime::builder().manual_clock(true).build()?;
/// by_hand.block_on(async {
///     let start = now();
///     assert_eq!(now(), start, "time stands still");
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "time")]
pub fn now() -> Instant {
    context::with(|handle| handle.timer().now()).unwrap_or_else(crate::primitive::now)
}

/// Moves a manual clock on, in one jump. What becomes due is woken before this returns; when it
/// runs is up to the workers (`yield_now`, or whatever the test waits for, lets it).
///
/// A manual clock also moves on by itself, when nothing else can happen: see the
/// [module's introduction](self). This is for what shall happen *between* two deadlines, or while
/// something is busy.
///
/// # Panics
///
/// If this thread's runtime goes by the system's clock, which nobody moves; and outside a runtime.
///
/// ```
/// use filch::time::{advance, now};
/// use std::time::Duration;
///
/// let runtime = filch::Runtime::builder().manual_clock(true).build()?;
/// runtime.block_on(async {
///     let start = now();
///     advance(Duration::from_secs(5));
///     assert_eq!(now() - start, Duration::from_secs(5));
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn advance(duration: Duration) {
    // Cloned, so that what is woken does not run inside the borrow.
    let clock = context::with(|handle| handle.timer().clock().clone());
    match clock {
        Some(clock) if clock.is_manual() => clock.advance(duration),
        Some(_) => panic!(
            "time::advance was called on a runtime that goes by the system's clock, which nobody \
             moves; tests that move time on say `#[filch::test(clock = manual)]`, or build their \
             runtime with `Builder::manual_clock(true)`"
        ),
        None => context::none("time::advance"),
    }
}

/// The future of [`sleep`] and [`sleep_until`].
#[must_use = "futures do nothing unless awaited"]
pub struct Sleep {
    entry: Entry,
    /// Where it was made: what a waiting task is said to wait at.
    site: &'static Location<'static>,
}

impl Sleep {
    #[track_caller]
    pub(crate) fn at(deadline: Instant) -> Sleep {
        Sleep { entry: Entry::at(deadline), site: Location::caller() }
    }

    pub(crate) fn at_site(deadline: Instant, site: &'static Location<'static>) -> Sleep {
        Sleep { entry: Entry::at(deadline), site }
    }

    /// From now on, on the clock of this thread's runtime (outside a runtime, the system's).
    #[inline]
    #[track_caller]
    pub(crate) fn after(duration: Duration) -> Sleep {
        let entry = if context::has_manual_clock() {
            context::with(|handle| handle.timer().entry(duration))
        } else {
            None
        };
        let entry = entry.unwrap_or_else(|| Entry::after(duration));
        Sleep { entry, site: Location::caller() }
    }

    /// A limit, as everything that takes one takes it: `None` is none.
    #[track_caller]
    pub(crate) fn within(limit: impl Into<Option<Duration>>) -> Option<Sleep> {
        #[expect(clippy::manual_map, reason = "a closure would not know the caller")]
        match limit.into() {
            Some(limit) => Some(Sleep::after(limit)),
            None => None,
        }
    }

    /// When it ends; `None`: never.
    pub fn deadline(&self) -> Option<Instant> {
        self.entry.deadline()
    }

    /// Changes when it ends. A sleep that has ended can be used again.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// filch::run(async {
    ///     let mut sleep = filch::sleep(Duration::from_secs(3600));
    ///     sleep.reset(Instant::now() + Duration::from_millis(1));
    ///     sleep.await;
    /// });
    /// ```
    pub fn reset(&mut self, deadline: Instant) {
        self.entry.reset(deadline);
    }

    /// Has the deadline passed? (`true` also means that a poll is ready.)
    pub(crate) fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match context::with(|handle| self.entry.poll(handle.timer(), cx)) {
            Some(polled) => self.note(polled),
            None => no_runtime(),
        }
    }

    /// Has this very waker been woken already, by something inside? Then it is polled again soon, and the timer need
    /// not know of it yet: once, and only if there is much time left.
    #[inline]
    pub(crate) fn is_put_off(&mut self, cx: &Context<'_>) -> bool {
        polling::is_woken(cx.waker())
            && context::with(|handle| self.entry.defer(handle.timer())) == Some(true)
    }

    fn note(&self, polled: Poll<()>) -> Poll<()> {
        if polled.is_pending() {
            polling::waits(Waits::at(self.site));
        }
        polled
    }
}

#[cold]
fn no_runtime() -> ! {
    context::none("filch::sleep (or what is built on it)")
}

impl Future for Sleep {
    type Output = ();

    /// As in asyncio, a sleep always suspends: `loop { sleep(ZERO).await }` lets others run.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match context::with(|handle| self.entry.poll_suspending(handle.timer(), cx)) {
            Some(polled) => self.note(polled),
            None => no_runtime(),
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sleep = f.debug_struct("Sleep");
        sleep.field("deadline", &self.deadline()).field("at", &format_args!("{}", self.site));
        sleep.finish()
    }
}

/// What an [`Interval`] does when its user came too late for a tick.
///
/// ```
/// use filch::time::{MissedTick, advance, now};
/// use std::time::Duration;
/// const S: Duration = Duration::from_secs(1);
///
/// let runtime = filch::Runtime::builder().manual_clock(true).build()?;
/// runtime.block_on(async {
///     let start = now();
///     let mut interval = filch::interval(10 * S).missed_tick(MissedTick::Skip);
///     interval.tick().await;
///     advance(35 * S);
///     assert_eq!(interval.tick().await - start, 10 * S, "late");
///     assert_eq!(interval.tick().await - start, 40 * S, "without those of 20 and 30");
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "MissedTickBehavior")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissedTick {
    /// The missed ticks come one after the other without a wait, until it has caught up.
    #[default]
    Burst,
    /// The next tick comes one period after this one: the schedule moves.
    Delay,
    /// The missed ticks are left out; the next one is on the schedule.
    Skip,
}

/// Ticks at once, and then every `period`.
///
/// # Panics
///
/// If `period` is zero.
///
/// ```
/// use std::time::Duration;
/// filch::run(async {
///     let mut interval = filch::interval(Duration::from_millis(2));
///     let first = interval.tick().await;
///     let second = interval.tick().await;
///     assert_eq!(second - first, Duration::from_millis(2));
/// });
/// ```
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    interval_at(now(), period)
}

/// Ticks at `start`, and then every `period`.
///
/// # Panics
///
/// If `period` is zero.
///
/// ```
/// use std::time::{Duration, Instant};
/// filch::run(async {
///     let start = Instant::now() + Duration::from_millis(2);
///     let mut interval = filch::interval_at(start, Duration::from_secs(60));
///     assert_eq!(interval.tick().await, start);
///     assert!(Instant::now() >= start);
/// });
/// ```
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    assert!(
        !period.is_zero(),
        "an interval of zero would tick without end; use `yield_now` to let other tasks run"
    );
    Interval { next: Some(start), period, missed: MissedTick::default(), sleep: sleep_until(start) }
}

/// Ticks at regular times; made by [`interval`].
#[derive(Debug)]
pub struct Interval {
    /// `None`: too far in the future to be told.
    next: Option<Instant>,
    period: Duration,
    missed: MissedTick,
    sleep: Sleep,
}

impl Interval {
    /// What to do about missed ticks. Default: [`MissedTick::Burst`].
    #[doc(alias = "set_missed_tick_behavior")]
    #[must_use]
    pub fn missed_tick(mut self, missed: MissedTick) -> Interval {
        self.missed = missed;
        self
    }

    /// The time between two ticks.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Waits for the next tick and answers when it was due.
    ///
    /// # Cancel safety
    ///
    /// A tick is either returned or still to come: dropping the future loses none.
    pub async fn tick(&mut self) -> Instant {
        poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// [`tick`](Interval::tick) for those who write futures by hand.
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        if self.sleep.poll_deadline(cx).is_pending() {
            return Poll::Pending;
        }
        let Some(due) = self.next else { return Poll::Pending };
        self.next = self.after(due);
        match self.next {
            Some(next) => self.sleep.entry.reset(next),
            None => self.sleep.entry = Entry::never(),
        }
        Poll::Ready(due)
    }

    /// The tick after the one that was due at `due`.
    fn after(&self, due: Instant) -> Option<Instant> {
        let on_schedule = due.checked_add(self.period);
        match self.missed {
            MissedTick::Burst => on_schedule,
            MissedTick::Delay => now().checked_add(self.period),
            MissedTick::Skip => {
                let late = now().saturating_duration_since(due);
                let whole = late.as_nanos() / self.period.as_nanos() * self.period.as_nanos();
                let whole = Duration::new(
                    u64::try_from(whole / 1_000_000_000).ok()?,
                    (whole % 1_000_000_000) as u32,
                );
                due.checked_add(whole)?.checked_add(self.period)
            }
        }
    }
}
