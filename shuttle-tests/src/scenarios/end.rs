//! The end of a runtime, at the worst moment.

use std::time::Duration;

use shuttle::thread;

use super::Scenario;
use crate::filch;
use crate::support::{Gate, Ledger, any, runtime, watched};

pub(crate) const ALL: &[Scenario] = &[
    ("drop_while_spawning", 1, drop_while_spawning),
    ("shutdown_while_spawning", 1, shutdown_while_spawning),
    ("drop_beside_first_waits", 1, drop_beside_first_waits),
    ("cleanups", 1, cleanups),
    ("shutdown_beside_wakes", 1, shutdown_beside_wakes),
    ("dropped_inside", 1, dropped_inside),
];

/// Others spawn on while it ends: every handle learns of an end, and no future is left.
fn spawn_and_end(runtime: filch::Runtime, end: fn(filch::Runtime)) {
    let ledger = Ledger::new();
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let (handle, ledger) = (runtime.handle(), ledger.clone());
            thread::spawn(move || {
                for _ in 0..3 {
                    let inner = ledger.clone();
                    let again = handle.clone();
                    let mut task = handle.spawn(ledger.enter(async move {
                        filch::yield_now().await;
                        drop(again.spawn(inner.enter(async {})));
                    }));
                    if any(2) == 0 {
                        let _ = task.join_timeout(None).expect("without a limit it ends");
                    }
                }
            })
        })
        .collect();
    end(runtime);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    ledger.assert_over();
}

fn drop_while_spawning() {
    spawn_and_end(runtime(2), drop);
}

fn shutdown_while_spawning() {
    let end = |runtime: filch::Runtime| {
        let report = runtime.shutdown(Duration::from_secs(1));
        assert!(report.stuck.is_empty(), "{report:?}");
    };
    if any(2) == 0 { spawn_and_end(runtime(3), end) } else { spawn_and_end(watched(2), end) }
}

/// Tasks begin to wait while the runtime ends: each stands in a list or is refused there, none is overlooked.
fn drop_beside_first_waits() {
    let runtime = runtime(2);
    let ledger = Ledger::new();
    for _ in 0..3 {
        drop(runtime.spawn(ledger.enter(std::future::pending::<()>())));
        let entered = ledger.clone();
        drop(runtime.spawn_local(move || entered.enter(std::future::pending::<()>())));
    }
    let handle = runtime.handle();
    if any(2) == 0 {
        drop(runtime);
    } else {
        let report = runtime.shutdown(Duration::MAX);
        assert_eq!((report.aborted, report.stuck.len()), (0, 0), "{report:?}");
    }
    ledger.assert_over();
    assert_eq!((handle.metrics().alive, handle.tasks().len()), (0, 0));
}

/// What is asked to end cleans up, which takes some steps and some time.
fn cleanups() {
    let runtime = if any(2) == 0 { runtime(2) } else { watched(2) };
    let ledger = Ledger::new();
    for i in 0..4 {
        drop(runtime.spawn(ledger.enter(async move {
            let caught = filch::catch_cancel(std::future::pending::<()>()).await;
            filch::yield_now().await;
            if i % 2 == 0 {
                filch::sleep(Duration::from_millis(2)).await;
            }
            let _ = filch::spawn(async {}).await;
            drop(caught);
        })));
    }
    let handle = runtime.handle();
    let report = runtime.shutdown(Duration::from_secs(3600));
    assert_eq!(report.aborted, 0, "{report:?}");
    assert!(report.stuck.is_empty(), "{report:?}");
    ledger.assert_over();
    assert_eq!(handle.metrics().alive, 0);
}

/// Gates open while everything ends.
fn shutdown_beside_wakes() {
    let runtime = runtime(3);
    let ledger = Ledger::new();
    let gates: Vec<_> = (0..3).map(|_| Gate::new()).collect();
    let mut handles: Vec<_> = gates
        .iter()
        .map(|gate| {
            let gate = gate.clone();
            runtime.spawn(ledger.enter(async move { gate.passed().await }))
        })
        .collect();
    let local = runtime.spawn_local({
        let (gate, ledger) = (gates[0].clone(), ledger.clone());
        move || ledger.enter(async move { gate.passed().await })
    });
    handles.push(local);
    let opener = thread::spawn(move || gates.iter().for_each(Gate::open));
    let grace = Duration::from_secs(any(2) as u64);
    let report = runtime.shutdown(grace);
    assert!(report.stuck.is_empty(), "{report:?}");
    for handle in &mut handles {
        let ended = handle.try_join().expect("a task without an end");
        assert!(ended.is_ok() || ended.unwrap_err().is_cancelled());
    }
    opener.join().unwrap();
    ledger.assert_over();
}

/// The last handles of a runtime go in a task of it, and in one of another.
fn dropped_inside() {
    let outer = runtime(2);
    let ledger = Ledger::new();
    let inner = watched(1);
    let handle = inner.handle();
    let waiting = inner.spawn(ledger.enter(std::future::pending::<()>()));
    let ending = outer.spawn(ledger.enter(async move {
        drop(inner);
        waiting.await.unwrap_err().is_cancelled()
    }));
    let late = thread::spawn({
        let ledger = ledger.clone();
        move || drop(handle.spawn(ledger.enter(async {})))
    });
    assert!(outer.block_on(ending).unwrap());
    late.join().unwrap();
    drop(outer);
}
