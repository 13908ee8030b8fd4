//! Spare workers, slots that are opened, and who helps whom. (A child of `worker/spare.rs`: these are the real workers,
//! a regular one and a spare one, and the real monitor, which looks when the model says so.)

use std::panic::Location;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use loom::thread;

use super::{Worker, block_in_place};
use crate::__models::task::Bell;
use crate::scheduler::monitor::Sampler;
use crate::scheduler::stall::Stalls;
use crate::scheduler::table::{Entry, Table};
use crate::scheduler::{Cause, OnWorkers, Scheduler, schedule};
use crate::task::{Runnable, cell};

/// A runtime with one worker, or two.
struct Team {
    scheduler: &'static Scheduler,
    table: Arc<Table>,
    done: Arc<Bell>,
}

type Thread = thread::JoinHandle<()>;

/// In words: a whole worker needs more than loom gives.
const STACK: usize = 0x2000;

impl Team {
    /// With its worker, and the spare one, who are awake.
    fn new() -> (Team, Worker, Worker) {
        let (team, [regular, spare]) = Team::of();
        (team, regular, spare)
    }

    /// The last of these workers is the spare one.
    fn of<const N: usize>() -> (Team, [Worker; N]) {
        let regular = N - 1;
        // (It is given back to nobody: one is leaked in each execution.)
        let scheduler = Scheduler::obtain(regular);
        let table = Arc::new(Table::new(regular));
        let workers = std::array::from_fn(|i| Worker::new(scheduler, Arc::clone(&table), i, None));
        scheduler.summon(regular, None);
        (Team { scheduler, table, done: Bell::new() }, workers)
    }

    fn entry(&self, index: usize) -> &Entry {
        self.table.entries[index].get().expect("MODEL: entered")
    }

    fn monitor(&self) -> Sampler {
        let stalls = Stalls::new(Duration::MAX, None);
        let start = Box::new(|_| unreachable!("MODEL: it is there"));
        Sampler::new(self.scheduler, Arc::clone(&self.table), 1, stalls, start)
    }

    /// A task that says when it is polled.
    fn task(&self) -> Runnable {
        self.make(says(&self.done))
    }

    fn make(&self, future: impl Future<Output = ()> + 'static) -> Runnable {
        let site = Location::caller();
        let new = cell::Spawn { owner: self.scheduler, site, home: None, extra: None };
        let (task, handle) = cell::spawn::<OnWorkers, _>(future, new);
        drop(handle);
        task
    }

    fn push(&self, task: Runnable) {
        schedule(self.scheduler, task, Cause::Spawn);
    }

    /// Waits until all tasks have ended, and all workers sleep.
    fn drain(&self) {
        self.scheduler.drain();
        assert!(self.scheduler.wait_until_drained(None), "MODEL: nobody works any more");
    }

    fn close<const N: usize>(&self, workers: [Thread; N]) {
        self.scheduler.close();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        assert!(!self.scheduler.is_work_visible(&self.table, None), "MODEL: nothing is left");
        let mut entries = self.table.entries();
        assert!(entries.all(|(_, entry)| entry.slot.is_empty()), "MODEL: nor here");
    }
}

fn says(done: &Arc<Bell>) -> impl Future<Output = ()> + 'static {
    let done = Waker::from(Arc::clone(done));
    async move { done.wake() }
}

fn start(worker: Worker) -> Thread {
    thread::Builder::new().stack_size(STACK).spawn(move || worker.run()).unwrap()
}

/// Work is pushed while the only worker is stuck and the spare one goes to rest: that one polls it. (Then the other
/// returns, and finds nothing.)
pub fn push_stuck() {
    let (team, regular, spare) = Team::new();
    team.scheduler.dismiss(1, team.entry(1));
    let spare = start(spare);
    team.push(team.task());
    team.monitor().help(1);
    team.done.wait();
    team.close([start(regular), spare]);
}

/// Work is pushed while the worker returns from a long poll and goes to sleep, and the monitor takes it for stuck. (The
/// spare one does not come: it has no processor.)
pub fn push_returns() {
    let (team, regular, spare) = Team::new();
    team.scheduler.dismiss(1, team.entry(1));
    let regular = start(regular);
    team.push(team.task());
    team.monitor().help(1);
    team.done.wait();
    team.close([regular]);
    drop(spare);
}

/// Work is pushed while the worker that was stuck returns and goes to sleep, and the monitor summons the spare one, which
/// goes to rest: either polls it. (The end is explored elsewhere: from there on loom takes one way.)
pub fn summon_return_rest() {
    let (team, regular, spare) = Team::new();
    team.scheduler.dismiss(1, team.entry(1));
    let workers = [regular, spare].map(start);
    team.push(team.task());
    team.monitor().help(1);
    team.done.wait();
    loom::skip_branch();
    team.close(workers);
}

/// The same where another worker goes to sleep, too.
pub fn summon_return_park() {
    let (team, [returns, parks, spare]) = Team::of();
    team.scheduler.dismiss(2, team.entry(2));
    let workers = [returns, parks, spare].map(start);
    team.push(team.task());
    team.monitor().help(1);
    team.done.wait();
    loom::skip_branch();
    team.close(workers);
}

