//! A clock that stands still while anything happens, and jumps to the next deadline when nothing can.
//!
//! No test here waits to be sure: if time moved too early an exact time would be wrong, and if it
//! did not move the test would hang.

mod support;

use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Wake, Waker};
use std::time::{Duration, Instant};

use filch::time::{advance, now};
use filch::{Runtime, interval, sleep, sleep_until, spawn, spawn_blocking, timeout, yield_now};
use support::{Random, hush_panics};

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().worker_threads(workers).manual_clock(true).build().unwrap()
}

/// Runs a test with one worker, and with four.
fn by_itself<F: Future<Output = ()>>(test: impl Fn() -> F) {
    for workers in [1, 4] {
        runtime(workers).block_on(test());
    }
}

#[test]
fn a_sleep_takes_exactly_its_time_and_none_of_ours() {
    let real = Instant::now();
    by_itself(|| async {
        let start = now();
        sleep(DAY).await;
        assert_eq!(now() - start, DAY);
        spawn(sleep(DAY)).await.unwrap();
        assert_eq!(now() - start, 2 * DAY);
        sleep_until(start + 3 * DAY + 7 * MS).await;
        assert_eq!(now() - start, 3 * DAY + 7 * MS);
    });
    assert!(real.elapsed() < HOUR);
}

#[test]
fn thousands_of_sleeps_end_in_the_order_of_their_deadlines_each_at_its_time() {
    by_itself(|| async {
        let start = now();
        let order: Arc<Mutex<Vec<Duration>>> = Arc::default();
        let mut random = Random(0x2545_f491_4f6c_dd1d);
        let handles: Vec<_> = (0..5000)
            .map(|_| {
                // Near and far ones, and some at the same time.
                let length = MS * (random.below(4000) * random.below(2000)) as u32;
                let order = Arc::clone(&order);
                spawn(async move {
                    sleep_until(start + length).await;
                    assert_eq!(now(), start + length, "neither late nor early");
                    order.lock().unwrap().push(length);
                })
            })
            .collect();
        for handle in handles {
            handle.await.unwrap();
        }
        let order = order.lock().unwrap();
        assert_eq!(order.len(), 5000);
        assert!(order.is_sorted());
    });
}

#[test]
fn time_stands_still_while_tasks_hand_each_other_something() {
    by_itself(|| async {
        let start = now();
        let late = spawn(async move {
            sleep(MS).await;
            now() - start
        });
        let players: Vec<_> = (0..4)
            .map(|_| {
                let ((ping, pinged), (pong, ponged)) =
                    (async_channel::bounded(1), async_channel::bounded(1));
                let other = spawn(async move {
                    while let Ok(round) = pinged.recv().await {
                        pong.send(round + 1).await.unwrap();
                    }
                });
                spawn(async move {
                    for round in 0..2000 {
                        ping.send(round).await.unwrap();
                        assert_eq!(ponged.recv().await.unwrap(), round + 1);
                        assert_eq!(now(), start);
                    }
                    drop(ping);
                    other.await.unwrap();
                })
            })
            .collect();
        for player in players {
            player.await.unwrap();
        }
        // The root plays as well: now each round goes through its mailbox.
        let ((ping, pinged), (pong, ponged)) =
            (async_channel::bounded(1), async_channel::bounded(1));
        let other = spawn(async move {
            while let Ok(round) = pinged.recv().await {
                pong.send(round).await.unwrap();
            }
        });
        for round in 0..2000 {
            ping.send(round).await.unwrap();
            assert_eq!(ponged.recv().await.unwrap(), round);
        }
        drop(ping);
        other.await.unwrap();
        assert_eq!(now(), start);
        assert_eq!(late.await.unwrap(), MS);
    });
}

#[test]
fn time_does_not_jump_over_a_blocking_job() {
    by_itself(|| async {
        let start = now();
        let nap = spawn(async move {
            sleep(MS).await;
            now()
        });
        let job = spawn_blocking(move || {
            let real = Instant::now();
            while real.elapsed() < 50 * MS {
                std::thread::sleep(MS);
                assert_eq!(now(), start);
            }
        });
        job.await.unwrap();
        assert_eq!(now(), start, "the awaiter runs before time moves");
        assert_eq!(nap.await.unwrap(), start + MS);
    });
}

