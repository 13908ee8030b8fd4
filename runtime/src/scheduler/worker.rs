//! The worker: one loop that finds a task and polls it.
//!
//! ```text
//! while let Some(task) = next() { execute(task) }
//!
//! next:  own work      inbox and injector now and then, LIFO slot, deque
//!        or else find  what the timer brought, injectors, other workers' deques
//!        or else park  until there is work, or until the runtime has ended
//! ```

mod care;
mod events;
mod rescue;
mod search;
mod spare;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;

use self::care::{Care, Open};
use self::events::Events;
use self::rescue::Watch;
pub(crate) use self::spare::block_in_place;
#[cfg(all(filch_loom, not(filch_shuttle)))]
pub use self::spare::models;
use super::queue::Queue;
use super::quiet::Quiet;
use super::sleep::{WORKERS_PER_SET, notify_fence};
use super::slot;
use super::table::{Entry, Table};
use super::{Cause, Scheduler, WorkerSet};
use crate::primitive::tls;
use crate::task::cell::Chain;
use crate::task::polling::{self, Blocking};
use crate::task::{Ending, Ran, Runnable};

/// What the timer brought is taken by one worker up to this many tasks.
const DUE: usize = 256;
/// What came in from outside is shared out in portions of at most this many: who takes more lets the others wait.
const INJECTED: usize = 64;
/// How long a batch from the timer may keep the others asleep.
const BATCH_ALONE: Duration = Duration::from_micros(30);
/// After how many polls the injectors are looked at. (With 61 and single pops, as elsewhere, tasks from outside wait 75 µs beside busy
/// workers; with this 0.2 µs. With 8 instead of 4 a yield costs 3 % less, and they wait 1.5 times as long: `spawn_many_remote_busy2`.)
const LOOK_EVERY: u32 = 4;

/// A worker's own side: it stays on its thread.
#[derive(Debug)]
pub(crate) struct Worker {
    scheduler: &'static Scheduler,
    table: Arc<Table>,
    /// This worker's own entry in the table.
    entry: Arc<CachePadded<Entry>>,
    /// Among all workers of the runtime.
    index: usize,
    queue: Queue<Runnable>,
    /// Taken out of the inbox: tasks at home here.
    mine: RefCell<Chain>,
    inbox_first: Cell<bool>,
    /// When to look at the injectors next.
    next_look: Cell<u32>,
    /// Tasks in a row that came from the slot.
    from_slot: Cell<u32>,
    /// Tasks that yielded wait in the deque, and nobody was told yet.
    owes_notice: Cell<bool>,
    /// What is to be done around the next poll: nothing, nearly always.
    care: Care,
    /// What is being worked on here without the others.
    batch: Cell<Option<Alone>>,
    events: Events,
    watch: Watch,
    /// It came to help out, and goes again.
    is_spare: bool,
    /// Where to start stealing.
    seed: Cell<u32>,
    /// A task is being polled here, and what it pushes may go into slot and deque. At all other
    /// times the deque may be in the middle of something: it runs foreign destructors now and then
    /// (crossbeam frees memory for everybody who uses its epochs), and what those wake or spawn
    /// must take the way from outside.
    open: Cell<Open>,
    /// With a manual clock: who is awake.
    quiet: Option<Arc<Quiet>>,
}

/// A batch of tasks that one worker works on, while others may sleep.
#[derive(Debug, Clone, Copy)]
struct Alone {
    since: Instant,
    limit: Duration,
    most: usize,
}

impl Alone {
    /// From now on: until the limit has passed, or if more than `most` wait.
    fn new(limit: Duration, most: usize) -> Alone {
        Alone { since: crate::primitive::now(), limit, most }
    }

    fn again(self) -> Alone {
        Alone { since: crate::primitive::now(), ..self }
    }
}

/// What this thread is to the scheduler.
#[derive(Debug)]
enum Here {
    Elsewhere,
    Worker(Rc<Worker>),
    Batch(Batch),
}

