//! What waits behind a worker that does not move is taken by one that does.
//!
//! A worker that has run out of work steals ([`search`](super::search)). But where more threads want to run than there are
//! processors, the kernel puts a worker aside, for as long as a slice of somebody else takes: 3 ms. What is in its deque
//! waits meanwhile, and the others do not miss it if sockets or timers bring them more all the time. So whoever takes a portion
//! of new work looks first at one other worker, in turn. If that one has begun no poll for a while, what waits behind it has waited
//! for longer than most of what is new, and goes into the deque before that. (Or it computes for long: then it is as well.)
//!
//! It is two or three loads for each portion, of lines that the other one writes, and a look at the clock if something is there; no
//! tasks but those that any thief might take, as a thief takes them; and no more than a hint decides, so no ordering is needed.
//!
//! **Rescued tasks are announced anew.** Somebody may have been told of them already, or relied upon to find them; now they are where
//! that one does not look again, and the next poll here may take long. So who rescues tells somebody as if it had pushed them. And it
//! keeps no batch to itself: a searcher, which tells nobody until it leaves the search, counts its own deque then.
//!
//! Measured with one thread that asks beside two workers on two processors, the 99th percentile of latency as a share of
//! tokio's, in turn, two to four rounds each: 64 connections to an HTTP server 2.8 and 2.5 (1.0 to 3.3) without this, 0.87 and 0.90 (0.78 to
//! 0.93) with it; 1,000 to a server that echoes 0.35 and 0.41, then 0.23 and 0.26. With one half of the deque at each look, instead of up to
//! four: 0.88, and 0.42. With `LONG`, besides: 0.78 for HTTP.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::Worker;
use super::search::STEAL;
use crate::scheduler::queue::Steal;
use crate::scheduler::table::Entry;

/// How often half of the deque is taken, at most.
const HALVES: u32 = 4;

/// For so long it has to be in one poll. (Looks may come every microsecond: while a hundred thousand timers fire, each brings more. Who
/// has not moved for that long fetches work itself, perhaps; robbed of it, both do nothing else.)
const LONG: Duration = Duration::from_micros(20);

/// Whom this worker has an eye on.
#[derive(Debug)]
pub(super) struct Watch {
    index: Cell<usize>,
    /// How many polls had begun there.
    polls: Cell<u64>,
    /// When it was first seen in that poll with something behind it. (The clock is not read before.)
    since: Cell<Option<Instant>>,
}

impl Watch {
    /// Nobody yet: the first look only finds somebody.
    pub(super) fn new(own_index: usize) -> Watch {
        Watch { index: Cell::new(own_index), polls: Cell::new(0), since: Cell::new(None) }
    }
}

impl Worker {
    /// Before it takes a portion of new work: puts into its own deque what waits behind a worker that does not move. `true`: there
    /// was something, and it is still to be [announced](Worker::announce_rescued).
    #[must_use]
    pub(super) fn rescue(&self) -> bool {
        let watched = self.other(self.watch.index.get());
        match watched.filter(|entry| entry.polls() == self.watch.polls.get()) {
            Some(entry) if !entry.stealer.is_empty() || entry.shows_loot() => {
                let now = crate::primitive::now();
                let since = self.watch.since.get().unwrap_or(now);
                self.watch.since.set(Some(since));
                now - since >= LONG && self.take_halves_from(entry)
            }
            _ => {
                self.watch_next();
                false
            }
        }
    }

    /// After the portion was taken.
    #[cold]
    pub(super) fn announce_rescued(&self) {
        self.set_batch(None);
        // (A searcher wakes nobody by this, but when it leaves the search.)
        self.notify();
    }

    #[cold]
    fn take_halves_from(&self, entry: &Entry) -> bool {
        let (before, mut steals) = (self.queue.len(), 0);
        for _ in 0..HALVES {
            match entry.stealer.steal_batch(&self.queue, STEAL) {
                Steal::Success(()) => steals += 1,
                // Another thief has just come, or the worker itself is back.
                Steal::Retry | Steal::Empty => break,
            }
        }
        // If the monitor has opened it.
        if let Some(task) = entry.slot.steal() {
            self.queue.push(task);
            steals += 1;
        }
        self.entry.tally.steals.add(steals);
        // (Too few, if thieves have been here meanwhile.)
        self.entry.tally.stolen.add(self.queue.len().saturating_sub(before) as u64);
        steals > 0
    }

    fn watch_next(&self) {
        let (from, count) = (self.watch.index.get(), self.table.entries.len());
        let mut others = (1..=count).map(|i| (from + i) % count);
        if let Some((index, entry)) = others.find_map(|i| Some((i, self.other(i)?))) {
            self.watch.index.set(index);
            self.watch.polls.set(entry.polls());
            self.watch.since.set(None);
        }
    }

