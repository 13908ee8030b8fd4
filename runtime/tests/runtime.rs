//! Making, using and ending runtimes, also in ways nobody should.

mod support;

use std::future::{Future as _, pending};
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use filch::{Handle, Runtime};
use support::{Fates, ends_in_time, hush_panics};

fn panic_text(f: impl FnOnce()) -> String {
    hush_panics("filch");
    hush_panics("block_on");
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("this must panic");
    payload
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_string()))
        .unwrap()
}

#[test]
fn no_workers_is_refused_with_advice() {
    let _ends = ends_in_time();
    let error = Runtime::builder().worker_threads(0).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("at least 1"), "{error}");
    let error = Runtime::builder().worker_threads(1 << 20).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("the most is"), "{error}");
    let error = Runtime::builder().worker_threads(1).max_blocking_threads(0).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

/// Environment variables belong to a process, so each value is tried in one of its own.
#[test]
fn the_variable_sets_the_workers_or_says_what_is_wrong() {
    let _ends = ends_in_time();
    const VARIABLE: &str = "FILCH_WORKER_THREADS";
    if std::env::var("FILCH_TEST_CHILD").is_ok() {
        match Runtime::new() {
            Ok(runtime) => println!("ok {runtime:?}"),
            Err(error) => println!("error {:?} {error}", error.kind()),
        }
        let explicit = Runtime::builder().worker_threads(2).build().unwrap();
        println!("explicit {explicit:?}");
        return;
    }
    let run = |value: &str| {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_variable_sets_the_workers_or_says_what_is_wrong", "--nocapture"])
            .env("FILCH_TEST_CHILD", "1")
            .env(VARIABLE, value)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let three = run("3");
    assert!(three.contains("ok Runtime { workers: 3 }"), "{three}");
    assert!(three.contains("explicit Runtime { workers: 2 }"), "the program wins: {three}");
    for bad in ["", "many", "-1", "1.5", "0", "99999999999999999999"] {
        let output = run(bad);
        assert!(output.contains("error InvalidInput FILCH_WORKER_THREADS is"), "{bad}: {output}");
    }
}

#[test]
fn a_refused_thread_is_an_error_and_leaves_nothing_behind() {
    let _ends = ends_in_time();
    // No system has room for such a stack.
    let error =
        Runtime::builder().worker_threads(2).thread_stack_size(usize::MAX / 4).build().unwrap_err();
    assert!(error.to_string().contains("refused"), "{error}");
}

#[test]
fn spawning_outside_a_runtime_says_what_to_do() {
    let _ends = ends_in_time();
    let text = panic_text(|| drop(filch::spawn(async {})));
    assert!(text.contains("filch::spawn was called outside a filch runtime"), "{text}");
    assert!(text.contains("filch::run"), "{text}");
    let text = panic_text(|| drop(filch::spawn_blocking(|| {})));
    assert!(text.contains("filch::spawn_blocking was called outside"), "{text}");
    let text = panic_text(|| drop(Handle::current()));
    assert!(text.contains("Handle::current was called outside"), "{text}");
    let text = panic_text(|| futures_lite::future::block_on(filch::sleep(Duration::from_secs(1))));
    assert!(text.contains("filch::sleep"), "{text}");
}

#[test]
fn nesting_is_refused_where_it_would_block_the_runtime() {
    let _ends = ends_in_time();
    let runtime = Arc::new(Runtime::builder().worker_threads(1).build().unwrap());
    let text = panic_text(|| runtime.block_on(async { filch::run(async {}) }));
    assert!(text.contains("filch::run was called inside a runtime"), "{text}");
    assert!(text.contains("filch::spawn"), "{text}");
    let inner = Arc::clone(&runtime);
    let error =
        runtime.block_on(runtime.spawn(async move { inner.block_on(async { 1 }) })).unwrap_err();
    assert!(error.to_string().contains("block_on was called on a worker thread"), "{error}");
    assert!(error.to_string().contains("spawn_blocking"), "{error}");
    let error = runtime.block_on(runtime.spawn(async { filch::run(async { 1 }) })).unwrap_err();
    assert!(error.to_string().contains("filch::run was called inside"), "{error}");
    // The refused calls did no harm.
    assert_eq!(runtime.block_on(runtime.spawn(async { 2 })).unwrap(), 2);
}

#[test]
fn block_on_nests_on_threads_of_ones_own() {
    let _ends = ends_in_time();
    let outer = Runtime::builder().worker_threads(1).build().unwrap();
    let inner = Runtime::builder().worker_threads(1).build().unwrap();
    let (send, receive) = async_channel::bounded::<i32>(1);
    let value = outer.block_on(async {
        // The waker of the outer task is used while the inner one is polled: neither may eat the
        // other's token.
        let child = filch::spawn(async move { receive.recv().await.unwrap() });
        let nested = inner.block_on(async {
            filch::spawn(async move { send.send(20).await.unwrap() }).await.unwrap();
            22
        });
        nested + child.await.unwrap()
    });
    assert_eq!(value, 42);
    let value = outer.block_on(outer.spawn_blocking(move || inner.block_on(async { 5 })));
    assert_eq!(value.unwrap(), 5, "blocking threads may block");
}

#[test]
fn two_block_ons_share_tasks() {
    let _ends = ends_in_time();
    let runtime = Runtime::new().unwrap();
    let (send, receive) = async_channel::bounded::<&str>(1);
    let receiver = async move { receive.recv().await };
    let [handle] = runtime.block_on(async { [filch::spawn(receiver)] });
    runtime.block_on(async { send.send("hello").await.unwrap() });
    assert_eq!(runtime.block_on(handle).unwrap(), Ok("hello"));
}

#[test]
fn a_panic_in_main_reaches_the_caller_and_the_runtime_lives_on() {
    let _ends = ends_in_time();
    hush_panics("planned");
    let runtime = Runtime::builder().worker_threads(1).build().unwrap();
    let caught = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            filch::yield_now().await;
            panic!("planned")
        })
    }));
    assert_eq!(*caught.unwrap_err().downcast::<&str>().unwrap(), "planned");
    assert!(Handle::try_current().is_none(), "the thread has left the runtime");
    assert_eq!(runtime.block_on(async { filch::spawn(async { 1 }).await.unwrap() }), 1);
}