#[test]
fn a_timeout_around_a_blocking_job_does_not_fire() {
    by_itself(|| async {
        for _ in 0..100 {
            let job = spawn_blocking(std::thread::yield_now);
            timeout(MS, job).await.expect("no time passes").unwrap();
        }
        // Nor for those that wait for a thread, or are dropped in the queue.
        let jobs: Vec<_> = (0..200).map(|_| spawn_blocking(|| ())).collect();
        for (i, job) in jobs.into_iter().enumerate() {
            if i % 3 == 0 {
                job.abort();
            }
            let _ = timeout(MS, job).await.expect("no time passes");
        }
    });
}

#[test]
fn a_job_that_is_refused_holds_nothing_up() {
    let runtime = Runtime::builder()
        .worker_threads(1)
        .max_blocking_threads(1)
        .blocking_queue(1)
        .manual_clock(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let first = spawn_blocking(move || gate.recv().is_err());
        let others: Vec<_> = (0..10).map(|_| spawn_blocking(|| ())).collect();
        drop(open);
        assert!(first.await.unwrap());
        let mut refused = 0;
        for other in others {
            refused += u32::from(other.await.is_err_and(|error| error.is_rejected()));
        }
        assert!(refused >= 8, "{refused}");
        let start = now();
        sleep(DAY).await;
        assert_eq!(now() - start, DAY);
    });
}

#[test]
fn a_block_on_inside_a_job_or_another_one_lets_time_pass() {
    by_itself(|| async {
        let runtime = Arc::new(runtime(1));
        let inner = Arc::clone(&runtime);
        let (one, two) = runtime.block_on(async {
            let start = now();
            inner.block_on(async {
                let inside = Arc::clone(&inner);
                sleep(HOUR).await;
                let job = spawn_blocking(move || inside.block_on(sleep(HOUR)));
                job.await.unwrap();
            });
            let one = now() - start;
            spawn_blocking(move || {
                let deep = Arc::clone(&inner);
                inner.block_on(async move { deep.block_on(sleep(HOUR)) });
                drop(inner);
            })
            .await
            .unwrap();
            (one, now() - start)
        });
        assert_eq!((one, two), (2 * HOUR, 3 * HOUR));
    });
}

#[test]
fn runtimes_do_not_move_each_others_clocks() {
    let (one, other) = (runtime(1), runtime(2));
    one.block_on(async {
        let start = now();
        let nap = spawn(sleep(MS));
        // To `one` its root is busy with something foreign: its time stands still.
        let there = other.block_on(async {
            let start = now();
            sleep(HOUR).await;
            now() - start
        });
        assert_eq!(there, HOUR);
        assert_eq!(now(), start);
        nap.await.unwrap();
        assert_eq!(now(), start + MS);
    });
}

#[test]
fn advance_moves_by_hand_and_the_clock_goes_on_from_there() {
    by_itself(|| async {
        let start = now();
        let nap = spawn(sleep(HOUR));
        let mut long = pin!(sleep(2 * HOUR));
        poll_fn(|cx| {
            assert!(long.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        // Not before the other one has begun to sleep as well.
        while filch::Handle::current().tasks().len() < 2 {
            yield_now().await;
        }
        advance(HOUR / 2);
        assert_eq!(now() - start, HOUR / 2);
        assert!(!nap.is_finished());
        advance(HOUR / 2);
        nap.await.unwrap();
        assert_eq!(now() - start, HOUR, "it was due, so time did not have to move");
        long.await;
        assert_eq!(now() - start, 2 * HOUR);
        advance(Duration::ZERO);
        assert_eq!(now() - start, 2 * HOUR);
    });
}

/// In a process of its own: the hook of panics is everybody's, and other tests set theirs.
#[test]
fn advance_asks_for_a_manual_clock() {
    support::alone("advance_asks_for_a_manual_clock", advance_asks_for_a_manual_clock_alone);
}

fn advance_asks_for_a_manual_clock_alone() {
    hush_panics("time::advance");
    let text = |caught: std::thread::Result<()>| {
        let payload = caught.unwrap_err();
        let text = payload.downcast_ref::<String>().map(String::as_str);
        text.or(payload.downcast_ref::<&str>().copied()).unwrap().to_owned()
    };
    let real = text(std::panic::catch_unwind(|| filch::run(async { advance(MS) })));
    assert!(real.contains("clock = manual") && real.contains("manual_clock(true)"), "{real}");
    let outside = text(std::panic::catch_unwind(|| advance(MS)));
    assert!(outside.contains("time::advance was called outside a filch runtime"), "{outside}");
    // And blames whoever called it.
    let line = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&line);
    std::thread::spawn(move || {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<String>().is_some_and(|p| p.contains("time::advance"))
            {
                let line = info.location().unwrap().line();
                seen.store(u64::from(line), Ordering::Relaxed);
            }
        }));
        let here = line!() + 1;
        let caught = std::panic::catch_unwind(|| advance(MS));
        std::panic::set_hook(before);
        assert!(caught.is_err());
        assert_eq!(line.load(Ordering::Relaxed), u64::from(here));
    })
    .join()
    .unwrap();
}