    fn other(&self, index: usize) -> Option<&Entry> {
        let entry = self.table.entries[index].get()?;
        (index != self.index).then_some(entry)
    }
}

#[cfg(all(test, not(filch_loom)))]
mod tests {
    use std::panic::Location;
    use std::sync::Arc;

    use super::*;
    use crate::scheduler::{OnWorkers, Scheduler, Table};
    use crate::task::{Runnable, cell};

    /// Workers that do not run.
    struct Rescue {
        scheduler: &'static Scheduler,
        workers: Vec<Worker>,
    }

    impl Rescue {
        fn new(workers: usize) -> Rescue {
            let scheduler = Scheduler::obtain(workers);
            let table = Arc::new(Table::new(workers));
            let workers = (0..workers)
                .map(|index| Worker::new(scheduler, Arc::clone(&table), index, None))
                .collect();
            Rescue { scheduler, workers }
        }

        fn task(&self) -> Runnable {
            let site = Location::caller();
            let new = cell::Spawn { owner: self.scheduler, site, home: None, extra: None };
            let (task, handle) = cell::spawn::<OnWorkers, _>(async {}, new);
            drop(handle);
            task
        }

        /// The worker begins a poll, with so many tasks behind it.
        fn begin(&self, worker: usize, waiting: usize) {
            let task = self.task();
            self.workers[worker].entry.polling.set(task.header());
            (0..waiting).for_each(|_| self.workers[worker].queue.push(self.task()));
        }

        /// A look after a while.
        fn rescue(&self, worker: usize) -> usize {
            let worker = &self.workers[worker];
            let before = worker.queue.len();
            if let Some(since) = worker.watch.since.get() {
                worker.watch.since.set(since.checked_sub(LONG));
            }
            let rescued = worker.rescue();
            let taken = worker.queue.len() - before;
            assert_eq!(rescued, taken > 0);
            taken
        }

        /// Who is next, from the first to the last.
        fn order(&self, worker: usize) -> Vec<u64> {
            let queue = &self.workers[worker].queue;
            std::iter::from_fn(|| queue.pop()).map(|task| task.header().id().as_u64()).collect()
        }
    }

    impl Drop for Rescue {
        fn drop(&mut self) {
            self.workers.iter().for_each(|worker| while worker.queue.pop().is_some() {});
            self.scheduler.seal();
            self.scheduler.give_back();
        }
    }

    #[test]
    fn what_waits_behind_a_worker_in_the_same_poll_is_taken_behind_what_one_has() {
        let this = Rescue::new(2);
        let me = &this.workers[0];
        me.queue.push(this.task());
        this.begin(1, 10);
        assert_eq!(this.rescue(0), 0, "it was not seen before");
        assert_eq!(this.rescue(0), 0, "now it was");
        me.watch.since.set(Some(Instant::now() + Duration::from_secs(3600)));
        assert!(!me.rescue(), "not long ago");
        me.watch.since.set(Some(Instant::now()));
        // Halves: 5, 3 of the other 5, then one and one.
        assert_eq!(this.rescue(0), 10);
        assert_eq!((me.entry.tally.steals.get(), me.entry.tally.stolen.get()), (4, 10));
        let order = this.order(0);
        assert_eq!(order.len(), 11);
        assert!(order.is_sorted(), "{order:?}");
    }

    #[test]
    fn a_worker_that_moves_keeps_its_tasks() {
        let this = Rescue::new(2);
        let me = &this.workers[0];
        for _ in 0..10 {
            this.begin(1, 1);
            assert_eq!(this.rescue(0), 0);
        }
        assert_eq!(this.workers[1].queue.len(), 10);
        assert!(me.queue.is_empty());
    }

    #[test]
    fn every_other_worker_has_its_turn_and_one_that_has_nothing_passes_it_on() {
        let this = Rescue::new(4);
        this.begin(0, 100);
        this.begin(3, 2);
        // Number 2 sleeps. Who it sees first is in the way of nobody.
        let taken: Vec<_> = (0..12).map(|_| this.rescue(1)).collect();
        assert_eq!(taken.iter().sum::<usize>(), 102, "{taken:?}");
        assert!(taken.contains(&2), "{taken:?}");
        assert_eq!(this.workers[0].queue.len() + this.workers[3].queue.len(), 0);
    }

    #[test]
    fn a_worker_alone_has_nobody_to_look_at() {
        let this = Rescue::new(1);
        this.begin(0, 5);
        assert_eq!([0; 4].map(|worker| this.rescue(worker)), [0; 4]);
        assert_eq!(this.workers[0].queue.len(), 5);
    }
}
