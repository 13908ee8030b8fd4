#![doc = include_str!("README.md")]

use std::sync::Arc;

use super::park::{Bed, Parker};
use crate::io::Door;
use crate::primitive::{AtomicU32, AtomicU64, Ordering, fence};

/// Workers in one set: as many as the mask has bits. (In a model each costs time; and with few, there are several sets.)
pub(crate) const WORKERS_PER_SET: usize = if cfg!(filch_shuttle) {
    4
} else if cfg!(filch_loom) {
    2
} else {
    32
};

/// The low half is a mask of parked workers, the high half counts searchers.
const SEARCHER: u64 = 1 << 32;
/// The monitor samples. Whoever wakes a worker while it does not sees that in the same step, and calls it.
const WATCHED: u64 = 1 << 63;

fn searchers(word: u64) -> u64 {
    (word & !WATCHED) >> 32
}

fn parked(word: u64) -> u32 {
    word as u32
}

/// Who of one set of workers sleeps, and who looks for work.
#[derive(Debug)]
pub(crate) struct Sleep {
    word: AtomicU64,
    /// Which workers there are: the regular ones, and spare ones while they help out.
    members: AtomicU32,
    /// Whose bed is the driver. (A hint: it is harder to wake than the others, so they are woken first.)
    in_driver: AtomicU32,
    parkers: Box<[Parker]>,
    door: Option<Arc<Door>>,
}

impl Bed for Arc<Door> {
    fn wake(&self) {
        Door::wake(self);
    }
}

/// Whether the monitor was sampling when a worker woke up.
struct Watched(bool);

/// What a notifier knows about the set after one look.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notified {
    /// One worker was woken, or a searcher is about already.
    Enough,
    /// One worker was woken, the first one after all had slept for a while: the monitor is to be called.
    Unwatched,
    /// Everybody in this set is at work.
    AllBusy,
}

impl Sleep {
    /// A set of workers who may sleep in the driver behind this door, if there is one.
    pub(crate) fn new(door: Option<Arc<Door>>) -> Sleep {
        Sleep {
            word: AtomicU64::new(0),
            members: AtomicU32::new(0),
            in_driver: AtomicU32::new(0),
            parkers: (0..WORKERS_PER_SET).map(|_| Parker::new()).collect(),
            door,
        }
    }

    fn unpark(&self, worker: usize) {
        self.parkers[worker].unpark(self.door.as_ref());
    }

    /// Work was pushed: wakes one worker, unless one looks for work already. The caller has
    /// executed [`notify_fence`] between the push and this.
    #[inline]
    pub(crate) fn notify_one(&self) -> Notified {
        let now = self.word.load(Ordering::Relaxed);
        if searchers(now) > 0 {
            Notified::Enough
        } else if parked(now) == 0 {
            Notified::AllBusy
        } else {
            self.wake_one(now)
        }
    }

