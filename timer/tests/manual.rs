//! Everything that can be tested without waiting: on a manual clock.

mod common;

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::{Count, Log, Random, manual, ms, poll, waker};
use filch_timer::{Batch, Clock, Entry, Timer};

#[test]
fn fires_at_its_deadline_and_not_before() {
    let (clock, timer) = manual();
    // Near, at the edge of far, far, very far.
    for after in
        [1, 7, 8, 15, 16, 17, 24, 25, 50, 99, 100, 101, 134, 150, 235, 1000, 5000, 3_600_000]
    {
        let count = Count::new();
        let waker = Waker::from(count.clone());
        let mut entry = timer.entry(ms(after));
        assert_eq!(poll(&mut entry, &timer, &waker), Poll::Pending);
        clock.advance(ms(after) - Duration::from_nanos(1));
        assert_eq!(count.get(), 0, "{after} ms");
        assert_eq!(poll(&mut entry, &timer, &waker), Poll::Pending);
        clock.advance(Duration::from_nanos(1));
        assert_eq!(count.get(), 1, "{after} ms");
        assert_eq!(poll(&mut entry, &timer, &waker), Poll::Ready(()));
        assert_eq!(poll(&mut entry, &timer, &waker), Poll::Ready(()), "again");
    }
    assert_eq!(timer.stats().registered, 0);
}

#[test]
fn order_is_by_deadline_then_by_registration() {
    let (clock, timer) = manual();
    let log = Arc::new(Mutex::new(Vec::new()));
    let mut random = Random(7);
    let deadlines: Vec<u64> = (0..2000).map(|_| 1 + random.below(400)).collect();
    let mut entries: Vec<Entry> = deadlines.iter().map(|&at| timer.entry(ms(at))).collect();
    for (number, entry) in entries.iter_mut().enumerate() {
        let waker = Waker::from(Arc::new(Log(number, log.clone())));
        assert!(poll(entry, &timer, &waker).is_pending());
    }
    clock.advance(ms(1000));
    let mut expected: Vec<usize> = (0..2000).collect();
    expected.sort_by_key(|&number| deadlines[number]);
    assert_eq!(*log.lock().unwrap(), expected);
}

#[test]
fn ties_hold_when_one_was_far_and_the_other_was_not() {
    let (clock, timer) = manual();
    let log = Arc::new(Mutex::new(Vec::new()));
    let deadline = timer.now() + ms(1000);
    let mut entries = Vec::new();
    for number in 0..10 {
        let mut entry = Entry::at(deadline);
        let waker = Waker::from(Arc::new(Log(number, log.clone())));
        assert!(poll(&mut entry, &timer, &waker).is_pending());
        entries.push(entry);
        clock.advance(ms(99));
    }
    clock.advance(ms(10));
    assert_eq!(*log.lock().unwrap(), (0..10).collect::<Vec<_>>());
}

#[test]
fn next_deadline_is_exact() {
    let (clock, timer) = manual();
    let mut random = Random(99);
    let mut entries: Vec<Entry> = Vec::new();
    let noop = Waker::noop();
    for _ in 0..3000 {
        match random.below(10) {
            0..5 => {
                let bits = random.below(45);
                let mut entry = timer.entry(Duration::from_nanos(1 + random.next() % (1 << bits)));
                assert!(poll(&mut entry, &timer, noop).is_pending());
                entries.push(entry);
            }
            5..7 if !entries.is_empty() => {
                let at = random.below(entries.len() as u64) as usize;
                entries.swap_remove(at);
            }
            7 if !entries.is_empty() => {
                let at = random.below(entries.len() as u64) as usize;
                let bits = random.below(45);
                entries[at]
                    .reset(timer.now() + Duration::from_nanos(1 + random.next() % (1 << bits)));
            }
            8 => {
                timer.turn_now();
            }
            _ => {
                if let Some(next) = timer.next_deadline() {
                    clock.advance(next - clock.now());
                    let before = entries.len();
                    entries.retain_mut(|entry| poll(entry, &timer, noop).is_pending());
                    assert!(entries.len() < before);
                }
            }
        }
        assert_eq!(timer.next_deadline(), entries.iter().filter_map(Entry::deadline).min());
        assert_eq!(timer.stats().registered, entries.len());
    }
}

