//! Who looks after the workers while one of them is in a poll that takes long.
//!
//! Workers are woken lazily: whoever comes back from the driver keeps what it brought to itself, as long as it gets on
//! with it, and leaves the driver unmanned meanwhile, though others sleep. That is right as long as
//! polls are short. If one is not, nobody on the workers can notice. So there is somebody who samples:
//! every 5 ms, or 2 while work waits, on the timer's thread.
//!
//! - *Nobody has looked into the driver since the last sample, and a worker sleeps*: it is woken. It finds
//!   nothing to do, goes to sleep again, and this time in the driver.
//! - *Work was visible in two samples, and a worker sleeps*: it is woken, too.
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

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::Scheduler;
use super::sleep::notify_fence;
use super::table::Table;

const PERIOD: Duration = Duration::from_millis(5);
/// While work waits.
const SHORT_PERIOD: Duration = Duration::from_millis(2);
/// After so many samples without anything the monitor stops.
const IDLE_SAMPLES: u32 = 20;

/// How to call the monitor.
#[derive(Debug, Default)]
pub(crate) struct Monitor {
    unpark: std::sync::Mutex<Option<Unpark>>,
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
    pub(crate) fn set_unpark(&self, unpark: Option<Unpark>) {
        let mut place = self.unpark.lock().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *place, unpark);
        drop(place);
        drop(old);
    }

    /// A worker woke up while nobody watched.
    #[cold]
    pub(crate) fn call(&self) {
        let unpark = self.unpark.lock().unwrap_or_else(PoisonError::into_inner).clone();
        unpark.iter().for_each(|unpark| (unpark.0)());
    }
}

/// What the monitor remembers from one sample to the next.
#[derive(Debug)]
pub(crate) struct Sampler {
    scheduler: &'static Scheduler,
    table: Arc<Table>,
    last: Option<Instant>,
    period: Duration,
    idle: u32,
    turns: u64,
    work_waited: bool,
}

impl Sampler {
    pub(crate) fn new(scheduler: &'static Scheduler, table: Arc<Table>) -> Sampler {
        Sampler {
            scheduler,
            table,
            last: None,
            period: PERIOD,
            idle: 0,
            turns: 0,
            work_waited: false,
        }
    }

    /// Called after each turn of the timer; answers when it wants to be called again.
    pub(crate) fn look(&mut self) -> Option<Duration> {
        if !self.scheduler.is_watched() {
            self.last = None;
            return None;
        }
        let now = Instant::now();
        let since = self.last.map_or(Duration::ZERO, |last| now - last);
        if self.last.is_some() && since < self.period {
            return Some(self.period - since);
        }
        // The first sample, and one that comes late (perhaps nobody had the processor), only looks.
        let counts = self.last.is_some() && since < 2 * self.period;
        self.last = Some(now);
        self.sample(counts);
        if self.idle >= IDLE_SAMPLES && self.scheduler.stop_watching() {
            self.idle = 0;
            self.last = None;
            return None;
        }
        Some(self.period)
    }

    fn sample(&mut self, counts: bool) {
        let scheduler = self.scheduler;
        self.idle = if scheduler.is_still() { self.idle + 1 } else { 0 };
        let work_waits = scheduler.is_work_visible(&self.table, None);
        let driver = scheduler.door.driver();
        let turns = driver.as_ref().map_or(0, |driver| driver.turns());
        let is_unmanned = driver.is_some_and(|driver| !driver.is_manned()) && turns == self.turns;
        let needs_help = is_unmanned || work_waits && self.work_waited;
        if counts && needs_help && scheduler.is_anybody_parked() {
            notify_fence();
            scheduler.notify(0);
        }
        self.turns = turns;
        self.work_waited = work_waits;
        self.period = if work_waits { SHORT_PERIOD } else { PERIOD };
    }
}
