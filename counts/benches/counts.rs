//! The operations whose instructions are counted. Each is a process of its own under callgrind, and does its operation
//! [`ROUNDS`] times. Only one thread's instructions are counted, and that thread never waits for another meanwhile, so
//! that the counts repeat.
#![allow(missing_docs, reason = "the macros of gungraun make public modules")]

use std::future::{Future, pending, poll_fn, ready};
use std::hint::black_box;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use filch::{Runtime, catch_cancel, gather, sleep, spawn, task_group, timeout, yield_now};
use filch_counts::{Busy, ROUNDS, count_here, count_on_worker, runtime};
use filch_timer::{Clock, Timer};
use gungraun::{
    Callgrind, EntryPoint, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};

const HOUR: Duration = Duration::from_secs(3600);

// A task spawns many, then joins them all.
#[library_benchmark]
fn spawn_join_many() {
    count_on_worker(|| async {
        let handles: Vec<_> = (0..ROUNDS).map(|n| spawn(async move { n })).collect();
        for handle in handles {
            black_box(handle.await.unwrap());
        }
    });
}

// A task spawns one and awaits it.
#[library_benchmark]
fn spawn_await() {
    count_on_worker(|| async {
        for n in 0..ROUNDS {
            black_box(spawn(async move { n }).await.unwrap());
        }
    });
}

// The same, and the task holds so much memory over a yield.
async fn spawn_sized<const BYTES: usize>() {
    for n in 0..ROUNDS {
        let handle = spawn(async move {
            let mut held = [0_u8; BYTES];
            held[n % BYTES] = 1;
            yield_now().await;
            black_box(&held)[n % BYTES]
        });
        black_box(handle.await.unwrap());
    }
}

#[library_benchmark]
fn spawn_256_bytes() {
    count_on_worker(spawn_sized::<256>);
}

#[library_benchmark]
fn spawn_4096_bytes() {
    count_on_worker(spawn_sized::<4096>);
}

// A thread that is no worker spawns tasks, while the worker is busy: the spawner's share.
#[library_benchmark]
fn spawn_from_outside() {
    let runtime = runtime();
    let busy = Busy::new(&runtime);
    count_here(|| (0..ROUNDS).for_each(|n| drop(runtime.spawn(async move { n }))));
    busy.end(&runtime);
}

// One task wakes another and yields: a wake, two polls.
#[library_benchmark]
fn wake_another() {
    count_on_worker(|| async {
        let place = Arc::new(Mutex::new(None));
        let sleeper = spawn(wait_in(Arc::clone(&place), ROUNDS));
        yield_now().await;
        for _ in 0..ROUNDS {
            place.lock().unwrap().take().expect("the sleeper waits").wake();
            yield_now().await;
        }
        sleeper.await.unwrap();
    });
}

// A thread that is no worker wakes tasks, while the worker is busy: the waker's share.
#[library_benchmark]
fn wake_from_outside() {
    let runtime = runtime();
    // Twice: the first half is for the run that is not counted.
    let places: Vec<_> = (0..2 * ROUNDS).map(|_| Arc::new(Mutex::new(None))).collect();
    let sleepers: Vec<_> =
        places.iter().map(|place| runtime.spawn(wait_in(Arc::clone(place), 1))).collect();
    // Behind them all in the same queue.
    runtime.block_on(runtime.spawn(async {})).unwrap();
    let busy = Busy::new(&runtime);
    let mut wakers = places.iter().map(|place| place.lock().unwrap().take());
    count_here(|| {
        for _ in 0..ROUNDS {
            wakers.next().flatten().expect("the sleeper waits").wake();
        }
    });
    busy.end(&runtime);
    runtime.block_on(async {
        for sleeper in sleepers {
            sleeper.await.unwrap();
        }
    });
}

