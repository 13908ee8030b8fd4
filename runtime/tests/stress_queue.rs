//! The deque under the scheduler's queue: each item comes out exactly once, also while the buffer
//! grows under the thieves. (Loom sees a stand-in for it, so this is its test.)

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use crossbeam_deque::{Steal, Worker};

const ITEMS: usize = if cfg!(debug_assertions) { 300_000 } else { 5_000_000 };
const THIEVES: usize = 3;

#[test]
fn each_item_comes_out_exactly_once() {
    let queue = Worker::new_fifo();
    let seen: Vec<AtomicU8> = (0..ITEMS).map(|_| AtomicU8::new(0)).collect();
    let done = AtomicBool::new(false);
    let take = |item: usize| {
        assert_eq!(seen[item].fetch_add(1, Ordering::Relaxed), 0, "item {item} came out twice");
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
    assert!(seen.iter().all(|count| count.load(Ordering::Relaxed) == 1), "an item was lost");
}
