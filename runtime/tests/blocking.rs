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

/// A runtime with one blocking thread, which runs a job until the barrier is reached.
fn busy() -> (Runtime, filch::JoinHandle<()>, Arc<Barrier>) {
    let runtime = Runtime::builder()
        .worker_threads(1)
        .max_blocking_threads(1)
        .blocking_queue(3)
        .build()
        .unwrap();
    let (started, gate) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (s, g) = (Arc::clone(&started), Arc::clone(&gate));
    let job = runtime.spawn_blocking(move || {
        s.wait();
        g.wait();
    });
    started.wait();
    (runtime, job, gate)
}

#[test]
fn a_job_cancelled_in_the_queue_is_gone_at_once() {
    let (runtime, job, gate) = busy();
    let depth = || runtime.handle().blocking_load().0;
    let fates = Arc::new(support::Fates::default());
    let submit = || {
        let tracked = fates.track();
        runtime.spawn_blocking(move || tracked.finish())
    };
    let (mut first, mut second, third) = (submit(), submit(), submit());
    assert_eq!(depth(), 3);
    let told = Arc::new(AtomicUsize::new(0));
    let t = Arc::clone(&told);
    first.task().on_done(move |_| _ = t.fetch_add(1, Ordering::SeqCst));
    assert!(second.cancel_with("enough"));
    assert!(first.abort());
    // All this while the only thread is busy.
    assert_eq!((depth(), fates.in_flight(), told.load(Ordering::SeqCst)), (1, 1, 1));
    assert!(!first.cancel() && !second.abort(), "they have ended");
    assert!(first.try_join().unwrap().unwrap_err().is_cancelled());
    assert_eq!(second.try_join().unwrap().unwrap_err().reason(), Some("enough"));
    // Their places are free.
    let fourth = submit();
    assert_eq!(depth(), 2);
    gate.wait();
    runtime.block_on(async {
        job.await.unwrap();
        third.await.unwrap();
        fourth.await.unwrap();
    });
    assert_eq!(fates.dropped_early.load(Ordering::SeqCst), 2);
}

#[test]
fn a_drop_in_a_cancelled_job_may_use_the_pool_and_may_panic() {
    struct Spawns(filch::Handle, mpsc::Sender<filch::JoinHandle<i32>>);
    impl Drop for Spawns {
        fn drop(&mut self) {
            self.1.send(self.0.spawn_blocking(|| 7)).unwrap();
            panic!("planned");
        }
    }
    support::hush_panics("planned");
    let (runtime, job, gate) = busy();
    let (send, receive) = mpsc::channel();
    let spawns = Spawns(runtime.handle(), send);
    let mut cancelled = runtime.spawn_blocking(move || std::mem::forget(spawns));
    assert!(cancelled.cancel());
    assert!(cancelled.try_join().unwrap().unwrap_err().is_panic());
    gate.wait();
    runtime.block_on(async {
        job.await.unwrap();
        assert_eq!(receive.recv().unwrap().await.unwrap(), 7);
    });
}

#[test]
fn a_request_that_was_taken_back_came_too_late_for_a_job_in_the_queue() {
    let (runtime, job, gate) = busy();
    let mut waiting = runtime.spawn_blocking(|| ());
    let task = waiting.task();
    assert!(task.cancel());
    assert_eq!(task.uncancel(), 0);
    assert!(waiting.try_join().unwrap().unwrap_err().is_cancelled());
    gate.wait();
    runtime.block_on(job).unwrap();
}

#[test]
fn a_running_job_can_ask_whether_it_should_stop() {
    let runtime = Runtime::builder().worker_threads(1).build().unwrap();
    let both = Arc::new(Barrier::new(2));
    for abort in [false, true] {
        let b = Arc::clone(&both);
        let job = runtime.spawn_blocking(move || {
            let before = filch::blocking::cancel_requested();
            b.wait();
            b.wait();
            let runtime = Runtime::builder().worker_threads(1).build().unwrap();
            let inside = async { filch::blocking::cancel_requested() };
            let on_worker = runtime.spawn(async { filch::blocking::cancel_requested() });
            let nested = (runtime.block_on(inside), runtime.block_on(on_worker).unwrap());
            (before, filch::blocking::cancel_requested(), nested)
        });
        both.wait();
        assert!(if abort { job.abort() } else { job.cancel() });
        both.wait();
        // What it returns is its result; and it is asked about wherever it is on its own thread.
        assert_eq!(runtime.block_on(job).unwrap(), (false, true, (true, false)));
    }
    // The thread's next job is another one.
    let next = runtime.spawn_blocking(filch::blocking::cancel_requested);
    assert!(!runtime.block_on(next).unwrap());
    // Taken back.
    let b = Arc::clone(&both);
    let job = runtime.spawn_blocking(move || {
        b.wait();
        b.wait();
        filch::blocking::cancel_requested()
    });
    both.wait();
    assert!(job.cancel());
    assert_eq!(job.task().uncancel(), 0);
    both.wait();
    assert!(!runtime.block_on(job).unwrap());
    // Elsewhere, also in a task that is cancelled.
    runtime.block_on(async {
        filch::task::current().unwrap().cancel();
        assert!(!filch::blocking::cancel_requested());
        filch::task::current().unwrap().uncancel();
    });
}

#[test]
fn a_running_job_hears_of_a_shutdown() {
    let runtime = Runtime::builder().worker_threads(1).build().unwrap();
    let started = Arc::new(Barrier::new(2));
    let s = Arc::clone(&started);
    let mut job = runtime.spawn_blocking(move || {
        s.wait();
        while !filch::blocking::cancel_requested() {
            std::thread::yield_now();
        }
        7
    });
    started.wait();
    assert_eq!(runtime.shutdown(Duration::from_secs(20)).stuck_jobs, 0);
    assert_eq!(job.join_timeout(None).unwrap().unwrap(), 7);
}

#[test]
fn jobs_cancelled_while_threads_take_them_end_one_way_or_the_other() {
    let runtime = Runtime::builder().worker_threads(1).max_blocking_threads(2).build().unwrap();
    let fates = Arc::new(support::Fates::default());
    let mut random = support::Random(5);
    let mut handles = Vec::new();
    for _ in 0..5000 {
        let tracked = fates.track();
        handles.push(runtime.spawn_blocking(move || tracked.finish()));
        if random.below(3) == 0 {
            let _ = handles[random.below(handles.len() as u64) as usize].cancel();
        }
    }
    let ran = handles.into_iter().filter_map(|mut handle| {
        handle.join_timeout(Duration::from_secs(20)).expect("a job was lost").ok()
    });
    let ran = ran.count() as u64;
    assert_eq!(fates.finished.load(Ordering::SeqCst), ran);
    assert_eq!(fates.dropped_early.load(Ordering::SeqCst), 5000 - ran);
    assert_eq!(runtime.handle().blocking_load().0, 0);
}