/// A spare worker is needed again while it goes to rest: all sleep in the end, it among them.
pub fn dismiss_summon() {
    let (team, regular, spare) = Team::new();
    let workers = [regular, spare].map(start);
    team.scheduler.dismiss(1, team.entry(1));
    team.scheduler.summon(1, Some(team.entry(1)));
    team.drain();
    team.close(workers);
}

/// A spare worker goes to rest while the runtime drains: whoever waits for the end hears that all others sleep.
pub fn dismiss_drain() {
    let (team, regular, spare) = Team::new();
    let workers = [regular, spare].map(start);
    team.scheduler.dismiss(1, team.entry(1));
    team.drain();
    team.close(workers);
}

/// A spare worker is dismissed while it goes to sleep: it goes to rest. (In a runtime that drains, for there one hears of
/// it.)
pub fn dismiss_park() {
    let (team, regular, spare) = Team::new();
    team.scheduler.drain();
    let spare = start(spare);
    team.scheduler.dismiss(1, team.entry(1));
    let (lock, changed) = &team.scheduler.drained;
    let mut guard = lock.lock();
    while team.scheduler.sets[0].sleep.members() > 1 {
        (guard, _) = changed.wait_timeout(guard, Duration::MAX);
    }
    drop(guard);
    team.close([spare]);
    drop(regular);
}

/// A task is woken by one whose poll does not return, before the monitor has opened the slot or after that: at the sample
/// after that one at the latest somebody is told.
pub fn slot_put_open_park() {
    let (team, regular, stuck) = Team::new();
    let mut monitor = team.monitor();
    let task = team.task();
    stuck.entry.polling.set(task.header());
    monitor.sample(Instant::now(), false);
    let thief = start(regular);
    let owner = thread::spawn(move || {
        assert!(stuck.entry.slot.put(task).is_none(), "MODEL: it was empty");
        stuck
    });
    monitor.sample(Instant::now(), false);
    let stuck = owner.join().unwrap();
    monitor.sample(Instant::now(), false);
    team.done.wait();
    team.close([thief]);
    drop(stuck);
}

/// A spare worker is dismissed that has a task left.
pub fn dismiss_with_task() {
    let (team, regular, spare) = Team::new();
    spare.queue.push(team.task());
    let workers = [regular, spare].map(start);
    team.scheduler.dismiss(1, team.entry(1));
    team.done.wait();
    team.close(workers);
}

/// Work is pushed and left to a spare worker that was woken a moment ago, and goes to rest: the other one, who
/// sleeps or is about to, polls it.
pub fn dismiss_push() {
    let (team, regular, spare) = Team::new();
    team.scheduler.dismiss(1, team.entry(1));
    assert!(spare.set().sleep.start_search(2), "MODEL: nobody searches yet");
    spare.care.search();
    let workers = [regular, spare].map(start);
    team.push(team.task());
    team.done.wait();
    team.close(workers);
}

/// The end, while a spare worker rests.
pub fn rest_close() {
    let (team, regular, spare) = Team::new();
    team.scheduler.dismiss(1, team.entry(1));
    team.push(team.task());
    let workers = [regular, spare].map(start);
    team.close(workers);
}

/// The end, while a spare worker is summoned.
pub fn summon_close() {
    let (team, regular, spare) = Team::new();
    team.scheduler.dismiss(1, team.entry(1));
    team.push(team.task());
    let workers = [regular, spare].map(start);
    team.scheduler.summon(1, Some(team.entry(1)));
    team.close(workers);
}

/// A call blocks until what its worker has is polled by somebody else, who just goes to sleep.
pub fn block_park() {
    let (team, one, other) = Team::new();
    let inner = Bell::new();
    let (waits, task) = (Arc::clone(&inner), team.make(says(&inner)));
    let (owner, done) = (team.scheduler, Waker::from(Arc::clone(&team.done)));
    one.queue.push(team.make(async move {
        schedule(owner, task, Cause::Wake);
        block_in_place(|| waits.wait());
        done.wake();
    }));
    let workers = [one, other].map(start);
    team.done.wait();
    team.close(workers);
}

/// The only worker goes to sleep while something is put where it looks (and the spare one has no processor).
fn goes_to_sleep(before: impl FnOnce(&Team), meanwhile: impl FnOnce(&Team)) {
    let (team, regular, spare) = Team::new();
    team.scheduler.dismiss(1, team.entry(1));
    before(&team);
    let regular = start(regular);
    meanwhile(&team);
    team.done.wait();
    team.close([regular]);
    drop(spare);
}

/// What comes from another thread.
pub fn inject_park() {
    goes_to_sleep(|_| (), |team| team.push(team.task()));
}

/// What a turn of the timer has woken.
pub fn due_park() {
    goes_to_sleep(|_| (), |team| team.scheduler.push_due(vec![team.task()]));
}

/// A task that only this worker may poll.
pub fn home_park() {
    goes_to_sleep(|_| (), |team| team.scheduler.push_home(team.task(), 0));
}

/// What came from outside is counted, and is out of sight meanwhile.
pub fn count_park() {
    let count = |team: &Team| {
        let (injected, _) = team.scheduler.waiting_outside();
        assert!(injected <= 1, "MODEL: nothing is counted twice");
    };
    goes_to_sleep(|team| team.push(team.task()), count);
}
