//! From "this task can run" to a worker that polls it.
//!
//! ```text
//!  spawn ─┐                 ┌─ on a worker ──► LIFO slot, or its deque ─┐
//!  wake  ─┼─► schedule() ───┼─ in a batch ───► what is due ─────────────┼─► notify ─► a worker
//!  abort ─┘                 └─ elsewhere ────► an injector ─────────────┘
//! ```
//!
//! [`queue`] is the deque, [`slot`] the task that runs next, [`injector`] the way in from
//! outside, [`due`] what the timer brings, [`park`], [`patience`] and [`sleep`] decide how, when and who sleeps, and who is woken,
//! [`live`] knows who waits, [`monitor`] helps when a poll takes long, [`table`] shows the workers to each other, [`tally`] is what they
//! count and [`sample`] what is measured now and then, [`quiet`] notices when nothing can happen any more, and [`worker`] is the loop. All wake-ups of tasks meet in [`schedule`].

pub(crate) mod due;
mod hooks;
pub(crate) mod injector;
pub(crate) mod live;
pub(crate) mod monitor;
mod os_thread;
pub(crate) mod park;
mod patience;
pub(crate) mod queue;
pub(crate) mod quiet;
pub(crate) mod root;
mod sample;
pub(crate) mod sleep;
pub(crate) mod slot;
pub(crate) mod stall;
pub(crate) mod table;
pub(crate) mod tally;
pub(crate) mod worker;

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;

use self::due::Due;
pub(crate) use self::hooks::{Jobs, OnUnhandled};
use self::injector::Injector;
use self::live::{Left, LiveList};
use self::monitor::Monitor;
use self::sample::Attention;
use self::sleep::{Notified, Sleep, WORKERS_PER_SET, notify_fence};
use self::table::Table;
use crate::error::JoinError;
use crate::io::Door;
use crate::primitive::unmodelled;
use crate::primitive::{AtomicUsize, Condvar, Mutex, Ordering, fence_after_exchange, global};
use crate::sys;
use crate::task::cell::{self, Closed, Job, Listed, Place, Stack, contained};
use crate::task::extra::Extra;
use crate::task::polling;
use crate::task::{Runnable, Schedule, TaskRef};

/// The part of a runtime that wakers touch. Never unmapped: a waker may come after the runtime
/// is gone, and what it then reads is at worst a word of the next runtime.
#[derive(Debug)]
pub(crate) struct Scheduler {
    sets: Box<[WorkerSet]>,
    /// What workers look at before each poll.
    attention: CachePadded<Attention>,
    /// To the I/O driver, once there is one.
    door: Arc<Door>,
    pub(crate) monitor: Monitor,
    /// One for each worker, then one for what `block_on` polls.
    lists: Box<[CachePadded<LiveList>]>,
    workers: AtomicUsize,
    /// Which injector, or list, is next for what comes from outside.
    turn: AtomicUsize,
    phase: AtomicUsize,
    /// Who drains the runtime sleeps here, until it is empty.
    drained: (Mutex<()>, Condvar),
    on_unhandled: std::sync::Mutex<Option<OnUnhandled>>,
    jobs: std::sync::Mutex<Option<Jobs>>,
    /// Which process this scheduler has its threads in (see [`sys::fork_generation`]).
    process: unmodelled::AtomicU32,
}

/// Where in its life a runtime is.
const OPEN: usize = 0;
const DRAINING: usize = 1;
const CLOSING: usize = 2;

/// Up to 32 workers that share a mask, and what is pushed to them.
#[derive(Debug)]
struct WorkerSet {
    sleep: CachePadded<Sleep>,
    injector: CachePadded<Injector>,
    /// What one turn of the timer woke: meant for one worker as a whole.
    due: CachePadded<Due>,
    /// For each worker, the tasks that only it may poll.
    inboxes: Box<[Stack]>,
}

global! {
    /// Schedulers whose runtime is gone.
    static SPARE: std::sync::Mutex<Vec<&'static Scheduler>> = std::sync::Mutex::new(Vec::new())
}