/// The timer wakes tasks, and they are pushed together afterwards.
#[derive(Debug, Default)]
struct Batch {
    scheduler: Cell<Option<&'static Scheduler>>,
    tasks: RefCell<Vec<Runnable>>,
}

tls! { static HERE: RefCell<Here> = RefCell::new(Here::Elsewhere) }

/// Puts a task where this thread keeps its tasks; gives it back if this is not the place.
pub(crate) fn push_here(
    owner: &'static Scheduler,
    task: Runnable,
    cause: Cause,
) -> Option<Runnable> {
    let mut task = Some(task);
    // A thread that is ending has no place any more.
    let _ = HERE.try_with(|here| match &*here.borrow() {
        Here::Worker(worker) if std::ptr::eq(worker.scheduler, owner) => {
            task = worker.push_here(task.take(), cause);
        }
        Here::Batch(batch) => {
            let first = batch.scheduler.get().unwrap_or(owner);
            batch.scheduler.set(Some(first));
            if std::ptr::eq(first, owner) {
                batch.tasks.borrow_mut().extend(task.take());
            }
        }
        _ => {}
    });
    task
}

/// The list of live tasks of this worker.
pub(crate) fn current_list(owner: &'static Scheduler) -> Option<u16> {
    current(owner).map(|index| index as u16)
}

/// Which worker of this scheduler the thread is.
fn current(owner: &'static Scheduler) -> Option<usize> {
    HERE.try_with(|here| match &*here.borrow() {
        Here::Worker(worker) if std::ptr::eq(worker.scheduler, owner) => Some(worker.index),
        _ => None,
    })
    .ok()
    .flatten()
}

/// A scope in which wake-ups are collected and then pushed together. On a worker it is
/// transparent: its own queue is the better place. What runs in it must not block: it may wait for
/// the very tasks that are only pushed at the end.
pub(crate) fn batch(wakes: &mut dyn FnMut()) {
    /// Pushes also when a waker panics.
    struct Flush(Blocking);
    impl Drop for Flush {
        fn drop(&mut self) {
            polling::set_blocking(self.0);
            if let Here::Batch(Batch { scheduler, tasks }) = HERE.replace(Here::Elsewhere) {
                if let Some(scheduler) = scheduler.get() {
                    scheduler.push_due(tasks.into_inner());
                }
            }
        }
    }
    let elsewhere = HERE.with(|here| matches!(&*here.borrow(), Here::Elsewhere));
    let _flush = elsewhere.then(|| {
        HERE.set(Here::Batch(Batch::default()));
        Flush(polling::set_blocking(Blocking::Refused))
    });
    wakes();
}

impl Worker {
    /// The worker of this index; enters it into the table.
    pub(crate) fn new(
        scheduler: &'static Scheduler,
        table: Arc<Table>,
        index: usize,
        quiet: Option<Arc<Quiet>>,
    ) -> Worker {
        let queue = Queue::new();
        let entry = Arc::new(CachePadded::new(Entry::new(queue.stealer())));
        let entered = table.entries[index].set(Arc::clone(&entry));
        assert!(entered.is_ok(), "two workers have the same index");
        Worker {
            scheduler,
            table,
            entry,
            index,
            queue,
            mine: RefCell::default(),
            inbox_first: Cell::new(false),
            next_look: Cell::new(LOOK_EVERY),
            from_slot: Cell::new(0),
            owes_notice: Cell::new(false),
            care: Care::new(),
            batch: Cell::new(None),
            events: Events::new(),
            watch: Watch::new(index),
            is_spare: index >= scheduler.workers(),
            seed: Cell::new(0x9e37_79b9 ^ index as u32),
            open: Cell::new(Open::Shut),
            quiet,
        }
    }

    /// Polls tasks until the runtime has ended.
    pub(crate) fn run(self) {
        let worker = Rc::new(self);
        let _never_unwinds = AbortOnUnwind;
        worker.entry.is_on_this_thread();
        polling::set_blocking(Blocking::Refused);
        HERE.set(Here::Worker(Rc::clone(&worker)));
        while let Some(mut task) = worker.next() {
            while let Some(joiner) = worker.execute(task) {
                task = joiner;
            }
        }
        // Of the tasks at home here none is both started and unfinished (see `spawn_local.rs`). What still
        // comes is dropped by whoever brings it.
        if !worker.is_spare {
            drop(worker.inbox().close());
        }
        HERE.set(Here::Elsewhere);
        polling::set_blocking(Blocking::OutsideTasks);
    }

