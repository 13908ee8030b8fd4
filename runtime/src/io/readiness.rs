//! Where a task that waits for a socket and the event that ends the wait meet.
//!
//! The poller is edge-triggered: it tells once that a socket *became* readable. So it must be remembered, until
//! an operation finds out that it is no longer so (`WouldBlock`, or less read than asked for). All of it is one word:
//!
//! ```text
//!  generation (32)          tick (24)            what it is ready for (8)
//!  which registration       +1 with each event   READ WRITE READ_CLOSED WRITE_CLOSED ERROR SHUT
//! ```
//!
//! Three parties race on it:
//!
//! - *An event ∥ an operation that finds nothing.* The operation looked at the word before, and takes the
//!   readiness away only if the tick is still the same: an event in between counts. (An operation that was tried
//!   because of an event must also find what that event told of. The kernel's locks may see to that; the orderings
//!   of the word promise it.)
//! - *An event ∥ a task that begins to wait.* The task puts its waker down under the lock and then looks at the word once
//!   more; the event changes the word and then takes the wakers under the lock. Whoever comes second to the lock
//!   sees what the other did: that takes no ordering of the word.
//! - *An event ∥ the end of the registration.* The poller may have handed out an event for a socket that is
//!   closed meanwhile, and whose slot is in use again. The generation in the event's token must equal that
//!   of the word, and that of the wakers under the lock: such an event does nothing.

use std::task::{Poll, Waker};

#[cfg(filch_loom)]
use crate::primitive::seeded;
use crate::primitive::{AtomicU64, Mutex, Ordering};
use crate::task::cell::contained;

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Something can be read, a connection accepted; or the peer has closed, or there is an error.
    Read,
    /// Something can be written, or the connection is made; or there is an error.
    Write,
}

pub(crate) const READ: u64 = 1;
pub(crate) const WRITE: u64 = 1 << 1;
pub(crate) const READ_CLOSED: u64 = 1 << 2;
pub(crate) const WRITE_CLOSED: u64 = 1 << 3;
/// There was an error. Comes with `READ` and `WRITE`, each of which is taken away by its own operations.
pub(crate) const ERROR: u64 = 1 << 4;
/// The driver is gone: there will be no more events.
pub(crate) const SHUT: u64 = 1 << 5;

const FLAGS: u64 = (1 << 8) - 1;
const TICK: u64 = 1 << 8;
const TICKS: u64 = ((1 << 24) - 1) << 8;
const GENERATION: u32 = 32;
/// How much of it is used: what a token of the poller has room for.
pub(crate) const GENERATION_BITS: u32 = if usize::BITS >= 64 { 32 } else { 8 };

impl Direction {
    /// Which flags end a wait. (With an error, both directions are worth a try.)
    fn mask(self) -> u64 {
        self.passing() | SHUT
    }

    /// Which flags an operation that found nothing takes away: also that it is closed, for then it is not. (A
    /// socket that is not connected yet counts as hung up, and one for datagrams goes on after an error.)
    fn passing(self) -> u64 {
        match self {
            Direction::Read => READ | READ_CLOSED,
            Direction::Write => WRITE | WRITE_CLOSED,
        }
    }
}

/// One look at the word, with a reason to try the operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ready {
    seen: u64,
    direction: Direction,
}

impl Ready {
    pub(crate) fn is_shut(self) -> bool {
        self.seen & SHUT != 0
    }

    /// The peer has closed, or there is an error: no new event may announce what is still to be read.
    pub(crate) fn is_final(self) -> bool {
        self.seen & (READ_CLOSED | WRITE_CLOSED | ERROR) != 0
    }
}

/// Who waits.
#[derive(Debug)]
struct Waiter {
    /// [`POLLS`], or the number of a wait that is taken back when it is dropped.
    key: u64,
    direction: Direction,
    waker: Waker,
}

/// The key of tasks that only poll.
const POLLS: u64 = 0;

/// Most tasks that may *poll* the same direction side by side without waking each other.
const POLLERS: usize = 8;

#[derive(Debug, Default)]
struct Waiters {
    generation: u32,
    last_key: u64,
    /// Mostly there is only one: then nothing is allocated.
    first: Option<Waiter>,
    more: Vec<Waiter>,
}

#[derive(Debug)]
pub(crate) struct Readiness {
    word: AtomicU64,
    waiters: Mutex<Waiters>,
}

impl Readiness {
    pub(crate) fn new() -> Readiness {
        Readiness { word: AtomicU64::new(0), waiters: Mutex::new(Waiters::default()) }
    }

    // ── the registration's side ───────────────────────────────────────────────────────────────