// Puts a waker into the place, and waits for it to be called, so many times.
async fn wait_in(place: Arc<Mutex<Option<Waker>>>, times: usize) {
    for _ in 0..times {
        let mut waits = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut waits, true) {
                return Poll::Ready(());
            }
            *place.lock().unwrap() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

// A task yields while there is no other.
#[library_benchmark]
fn yield_alone() {
    count_on_worker(|| async {
        for _ in 0..ROUNDS {
            yield_now().await;
        }
    });
}

// Ten tasks yield in turn.
#[library_benchmark]
fn yield_among_ten() {
    count_on_worker(|| async {
        let yields = |_| {
            spawn(async {
                for _ in 0..ROUNDS / 10 {
                    yield_now().await;
                }
            })
        };
        let handles: Vec<_> = (0..10).map(yields).collect();
        for handle in handles {
            handle.await.unwrap();
        }
    });
}

// A sleep is polled once, and dropped.
#[library_benchmark]
fn timer_insert_cancel() {
    count_on_worker(|| async {
        for _ in 0..ROUNDS {
            let mut sleep = pin!(sleep(HOUR));
            let waits = poll_fn(|cx| Poll::Ready(sleep.as_mut().poll(cx).is_pending())).await;
            assert!(waits);
        }
    });
}

// The timer by itself: sleeps are put in, time passes, all fire. (Boxes included.)
#[library_benchmark]
fn timer_insert_fire() {
    let clock = Clock::manual();
    let timer = Timer::new(clock.clone()).unwrap();
    count_here(|| {
        let mut cx = Context::from_waker(Waker::noop());
        let after = |n: usize| Duration::from_millis(1 + (n * 7 % 50) as u64);
        let mut sleeps: Vec<_> = (0..ROUNDS).map(|n| Box::pin(timer.sleep(after(n)))).collect();
        for sleep in &mut sleeps {
            assert!(sleep.as_mut().poll(&mut cx).is_pending());
        }
        for _ in 0..50 {
            clock.advance(Duration::from_millis(1));
        }
        for sleep in &mut sleeps {
            assert!(sleep.as_mut().poll(&mut cx).is_ready());
        }
    });
}

// A task sleeps while there is nothing else: the worker goes to rest, moves the clock on, wakes the task.
#[library_benchmark]
fn sleep_alone() {
    count_on_worker(|| async {
        for _ in 0..ROUNDS {
            sleep(Duration::from_millis(1)).await;
        }
    });
}

// A timeout around something that is ready.
#[library_benchmark]
fn timeout_ready() {
    count_on_worker(|| async {
        for n in 0..ROUNDS {
            black_box(timeout(HOUR, ready(n)).await.unwrap());
        }
    });
}

// A timeout around something that waits once.
#[library_benchmark]
fn timeout_yield() {
    count_on_worker(|| async {
        for _ in 0..ROUNDS {
            timeout(HOUR, yield_now()).await.unwrap();
        }
    });
}

// A task spawns ten and awaits one after the other.
#[library_benchmark]
fn join_ten() {
    count_on_worker(|| async {
        for _ in 0..ROUNDS {
            let handles: [_; 10] = std::array::from_fn(|n| spawn(async move { n }));
            for handle in handles {
                black_box(handle.await.unwrap());
            }
        }
    });
}

// The same by `gather`.
#[library_benchmark]
fn gather_ten() {
    count_on_worker(|| async {
        for _ in 0..ROUNDS {
            black_box(gather((0..10).map(|n| async move { n })).await.unwrap());
        }
    });
}

// A group of ten that yield.
#[library_benchmark]
fn group_of_ten() {
    count_on_worker(|| async {
        for _ in 0..ROUNDS {
            task_group(async |group| {
                (0..10).for_each(|_| drop(group.spawn(yield_now())));
            })
            .await;
        }
    });
}

// Two tasks, two channels of async-channel, a message there and back.
#[library_benchmark]
fn channel_round_trip() {
    count_on_worker(|| async {
        let (there, arrives) = async_channel::bounded(1);
        let (back, returns) = async_channel::bounded(1);
        let echo = spawn(async move {
            while let Ok(message) = arrives.recv().await {
                back.send(message).await.unwrap();
            }
        });
        for n in 0..ROUNDS {
            there.send(n).await.unwrap();
            black_box(returns.recv().await.unwrap());
        }
        drop(there);
        echo.await.unwrap();
    });
}

// A thread enters `block_on` for something that waits once, and leaves it. (With the system's clock: a manual one is told
// who is in there. The timer's thread and the worker sleep.)
#[library_benchmark]
fn block_on_round_trip() {
    let runtime = Runtime::builder().worker_threads(1).build().unwrap();
    count_here(|| {
        for _ in 0..ROUNDS {
            runtime.block_on(yield_now());
        }
    });
}

// A task that waits is cancelled, catches that, and ends.
#[library_benchmark]
fn cancel_catch() {
    count_on_worker(|| async {
        for _ in 0..ROUNDS {
            let handle = spawn(async {
                let cancelled = catch_cancel(pending::<()>()).await.unwrap_err();
                cancelled.uncancel()
            });
            yield_now().await;
            assert!(handle.cancel());
            assert_eq!(handle.await.unwrap(), 0);
        }
    });
}

library_benchmark_group!(
    name = operations,
    benchmarks = [
        spawn_join_many,
        spawn_await,
        spawn_256_bytes,
        spawn_4096_bytes,
        spawn_from_outside,
        wake_another,
        wake_from_outside,
        yield_alone,
        yield_among_ten,
        timer_insert_cancel,
        timer_insert_fire,
        sleep_alone,
        timeout_ready,
        timeout_yield,
        join_ten,
        gather_ten,
        group_of_ten,
        channel_round_trip,
        block_on_round_trip,
        cancel_catch,
    ]
);

main!(
    config = LibraryBenchmarkConfig::default().tool(
        // What is counted begins and ends where `toggle` says.
        Callgrind::with_args(["--collect-atstart=no"]).entry_point(EntryPoint::None)
    ),
    library_benchmark_groups = operations
);
