//! Panics that nobody asks for: told once, and only then.

mod support;

use std::future::pending;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use filch::{JoinError, JoinHandle, Runtime};
use support::hush_panics;

/// What the hook was told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn runtime(&self, workers: usize) -> Runtime {
        hush_panics("planned");
        let told = self.clone();
        let hook = move |error: &JoinError| {
            assert!(error.is_panic() && filch::task::current().is_none());
            told.0.lock().unwrap().push(error.to_string());
        };
        Runtime::builder()
            .worker_threads(workers)
            .max_blocking_threads(1)
            .blocking_queue(1)
            .on_unhandled_failure(hook)
            .build()
            .unwrap()
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn wait_for(&self, count: usize) {
        while self.count() < count {
            std::thread::yield_now();
        }
    }
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("planned: a drop");
        }
    }
}

fn wait_until_finished<T>(handle: &JoinHandle<T>) {
    while !handle.is_finished() {
        std::thread::yield_now();
    }
}

#[test]
fn a_handle_dropped_before_the_end() {
    let told = Told::default();
    let runtime = told.runtime(1);
    let gate = Arc::new(Barrier::new(2));
    let g = Arc::clone(&gate);
    drop(runtime.spawn(async move {
        g.wait();
        panic!("planned one");
    }));
    assert_eq!(told.count(), 0);
    gate.wait();
    told.wait_for(1);
    drop(runtime);
    let told = told.0.lock().unwrap();
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("unhandled.rs") && told[0].ends_with("planned one"), "{told:?}");
}

#[test]
fn a_handle_dropped_after_the_end() {
    let told = Told::default();
    let runtime = told.runtime(1);
    let handle = runtime.spawn(async { panic!("planned") });
    wait_until_finished(&handle);
    assert_eq!(told.count(), 0, "somebody may still ask");
    drop(handle);
    assert_eq!(told.count(), 1);
    // It was polled and has left a waker, which changes nothing.
    let gate = Arc::new(Barrier::new(2));
    let g = Arc::clone(&gate);
    let mut polled: JoinHandle<()> = runtime.spawn(async move {
        g.wait();
        panic!("planned");
    });
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut polled).poll(cx).is_pending());
    gate.wait();
    wait_until_finished(&polled);
    drop(polled);
    assert_eq!(told.count(), 2);
}

#[test]
fn results_that_were_taken_and_cancels_are_nobodys_business() {
    let told = Told::default();
    let runtime = told.runtime(2);
    let panics = || runtime.spawn(async { panic!("planned") });
    let awaited: Result<(), _> = runtime.block_on(panics());
    assert!(awaited.is_err());
    let mut asked: JoinHandle<()> = panics();
    wait_until_finished(&asked);
    assert!(asked.try_join().unwrap().is_err());
    drop(asked);
    let mut blocked: JoinHandle<()> = panics();
    assert!(blocked.join_timeout(None).unwrap().is_err());
    drop(blocked);

    let aborted = runtime.spawn(pending::<()>());
    aborted.abort();
    wait_until_finished(&aborted);
    drop(aborted);
    drop(runtime.spawn(pending::<()>()));
    let main = std::panic::AssertUnwindSafe(|| runtime.block_on(async { panic!("planned") }));
    let main: Result<(), _> = std::panic::catch_unwind(main);
    assert!(main.is_err());
    drop(runtime);
    assert_eq!(told.count(), 0);
}

#[test]
fn blocking_jobs() {
    let told = Told::default();
    let runtime = told.runtime(1);
    drop(runtime.spawn_blocking(|| panic!("planned")));
    told.wait_for(1);
    let after = runtime.spawn_blocking(|| panic!("planned"));
    wait_until_finished(&after);
    drop(after);
    assert_eq!(told.count(), 2);
    assert!(runtime.block_on(runtime.spawn_blocking(|| panic!("planned"))).is_err());

    // Refused, because the queue is full; that alone is no panic, but a drop may be one.
    let (started, gate) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (s, g) = (Arc::clone(&started), Arc::clone(&gate));
    let busy = runtime.spawn_blocking(move || {
        s.wait();
        g.wait();
    });
    started.wait();
    drop(runtime.spawn_blocking(|| ()));
    drop(runtime.spawn_blocking(|| ()));
    assert_eq!(told.count(), 2);
    let bomb = Bomb;
    drop(runtime.spawn_blocking(move || std::mem::forget(bomb)));
    assert_eq!(told.count(), 3);
    gate.wait();
    runtime.block_on(busy).unwrap();
    drop(runtime);
    assert_eq!(told.count(), 3);
}

#[test]
fn panics_in_drops() {
    let told = Told::default();
    let runtime = told.runtime(1);
    let holds_a_bomb = || {
        let bomb = Bomb;
        async move {
            pending::<()>().await;
            std::mem::forget(bomb);
        }
    };
    let aborted = runtime.spawn(holds_a_bomb());
    aborted.abort();
    drop(aborted);
    told.wait_for(1);
    drop(runtime);
    // And when the runtime ends.
    let runtime = told.runtime(1);
    let listed = runtime.block_on(async {
        let handle = filch::task::Builder::new().eager().spawn(holds_a_bomb());
        let task = handle.task();
        drop(handle);
        task
    });
    let report = runtime.shutdown(Duration::from_secs(20));
    assert!(listed.is_finished());
    assert_eq!((told.count(), report.panicked), (2, 1));
}

#[test]
fn callbacks_are_no_tasks() {
    let told = Told::default();
    let runtime = told.runtime(1);
    let mut handle = runtime.spawn(async {});
    handle.task().on_done(|_| panic!("planned"));
    runtime.block_on(&mut handle).unwrap();
    let (send, receive) = std::sync::mpsc::channel::<()>();
    handle.task().on_done(move |_| {
        let _told = send;
        panic!("planned");
    });
    assert!(receive.recv().is_err(), "it was called");
    let after = runtime.shutdown(Duration::from_secs(20));
    assert_eq!(after.panicked, 0);
    handle.task().on_done(|_| panic!("planned"));
    assert_eq!(told.count(), 0);
}

#[test]
fn a_hook_that_panics_harms_nobody() {
    hush_panics("planned");
    let calls = Arc::new(AtomicUsize::new(0));
    let c = Arc::clone(&calls);
    let runtime = Runtime::builder()
        .worker_threads(1)
        .on_unhandled_failure(move |_| {
            c.fetch_add(1, Ordering::SeqCst);
            panic!("planned: the hook");
        })
        .build()
        .unwrap();
    drop(runtime.spawn(async { panic!("planned") }));
    while calls.load(Ordering::SeqCst) < 1 {
        std::thread::yield_now();
    }
    let after = runtime.spawn(async { panic!("planned") });
    wait_until_finished(&after);
    drop(after);
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    assert_eq!(runtime.block_on(runtime.spawn(async { 1 })).unwrap(), 1);
    drop(runtime);
    assert_eq!(Arc::strong_count(&calls), 1, "the hook goes with its runtime");
}

#[test]
fn every_one_of_many_is_told_once() {
    let told = Told::default();
    let runtime = told.runtime(2);
    let mut random = support::Random(3);
    for i in 0..2000 {
        let handle = runtime.spawn(async move { panic!("planned {i}") });
        for _ in 0..random.below(300) {
            std::hint::spin_loop();
        }
        // Before, at or after the end.
        drop(handle);
    }
    told.wait_for(2000);
    drop(runtime);
    let mut told = std::mem::take(&mut *told.0.lock().unwrap());
    assert_eq!(told.len(), 2000);
    told.sort();
    told.dedup();
    assert_eq!(told.len(), 2000);
}
