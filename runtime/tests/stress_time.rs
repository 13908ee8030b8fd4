//! Many sleeps on the real clock: never early, none lost, and the memory comes back.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use filch::Runtime;
use support::{Random, alone, resident_bytes};

const SAMPLES: u64 = if cfg!(debug_assertions) { 50_000 } else { 1_000_000 };
const SLEEPERS: u64 = if cfg!(debug_assertions) { 50_000 } else { 1_000_000 };
/// How long the churn goes on; `FILCH_STRESS_SECONDS` says otherwise.
const CHURN_SECONDS: u64 = if cfg!(debug_assertions) { 2 } else { 10 };

#[test]
fn no_sleep_is_ever_early() {
    alone("no_sleep_is_ever_early", no_sleep_is_ever_early_alone);
}

fn no_sleep_is_ever_early_alone() {
    let runtime = Runtime::builder().worker_threads(4).build().unwrap();
    let (early, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (e, n) = (Arc::clone(&early), Arc::clone(&ended));
    runtime.block_on(async move {
        let mut random = Random(42);
        let mut handles = Vec::new();
        for _ in 0..SAMPLES {
            let duration = Duration::from_micros(random.below(200_000));
            let (early, ended) = (Arc::clone(&e), Arc::clone(&n));
            handles.push(filch::spawn(async move {
                let start = Instant::now();
                filch::sleep(duration).await;
                if start.elapsed() < duration {
                    early.fetch_add(1, Ordering::Relaxed);
                }
                ended.fetch_add(1, Ordering::Relaxed);
            }));
        }
        for handle in handles {
            handle.await.unwrap();
        }
    });
    assert_eq!(ended.load(Ordering::Relaxed), SAMPLES);
    assert_eq!(early.load(Ordering::Relaxed), 0, "of {SAMPLES} sleeps");
}

#[test]
fn a_million_sleepers_come_and_go() {
    alone("a_million_sleepers_come_and_go", a_million_sleepers_come_and_go_alone);
}

fn a_million_sleepers_come_and_go_alone() {
    let runtime = Runtime::builder().worker_threads(2).build().unwrap();
    // Warm up, so that the difference is the sleepers'.
    runtime.block_on(async { filch::spawn(filch::sleep(Duration::from_millis(1))).await.unwrap() });
    let before = resident_bytes();
    let mut handles = Vec::with_capacity(SLEEPERS as usize);
    for _ in 0..SLEEPERS {
        handles.push(runtime.spawn(filch::sleep(Duration::from_secs(3600))));
    }
    // Each of them has been polled when the one that was spawned last has, and all before it.
    for mut settled in (0..64).map(|_| runtime.spawn(filch::sleep(Duration::from_millis(100)))) {
        settled.join_timeout(None).unwrap().unwrap();
    }
    let asleep = resident_bytes();
    for handle in &handles {
        assert!(handle.abort());
    }
    for mut handle in handles {
        assert!(handle.join_timeout(None).unwrap().unwrap_err().is_cancelled());
    }
    let after = resident_bytes();
    if let (Some(before), Some(asleep), Some(after)) = (before, asleep, after) {
        let each = |bytes: u64| bytes.saturating_sub(before) / SLEEPERS;
        println!(
            "{} bytes for each sleeper with its handle; {} after all were aborted",
            each(asleep),
            each(after)
        );
        assert!(each(asleep) <= 250, "{} bytes for each sleeper", each(asleep));
    }
}

#[test]
fn timeouts_that_never_fire_leave_nothing_behind() {
    alone(
        "timeouts_that_never_fire_leave_nothing_behind",
        timeouts_that_never_fire_leave_nothing_behind_alone,
    );
}

fn timeouts_that_never_fire_leave_nothing_behind_alone() {
    let seconds = std::env::var("FILCH_STRESS_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(CHURN_SECONDS);
    let runtime = Runtime::builder().worker_threads(2).build().unwrap();
    let churn = |time: Duration| {
        let until = Instant::now() + time;
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                runtime.spawn(async move {
                    let mut count = 0_u64;
                    while count % 1024 != 0 || Instant::now() < until {
                        let hour = Duration::from_secs(3600);
                        filch::timeout(hour, filch::yield_now()).await.unwrap();
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        tasks.into_iter().map(|mut task| task.join_timeout(None).unwrap().unwrap()).sum::<u64>()
    };
    churn(Duration::from_secs(1));
    let warm = resident_bytes();
    let count = churn(Duration::from_secs(seconds));
    println!("{count} timeouts in {seconds} s");
    if let (Some(warm), Some(after)) = (warm, resident_bytes()) {
        println!("resident: {warm} bytes after warm-up, {after} at the end");
        assert!(after < warm + warm / 20 + (1 << 19), "{warm} bytes grew to {after}");
    }
}
