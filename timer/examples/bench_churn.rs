//! What a timeout costs that never fires, and what a million sleepers cost. Figures of one
//! machine and moment: compare runs, not machines.
//!
//! `cargo run --release -p filch-timer --example bench_churn`

use std::hint::black_box;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use filch_timer::{Clock, Entry, Timer};

struct Counted;

impl Wake for Counted {
    fn wake(self: Arc<Self>) {}
}

fn measure(what: &str, count: u32, mut run: impl FnMut()) {
    let mut rounds: Vec<f64> = (0..9)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..count {
                run();
            }
            start.elapsed().as_nanos() as f64 / f64::from(count)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!("{what:<58} {:>8.1} ns ({:.1}..{:.1})", rounds[4], rounds[0], rounds[8]);
}

fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn churn(timer: &Timer, cx: &mut Context<'_>, duration: Duration) {
    let mut entry = timer.entry(duration);
    assert!(entry.poll(timer, cx).is_pending());
    assert!(black_box(&mut entry).poll(timer, cx).is_pending());
}

/// Notes when it was woken.
struct Stamp(OnceLock<Instant>);

impl Wake for Stamp {
    fn wake(self: Arc<Self>) {
        let _ = self.0.set(Instant::now());
    }
}

fn lateness(timer: &Timer) {
    let mut sleeps: Vec<(Entry, Arc<Stamp>)> = (0..100_000_u64)
        .map(|i| {
            let after = Duration::from_micros(1000 + i * 7919 % 49_000);
            let (mut entry, stamp) = (timer.entry(after), Arc::new(Stamp(OnceLock::new())));
            let _ = entry.poll(timer, &mut Context::from_waker(&Waker::from(stamp.clone())));
            (entry, stamp)
        })
        .collect();
    std::thread::sleep(Duration::from_millis(200));
    let late = sleeps.drain(..).filter_map(|(entry, stamp)| {
        Some(stamp.0.get()?.saturating_duration_since(entry.deadline()?))
    });
    let mut late: Vec<Duration> = late.collect();
    late.sort_unstable();
    let at = |part: usize| late[(late.len() - 1) * part / 1000];
    println!(
        "{} sleeps of 1 to 50 ms, from registration to wake: late by p50 {:?}, p99 {:?}, max {:?}",
        late.len(),
        at(500),
        at(990),
        at(1000),
    );
}

fn main() {
    let timer = Timer::new(Clock::system()).expect("a thread");
    filch_timer::set_shard(0);
    let counted = Waker::from(Arc::new(Counted));
    let mut noop = Context::from_waker(Waker::noop());
    let mut arc = Context::from_waker(&counted);
    const N: u32 = 500_000;

    measure("floor: a reading of the clock", N, || {
        black_box(Instant::now());
    });
    let mutex = std::sync::Mutex::new(0);
    measure("floor: locking and unlocking std's mutex", N, || *mutex.lock().unwrap() += 1);
    measure("floor: clone and drop of an Arc waker", N, || drop(black_box(counted.clone())));
    measure("make an entry", N, || drop(black_box(timer.entry(Duration::from_secs(3600)))));
    let hour = Duration::from_secs(3600);
    measure("1 h: make, poll, poll, drop (noop waker)", N, || churn(&timer, &mut noop, hour));
    measure("1 h: make, poll, poll, drop (Arc waker)", N, || churn(&timer, &mut arc, hour));
    let short = Duration::from_millis(50);
    measure("50 ms: make, poll, poll, drop (noop waker)", N, || churn(&timer, &mut noop, short));
    measure("50 ms: make, poll, poll, drop (Arc waker)", N, || churn(&timer, &mut arc, short));
    let mut entry = timer.entry(hour);
    let _ = entry.poll(&timer, &mut noop);
    measure("poll again with the same waker", N, || {
        assert!(black_box(&mut entry).poll(&timer, &mut noop).is_pending());
    });
    let start = Instant::now();
    let mut ms = 0;
    measure("move the deadline a little later", N, || {
        ms += 1;
        entry.reset(start + hour + Duration::from_micros(ms));
    });
    println!("left behind: {:?}", timer.stats());

    drop(entry);
    lateness(&timer);

    for million in [Duration::from_secs(3600), Duration::from_millis(1500)] {
        let mut entries: Vec<Entry> = Vec::with_capacity(1_000_000);
        entries.resize_with(1_000_000, Entry::never);
        entries.clear();
        let before = resident_kb();
        let start = Instant::now();
        for i in 0..1_000_000_u64 {
            let mut entry = timer.entry(million + Duration::from_micros(i / 2));
            let _ = entry.poll(&timer, &mut noop);
            entries.push(entry);
        }
        let made = start.elapsed();
        std::thread::sleep(Duration::from_millis(500));
        println!(
            "a million of {million:?}: {} ns each, {} B each beside the entry, {:?}",
            made.as_nanos() / 1_000_000,
            (resident_kb() - before) * 1024 / 1_000_000,
            timer.stats(),
        );
        let start = Instant::now();
        drop(entries);
        println!(
            "  dropped in {} ns each, {:?}",
            start.elapsed().as_nanos() / 1_000_000,
            timer.stats()
        );
    }
}
