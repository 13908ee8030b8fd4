//! The end of a runtime: whoever comes late is dropped, nobody is forgotten.

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use loom::sync::Arc;
use loom::thread;

use super::task::Waits;
use crate::error::JoinError;
use crate::primitive::{AtomicUsize, Condvar, Mutex, Ordering, UnsafeCell, seeded};
use crate::scheduler::injector::Injector;
use crate::scheduler::live::{Left, LiveList};
use crate::scheduler::queue::Queue;
use crate::scheduler::sleep::{Sleep, notify_fence};
use crate::task::cell::{self, Closed, Join, Listed, Place, Spawn};
use crate::task::extra::Hold;
use crate::task::{Ran, Runnable, Schedule, TaskRef};

/// The scheduler as its shutdown sees it, with one worker. What the real one does is repeated here
/// in few words: it has 32 of nearly everything, too many for a model.
#[derive(Debug)]
struct Office {
    injector: Injector,
    list: LiveList,
    sleep: Sleep,
    phase: AtomicUsize,
    drained: (Mutex<()>, Condvar),
}

const DRAINING: usize = 1;
const CLOSING: usize = 2;

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

    fn is_closing(owner: &'static Office) -> bool {
        owner.is_closing()
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
            sleep: Sleep::new(None),
            phase: AtomicUsize::new(0),
            drained: (Mutex::new(()), Condvar::new()),
        }))
    }

    fn spawn<F: Future>(&'static self, future: F) -> (Runnable, Join<F::Output>) {
        let site = Location::caller();
        let new = Spawn { owner: self, site, home: None, extra: None };
        cell::spawn::<InOffice, F>(future, new)
    }

    fn is_closing(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == CLOSING
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
                    let _ = self.sleep.retract(worker);
                    break;
                }
                if self.phase.load(Ordering::Relaxed) == DRAINING {
                    self.hint_drained();
                }
                if self.is_closing() && self.list.is_empty() {
                    let _ = self.sleep.retract(worker);
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

    /// As `Scheduler::drain`.
    fn drain(&self) {
        self.phase.store(DRAINING, Ordering::Relaxed);
        self.list.for_each(|task| {
            task.shut();
        });
        if !seeded("drain-without-fence") {
            notify_fence();
        }
    }

    /// As `Scheduler::wait_until_drained`.
    fn wait_until_drained(&self) {
        let (lock, changed) = &self.drained;
        let mut guard = lock.lock();
        // One worker is parked, none searches.
        while !self.list.is_empty() || self.sleep.word() != (1, 0) || !self.injector.is_empty() {
            (guard, _) = changed.wait_timeout(guard, std::time::Duration::MAX);
        }
        drop(guard);
    }

    /// As `Scheduler::hint_drained`.
    fn hint_drained(&self) {
        let (lock, changed) = &self.drained;
        drop(lock.lock());
        changed.notify_all();
    }

    /// As `Scheduler::close`.
    fn close(&self) {
        self.phase.store(CLOSING, Ordering::Relaxed);
        self.list.close();
        self.list.for_each(|task| {
            if !task.shut() && !seeded("leave-the-held") {
                task.wake();
            }
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

/// A worker that has nothing to do parks while its runtime begins to drain: whoever waits for the
/// end of all tasks hears of it.
pub fn drain_park() {
    let office = Office::new();
    let worker = thread::spawn(|| office.work(0));
    office.drain();
    office.wait_until_drained();
    office.close();
    worker.join().unwrap();
    office.seal();
}

/// As before, with a task that ends because of that.
pub fn drain_end() {
    let office = Office::new();
    let handle = office.waiting();
    let worker = thread::spawn(|| office.work(0));
    office.drain();
    office.wait_until_drained();
    office.close();
    worker.join().unwrap();
    office.seal();
    office.check(handle);
}

/// Waits once, then ends, and is held back by what lies in here.
struct Held {
    hold: Arc<std::sync::Mutex<Option<Hold>>>,
    waited: bool,
}

impl Future for Held {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if !std::mem::replace(&mut self.waited, true) {
            return Poll::Pending;
        }
        let hold = Hold::new(cell::current().expect("MODEL: it is polled as a task"));
        *self.hold.lock().unwrap() = Some(hold);
        Poll::Ready(())
    }
}

/// A task ends while its runtime closes, and what holds its end back stays: it is not waited for.
pub fn close_held() {
    let office = Office::new();
    let hold = Arc::default();
    let (task, mut handle) = office.spawn(Held { hold: Arc::clone(&hold), waited: false });
    assert!(matches!(task.run(), Ran::Parked), "MODEL: it waits");
    handle.task().wake();
    let closer = thread::spawn(|| office.close());
    office.work(0);
    office.seal();
    closer.join().unwrap();
    assert!(handle.try_take().is_some(), "MODEL: the workers left a task behind");
    drop(hold.lock().unwrap().take());
}