#[test]
fn run_drops_what_is_left() {
    let _ends = ends_in_time();
    let fates = Arc::new(Fates::default());
    let f = Arc::clone(&fates);
    filch::run(async move {
        for _ in 0..100 {
            let tracked = f.track();
            drop(filch::spawn(async move {
                pending::<()>().await;
                tracked.finish();
            }));
        }
    });
    assert_eq!(fates.in_flight(), 0);
}

#[test]
fn a_runtime_can_be_dropped_inside_async_code() {
    let _ends = ends_in_time();
    let (send, receive) = mpsc::channel();
    let outer = Runtime::builder().worker_threads(1).build().unwrap();
    let fates = Arc::new(Fates::default());
    // Another runtime, on a worker and in a block_on.
    for on_worker in [true, false] {
        let inner = Runtime::builder().worker_threads(2).build().unwrap();
        let tracked = fates.track();
        drop(inner.spawn(async move {
            pending::<()>().await;
            tracked.finish();
        }));
        if on_worker {
            outer.block_on(outer.spawn(async move { drop(inner) })).unwrap();
        } else {
            outer.block_on(async move { drop(inner) });
        }
    }
    // Its own runtime, on one of its own workers.
    let own = Runtime::builder().worker_threads(1).build().unwrap();
    let handle = own.handle();
    let tracked = fates.track();
    drop(handle.spawn(async move {
        drop(own);
        // Nobody polls any more.
        filch::yield_now().await;
        tracked.finish();
    }));
    let watch = Arc::clone(&fates);
    drop(std::thread::spawn(move || {
        while watch.in_flight() > 0 {
            std::thread::yield_now();
        }
        send.send(()).unwrap();
    }));
    receive.recv_timeout(Duration::from_secs(20)).expect("all three runtimes end on their own");
    assert!(handle.spawn(async {}).join_timeout(None).unwrap().unwrap_err().is_cancelled());
}

#[test]
fn after_the_end_spawns_are_refused_and_handles_resolve() {
    let _ends = ends_in_time();
    let runtime = Runtime::builder().worker_threads(1).build().unwrap();
    let handle = runtime.handle();
    let mut waiting = runtime.spawn(pending::<()>());
    drop(runtime);
    let error = waiting.join_timeout(None).unwrap().unwrap_err();
    assert!(error.is_cancelled());
    assert_eq!(error.reason(), Some("the runtime was shut down"));
    let error = handle.spawn(async { 1 }).join_timeout(None).unwrap().unwrap_err();
    assert!(error.is_cancelled());
    let error = handle.spawn_blocking(|| 1).join_timeout(None).unwrap().unwrap_err();
    assert!(error.is_cancelled());
}

