//! A manual clock moves on when nothing can happen any more: not before, and then surely. (A child of
//! the protocol's module, so that it may use what is private there.)

use loom::sync::Arc as Counted;
use loom::thread;

use super::{Awake, AwakeHere, Quiet, Sitter};
use crate::__models::task::run_on;
use crate::primitive::{AtomicUsize, Ordering};
use crate::scheduler::park::{NoBed, Parker};
use crate::scheduler::queue::Queue;
use crate::scheduler::sleep::notify_fence;
use crate::scheduler::{Cause, OnWorkers, Scheduler, schedule};
use crate::task::cell::{self, Spawn};

/// A runtime with one worker and one seat, as far as it matters here.
struct Small {
    scheduler: &'static Scheduler,
    quiet: std::sync::Arc<Quiet>,
    seat: Counted<Seat>,
}

/// As in `scheduler/root.rs`; the mailbox holds no task, but a count of what came.
struct Seat {
    sitter: Sitter,
    mail: AtomicUsize,
    parker: Parker,
    /// What has to be done before time moves, how often it can, and how often it did.
    done: AtomicUsize,
    deadlines: AtomicUsize,
    moved: AtomicUsize,
    stop: AtomicUsize,
}

impl Seat {
    fn wake(&self) {
        self.sitter.wakes();
        self.mail.fetch_add(1, Ordering::Release);
        self.parker.unpark(None::<&NoBed>);
    }

    fn wait(&self) {
        self.sitter.rests();
        while self.mail.load(Ordering::Relaxed) == 0 {
            self.parker.park();
        }
        self.mail.fetch_sub(1, Ordering::Acquire);
    }
}

impl Small {
    /// `deadlines`: how often there is one to go to. Each wakes the root.
    fn new(deadlines: usize) -> Small {
        // (It is given back to nobody: one is leaked in each execution.)
        let scheduler = Scheduler::obtain(1);
        let seat = Counted::new(Seat {
            sitter: Sitter::new(),
            mail: AtomicUsize::new(0),
            parker: Parker::new(),
            done: AtomicUsize::new(0),
            deadlines: AtomicUsize::new(deadlines),
            moved: AtomicUsize::new(0),
            stop: AtomicUsize::new(0),
        });
        let there = seat.clone();
        let move_on = move || {
            assert!(there.done.load(Ordering::Relaxed) == 1, "MODEL: time moved too early");
            if there.moved.load(Ordering::Relaxed) == there.deadlines.load(Ordering::Relaxed) {
                return false;
            }
            there.moved.fetch_add(1, Ordering::Relaxed);
            there.wake();
            true
        };
        let quiet = std::sync::Arc::new(Quiet::new(scheduler, 1, Box::new(move_on)));
        Small { scheduler, quiet, seat }
    }

    fn spawn(scheduler: &'static Scheduler, work: impl FnOnce() + Send + 'static) {
        let site = std::panic::Location::caller();
        let new = Spawn { owner: scheduler, site, home: None, extra: None };
        let (task, handle) = cell::spawn::<OnWorkers, _>(async move { work() }, new);
        drop(handle);
        schedule(scheduler, task, Cause::Spawn);
    }

    /// As `Worker::run`.
    fn start_worker(&self) -> thread::JoinHandle<()> {
        let (scheduler, seat) = (self.scheduler, self.seat.clone());
        let quiet = self.quiet.clone();
        thread::spawn(move || {
            let (queue, set) = (Queue::new(), &scheduler.sets[0]);
            loop {
                while let Some(popped) = set.injector.pop(&queue, |_| 1) {
                    run_on(popped.first);
                }
                set.sleep.announce(0, false);
                let mut resting = None;
                loop {
                    if !set.injector.is_empty() {
                        let _ = set.sleep.retract(0);
                        break;
                    }
                    if seat.stop.load(Ordering::Relaxed) == 1 {
                        return;
                    }
                    resting.get_or_insert_with(|| quiet.park());
                    if set.sleep.park(0) {
                        break;
                    }
                }
                drop(resting);
                let _ = set.sleep.stop_search();
            }
        })
    }

    fn sit_down(&self) -> AwakeHere {
        let awake = AwakeHere::root(&self.quiet);
        self.seat.sitter.sits_down(Some(&self.quiet));
        awake
    }

    fn end(self, awake: AwakeHere, worker: thread::JoinHandle<()>) {
        self.seat.sitter.gets_up();
        drop(awake);
        self.seat.stop.store(1, Ordering::Relaxed);
        notify_fence();
        self.scheduler.notify_all();
        worker.join().unwrap();
    }
}

/// The root leaves something to the worker and rests. The worker wakes it and rests; the root, which
/// may still be having its look, has something to do yet.
pub fn worker_wakes_root() {
    let small = Small::new(1);
    let awake = small.sit_down();
    let worker = small.start_worker();
    let seat = small.seat.clone();
    Small::spawn(small.scheduler, move || seat.wake());
    small.seat.wait();
    small.seat.done.store(1, Ordering::Relaxed);
    // For the time to pass.
    small.seat.wait();
    assert!(small.seat.moved.load(Ordering::Relaxed) == 1, "MODEL: time moved once");
    small.end(awake, worker);
}

/// A job leaves something to the worker and ends, while the root goes to rest.
pub fn job_leaves_work() {
    let small = Small::new(1);
    let awake = small.sit_down();
    let worker = small.start_worker();
    let token = Awake::new(&small.quiet);
    let (scheduler, seat) = (small.scheduler, small.seat.clone());
    let job = thread::spawn(move || {
        Small::spawn(scheduler, move || seat.done.store(1, Ordering::Relaxed));
        drop(token);
    });
    small.seat.wait();
    assert!(small.seat.moved.load(Ordering::Relaxed) == 1, "MODEL: time moved once");
    job.join().unwrap();
    small.end(awake, worker);
}

/// Nobody sleeps, so there is nothing to go to. A thread from outside wakes the root just then, which
/// begins to sleep.
pub fn news_while_moving() {
    let small = Small::new(0);
    let awake = small.sit_down();
    small.seat.done.store(1, Ordering::Relaxed);
    let worker = small.start_worker();
    let seat = small.seat.clone();
    let outside = thread::spawn(move || seat.wake());
    small.seat.wait();
    small.seat.deadlines.store(1, Ordering::Relaxed);
    small.seat.wait();
    outside.join().unwrap();
    assert!(small.seat.moved.load(Ordering::Relaxed) == 1, "MODEL: time moved once");
    small.end(awake, worker);
}
