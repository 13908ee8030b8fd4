//! Requests to end, from everywhere at the wrong moment.

use std::time::Duration;

use shuttle::thread;

use super::Scenario;
use crate::filch;
use crate::support::{Gate, Ledger, any, runtime};

pub(crate) const ALL: &[Scenario] = &[
    ("cancel_beside_the_end", 1, cancel_beside_the_end),
    ("abort_beside_wakes", 1, abort_beside_wakes),
    ("groups_that_fail", 1, groups_that_fail),
    ("group_cancelled", 1, group_cancelled),
    ("groups_that_end", 1, groups_that_end),
    ("gathered", 1, gathered),
    ("caught_requests", 1, caught_requests),
    ("dropped_handles", 1, dropped_handles),
];

/// A thread and a task ask the same tasks to end, which are about to.
fn cancel_beside_the_end() {
    let runtime = runtime(3);
    let ledger = Ledger::new();
    let handles: Vec<_> = (0..4)
        .map(|_| {
            runtime.spawn(ledger.enter(async {
                filch::yield_now().await;
                filch::yield_now().await;
                7
            }))
        })
        .collect();
    let tasks: Vec<_> = handles.iter().map(|handle| handle.task()).collect();
    let outside = thread::spawn({
        let tasks = tasks.clone();
        move || tasks.iter().filter(|task| task.cancel()).count()
    });
    let cancelled = runtime.block_on(async {
        let inside = filch::spawn(ledger.enter(async move {
            for task in tasks {
                task.abort();
            }
        }));
        let mut cancelled = 0;
        for handle in handles {
            match handle.await {
                Ok(value) => assert_eq!(value, 7),
                Err(error) => {
                    assert!(error.is_cancelled(), "{error}");
                    cancelled += 1;
                }
            }
        }
        inside.await.unwrap();
        cancelled
    });
    outside.join().unwrap();
    let handle = runtime.handle();
    drop(runtime);
    assert_eq!(ledger.created(), ledger.finished() + cancelled);
    ledger.assert_over();
    ledger.assert_agrees(&handle);
}

/// Aborted while a gate opens: either it has passed it or not, and its future is dropped once.
fn abort_beside_wakes() {
    let runtime = runtime(2);
    let ledger = Ledger::new();
    let gate = Gate::new();
    let handles: Vec<_> = (0..3)
        .map(|_| {
            let gate = gate.clone();
            runtime.spawn(ledger.enter(async move { gate.passed().await }))
        })
        .collect();
    let tasks: Vec<_> = handles.iter().map(|handle| handle.task()).collect();
    let opener = thread::spawn(move || gate.open());
    let aborter = thread::spawn(move || tasks.iter().filter(|task| task.abort()).count());
    runtime.block_on(async {
        for handle in handles {
            let _ = handle.await;
        }
    });
    opener.join().unwrap();
    aborter.join().unwrap();
    let handle = runtime.handle();
    drop(runtime);
    ledger.assert_over();
    ledger.assert_agrees(&handle);
}

