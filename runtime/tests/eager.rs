//! Tasks that run in the caller until they wait for the first time.

#![allow(clippy::async_yields_async, reason = "handles are handed out of `block_on`")]

mod support;

use std::future::{pending, poll_fn};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use filch::{JoinHandle, Runtime, task, task_group};
use support::{Fates, hush_panics};

filch::task_local! { static DEPTH: u32 = 0 }

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().worker_threads(workers).build().unwrap()
}

#[track_caller]
fn eagerly<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    task::Builder::new().eager().spawn(future)
}

/// A runtime whose only worker stands still until the barrier is reached, so that nothing in a
/// queue is polled.
fn held_up() -> (Runtime, Arc<Barrier>) {
    let runtime = runtime(1);
    let (started, gate) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (s, g) = (Arc::clone(&started), Arc::clone(&gate));
    drop(runtime.spawn(async move {
        s.wait();
        g.wait();
    }));
    started.wait();
    (runtime, gate)
}

#[test]
fn a_ready_one_needs_no_worker() {
    let (runtime, gate) = held_up();
    let here = thread::current().id();
    runtime.block_on(async {
        let handle = eagerly(async { (thread::current().id(), task::current().unwrap().id()) });
        assert!(handle.is_finished());
        let id = handle.id();
        assert_eq!(handle.await.unwrap(), (here, id));
        let main = task::current().unwrap().id();
        assert_ne!(main, id, "the caller is current again");
    });
    gate.wait();
}

#[test]
fn one_that_waits_goes_on_on_a_worker() {
    let (runtime, gate) = held_up();
    let here = thread::current().id();
    let (send, receive) = async_channel::bounded::<()>(1);
    let handle = runtime.block_on(async {
        let first = Arc::new(AtomicUsize::new(0));
        let polled = Arc::clone(&first);
        let handle = task::Builder::new().name("waits").eager().spawn(async move {
            polled.fetch_add(1, Ordering::SeqCst);
            assert_eq!(thread::current().id(), here);
            receive.recv().await.unwrap();
            thread::current().id()
        });
        assert_eq!(first.load(Ordering::SeqCst), 1);
        assert_eq!(handle.name().as_deref(), Some("waits"));
        let listed = filch::Handle::current().tasks();
        assert!(listed.iter().any(|task| task.name.as_deref() == Some("waits")));
        handle
    });
    assert!(!handle.is_finished());
    send.try_send(()).unwrap();
    gate.wait();
    assert_ne!(runtime.block_on(handle).unwrap(), here);
}