/// The timer against a model of it, with everything that can happen in every order.
#[test]
fn agrees_with_a_naive_timer() {
    for seed in 1..40 {
        let mut random = Random(seed * 0x9e37_79b9);
        let clock = Clock::manual();
        let timer = Timer::builder().clock(clock.clone()).shards(3).start().unwrap();
        let mut held: Vec<(Entry, Arc<Count>, usize)> = Vec::new();
        for _ in 0..600 {
            filch_timer::set_shard(random.below(3) as usize);
            let limit = [20, 400, 100_000][random.below(3) as usize];
            let span = ms(random.below(limit));
            let pick = |random: &mut Random, held: &[_]| random.below(held.len() as u64) as usize;
            match random.below(12) {
                0..5 => {
                    let (mut entry, count) = (timer.entry(span), Count::new());
                    let ready = poll(&mut entry, &timer, &Waker::from(count.clone())).is_ready();
                    assert_eq!(ready, span.is_zero());
                    if !ready {
                        held.push((entry, count, 0));
                    }
                }
                5 if !held.is_empty() => {
                    held.swap_remove(pick(&mut random, &held));
                }
                6 | 7 if !held.is_empty() => {
                    let at = pick(&mut random, &held);
                    let (entry, _, _) = &mut held[at];
                    if !entry.is_elapsed(&timer) {
                        entry.reset(timer.now() + span + ms(1));
                    }
                }
                8 if !held.is_empty() => {
                    // Another waker from now on.
                    let at = pick(&mut random, &held);
                    let (entry, count, woken) = &mut held[at];
                    assert_eq!(count.get(), *woken);
                    if !entry.is_elapsed(&timer) {
                        *count = Count::new();
                        let waker = Waker::from(count.clone());
                        assert!(poll(entry, &timer, &waker).is_pending());
                    }
                }
                9 => {
                    timer.turn_now();
                }
                _ => clock.advance(ms(random.below(150))),
            }
            held.retain_mut(|(entry, count, _)| {
                let elapsed = entry.is_elapsed(&timer);
                assert_eq!(count.get(), usize::from(elapsed), "{entry:?}");
                !elapsed
            });
        }
        drop(held);
        let stats = timer.stats();
        assert_eq!(stats.registered, 0);
        assert_eq!(stats.heap, stats.dead);
    }
}

#[test]
fn reset_moves_it_both_ways() {
    let (clock, timer) = manual();
    // In the intake, in the heap, far.
    for (first, turned) in [(50, false), (50, true), (10_000, false), (10_000, true)] {
        for second in [20, 90, 5_000, 50_000] {
            let count = Count::new();
            let waker = Waker::from(count.clone());
            let mut entry = timer.entry(ms(first));
            assert!(poll(&mut entry, &timer, &waker).is_pending());
            if turned {
                timer.turn_now();
            }
            entry.reset(timer.now() + ms(second));
            clock.advance(ms(second - 1));
            assert_eq!(count.get(), 0, "{first} {turned} {second}");
            assert!(poll(&mut entry, &timer, &waker).is_pending());
            clock.advance(ms(1));
            assert_eq!(count.get(), 1, "{first} {turned} {second}");
            assert!(poll(&mut entry, &timer, &waker).is_ready());
            // After it has fired.
            entry.reset(timer.now() + ms(second));
            assert!(poll(&mut entry, &timer, &waker).is_pending());
            clock.advance(ms(second));
            assert_eq!(count.get(), 2);
        }
    }
    clock.advance(ms(100_000));
    assert_eq!(timer.stats().heap, 0);
}

#[test]
fn reset_to_the_past_wakes() {
    let (clock, timer) = manual();
    let count = Count::new();
    let mut entry = timer.entry(ms(1000));
    assert!(poll(&mut entry, &timer, &Waker::from(count.clone())).is_pending());
    clock.advance(ms(500));
    entry.reset(timer.now() - ms(100));
    timer.turn_now();
    assert_eq!(count.get(), 1);
    assert!(poll(&mut entry, &timer, Waker::noop()).is_ready());
}

#[test]
fn the_last_waker_is_woken_and_only_once() {
    let (clock, timer) = manual();
    let counts: Vec<_> = (0..3).map(|_| Count::new()).collect();
    let mut entry = timer.entry(ms(10));
    for count in &counts {
        assert!(poll(&mut entry, &timer, &Waker::from(count.clone())).is_pending());
    }
    // Those replaced are not kept.
    assert_eq!(counts.iter().map(Arc::strong_count).collect::<Vec<_>>(), [1, 1, 2]);
    clock.advance(ms(10));
    clock.advance(ms(10));
    assert_eq!(counts.iter().map(|count| count.get()).collect::<Vec<_>>(), [0, 0, 1]);
    // Fired, not polled: nothing is kept either.
    assert_eq!(Arc::strong_count(&counts[2]), 1);
}

