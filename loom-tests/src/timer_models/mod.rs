//! The timer: nobody sleeps past a deadline, and each waker is used once.
//!
//! They belong to the loom build of the timer, as `models` does to that of the runtime, and are run
//! by `loom-tests/src/proofs.rs`. Time is a manual clock, on which a parked turner has no limit: it
//! gets up if it is brought news, or never, and that is a deadlock.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use loom::thread;

use crate::primitive::{Condvar, Mutex};
use crate::{Clock, Entry, Timer, set_shard};

/// Soon enough to be dealt with by the intake and the heap.
const SOON: Duration = Duration::from_millis(10);
const LATER: Duration = Duration::from_millis(20);
/// Waits in a far bucket first.
const FAR: Duration = Duration::from_secs(3600);

fn timer(shards: usize) -> (Clock, Timer) {
    let clock = Clock::manual();
    let builder = Timer::builder().clock(clock.clone()).shards(shards);
    let timer = builder.min_gap(Duration::ZERO).thread(false).start();
    (clock, timer.expect("MODEL: it needs no thread"))
}

/// Wakes a thread, as wakers must: what was done before is seen by whoever was woken.
struct Bell {
    rung: Mutex<usize>,
    news: Condvar,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        *self.rung.lock() += 1;
        self.news.notify_all();
    }
}

impl Bell {
    fn new() -> Arc<Bell> {
        Arc::new(Bell { rung: Mutex::new(0), news: Condvar::new() })
    }

    fn times(&self) -> usize {
        *self.rung.lock()
    }

    fn poll(self: &Arc<Self>, entry: &mut Entry, timer: &Timer) -> Poll<()> {
        entry.poll(timer, &mut Context::from_waker(&Waker::from(self.clone())))
    }

    /// Sleeps until it has rung more often than that.
    fn wait(&self, times: usize) {
        let mut rung = self.rung.lock();
        while *rung <= times {
            rung = self.news.wait(rung);
        }
    }

    /// No waker is kept.
    fn check(self: Arc<Self>) {
        assert!(Arc::strong_count(&self) == 1, "MODEL: a waker was kept");
    }
}

fn check_empty(timer: &Timer) {
    assert!(timer.stats().registered == 0, "MODEL: each slot is given back, once");
}

/// The timer's thread, until it has planned to turn at `deadline`.
fn drive_until(timer: &Timer, deadline: Option<Instant>) {
    loop {
        let next = timer.turn_now();
        if next.is_some() && next <= deadline {
            return;
        }
        timer.park(next);
    }
}

/// Registers for a deadline while the turner goes to sleep: it must get up and plan with it.
fn register(duration: Duration) {
    let (_, timer) = timer(1);
    let mut entry = timer.entry(duration);
    let turner = {
        let (timer, deadline) = (timer.clone(), entry.deadline());
        thread::spawn(move || drive_until(&timer, deadline))
    };
    assert!(entry.poll(&timer, &mut Context::from_waker(Waker::noop())).is_pending());
    turner.join().unwrap();
}

/// What is due soon.
pub fn register_park() {
    register(SOON);
}

/// What is due in an hour.
pub fn register_far_park() {
    register(FAR);
}

/// Two deadlines in different shards, registered by two: the plan must be the earlier one's,
/// whoever is first.
pub fn register_register_park() {
    let (_, timer) = timer(2);
    let (mut first, mut second) = (timer.entry(SOON), timer.entry(LATER));
    let turner = {
        let (timer, deadline) = (timer.clone(), first.deadline());
        thread::spawn(move || drive_until(&timer, deadline))
    };
    let other = {
        let timer = timer.clone();
        thread::spawn(move || {
            set_shard(1);
            assert!(second.poll(&timer, &mut Context::from_waker(Waker::noop())).is_pending());
            second
        })
    };
    set_shard(0);
    assert!(first.poll(&timer, &mut Context::from_waker(Waker::noop())).is_pending());
    turner.join().unwrap();
    drop((first, other.join().unwrap()));
    check_empty(&timer);
}

/// Two deadlines in one shard, the earlier one registered when the other has brought news already:
/// it brings none, and must be found by the turn that this has caused.
pub fn register_again_park() {
    let (_, timer) = timer(1);
    let (mut first, mut second) = (timer.entry(LATER), timer.entry(SOON));
    let turner = {
        let (timer, deadline) = (timer.clone(), second.deadline());
        thread::spawn(move || drive_until(&timer, deadline))
    };
    for entry in [&mut first, &mut second] {
        assert!(entry.poll(&timer, &mut Context::from_waker(Waker::noop())).is_pending());
    }
    turner.join().unwrap();
    drop((first, second));
    check_empty(&timer);
}

/// A deadline is moved to an earlier time while the turner goes to sleep.
pub fn reset_park() {
    let (_, timer) = timer(1);
    let mut entry = timer.entry(LATER);
    assert!(entry.poll(&timer, &mut Context::from_waker(Waker::noop())).is_pending());
    let sooner = timer.now() + SOON;
    let turner = {
        let timer = timer.clone();
        thread::spawn(move || drive_until(&timer, Some(sooner)))
    };
    entry.reset(sooner);
    turner.join().unwrap();
}