impl Scheduler {
    /// One that is free, or a new one.
    pub(crate) fn obtain(workers: usize) -> &'static Scheduler {
        // As many spare ones may come to help.
        let sets = (2 * workers).div_ceil(WORKERS_PER_SET);
        let spare = {
            let mut spare = SPARE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let found = spare.iter().position(|s| s.sets.len() == sets);
            found.map(|i| spare.swap_remove(i))
        };
        let scheduler: &'static Scheduler = match spare {
            Some(spare) => spare.reopen(),
            None => Box::leak(Box::new(Scheduler::new(sets))).with_alert(),
        };
        scheduler.workers.store(workers, Ordering::Relaxed);
        for (i, set) in scheduler.sets.iter().enumerate() {
            let first = i * WORKERS_PER_SET;
            set.sleep.set_members(workers.saturating_sub(first).min(WORKERS_PER_SET));
            // Workers begin awake, and nobody wakes them for their first task.
            set.sleep.watch();
        }
        scheduler.process.store(sys::fork_generation(), unmodelled::Ordering::Relaxed);
        scheduler
    }

    pub(crate) fn new(sets: usize) -> Scheduler {
        let door = Arc::new(Door::new());
        Scheduler {
            sets: (0..sets).map(|_| WorkerSet::new(Arc::clone(&door))).collect(),
            attention: CachePadded::new(Attention::new()),
            door,
            monitor: Monitor::default(),
            lists: (0..=sets * WORKERS_PER_SET).map(|_| CachePadded::default()).collect(),
            workers: AtomicUsize::new(0),
            turn: AtomicUsize::new(0),
            phase: AtomicUsize::new(OPEN),
            drained: (Mutex::new(()), Condvar::new()),
            on_unhandled: std::sync::Mutex::new(None),
            jobs: std::sync::Mutex::new(None),
            process: unmodelled::AtomicU32::new(sys::fork_generation()),
        }
    }

    /// Whoever opens the door to the driver sees to it that somebody sleeps there.
    fn with_alert(&'static self) -> &'static Scheduler {
        self.door.set_alert(|| {
            #[cfg(filch_loom)] // A twin has no fence.
            if crate::primitive::seeded("alert-without-fence") {
                return self.notify(0);
            }
            self.turn_is_free();
        });
        self
    }

    /// Somebody may have missed the driver's turn on its way to sleep, because of one who had it and does not sleep
    /// there later: one of those that sleep looks again.
    fn turn_is_free(&self) {
        if self.door.is_used() {
            // [turn-fence] partner: announce-fence.
            notify_fence();
            self.notify(0);
        }
    }

    /// To the I/O driver.
    pub(crate) fn door(&'static self) -> &'static Door {
        &self.door
    }

    /// Who is told of panics that nobody asks for; before the first task.
    pub(crate) fn set_on_unhandled(&self, hook: Option<OnUnhandled>) {
        let mut place = self.on_unhandled.lock().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *place, hook);
        drop(place);
        contained(|| drop(old));
    }

    /// A task has panicked, and its result was dropped: the only place where that is done is
    /// `drop_output` in the task's cell, which runs once for each result that nobody took, be it at
    /// the end of the task (its handle is gone) or with the handle (the task has ended).
    ///
    /// A handle may outlive its runtime. What it then finds here is the next runtime's hook, if this
    /// scheduler serves one: a wrong address, but the right error, and nothing a task would have to pay for.
    fn unhandled(&self, error: &JoinError) {
        let _outside = polling::outside();
        // Cloned, so that the hook runs outside the lock.
        let hook = self.on_unhandled.lock().unwrap_or_else(PoisonError::into_inner).clone();
        contained(|| match &hook {
            Some(hook) => (hook.0)(error),
            None => eprintln!("filch: nobody awaited it: {error}"),
        });
        contained(|| drop(hook));
    }

    /// Who is told when a blocking job is asked to end.
    pub(crate) fn set_jobs(&self, jobs: Option<Jobs>) {
        let mut place = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *place, jobs);
        drop(place);
        drop(old);
    }

    pub(crate) fn job_requested(&self, job: &TaskRef) {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        jobs.iter().for_each(|jobs| (jobs.0)(job));
    }

    /// The next runtime begins. (Not before: what comes in between, by an old handle, is refused.)
    fn reopen(&'static self) -> &'static Scheduler {
        for set in &self.sets {
            set.injector.reopen();
            set.due.reopen();
            set.inboxes.iter().for_each(Stack::reopen);
        }
        self.lists.iter().for_each(|list| list.reopen());
        self.door.reopen();
        self.attention.reset();
        self.phase.store(OPEN, Ordering::Relaxed);
        self
    }

    /// The runtime is gone: no task of it is incomplete, no worker and no handle left.
    pub(crate) fn give_back(&'static self) {
        self.set_on_unhandled(None);
        self.set_jobs(None);
        self.monitor.set_unpark(None);
        SPARE.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(self);
    }

    /// The threads of a forked process exist only in its parent: says so, instead of queueing
    /// tasks that nobody will ever poll.
    #[track_caller]
    pub(crate) fn assert_same_process(&self) {
        assert!(
            self.process.load(unmodelled::Ordering::Relaxed) == sys::fork_generation(),
            "this process was forked after the runtime was made: the runtime's threads exist \
             only in the parent; make a new filch::Runtime in the child (or fork before the first one)"
        );
    }

    pub(crate) fn workers(&self) -> usize {
        self.workers.load(Ordering::Relaxed)
    }

    /// The list of tasks that `block_on` polls on threads that are no workers.
    fn outside_list(&self) -> u16 {
        (self.lists.len() - 1) as u16
    }

    /// Some worker's list.
    fn some_list(&self) -> u16 {
        (self.turn.fetch_add(1, Ordering::Relaxed) % self.workers()) as u16
    }

    /// Nobody has asked it to end.
    pub(crate) fn is_open(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == OPEN
    }

    /// Nothing is polled any more, everything dropped.
    pub(crate) fn is_closing(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == CLOSING
    }

    /// All tasks were asked to end, and new ones are as soon as they wait.
    pub(crate) fn is_draining(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == DRAINING
    }

    /// A push from outside the workers, or from a worker of another runtime.
    fn push_from_outside(&self, task: Runnable) {
        let set = self.next_set();
        self.follow_some(&task);
        match self.sets[set].injector.push(task) {
            Ok(()) => {
                // [inject-fence] partner: announce-fence, stop-fence.
                fence_after_exchange();
                self.notify(set);
            }
            // Every worker has left: nobody will ever poll it.
            Err(task) => drop(task),
        }
    }

    fn next_set(&self) -> usize {
        // (In the others there are only spare workers.)
        let sets = self.workers().div_ceil(WORKERS_PER_SET);
        if sets == 1 { 0 } else { self.turn.fetch_add(1, Ordering::Relaxed) % sets }
    }

    /// What a turn of the timer woke, all at once: one push, one fence, one wake-up.
    fn push_due(&self, mut tasks: Vec<Runnable>) {
        let set = self.next_set();
        self.follow_one(&tasks);
        if self.sets[set].due.push_all(&mut tasks) {
            // [due-fence] partner: announce-fence, stop-fence.
            notify_fence();
            self.notify(set);
        }
    }

    /// Wakes one worker, if none is looking for work. After a push and [`notify_fence`].
    #[inline]
    fn notify(&self, first: usize) {
        match self.sets[first].sleep.notify_one() {
            Notified::AllBusy if self.sets.len() > 1 => self.notify_others(first),
            notified => self.woken(notified),
        }
    }

    #[cold]
    fn notify_others(&self, first: usize) {
        let count = self.sets.len();
        for i in 1..count {
            match self.sets[(first + i) % count].sleep.notify_one() {
                Notified::AllBusy => {}
                notified => return self.woken(notified),
            }
        }
    }

    /// After somebody was woken, or woke up by itself.
    #[inline]
    fn woken(&self, notified: Notified) {
        if notified == Notified::Unwatched {
            self.monitor.call();
        }
    }

    /// Is every worker parked, and nothing on its way to one? (For [`quiet`].)
    fn is_still(&self) -> bool {
        self.sets.iter().all(|set| {
            set.sleep.are_all_parked()
                && set.injector.is_empty()
                && set.due.is_empty()
                && set.inboxes.iter().all(Stack::is_empty)
        })
    }

    /// A look at every source. `except`: this worker's own deque does not count.
    fn is_work_visible(&self, table: &Table, except: Option<usize>) -> bool {
        self.sets.iter().any(|set| !set.injector.is_empty() || !set.due.is_empty())
            || table.entries().any(|(i, entry)| {
                Some(i) != except && !entry.stealer.is_empty() || entry.shows_loot()
            })
    }

    fn is_watched(&self) -> bool {
        self.sets.iter().any(|set| set.sleep.is_watched())
    }

    /// The monitor stops, unless somebody is awake.
    fn stop_watching(&self) -> bool {
        let stopped = self.sets.iter().all(|set| set.sleep.stop_watching());
        if !stopped {
            // Those of whom it looked away meanwhile: who wakes up there now need not call.
            self.sets.iter().for_each(|set| set.sleep.watch());
        }
        stopped
    }

    fn is_anybody_searching(&self) -> bool {
        self.sets.iter().any(|set| set.sleep.is_anybody_searching())
    }

    fn is_anybody_parked(&self) -> bool {
        self.sets.iter().any(|set| set.sleep.is_anybody_parked())
    }

    /// Where a task that must not move is at home: here, if this is a worker; else each in turn.
    pub(crate) fn choose_home(&'static self) -> u16 {
        // A spare worker leaves again, so it cannot be a home.
        let here = worker::current_list(self).filter(|&here| usize::from(here) < self.workers());
        here.unwrap_or_else(|| self.some_list())
    }

    /// Puts a task where only its home looks.
    fn push_home(&self, task: Runnable, home: usize) {
        let (set, index) = (home / WORKERS_PER_SET, home % WORKERS_PER_SET);
        self.follow_some(&task);
        match self.sets[set].inboxes[index].push(task) {
            Ok(()) => {
                // [home-fence] partner: announce-fence.
                fence_after_exchange();
                self.woken(self.sets[set].sleep.notify(index));
            }
            // Its home has left, so it was never started: see `spawn_local.rs`.
            Err(task) => drop(task),
        }
    }

    fn track(&self, task: Listed, list: u16) -> Result<Place, (Closed, Listed)> {
        let live = &self.lists[usize::from(list)];
        let slot = live.insert(task)?;
        if self.is_draining() {
            // Born too late for `drain`, which has been through this list (its lock shows that the
            // runtime is draining to whoever enters after it).
            live.task(slot).shut();
        }
        Ok(Place { slot, list })
    }

    fn untrack(&'static self, place: Place) -> Listed {
        let (task, left) = self.lists[usize::from(place.list)].remove(place.slot);
        if left == Left::ClosedAndEmpty {
            // Workers that wait for the last task to end look again.
            self.notify_all();
        }
        if self.is_draining() && worker::current_list(self).is_none() {
            // An eager task, perhaps: no worker parks after this.
            self.hint_drained();
        }
        task
    }

    fn notify_all(&self) {
        self.sets.iter().for_each(|set| set.sleep.notify_all());
    }

    /// Visits every task that has been polled and has not ended.
    pub(crate) fn for_each_task(&self, mut visit: impl FnMut(TaskRef)) {
        self.lists.iter().for_each(|list| list.for_each(&mut visit));
    }

    /// Asks all tasks to end, and goes on polling them: their cleanups may take a while. What waits is
    /// asked now, what was not started yet by the worker that takes it, and what is born from now
    /// on when it first waits.
    pub(crate) fn drain(&self) {
        self.phase.store(DRAINING, Ordering::Relaxed);
        self.attention.draw();
        for list in &self.lists[..self.lists.len() - 1] {
            list.for_each(|task| {
                task.shut();
            });
        }
        // A worker that parks now sees that the runtime drains, or whoever waits sees its bit.
        // [drain-fence] partner: announce-fence.
        notify_fence();
    }

    /// Waits until no task is left, or the time is up.
    pub(crate) fn wait_until_drained(&self, limit: Option<Instant>) -> bool {
        let (lock, changed) = &self.drained;
        let mut guard = lock.lock();
        loop {
            if self.no_task_waits() && self.is_still() {
                return true;
            }
            let left = limit.map_or(Duration::MAX, |limit| {
                limit.saturating_duration_since(crate::primitive::now())
            });
            if left.is_zero() {
                return false;
            }
            (guard, _) = changed.wait_timeout(guard, left);
        }
    }

    /// A worker of a runtime that drains has found no work and is about to park. (Its bit is set
    /// before this, and whoever waits looks at the bits under the lock before it sleeps: the last worker's call
    /// is not missed.)
    fn hint_drained(&self) {
        let (lock, changed) = &self.drained;
        drop(lock.lock());
        changed.notify_all();
    }

    /// Begins the end: from here on nothing is polled, everything is dropped by the workers.
    /// They leave when nothing is left (see [`worker`]).
    pub(crate) fn close(&self) {
        self.phase.store(CLOSING, Ordering::Relaxed);
        self.attention.draw();
        let lists = &self.lists[..self.lists.len() - 1];
        lists.iter().for_each(|list| list.close());
        // A task whose list was closed before it parked is refused there; all others are listed.
        for list in lists {
            list.for_each(|task| {
                if !task.shut() {
                    // It has ended, but is held back: it looks again, and waits no longer.
                    task.wake();
                }
            });
        }
        // [close-fence] partner: announce-fence.
        notify_fence();
        self.notify_all();
    }

    /// Have all tasks ended that were ever parked?
    fn no_task_waits(&self) -> bool {
        self.lists[..self.lists.len() - 1].iter().all(|list| list.is_empty())
    }

    /// The last worker has left: whatever still comes in is refused, what came before dropped.
    /// (In an inbox that is only what was never started: see `spawn_local.rs`.)
    pub(crate) fn seal(&self) {
        for set in &self.sets {
            drop(set.injector.close());
            drop(set.due.close());
            set.inboxes.iter().for_each(|inbox| drop(inbox.close()));
        }
        self.door.close();
    }
}