#[test]
fn an_interval_ticks_through_a_day() {
    by_itself(|| async {
        let mut every = interval(60 * 1000 * MS);
        let start = every.tick().await;
        for minute in 1..=1440_u32 {
            let tick = every.tick().await;
            assert_eq!(tick - start, minute * 60_000 * MS);
            assert_eq!(now(), tick);
        }
        assert_eq!(now() - start, DAY);
    });
}

#[test]
fn timeouts_fire_when_they_are_due_and_only_then() {
    by_itself(|| async {
        let start = now();
        assert!(timeout(HOUR, pending::<()>()).await.is_err());
        assert_eq!(now() - start, HOUR);
        assert_eq!(timeout(HOUR, sleep(HOUR - MS)).await, Ok(()));
        assert_eq!(now() - start, 2 * HOUR - MS);
        assert!(timeout(HOUR, sleep(HOUR + MS)).await.is_err());
        assert_eq!(now() - start, 3 * HOUR - MS);
        // Many that never fire leave nothing behind that time would stop at.
        for _ in 0..1000 {
            timeout(MS, spawn(async {})).await.unwrap().unwrap();
        }
        assert_eq!(now() - start, 3 * HOUR - MS);
        sleep(MS).await;
        assert_eq!(now() - start, 3 * HOUR);
    });
}

/// Who has been told to stop, and how often the other was heard, does not depend on who was fast.
#[test]
fn a_thousand_races_end_alike() {
    let runtime = runtime(4);
    for round in 0..1000 {
        runtime.block_on(async move {
            let start = now();
            let (send, receive) = async_channel::bounded::<u64>(2);
            // A producer every 3 ms, a consumer that is slower or faster, a job now and then, and
            // one that cancels them all at 100 ms.
            let producer = spawn(async move {
                let mut every = interval(3 * MS);
                for i in 0.. {
                    every.tick().await;
                    if i % 16 == 15 {
                        spawn_blocking(std::thread::yield_now).await.unwrap();
                    }
                    if send.send(i).await.is_err() {
                        break;
                    }
                }
                now()
            });
            let consumer = spawn(async move {
                let mut sum = 0;
                loop {
                    match timeout(2 * MS, receive.recv()).await {
                        Ok(Ok(_)) => sum += 1,
                        Ok(Err(_)) => return sum,
                        Err(_) if now() - start >= 100 * MS => return sum,
                        Err(_) => {}
                    }
                    if round % 2 == 0 {
                        yield_now().await;
                    }
                }
            });
            let heard = consumer.await.unwrap();
            assert_eq!(now() - start, 101 * MS, "round {round}");
            assert_eq!(heard, 34, "round {round}");
            let end = producer.await.unwrap();
            assert_eq!(end - start, 102 * MS, "round {round}");
        });
    }
}

#[test]
fn several_roots_share_one_time() {
    let runtime = runtime(2);
    let barrier = std::sync::Barrier::new(3);
    let start = runtime.block_on(async { now() });
    std::thread::scope(|scope| {
        let sleepers = [1, 2, 3].map(|hours| {
            let (runtime, barrier) = (&runtime, &barrier);
            scope.spawn(move || {
                runtime.block_on(async move {
                    // All sit down before time moves: this blocks, so this thread is awake.
                    barrier.wait();
                    sleep_until(start + hours * HOUR).await;
                    now() - start
                })
            })
        });
        let ends = sleepers.map(|sleeper| sleeper.join().unwrap());
        assert_eq!(ends, [HOUR, 2 * HOUR, 3 * HOUR]);
    });
}

