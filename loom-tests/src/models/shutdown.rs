//! The end of a runtime: whoever comes late is dropped, nobody is forgotten.

use std::future::Future;
use std::panic::Location;

use loom::sync::Arc;
use loom::thread;

use super::task::Waits;
use crate::error::JoinError;
use crate::primitive::{AtomicBool, Ordering, UnsafeCell, seeded};
use crate::scheduler::injector::Injector;
use crate::scheduler::live::{Left, LiveList};
use crate::scheduler::queue::Queue;
use crate::scheduler::sleep::{Sleep, notify_fence};
use crate::task::cell::{self, Closed, Join, Listed, Place, Spawn};
use crate::task::{Ran, Runnable, Schedule, TaskRef};

/// The scheduler as its shutdown sees it, with one worker. What the real one does is repeated here
/// in few words: it has 32 of nearly everything, too many for a model.
#[derive(Debug)]
struct Office {
    injector: Injector,
    list: LiveList,
    sleep: Sleep,
    closing: AtomicBool,
}

#[derive(Debug)]
enum InOffice {}

impl Schedule for InOffice {
    type Owner = Office;

    fn schedule(owner: &'static Office, task: Runnable) {
        match owner.injector.push(task) {
            Ok(()) => {
                notify_fence();
                let _ = owner.sleep.notify_one();
            }
            Err(task) => drop(task),
        }
    }

    fn track(owner: &'static Office, task: Listed) -> Result<Place, (Closed, Listed)> {
        owner.list.insert(task).map(|slot| Place { slot, list: 0 })
    }

    fn untrack(owner: &'static Office, place: Place) -> Listed {
        let (task, left) = owner.list.remove(place.slot);
        if left == Left::ClosedAndEmpty && !seeded("leave-silently") {
            owner.sleep.notify_all();
        }
        task
    }

    fn later(_: &'static Office, job: cell::Job) {
        job();
    }

    fn unhandled(_: &'static Office, _: &JoinError) {}
}

impl Office {
    /// (As with a `Desk`: one is leaked in each execution.)
    fn new() -> &'static Office {
        Box::leak(Box::new(Office {
            injector: Injector::new(),
            list: LiveList::default(),
            sleep: Sleep::new(),
            closing: AtomicBool::new(false),
        }))
    }

    fn spawn<F: Future>(&'static self, future: F) -> (Runnable, Join<F::Output>) {
        let site = Location::caller();
        let new = Spawn { owner: self, site, home: None, extra: None };
        cell::spawn::<InOffice, F>(future, new)
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// As `Worker::run`.
    fn work(&self, worker: usize) {
        let queue = Queue::new();
        loop {
            while let Some(popped) = self.injector.pop(&queue, |_| 1) {
                if self.is_closing() {
                    drop(popped.first);
                } else {
                    let ran = popped.first.run();
                    assert!(!matches!(ran, Ran::Again(_)), "MODEL: nobody wakes itself");
                }
            }
            self.sleep.announce(worker, false);
            loop {
                if !self.injector.is_empty() {
                    self.sleep.retract(worker);
                    break;
                }
                if self.is_closing() && self.list.is_empty() {
                    self.sleep.retract(worker);
                    let _ = self.sleep.stop_search();
                    return;
                }
                if self.sleep.park(worker) {
                    break;
                }
            }
            if self.sleep.stop_search() && !self.injector.is_empty() {
                let _ = self.sleep.notify_one();
            }
        }
    }

    /// As `Scheduler::close`.
    fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        self.list.close();
        self.list.for_each(|task| {
            task.shut();
        });
        notify_fence();
        self.sleep.notify_all();
    }

    /// As `Scheduler::seal`, by the last worker to leave.
    fn seal(&self) {
        drop(self.injector.close());
    }

    /// A task that waits.
    fn waiting(&'static self) -> Join<()> {
        let (task, handle) = self.spawn(Waits(Arc::new(UnsafeCell::new(0))));
        assert!(matches!(task.run(), Ran::Parked), "MODEL: it waits");
        handle
    }

    fn check(&self, mut handle: Join<()>) {
        let end = handle.try_take().expect("MODEL: the workers left a task behind");
        assert!(end.is_err_and(|error| error.is_cancelled()), "MODEL: it was shut down");
        assert!(self.list.is_empty() && self.injector.is_empty(), "MODEL: nothing is left");
        assert!(self.sleep.word() == (0, 0), "MODEL: nobody sleeps or searches at the end");
    }
}

/// A waiting task is woken while its runtime ends: whether it is the request or the wake-up that
/// schedules it, and whether the worker is still there or has left, it ends, and once.
pub fn wake_close() {
    let office = Office::new();
    let handle = office.waiting();
    let waker: TaskRef = handle.task();
    let other = thread::spawn(move || waker.wake());
    let closer = thread::spawn(|| office.close());
    office.work(0);
    office.seal();
    closer.join().unwrap();
    other.join().unwrap();
    office.check(handle);
}

/// One worker ends the last task while the other goes to sleep: both leave.
pub fn close_leave() {
    let office = Office::new();
    let handle = office.waiting();
    let other = thread::spawn(|| office.work(1));
    office.close();
    office.work(0);
    other.join().unwrap();
    office.seal();
    office.check(handle);
}
