//! The pool for calls that wait.

mod support;

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::time::Duration;

use filch::Runtime;

#[test]
fn jobs_run_beside_the_workers_and_give_their_results() {
    let runtime = Runtime::builder().worker_threads(1).build().unwrap();
    let (send, receive) = mpsc::channel::<i32>();
    // The job waits for a task, so the worker must be free meanwhile.
    let job = runtime.spawn_blocking(move || receive.recv().unwrap());
    runtime.block_on(runtime.spawn(async move { send.send(9).unwrap() })).unwrap();
    assert_eq!(runtime.block_on(job).unwrap(), 9);
}

#[test]
fn jobs_know_their_runtime() {
    filch::run(async {
        let inner = filch::spawn_blocking(|| filch::spawn(async { 4 })).await.unwrap();
        assert_eq!(inner.await.unwrap(), 4);
    });
}

#[test]
fn a_panic_in_a_job_is_a_join_error_and_the_thread_goes_on() {
    support::hush_panics("planned");
    let runtime = Runtime::builder().worker_threads(1).max_blocking_threads(1).build().unwrap();
    let error = runtime.block_on(runtime.spawn_blocking(|| panic!("planned"))).unwrap_err();
    assert!(error.is_panic());
    assert_eq!(runtime.block_on(runtime.spawn_blocking(|| 1)).unwrap(), 1);
}

#[test]
fn threads_are_bounded_and_reused() {
    let runtime = Runtime::builder().worker_threads(1).max_blocking_threads(3).build().unwrap();
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let threads: Arc<Mutex<HashSet<std::thread::ThreadId>>> = Arc::default();
    let jobs: Vec<_> = (0..300)
        .map(|_| {
            let (now, most, threads) = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&threads));
            runtime.spawn_blocking(move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                threads.lock().unwrap().insert(std::thread::current().id());
                std::thread::yield_now();
                now.fetch_sub(1, Ordering::SeqCst);
            })
        })
        .collect();
    runtime.block_on(async {
        for job in jobs {
            job.await.unwrap();
        }
    });
    assert!(most.load(Ordering::SeqCst) <= 3);
    assert!(threads.lock().unwrap().len() <= 3);
}

#[test]
fn a_full_queue_refuses_with_advice() {
    let runtime = Runtime::builder()
        .worker_threads(1)
        .max_blocking_threads(1)
        .blocking_queue(2)
        .build()
        .unwrap();
    let (started, gate) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (s, g) = (Arc::clone(&started), Arc::clone(&gate));
    let first = runtime.spawn_blocking(move || {
        s.wait();
        g.wait();
    });
    started.wait();
    let (second, third) = (runtime.spawn_blocking(|| 2), runtime.spawn_blocking(|| 3));
    assert_eq!(runtime.handle().blocking_load(), (2, 1));
    let error = runtime.spawn_blocking(|| 4).join_timeout(None).unwrap().unwrap_err();
    assert!(error.is_rejected() && !error.is_cancelled());
    assert!(error.to_string().contains("raise Builder::blocking_queue"), "{error}");
    gate.wait();
    runtime.block_on(async {
        first.await.unwrap();
        assert_eq!((second.await.unwrap(), third.await.unwrap()), (2, 3));
    });
}

#[test]
fn a_job_aborted_in_the_queue_never_runs() {
    let runtime = Runtime::builder().worker_threads(1).max_blocking_threads(1).build().unwrap();
    let (started, gate) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (s, g) = (Arc::clone(&started), Arc::clone(&gate));
    let first = runtime.spawn_blocking(move || {
        s.wait();
        g.wait();
    });
    started.wait();
    let ran = Arc::new(AtomicUsize::new(0));
    let r = Arc::clone(&ran);
    let second = runtime.spawn_blocking(move || r.fetch_add(1, Ordering::SeqCst));
    assert!(second.abort());
    gate.wait();
    runtime.block_on(async {
        first.await.unwrap();
        assert!(second.await.unwrap_err().is_cancelled());
    });
    assert_eq!(ran.load(Ordering::SeqCst), 0);
}

#[test]
fn idle_threads_leave_and_a_job_at_that_moment_is_not_lost() {
    let runtime = Runtime::builder()
        .worker_threads(1)
        .max_blocking_threads(2)
        .blocking_keep_alive(Duration::from_micros(50))
        .build()
        .unwrap();
    // Each job comes about when the thread of the one before gives up.
    let mut random = support::Random(7);
    for i in 0..3000 {
        let mut job = runtime.spawn_blocking(move || i);
        let result = job.join_timeout(Duration::from_secs(20)).expect("the job was lost");
        assert_eq!(result.unwrap(), i);
        for _ in 0..random.below(4000) {
            std::hint::spin_loop();
        }
    }
    while runtime.handle().blocking_load().1 > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn jobs_from_many_threads_all_run() {
    let runtime = Runtime::builder().worker_threads(2).max_blocking_threads(4).build().unwrap();
    let ran = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (handle, ran) = (runtime.handle(), Arc::clone(&ran));
            std::thread::spawn(move || {
                for _ in 0..500 {
                    let ran = Arc::clone(&ran);
                    drop(handle.spawn_blocking(move || ran.fetch_add(1, Ordering::Relaxed)));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    while ran.load(Ordering::Relaxed) < 4000 {
        std::thread::yield_now();
    }
}
