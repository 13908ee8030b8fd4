//! A deadline and its registration, in 32 bytes and without a reference to the timer.
//!
//! # What a poll costs
//!
//! A timeout is usually polled two or three times and then dropped, so that is made cheap. The
//! first poll clones the waker and registers: one lock. Every further poll that finds the same
//! waker and a deadline that no turn has reached is three loads: the entry remembers what the
//! registered waker looked like, in 9 bytes (see [`Seen`]). Dropping the entry is one lock.
//!
//! "The same waker" may be decided by address because the slot holds a clone: while it does, the
//! memory behind the address cannot become another waker's. It ceases to hold it when it fires, and
//! then the shard's `turned` has reached the deadline, which is looked at first (the order of the
//! two is argued at [`Shard::turned`](crate::shard::Shard::turned)).

use std::fmt;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::Timer;
use crate::batch::discard_waker;
use crate::clock::{self, CLOSED, NEVER};
use crate::primitive::unmodelled;
use crate::shard::{self, Held, Refused, Shard, ShardRef};

/// An entry made for at least this long (1 s) is registered without a look at the clock.
const LONG: u64 = 1_000_000_000;

/// A deadline and, once it was polled, its registration with a timer: what
/// [`Sleep`](crate::Sleep) is made of.
///
/// It is for those who have a [`Timer`] at hand whenever they poll (a runtime, which finds it
/// in the context of the running task) and do not want to pay for a handle in every sleep. It is
/// 32 bytes; an `Entry` for which a timer is needed only later can be made without one.
///
/// It stays with the timer it was first polled with, until it fires, is dropped or is reset after it
/// fired. If that timer was shut down, the next poll moves it to the timer it is given then.
///
/// Dropping it cancels in O(1), in every state. (Leaking one with `mem::forget` leaks its 32 bytes
/// inside the timer.)
///
/// # Examples
///
/// ```
/// use filch_timer::{Clock, Entry, Timer};
/// use std::task::{Context, Poll, Waker};
/// use std::time::Duration;
///
/// let clock = Clock::manual();
/// let timer = Timer::new(clock.clone())?;
/// let mut cx = Context::from_waker(Waker::noop());
///
/// let mut entry = timer.entry(Duration::from_millis(5));
/// assert_eq!(entry.poll(&timer, &mut cx), Poll::Pending);
/// clock.advance(Duration::from_millis(5));
/// assert_eq!(entry.poll(&timer, &mut cx), Poll::Ready(()));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Entry {
    deadline: u64,
    shard: Option<ShardRef>,
    /// A [`Seen`], taken apart: whole, it would be padded.
    seen_data: usize,
    seen_kind: u8,
    /// For [`Entry::poll_suspending`]: a poll was pending.
    suspended: bool,
    slot: u32,
}

impl Entry {
    /// An entry that is due at `deadline`.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::Entry;
    /// use std::time::{Duration, Instant};
    ///
    /// let deadline = Instant::now() + Duration::from_secs(3600);
    /// assert_eq!(Entry::at(deadline).deadline(), Some(deadline));
    /// ```
    pub fn at(deadline: Instant) -> Entry {
        Entry::at_ns(clock::to_ns(deadline))
    }

    /// An entry that is due when `duration` has passed on the system's clock, from now on. What
    /// overflows is [never](Entry::never) due.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::Entry;
    /// use std::time::Duration;
    ///
    /// assert!(Entry::after(Duration::ZERO).deadline().is_some());
    /// assert_eq!(Entry::after(Duration::MAX).deadline(), None);
    /// ```
    #[inline]
    pub fn after(duration: Duration) -> Entry {
        Entry::after_ns(clock::system_now_ns(), duration)
    }

    /// An entry that is never due. It can be reset, and a shutdown of the timer is told to it.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(filch_timer::Entry::never().deadline(), None);
    /// ```
    pub fn never() -> Entry {
        Entry::at_ns(NEVER)
    }

    fn at_ns(deadline: u64) -> Entry {
        Entry::make(deadline, Seen::NOTHING)
    }

