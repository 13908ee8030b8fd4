//! Wakers on their way from a turn to their wakes, and how foreign code is kept from doing harm.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// As many wakers are handed out at a time.
const CAPACITY: usize = 256;

/// Runs foreign code: a waker's clone or drop or wake, a hook. A panic ends there; the panic hook
/// has reported it.
#[inline]
pub(crate) fn contain<R>(foreign: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(foreign)) {
        Ok(result) => Some(result),
        Err(payload) => {
            discard(payload);
            None
        }
    }
}

#[cold]
fn discard(payload: Box<dyn std::any::Any + Send>) {
    // A payload is foreign, too. Whoever panics even in its drop has to live with the leak.
    if let Err(next) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(next);
    }
}

/// Drops a waker that nobody needs any more.
#[inline]
pub(crate) fn discard_waker(waker: Option<Waker>) {
    if let Some(waker) = waker {
        contain(|| drop(waker));
    }
}

/// The wakers of sleeps that a [`Timer::turn`](crate::Timer::turn) found due, at most 256.
///
/// They wait to be [woken](Batch::wake): the turn holds locks, and a waker is foreign code that
/// never runs under one. A batch that is dropped wakes what is left in it, so no wake is ever
/// lost.
///
/// # Examples
///
/// ```
/// use filch_timer::{Batch, Clock, Timer};
/// use std::future::Future;
/// use std::pin::pin;
/// use std::task::{Context, Waker};
/// use std::time::Duration;
///
/// let clock = Clock::manual();
/// let timer = Timer::new(clock.clone())?;
/// let mut sleep = pin!(timer.sleep(Duration::from_secs(1)));
/// assert!(sleep.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
///
/// let mut batch = Batch::new();
/// timer.turn(clock.now(), &mut batch);
/// assert!(batch.is_empty(), "nothing is due");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Default)]
pub struct Batch(pub(crate) Vec<Waker>);

impl Batch {
    /// An empty batch. It allocates at the first waker, once.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(filch_timer::Batch::new().len(), 0);
    /// ```
    pub const fn new() -> Batch {
        Batch(Vec::new())
    }

    /// How many wakers wait.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(filch_timer::Batch::new().len(), 0);
    /// ```
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no waker waits.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(filch_timer::Batch::new().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Wakes all, in the order of their deadlines. The memory is kept for the next turn.
    ///
    /// A waker that panics harms nobody else: the panic ends here.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut batch = filch_timer::Batch::new();
    /// batch.wake();
    /// assert!(batch.is_empty());
    /// ```
    pub fn wake(&mut self) {
        for waker in self.0.drain(..) {
            contain(|| waker.wake());
        }
    }

    /// How many more it takes.
    pub(crate) fn room(&self) -> usize {
        CAPACITY - self.0.len()
    }

    pub(crate) fn push(&mut self, waker: Waker) {
        if self.0.capacity() == 0 {
            self.0.reserve_exact(CAPACITY);
        }
        self.0.push(waker);
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.wake();
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("len", &self.0.len()).finish()
    }
}
