//! A worker without work of its own looks for that of others.

use super::Worker;
use crate::scheduler::queue::Steal;
use crate::scheduler::sleep::WORKERS_PER_SET;
use crate::task::Runnable;

/// A thief takes half of a deque, and no more than this.
pub(super) const STEAL: usize = 64;
/// How often a searcher goes round while races are being lost.
const ROUNDS: u32 = 4;

impl Worker {
    pub(super) fn find(&self) -> Option<Runnable> {
        if !self.care.is_searching() {
            if !self.set().sleep.start_search(self.set().sleep.members()) {
                return None;
            }
            self.care.search();
        }
        for _ in 0..ROUNDS {
            if let Some(task) = self.look_outside() {
                return Some(task);
            }
            match self.steal() {
                Steal::Success(task) => return Some(task),
                Steal::Empty => break,
                Steal::Retry => std::hint::spin_loop(),
            }
        }
        None
    }

    fn steal(&self) -> Steal<Runnable> {
        let mut retry = false;
        let count = self.table.entries.len();
        let start = self.random() as usize % count;
        for i in 0..count {
            let victim = (start + i) % count;
            let Some(entry) = self.table.entries[victim].get() else { continue };
            if victim == self.index {
                continue;
            }
            if !entry.stealer.is_empty() {
                let before = self.queue.len();
                match entry.stealer.steal_batch_and_pop(&self.queue, STEAL) {
                    Steal::Success(task) => {
                        // (What others have stolen again is not counted.)
                        let more = self.queue.len().saturating_sub(before);
                        self.entry.tally.stolen.add(more as u64 + 1);
                        self.entry.tally.steals.add(1);
                        return Steal::Success(task);
                    }
                    Steal::Retry => retry = true,
                    Steal::Empty => {}
                }
            }
            if let Some(task) = entry.slot.steal() {
                self.entry.tally.stolen.add(1);
                self.entry.tally.steals.add(1);
                return Steal::Success(task);
            }
        }
        if retry { Steal::Retry } else { Steal::Empty }
    }

    /// With a task in hand, leaves the searchers. The last one sees to it that nothing is left
    /// that a notifier relied on it for.
    pub(super) fn stop_search(&self) {
        // The rest of a batch is meant for this worker alone.
        let own = self.batch.get().is_none();
        if self.set().sleep.stop_search() && self.is_work_visible(own) {
            self.scheduler.notify(self.index / WORKERS_PER_SET);
        }
    }

    /// A look at every source. `own`: this worker's own deque counts.
    pub(super) fn is_work_visible(&self, own: bool) -> bool {
        #[cfg(filch_shuttle)] // A twin does not look again when it has announced that it sleeps.
        if own && crate::primitive::seeded("no-recheck") {
            return false;
        }
        self.scheduler.is_work_visible(&self.table, (!own).then_some(self.index))
    }

    /// xorshift: good enough to spread thieves.
    fn random(&self) -> u32 {
        let mut x = self.seed.get();
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        self.seed.set(x);
        x
    }
}