    fn next(&self) -> Option<Runnable> {
        loop {
            if self.is_dismissed() {
                self.rest();
            }
            if let Some(task) = self.own().or_else(|| self.find()) {
                return Some(task);
            }
            if self.park_or_leave() == Parked::Leave {
                return None;
            }
        }
    }

    /// The answer is who is to be polled next, if that is settled already.
    #[inline(always)]
    #[must_use]
    fn execute(&self, task: Runnable) -> Option<Runnable> {
        self.entry.polling.set(task.header());
        if self.care.is_needed() || self.scheduler.attention.is_drawn() {
            return self.execute_with_care(task);
        }
        self.open.set(Open::Yes);
        let ran = task.run_and_hand_over();
        self.open.set(Open::Shut);
        self.settle(ran)
    }

    /// (Twice in the program, so that the path without care has no call.)
    #[inline(always)]
    #[must_use]
    fn settle(&self, ran: Ran) -> Option<Runnable> {
        match ran {
            Ran::Parked => {}
            Ran::Again(task) => self.push_again(task),
            Ran::Ended(ending) => self.entry.tally.ended(ending),
            Ran::Handed(joiner) => {
                self.entry.tally.ended(Ending::Finished);
                return self.hand_over(joiner);
            }
        }
        None
    }

    /// A task has finished, and this one awaited it: it is next, as if it had been put into the slot and taken out again,
    /// without the way from a waker to here. (Nobody need find it meanwhile: this worker is in no poll.)
    #[inline]
    #[must_use]
    fn hand_over(&self, joiner: Runnable) -> Option<Runnable> {
        let tasks_in_a_row = self.from_slot.get();
        if !joiner.is_owned_by(self.scheduler) || joiner.home().is_some() {
            joiner.schedule();
        } else if tasks_in_a_row < slot::IN_A_ROW
            && self.entry.slot.is_empty()
            && !self.is_due(&self.next_look)
            && !self.is_spare
        {
            self.from_slot.set(tasks_in_a_row + 1);
            self.entry.tally.from_slot.add(1);
            return Some(joiner);
        } else {
            self.push_woken(joiner);
        }
        None
    }

    // ── own work ──────────────────────────────────────────────────────────────────────────────

    fn own(&self) -> Option<Runnable> {
        if self.is_time(&self.next_look, LOOK_EVERY) {
            // Even if slot and deque never run dry, nothing from outside starves.
            if self.owes_notice.take() {
                self.notify();
            }
            self.look_into_driver();
            if let Some(task) = self.look_outside() {
                self.from_slot.set(0);
                return Some(task);
            }
        }
        let slot = &self.entry.slot;
        if self.from_slot.get() < slot::IN_A_ROW {
            if let Some(task) = slot.take() {
                self.from_slot.set(self.from_slot.get() + 1);
                self.entry.tally.from_slot.add(1);
                return Some(task);
            }
        }
        self.from_slot.set(0);
        self.queue.pop().or_else(|| self.take_from_slot()).or_else(|| self.look_inbox())
    }

    #[cold]
    fn take_from_slot(&self) -> Option<Runnable> {
        let task = self.entry.slot.take()?;
        self.entry.tally.from_slot.add(1);
        Some(task)
    }

    /// Counts polls.
    fn tick(&self) -> u32 {
        self.entry.polls() as u32
    }

    /// Has this many polls passed since it was time last?
    fn is_time(&self, next: &Cell<u32>, every: u32) -> bool {
        let is = self.is_due(next);
        if is {
            next.set(self.tick().wrapping_add(every));
        }
        is
    }

    fn is_due(&self, next: &Cell<u32>) -> bool {
        self.tick().wrapping_sub(next.get()) < u32::MAX / 2
    }