/// The first error cancels the others, which are waiting, yielding or ending.
fn groups_that_fail() {
    let runtime = runtime(3);
    let ledger = Ledger::new();
    let failed = runtime.block_on(async {
        filch::task_group(async |group| {
            group.spawn(ledger.enter(std::future::pending::<Result<(), &'static str>>()));
            group.spawn(ledger.enter(async {
                filch::yield_now().await;
                Err::<(), _>("failed")
            }));
            for _ in 0..2 {
                group.spawn(ledger.enter(async {
                    filch::yield_now().await;
                    Ok(())
                }));
            }
            if any(2) == 0 {
                filch::yield_now().await;
            }
            Ok(())
        })
        .await
    });
    assert_eq!(failed.unwrap_err().into_first().unwrap(), "failed");
    ledger.assert_over();
    let handle = runtime.handle();
    drop(runtime);
    // (Members that come when the group has failed already are no tasks, so nothing can be said of their number.)
    assert_eq!((handle.metrics().alive, handle.tasks().len()), (0, 0));
}

/// The task with the group is cancelled from outside while members come and go.
fn group_cancelled() {
    let runtime = runtime(3);
    let (ledger, members) = (Ledger::new(), Ledger::new());
    let entered = members.clone();
    let owner = runtime.spawn(ledger.enter(async move {
        filch::task_group(async |group| {
            for _ in 0..3 {
                let inner = group.clone();
                let entered_too = entered.clone();
                group.spawn(entered.enter(async move {
                    filch::yield_now().await;
                    let _ = inner.try_spawn(entered_too.enter(async {}));
                }));
            }
        })
        .await;
    }));
    let task = owner.task();
    let outside = thread::spawn(move || task.cancel());
    let ended = runtime.block_on(owner);
    // A group's members have ended when its task has.
    members.assert_over();
    outside.join().unwrap();
    assert_eq!(ended.is_ok(), ledger.finished() == 1);
    drop(runtime);
    ledger.assert_over();
}

/// Many small groups, whose last member ends when the group begins to wait for it.
fn groups_that_end() {
    let runtime = runtime(2);
    let ledger = Ledger::new();
    runtime.block_on(async {
        for _ in 0..4 {
            filch::task_group(async |group| {
                for _ in 0..1 + any(2) {
                    group.spawn(ledger.enter(async {}));
                }
            })
            .await;
            ledger.assert_over();
        }
    });
    let handle = runtime.handle();
    drop(runtime);
    assert_eq!(ledger.finished(), ledger.created());
    ledger.assert_agrees(&handle);
}

/// Whoever waits for several learns of each end, and of the first.
fn gathered() {
    let runtime = runtime(2);
    let ledger = Ledger::new();
    let spawn = |yields: usize| {
        runtime.spawn(ledger.enter(async move {
            for _ in 0..yields {
                filch::yield_now().await;
            }
            yields
        }))
    };
    let mut handles: Vec<_> = (0..3).map(|_| spawn(any(3))).collect();
    let other = spawn(1).linked();
    let all = (0..2).map(spawn).collect::<Vec<_>>();
    runtime.block_on(async {
        let done = filch::wait(&mut handles, filch::Until::First, None).await;
        assert!(!done.is_empty());
        let mut rest = filch::as_completed(handles);
        while let Some((_, ended)) = rest.next().await {
            ended.unwrap();
        }
        assert_eq!(other.await.unwrap(), 1);
        let values = filch::gather(all).await.unwrap();
        assert!(values.into_iter().map(Result::unwrap).eq(0..2));
    });
    let handle = runtime.handle();
    drop(runtime);
    // (`gather` makes tasks of its own.)
    assert_eq!(ledger.finished(), 6);
    assert_eq!((handle.metrics().alive, handle.tasks().len()), (0, 0));
}

/// A request that is caught, and taken back, or not.
fn caught_requests() {
    let runtime = runtime(2);
    let ledger = Ledger::new();
    let gate = Gate::new();
    let handle = {
        let gate = gate.clone();
        runtime.spawn(ledger.enter(async move {
            match filch::catch_cancel(gate.passed()).await {
                Ok(()) => "passed",
                Err(cancelled) => {
                    filch::yield_now().await;
                    cancelled.uncancel();
                    filch::yield_now().await;
                    "caught"
                }
            }
        }))
    };
    let task = handle.task();
    let outside = thread::spawn(move || task.cancel());
    let opener = thread::spawn(move || gate.open());
    let ended = runtime.block_on(handle);
    outside.join().unwrap();
    opener.join().unwrap();
    // Passed and then asked, or asked before it began to wait for the gate: then it is cancelled.
    assert!(ended.is_ok() || ended.unwrap_err().is_cancelled());
    let handle = runtime.handle();
    drop(runtime);
    ledger.assert_over();
    ledger.assert_agrees(&handle);
}

/// Handles that are polled and dropped while their task ends, and a timeout that does so.
fn dropped_handles() {
    let runtime = runtime(2);
    let ledger = Ledger::new();
    runtime.block_on(async {
        let slow = filch::spawn(ledger.enter(async {
            filch::yield_now().await;
            filch::yield_now().await;
        }));
        let other = filch::spawn(ledger.enter(async move {
            let polled = filch::timeout(Duration::ZERO, slow).await;
            drop(polled);
        }));
        let last = filch::spawn(ledger.enter(async {}));
        drop(other);
        last.await.unwrap();
    });
    let handle = runtime.handle();
    drop(runtime);
    ledger.assert_over();
    ledger.assert_agrees(&handle);
}