impl WorkerSet {
    fn new(door: Arc<Door>) -> WorkerSet {
        WorkerSet {
            sleep: CachePadded::new(Sleep::new(Some(door))),
            injector: CachePadded::new(Injector::new()),
            due: CachePadded::new(Due::new()),
            inboxes: (0..WORKERS_PER_SET).map(|_| Stack::new()).collect(),
        }
    }
}

/// Tasks that any worker may poll.
#[derive(Debug)]
pub(crate) enum OnWorkers {}

impl Schedule for OnWorkers {
    type Owner = Scheduler;

    fn schedule(owner: &'static Scheduler, task: Runnable) {
        schedule(owner, task, Cause::Wake);
    }

    fn track(owner: &'static Scheduler, task: Listed) -> Result<Place, (Closed, Listed)> {
        // A task that was started eagerly by a thread that is no worker enters a worker's list all the
        // same. The list for such threads will not do: it is for tasks that end with their `block_on`,
        // it is never closed, and no worker waits for what is in it. A worker's list may be entered
        // by anybody, for it is locked; and [`Scheduler::close`] closes it before it asks those who
        // are in it. So the task is either asked to end or refused here, and no worker leaves before
        // it has left its list.
        let list = worker::current_list(owner).unwrap_or_else(|| owner.some_list());
        owner.track(task, list)
    }