#[test]
fn cancel_in_every_state() {
    let (clock, timer) = manual();
    let count = Count::new();
    let waker = Waker::from(count.clone());
    // Never polled.
    drop(timer.entry(ms(10)));
    // In the intake; far.
    for after in [10, 100_000] {
        let mut entry = timer.entry(ms(after));
        assert!(poll(&mut entry, &timer, &waker).is_pending());
        drop(entry);
        assert_eq!((timer.stats().registered, timer.stats().heap), (0, 0));
    }
    // In the heap.
    let mut entry = timer.entry(ms(10));
    assert!(poll(&mut entry, &timer, &waker).is_pending());
    timer.turn_now();
    assert_eq!((timer.stats().heap, timer.stats().dead), (1, 0));
    drop(entry);
    assert_eq!((timer.stats().heap, timer.stats().dead), (1, 1));
    // Its slot is used again while the heap still refers to it.
    let mut other = timer.entry(ms(20));
    assert!(poll(&mut other, &timer, Waker::noop()).is_pending());
    clock.advance(ms(10));
    assert!(poll(&mut other, &timer, Waker::noop()).is_pending());
    assert_eq!((timer.stats().heap, timer.stats().dead), (1, 0));
    drop(other);
    assert_eq!(count.get(), 0);
    // Fired.
    let mut entry = timer.entry(ms(10));
    assert!(poll(&mut entry, &timer, &waker).is_pending());
    clock.advance(ms(10));
    assert_eq!(count.get(), 1);
    drop(entry);
    assert_eq!(timer.stats().registered, 0);
    assert_eq!(Arc::strong_count(&count), 2, "ours and the waker's");
}

#[test]
fn churn_does_not_grow_the_heap() {
    let (clock, timer) = manual();
    let mut keep: Vec<Entry> = Vec::new();
    for round in 0..300 {
        let mut entries: Vec<Entry> = (0..500).map(|i| timer.entry(ms(50 + i % 40))).collect();
        for entry in &mut entries {
            assert!(poll(entry, &timer, Waker::noop()).is_pending());
        }
        timer.turn_now();
        keep.push(entries.pop().unwrap());
        drop(entries);
        if round % 10 == 0 {
            clock.advance(Duration::from_micros(1));
        }
        let stats = timer.stats();
        assert!(stats.heap <= 1024 + 500 + 2 * keep.len() + 500, "{stats:?}");
    }
    assert!(timer.stats().slots < 2000);
}

#[test]
fn a_million() {
    let (clock, timer) = manual();
    let mut entries: Vec<Entry> =
        (0..1_000_000).map(|i| timer.entry(Duration::from_secs(3600) + ms(i / 100))).collect();
    for entry in &mut entries {
        assert!(poll(entry, &timer, Waker::noop()).is_pending());
    }
    clock.advance(Duration::from_secs(1800));
    let stats = timer.stats();
    assert_eq!((stats.registered, stats.heap), (1_000_000, 0), "no heap for what is far");
    assert!(stats.slots < 1_001_000);
    // Half of them go, then the rest come near and fire.
    let mut number = 0;
    entries.retain(|_| {
        number += 1;
        number % 2 == 0
    });
    clock.advance(Duration::from_secs(1800));
    assert_eq!(timer.stats().registered, 500_000);
    clock.advance(ms(9_999));
    assert!(entries.iter_mut().all(|entry| poll(entry, &timer, Waker::noop()).is_ready()));
    let stats = timer.stats();
    assert_eq!((stats.registered, stats.heap), (0, 0));
    assert!(stats.slots <= 3 * 256, "{stats:?}");
}

#[test]
fn never() {
    let (clock, timer) = manual();
    let mut entries = [timer.entry(Duration::MAX), Entry::never()];
    for entry in &mut entries {
        assert!(poll(entry, &timer, Waker::noop()).is_pending());
    }
    assert_eq!(timer.next_deadline(), None);
    assert_eq!(timer.turn_now(), None);
    clock.advance(Duration::from_secs(100 * 365 * 24 * 3600));
    for entry in &mut entries {
        assert!(poll(entry, &timer, Waker::noop()).is_pending());
        assert_eq!(entry.deadline(), None);
    }
    entries[0].reset(timer.now() + ms(1));
    clock.advance(ms(1));
    assert!(poll(&mut entries[0], &timer, Waker::noop()).is_ready());
    clock.advance(Duration::MAX);
    assert!(poll(&mut entries[1], &timer, Waker::noop()).is_pending(), "not even at the end");
}

