//! A task that stays on one thread, while its runtime ends: what was started is dropped at home.

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use loom::thread::{self, ThreadId};

use crate::error::JoinError;
use crate::primitive::{AtomicBool, Ordering, UnsafeCell, seeded};
use crate::scheduler::live::{Left, LiveList};
use crate::scheduler::sleep::{Sleep, notify_fence};
use crate::task::cell::{self, Closed, Join, Listed, Place, Spawn, Stack};
use crate::task::{Ran, Runnable, Schedule};

/// A worker's inbox and its list, and what ends a runtime. What the scheduler and the worker do with
/// them is repeated here in few words.
#[derive(Debug)]
struct Home {
    inbox: Stack,
    list: LiveList,
    sleep: Sleep,
    closing: AtomicBool,
}

#[derive(Debug)]
enum AtHome {}

impl Schedule for AtHome {
    type Owner = Home;

    fn schedule(owner: &'static Home, task: Runnable) {
        match owner.inbox.push(task) {
            Ok(()) => {
                notify_fence();
                let _ = owner.sleep.notify(0);
            }
            Err(task) => drop(task),
        }
    }

    fn track(owner: &'static Home, task: Listed) -> Result<Place, (Closed, Listed)> {
        owner.list.insert(task).map(|slot| Place { slot, list: 0 })
    }

    fn untrack(owner: &'static Home, place: Place) -> Listed {
        let (task, left) = owner.list.remove(place.slot);
        if left == Left::ClosedAndEmpty {
            owner.sleep.notify_all();
        }
        task
    }

    fn later(_: &'static Home, job: cell::Job) {
        job();
    }

    fn unhandled(_: &'static Home, _: &JoinError) {}
}

/// Made by a closure, so to speak: until its first poll it may be dropped anywhere.
struct Stays {
    started: Option<ThreadId>,
    /// What loom watches: no two threads touch it without an order between them.
    data: UnsafeCell<usize>,
}

impl Stays {
    fn touch(&self) {
        // SAFETY: loom checks.
        self.data.with_mut(|data| unsafe { *data += 1 });
    }
}

impl Future for Stays {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        let here = thread::current().id();
        assert!(*self.started.get_or_insert(here) == here, "MODEL: polled abroad");
        self.touch();
        Poll::Pending
    }
}

impl Drop for Stays {
    fn drop(&mut self) {
        self.touch();
        let here = thread::current().id();
        assert!(self.started.is_none_or(|home| home == here), "MODEL: dropped abroad");
    }
}

impl Home {
    /// (One is leaked in each execution.)
    fn new() -> &'static Home {
        Box::leak(Box::new(Home {
            inbox: Stack::new(),
            list: LiveList::default(),
            sleep: Sleep::new(None),
            closing: AtomicBool::new(false),
        }))
    }

    fn make(&'static self) -> (Runnable, Join<()>) {
        let new = Spawn { owner: self, site: Location::caller(), home: Some(0), extra: None };
        cell::spawn::<AtHome, _>(Stays { started: None, data: UnsafeCell::new(0) }, new)
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// As `Worker::run`, up to the closed inbox.
    fn work(&self) {
        loop {
            for task in self.inbox.take_all() {
                let ran = if self.is_closing() { task.abandon() } else { task.run() };
                if let Ran::Again(task) = ran {
                    assert!(self.inbox.push(task).is_ok(), "MODEL: the worker is still there");
                }
            }
            self.sleep.announce(0, false);
            loop {
                if !self.inbox.is_empty() {
                    let _ = self.sleep.retract(0);
                    break;
                }
                let no_task_waits = self.list.is_empty() || seeded("leave-tasks-behind");
                if self.is_closing() && no_task_waits {
                    let _ = self.sleep.retract(0);
                    let _ = self.sleep.stop_search();
                    if !seeded("leave-the-inbox-open") {
                        drop(self.inbox.close());
                    }
                    return;
                }
                if self.sleep.park(0) {
                    break;
                }
            }
            let _ = self.sleep.stop_search();
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

    fn check(&self, mut handle: Join<()>) {
        let end = handle.try_take().expect("MODEL: a task was left behind");
        let error = end.expect_err("MODEL: it only waits");
        assert!(error.is_cancelled(), "MODEL: dropped abroad");
        assert!(self.list.is_empty() && self.inbox.is_empty(), "MODEL: nothing is left");
    }
}

/// A started task is woken, and its runtime ends: whoever schedules it, and whenever, its home drops
/// it.
pub fn wake_close_leave() {
    let home = Home::new();
    let (task, handle) = home.make();
    assert!(matches!(task.run(), Ran::Parked), "MODEL: it waits");
    let waker = handle.task();
    let other = thread::spawn(move || waker.wake());
    let closer = thread::spawn(|| home.close());
    home.work();
    closer.join().unwrap();
    other.join().unwrap();
    home.check(handle);
}

/// A task is spawned from elsewhere while the runtime ends: it is started and dropped at home, or not
/// started, and dropped by anybody; but it ends.
pub fn spawn_close_leave() {
    let home = Home::new();
    let spawner = thread::spawn(|| {
        let (task, handle) = home.make();
        if home.is_closing() {
            drop(task);
        } else {
            AtHome::schedule(home, task);
        }
        handle
    });
    let closer = thread::spawn(|| home.close());
    home.work();
    closer.join().unwrap();
    let handle = spawner.join().unwrap();
    home.check(handle);
}