    #[inline]
    pub(crate) fn after_ns(now: u64, duration: Duration) -> Entry {
        let deadline = clock::add(now, duration);
        let seen = if deadline - now >= LONG { Seen::LONG_AHEAD } else { Seen::NOTHING };
        Entry::make(deadline, seen)
    }

    #[inline]
    fn make(deadline: u64, seen: Seen) -> Entry {
        Entry {
            deadline,
            shard: None,
            seen_data: seen.data,
            seen_kind: seen.kind,
            suspended: false,
            slot: 0,
        }
    }

    #[inline]
    fn seen(&self) -> Seen {
        Seen { data: self.seen_data, kind: self.seen_kind }
    }

    #[inline]
    fn set_seen(&mut self, seen: Seen) {
        self.seen_data = seen.data;
        self.seen_kind = seen.kind;
    }

    /// When it is due; `None` is never. An instant from before this process first used a timer
    /// may come back as a slightly later one, which has passed as well.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::Entry;
    /// use std::time::Instant;
    ///
    /// let now = Instant::now();
    /// assert!(Entry::at(now).deadline() >= Some(now));
    /// ```
    pub fn deadline(&self) -> Option<Instant> {
        clock::from_ns(self.deadline)
    }

    /// Whether the deadline has passed on the clock of `timer`.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::{Clock, Entry, Timer};
    ///
    /// let timer = Timer::new(Clock::manual())?;
    /// assert!(Entry::at(timer.now()).is_elapsed(&timer));
    /// assert!(!Entry::never().is_elapsed(&timer));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn is_elapsed(&self, timer: &Timer) -> bool {
        self.deadline <= timer.core().clock.now_ns()
    }

    /// Ready once the deadline has passed, never before; until then the context's waker is
    /// registered with `timer`, in place of the one before, and is woken at the deadline: late by
    /// at most the timer's minimum gap and what the system adds. Polling again after it was ready
    /// is ready again.
    ///
    /// What is overdue at its first poll is ready at once, without registration. (One exception: an
    /// entry made for a second or more with [`Entry::after`] or [`Timer::entry`] is registered
    /// without reading the clock a second time. If it was not polled before it was due, it may
    /// be pending until the timer turns, which it does within its minimum gap.)
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if it is dropped between two polls, or never polled again.
    ///
    /// # Panics
    ///
    /// If the timer was shut down and the deadline has not passed: the sleep could be neither early
    /// nor pending for ever. Whoever waits at the shutdown is woken to find out.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::{Clock, Entry, Timer};
    /// use std::task::{Context, Waker};
    ///
    /// let timer = Timer::new(Clock::manual())?;
    /// let mut cx = Context::from_waker(Waker::noop());
    /// assert!(Entry::at(timer.now()).poll(&timer, &mut cx).is_ready());
    /// assert!(Entry::never().poll(&timer, &mut cx).is_pending());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn poll(&mut self, timer: &Timer, cx: &mut Context<'_>) -> Poll<()> {
        match &self.shard {
            Some(shard) => {
                // `turned` of a closed shard is later than every deadline.
                if self.deadline > shard.turned() && self.seen().is(cx.waker()) {
                    return Poll::Pending;
                }
                self.poll_registered(timer, cx)
            }
            None => self.register(timer, cx),
        }
    }

    /// As [`poll`](Entry::poll), but never ready at the first poll: if the deadline has passed by
    /// then, the waker is woken at once. So a loop of sleeps of no length lets others run.
    ///
    /// # Panics
    ///
    /// As [`poll`](Entry::poll).
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::{Clock, Entry, Timer};
    /// use std::task::{Context, Waker};
    ///
    /// let timer = Timer::new(Clock::manual())?;
    /// let mut cx = Context::from_waker(Waker::noop());
    /// let mut entry = Entry::at(timer.now());
    /// assert!(entry.poll_suspending(&timer, &mut cx).is_pending());
    /// assert!(entry.poll_suspending(&timer, &mut cx).is_ready());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn poll_suspending(&mut self, timer: &Timer, cx: &mut Context<'_>) -> Poll<()> {
        let polled = self.poll(timer, cx);
        if self.suspended {
            return polled;
        }
        self.suspended = true;
        if polled.is_ready() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// For whoever will poll again soon in any case: may the registration wait until then?
    ///
    /// Yes, once, for an entry made for a second or more with [`Entry::after`] or
    /// [`Timer::entry`] that was never polled, if the timer has not turned at its deadline yet. Nobody
    /// is woken by such an entry; the next [`poll`](Entry::poll) looks at the clock, and registers it. So a
    /// timeout around something that only lets others run once costs no registration.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::{Clock, Timer};
    /// use std::time::Duration;
    ///
    /// let timer = Timer::new(Clock::manual())?;
    /// let mut entry = timer.entry(Duration::from_secs(60));
    /// assert!(entry.defer(&timer));
    /// assert!(!entry.defer(&timer), "once");
    /// assert!(!timer.entry(Duration::from_millis(1)).defer(&timer), "too soon");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn defer(&mut self, timer: &Timer) -> bool {
        if self.shard.is_some() || !self.seen().is_long_ahead() {
            return false;
        }
        let core = timer.core();
        let turned = core.shards[shard::current(core.shards.len())].turned();
        // A closed shard has turned at every deadline.
        let is_ahead =
            self.deadline > turned && !(core.clock.is_manual() && self.is_elapsed(timer));
        if is_ahead {
            self.set_seen(Seen::NOTHING);
        }
        is_ahead
    }

    #[inline(never)]
    fn register(&mut self, timer: &Timer, cx: &mut Context<'_>) -> Poll<()> {
        let core = timer.core();
        let skip_clock = self.seen().is_long_ahead() && !core.clock.is_manual();
        if !skip_clock && self.is_elapsed(timer) {
            return Poll::Ready(());
        }
        let shard = &core.shards[shard::current(core.shards.len())];
        let waker = cx.waker().clone();
        let seen = Seen::look(&waker);
        match shard.register(core.owner, self.deadline, waker) {
            Ok((slot, news)) => {
                self.shard = Some(shard.share());
                self.slot = slot;
                self.set_seen(seen);
                news.bring();
                Poll::Pending
            }
            Err(Refused::Due(waker)) => {
                discard_waker(Some(waker));
                Poll::Ready(())
            }
            Err(Refused::Closed(waker)) => {
                discard_waker(Some(waker));
                if self.is_elapsed(timer) { Poll::Ready(()) } else { shut_down() }
            }
        }
    }

    /// The deadline has been reached, or the waker is another one, or the timer was shut down.
    #[cold]
    #[inline(never)]
    fn poll_registered(&mut self, timer: &Timer, cx: &mut Context<'_>) -> Poll<()> {
        let Some(shard) = &self.shard else { return Poll::Pending };
        let turned = shard.turned();
        // A turn's time never is ahead of the clock.
        let due = (turned != CLOSED && self.deadline <= turned) || self.is_elapsed(timer);
        if due {
            self.release();
            return Poll::Ready(());
        }
        if turned != CLOSED {
            let waker = cx.waker().clone();
            let seen = Seen::look(&waker);
            let (held, old) = shard.set_waker(self.slot, waker);
            match held {
                Held::Pending => {
                    self.set_seen(seen);
                    discard_waker(old);
                    return Poll::Pending;
                }
                Held::Fired => {
                    discard_waker(old);
                    self.release();
                    return Poll::Ready(());
                }
                Held::Closed => discard_waker(old),
            }
        }
        // Its timer was shut down. It may have been given another one, or the same.
        self.release();
        self.register(timer, cx)
    }

    /// Moves the deadline, also of an entry that has fired. If a waker is registered it stays so,
    /// and is woken at the new deadline; after it has fired, the entry must be polled to wait
    /// again.
    ///
    /// Moving it to a later time is the cheap direction: at most one lock, and no work for the timer.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch_timer::{Clock, Timer};
    /// use std::task::{Context, Waker};
    /// use std::time::Duration;
    ///
    /// let clock = Clock::manual();
    /// let timer = Timer::new(clock.clone())?;
    /// let mut cx = Context::from_waker(Waker::noop());
    /// let mut entry = timer.entry(Duration::from_secs(1));
    /// assert!(entry.poll(&timer, &mut cx).is_pending());
    ///
    /// entry.reset(timer.now() + Duration::from_secs(3));
    /// clock.advance(Duration::from_secs(2));
    /// assert!(entry.poll(&timer, &mut cx).is_pending());
    /// clock.advance(Duration::from_secs(1));
    /// assert!(entry.poll(&timer, &mut cx).is_ready());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn reset(&mut self, deadline: Instant) {
        self.reset_ns(clock::to_ns(deadline));
    }

    pub(crate) fn reset_ns(&mut self, deadline: u64) {
        self.deadline = deadline;
        let Some(shard) = &self.shard else {
            self.set_seen(Seen::NOTHING);
            return;
        };
        match shard.reset(self.slot, deadline) {
            Ok(news) => news.bring(),
            Err(Held::Fired) => self.release(),
            // Keep the slot: the next poll must find out what happened.
            Err(_) => {}
        }
    }

    /// Gives the slot back, if there is one.
    #[inline]
    fn release(&mut self) {
        if let Some(shard) = self.shard.take() {
            self.set_seen(Seen::NOTHING);
            let (waker, news) = Shard::release(&shard, self.slot);
            news.bring();
            discard_waker(waker);
        }
    }
}