#[test]
fn a_jump_of_a_year() {
    let (clock, timer) = manual();
    let count = Count::new();
    let waker = Waker::from(count.clone());
    let mut entries: Vec<Entry> =
        (0..1000).map(|i| timer.entry(Duration::from_secs(1 + i * 31_000))).collect();
    for entry in &mut entries {
        assert!(poll(entry, &timer, &waker).is_pending());
    }
    clock.advance(Duration::from_secs(365 * 24 * 3600));
    assert_eq!(count.get(), 1000);
    // And what is registered after the jump is as punctual.
    let mut entry = timer.entry(ms(1));
    assert!(poll(&mut entry, &timer, &waker).is_pending());
    clock.advance(ms(1));
    assert_eq!(count.get(), 1001);
}

#[test]
fn overdue_is_ready_without_registration() {
    let (clock, timer) = manual();
    let mut entries = [timer.entry(Duration::ZERO), timer.entry(ms(10)), timer.entry(ms(5000))];
    clock.advance(ms(6000));
    for entry in &mut entries {
        assert!(poll(entry, &timer, Waker::noop()).is_ready());
    }
    assert_eq!(timer.stats().slots, 0);
}

#[test]
fn a_panicking_waker_harms_nobody() {
    let (clock, timer) = manual();
    let count = Count::new();
    let mut entries: Vec<Entry> = (0..10).map(|_| timer.entry(ms(10))).collect();
    for (number, entry) in entries.iter_mut().enumerate() {
        let waker = if number % 3 == 0 {
            waker(|| panic!("a waker panics"))
        } else {
            Waker::from(count.clone())
        };
        assert!(poll(entry, &timer, &waker).is_pending());
    }
    clock.advance(ms(10));
    assert_eq!(count.get(), 6);
    assert!(entries.iter_mut().all(|entry| poll(entry, &timer, Waker::noop()).is_ready()));
}

#[test]
fn a_waker_that_panics_when_dropped_harms_nobody() {
    struct Grenade;
    impl std::task::Wake for Grenade {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Grenade {
        fn drop(&mut self) {
            panic!("a waker panics when dropped");
        }
    }
    let (clock, timer) = manual();
    let arm = |after| {
        let mut entry = timer.entry(ms(after));
        // The entry's clone must be the last one.
        let grenade = std::mem::ManuallyDrop::new(Waker::from(Arc::new(Grenade)));
        assert!(poll(&mut entry, &timer, &grenade).is_pending());
        drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            drop(std::mem::ManuallyDrop::into_inner(grenade));
        })));
        entry
    };
    drop(arm(10));
    let mut replaced = arm(10);
    assert!(poll(&mut replaced, &timer, Waker::noop()).is_pending());
    let mut fired = arm(10);
    clock.advance(ms(10));
    assert!(poll(&mut fired, &timer, Waker::noop()).is_ready());
    let pending = arm(10);
    timer.shutdown();
    drop(pending);
}

#[test]
fn a_waker_may_use_the_timer() {
    let (clock, timer) = manual();
    let second = Arc::new(Mutex::new(None));
    let count = Count::new();
    let mut first = timer.entry(ms(10));
    let waker = waker({
        let (clock, timer, second, count) =
            (clock.clone(), timer.clone(), second.clone(), count.clone());
        move || {
            // Register, cancel, make and drop another timer on the same clock, turn, look.
            let mut entry = timer.entry(ms(10));
            assert!(poll(&mut entry, &timer, &Waker::from(count.clone())).is_pending());
            drop(timer.entry(ms(3)));
            let other = Timer::new(clock.clone()).unwrap();
            let mut inner = other.entry(ms(1));
            assert!(poll(&mut inner, &other, Waker::noop()).is_pending());
            drop(other);
            timer.turn_now();
            assert!(timer.next_deadline().is_some());
            *second.lock().unwrap() = Some(entry);
        }
    });
    assert!(poll(&mut first, &timer, &waker).is_pending());
    clock.advance(ms(10));
    assert_eq!(count.get(), 0);
    clock.advance(ms(10));
    assert_eq!(count.get(), 1);
    assert!(second.lock().unwrap().take().is_some());
}

