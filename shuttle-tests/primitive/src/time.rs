//! Time: it passes when nothing else can happen, and now and then before that.
//!
//! A *clock thread* of the execution sees to it. It can go on as long as anybody waits with a limit; when it does, it
//! is the time of the earliest limit. The explorer's scheduler keeps it back while others can run, except now and
//! then: a real thread may be as late as it likes.

use std::cell::{Cell, RefCell};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::Condvar;
use shuttle::thread;

thread_local! {
    static NOW_NS: Cell<u64> = const { Cell::new(0) };
    static ALARMS: RefCell<Vec<Alarm>> = const { RefCell::new(Vec::new()) };
    static IN_A_HURRY: Cell<bool> = const { Cell::new(false) };
    static KEEPER: RefCell<Option<thread::Thread>> = const { RefCell::new(None) };
    static IS_OVER: Cell<bool> = const { Cell::new(false) };
}

/// Somebody waits with a limit.
struct Alarm {
    at: u64,
    up: Arc<AtomicBool>,
    condvar: Arc<Condvar>,
}

fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(Instant::now)
}

/// The time, which passes a little each time somebody asks, and sometimes a little more.
pub fn now() -> Instant {
    let step = if thread_rng().gen_range(0..16) == 0 { 40_000 } else { 500 };
    NOW_NS.set(NOW_NS.get() + step);
    origin() + Duration::from_nanos(NOW_NS.get())
}

/// Whoever made it keeps time, until it is dropped.
#[derive(Debug)]
pub struct Clock(Option<thread::JoinHandle<()>>);

impl Clock {
    /// To be called first of all by an execution's main thread: the clock has to be its second one.
    pub fn start() -> Clock {
        NOW_NS.set(0);
        ALARMS.take();
        IS_OVER.set(false);
        let keeper = thread::spawn(keep);
        KEEPER.set(Some(keeper.thread().clone()));
        Clock(Some(keeper))
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        IS_OVER.set(true);
        wake_keeper();
        if let Some(thread) = self.0.take() {
            let _ = thread.join();
        }
    }
}

/// Parked while there are no alarms. (No lock: whoever sets an alarm may hold others, and must not wait for the clock.)
fn keep() {
    while !IS_OVER.get() {
        if ALARMS.with_borrow(Vec::is_empty) {
            thread::park();
        } else {
            ring();
            thread::yield_now();
        }
    }
}

fn wake_keeper() {
    if let Some(keeper) = KEEPER.with_borrow(Clone::clone) {
        keeper.unpark();
    }
}

/// A real thread is late by some milliseconds now and then, but not by a second.
const MOST_IN_A_HURRY: u64 = 50_000_000;

/// The explorer lets the clock go on although others could (or does not).
pub fn hurry(is_in_a_hurry: bool) {
    IN_A_HURRY.set(is_in_a_hurry);
}

/// Whoever was told that the time is up may not have slept yet: it is told until it hears. If all have heard, it is the
/// next one's turn.
fn ring() {
    let (ringing, next) = ALARMS.with_borrow(|alarms| {
        let ringing: Vec<_> = alarms
            .iter()
            .filter(|alarm| alarm.up.load(Relaxed))
            .map(|alarm| alarm.condvar.clone())
            .collect();
        let waiting = alarms.iter().filter(|alarm| !alarm.up.load(Relaxed));
        let next = waiting.min_by_key(|alarm| alarm.at);
        (ringing, next.map(|alarm| (alarm.at, alarm.up.clone(), alarm.condvar.clone())))
    });
    let is_heard = ringing.is_empty();
    ringing.iter().for_each(|condvar| condvar.notify_all());
    if let (Some((at, up, condvar)), true) = (next, is_heard) {
        if IN_A_HURRY.get() && at > NOW_NS.get() + MOST_IN_A_HURRY {
            return;
        }
        NOW_NS.set(NOW_NS.get().max(at));
        up.store(true, Relaxed);
        condvar.notify_all();
    }
}

/// This limit ends a wait on the condition variable. The answer tells, after the wait, whether it did.
pub(crate) fn set_alarm(limit: Duration, condvar: &Arc<Condvar>) -> Option<Arc<AtomicBool>> {
    let ns = u64::try_from(limit.as_nanos()).ok()?;
    let at = NOW_NS.get().checked_add(ns)?;
    let up = Arc::new(AtomicBool::new(false));
    let alarm = Alarm { at, up: Arc::clone(&up), condvar: Arc::clone(condvar) };
    ALARMS.with_borrow_mut(|alarms| alarms.push(alarm));
    wake_keeper();
    Some(up)
}

pub(crate) fn cancel_alarm(up: &Arc<AtomicBool>) {
    ALARMS.with_borrow_mut(|alarms| alarms.retain(|alarm| !Arc::ptr_eq(&alarm.up, up)));
}