#[test]
fn shutdown_reports_what_it_did() {
    let _ends = ends_in_time();
    let runtime = Runtime::builder().worker_threads(2).build().unwrap();
    let handles: Vec<_> = (0..10).map(|_| runtime.spawn(pending::<()>())).collect();
    while runtime.handle().tasks().len() < 10 {
        std::thread::yield_now();
    }
    let report = runtime.shutdown(Duration::from_secs(20));
    assert_eq!((report.cancelled, report.finished, report.panicked), (10, 0, 0));
    assert!(report.stuck.is_empty() && report.stuck_jobs == 0);
    for mut handle in handles {
        assert!(handle.join_timeout(None).unwrap().unwrap_err().is_cancelled());
    }
}

#[test]
fn shutdown_names_who_is_stuck_and_does_not_wait_for_it() {
    let _ends = ends_in_time();
    let runtime = Runtime::builder().worker_threads(2).build().unwrap();
    let (started, is_started) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let job_started = started.clone();
    let (release_job, job_released) = mpsc::channel::<()>();
    let line = line!() + 1;
    let mut stuck = runtime.spawn(async move {
        started.send(()).unwrap();
        let _ = released.recv();
    });
    let mut job = runtime.spawn_blocking(move || {
        job_started.send(()).unwrap();
        let _ = job_released.recv();
        8
    });
    is_started.recv().unwrap();
    is_started.recv().unwrap();
    let report = runtime.shutdown(Duration::from_millis(20));
    assert_eq!(report.stuck.len(), 1, "{report:?}");
    assert_eq!(report.stuck[0].spawned_at.line(), line);
    assert_eq!(report.stuck[0].id, stuck.id());
    assert_eq!(report.stuck_jobs, 1);
    // What is stuck still ends properly when it returns.
    release.send(()).unwrap();
    assert!(stuck.join_timeout(None).unwrap().is_ok());
    release_job.send(()).unwrap();
    assert_eq!(job.join_timeout(None).unwrap().unwrap(), 8);
}

#[test]
fn shutdown_while_everything_spawns() {
    let _ends = ends_in_time();
    for round in 0..20 {
        let runtime = Runtime::builder().worker_threads(1 + round % 4).build().unwrap();
        let fates = Arc::new(Fates::default());
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (handle, fates) = (runtime.handle(), Arc::clone(&fates));
                std::thread::spawn(move || {
                    let mut last = None;
                    for _ in 0..2000 {
                        let (tracked, fates) = (fates.track(), Arc::clone(&fates));
                        last = Some(handle.spawn(async move {
                            let inner = fates.track();
                            let child = filch::spawn(async move {
                                filch::yield_now().await;
                                inner.finish();
                            });
                            let _ = child.await;
                            tracked.finish();
                        }));
                    }
                    // A handle always resolves, however late the spawn came.
                    let _ = last.unwrap().join_timeout(None).unwrap();
                })
            })
            .collect();
        while fates.ended() < 50 {
            std::thread::yield_now();
        }
        drop(runtime);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(fates.in_flight(), 0, "every future was dropped");
    }
}

#[test]
fn a_drop_at_shutdown_may_wake_spawn_and_abort() {
    let _ends = ends_in_time();
    struct Meddles(Option<filch::JoinHandle<()>>, Handle);
    impl Drop for Meddles {
        fn drop(&mut self) {
            if let Some(other) = self.0.take() {
                other.abort();
            }
            drop(self.1.spawn(async {}));
            drop(self.1.spawn_blocking(|| {}));
            let _ = self.1.tasks();
        }
    }
    for _ in 0..50 {
        let runtime = Runtime::builder().worker_threads(2).build().unwrap();
        let mut previous = None;
        for _ in 0..20 {
            let meddles = Meddles(previous.take(), runtime.handle());
            previous = Some(runtime.spawn(async move {
                let _meddles = meddles;
                pending::<()>().await;
            }));
        }
        drop(runtime);
    }
}

