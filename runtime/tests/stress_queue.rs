//! The deque under the scheduler's queue: each item comes out exactly once, also while the buffer
//! grows under the thieves. (Loom sees a stand-in for it, so this is its test.)

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_deque::{Steal, Stealer, Worker};

const ITEMS: usize = if cfg!(debug_assertions) { 300_000 } else { 5_000_000 };
const THIEVES: usize = 3;

#[test]
fn each_item_comes_out_exactly_once() {
    let queue = Worker::new_fifo();
    let seen: Vec<AtomicU8> = (0..ITEMS).map(|_| AtomicU8::new(0)).collect();
    let done = AtomicBool::new(false);
    // (Counted, not asserted: a thread that panics here leaves the others waiting for it.)
    let twice = AtomicUsize::new(0);
    let take = |item: usize| {
        let before = seen[item].fetch_add(1, Ordering::Relaxed);
        twice.fetch_add(usize::from(before > 0), Ordering::Relaxed);
    };
    std::thread::scope(|scope| {
        for _ in 0..THIEVES {
            let (stealer, take, done) = (queue.stealer(), &take, &done);
            scope.spawn(move || {
                let own = Worker::new_fifo();
                loop {
                    match stealer.steal_batch_with_limit_and_pop(&own, 64) {
                        Steal::Success(item) => {
                            take(item);
                            while let Some(item) = own.pop() {
                                take(item);
                            }
                        }
                        Steal::Retry => {}
                        Steal::Empty if done.load(Ordering::Acquire) => break,
                        Steal::Empty => std::thread::yield_now(),
                    }
                }
            });
        }
        // Bursts of all sizes: the buffer starts small, grows and shrinks again.
        let (mut next, mut burst) = (0, 1);
        while next < ITEMS {
            for _ in 0..burst.min(ITEMS - next) {
                queue.push(next);
                next += 1;
            }
            for _ in 0..burst / 2 {
                queue.pop().into_iter().for_each(take);
            }
            burst = if burst > 20_000 { 1 } else { burst * 3 + 1 };
        }
        while let Some(item) = queue.pop() {
            take(item);
        }
        done.store(true, Ordering::Release);
    });
    assert_eq!(twice.into_inner(), 0, "items came out twice");
    assert!(seen.iter().all(|count| count.load(Ordering::Relaxed) == 1), "an item was lost");
}

/// Everybody steals from everybody, into queues that are being stolen from: who took a batch may
/// find half of it gone.
#[test]
fn thieves_are_stolen_from() {
    const WORKERS: usize = 4;

    let seen: Vec<AtomicU8> = (0..ITEMS).map(|_| AtomicU8::new(0)).collect();
    let [left, twice, second_hand] = [ITEMS, 0, 0].map(AtomicUsize::new);
    let late = Instant::now() + Duration::from_secs(30);
    let queues: Vec<Worker<usize>> = (0..WORKERS).map(|_| Worker::new_fifo()).collect();
    let stealers: Vec<Stealer<usize>> = queues.iter().map(Worker::stealer).collect();
    // All items begin in one place, so each of the others must come by theft.
    (0..ITEMS).for_each(|item| queues[0].push(item));
    std::thread::scope(|scope| {
        for (me, queue) in queues.into_iter().enumerate() {
            let (seen, stealers) = (&seen, &stealers);
            let (left, twice, second_hand) = (&left, &twice, &second_hand);
            let take = move |item: usize| {
                let before = seen[item].fetch_add(1, Ordering::Relaxed);
                twice.fetch_add(usize::from(before > 0), Ordering::Relaxed);
                left.fetch_sub(1, Ordering::Relaxed);
            };
            scope.spawn(move || {
                let mut victim = me;
                let is_well = || twice.load(Ordering::Relaxed) == 0 && Instant::now() < late;
                while left.load(Ordering::Relaxed) > 0 && is_well() {
                    // One of its own, one of another's, in turn: so its queue is never quiet.
                    queue.pop().into_iter().for_each(take);
                    victim = (victim + 1) % WORKERS;
                    if victim == me {
                        continue;
                    }
                    if let Steal::Success(item) =
                        stealers[victim].steal_batch_with_limit_and_pop(&queue, 64)
                    {
                        if victim != 0 {
                            second_hand.fetch_add(1, Ordering::Relaxed);
                        }
                        take(item);
                    }
                }
            });
        }
    });
    assert_eq!(twice.into_inner(), 0, "items came out twice");
    assert!(seen.iter().all(|count| count.load(Ordering::Relaxed) == 1), "an item was lost");
    assert!(second_hand.load(Ordering::Relaxed) > 0, "nobody stole what was stolen");
}