    /// A new registration begins to use the slot, and answers its generation. `assumed`: what it is taken to
    /// be ready for, so that the first operation is simply tried.
    pub(crate) fn begin(&self, assumed: u64) -> u32 {
        #[cfg(filch_loom)] // A twin starts with a clean word.
        if seeded("begin-anew") {
            let generation = self.waiters.lock().generation;
            self.word.swap(u64::from(generation) << GENERATION | assumed, Ordering::Relaxed);
            return generation;
        }
        // Added to what is there: the end of the driver may have come first.
        let found = self.word.fetch_or(assumed, Ordering::Relaxed);
        (found >> GENERATION) as u32
    }

    /// The registration ends: what comes for it from now on finds nobody.
    pub(crate) fn end(&self) {
        let mut waiters = self.waiters.lock();
        let next = waiters.generation.wrapping_add(1) & (u32::MAX >> (32 - GENERATION_BITS));
        waiters.generation = next;
        // An exchange: after it, no event can still change the word of the registration before.
        self.word.swap(u64::from(next) << GENERATION, Ordering::Relaxed);
        let mut left = Vec::new();
        waiters.take(&mut left, |_| true);
        drop(waiters);
        left.into_iter().for_each(|waker| contained(|| drop(waker)));
    }

    #[inline]
    pub(crate) fn look(&self, direction: Direction) -> Option<Ready> {
        // Acquire: partner is the Release of `deliver`: the operation finds what the event told of.
        // [look]
        let seen = self.word.load(Ordering::Acquire);
        (seen & direction.mask() != 0).then_some(Ready { seen, direction })
    }

    /// Waits with this waker, unless it is ready already. `key`: of a wait that can be taken back, 0
    /// before it is given one here.
    pub(crate) fn poll(
        &self,
        direction: Direction,
        key: Option<&mut u64>,
        waker: &Waker,
    ) -> Poll<Ready> {
        if let Some(ready) = self.look(direction) {
            return Poll::Ready(ready);
        }
        // Wakers are foreign code: cloned before the lock, dropped and woken after it.
        let mut new = Waiter { key: POLLS, direction, waker: waker.clone() };
        let replaced = {
            let mut waiters = self.waiters.lock();
            if let Some(key) = key {
                if *key == 0 {
                    waiters.last_key += 1;
                    *key = waiters.last_key;
                }
                new.key = *key;
            }
            waiters.put(new)
        };
        match replaced {
            // One poller too many: it looks again, and none waits in vain.
            Some(other) if other.key == POLLS && !other.waker.will_wake(waker) => {
                contained(|| other.waker.wake());
            }
            // The same wait's older waker.
            other => drop(other),
        }
        #[cfg(filch_loom)] // A twin does not look again.
        if seeded("wait-without-looking") {
            return Poll::Pending;
        }
        match self.look(direction) {
            Some(ready) => Poll::Ready(ready),
            None => Poll::Pending,
        }
    }

    /// The wait with this key is over.
    pub(crate) fn forget(&self, key: u64) {
        let mut left = Vec::new();
        self.waiters.lock().take(&mut left, |waiter| waiter.key == key);
        drop(left);
    }

    /// An operation after `ready` found nothing: it takes a new event to try again (if none came since).
    pub(crate) fn clear(&self, ready: Ready) {
        let passing = ready.direction.passing();
        let mut now = self.word.load(Ordering::Relaxed);
        #[cfg(filch_loom)] // A twin does not care whether an event came since.
        let ready = if seeded("clear-blindly") { Ready { seen: now, ..ready } } else { ready };
        while now & TICKS == ready.seen & TICKS && now & passing != 0 {
            let next = now & !passing;
            match self.word.compare_exchange_weak(now, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(found) => now = found,
            }
        }
    }

    // ── the driver's side ─────────────────────────────────────────────────────────────────────

