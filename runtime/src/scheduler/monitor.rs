//! Who looks after the workers while one of them is in a poll that takes long.
//!
//! Workers are woken lazily, and nobody on a worker can notice that its poll does not return. So there is somebody who
//! samples, on the timer's thread: every 5 ms, or 2 while something waits that would be late if a poll that has begun
//! took long. (It is a slot that is filled, or the driver without anybody in it: with 5 ms for those, what waited there
//! beside nothing but stuck workers waited 7 and 8 ms at the median, with 2 it is 4 and 5.) Each worker counts its polls, with a plain
//! store. One that is in the same poll as at the sample before is *stuck*.
//!
//! | what is seen | what is done |
//! |--------------|--------------|
//! | somebody is stuck | its LIFO slot is opened to thieves |
//! | … and work waits, or nobody has looked into the driver since the last sample | a sleeping worker is woken; if there is none, and the poll is at fault, a spare one is summoned |
//! | … and there is no spare one left, or the stuck one only lacks a processor ([`os_thread`](super::os_thread)) | the monitor looks into the driver itself: those who wait for sockets outside the workers do not starve |
//! | more spare workers than stuck ones, twice in a row | one is dismissed |
//! | a worker is in one poll for longer than the threshold | a stall is reported |
//!
//! A worker that is woken although there is nothing to do goes to sleep again, and this time in the driver. A poll's
//! time is counted from the first sample that saw it, so no report says more than was; a poll that is longer than the
//! threshold by two periods is always seen. Should the monitor itself be late by a period (its thread had no
//! processor, and perhaps the workers had none either), nobody counts as stuck in that sample, and nobody is
//! dismissed. But if it is late again, it is always late, because the machine is busy or its clock ticks slowly: then
//! they count all the same, or nobody would ever come.
//!
//! Each sample of its own wakes the timer's thread. Tried against that, with five tasks that sleep 1 to 20 ms, and not kept,
//! as CPU stayed the same within the noise: to sample whenever the thread is up and half a period has passed (and to stop after
//! 4 idle samples instead of 20): 2980 → 2715 wake-ups of the thread for 2000 sleeps; and news that is a time, by which a
//! sleeping timer shortens its sleep without a turn, besides: 2650. Tried once more, when a sample in the timer's gap no longer
//! made its thread sleep twice (see `park` in `timer/src/turn.rs`): the same, CPU 1.49 and 1.46 of tokio's.
//!
//! # When nothing happens
//!
//! After 20 samples in which all workers slept the monitor stops, and an idle runtime makes no system call. That it
//! samples stands in the very word that says who sleeps (see [`sleep`](super::sleep)): it stops by one exchange, which
//! succeeds only if everybody sleeps; and whoever wakes a worker sets the mark again in the same exchange, and
//! calls the monitor if it was not there.
//!
//! With a manual clock the timer has no thread, and there is no monitor: a poll that never returns keeps that runtime's
//! clock from moving anyway.

use std::io;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::Scheduler;
use super::os_thread::{OsThread, State};
use super::sleep::notify_fence;
use super::stall::Stalls;
use super::table::{Entry, Seen, Table};
use super::tally::Count;
use crate::io::driver;
use crate::primitive::{AtomicBool, AtomicU64, Ordering};
use crate::task::TaskInfo;
use crate::task::cell::contained;

const PERIOD: Duration = Duration::from_millis(5);
/// While work waits.
const SHORT_PERIOD: Duration = Duration::from_millis(2);
/// After so many samples without anything the monitor stops.
const IDLE_SAMPLES: u32 = 20;
/// After so many samples with one spare worker too many, one is dismissed.
const SPARE_SAMPLES: u32 = 2;
/// Who has had a processor for so long in one poll does not lack one.
const COMPUTES: Duration = Duration::from_millis(1);

/// How to call the monitor, and what it has seen.
#[derive(Debug, Default)]
pub(crate) struct Monitor {
    unpark: std::sync::Mutex<Option<Unpark>>,
    /// Somebody has called who cannot wait for the next sample.
    urgent: AtomicBool,
    /// Polls that took too long.
    pub(crate) stalls: AtomicU64,
    /// How often the monitor itself has looked into the driver, and what it found.
    pub(crate) turns: Count,
    pub(crate) events: Count,
}