/// Somebody else turns, too, while the turner goes to sleep.
pub fn register_turn_park() {
    let (_, timer) = timer(1);
    let mut entry = timer.entry(SOON);
    let turner = {
        let (timer, deadline) = (timer.clone(), entry.deadline());
        thread::spawn(move || drive_until(&timer, deadline))
    };
    let other = {
        let timer = timer.clone();
        thread::spawn(move || {
            timer.turn_now();
        })
    };
    assert!(entry.poll(&timer, &mut Context::from_waker(Waker::noop())).is_pending());
    other.join().unwrap();
    turner.join().unwrap();
}

/// A sleep is dropped while it becomes due: it is woken at most once, and freed once.
pub fn cancel_fire() {
    let (clock, timer) = timer(1);
    let bell = Bell::new();
    let mut entry = timer.entry(SOON);
    assert!(bell.poll(&mut entry, &timer).is_pending());
    let other = thread::spawn(move || clock.advance(SOON));
    drop(entry);
    other.join().unwrap();
    assert!(bell.times() <= 1, "MODEL: woken twice");
    check_empty(&timer);
    bell.check();
}

/// Whoever goes to sleep while time passes is woken, once, or not at all; the sleep is over then.
pub fn wait_fire() {
    let (clock, timer) = timer(1);
    let bell = Bell::new();
    let mut entry = timer.entry(SOON);
    let other = thread::spawn(move || clock.advance(SOON));
    let slept = bell.poll(&mut entry, &timer).is_pending();
    if slept {
        bell.wait(0);
        assert!(bell.poll(&mut entry, &timer).is_ready(), "MODEL: woken too early");
    }
    other.join().unwrap();
    drop(entry);
    assert!(bell.times() == usize::from(slept), "MODEL: who waits is woken once");
    check_empty(&timer);
    bell.check();
}

/// A deadline is moved to a later time while it becomes due.
pub fn reset_fire() {
    let (clock, timer) = timer(1);
    let bell = Bell::new();
    let (soon, later) = (timer.now() + SOON, timer.now() + LATER);
    let mut entry = Entry::at(soon);
    assert!(bell.poll(&mut entry, &timer).is_pending());
    let other = {
        let clock = clock.clone();
        thread::spawn(move || clock.advance(SOON))
    };
    entry.reset(later);
    let pending = bell.poll(&mut entry, &timer).is_pending();
    other.join().unwrap();
    assert!(pending, "MODEL: it was early");
    let before = bell.times();
    assert!(before <= 1, "MODEL: woken twice");
    clock.advance(SOON);
    assert!(bell.times() == before + 1, "MODEL: woken once at the new deadline");
    assert!(bell.poll(&mut entry, &timer).is_ready(), "MODEL: it is due");
    drop(entry);
    check_empty(&timer);
    bell.check();
}

/// The waker is replaced while the sleep becomes due: one of the two is woken.
pub fn replace_fire() {
    let (clock, timer) = timer(1);
    let bells = [Bell::new(), Bell::new()];
    let mut entry = timer.entry(SOON);
    assert!(bells[0].poll(&mut entry, &timer).is_pending());
    let other = thread::spawn(move || clock.advance(SOON));
    let ready = bells[1].poll(&mut entry, &timer).is_ready();
    other.join().unwrap();
    let [first, second] = [bells[0].times(), bells[1].times()];
    assert!(first + second <= 1, "MODEL: woken twice");
    assert!(ready || second == 1, "MODEL: whoever polled last is woken");
    drop(entry);
    check_empty(&timer);
    bells.into_iter().for_each(Bell::check);
}

/// The timer is shut down while a sleep becomes due: it is woken once, by either.
pub fn shutdown_fire() {
    let (clock, timer) = timer(1);
    let bell = Bell::new();
    let mut entry = timer.entry(SOON);
    assert!(bell.poll(&mut entry, &timer).is_pending());
    let other = thread::spawn(move || clock.advance(SOON));
    timer.shutdown();
    other.join().unwrap();
    assert!(bell.times() == 1, "MODEL: woken once");
    drop(entry);
    bell.check();
}

/// The timer is shut down while a sleep is dropped, and while its thread parks.
pub fn shutdown_cancel_park() {
    let (_, timer) = timer(1);
    let bell = Bell::new();
    let mut entry = timer.entry(SOON);
    assert!(bell.poll(&mut entry, &timer).is_pending());
    let turner = {
        let timer = timer.clone();
        thread::spawn(move || {
            while !timer.is_shut_down() {
                let next = timer.turn_now();
                timer.park(next);
            }
        })
    };
    let other = thread::spawn(move || drop(entry));
    timer.shutdown();
    turner.join().unwrap();
    other.join().unwrap();
    assert!(bell.times() <= 1, "MODEL: woken twice");
    bell.check();
}