#[test]
fn hooks_run_on_each_thread_and_may_panic() {
    let _ends = ends_in_time();
    hush_panics("planned");
    let (starts, stops) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (s, t) = (Arc::clone(&starts), Arc::clone(&stops));
    let runtime = Runtime::builder()
        .worker_threads(3)
        .thread_name("hooked")
        .on_thread_start(move || {
            s.fetch_add(1, Ordering::SeqCst);
            panic!("planned: start")
        })
        .on_thread_stop(move || {
            t.fetch_add(1, Ordering::SeqCst);
            panic!("planned: stop")
        })
        .build()
        .unwrap();
    let name = runtime
        .block_on(runtime.spawn(async { std::thread::current().name().map(str::to_string) }))
        .unwrap()
        .unwrap();
    assert!(name.starts_with("hooked-worker-"), "{name}");
    drop(runtime);
    assert_eq!((starts.load(Ordering::SeqCst), stops.load(Ordering::SeqCst)), (3, 3));
}

#[test]
fn forty_workers_in_two_sets_share_the_work() {
    let _ends = ends_in_time();
    let runtime = Runtime::builder().worker_threads(40).build().unwrap();
    let threads: Arc<std::sync::Mutex<std::collections::HashSet<std::thread::ThreadId>>> =
        Arc::default();
    let barrier = Arc::new(std::sync::Barrier::new(40));
    // Forty tasks that all must be polled at the same time: every worker is reached, from
    // outside and by stealing.
    let t = Arc::clone(&threads);
    runtime
        .block_on(runtime.spawn(async move {
            let handles: Vec<_> = (0..40)
                .map(|_| {
                    let (threads, barrier) = (Arc::clone(&t), Arc::clone(&barrier));
                    filch::spawn(async move {
                        threads.lock().unwrap().insert(std::thread::current().id());
                        barrier.wait();
                    })
                })
                .collect();
            for handle in handles {
                handle.await.unwrap();
            }
        }))
        .unwrap();
    assert_eq!(threads.lock().unwrap().len(), 40);
    for _ in 0..20 {
        let handles: Vec<_> = (0..200).map(|i| runtime.spawn(async move { i })).collect();
        let sum: u64 =
            handles.into_iter().map(|mut h| h.join_timeout(None).unwrap().unwrap()).sum();
        assert_eq!(sum, 19_900);
    }
}

#[test]
fn runtimes_come_and_go_without_leaving_memory() {
    let _ends = ends_in_time();
    support::alone("runtimes_come_and_go_without_leaving_memory", come_and_go);
}

fn come_and_go() {
    let make = || {
        let runtime = Runtime::builder().worker_threads(2).build().unwrap();
        runtime.block_on(async {
            filch::spawn(async { filch::yield_now().await }).await.unwrap();
            filch::sleep(Duration::ZERO).await;
        });
    };
    (0..100).for_each(|_| make());
    let before = support::resident_bytes();
    (0..500).for_each(|_| make());
    if let (Some(before), Some(after)) = (before, support::resident_bytes()) {
        assert!(after < before + before / 4, "{before} bytes grew to {after}");
    }
}

#[test]
fn late_wakers_of_a_dead_runtime_do_no_harm() {
    let _ends = ends_in_time();
    use std::task::{Poll, Waker};
    let wakers: Arc<std::sync::Mutex<Vec<Waker>>> = Arc::default();
    let stop = Arc::new(AtomicUsize::new(0));
    let (w, s) = (Arc::clone(&wakers), Arc::clone(&stop));
    let waking = std::thread::spawn(move || {
        while s.load(Ordering::Relaxed) == 0 {
            let some: Vec<_> = w.lock().unwrap().iter().cloned().collect();
            some.iter().for_each(Waker::wake_by_ref);
        }
    });
    for _ in 0..200 {
        let runtime = Runtime::builder().worker_threads(2).build().unwrap();
        for _ in 0..5 {
            let wakers = Arc::clone(&wakers);
            drop(runtime.spawn(std::future::poll_fn(move |cx| {
                let mut wakers = wakers.lock().unwrap();
                if wakers.len() > 50 {
                    wakers.clear();
                }
                wakers.push(cx.waker().clone());
                Poll::<()>::Pending
            })));
        }
        let end = Instant::now() + Duration::from_millis(1);
        runtime.block_on(filch::sleep_until(end));
    }
    stop.store(1, Ordering::Relaxed);
    waking.join().unwrap();
}

