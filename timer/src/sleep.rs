//! The future: an entry bound to its timer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::{Entry, Timer};

/// A future that is ready once its deadline has passed; made by [`Timer::sleep`] and
/// [`Timer::sleep_until`].
///
/// It is registered at its first poll and fires never early, at most the timer's
/// [minimum gap](crate::Builder::min_gap) and what the system adds late. Polling it again after it
/// was ready is fine, and ready.
///
/// # Cancel safety
///
/// Dropping it cancels it, in O(1); nothing is lost.
///
/// # Panics
///
/// When polled before its deadline after the timer was shut down.
///
/// # Examples
///
/// ```
/// use filch_timer::{Clock, Timer};
/// use std::time::{Duration, Instant};
///
/// let timer = Timer::new(Clock::system())?;
/// let start = Instant::now();
/// futures_lite::future::block_on(timer.sleep(Duration::from_millis(2)));
/// assert!(start.elapsed() >= Duration::from_millis(2));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a sleep does nothing until it is polled"]
pub struct Sleep {
    entry: Entry,
    timer: Timer,
}

impl Sleep {
    pub(crate) fn new(timer: Timer, entry: Entry) -> Sleep {
        Sleep { entry, timer }
    }

    /// When it is due; `None` if that is too far away to be an instant (then it is never due).
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::{Clock, Timer};
    /// use std::time::Duration;
    ///
    /// let timer = Timer::new(Clock::manual())?;
    /// let hour = Duration::from_secs(3600);
    /// assert_eq!(timer.sleep(hour).deadline(), Some(timer.now() + hour));
    /// assert_eq!(timer.sleep(Duration::MAX).deadline(), None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn deadline(&self) -> Option<Instant> {
        self.entry.deadline()
    }

    /// Moves the deadline: see [`Entry::reset`].
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::{Clock, Timer};
    /// use std::time::Duration;
    ///
    /// let timer = Timer::new(Clock::manual())?;
    /// let mut sleep = timer.sleep(Duration::from_secs(1));
    /// sleep.reset(timer.now());
    /// assert!(sleep.is_elapsed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn reset(&mut self, deadline: Instant) {
        self.entry.reset(deadline);
    }

    /// Whether the deadline has passed.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::{Clock, Timer};
    /// use std::time::Duration;
    ///
    /// let timer = Timer::new(Clock::manual())?;
    /// assert!(timer.sleep(Duration::ZERO).is_elapsed());
    /// assert!(!timer.sleep(Duration::from_secs(1)).is_elapsed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn is_elapsed(&self) -> bool {
        self.entry.is_elapsed(&self.timer)
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.entry.poll(&this.timer, cx)
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline()).finish_non_exhaustive()
    }
}
