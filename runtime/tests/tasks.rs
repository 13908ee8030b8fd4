//! Tasks and their handles: every way to end, every moment to let go.

mod support;

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use filch::{JoinError, Runtime};
use support::{Fates, hush_panics};

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().worker_threads(workers).build().unwrap()
}

#[test]
fn a_task_gives_its_output() {
    for workers in [1, 2, 4] {
        let sum = runtime(workers).block_on(async {
            let handles: Vec<_> = (0..100).map(|i| filch::spawn(async move { i })).collect();
            let mut sum = 0;
            for handle in handles {
                sum += handle.await.unwrap();
            }
            sum
        });
        assert_eq!(sum, 4950);
    }
}

#[test]
fn a_detached_task_finishes() {
    let (send, receive) = std::sync::mpsc::channel();
    let runtime = runtime(1);
    drop(runtime.spawn(async move {
        for _ in 0..10 {
            filch::yield_now().await;
        }
        send.send("done").unwrap();
    }));
    assert_eq!(receive.recv(), Ok("done"));
}

#[test]
fn a_panic_keeps_its_payload_and_harms_nobody() {
    hush_panics("planned");
    let runtime = runtime(1);
    for _ in 0..3 {
        let error = runtime
            .block_on(runtime.spawn(async {
                filch::yield_now().await;
                std::panic::panic_any(String::from("planned payload"));
            }))
            .unwrap_err();
        assert!(error.is_panic() && !error.is_cancelled());
        assert!(error.to_string().contains("planned payload"), "{error}");
        assert!(error.to_string().contains("tests/tasks.rs"), "{error}");
        assert_eq!(*error.into_panic().downcast::<String>().unwrap(), "planned payload");
    }
    assert_eq!(runtime.block_on(runtime.spawn(async { 1 })).unwrap(), 1);
}

#[test]
fn abort_drops_the_future_before_the_joiner_hears_of_it() {
    let runtime = runtime(2);
    let fates = Arc::new(Fates::default());
    for _ in 0..200 {
        let tracked = fates.track();
        let handle = runtime.spawn(async move {
            pending::<()>().await;
            tracked.finish();
        });
        assert!(handle.abort());
        let error = runtime.block_on(handle).unwrap_err();
        assert!(error.is_cancelled());
        assert!(error.place().unwrap().file().ends_with("tasks.rs"));
        assert_eq!(fates.in_flight(), 0, "the future was alive after the join");
    }
}

#[test]
fn abort_before_the_first_poll_never_enters_the_body() {
    let runtime = runtime(1);
    let (started, gate) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (s, g) = (Arc::clone(&started), Arc::clone(&gate));
    // The only worker stands in this one, so the next is not polled before it is aborted.
    let blocker = runtime.spawn(async move {
        s.wait();
        g.wait();
    });
    started.wait();
    let entered = Arc::new(AtomicUsize::new(0));
    let e = Arc::clone(&entered);
    let handle = runtime.spawn(async move { e.fetch_add(1, Ordering::SeqCst) });
    assert!(handle.abort());
    gate.wait();
    assert!(runtime.block_on(handle).unwrap_err().is_cancelled());
    runtime.block_on(blocker).unwrap();
    assert_eq!(entered.load(Ordering::SeqCst), 0);
}

#[test]
fn abort_of_itself_takes_effect_at_the_next_suspension() {
    let runtime = runtime(1);
    let (send, receive) = async_channel::bounded::<filch::JoinHandle<()>>(1);
    let reached = Arc::new(AtomicUsize::new(0));
    let fates = Arc::new(Fates::default());
    let (r, tracked) = (Arc::clone(&reached), fates.track());
    let handle = runtime.spawn(async move {
        let me = receive.recv().await.unwrap();
        assert!(me.abort());
        r.store(1, Ordering::SeqCst);
        filch::yield_now().await;
        r.store(2, Ordering::SeqCst);
        tracked.finish();
    });
    send.try_send(handle).unwrap();
    while fates.in_flight() > 0 {
        std::thread::yield_now();
    }
    assert_eq!(reached.load(Ordering::SeqCst), 1);
}

#[test]
fn abort_of_a_finished_task_says_no() {
    runtime(1).block_on(async {
        let mut handle = filch::spawn(async { 5 });
        while !handle.is_finished() {
            filch::yield_now().await;
        }
        assert!(!handle.abort());
        assert_eq!(handle.try_join().unwrap().unwrap(), 5);
    });
}

