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
//! it sleeps.

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
        self.is_spare && !self.entry.is_summoned() && !self.scheduler.is_closing()
    }

    /// Until it is needed again.
    #[cold]
    pub(super) fn rest(&self) {
        while let Some(task) = self.entry.slot.take().or_else(|| self.queue.pop()) {
            self.scheduler.push_from_outside(task);
        }
        if self.care.stop_searching() {
            self.stop_search();
        }
        // If it comes from the driver, others may sleep on their futexes.
        self.scheduler.turn_is_free();
        self.entry.polling.clear();
        let (sleep, bit) = (&self.set().sleep, self.index % WORKERS_PER_SET);
        sleep.change_member(bit, false);
        while self.is_dismissed() {
            sleep.rest(bit);
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
            sleep.end_rest(bit);
        }
    }

    /// By the monitor: it did not come.
    pub(in crate::scheduler) fn summon_failed(&self, index: usize) {
        let set = &self.sets[index / WORKERS_PER_SET];
        set.sleep.change_member(index % WORKERS_PER_SET, false);
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
        worker.notify();
        worker.scheduler.monitor.call_now();
        Back(worker, open, polling::set_blocking(Blocking::Allowed))
    });
    f()
}