    /// Inbox, timer, injectors. The inbox comes first every other time: a task at home here that
    /// wakes itself is always in it, and must not keep the others waiting.
    fn look_outside(&self) -> Option<Runnable> {
        let inbox_first = !self.inbox_first.get();
        self.inbox_first.set(inbox_first);
        if inbox_first {
            self.look_inbox().or_else(|| self.look_at_sets())
        } else {
            self.look_at_sets().or_else(|| self.look_inbox())
        }
    }

    fn look_at_sets(&self) -> Option<Runnable> {
        let (sets, home) = (&self.scheduler.sets, self.index / WORKERS_PER_SET);
        self.look_at(&sets[home]).or_else(|| {
            let mut others = (1..sets.len()).map(|i| &sets[(home + i) % sets.len()]);
            others.find_map(|set| self.look_at(set))
        })
    }

    #[inline]
    fn look_at(&self, set: &WorkerSet) -> Option<Runnable> {
        // (Asked here, so that a look that finds nothing makes no calls.)
        if set.due.is_empty() && set.injector.is_empty() {
            return None;
        }
        self.take_from(set)
    }

    #[inline(never)]
    fn take_from(&self, set: &WorkerSet) -> Option<Runnable> {
        let rescued = self.rescue();
        let task = self.take_due(set).or_else(|| self.take_injected(set));
        if rescued {
            self.announce_rescued();
        }
        task
    }

    /// Tasks that only this worker may poll: never in the deque, where thieves are.
    #[inline]
    fn look_inbox(&self) -> Option<Runnable> {
        if self.has_own_mail() { self.take_mail() } else { None }
    }

    fn take_mail(&self) -> Option<Runnable> {
        let mut mine = self.mine.borrow_mut();
        mine.pop().or_else(|| {
            let inbox = self.inbox();
            if inbox.is_empty() {
                return None;
            }
            *mine = inbox.take_all();
            mine.pop()
        })
    }

    fn has_own_mail(&self) -> bool {
        self.mine.borrow().len() > 0 || !self.inbox().is_empty()
    }

    /// A turn of the timer is taken by one worker as a whole, up to a limit.
    fn take_due(&self, set: &WorkerSet) -> Option<Runnable> {
        let others_wait = !self.queue.is_empty();
        let popped = set.due.pop(&self.queue, DUE)?;
        // (Not counted in its own queue: thieves are there already.)
        self.entry.tally.due.add(popped.taken as u64);
        if popped.left {
            self.notify();
        }
        if !self.queue.is_empty() {
            self.set_batch(Some(Alone::new(BATCH_ALONE, usize::MAX)));
        }
        if others_wait {
            // Behind those who have waited longer. (Sockets' tasks come this way, too, from the monitor: 50 connections, a
            // millisecond in each poll. With one new task in four polls preferred, 1 % waited for more than 111 others; so, 95.)
            self.queue.push(popped.first);
            return self.queue.pop();
        }
        Some(popped.first)
    }

    fn take_injected(&self, set: &WorkerSet) -> Option<Runnable> {
        let workers = self.scheduler.workers();
        let popped = set.injector.pop(&self.queue, |len| (len / workers + 1).min(INJECTED))?;
        self.entry.tally.injected.add(popped.taken as u64);
        if (popped.taken > 1 || popped.left) && !self.care.is_searching() {
            // A searcher wakes the next one when it leaves the search.
            self.notify();
        }
        Some(popped.first)
    }

    // ── pushing ───────────────────────────────────────────────────────────────────────────────

    fn push_here(&self, task: Option<Runnable>, cause: Cause) -> Option<Runnable> {
        let open = self.open.replace(Open::Shut);
        if open != Open::Yes {
            if open == Open::Shut {
                return self.land(task);
            }
            self.follow(&task);
        }
        if let Some(task) = task {
            match cause {
                Cause::Wake => self.push_woken(task),
                Cause::Spawn => self.push_spawned(task),
            }
        }
        self.open.set(open);
        None
    }

    /// A task of this worker woke another one: that one runs next.
    fn push_woken(&self, task: Runnable) {
        if let Some(previous) = self.entry.slot.put(task) {
            self.push_shared(previous);
        }
    }