/// Makes the timer's thread look.
#[derive(Clone)]
pub(crate) struct Unpark(pub(crate) Arc<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for Unpark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unpark")
    }
}

impl Monitor {
    /// The beginning and the end of a runtime.
    pub(crate) fn set_unpark(&self, unpark: Option<Unpark>) {
        let mut place = self.unpark.lock().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *place, unpark);
        drop(place);
        drop(old);
        self.stalls.store(0, Ordering::Relaxed);
        self.turns.reset();
        self.events.reset();
    }

    /// A worker woke up while nobody watched.
    #[cold]
    pub(crate) fn call(&self) {
        let unpark = self.unpark.lock().unwrap_or_else(PoisonError::into_inner).clone();
        unpark.iter().for_each(|unpark| (unpark.0)());
    }

    /// A worker gives way to a call that blocks.
    pub(crate) fn call_now(&self) {
        self.urgent.store(true, Ordering::Relaxed);
        self.call();
    }
}

/// Starts the thread of a spare worker.
pub(crate) type StartSpare = Box<dyn Fn(usize) -> io::Result<()> + Send>;

/// What the monitor remembers from one sample to the next.
pub(crate) struct Sampler {
    scheduler: &'static Scheduler,
    table: Arc<Table>,
    start_spare: StartSpare,
    /// At most so many spare workers.
    most_spares: usize,
    stalls: Stalls,
    last: Option<Instant>,
    /// The last sample was late.
    was_late: bool,
    period: Duration,
    idle: u32,
    /// For each worker, regular and spare, the poll it was in, and since when.
    polls: Box<[Option<Poll>]>,
    /// How often somebody had looked into the driver.
    turns: u64,
    /// How many spare workers are at work, the first ones of them; and for how long it was too many.
    spares: usize,
    too_many: u32,
    refused: bool,
}

/// A poll that was seen in a sample.
#[derive(Debug, Clone, Copy)]
struct Poll {
    seen: Seen,
    since: Instant,
    reported: bool,
    /// It was there at the sample before, too.
    is_stuck: bool,
    /// For how long its thread had had a processor when that was asked first.
    had_run: Option<Duration>,
}

impl Poll {
    /// Neither blocks nor computes: its worker waits for a processor.
    fn is_put_aside(&mut self, thread: Option<&OsThread>) -> bool {
        match thread.and_then(OsThread::state) {
            Some(State::Ready { ran }) => {
                ran.saturating_sub(*self.had_run.get_or_insert(ran)) < COMPUTES
            }
            Some(State::Blocked) | None => false,
        }
    }
}

/// If a poll was seen, it has returned.
fn over(poll: Option<Poll>, entry: &Entry) {
    if poll.is_some() {
        entry.slot.close();
    }
}

/// What a look at all workers says.
struct Polls {
    /// So many are in the same poll as before.
    stuck: usize,
    /// Somebody in a poll has a task in its slot: nobody else may take it yet.
    next_waits: bool,
    /// A stuck one has.
    loot: bool,
}

/// Is there somebody in the driver, if there is one?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manned {
    Yes,
    NotJustNow,
    /// Nor has anybody looked into it.
    NotSinceLastSample,
}

impl Sampler {
    pub(crate) fn new(
        scheduler: &'static Scheduler,
        table: Arc<Table>,
        most_spares: usize,
        stalls: Stalls,
        start_spare: StartSpare,
    ) -> Sampler {
        let workers = table.entries.len();
        Sampler {
            scheduler,
            table,
            start_spare,
            most_spares: most_spares.min(workers / 2),
            stalls,
            last: None,
            was_late: false,
            period: PERIOD,
            idle: 0,
            polls: vec![None; workers].into(),
            turns: 0,
            spares: 0,
            too_many: 0,
            refused: false,
        }
    }

    /// Called after each turn of the timer; answers when it wants to be called again.
    pub(crate) fn look(&mut self) -> Option<Duration> {
        if !self.scheduler.is_watched() || self.scheduler.is_closing() {
            self.last = None;
            return None;
        }
        let urgent = self.scheduler.monitor.urgent.swap(false, Ordering::Relaxed);
        let now = crate::primitive::now();
        let since = self.last.map_or(Duration::ZERO, |last| now - last);
        if self.last.is_some() && since < self.period && !urgent {
            return Some(self.period - since);
        }
        let is_late = self.last.is_none() || since >= 2 * self.period;
        self.last = Some(now);
        self.sample(now, is_late);
        if self.idle >= IDLE_SAMPLES && self.scheduler.stop_watching() {
            self.idle = 0;
            self.last = None;
            return None;
        }
        Some(self.period)
    }