#[test]
fn batches_are_bounded_and_scoped() {
    let clock = Clock::manual();
    let batches = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::new(Mutex::new(Vec::new()));
    let timer = Timer::builder()
        .clock(clock.clone())
        .around_wakes({
            let (batches, log) = (batches.clone(), log.clone());
            move |wake_them| {
                let before = log.lock().unwrap().len();
                wake_them();
                batches.lock().unwrap().push(log.lock().unwrap().len() - before);
            }
        })
        .start()
        .unwrap();
    let mut entries: Vec<Entry> = (0..600).map(|_| timer.entry(ms(5))).collect();
    for (number, entry) in entries.iter_mut().enumerate() {
        let waker = Waker::from(Arc::new(Log(number, log.clone())));
        assert!(poll(entry, &timer, &waker).is_pending());
    }
    clock.advance(ms(5));
    assert_eq!(*batches.lock().unwrap(), [256, 256, 88]);
}

#[test]
fn a_scope_that_fails_loses_no_wake() {
    for panics in [false, true] {
        let clock = Clock::manual();
        let timer = Timer::builder()
            .clock(clock.clone())
            .around_wakes(move |_| assert!(!panics, "a scope panics"))
            .start()
            .unwrap();
        let count = Count::new();
        let mut entry = timer.entry(ms(5));
        assert!(poll(&mut entry, &timer, &Waker::from(count.clone())).is_pending());
        clock.advance(ms(5));
        assert_eq!(count.get(), 1);
    }
}

#[test]
fn turn_fills_a_batch_and_never_believes_in_the_future() {
    let (clock, timer) = manual();
    let count = Count::new();
    let mut entries: Vec<Entry> = (0..300).map(|_| timer.entry(ms(5))).collect();
    for entry in &mut entries {
        assert!(poll(entry, &timer, &Waker::from(count.clone())).is_pending());
    }
    let mut batch = Batch::new();
    timer.turn(clock.now() + ms(100), &mut batch);
    assert!(batch.is_empty());
    // A second timer on the clock would be turned by `advance`, this one also: so look at
    // what a turn leaves to do by hand on a timer of its own.
    let alone = Timer::builder().thread(false).start().unwrap();
    let mut due: Vec<Entry> = (0..300).map(|_| alone.entry(ms(2))).collect();
    for entry in &mut due {
        let _ = poll(entry, &alone, &Waker::from(count.clone()));
    }
    std::thread::sleep(ms(3));
    let now = alone.now();
    assert_eq!(alone.turn(now, &mut batch), Some(now), "there is more");
    assert_eq!(batch.len(), 256);
    batch.wake();
    let _ = alone.turn(alone.now(), &mut batch);
    assert_eq!(batch.len(), 44);
    drop(batch);
    assert_eq!(count.get(), 300, "a dropped batch wakes");
}

#[test]
fn shutdown_wakes_once_and_polls_panic_with_advice() {
    let (clock, timer) = manual();
    let count = Count::new();
    let waker = Waker::from(count.clone());
    // Intake, heap, far, never, fired.
    let mut entries = vec![timer.entry(ms(50)), timer.entry(ms(5))];
    for entry in &mut entries {
        assert!(poll(entry, &timer, &waker).is_pending());
    }
    clock.advance(ms(5));
    assert_eq!(count.get(), 1);
    entries.extend([timer.entry(ms(40)), timer.entry(ms(4000)), Entry::never()]);
    for entry in &mut entries[2..] {
        assert!(poll(entry, &timer, &waker).is_pending());
    }
    timer.shutdown();
    assert_eq!(count.get(), 5, "four waited");
    timer.shutdown();
    clock.advance(ms(45));
    assert_eq!(count.get(), 5);
    assert_eq!((timer.next_deadline(), timer.turn_now()), (None, None));
    let mut results = Vec::new();
    for entry in &mut entries {
        let polled = std::panic::AssertUnwindSafe(|| poll(entry, &timer, &waker));
        results.push(std::panic::catch_unwind(polled));
    }
    let message = |result: &std::thread::Result<Poll<()>>| match result {
        Ok(poll) => format!("{poll:?}"),
        Err(payload) => payload.downcast_ref::<&str>().unwrap().chars().take(40).collect(),
    };
    let advice = "the timer (or its runtime) was shut down";
    assert_eq!(
        results.iter().map(message).collect::<Vec<_>>(),
        ["Ready(())", "Ready(())", "Ready(())", advice, advice]
    );
    // What was never polled.
    assert!(poll(&mut timer.entry(Duration::ZERO), &timer, &waker).is_ready());
    let mut new = timer.entry(ms(1));
    let polled = std::panic::AssertUnwindSafe(|| poll(&mut new, &timer, &waker));
    assert!(std::panic::catch_unwind(polled).is_err());
    drop(results);
    drop(entries);
    assert_eq!(Arc::strong_count(&count), 2);
}