#[test]
fn one_that_yields_is_queued() {
    let (runtime, gate) = held_up();
    let handle = runtime.block_on(async {
        let mut polls = 0;
        eagerly(poll_fn(move |cx| {
            polls += 1;
            if polls == 3 {
                return Poll::Ready(polls);
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }))
    });
    assert!(!handle.is_finished());
    gate.wait();
    assert_eq!(runtime.block_on(handle).unwrap(), 3);
}

#[test]
fn a_panic_is_the_tasks_and_not_the_callers() {
    hush_panics("planned");
    for workers in [1, 2] {
        let runtime = runtime(workers);
        let test = || async {
            let handle = eagerly(async { panic!("planned") });
            assert!(handle.is_finished());
            assert!(handle.await.unwrap_err().is_panic());
            filch::yield_now().await;
        };
        runtime.block_on(test());
        runtime.block_on(runtime.spawn(async move { test().await })).unwrap();
    }
}

#[test]
fn a_wake_of_the_caller_in_the_middle_is_not_lost() {
    let runtime = runtime(1);
    let test = || async {
        let mut woken = false;
        poll_fn(move |cx| {
            if woken {
                return Poll::Ready(());
            }
            woken = true;
            let waker = cx.waker().clone();
            drop(eagerly(async move { waker.wake() }));
            Poll::Pending
        })
        .await;
    };
    runtime.block_on(test());
    runtime.block_on(runtime.spawn(async move { test().await })).unwrap();
}

#[test]
fn they_nest_and_have_locals_of_their_own() {
    runtime(1).block_on(async {
        fn nest(depth: u32) -> JoinHandle<u32> {
            eagerly(async move {
                assert_eq!(DEPTH.get(), Some(depth));
                DEPTH.set(depth + 1);
                let below = if depth < 20 { nest(depth + 1).await.unwrap() } else { 0 };
                assert_eq!(DEPTH.get(), Some(depth + 1));
                below + 1
            })
        }
        assert_eq!(nest(0).await.unwrap(), 21);
        assert_eq!(DEPTH.get(), Some(0));
    });
}

#[test]
fn one_in_a_group_is_a_member() {
    let (runtime, gate) = held_up();
    let done = Arc::new(AtomicUsize::new(0));
    let d = Arc::clone(&done);
    runtime.block_on(task_group(async move |group| {
        let ready = async move { _ = d.fetch_add(1, Ordering::SeqCst) };
        group.spawn_with(task::Builder::new().eager(), ready);
        assert!(group.is_empty(), "it has ended");
        group.spawn_with(task::Builder::new().eager(), pending::<()>());
        assert_eq!(group.len(), 1);
        group.cancel();
        gate.wait();
    }));
    assert_eq!(done.load(Ordering::SeqCst), 1);
}

#[test]
fn a_cancel_in_the_first_poll_acts_when_it_waits() {
    runtime(1).block_on(async {
        let fates = Arc::new(Fates::default());
        let tracked = fates.track();
        let handle = eagerly(async move {
            task::current().unwrap().cancel();
            pending::<()>().await;
            tracked.finish();
        });
        assert!(handle.is_finished());
        assert_eq!(fates.in_flight(), 0);
        assert!(handle.await.unwrap_err().is_cancelled());
    });
}

/// It is in the list of a worker, though it was never on one: that is what a shutdown looks at.
#[test]
fn a_shutdown_finds_one_that_waits_wherever_it_was_started() {
    for workers in [1, 3] {
        let runtime = runtime(workers);
        let fates = Arc::new(Fates::default());
        let waits = || {
            let tracked = fates.track();
            async move {
                pending::<()>().await;
                tracked.finish();
            }
        };
        let (main, job, on_worker) = (waits(), waits(), waits());
        let mut handles = vec![runtime.block_on(async { eagerly(main) })];
        let started = runtime.spawn_blocking(move || eagerly(job));
        handles.push(runtime.block_on(started).unwrap());
        let started = runtime.spawn(async move { eagerly(on_worker) });
        handles.push(runtime.block_on(started).unwrap());
        let report = runtime.shutdown(Duration::from_secs(20));
        assert_eq!((fates.in_flight(), report.cancelled), (0, 3));
        for mut handle in handles {
            assert!(handle.try_join().expect("it has ended").unwrap_err().is_cancelled());
        }
    }
}

#[test]
fn a_shutdown_in_the_middle_of_the_first_poll_ends_it_and_a_later_one_is_not_polled() {
    let runtime = runtime(1);
    let started = Arc::new(Barrier::new(2));
    let s = Arc::clone(&started);
    let mut job = runtime.spawn_blocking(move || {
        let mut waits = eagerly(async move {
            s.wait();
            // A task that can only end because the runtime does.
            while !filch::spawn(pending::<()>()).is_finished() {
                thread::yield_now();
            }
            pending::<()>().await;
        });
        let polled = Arc::new(AtomicUsize::new(0));
        let p = Arc::clone(&polled);
        let late = eagerly(async move { p.fetch_add(1, Ordering::SeqCst) });
        assert!(late.is_finished());
        assert_eq!(polled.load(Ordering::SeqCst), 0);
        let ended = waits.join_timeout(Duration::from_secs(20)).expect("nobody ended it");
        assert!(ended.unwrap_err().is_cancelled());
    });
    started.wait();
    // (Without a grace: with one, what a job starts is taken until that has ended.)
    let report = runtime.shutdown(Duration::ZERO);
    assert_eq!((report.stuck.len(), report.stuck_jobs), (0, 0));
    job.join_timeout(None).unwrap().unwrap();
}