    pub(super) fn sample(&mut self, now: Instant, is_late: bool) {
        let scheduler = self.scheduler;
        let was_late = std::mem::replace(&mut self.was_late, is_late);
        let is_late = is_late && !was_late;
        self.idle = if scheduler.is_still() && self.spares == 0 { self.idle + 1 } else { 0 };
        let Polls { stuck, next_waits, loot } = self.look_at_polls(now, is_late);
        let work_waits = loot || scheduler.is_work_visible(&self.table, None);
        let driver = self.look_at_driver();
        if !is_late && (stuck > 0 && work_waits || driver == Manned::NotSinceLastSample) {
            self.help(stuck);
        }
        if !is_late {
            self.dismiss(stuck);
        }
        let may_be_late = work_waits || next_waits || driver != Manned::Yes;
        self.period = if may_be_late { SHORT_PERIOD } else { PERIOD };
    }

    fn look_at_polls(&mut self, now: Instant, is_late: bool) -> Polls {
        let mut polls = Polls { stuck: 0, next_waits: false, loot: false };
        let table = Arc::clone(&self.table);
        for (i, entry) in table.entries() {
            let seen = entry.polling.seen();
            let before = self.polls[i].take();
            let (Some(seen), gives_way) = (seen, entry.gives_way()) else {
                over(before, entry);
                continue;
            };
            polls.next_waits |= !entry.slot.is_empty();
            match before {
                Some(mut before) if before.seen == seen => {
                    before.is_stuck |= gives_way || !is_late;
                    self.polls[i] = Some(before);
                    if gives_way || !is_late {
                        #[cfg(filch_loom)] // A twin says it once.
                        if crate::primitive::seeded("say-it-once") && entry.slot.is_open() {
                            continue;
                        }
                        polls.stuck += 1;
                        entry.slot.open();
                        polls.loot |= entry.slot.has_loot();
                    }
                    if !gives_way {
                        self.is_stalled(i, entry, now);
                    }
                }
                before => {
                    over(before, entry);
                    // (Not `now`: this thread may have stood still since, and the poll begun meanwhile.)
                    let since = crate::primitive::now();
                    let is_stuck = gives_way;
                    let poll = Poll { seen, since, reported: false, is_stuck, had_run: None };
                    self.polls[i] = Some(poll);
                    polls.stuck += usize::from(gives_way);
                }
            }
        }
        polls
    }

    /// How many of those who are stuck only lack a processor.
    fn put_aside(&mut self) -> usize {
        let mut count = 0;
        for (i, entry) in self.table.entries() {
            if let Some(poll) = self.polls[i].as_mut().filter(|poll| poll.is_stuck) {
                let aside = !entry.gives_way() && poll.is_put_aside(entry.thread.get());
                count += usize::from(aside);
            }
        }
        count
    }

    /// Is this poll one to be reported?
    fn is_stalled(&mut self, worker: usize, entry: &Entry, now: Instant) {
        let Some(poll) = &mut self.polls[worker] else { return };
        let elapsed = now - poll.since;
        if !poll.reported && elapsed >= self.stalls.threshold() {
            // (It may have returned since it was seen: then that is another one, or nobody knows whose.)
            let is_it = |_: &TaskInfo| entry.polling.seen() == Some(poll.seen);
            if let Some(task) = entry.polling.info().filter(is_it) {
                poll.reported = true;
                self.scheduler.monitor.stalls.fetch_add(1, Ordering::Relaxed);
                self.stalls.report(self.scheduler, task, elapsed);
            }
        }
    }

    fn look_at_driver(&mut self) -> Manned {
        let Some(driver) = self.scheduler.door.driver() else { return Manned::Yes };
        let turns = driver.turns();
        let before = std::mem::replace(&mut self.turns, turns);
        match driver.is_manned() {
            true => Manned::Yes,
            false if turns == before => Manned::NotSinceLastSample,
            false => Manned::NotJustNow,
        }
    }

