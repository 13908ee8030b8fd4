//! Sleeps and timeouts, by hand and by the timer's thread; the monitor, which is the same thread.

use std::sync::Arc;
use std::time::Duration;

use shuttle::sync::{Condvar, Mutex};
use shuttle::thread;

use super::Scenario;
use crate::filch;
use crate::support::{Gate, Ledger, any, runtime, watched};

pub(crate) const ALL: &[Scenario] = &[
    ("sleeps_by_hand", 1, sleeps_by_hand),
    ("sleeps", 1, sleeps),
    ("timeouts_beside_the_end", 1, timeouts_beside_the_end),
    ("stuck_worker", 1, stuck_worker),
    ("all_stuck", 1, all_stuck),
    ("stuck_after_a_rest", 1, stuck_after_a_rest),
];

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

async fn sleep_in_turn(ledger: &Ledger) {
    let start = filch::time::now();
    let tasks: Vec<_> = (0..4)
        .map(|i| {
            let length = ms([1, 5, 5, 300][i]);
            filch::spawn(ledger.enter(async move {
                filch::sleep(length).await;
                assert!(filch::time::now() >= start + length, "too early");
                filch::yield_now().await;
                filch::sleep(ms(1)).await;
            }))
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(filch::time::now() >= start + ms(301), "too early");
}

fn sleeps_by_hand() {
    sleep_on(runtime(3));
}

fn sleeps() {
    sleep_on(watched(2));
}

fn sleep_on(runtime: filch::Runtime) {
    let ledger = Ledger::new();
    runtime.block_on(sleep_in_turn(&ledger));
    let handle = runtime.handle();
    drop(runtime);
    ledger.assert_over();
    ledger.assert_agrees(&handle);
}

/// Timeouts whose time comes when what they are for is just there.
fn timeouts_beside_the_end() {
    let runtime = watched(2);
    let ledger = Ledger::new();
    let gate = Gate::new();
    let waits: Vec<_> = (0..3)
        .map(|i| {
            let gate = gate.clone();
            runtime.spawn(
                ledger.enter(async move { filch::timeout(ms(i), gate.passed()).await.is_ok() }),
            )
        })
        .collect();
    let opener = thread::spawn(move || gate.open());
    runtime.block_on(async {
        for wait in waits {
            let _ = wait.await.unwrap();
        }
    });
    opener.join().unwrap();
    let handle = runtime.handle();
    drop(runtime);
    assert_eq!(ledger.finished(), 3);
    ledger.assert_over();
    ledger.assert_agrees(&handle);
}

/// Blocks its thread until it is let go.
#[derive(Clone, Default)]
struct Latch(Arc<(Mutex<bool>, Condvar)>);

impl Latch {
    fn wait(&self) {
        let mut is_open = self.0.0.lock().unwrap();
        while !*is_open {
            is_open = self.0.1.wait(is_open).unwrap();
        }
    }

    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

/// The only worker's poll waits for a task behind it: a spare worker comes.
fn stuck_worker() {
    let runtime = watched(1);
    let ledger = Ledger::new();
    let latch = Latch::default();
    let (stuck, other) = (latch.clone(), latch.clone());
    let inner = ledger.clone();
    let task = runtime.spawn(ledger.enter(async move {
        // In the slot, or in the queue behind one in the slot.
        for _ in 0..any(2) {
            drop(filch::spawn(inner.enter(async {})));
        }
        let behind = filch::spawn(inner.enter(async move { other.open() }));
        stuck.wait();
        behind.await.unwrap();
    }));
    runtime.block_on(task).unwrap();
    let handle = runtime.handle();
    drop(runtime);
    ledger.assert_over();
    ledger.assert_agrees(&handle);
}

/// Both workers are stuck, what frees them comes from outside and from the timer.
fn all_stuck() {
    let runtime = watched(2);
    let ledger = Ledger::new();
    let latches = [Latch::default(), Latch::default()];
    let stuck: Vec<_> = latches
        .iter()
        .map(|latch| {
            let latch = latch.clone();
            runtime.spawn(ledger.enter(async move {
                filch::yield_now().await;
                latch.wait();
            }))
        })
        .collect();
    let sleeper = {
        let latch = latches[0].clone();
        runtime.spawn(ledger.enter(async move {
            filch::sleep(ms(3)).await;
            latch.open();
        }))
    };
    let outside = {
        let (handle, ledger, latch) = (runtime.handle(), ledger.clone(), latches[1].clone());
        thread::spawn(move || handle.spawn(ledger.enter(async move { latch.open() })))
    };
    runtime.block_on(async {
        for task in stuck {
            task.await.unwrap();
        }
        sleeper.await.unwrap();
    });
    drop(outside.join().unwrap());
    let handle = runtime.handle();
    drop(runtime);
    ledger.assert_over();
    ledger.assert_agrees(&handle);
}

/// All have slept for so long that the monitor is about to stop, or has: whoever is woken then calls it.
fn stuck_after_a_rest() {
    let runtime = watched(1);
    let ledger = Ledger::new();
    let handle = runtime.handle();
    runtime.block_on(filch::sleep(ms(90 + any(20) as u64)));
    let latch = Latch::default();
    let stuck = latch.clone();
    let first = handle.spawn(ledger.enter(async move { stuck.wait() }));
    let second = handle.spawn(ledger.enter(async move { latch.open() }));
    runtime.block_on(async {
        first.await.unwrap();
        second.await.unwrap();
    });
    drop(runtime);
    assert_eq!(ledger.finished(), 2);
    ledger.assert_agrees(&handle);
}