    #[cold]
    fn wake_one(&self, mut now: u64) -> Notified {
        loop {
            if searchers(now) > 0 {
                return Notified::Enough;
            }
            if parked(now) == 0 {
                return Notified::AllBusy;
            }
            let easy = parked(now) & !self.in_driver.load(Ordering::Relaxed);
            let candidates = if easy == 0 { parked(now) } else { easy };
            let worker = candidates.trailing_zeros() as usize;
            let next = ((now & !(1 << worker)) + SEARCHER) | WATCHED;
            // Relaxed: the parker's word carries what the woken worker must see.
            match self.word.compare_exchange_weak(now, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    self.unpark(worker);
                    return if now & WATCHED == 0 { Notified::Unwatched } else { Notified::Enough };
                }
                Err(found) => now = found,
            }
        }
    }

    /// A look that may be out of date.
    pub(crate) fn is_anybody_parked(&self) -> bool {
        parked(self.word.load(Ordering::Relaxed)) != 0
    }

    /// Are all workers parked, with nobody searching? (One look at one word.)
    pub(crate) fn are_all_parked(&self) -> bool {
        // In this order: a spare worker that is summoned in between is one more member who is not parked.
        let parked = self.word.load(Ordering::Relaxed) & !WATCHED;
        parked == u64::from(self.members.load(Ordering::Relaxed))
    }

    /// Is anybody without work awake?
    pub(crate) fn is_anybody_searching(&self) -> bool {
        searchers(self.word.load(Ordering::Relaxed)) > 0
    }

    /// How many workers there are.
    pub(crate) fn members(&self) -> usize {
        self.members.load(Ordering::Relaxed).count_ones() as usize
    }

    /// These workers there are from now on.
    pub(crate) fn set_members(&self, count: usize) {
        self.members.store(((1u64 << count) - 1) as u32, Ordering::Relaxed);
    }

    /// A spare worker comes, or goes.
    pub(crate) fn change_member(&self, worker: usize, is_there: bool) {
        if is_there {
            self.members.fetch_or(1 << worker, Ordering::Relaxed);
        } else {
            self.members.fetch_and(!(1 << worker), Ordering::Relaxed);
        }
    }

    /// Does the monitor sample?
    pub(crate) fn is_watched(&self) -> bool {
        self.word.load(Ordering::Relaxed) & WATCHED != 0
    }

    /// The monitor goes on.
    pub(crate) fn watch(&self) {
        self.word.fetch_or(WATCHED, Ordering::Relaxed);
    }

    /// The monitor stops, if everybody sleeps: one step, so whoever wakes somebody after it sees that
    /// nobody watches.
    pub(crate) fn stop_watching(&self) -> bool {
        let sleep = u64::from(self.members.load(Ordering::Relaxed));
        #[cfg(filch_loom)] // A twin looks first, and then stops.
        if crate::primitive::seeded("stop-blindly") {
            let all_sleep = self.word.load(Ordering::Relaxed) == sleep | WATCHED;
            return all_sleep && self.word.fetch_and(!WATCHED, Ordering::Relaxed) != 0;
        }
        let stopped = self.word.compare_exchange(
            sleep | WATCHED,
            sleep,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        stopped.map_or_else(|found| found == sleep, |_| true)
    }

    /// Something was put where only this worker looks: wakes it if it sleeps. The caller has
    /// executed [`notify_fence`] in between.
    pub(crate) fn notify(&self, worker: usize) -> Notified {
        let taken = self.take_out(worker);
        if taken.is_some() {
            self.unpark(worker);
        }
        match taken {
            Some(Watched(false)) => Notified::Unwatched,
            _ => Notified::Enough,
        }
    }

    /// Takes a worker out of the mask and counts it as a searcher, if it is still in.
    fn take_out(&self, worker: usize) -> Option<Watched> {
        let bit = 1 << worker;
        let mut now = self.word.load(Ordering::Relaxed);
        #[cfg(filch_loom)]
        let first = now;
        while now & bit != 0 {
            let next = ((now & !bit) + SEARCHER) | WATCHED;
            match self.word.compare_exchange_weak(now, next, Ordering::Relaxed, Ordering::Relaxed) {
                #[cfg(filch_loom)] // A twin looks once for the mark, before its exchange.
                Ok(_) if crate::primitive::seeded("look-before-waking") => {
                    return Some(Watched(first & WATCHED != 0));
                }
                Ok(_) => return Some(Watched(now & WATCHED != 0)),
                Err(found) => now = found,
            }
        }
        None
    }

    /// Makes every worker look at its reasons again, for instance at a flag that says stop.
    pub(crate) fn notify_all(&self) {
        (0..WORKERS_PER_SET).for_each(|worker| self.unpark(worker));
    }

    /// An awake worker without work wants to search. Refused if half of the others do already:
    /// more would only disturb each other.
    pub(crate) fn start_search(&self, workers: usize) -> bool {
        let now = self.word.load(Ordering::Relaxed);
        if 2 * searchers(now) >= workers as u64 {
            return false;
        }
        // Too many searchers for a moment do no harm, so no exchange in a loop.
        self.word.fetch_add(SEARCHER, Ordering::Relaxed);
        true
    }

    /// A searcher has found work. `true`: it was the last, and must look once more whether there
    /// is work that a notifier left to it; the fence for that look is included.
    pub(crate) fn stop_search(&self) -> bool {
        // Release: partner is the last searcher's fence below: it sees what this one has put into
        // its own deque, and need not be told.
        // [stop-search]
        let before = self.word.fetch_sub(SEARCHER, Ordering::Release);
        debug_assert!(searchers(before) > 0, "a worker stopped a search it was not counted in");
        let last = searchers(before) == 1;
        #[cfg(filch_shuttle)] // A twin forgets what a notifier left to it.
        let last = last && !crate::primitive::seeded("leave-without-a-look");
        if last {
            // [stop-fence] partner: notify-fence.
            fence(Ordering::SeqCst);
        }
        last
    }

    /// A worker announces that it is about to park. After this it looks at every source of work
    /// once more (the fence is included), and then parks or [`retract`](Sleep::retract)s.
    pub(crate) fn announce(&self, worker: usize, searching: bool) {
        let change = (1u64 << worker).wrapping_sub(if searching { SEARCHER } else { 0 });
        let before = self.word.fetch_add(change, Ordering::Relaxed);
        debug_assert!(before & (1 << worker) == 0, "a worker announced itself twice");
        debug_assert!(!searching || searchers(before) > 0, "searchers fell below zero");
        // [announce-fence] partner: notify-fence.
        fence(Ordering::SeqCst);
    }

    /// The worker has found something after all: it is awake, and counted as a searcher (by
    /// itself or by a notifier who was faster, and whose unpark is then a stray one).
    /// As in [`Notified`]: the monitor may have to be called.
    pub(crate) fn retract(&self, worker: usize) -> Notified {
        match self.take_out(worker) {
            Some(Watched(false)) => Notified::Unwatched,
            #[cfg(filch_loom)] // A twin counts itself although a notifier has done so.
            None if crate::primitive::seeded("count-twice") => {
                self.word.fetch_add(SEARCHER, Ordering::Relaxed);
                Notified::Enough
            }
            _ => Notified::Enough,
        }
    }

    /// Sleeps until somebody unparks. `true`: the worker was taken from the mask and is counted
    /// as a searcher now. `false`: a stray unpark, it is still announced.
    pub(crate) fn park(&self, worker: usize) -> bool {
        self.parkers[worker].park();
        self.is_taken(worker)
    }

    /// As [`park`](Sleep::park), in the driver, which may return for its own reasons. `false`: it is
    /// still announced.
    pub(crate) fn park_in(&self, worker: usize, sleep: impl FnOnce()) -> bool {
        self.in_driver.store(1 << worker, Ordering::Relaxed);
        self.parkers[worker].park_in(sleep);
        self.in_driver.store(0, Ordering::Relaxed);
        self.is_taken(worker)
    }

    /// Sleeps outside the mask: nobody but [`end_rest`](Sleep::end_rest) and
    /// [`notify_all`](Sleep::notify_all) ends that (or a stray unpark).
    pub(crate) fn rest(&self, worker: usize) {
        self.parkers[worker].park();
    }

    pub(crate) fn end_rest(&self, worker: usize) {
        self.unpark(worker);
    }

    fn is_taken(&self, worker: usize) -> bool {
        self.word.load(Ordering::Relaxed) & (1 << worker) == 0
    }

    /// Who is parked, and how many search.
    #[cfg(all(filch_loom, not(filch_shuttle)))]
    pub(crate) fn word(&self) -> (u32, u64) {
        let now = self.word.load(Ordering::Relaxed);
        (parked(now), searchers(now))
    }
}

/// Between pushing work and looking for somebody to wake.
/// (Each caller says by a tag of its own who relies on it: in the models it is weakened there.)
#[inline]
#[cfg_attr(filch_loom, track_caller)]
pub(crate) fn notify_fence() {
    // [notify-fence] partner: announce-fence, stop-fence.
    fence(Ordering::SeqCst);
}
