//! Millions of tasks, and every way to let go of one: nothing is lost, dropped twice or kept.
//!
//! In release: 10,000,000 tasks. In debug fewer, for every `cargo test`.

mod support;

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use filch::Runtime;
use support::{Fates, Random, hush_panics, resident_bytes};

const THREADS: u64 = 8;
const TASKS: u64 = if cfg!(debug_assertions) { 200_000 } else { 10_000_000 };
/// So that memory measures the runtime and not the backlog.
const IN_FLIGHT: u64 = 10_000;

#[derive(Default)]
struct Joined {
    finished: u64,
    aborted: u64,
    panicked: u64,
}

fn storm(runtime: &Runtime, fates: &Arc<Fates>, seed: u64, tasks: u64) -> Joined {
    let mut random = Random(seed);
    let mut kept = VecDeque::new();
    let mut joined = Joined::default();
    let mut join = |mut handle: filch::JoinHandle<u64>, expected: u64| match handle
        .join_timeout(None)
        .expect("no limit was given")
    {
        Ok(value) => {
            assert_eq!(value, expected);
            joined.finished += 1;
        }
        Err(error) if error.is_panic() => joined.panicked += 1,
        Err(error) => {
            assert!(error.is_cancelled());
            joined.aborted += 1;
        }
    };
    for i in 0..tasks {
        while i % 64 == 0 && fates.in_flight() > IN_FLIGHT {
            std::thread::yield_now();
        }
        let (tracked, kind) = (fates.track(), random.below(1000));
        let handle = runtime.spawn(async move {
            match kind {
                // Most compute or yield and end.
                0..600 => {}
                600..800 => filch::yield_now().await,
                // Some spawn a child and wait for it.
                800..900 => {
                    assert_eq!(filch::spawn(async move { i }).await.unwrap(), i);
                }
                // Some panic.
                900..910 => panic!("planned"),
                // The rest wait for ever and are aborted.
                _ => pending().await,
            }
            tracked.finish();
            i
        });
        match random.below(4) {
            _ if kind >= 910 => {
                handle.abort();
                if random.below(2) == 0 {
                    kept.push_back((handle, i));
                }
            }
            0 => {
                kept.push_back((handle, i));
            }
            1 => {
                // Aborted at a random moment of its life.
                handle.abort();
            }
            _ => drop(handle),
        }
        if kept.len() > 64 {
            let (handle, expected) = kept.pop_front().unwrap();
            join(handle, expected);
        }
    }
    for (handle, expected) in kept {
        join(handle, expected);
    }
    joined
}

fn round(runtime: &Runtime, tasks: u64, salt: u64) {
    let fates = Arc::new(Fates::default());
    let joined: Vec<Joined> = std::thread::scope(|scope| {
        let storms: Vec<_> = (0..THREADS)
            .map(|seed| {
                let fates = &fates;
                scope.spawn(move || storm(runtime, fates, salt + seed + 1, tasks / THREADS))
            })
            .collect();
        storms.into_iter().map(|storm| storm.join().unwrap()).collect()
    });
    while fates.in_flight() > 0 {
        std::thread::yield_now();
    }
    let load = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::SeqCst);
    let (created, finished) = (load(&fates.created), load(&fates.finished));
    let (aborted, panicked) = (load(&fates.dropped_early), load(&fates.panicked));
    assert_eq!(created, tasks);
    assert_eq!(created, finished + aborted + panicked, "a future was dropped twice or never");
    for (what, all, count) in [
        ("finished", finished, joined.iter().map(|j| j.finished).sum::<u64>()),
        ("aborted", aborted, joined.iter().map(|j| j.aborted).sum()),
        ("panicked", panicked, joined.iter().map(|j| j.panicked).sum()),
    ] {
        assert!(count <= all, "{count} handles said {what}, but only {all} tasks did");
        assert!(all > 0, "no task {what}: the test does not do what it says");
    }
    println!("created {created} = finished {finished} + aborted {aborted} + panicked {panicked}");
}

#[test]
fn created_is_finished_and_aborted_and_panicked() {
    hush_panics("planned");
    // (What the default hook prints the test harness would keep in memory.)
    let runtime = Runtime::builder().worker_threads(4).on_unhandled_failure(|_| ());
    let runtime = runtime.build().unwrap();
    round(&runtime, TASKS / 5, 1000);
    let warm = resident_bytes();
    round(&runtime, TASKS, 2000);
    if let (Some(warm), Some(after)) = (warm, resident_bytes()) {
        println!("resident: {warm} bytes after warm-up, {after} at the end");
        assert!(after < warm + warm / 20 + (1 << 20), "{warm} bytes grew to {after}");
    }
}
