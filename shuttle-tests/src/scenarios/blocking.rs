//! Jobs that wait, and polls that block with leave to.

use std::time::Duration;

use shuttle::thread;

use super::Scenario;
use crate::filch;
use crate::support::{Ledger, builder, watched};

pub(crate) const ALL: &[Scenario] = &[
    ("jobs", 1, jobs),
    ("jobs_and_time", 1, jobs_and_time),
    ("block_in_place", 1, block_in_place),
];

/// Two threads for six jobs, some of which are taken back; idle threads leave.
fn jobs() {
    let runtime = builder(2)
        .max_blocking_threads(2)
        .blocking_keep_alive(Duration::from_millis(1))
        .build()
        .unwrap();
    let handle = runtime.handle();
    let jobs: Vec<_> = (0..3)
        .flat_map(|i| [runtime.spawn_blocking(move || i), handle.spawn_blocking(move || i)])
        .collect();
    let taken: Vec<_> = jobs.iter().step_by(3).map(|job| job.task()).collect();
    let outside = thread::spawn(move || taken.iter().filter(|job| job.cancel()).count());
    runtime.block_on(async {
        for (i, job) in jobs.into_iter().enumerate() {
            match job.await {
                Ok(value) => assert_eq!(value, i / 2),
                Err(error) => assert!(error.is_cancelled() && i % 3 == 0, "{error}"),
            }
        }
        // By now the threads may be leaving.
        assert_eq!(filch::spawn_blocking(|| 8).await.unwrap(), 8);
    });
    outside.join().unwrap();
    drop(runtime);
    assert_eq!(handle.metrics().blocking_threads, 0);
}

/// With a manual clock, time waits for jobs.
fn jobs_and_time() {
    let runtime = builder(2).max_blocking_threads(1).manual_clock(true).build().unwrap();
    let handle = runtime.handle();
    runtime.block_on(async {
        let start = filch::time::now();
        let inner = handle.clone();
        let jobs: Vec<_> = (0..2)
            .map(|_| {
                let handle = inner.clone();
                filch::spawn_blocking(move || {
                    thread::yield_now();
                    let mut task = handle.spawn(async { filch::time::now() });
                    task.join_timeout(None).unwrap().unwrap()
                })
            })
            .collect();
        let sleeper = filch::spawn(async {
            filch::sleep(Duration::from_millis(1)).await;
        });
        for job in jobs {
            let at = job.await.unwrap();
            assert!(at >= start, "time goes backwards");
        }
        sleeper.await.unwrap();
    });
    drop(runtime);
}

/// A poll that blocks with leave: what waits behind it is for others.
fn block_in_place() {
    let runtime = watched(1);
    let ledger = Ledger::new();
    let inner = ledger.clone();
    let task = runtime.spawn(ledger.enter(async move {
        let mut behind = filch::spawn(inner.enter(async { 3 }));
        let value = filch::block_in_place(|| behind.join_timeout(None)).unwrap().unwrap();
        filch::yield_now().await;
        value
    }));
    assert_eq!(runtime.block_on(task).unwrap(), 3);
    let handle = runtime.handle();
    drop(runtime);
    ledger.assert_over();
    ledger.assert_agrees(&handle);
}