    fn untrack(owner: &'static Scheduler, place: Place) -> Listed {
        owner.untrack(place)
    }

    fn is_closing(owner: &'static Scheduler) -> bool {
        owner.is_closing()
    }

    fn later(owner: &'static Scheduler, job: Job) {
        /// Runs also if it is dropped: then there is no later any more.
        struct Soon(Option<Job>);
        impl Drop for Soon {
            fn drop(&mut self) {
                self.0.take().into_iter().for_each(|job| job());
            }
        }
        let (site, job) = (std::panic::Location::caller(), Soon(Some(job)));
        let new = cell::Spawn { owner, site, home: None, extra: Some(Extra::uncounted()) };
        let (task, join) = cell::spawn::<OnWorkers, _>(async { drop(job) }, new);
        drop(join);
        // It does not end unpolled when its runtime drains: a cleanup may count on it.
        task.mark_late();
        schedule(owner, task, Cause::Spawn);
    }

    fn unhandled(owner: &'static Scheduler, error: &JoinError) {
        owner.unhandled(error);
    }
}

/// Why a task can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Spawn,
    Wake,
}

/// Where all tasks that can run go through.
pub(crate) fn schedule(owner: &'static Scheduler, task: Runnable, cause: Cause) {
    #[cfg(all(test, not(filch_loom)))]
    PUSHES.set(PUSHES.get() + 1);
    if let Some(home) = task.home() {
        owner.push_home(task, usize::from(home));
    } else if let Some(task) = worker::push_here(owner, task, cause) {
        owner.push_from_outside(task);
    }
}

#[cfg(all(test, not(filch_loom)))]
std::thread_local! {
    /// How many tasks this thread has pushed.
    pub(crate) static PUSHES: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}