/// crossbeam runs the destructors of everybody who uses its epochs, also inside the deque: what
/// they wake or spawn must not be pushed into a deque that is in the middle of something.
#[test]
fn foreign_destructors_inside_the_deque_may_spawn() {
    let _ends = ends_in_time();
    let runtime = Runtime::builder().worker_threads(2).build().unwrap();
    let fates = Arc::new(Fates::default());
    runtime.block_on(async {
        for _ in 0..200 {
            let (handle, fates) = (runtime.handle(), Arc::clone(&fates));
            let parent = filch::spawn(async move {
                for _ in 0..64 {
                    let (handle, tracked) = (handle.clone(), fates.track());
                    // Runs whenever some thread advances the epoch, perhaps a worker that steals.
                    let guard = crossbeam_epoch::pin();
                    guard.defer(move || drop(handle.spawn(async move { tracked.finish() })));
                    guard.flush();
                    drop(guard);
                    drop(filch::spawn(async {}));
                }
                filch::yield_now().await;
            });
            parent.await.unwrap();
        }
    });
    while fates.in_flight() > 0 {
        // Whatever garbage is left is freed by those who pin.
        crossbeam_epoch::pin().flush();
    }
    assert_eq!(fates.created.load(Ordering::Relaxed), 200 * 64);
}

#[test]
fn a_runtime_dropped_on_the_timers_thread_ends_on_its_own() {
    let _ends = ends_in_time();
    struct DropsRuntime(std::sync::Mutex<Option<Runtime>>);
    impl std::task::Wake for DropsRuntime {
        fn wake(self: Arc<Self>) {
            drop(self.0.lock().unwrap().take());
        }
    }
    let runtime = Runtime::builder().worker_threads(2).build().unwrap();
    let fates = Arc::new(Fates::default());
    for _ in 0..10 {
        let tracked = fates.track();
        drop(runtime.spawn(async move {
            filch::sleep(Duration::from_millis(5)).await;
            pending::<()>().await;
            tracked.finish();
        }));
    }
    let mut nap = Box::pin(filch::sleep(Duration::from_millis(5)));
    let waker = Arc::new(DropsRuntime(std::sync::Mutex::new(None)));
    {
        let waker = std::task::Waker::from(Arc::clone(&waker));
        let mut cx = std::task::Context::from_waker(&waker);
        runtime.block_on(async { assert!(nap.as_mut().poll(&mut cx).is_pending()) });
    }
    *waker.0.lock().unwrap() = Some(runtime);
    while fates.in_flight() > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn a_shutdown_counts_what_really_happened_and_names_a_drop_that_hangs() {
    let _ends = ends_in_time();
    hush_panics("planned");
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("planned");
        }
    }
    let runtime = Runtime::builder().worker_threads(1).build().unwrap();
    let handle = runtime.handle();
    for _ in 0..3 {
        drop(runtime.spawn(async {
            let _bomb = Bomb;
            pending::<()>().await;
        }));
    }
    while handle.tasks().len() < 3 {
        std::thread::yield_now();
    }
    let report = runtime.shutdown(Duration::from_secs(20));
    assert_eq!((report.cancelled, report.panicked), (0, 3));

    struct Hangs(mpsc::Receiver<()>);
    impl Drop for Hangs {
        fn drop(&mut self) {
            let _ = self.0.recv();
        }
    }
    let runtime = Runtime::builder().worker_threads(1).build().unwrap();
    let handle = runtime.handle();
    let (release, hangs) = mpsc::channel();
    let hangs = Hangs(hangs);
    let mut task = runtime.spawn(async move {
        let _hangs = hangs;
        pending::<()>().await;
    });
    while handle.tasks().is_empty() {
        std::thread::yield_now();
    }
    let report = runtime.shutdown(Duration::from_millis(20));
    assert_eq!(report.stuck.len(), 1, "{report:?}");
    assert_eq!(report.stuck[0].id, task.id());
    drop(release);
    assert!(task.join_timeout(None).unwrap().unwrap_err().is_cancelled());
}

#[test]
fn blocking_threads_may_block() {
    let _ends = ends_in_time();
    filch::run(async {
        let outside = filch::spawn_blocking(|| {
            let joined = filch::spawn(async { 1 }).join_timeout(None).unwrap().unwrap();
            joined + filch::run(async { 2 })
        });
        assert_eq!(outside.await.unwrap(), 3);
    });
}