#[cold]
fn shut_down() -> ! {
    panic!(
        "the timer (or its runtime) was shut down while this sleep was pending; \
         end the tasks that sleep before the timer, or let them race a shutdown signal"
    );
}

impl Drop for Entry {
    #[inline]
    fn drop(&mut self) {
        self.release();
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("deadline", &self.deadline())
            .field("registered", &self.shard.is_some())
            .finish()
    }
}

/// What a waker looks like, exactly, in 9 bytes: its data pointer, and the number of its vtable
/// in a table that the process shares.
///
/// A process has very few kinds of wakers (a runtime's tasks, `block_on`, some combinators). The
/// ones that find no room in the table are not remembered, and every poll with them takes the
/// lock.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    data: usize,
    kind: u8,
}

/// Each is written once, by whoever brings a new kind.
static KINDS: [unmodelled::AtomicUsize; 7] = [const { unmodelled::AtomicUsize::new(0) }; 7];

impl Seen {
    const NOTHING: Seen = Seen { data: 0, kind: 0 };
    /// Not a waker, but that the entry was made long before its deadline.
    const LONG_AHEAD: Seen = Seen { data: 1, kind: 0 };

    fn is_long_ahead(self) -> bool {
        self == Seen::LONG_AHEAD
    }

    #[inline]
    fn is(self, waker: &Waker) -> bool {
        if self.kind == 0 {
            return false;
        }
        let known = KINDS[usize::from(self.kind - 1)].load(unmodelled::Ordering::Relaxed);
        self.data == waker.data().addr() && known == vtable(waker)
    }

    #[inline]
    fn look(waker: &Waker) -> Seen {
        let (data, vtable) = (waker.data().addr(), vtable(waker));
        for (kind, known) in (1..).zip(&KINDS) {
            let mut seen = known.load(unmodelled::Ordering::Relaxed);
            if seen == 0 {
                let relaxed = unmodelled::Ordering::Relaxed;
                seen = match known.compare_exchange(0, vtable, relaxed, relaxed) {
                    Ok(_) => vtable,
                    Err(other) => other,
                };
            }
            if seen == vtable {
                return Seen { data, kind };
            }
        }
        Seen::NOTHING
    }
}

#[inline]
fn vtable(waker: &Waker) -> usize {
    std::ptr::from_ref(waker.vtable()).addr()
}

#[cfg(all(test, not(filch_loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<Entry>() <= 32, "{}", size_of::<Entry>());
    }
}