#[test]
fn an_entry_moves_to_another_timer_after_a_shutdown() {
    let (clock, timer) = manual();
    let other = Timer::new(clock.clone()).unwrap();
    let count = Count::new();
    let waker = Waker::from(count.clone());
    let mut entry = timer.entry(ms(10));
    assert!(poll(&mut entry, &timer, &waker).is_pending());
    // It stays where it is as long as it can.
    assert!(poll(&mut entry, &other, &waker).is_pending());
    assert_eq!((timer.stats().registered, other.stats().registered), (1, 0));
    drop(timer);
    assert_eq!(count.get(), 1);
    assert!(poll(&mut entry, &other, &waker).is_pending());
    assert_eq!(other.stats().registered, 1);
    clock.advance(ms(10));
    assert_eq!(count.get(), 2);
    assert!(poll(&mut entry, &other, &waker).is_ready());
}

#[test]
fn a_reset_after_shutdown_still_finds_out() {
    let (_clock, timer) = manual();
    let mut entry = timer.entry(ms(10));
    assert!(poll(&mut entry, &timer, Waker::noop()).is_pending());
    timer.shutdown();
    entry.reset(timer.now() + ms(5000));
    let polled = std::panic::AssertUnwindSafe(|| poll(&mut entry, &timer, Waker::noop()));
    assert!(std::panic::catch_unwind(polled).is_err());
}

#[test]
fn a_handle_does_not_reach_into_its_shards_next_life() {
    let clock = Clock::manual();
    let old = Timer::builder().clock(clock.clone()).shards(1).start().unwrap();
    old.shutdown();
    // Very likely on the same shard.
    let new = Timer::builder().clock(clock.clone()).shards(1).start().unwrap();
    let mut entry = old.entry(ms(10));
    let polled = std::panic::AssertUnwindSafe(|| poll(&mut entry, &old, Waker::noop()));
    assert!(std::panic::catch_unwind(polled).is_err());
    assert_eq!(new.stats().registered, 0);
}

#[test]
fn zero_shards_and_zero_gap() {
    let clock = Clock::manual();
    let timer =
        Timer::builder().clock(clock.clone()).shards(0).min_gap(Duration::ZERO).start().unwrap();
    let count = Count::new();
    let mut entry = timer.entry(Duration::from_nanos(1));
    assert!(poll(&mut entry, &timer, &Waker::from(count.clone())).is_pending());
    assert_eq!(timer.turn_now(), entry.deadline());
    clock.advance(Duration::from_nanos(1));
    assert_eq!(count.get(), 1);
}

#[test]
fn a_sleep_is_a_future() {
    let (clock, timer) = manual();
    let mut sleep = Box::pin(timer.sleep_until(timer.now() + ms(10)));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(sleep.as_mut().poll(&mut cx).is_pending());
    sleep.reset(timer.now() + ms(20));
    clock.advance(ms(10));
    assert!(!sleep.is_elapsed());
    assert!(sleep.as_mut().poll(&mut cx).is_pending());
    clock.advance(ms(10));
    assert!(sleep.as_mut().poll(&mut cx).is_ready());
}

#[test]
fn debug_says_something() {
    let (_clock, timer) = manual();
    let said =
        format!("{timer:?} {:?} {:?} {:?}", timer.sleep(ms(1)), Entry::never(), Batch::new());
    assert!(said.contains("Timer") && said.contains("Sleep") && said.contains("registered: false"));
    assert!(format!("{:?}", Timer::builder()).contains("filch-timer"));
}

fn assert_send_sync<T: Send + Sync + Unpin>() {}

#[test]
fn auto_traits() {
    assert_send_sync::<Timer>();
    assert_send_sync::<Clock>();
    assert_send_sync::<Entry>();
    assert_send_sync::<filch_timer::Sleep>();
    assert_send_sync::<Batch>();
}