    /// Somebody must come: one who sleeps, or a spare one.
    pub(super) fn help(&mut self, stuck: usize) {
        let scheduler = self.scheduler;
        // Before the first look at the workers: one that is seen awake sees what was opened for it, when it goes to
        // sleep.
        // [help-fence] partner: announce-fence.
        notify_fence();
        if scheduler.is_anybody_searching() {
            return;
        }
        if scheduler.is_anybody_parked() {
            scheduler.notify(0);
        } else if stuck > self.spares
            && self.spares < self.most_spares
            && stuck.saturating_sub(self.put_aside()) > self.spares
        {
            self.summon();
        } else {
            self.look_into_driver();
        }
    }

    fn summon(&mut self) {
        let index = self.scheduler.workers() + self.spares;
        let entry = self.table.entries[index].get();
        self.scheduler.summon(index, entry.map(|entry| &***entry));
        if entry.is_none() {
            if let Err(error) = (self.start_spare)(index) {
                self.scheduler.summon_failed(index);
                if !std::mem::replace(&mut self.refused, true) {
                    eprintln!(
                        "filch: all workers are stuck in long polls, and the system refused a spare \
                         one: {error}"
                    );
                }
                self.look_into_driver();
                return;
            }
        }
        self.spares += 1;
    }

    fn dismiss(&mut self, stuck: usize) {
        if self.spares <= stuck {
            self.too_many = 0;
            return;
        }
        self.too_many += 1;
        if self.too_many >= SPARE_SAMPLES {
            self.too_many = 0;
            let index = self.scheduler.workers() + self.spares - 1;
            if let Some(entry) = self.table.entries[index].get() {
                self.spares -= 1;
                self.scheduler.dismiss(index, entry);
            }
        }
    }

    /// The last resort.
    fn look_into_driver(&self) {
        let Some(driver) = self.scheduler.door.driver() else { return };
        if let Some(mut turn) = driver.try_turn() {
            let mut wakers = Vec::new();
            turn.look();
            self.scheduler.monitor.turns.add(1);
            self.scheduler.monitor.events.add(turn.deliver(&mut wakers) as u64);
            // A worker that went to sleep meanwhile found the turn taken.
            self.scheduler.turn_is_free();
            contained(|| super::worker::batch(&mut || driver::wake_all(&mut wakers)));
        }
    }
}

#[cfg(all(filch_loom, not(filch_shuttle)))]
#[path = "../../../loom-tests/src/models/driver.rs"]
#[allow(missing_docs)]
pub mod models;

#[cfg(all(test, not(filch_loom)))]
mod tests {
    use std::panic::Location;
    use std::sync::Mutex;

    use super::*;
    use crate::io::{self as filch_io, Door};
    use crate::scheduler::stall::OnStall;
    use crate::scheduler::worker::Worker;
    use crate::scheduler::{Cause, OnWorkers, schedule};
    use crate::task::{Runnable, cell};

    /// A worker that is stuck, a task that waits for another one, and the monitor.
    struct Stuck {
        sampler: Sampler,
        scheduler: &'static Scheduler,
        /// Which spare workers were started.
        started: Arc<Mutex<Vec<usize>>>,
        _worker: Worker,
    }

    impl Drop for Stuck {
        fn drop(&mut self) {
            self.scheduler.seal();
            self.scheduler.give_back();
        }
    }

    fn task(owner: &'static Scheduler) -> Runnable {
        let new = cell::Spawn { owner, site: Location::caller(), home: None, extra: None };
        let (task, handle) = cell::spawn::<OnWorkers, _>(async {}, new);
        drop(handle);
        task
    }

    fn stuck(starts: fn() -> io::Result<()>) -> Stuck {
        stuck_and_told(starts, Stalls::new(Duration::MAX, None))
    }

    fn stuck_and_told(starts: fn() -> io::Result<()>, stalls: Stalls) -> Stuck {
        let scheduler = Scheduler::obtain(1);
        let table = Arc::new(Table::new(1));
        let worker = Worker::new(scheduler, Arc::clone(&table), 0, None);
        let (stuck, waiting) = (task(scheduler), task(scheduler));
        table.entries().for_each(|(_, entry)| entry.polling.set(stuck.header()));
        schedule(scheduler, waiting, Cause::Spawn);
        let started = Arc::new(Mutex::new(Vec::new()));
        let start = {
            let started = Arc::clone(&started);
            move |index| {
                started.lock().unwrap().push(index);
                starts()
            }
        };
        let sampler = Sampler::new(scheduler, table, 1, stalls, Box::new(start));
        Stuck { sampler, scheduler, started, _worker: worker }
    }

