//! The queues made of tasks: each task comes out once, with what was written before it went in.

use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::ptr;
use std::task::{Context, Poll};

use loom::sync::Arc;
use loom::thread;

use super::task::{Desk, run_on};
use crate::primitive::{AtomicUsize, Ordering, UnsafeCell, seeded};
use crate::scheduler::injector::Injector;
use crate::scheduler::queue::{Queue, Steal};
use crate::scheduler::sleep::{Sleep, notify_fence};
use crate::scheduler::slot::Slot;
use crate::task::Runnable;
use crate::task::cell::AtomicRunnable;

/// Adds up what it was given when it is polled.
struct Adds {
    sum: Arc<AtomicUsize>,
    value: UnsafeCell<usize>,
}

impl Future for Adds {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        // SAFETY: loom checks.
        let value = self.value.with(|value| unsafe { *value });
        self.sum.fetch_add(value, Ordering::Relaxed);
        Poll::Ready(())
    }
}

fn adds(sum: &Arc<AtomicUsize>, value: usize) -> Runnable {
    let adds = Adds { sum: sum.clone(), value: UnsafeCell::new(0) };
    // (Loom notes when a cell is written to, more closely than when it is made.)
    // SAFETY: loom checks.
    adds.value.with_mut(|cell| unsafe { *cell = value });
    let (task, handle) = Desk::new().spawn(adds);
    drop(handle);
    task
}

fn run_all(queue: &Queue<Runnable>) {
    while let Some(task) = queue.pop() {
        run_on(task);
    }
}

/// The owner fills, replaces and empties its slot while a thief helps itself.
pub fn slot_put_steal_take() {
    let (sum, slot) = (Arc::new(AtomicUsize::new(0)), Arc::new(Slot::new()));
    slot.open();
    let thief = {
        let slot = slot.clone();
        thread::spawn(move || slot.steal().into_iter().for_each(run_on))
    };
    for value in [1, 10] {
        slot.put(adds(&sum, value)).into_iter().for_each(run_on);
    }
    slot.close();
    slot.take().into_iter().for_each(run_on);
    thief.join().unwrap();
    assert!(sum.load(Ordering::Relaxed) == 11, "MODEL: each task runs once");
}

/// A place for one task: two threads put one in, and take out what they find.
pub fn place_swap_swap() {
    let (sum, place) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicRunnable::empty()));
    let other = {
        let (sum, place) = (sum.clone(), place.clone());
        thread::spawn(move || place.swap(Some(adds(&sum, 1))).into_iter().for_each(run_on))
    };
    place.swap(Some(adds(&sum, 10))).into_iter().for_each(run_on);
    other.join().unwrap();
    place.take().into_iter().for_each(run_on);
    assert!(sum.load(Ordering::Relaxed) == 11, "MODEL: each task runs once");
}

/// The owner takes what it has put in, again and again, while the monitor lets thieves in, and shuts them out. (What was
/// taken is polled when all is over: a task that was taken twice would not be there any more.)
pub fn slot_take_open_steal() {
    let (sum, slot) = (Arc::new(AtomicUsize::new(0)), Arc::new(Slot::new()));
    let monitor = {
        let slot = slot.clone();
        thread::spawn(move || {
            slot.open();
            slot.close();
        })
    };
    let thief = {
        let slot = slot.clone();
        thread::spawn(move || slot.steal().map(ManuallyDrop::new))
    };
    let mut taken = Vec::new();
    for value in [1, 10] {
        let before = slot.put(adds(&sum, value)).map(ManuallyDrop::new);
        assert!(before.is_none(), "MODEL: it was taken");
        taken.extend(slot.take().map(ManuallyDrop::new));
        assert!(slot.is_empty(), "MODEL: nobody else puts something in");
    }
    monitor.join().unwrap();
    taken.extend(thief.join().unwrap());
    let mut cells = taken.iter().map(|task| ptr::from_ref(task.header())).collect::<Vec<_>>();
    cells.sort();
    cells.dedup();
    assert!((cells.len(), taken.len()) == (2, 2), "MODEL: each task is taken once");
    taken.into_iter().for_each(|task| run_on(ManuallyDrop::into_inner(task)));
    assert!(sum.load(Ordering::Relaxed) == 11, "MODEL: each task runs once");
}

/// A busy worker pushes into its deque while the last other one, which has lost some races, goes to
/// sleep.
pub fn deque_push_last_park() {
    let (sum, sleep) = (Arc::new(AtomicUsize::new(0)), Arc::new(Sleep::new(None)));
    let queue = Queue::new();
    let thief = {
        let (victim, sleep) = (queue.stealer(), sleep.clone());
        thread::spawn(move || {
            let own = Queue::new();
            let task = loop {
                let blindly = match victim.steal_batch_and_pop(&own, 2) {
                    Steal::Success(task) => break task,
                    Steal::Empty => false,
                    // A twin takes a lost race for an empty queue, and relies on that.
                    Steal::Retry => seeded("retry-is-empty"),
                };
                sleep.announce(0, false);
                while (blindly || victim.is_empty()) && !sleep.park(0) {}
                let _ = sleep.retract(0);
                let _ = sleep.stop_search();
            };
            run_on(task);
        })
    };
    queue.push(adds(&sum, 1));
    notify_fence();
    let _ = sleep.notify_one();
    thief.join().unwrap();
    assert!(sum.load(Ordering::Relaxed) == 1, "MODEL: the task runs");
    assert!(sleep.word() == (0, 0), "MODEL: nobody sleeps or searches at the end");
}

