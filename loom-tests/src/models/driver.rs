//! Who sleeps in the I/O driver: somebody, whenever all sleep. (A child of the scheduler, so that it may use what is private
//! there; the poller is a stand-in, the worker's loop a short copy.)

use std::io;
use std::sync::Arc;
use std::task::{Poll, Waker};

use loom::sync::Arc as Counted;
use loom::thread;
use mio::event::Source;
use mio::{Interest, Registry, Token};

use crate::__models::task::Bell;
use crate::io::driver::{self, Driver};
use crate::io::readiness::Direction;
use crate::io::{self as filch_io, Door};
use crate::primitive::{AtomicUsize, Ordering, seeded};
use crate::scheduler::Scheduler;
use crate::scheduler::sleep::{Notified, Sleep, notify_fence};

/// A source that the model tells of itself.
struct Fake;

impl Source for Fake {
    fn register(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        unreachable!("the stand-in does not ask")
    }

    fn reregister(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        unreachable!("the stand-in does not ask")
    }

    fn deregister(&mut self, _: &Registry) -> io::Result<()> {
        unreachable!("the stand-in does not ask")
    }
}

/// What a worker remembers.
#[derive(Default)]
struct Bed {
    driver: Option<Arc<Driver>>,
    was_in_driver: bool,
}

/// A runtime with two workers, as far as it matters here.
struct Small {
    scheduler: &'static Scheduler,
    /// Tasks that were pushed.
    work: AtomicUsize,
    stop: AtomicUsize,
    /// The second worker is a spare one, and not needed any more.
    dismissed: AtomicUsize,
}

impl Small {
    fn new() -> Counted<Small> {
        // (It is given back to nobody: one is door in each execution.)
        let scheduler = Scheduler::obtain(2);
        let [work, stop, dismissed] = [const { 0 }; 3].map(AtomicUsize::new);
        Counted::new(Small { scheduler, work, stop, dismissed })
    }

    fn sleep(&self) -> &Sleep {
        &self.scheduler.sets[0].sleep
    }

    fn door(&self) -> &'static Door {
        self.scheduler.door()
    }

    /// As the first socket does it.
    fn open(&self) -> Arc<Driver> {
        filch_io::enter(Some(self.door()));
        let driver = Door::current_driver();
        filch_io::enter(None);
        driver.expect("MODEL: there is a driver")
    }

    fn push(&self) {
        self.work.fetch_add(1, Ordering::Relaxed);
        notify_fence();
        self.scheduler.notify(0);
    }

    fn take(&self) -> bool {
        let take = |work: usize| work.checked_sub(1);
        self.work.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// As `Worker::run`.
    fn start_worker(
        small: &Counted<Small>,
        bit: usize,
        done: &Arc<Bell>,
    ) -> thread::JoinHandle<()> {
        let (small, done) = (small.clone(), Waker::from(Arc::clone(done)));
        thread::spawn(move || {
            let mut searching = false;
            let mut bed = Bed::default();
            loop {
                while small.take() {
                    if searching && small.sleep().stop_search() && small.has_work() {
                        small.scheduler.notify(0);
                    }
                    searching = false;
                    done.wake_by_ref();
                }
                let early = seeded("ask-before-announcing").then(|| small.door().is_used());
                small.sleep().announce(bit, searching);
                searching = true;
                loop {
                    if small.has_work() {
                        let _ = small.sleep().retract(bit);
                        break;
                    }
                    if small.is_dismissed(bit) {
                        let _ = small.sleep().retract(bit);
                        small.rest();
                        return;
                    }
                    if small.stop.load(Ordering::Relaxed) == 1 {
                        let _ = small.sleep().retract(bit);
                        let _ = small.sleep().stop_search();
                        return;
                    }
                    let is_used = early.unwrap_or_else(|| small.door().is_used());
                    if small.lie_down(bit, is_used, &mut bed) {
                        break;
                    }
                }
                if small.is_dismissed(bit) {
                    small.rest();
                    return;
                }
            }
        })
    }

    fn is_dismissed(&self, bit: usize) -> bool {
        bit == 1 && self.dismissed.load(Ordering::Relaxed) == 1
    }

    /// As `Worker::rest`, which returns when it is summoned.
    fn rest(&self) {
        if self.sleep().stop_search() && self.has_work() {
            self.scheduler.notify(0);
        }
        if !seeded("rest-silently") {
            self.scheduler.turn_is_free();
        }
    }

    fn has_work(&self) -> bool {
        self.work.load(Ordering::Relaxed) > 0
    }

    /// As `Worker::sleep`.
    fn lie_down(&self, bit: usize, is_used: bool, bed: &mut Bed) -> bool {
        if is_used && bed.driver.is_none() {
            bed.driver = self.door().driver();
        }
        // A twin leaves the driver to others once it was there itself.
        let stays_out = bed.was_in_driver && seeded("rather-the-futex");
        let driver = bed.driver.as_ref().filter(|_| is_used && !stays_out);
        if let Some(mut turn) = driver.and_then(|driver| driver.try_turn()) {
            bed.was_in_driver = true;
            let mut taken = self.sleep().park_in(bit, || turn.wait());
            let mut wakers = Vec::new();
            turn.deliver(&mut wakers);
            if !taken && !wakers.is_empty() {
                let _ = self.sleep().retract(bit);
                taken = true;
            }
            driver::wake_all(&mut wakers);
            return taken;
        }
        self.sleep().park(bit)
    }

    fn end(&self, workers: Vec<thread::JoinHandle<()>>) {
        self.stop.store(1, Ordering::Relaxed);
        notify_fence();
        self.scheduler.notify_all();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    }
}