    /// An event for the registration of this generation: whoever waits for it is to be woken by
    /// the caller.
    pub(crate) fn deliver(&self, generation: u32, flags: u64, wake: &mut Vec<Waker>) {
        #[cfg(filch_loom)] // A twin takes the wakers first.
        if seeded("wake-before-marking") {
            self.waiters.lock().take(wake, |waiter| flags & waiter.direction.mask() != 0);
        }
        let mut now = self.word.load(Ordering::Relaxed);
        loop {
            let is_meant = (now >> GENERATION) as u32 == generation;
            #[cfg(filch_loom)] // A twin marks whatever is there.
            let is_meant = is_meant || seeded("mark-anybody");
            if !is_meant {
                return;
            }
            let tick = now.wrapping_add(TICK) & TICKS;
            let next = (now & !TICKS) | tick | (flags & FLAGS);
            // Release: partner is the Acquire of `look`.
            // [event]
            match self.word.compare_exchange_weak(now, next, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break,
                Err(found) => now = found,
            }
        }
        #[cfg(filch_loom)] // Another part of the same twin.
        if seeded("wake-before-marking") {
            return;
        }
        let mut waiters = self.waiters.lock();
        let is_meant = waiters.generation == generation;
        #[cfg(filch_loom)] // A twin wakes whoever is there.
        let is_meant = is_meant || seeded("wake-anybody");
        if is_meant {
            waiters.take(wake, |waiter| flags & waiter.direction.mask() != 0);
        }
    }

    /// As an event, by whoever has done to the registration what the system tells nobody of.
    pub(crate) fn tell(&self, flags: u64, wake: &mut Vec<Waker>) {
        let generation = self.waiters.lock().generation;
        self.deliver(generation, flags, wake);
    }

    /// There will be no more events for anybody.
    pub(crate) fn shut(&self, wake: &mut Vec<Waker>) {
        self.tell(SHUT, wake);
    }
}

impl Waiter {
    /// Is this the same wait, perhaps with another waker?
    fn is_same_as(&self, other: &Waiter) -> bool {
        self.direction == other.direction
            && self.key == other.key
            && (self.key != POLLS || self.waker.will_wake(&other.waker))
    }
}

impl Waiters {
    fn iter(&self) -> impl Iterator<Item = &Waiter> {
        self.first.iter().chain(&self.more)
    }

    /// Puts one in, and answers whose place it took: its own, or that of the eldest poller, if there
    /// are too many.
    fn put(&mut self, new: Waiter) -> Option<Waiter> {
        let Some(first) = &mut self.first else {
            self.first = Some(new);
            return None;
        };
        if let Some(same) =
            [first].into_iter().chain(&mut self.more).find(|old| old.is_same_as(&new))
        {
            return Some(std::mem::replace(same, new));
        }
        let polls = |old: &Waiter| old.key == POLLS && old.direction == new.direction;
        let eldest = if new.key == POLLS && self.iter().filter(|old| polls(old)).count() >= POLLERS
        {
            match self.more.iter().position(polls) {
                Some(place) => Some(self.more.remove(place)),
                None => self.first.take(),
            }
        } else {
            None
        };
        self.more.push(new);
        eldest
    }

    /// Moves the wakers of those who are meant, in the order in which they came.
    fn take(&mut self, into: &mut Vec<Waker>, is_meant: impl Fn(&Waiter) -> bool) {
        if let Some(waiter) = self.first.take_if(|waiter| is_meant(waiter)) {
            into.push(waiter.waker);
        }
        if !self.more.is_empty() {
            let (meant, left) = self.more.drain(..).partition(|waiter| is_meant(waiter));
            self.more = left;
            let meant: Vec<Waiter> = meant;
            into.extend(meant.into_iter().map(|waiter| waiter.waker));
        }
    }
}

#[cfg(all(test, not(filch_loom)))]
mod tests {
    use super::*;

    /// The waker of a task that knows how to make trouble.
    struct Grumpy(std::sync::mpsc::Sender<&'static str>);

    impl std::task::Wake for Grumpy {
        fn wake(self: std::sync::Arc<Self>) {
            let _ = self.0.send("woken");
            std::panic::resume_unwind(Box::new("a waker that panics"));
        }
    }

    impl Drop for Grumpy {
        fn drop(&mut self) {
            let _ = self.0.send("dropped");
            if !std::thread::panicking() {
                std::panic::resume_unwind(Box::new("a waker that panics when it is dropped"));
            }
        }
    }

    #[test]
    fn the_panic_of_a_waker_does_not_meet_those_who_wait_beside_it() {
        let (sender, told) = std::sync::mpsc::channel();
        let grumpy = || Waker::from(std::sync::Arc::new(Grumpy(sender.clone())));
        let readiness = Readiness::new();
        readiness.begin(0);
        for _ in 0..=POLLERS {
            let waker = grumpy();
            assert!(readiness.poll(Direction::Read, None, &waker).is_pending());
            contained(|| drop(waker));
        }
        assert_eq!(told.try_recv(), Ok("woken"), "one too many");
        assert_eq!(told.try_recv(), Ok("dropped"));
        assert!(told.try_recv().is_err(), "the others wait");
        readiness.end();
        assert_eq!(told.try_iter().filter(|&what| what == "dropped").count(), POLLERS);
    }
}