#[test]
fn a_value_that_is_ready_in_the_same_poll_wins_over_the_abort() {
    let runtime = runtime(1);
    let (started, gate) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (s, g) = (Arc::clone(&started), Arc::clone(&gate));
    let mut handle = runtime.spawn(async move {
        s.wait();
        g.wait();
        7
    });
    started.wait();
    assert!(handle.abort(), "the task has not ended yet");
    gate.wait();
    assert_eq!(handle.join_timeout(None).unwrap().unwrap(), 7);
}

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("planned: dropped");
        }
    }
}

#[test]
fn a_drop_that_panics_becomes_a_join_error() {
    hush_panics("planned");
    let runtime = runtime(1);
    // At completion: the future's own state.
    struct Bomb(#[allow(dead_code)] PanicsWhenDropped);
    impl Future for Bomb {
        type Output = i32;
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<i32> {
            Poll::Ready(1)
        }
    }
    let error = runtime.block_on(runtime.spawn(Bomb(PanicsWhenDropped))).unwrap_err();
    assert!(error.is_panic());
    // At an abort.
    let handle = runtime.spawn(async {
        let _bomb = PanicsWhenDropped;
        pending::<()>().await;
    });
    handle.abort();
    let result = runtime.block_on(handle);
    assert!(result.as_ref().is_err_and(JoinError::is_panic) || result.is_err());
    // The output nobody takes, and a payload that panics.
    drop(runtime.spawn(async { PanicsWhenDropped }));
    drop(runtime.spawn(async { std::panic::panic_any(PanicsWhenDropped) }));
    assert_eq!(runtime.block_on(runtime.spawn(async { 3 })).unwrap(), 3);
}

#[test]
fn the_future_is_dropped_at_completion_not_with_the_last_waker() {
    /// Ends at its first poll. (An `async` block would drop what is in it then, whoever keeps the block.)
    struct Ready(Arc<Mutex<Option<Waker>>>, #[expect(dead_code)] Arc<()>);
    impl Future for Ready {
        type Output = ();

        fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            *self.0.lock().unwrap() = Some(cx.waker().clone());
            Poll::Ready(())
        }
    }
    let runtime = runtime(1);
    let (waker, inside) = (Arc::default(), Arc::new(()));
    let ready = Ready(Arc::clone(&waker), Arc::clone(&inside));
    runtime.block_on(runtime.spawn(ready)).unwrap();
    assert_eq!(Arc::strong_count(&inside), 1, "the future is alive, although it has ended");
    // A waker that outlives its task does nothing, also after the runtime is gone.
    drop(runtime);
    let waker = waker.lock().unwrap().take().unwrap();
    waker.wake_by_ref();
    waker.wake();
}

#[test]
fn a_dropped_handle_takes_its_waker_back() {
    /// Counts how many clones of a waker are alive.
    struct Count;
    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {}
    }
    let runtime = runtime(1);
    let count = Arc::new(Count);
    let waker = Waker::from(Arc::clone(&count));
    let (send, receive) = async_channel::bounded::<()>(1);
    let mut handle = runtime.spawn(async move { receive.recv().await });
    let polled = Pin::new(&mut handle).poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    assert_eq!(Arc::strong_count(&count), 3);
    drop(handle);
    assert_eq!(Arc::strong_count(&count), 2, "the detached task holds the joiner's waker");
    drop(send);
}

#[test]
fn join_timeout_blocks_a_foreign_thread_and_no_longer_than_it_says() {
    let runtime = runtime(1);
    let (send, receive) = async_channel::bounded::<i32>(1);
    let mut handle = runtime.spawn(async move { receive.recv().await.unwrap() });
    assert!(handle.join_timeout(Duration::from_millis(5)).is_none());
    send.try_send(3).unwrap();
    assert_eq!(handle.join_timeout(None).unwrap().unwrap(), 3);
    let mut forever = runtime.spawn(async { 4 });
    assert_eq!(forever.join_timeout(Duration::MAX).unwrap().unwrap(), 4);
}

#[test]
fn join_timeout_in_a_task_says_what_to_call_instead() {
    hush_panics("join_timeout was called inside a task");
    let error = runtime(1)
        .block_on(async {
            filch::spawn(async {
                filch::spawn(async {}).join_timeout(None);
            })
            .await
        })
        .unwrap_err();
    assert!(error.to_string().contains("use `handle.await`"), "{error}");
}

#[test]
fn names_ids_and_sites() {
    runtime(1).block_on(async {
        let line = line!() + 1;
        let plain = filch::spawn(async {});
        assert_eq!(plain.name(), None);
        assert_eq!(plain.spawned_at().line(), line);
        assert!(plain.spawned_at().file().ends_with("tasks.rs"));
        let named = filch::task::Builder::new().name("fetcher").spawn(pending::<()>());
        assert_eq!(named.name().as_deref(), Some("fetcher"));
        assert_ne!(plain.id(), named.id());
        named.abort();
        let error = named.await.unwrap_err();
        assert_eq!(error.task_name(), Some("fetcher"));
        assert!(error.to_string().starts_with("task `fetcher`"), "{error}");
    });
}