/// An event comes, and this thread, which is none of the runtime's, waits until it is woken.
fn event(driver: &Driver, (index, generation): (u32, u32)) {
    let bell = Bell::new();
    let waker = Waker::from(Arc::clone(&bell));
    let readiness = driver.readiness(index);
    assert!(readiness.poll(Direction::Read, None, &waker).is_pending(), "MODEL: nothing came yet");
    driver.tell(index, generation);
    loop {
        bell.wait();
        if let Poll::Ready(ready) = readiness.poll(Direction::Read, None, &waker) {
            return readiness.clear(ready);
        }
    }
}

/// Two workers, who find nothing to do, and events, one after another.
pub fn events_two_workers() {
    let small = Small::new();
    let driver = small.open();
    let source = driver.register(&mut Fake, Interest::READABLE, 0).unwrap();
    let unused = Bell::new();
    let workers = (0..2).map(|bit| Small::start_worker(&small, bit, &unused)).collect();
    event(&driver, source);
    event(&driver, source);
    small.end(workers);
}

/// A spare worker, which may have had the turn last, is dismissed: the other one goes to the driver.
pub fn dismiss_spare() {
    let small = Small::new();
    let driver = small.open();
    let source = driver.register(&mut Fake, Interest::READABLE, 0).unwrap();
    let unused = Bell::new();
    let workers = (0..2).map(|bit| Small::start_worker(&small, bit, &unused)).collect();
    small.dismissed.store(1, Ordering::Relaxed);
    notify_fence();
    let _ = small.sleep().notify(1);
    event(&driver, source);
    small.end(workers);
}

/// The monitor looks into the driver while the worker goes to sleep, who does not get the turn.
pub fn look_in_passing() {
    let small = Small::new();
    let driver = small.open();
    let source = driver.register(&mut Fake, Interest::READABLE, 0).unwrap();
    let unused = Bell::new();
    let workers = vec![Small::start_worker(&small, 0, &unused)];
    // As `Sampler::look_into_driver`.
    if let Some(mut turn) = driver.try_turn() {
        turn.look();
        turn.deliver(&mut Vec::new());
        if !seeded("look-in-passing") {
            small.scheduler.turn_is_free();
        }
    }
    event(&driver, source);
    small.end(workers);
}

/// A task for whoever sleeps, in the driver or on its futex.
pub fn push_two_workers() {
    let small = Small::new();
    let _driver = small.open();
    let done = Bell::new();
    let workers = (0..2).map(|bit| Small::start_worker(&small, bit, &done)).collect();
    small.push();
    done.wait();
    small.end(workers);
}

/// An event and a task, which each need a worker of their own in turn.
pub fn push_one_worker() {
    let small = Small::new();
    let driver = small.open();
    let source = driver.register(&mut Fake, Interest::READABLE, 0).unwrap();
    let done = Bell::new();
    let workers = vec![Small::start_worker(&small, 0, &done)];
    small.push();
    event(&driver, source);
    done.wait();
    small.end(workers);
}

/// The first socket, made by a thread that is none of the runtime's while the worker goes to sleep.
pub fn first_socket() {
    let small = Small::new();
    let unused = Bell::new();
    let workers = vec![Small::start_worker(&small, 0, &unused)];
    let driver = small.open();
    let source = driver.register(&mut Fake, Interest::READABLE, 0).unwrap();
    event(&driver, source);
    small.end(workers);
}

/// The first socket, made while the runtime ends: there is a driver, and that is said, or neither.
pub fn open_close() {
    let door: &'static Door = Box::leak(Box::new(Door::new()));
    let closer = thread::spawn(move || door.close());
    filch_io::enter(Some(door));
    let driver = Door::current_driver();
    filch_io::enter(None);
    if let Ok(driver) = &driver {
        if let Ok((index, _)) = driver.register(&mut Fake, Interest::READABLE, 0) {
            let bell = Bell::new();
            let waker = Waker::from(Arc::clone(&bell));
            while driver.readiness(index).poll(Direction::Read, None, &waker).is_pending() {
                bell.wait();
            }
        }
    }
    closer.join().unwrap();
    assert!(door.driver().is_none(), "MODEL: the driver goes with the runtime");
    assert!(!door.is_used(), "MODEL: nobody looks for a driver that is gone");
}

/// The monitor stops while a worker goes to sleep and is woken: it notices that somebody is awake, or it is
/// called.
pub fn stop_watching_wake() {
    let sleep = Counted::new(Sleep::new(None));
    sleep.set_members(1);
    sleep.watch();
    let work = Counted::new(AtomicUsize::new(0));
    let call = Bell::new();
    let woken = |call: &Arc<Bell>, notified: Notified| {
        if notified == Notified::Unwatched {
            Waker::from(Arc::clone(call)).wake();
        }
    };
    let worker = {
        let (sleep, work, call) = (sleep.clone(), work.clone(), Arc::clone(&call));
        thread::spawn(move || {
            sleep.announce(0, false);
            loop {
                if work.load(Ordering::Relaxed) == 1 {
                    break woken(&call, sleep.retract(0));
                }
                if sleep.park(0) {
                    break;
                }
            }
            let _ = sleep.stop_search();
        })
    };
    let monitor = {
        let (sleep, call) = (sleep.clone(), Arc::clone(&call));
        thread::spawn(move || {
            if sleep.stop_watching() {
                call.wait();
            }
        })
    };
    work.store(1, Ordering::Relaxed);
    notify_fence();
    woken(&call, sleep.notify(0));
    worker.join().unwrap();
    monitor.join().unwrap();
    assert!(sleep.is_watched(), "MODEL: somebody was awake, and the monitor does not look");
}
