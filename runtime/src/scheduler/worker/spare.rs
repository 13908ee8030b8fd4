//! Spare workers: they come while others are stuck in a poll, and go when they are not needed any more.
//!
//! A spare worker is a worker like any other, with a deque of its own: nobody ever takes over another's. It differs in
//! two things. It is no home for tasks that must stay on one thread, since it leaves again. And when it is dismissed
//! it *rests*: outside the mask of sleepers, so that nobody wakes it for a push, with an empty deque and slot, until
//! the monitor summons it or the runtime ends.
//!
//! Nothing is lost when it goes: what it has goes to the injector, with a notice, as if it came from outside.
//! What a notifier left to it as a searcher it looks for like any searcher that leaves. And while it is on its way
//! to sleep it looks, after the announcement, whether it was dismissed; the monitor dismisses it and *then* looks whether
//! it sleeps. Whoever waits until all workers sleep, because the runtime drains, is told when one rests: it may have been
//! the last that was awake.

use std::rc::Rc;

use super::{HERE, Here, Open, WORKERS_PER_SET, Worker};
use crate::scheduler::Scheduler;
use crate::scheduler::sleep::notify_fence;
use crate::scheduler::table::Entry;
use crate::task::polling::{self, Blocking};

impl Worker {
    /// Not needed any more. (Never at the end of the runtime, when all hands drop tasks.)
    #[inline]
    pub(super) fn is_dismissed(&self) -> bool {
        #[cfg(filch_loom)] // A twin rests although the runtime ends.
        if crate::primitive::seeded("rest-for-ever") {
            return self.is_spare && !self.entry.is_summoned();
        }
        self.is_spare && !self.entry.is_summoned() && !self.scheduler.is_closing()
    }

    /// Until it is needed again.
    #[cold]
    pub(super) fn rest(&self) {
        while let Some(task) = self.entry.slot.take().or_else(|| self.queue.pop()) {
            #[cfg(filch_loom)] // A twin tells nobody.
            if crate::primitive::seeded("hand-over-silently") {
                drop(self.scheduler.sets[0].injector.push(task));
                continue;
            }
            self.scheduler.push_from_outside(task);
        }
        if self.care.stop_searching() {
            #[cfg(filch_loom)] // A twin forgets what a notifier left to it.
            if crate::primitive::seeded("rest-without-a-look") {
                let _ = self.set().sleep.stop_search();
            } else {
                self.stop_search();
            }
            #[cfg(not(filch_loom))]
            self.stop_search();
        }
        // If it comes from the driver, others may sleep on their futexes.
        self.scheduler.turn_is_free();
        self.entry.polling.clear();
        let (sleep, bit) = (&self.set().sleep, self.index % WORKERS_PER_SET);
        self.scheduler.is_one_less(self.index);
        while self.is_dismissed() {
            sleep.rest(bit);
        }
        #[cfg(filch_loom)] // A twin relies on the monitor.
        if crate::primitive::seeded("come-back-uncounted") {
            return;
        }
        // (The monitor has done so, too, but perhaps before this worker took itself out.)
        sleep.change_member(bit, true);
    }
}

impl Scheduler {
    /// By the monitor: this spare worker is to work. (If it has no thread yet, the monitor starts one after this.)
    pub(in crate::scheduler) fn summon(&self, index: usize, entry: Option<&Entry>) {
        let (sleep, bit) = (&self.sets[index / WORKERS_PER_SET].sleep, index % WORKERS_PER_SET);
        sleep.change_member(bit, true);
        if let Some(entry) = entry {
            entry.summon(true);
            #[cfg(filch_loom)] // A twin lets it rest.
            if crate::primitive::seeded("summon-silently") {
                return;
            }
            sleep.end_rest(bit);
        }
    }

    /// By the monitor: it did not come.
    pub(in crate::scheduler) fn summon_failed(&self, index: usize) {
        self.is_one_less(index);
    }

    /// This spare worker is none any more. If all the others sleep, they do so from now on, and whoever
    /// drains the runtime is to hear of it: none of them says so again.
    fn is_one_less(&self, index: usize) {
        let sleep = &self.sets[index / WORKERS_PER_SET].sleep;
        sleep.change_member(index % WORKERS_PER_SET, false);
        #[cfg(filch_loom)] // A twin goes without a word.
        if crate::primitive::seeded("rest-unheard") {
            return;
        }
        // [leave-fence] partner: drain-fence.
        notify_fence();
        if self.is_draining() {
            self.hint_drained();
        }
    }

    /// By the monitor: this spare worker may rest.
    pub(in crate::scheduler) fn dismiss(&self, index: usize, entry: &Entry) {
        let (sleep, bit) = (&self.sets[index / WORKERS_PER_SET].sleep, index % WORKERS_PER_SET);
        entry.summon(false);
        // [dismiss-fence] partner: announce-fence.
        notify_fence();
        self.woken(sleep.notify(bit));
    }
}

/// Runs a call that blocks, or computes for long. What waits here is for everybody meanwhile, and what the
/// call itself wakes or spawns takes the way from outside.
pub(crate) fn block_in_place<R>(f: impl FnOnce() -> R) -> R {
    /// Also if the call panics.
    struct Back(Rc<Worker>, Open, Blocking);
    impl Drop for Back {
        fn drop(&mut self) {
            polling::set_blocking(self.2);
            self.0.entry.give_way(false);
            self.0.open.set(self.1);
        }
    }
    let worker = HERE.with(|here| match &*here.borrow() {
        Here::Worker(worker) if worker.open.get() != Open::Shut => Some(Rc::clone(worker)),
        _ => None,
    });
    let _back = worker.map(|worker| {
        let open = worker.open.replace(Open::Shut);
        if let Some(task) = worker.entry.slot.take() {
            worker.queue.push(task);
        }
        worker.entry.give_way(true);
        #[cfg(filch_loom)] // A twin leaves it to the monitor.
        if !crate::primitive::seeded("block-silently") {
            worker.notify();
        }
        #[cfg(not(filch_loom))]
        worker.notify();
        worker.scheduler.monitor.call_now();
        Back(worker, open, polling::set_blocking(Blocking::Allowed))
    });
    f()
}

#[cfg(all(filch_loom, not(filch_shuttle)))]
#[path = "../../../../loom-tests/src/models/spare.rs"]
#[allow(missing_docs)]
pub mod models;