#[test]
fn yielding_lets_the_others_run_in_turn() {
    let order: Arc<Mutex<Vec<(char, u32)>>> = Arc::default();
    let o = Arc::clone(&order);
    runtime(1).block_on(async {
        filch::spawn(async move {
            let handles = ['a', 'b', 'c'].map(|name| {
                let order = Arc::clone(&o);
                filch::spawn(async move {
                    for i in 0..3 {
                        order.lock().unwrap().push((name, i));
                        filch::yield_now().await;
                    }
                })
            });
            for handle in handles {
                handle.await.unwrap();
            }
        })
        .await
        .unwrap();
    });
    let order = order.lock().unwrap();
    for i in 0..3 {
        let mut round: Vec<_> = order[3 * i..3 * i + 3].iter().map(|&(name, _)| name).collect();
        round.sort_unstable();
        assert_eq!(round, ['a', 'b', 'c'], "nobody came twice in a round: {order:?}");
    }
}

#[test]
fn a_woken_task_sees_what_its_waker_wrote() {
    // Each hand-over goes through the state word, the slot or a deque; a missing order would
    // show as a stale read (and under ASan or TSan as a race).
    let runtime = runtime(4);
    runtime.block_on(async {
        let pairs: Vec<_> = (0..8)
            .map(|_| {
                filch::spawn(async {
                    let (to, from_us) = async_channel::bounded::<Box<u64>>(1);
                    let (back, to_us) = async_channel::bounded::<Box<u64>>(1);
                    let echo = filch::spawn(async move {
                        while let Ok(mut value) = from_us.recv().await {
                            *value += 1;
                            back.send(value).await.unwrap();
                        }
                    });
                    let mut value = Box::new(0);
                    for i in 0..2000 {
                        to.send(value).await.unwrap();
                        value = to_us.recv().await.unwrap();
                        assert_eq!(*value, i + 1);
                    }
                    drop(to);
                    echo.await.unwrap();
                })
            })
            .collect();
        for pair in pairs {
            pair.await.unwrap();
        }
    });
}

#[test]
fn tasks_lists_who_waits() {
    let runtime = runtime(2);
    let (send, receive) = async_channel::bounded::<()>(1);
    let waits = async move {
        let _ = receive.recv().await;
    };
    let [handle] =
        runtime.block_on(async { [filch::task::Builder::new().name("waits").spawn(waits)] });
    while !runtime.handle().tasks().iter().any(|task| task.name.as_deref() == Some("waits")) {
        std::thread::yield_now();
    }
    drop(send);
    runtime.block_on(handle).unwrap();
    assert!(runtime.handle().tasks().is_empty());
}

#[test]
fn a_handle_spawns_through_the_futures_trait() {
    use futures_task::Spawn as _;
    let runtime = runtime(1);
    let handle = runtime.handle();
    let (send, receive) = std::sync::mpsc::channel();
    handle.spawn_obj(Box::new(async move { send.send(1).unwrap() }).into()).unwrap();
    assert_eq!(receive.recv(), Ok(1));
    drop(runtime);
    assert!(handle.status().unwrap_err().is_shutdown());
    assert!(handle.spawn_obj(Box::new(async {}).into()).unwrap_err().is_shutdown());
}

#[test]
fn a_waker_whose_clone_panics_harms_only_the_poll() {
    use std::task::{RawWaker, RawWakerVTable};
    hush_panics("planned");
    fn clone(_: *const ()) -> RawWaker {
        panic!("planned")
    }
    static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, |_| {}, |_| {}, |_| {});
    #[allow(unsafe_code)]
    // SAFETY: the functions ignore the pointer.
    let panics = unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &VTABLE)) };
    struct Count;
    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {}
    }
    let count = Arc::new(Count);
    let good = Waker::from(Arc::clone(&count));
    let runtime = runtime(1);
    let mut handle = runtime.spawn(pending::<()>());
    assert!(Pin::new(&mut handle).poll(&mut Context::from_waker(&good)).is_pending());
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        Pin::new(&mut handle).poll(&mut Context::from_waker(&panics))
    }));
    assert!(caught.is_err());
    assert_eq!(Arc::strong_count(&count), 2, "no waker stays behind in the task");
    handle.abort();
    assert!(runtime.block_on(handle).unwrap_err().is_cancelled());
}