/// The owner of a slot is stuck in a poll that has just woken a task. The monitor, which sees that,
/// opens the slot; then it must do as whoever pushes does, for the last worker may be going to
/// sleep.
pub fn slot_open_last_park() {
    let sum = Arc::new(AtomicUsize::new(0));
    let (slot, sleep) = (Arc::new(Slot::new()), Arc::new(Sleep::new(None)));
    let owner = {
        let (sum, slot) = (sum.clone(), slot.clone());
        thread::spawn(move || assert!(slot.put(adds(&sum, 1)).is_none(), "MODEL: it was empty"))
    };
    let thief = {
        let (slot, sleep) = (slot.clone(), sleep.clone());
        thread::spawn(move || {
            let task = loop {
                if let Some(task) = slot.steal() {
                    break task;
                }
                sleep.announce(0, false);
                while !slot.has_loot() && !sleep.park(0) {}
                let _ = sleep.retract(0);
                let _ = sleep.stop_search();
            };
            run_on(task);
        })
    };
    let open = || {
        slot.open();
        notify_fence();
        if !seeded("open-silently") {
            let _ = sleep.notify_one();
        }
    };
    if slot.is_empty() {
        // Not stuck with anything, as it seems. It is at the monitor's next round.
        owner.join().unwrap();
        open();
    } else {
        open();
        owner.join().unwrap();
    }
    thief.join().unwrap();
    assert!(sum.load(Ordering::Relaxed) == 1, "MODEL: the task runs");
    assert!(sleep.word() == (0, 0), "MODEL: nobody sleeps or searches at the end");
}

/// Two push, one of them twice, while a worker takes.
pub fn injector_push_push_pop() {
    let (sum, injector) = (Arc::new(AtomicUsize::new(0)), Arc::new(Injector::new()));
    let one = {
        let (sum, injector) = (sum.clone(), injector.clone());
        thread::spawn(move || injector.push(adds(&sum, 1)).expect("MODEL: it is open"))
    };
    let worker = {
        let injector = injector.clone();
        thread::spawn(move || {
            let queue = Queue::new();
            if let Some(popped) = injector.pop(&queue, |len| len) {
                run_on(popped.first);
            }
            run_all(&queue);
        })
    };
    for value in [10, 100] {
        injector.push(adds(&sum, value)).expect("MODEL: it is open");
    }
    one.join().unwrap();
    worker.join().unwrap();
    let queue = Queue::new();
    while let Some(popped) = injector.pop(&queue, |len| len) {
        run_on(popped.first);
        run_all(&queue);
    }
    assert!(sum.load(Ordering::Relaxed) == 111, "MODEL: each task runs once");
}

/// A push while the injector is closed: the task is either handed out by `close` or handed back.
pub fn injector_push_close() {
    let (sum, injector) = (Arc::new(AtomicUsize::new(0)), Arc::new(Injector::new()));
    let pusher = {
        let (sum, injector) = (sum.clone(), injector.clone());
        thread::spawn(move || {
            if let Err(task) = injector.push(adds(&sum, 1)) {
                run_on(task);
            }
        })
    };
    let (ready, incoming) = injector.close();
    ready.chain(incoming).for_each(run_on);
    pusher.join().unwrap();
    assert!(injector.is_empty(), "MODEL: a closed injector stays empty");
    assert!(sum.load(Ordering::Relaxed) == 1, "MODEL: the task runs once");
}

/// Somebody counts what is pushed, and turns it round for that, while the only worker goes to sleep. It may have found nothing
/// in that moment, after the pusher found it awake: so who counts does as who pushes.
pub fn injector_count_last_park() {
    let (sum, injector) = (Arc::new(AtomicUsize::new(0)), Arc::new(Injector::new()));
    let sleep = Arc::new(Sleep::new(None));
    let worker = {
        let (injector, sleep) = (injector.clone(), sleep.clone());
        thread::spawn(move || {
            let queue = Queue::new();
            let task = loop {
                if let Some(popped) = injector.pop(&queue, |len| len) {
                    break popped.first;
                }
                sleep.announce(0, false);
                while injector.is_empty() && !sleep.park(0) {}
                let _ = sleep.retract(0);
                let _ = sleep.stop_search();
            };
            run_on(task);
        })
    };
    let counter = {
        let (injector, sleep) = (injector.clone(), sleep.clone());
        thread::spawn(move || {
            let count = injector.count();
            assert!(count <= 1, "MODEL: nothing is counted twice");
            if count > 0 && !seeded("count-silently") {
                notify_fence();
                let _ = sleep.notify_one();
            }
        })
    };
    injector.push(adds(&sum, 1)).expect("MODEL: it is open");
    notify_fence();
    let _ = sleep.notify_one();
    counter.join().unwrap();
    worker.join().unwrap();
    assert!(sum.load(Ordering::Relaxed) == 1, "MODEL: the task runs once");
    assert!(injector.count() == 0 && injector.is_empty(), "MODEL: it was the only one");
}
