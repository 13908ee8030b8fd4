//! The LIFO slot: the task that was woken last runs next, while its data is still in the cache.
//!
//! When one task wakes another and then waits for the answer, this hands the core over without
//! a detour through the queue. Two rules keep it fair: after three tasks in a row from the slot one
//! comes from the deque, and a *spawn* takes the slot only if it is free and nothing was waiting
//! longer. The slot can be stolen from, but thieves touch it only when its owner was found stuck
//! in a poll: routine stealing would bounce messages between cores.
//!
//! # Taking without an exchange
//!
//! An exchange waits until all that was written before it has left the processor, 5 to 8 ns after a task was made. So
//! as long as no thief may come the owner takes with a load and a store. Whether one may is for the
//! [monitor](super::monitor) alone to say:
//!
//! ```text
//!  PRIVATE ── the owner is stuck ──► SHARED ── it is in no take ──► OPEN ── its poll is over ──► SHARED ── no thief is in ──► PRIVATE
//!  load, store                       exchange                       exchange; thieves, too       exchange
//! ```
//!
//! - *The monitor shares ∥ the owner takes.* The owner says that it is taking, and then looks whether the slot is private. The
//!   monitor says that it is not, and then looks whether the owner is taking. At least one sees the other, if there is a
//!   fence on both sides between word and look. The owner's is one for the compiler only; the monitor, which
//!   comes seldom, has the system put one into every thread of the process (`membarrier`). If the monitor sees a take it leaves the slot shared
//!   until its next sample.
//! - *The monitor closes ∥ a thief takes.* The thief counts itself in, and then looks whether the slot is open. The monitor says that it is
//!   not, and then looks whether a thief is in. Should one be, the slot stays shared: until the next poll of the
//!   owner that is seen to be over.
//!
//! So there is one owner, one thread that takes and puts, and one monitor, one thread that opens and closes.
//!
//! Where the system has no such barrier no slot becomes private. With it, a chain of spawns takes 0.8 of the time
//! (`chained_spawn`, 100 times as long).

use crate::primitive::{AtomicBool, AtomicU32, Ordering, barrier, fence, fence_after_exchange};
use crate::task::Runnable;
use crate::task::cell::AtomicRunnable;

/// Tasks run from the slot in a row.
pub(crate) const IN_A_ROW: u32 = 3;

/// The owner alone takes, without an exchange.
const PRIVATE: u32 = 0;
/// The owner alone takes, by an exchange: thieves are about to come, or may still be there.
const SHARED: u32 = 1;
/// The owner is stuck in a poll: thieves may help themselves.
const OPEN: u32 = 2;

#[derive(Debug)]
pub(crate) struct Slot {
    next: AtomicRunnable,
    /// The owner is taking without an exchange, unless it sees that it may not.
    is_taking: AtomicBool,
    /// Written by the monitor.
    access: AtomicU32,
    /// How many thieves are in.
    thieves: AtomicU32,
}

impl Slot {
    pub(crate) fn new() -> Slot {
        Slot {
            next: AtomicRunnable::empty(),
            is_taking: AtomicBool::new(false),
            access: AtomicU32::new(if barrier::is_there() { PRIVATE } else { SHARED }),
            thieves: AtomicU32::new(0),
        }
    }

    /// The owner puts a task in; who was there before goes into the deque.
    pub(crate) fn put(&self, task: Runnable) -> Option<Runnable> {
        self.next.put(task)
    }

    /// The owner, and nobody else, takes the task out.
    #[inline]
    pub(crate) fn take(&self) -> Option<Runnable> {
        if self.next.is_empty() {
            return None;
        }
        let says_so = true;
        #[cfg(filch_loom)] // A twin does not say what it does.
        let says_so = says_so && !crate::primitive::seeded("take-silently");
        self.is_taking.store(says_so, Ordering::Relaxed);
        // [take-fence] partner: share-fence.
        barrier::light();
        // Acquire: partner is the Release of `close`: what thieves have taken is gone.
        // [take-access]
        let is_private = self.access.load(Ordering::Acquire) == PRIVATE;
        let task = if is_private { self.next.take_alone() } else { self.next.take() };
        // Release: partner is the Acquire of `open`: a thief finds the place as it was left.
        // [taken]
        self.is_taking.store(false, Ordering::Release);
        task
    }

    /// A look that may be out of date; but if it is empty for the owner, who alone fills it, it stays so.
    pub(crate) fn is_empty(&self) -> bool {
        self.next.is_empty()
    }