#[test]
fn time_moves_only_while_somebody_waits_for_it() {
    let runtime = runtime(2);
    let start = runtime.block_on(async { now() });
    let asleep = Arc::new(AtomicBool::new(false));
    let nap = {
        let asleep = Arc::clone(&asleep);
        runtime.spawn(async move {
            let mut nap = pin!(sleep(HOUR));
            poll_fn(|cx| {
                let polled = nap.as_mut().poll(cx);
                asleep.store(true, Ordering::Relaxed);
                polled
            })
            .await;
        })
    };
    while !asleep.load(Ordering::Relaxed) {
        std::thread::yield_now();
    }
    runtime.block_on(async move {
        assert_eq!(now(), start);
        nap.await.unwrap();
        assert_eq!(now(), start + HOUR);
    });
}

/// Without a deadline there is nothing to go to: time waits for the thread from outside.
#[test]
fn news_from_outside_are_waited_for() {
    by_itself(|| async {
        let start = now();
        let (send, receive) = async_channel::bounded(1);
        let (asked, question) = std::sync::mpsc::channel::<()>();
        let outside = std::thread::spawn(move || {
            question.recv().unwrap();
            send.send_blocking(7).unwrap();
        });
        let waits = spawn(async move { receive.recv().await.unwrap() });
        asked.send(()).unwrap();
        assert_eq!(waits.await.unwrap(), 7);
        assert_eq!(now(), start);
        sleep(HOUR).await;
        assert_eq!(now() - start, HOUR);
        outside.join().unwrap();
    });
}

/// A waker that is no task's runs on whichever thread moves time on; its panic ends there.
#[test]
fn foreign_wakers_may_do_what_they_like() {
    struct Nasty(AtomicBool);
    impl Wake for Nasty {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
            panic!("a nasty waker");
        }
    }
    hush_panics("a nasty waker");
    by_itself(|| async {
        let nasty = Arc::new(Nasty(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&nasty));
        let mut nap = pin!(sleep(MS));
        assert!(nap.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
        let start = now();
        sleep(2 * MS).await;
        assert_eq!(now() - start, 2 * MS);
        assert!(nasty.0.load(Ordering::Relaxed));
    });
}

#[test]
fn a_root_that_panics_leaves_the_clock_in_order() {
    hush_panics("a root gives up");
    let runtime = runtime(2);
    for _ in 0..10 {
        let caught = std::panic::catch_unwind(AssertUnwindSafe(|| {
            runtime.block_on(async {
                sleep(MS).await;
                panic!("a root gives up");
            })
        }));
        assert!(caught.is_err());
        let slept = runtime.block_on(async {
            let start = now();
            let (one, two) = (spawn(sleep(HOUR)), spawn(sleep(2 * HOUR)));
            one.await.unwrap();
            two.await.unwrap();
            now() - start
        });
        assert_eq!(slept, 2 * HOUR);
    }
}

#[test]
fn a_root_need_not_be_send() {
    by_itself(|| async {
        let sum = Rc::new(Cell::new(0));
        for i in 0..10 {
            sleep(HOUR).await;
            sum.set(sum.get() + i);
        }
        assert_eq!(sum.get(), 45);
    });
}

mod attribute {
    use super::*;

    #[filch::test(clock = manual)]
    async fn sleeps_at_once() {
        let start = now();
        sleep(HOUR - MS).await;
        assert_eq!(now() - start, HOUR - MS);
    }

    #[filch::test(clock = manual)]
    #[should_panic(expected = "attribute::stuck` took longer than an hour on its manual clock")]
    async fn stuck() {
        pending::<()>().await;
    }

    #[filch::test(clock = manual, worker_threads = 4)]
    #[should_panic(expected = "wait for something that never comes")]
    async fn deadlocked() {
        let (one, other) = (async_channel::bounded::<()>(1), async_channel::bounded::<()>(1));
        let (one_sends, other_sends) = (one.0.clone(), other.0.clone());
        let a = spawn(async move {
            one.1.recv().await.unwrap();
            other_sends.send(()).await.unwrap();
        });
        let b = spawn(async move {
            other.1.recv().await.unwrap();
            one_sends.send(()).await.unwrap();
        });
        a.await.unwrap();
        b.await.unwrap();
    }

    #[filch::test(clock = manual, timeout = secs(5))]
    #[should_panic(expected = "attribute::too_slow` took longer than 5s on its manual clock")]
    async fn too_slow() {
        sleep(Duration::from_secs(6)).await;
    }

    #[filch::test(clock = manual, timeout = 48 * HOUR)]
    async fn long_but_in_time() {
        sleep(DAY).await;
    }
}