    #[test]
    fn a_monitor_that_is_late_once_waits_and_one_that_always_is_helps() {
        let starts = |late: &[bool]| {
            let this = &mut stuck(|| Ok(()));
            for &is_late in late {
                this.sampler.sample(Instant::now(), is_late);
            }
            this.started.lock().unwrap().clone()
        };
        assert_eq!(starts(&[false, false]), [1], "in time");
        // Perhaps the worker had no processor.
        assert_eq!(starts(&[false, true]), []);
        assert_eq!(starts(&[false, true, false]), [1], "but still stuck");
        assert_eq!(starts(&[false, true, true]), [1], "late again");
        assert_eq!(starts(&[true, true]), [1], "always late");
    }

    #[test]
    fn a_worker_that_was_put_aside_needs_no_spare_one() {
        let starts = |says: &[State]| {
            let mut this = stuck(|| Ok(()));
            let told = Arc::new(Mutex::new(State::Blocked));
            let entry = this.sampler.table.entries[0].get().unwrap();
            entry.thread.set(OsThread::told(Arc::clone(&told))).unwrap();
            let samples = says.iter().map(|&state| {
                *told.lock().unwrap() = state;
                this.sampler.sample(Instant::now(), false);
                this.started.lock().unwrap().len()
            });
            samples.collect::<Vec<_>>()
        };
        let ran = |us| State::Ready { ran: Duration::from_micros(us) };
        // The first sample only sees its poll; from the second on it counts what it ran.
        let says = [ran(500), ran(600), ran(1_599), ran(1_600)];
        assert_eq!(starts(&says), [0, 0, 0, 1], "at last it has computed");
        assert_eq!(starts(&[ran(500); 10]), [0; 10], "it only lacks a processor");
        assert_eq!(starts(&[ran(500), ran(500), State::Blocked]), [0, 0, 1]);
        assert_eq!(starts(&[State::Blocked; 2]), [0, 1]);
    }

    #[test]
    fn time_before_a_poll_was_seen_does_not_count_however_long_the_sample_took() {
        const HOUR: Duration = Duration::from_secs(3600);
        let told = Arc::new(Mutex::new(Vec::new()));
        let tells = Arc::clone(&told);
        let hook = OnStall(Arc::new(move |stall| tells.lock().unwrap().push(stall.elapsed)));
        let mut this = stuck_and_told(|| Ok(()), Stalls::new(HOUR, Some(hook)));
        let begins = Instant::now();
        // Its clock was read, and then it stood still; the poll began only then.
        this.sampler.sample(begins.checked_sub(HOUR).unwrap_or(begins), false);
        this.sampler.sample(Instant::now(), false);
        assert_eq!(*told.lock().unwrap(), [], "nobody has been in a poll for an hour");
        this.sampler.sample(Instant::now() + 2 * HOUR, false);
        this.sampler.sample(Instant::now() + 3 * HOUR, false);
        assert_eq!(told.lock().unwrap().len(), 1, "once");
    }

    #[test]
    fn a_spare_worker_is_not_dismissed_because_the_monitor_is_late() {
        let mut this = stuck(|| Ok(()));
        for is_late in [false, false, true, false, true, false, true, false] {
            this.sampler.sample(Instant::now(), is_late);
            assert!(this.sampler.too_many == 0, "one is stuck, and one has come");
        }
        assert_eq!(*this.started.lock().unwrap(), [1]);
    }

    #[test]
    fn if_the_system_refuses_a_spare_worker_the_monitor_looks_into_the_driver() {
        let mut this = stuck(|| Err(io::Error::other("planned")));
        filch_io::enter(Some(this.scheduler.door()));
        let driver = Door::current_driver().unwrap();
        filch_io::enter(None);
        this.sampler.sample(Instant::now(), false);
        let before = driver.turns();
        this.sampler.sample(Instant::now(), false);
        assert_eq!(*this.started.lock().unwrap(), [1]);
        assert_eq!(driver.turns(), before + 1);
        assert!(!this.scheduler.is_still(), "its worker is awake");
    }
}