    /// The monitor lets thieves take from it, until [`Slot::close`]; or not yet, should the owner be in the middle of it.
    pub(crate) fn open(&self) {
        if self.access.load(Ordering::Relaxed) == PRIVATE {
            self.access.store(SHARED, Ordering::Relaxed);
            // [share-fence] partner: take-fence.
            if !barrier::heavy() {
                // It was there when the runtime began; a filter for system calls, set up since then, forbids it. What is in the
                // slot waits until the poll is over. (The fence in `heavy` makes this store a Release.)
                self.access.store(PRIVATE, Ordering::Relaxed);
                return;
            }
        }
        // Acquire: partner is the Release of `take`.
        // [open-look]
        if !self.is_taking.load(Ordering::Acquire) {
            // Release: partner is the Acquire of `steal`, for what was acquired just now.
            // [open]
            self.access.store(OPEN, Ordering::Release);
        }
    }

    /// The owner is back, says the monitor, and nobody else.
    pub(crate) fn close(&self) {
        if self.access.load(Ordering::Relaxed) == PRIVATE {
            // Only `open` ends that, with its barrier.
            return;
        }
        self.access.store(SHARED, Ordering::Relaxed);
        if !barrier::is_there() {
            return;
        }
        // [shut-fence] partner: visit-fence.
        fence(Ordering::SeqCst);
        // Acquire: partner is the Release of `steal`.
        // [close-look]
        let thieves = self.thieves.load(Ordering::Acquire);
        #[cfg(filch_loom)] // A twin does not look.
        let thieves = if crate::primitive::seeded("close-blindly") { 0 } else { thieves };
        if thieves == 0 {
            // Release: partner is the Acquire of `take`, for what was acquired just now.
            // [close]
            self.access.store(PRIVATE, Ordering::Release);
        }
    }

    #[cfg(filch_loom)]
    pub(crate) fn is_open(&self) -> bool {
        self.access.load(Ordering::Relaxed) == OPEN
    }

    /// Is there anything for a thief?
    pub(crate) fn has_loot(&self) -> bool {
        self.access.load(Ordering::Relaxed) == OPEN && !self.is_empty()
    }

    /// A thief takes the task, if the slot is open.
    pub(crate) fn steal(&self) -> Option<Runnable> {
        if !self.has_loot() {
            return None;
        }
        self.thieves.fetch_add(1, Ordering::Relaxed);
        // [visit-fence] partner: shut-fence.
        fence_after_exchange();
        // Acquire: partner is the Release of `open`.
        // [visit]
        let is_open = self.access.load(Ordering::Acquire) == OPEN;
        let task = if is_open { self.next.steal() } else { None };
        // Release: partner is the Acquire of `close`: the owner finds the place empty.
        // [visited]
        self.thieves.fetch_sub(1, Ordering::Release);
        task
    }
}

/// What the models cannot show: the barrier of this system, and processors that store when it suits them.
#[cfg(all(test, not(filch_loom)))]
mod tests {
    use std::panic::Location;
    use std::thread;

    use super::Slot;
    use crate::primitive::{AtomicBool, AtomicUsize, Ordering};
    use crate::task::cell::{self, Spawn};
    use crate::task::{Nowhere, Runnable};

    const TASKS: usize = if cfg!(debug_assertions) { 1_000_000 } else { 20_000_000 };

    #[test]
    fn each_task_is_polled_once_while_thieves_come_and_go() {
        crate::sys::enlist_for_barriers();
        static POLLS: AtomicUsize = AtomicUsize::new(0);
        static SUM: AtomicUsize = AtomicUsize::new(0);
        let task = |number: usize| -> Runnable {
            let site = Location::caller();
            let new = Spawn { owner: &Nowhere, site, home: None, extra: None };
            let counts = async move {
                POLLS.fetch_add(1, Ordering::Relaxed);
                SUM.fetch_add(number, Ordering::Relaxed);
            };
            let (task, handle) = cell::spawn::<Nowhere, _>(counts, new);
            drop(handle);
            task
        };
        let (slot, done) = (Slot::new(), AtomicBool::new(false));
        let run = |task: Runnable| drop(task.run());
        thread::scope(|scope| {
            // The monitor.
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    slot.open();
                    // As long as a few takes: most of what is open is stolen from.
                    (0..50).for_each(|_| std::hint::spin_loop());
                    slot.close();
                }
            });
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        slot.steal().into_iter().for_each(run);
                    }
                });
            }
            for number in 0..TASKS {
                slot.put(task(number)).into_iter().for_each(run);
                if number % 8 != 0 {
                    slot.take().into_iter().for_each(run);
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        slot.take().into_iter().for_each(run);
        let counted = (POLLS.load(Ordering::Relaxed), SUM.load(Ordering::Relaxed));
        assert_eq!(counted, (TASKS, (0..TASKS).sum()));
    }
}
