//! On the system's clock, with the timer's thread. No test judges how late something is, except
//! for being hopelessly late.

mod common;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use common::{Count, Random, ms, poll, waker};
use filch_timer::{Clock, Entry, Timer};
use futures_lite::future::block_on;

const HOPELESS: Duration = Duration::from_secs(30);

/// All of `sleeps` at once, each checked against the clock when it says it is over.
struct All(Vec<(Entry, Instant)>, Timer);

impl Future for All {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let All(sleeps, timer) = &mut *self;
        sleeps.retain_mut(|(entry, deadline)| {
            let ready = entry.poll(timer, cx).is_ready();
            assert!(!ready || Instant::now() >= *deadline, "early");
            !ready
        });
        if sleeps.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[test]
fn never_early() {
    for gap in [Duration::ZERO, ms(1)] {
        let timer = Timer::builder().min_gap(gap).start().unwrap();
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let timer = timer.clone();
                thread::spawn(move || {
                    filch_timer::set_shard(number);
                    let mut random = Random(1 + number as u64);
                    for _ in 0..25 {
                        let sleeps = (0..50).map(|_| {
                            let after = Duration::from_nanos(random.below(4_000_000));
                            let deadline = Instant::now() + after;
                            let entry = if random.below(2) == 0 {
                                timer.entry(after)
                            } else {
                                Entry::at(deadline)
                            };
                            (entry, deadline)
                        });
                        let sleeps = sleeps.collect();
                        block_on(All(sleeps, timer.clone()));
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(timer.stats().registered, 0);
    }
}

/// Counts turns, and wishes for none.
fn counts(turns: &Arc<AtomicUsize>) -> impl Fn() -> Option<Duration> + Send + Sync + use<> {
    let turns = Arc::clone(turns);
    move || {
        turns.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[test]
fn the_thread_sleeps_until_it_is_needed_and_wakes_for_news() {
    let turns = Arc::new(AtomicUsize::new(0));
    let timer = Timer::builder().each_turn(counts(&turns)).start().unwrap();
    let start = Instant::now();
    // A late one first, so that the earlier one is news.
    let mut late = timer.entry(Duration::from_secs(3600));
    assert!(poll(&mut late, &timer, Waker::noop()).is_pending());
    thread::sleep(ms(20));
    block_on(timer.sleep(ms(20)));
    // 150 ms is far, and must be on time all the same.
    block_on(timer.sleep(ms(150)));
    let elapsed = start.elapsed();
    assert!(elapsed >= ms(190) && elapsed < HOPELESS);
    assert!(turns.load(Ordering::Relaxed) < 20, "{turns:?}");
    // Timeouts that come and go are no news.
    let before = turns.load(Ordering::Relaxed);
    for _ in 0..200_000 {
        let mut entry = timer.entry(Duration::from_secs(60));
        assert!(poll(&mut entry, &timer, Waker::noop()).is_pending());
    }
    assert!(turns.load(Ordering::Relaxed) - before < 10);
    assert_eq!(timer.stats().heap, 0);
}

/// How many turns there were before the one that ends a sleep which is longer than the gap, and was news within it.
fn turns_before_a_sleep_is_over(gap: Duration) -> usize {
    let (turns, before) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let timer = Timer::builder()
        .around_wakes({
            let (turns, before) = (turns.clone(), before.clone());
            move |wakes| {
                before.store(turns.load(Ordering::Relaxed), Ordering::Relaxed);
                wakes();
            }
        })
        .min_gap(gap)
        .each_turn(counts(&turns))
        .start()
        .unwrap();
    while turns.load(Ordering::Relaxed) == 0 {
        thread::yield_now();
    }
    block_on(timer.sleep(3 * gap));
    before.load(Ordering::Relaxed)
}

#[test]
fn news_in_the_gap_is_no_reason_for_a_turn_at_its_end() {
    // One when it started, and none after that. (One more if the machine was so busy that the gap was over before the sleep
    // was made, which does not happen each time.)
    assert!((0..20).any(|_| turns_before_a_sleep_is_over(ms(100)) == 1), "turns for nothing");
}

/// Also in the gap after a turn, and though no timer is set at all.
#[test]
fn who_calls_the_thread_gets_a_turn() {
    let turns = Arc::new(AtomicUsize::new(0));
    let timer = Timer::builder().min_gap(ms(100)).each_turn(counts(&turns)).start().unwrap();
    let start = Instant::now();
    for calls in 1..4 {
        while turns.load(Ordering::Relaxed) < calls {
            assert!(start.elapsed() < Duration::from_secs(20), "a call was not heard");
            thread::yield_now();
        }
        timer.unpark();
    }
}

#[test]
fn compaction_under_churn() {
    let timer = Timer::builder().shards(2).start().unwrap();
    let mut most = 0;
    for round in 0..400 {
        let mut entries: Vec<Entry> = (0..256).map(|i| timer.entry(ms(40 + i % 40))).collect();
        for entry in &mut entries {
            let _ = poll(entry, &timer, Waker::noop());
        }
        // So that they do get into the heap.
        timer.turn_now();
        drop(entries);
        if round % 16 == 0 {
            thread::sleep(ms(2));
        }
        most = most.max(timer.stats().heap);
    }
    // 102,400 went through; without compaction about all those of the last 80 ms would be there.
    assert!(most < 30_000, "{most}");
}

#[test]
fn shutdown_and_drop_with_pending_sleepers() {
    for explicit in [true, false] {
        let timer = Timer::new(Clock::system()).unwrap();
        let count = Count::new();
        let waker = Waker::from(count.clone());
        let mut entries: Vec<Entry> = (0..1000).map(|i| timer.entry(ms(500 + 50 * i))).collect();
        for entry in &mut entries {
            assert!(poll(entry, &timer, &waker).is_pending());
        }
        if explicit {
            timer.shutdown();
        }
        drop(timer);
        assert_eq!(count.get(), 1000);
        drop(entries);
        assert_eq!(Arc::strong_count(&count), 2);
    }
}

#[test]
fn the_last_handle_may_go_on_the_timers_own_thread() {
    for explicit in [true, false] {
        let timer = Timer::new(Clock::system()).unwrap();
        let last = Arc::new(Mutex::new(None));
        let (done, is_done) = mpsc::channel();
        let pending = Count::new();
        let mut long = timer.entry(HOPELESS);
        assert!(poll(&mut long, &timer, &Waker::from(pending.clone())).is_pending());
        let mut entry = timer.entry(ms(20));
        let waker = waker({
            let last = last.clone();
            move || {
                let timer: Option<Timer> = last.lock().unwrap().take();
                if explicit {
                    timer.as_ref().unwrap().shutdown();
                }
                drop(timer);
                done.send(thread::current().id()).unwrap();
            }
        });
        assert!(poll(&mut entry, &timer, &waker).is_pending());
        *last.lock().unwrap() = Some(timer);
        let thread = is_done.recv_timeout(HOPELESS).unwrap();
        assert_ne!(thread, thread::current().id());
        assert_eq!(pending.get(), 1);
        drop((entry, long));
    }
}

#[test]
fn a_refused_thread_is_an_error() {
    let refused = Timer::builder().stack_size(1 << 60).start();
    assert!(refused.is_err());
    let refused = Timer::builder().stack_size(usize::MAX / 2).start();
    assert!(refused.is_err());
}

#[test]
fn ten_thousand_timers_leave_nothing_behind() {
    fn resident_kb() -> Option<u64> {
        // A sanitizer keeps freed memory to find out who uses it.
        if cfg!(filch_no_pool) {
            return None;
        }
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse().ok()
    }
    let round = |threads: bool, rounds: u32| {
        for _ in 0..rounds {
            let timer = Timer::builder().shards(8).thread(threads).start().unwrap();
            let mut entries: Vec<Entry> = (0..20).map(|_| timer.entry(HOPELESS)).collect();
            for (number, entry) in entries.iter_mut().enumerate() {
                filch_timer::set_shard(number);
                assert!(poll(entry, &timer, Waker::noop()).is_pending());
            }
            // Before and after the timer.
            entries.truncate(10);
            drop(timer);
        }
    };
    round(false, 500);
    let before = resident_kb();
    round(false, 10_000);
    round(true, 500);
    let after = resident_kb();
    // Ten thousand lost shards would be 80,000 × 10 kB. (Other tests run at the same time.)
    if let (Some(before), Some(after)) = (before, after) {
        assert!(after < before + 100_000, "{before} kB, then {after} kB");
    }
}

/// Threads that register, move, cancel and wait, while another one turns as well.
#[test]
fn a_crowd() {
    let timer = Timer::builder().shards(3).min_gap(Duration::from_micros(100)).start().unwrap();
    let stop = Arc::new((Mutex::new(false), Condvar::new()));
    let meddler = thread::spawn({
        let (timer, stop) = (timer.clone(), stop.clone());
        move || {
            while !*stop.0.lock().unwrap() {
                timer.turn_now();
                let _ = timer.next_deadline();
                thread::yield_now();
            }
        }
    });
    let threads: Vec<_> = (0..6)
        .map(|number| {
            let timer = timer.clone();
            thread::spawn(move || {
                let mut random = Random(100 + number);
                let mut kept: Vec<Entry> = Vec::new();
                for _ in 0..3000 {
                    filch_timer::set_shard(random.below(3) as usize);
                    let after = Duration::from_micros(random.below(300_000));
                    let mut entry = timer.entry(after);
                    let _ = poll(&mut entry, &timer, Waker::noop());
                    if random.below(2) == 0 {
                        entry.reset(Instant::now() + Duration::from_micros(random.below(3000)));
                    }
                    kept.push(entry);
                    if kept.len() > 50 {
                        let at = random.below(50) as usize;
                        let mut entry = kept.swap_remove(at);
                        if random.below(40) == 0 {
                            entry.reset(Instant::now() + Duration::from_micros(500));
                            block_on(std::future::poll_fn(|cx| entry.poll(&timer, cx)));
                        }
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    *stop.0.lock().unwrap() = true;
    meddler.join().unwrap();
    assert_eq!(timer.stats().registered, 0);
}

#[test]
fn a_hook_that_panics_is_dropped_and_the_timer_goes_on() {
    let calls = Arc::new(AtomicUsize::new(0));
    let timer = Timer::builder()
        .each_turn({
            let calls = calls.clone();
            move || {
                calls.fetch_add(1, Ordering::SeqCst);
                panic!("a hook panics");
            }
        })
        .start()
        .unwrap();
    block_on(timer.sleep(ms(5)));
    block_on(timer.sleep(ms(5)));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[test]
fn a_manual_clock_may_have_a_thread_too() {
    let clock = Clock::manual();
    let timer = Timer::builder().clock(clock.clone()).thread(true).start().unwrap();
    let (woken, is_woken) = mpsc::channel();
    let mut entry = timer.entry(Duration::from_secs(10));
    let waker = waker(move || woken.send(()).unwrap());
    assert!(poll(&mut entry, &timer, &waker).is_pending());
    clock.advance(Duration::from_secs(10));
    is_woken.recv_timeout(HOPELESS).unwrap();
}