    /// A new task: next, if nobody has waited longer.
    fn push_spawned(&self, task: Runnable) {
        let slot = &self.entry.slot;
        if slot.is_empty() && (self.from_slot.get() == 0 || self.queue.is_empty()) {
            drop(slot.put(task));
        } else {
            self.push_shared(task);
        }
    }

    /// A task that was woken in its own poll: behind all others. A worker that sleeps is woken for it at once; one that is just
    /// about to is told at the next look outside, a few polls later: so the fence is paid once for all tasks that yield
    /// until then (a yield takes 15 ns instead of 20). Nothing is lost, for this worker stays awake as long as it owes that
    /// notice; should the next poll take long, the [monitor](super::monitor) wakes somebody.
    #[inline(always)]
    fn push_again(&self, task: Runnable) {
        if task.home().is_some() {
            let pushed = self.inbox().push(task);
            assert!(pushed.is_ok(), "a worker that has not left takes what is its own");
            return;
        }
        let alone = self.queue.is_empty() && self.entry.slot.is_empty();
        self.queue.push(task);
        // (Alone, this worker takes it out again at once.)
        if !alone {
            if self.set().sleep.is_anybody_parked() {
                self.notify();
            } else {
                self.owes_notice.set(true);
            }
        }
    }

    fn push_shared(&self, task: Runnable) {
        self.queue.push(task);
        self.notify();
    }

    fn notify(&self) {
        // [push-fence] partner: announce-fence, stop-fence.
        notify_fence();
        self.scheduler.notify(self.index / WORKERS_PER_SET);
    }

    // ── parking ───────────────────────────────────────────────────────────────────────────────

    fn park_or_leave(&self) -> Parked {
        let (sleep, bit) = (&self.set().sleep, self.index % WORKERS_PER_SET);
        self.entry.polling.clear();
        // Nothing is left that somebody could be told of.
        self.owes_notice.set(false);
        sleep.announce(bit, self.care.stop_searching());
        // Dropped on the way out, before any work is taken.
        let mut resting = None;
        loop {
            let (work, mail) = (self.is_work_visible(true), self.has_own_mail());
            #[cfg(filch_loom)] // Twins do not look once more, or forget a source.
            let (work, mail) = (
                work && !crate::primitive::seeded("park-without-a-look"),
                mail && !crate::primitive::seeded("park-past-the-inbox"),
            );
            if work || mail || self.is_dismissed() {
                self.scheduler.woken(sleep.retract(bit));
                self.care.search();
                return Parked::Awake;
            }
            if self.scheduler.is_draining() {
                self.scheduler.hint_drained();
            }
            if self.scheduler.is_closing() && self.scheduler.no_task_waits() {
                let _ = sleep.retract(bit);
                let _ = sleep.stop_search();
                return Parked::Leave;
            }
            if let (Some(quiet), None) = (&self.quiet, &resting) {
                if self.finds_events(sleep, bit) {
                    self.care.search();
                    return Parked::Awake;
                }
                resting = Some(quiet.park());
            }
            self.entry.tally.parks.add(1);
            if self.sleep(sleep, bit) {
                self.care.search();
                return Parked::Awake;
            }
        }
    }

    // ── small things ──────────────────────────────────────────────────────────────────────────

    fn set(&self) -> &WorkerSet {
        &self.scheduler.sets[self.index / WORKERS_PER_SET]
    }

    fn inbox(&self) -> &super::Stack {
        &self.set().inboxes[self.index % WORKERS_PER_SET]
    }
}

/// A panic of a task ends inside the task. One that comes out of the scheduler itself leaves
/// queues that nobody can trust, and a runtime that would hang without a word.
#[derive(Debug)]
struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        if crate::primitive::thread::panicking() {
            eprintln!("filch: a worker thread panicked outside any task; the process ends");
            std::process::abort();
        }
    }
}

#[must_use]
#[derive(Debug, PartialEq, Eq)]
enum Parked {
    Awake,
    Leave,
}
