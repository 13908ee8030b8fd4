//! The lane for calls that compute.

mod support;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::time::{Duration, Instant};

use filch::{Builder, JoinHandle, Runtime};
use rayon::prelude::*;

const LONG: Duration = Duration::from_secs(20);

fn lane(threads: usize) -> Builder {
    Runtime::builder().worker_threads(1).compute_threads(threads)
}

/// Waits for a condition that is about to come true.
#[track_caller]
fn until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LONG, "it did not come true");
        std::thread::yield_now();
    }
}

#[track_caller]
fn join<T>(mut handle: JoinHandle<T>) -> Result<T, filch::JoinError> {
    handle.join_timeout(LONG).expect("it did not end")
}

/// A runtime with one thread in its lane, which runs a job until the barrier is reached.
fn busy(builder: Builder) -> (Runtime, JoinHandle<()>, Arc<Barrier>) {
    let runtime = builder.build().unwrap();
    let (started, gate) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (s, g) = (Arc::clone(&started), Arc::clone(&gate));
    let job = runtime.spawn_compute(move || {
        s.wait();
        g.wait();
    });
    started.wait();
    (runtime, job, gate)
}

#[test]
fn jobs_run_beside_the_workers_and_give_their_results() {
    let runtime = lane(1).build().unwrap();
    let (send, receive) = mpsc::channel::<i32>();
    // The job waits for a task, so the worker must be free meanwhile.
    let job = runtime.spawn_compute(move || receive.recv().unwrap());
    runtime.block_on(runtime.spawn(async move { send.send(9).unwrap() })).unwrap();
    assert_eq!(runtime.block_on(job).unwrap(), 9);
}

#[test]
fn rayon_works_on_the_threads_of_the_lane() {
    let runtime = lane(3).thread_name("own").build().unwrap();
    let names = runtime.spawn_compute(|| {
        let name = || std::thread::current().name().unwrap().to_string();
        let mut names = vec![name()];
        let (left, right) = rayon::join(name, name);
        names.extend([left, right]);
        names.extend((0..1000).into_par_iter().map(|_| name()).collect::<Vec<_>>());
        let (send, receive) = mpsc::channel();
        rayon::scope(|scope| {
            (0..10).for_each(|_| scope.spawn(|_| send.send(name()).unwrap()));
        });
        drop(send);
        names.extend(receive);
        assert_eq!(rayon::current_num_threads(), 3);
        names
    });
    let names: HashSet<String> = join(names).unwrap().into_iter().collect();
    assert!(!names.is_empty() && names.len() <= 3, "{names:?}");
    assert!(names.iter().all(|name| name.starts_with("own-compute-")), "{names:?}");
    assert_eq!(runtime.handle().compute_load().threads, 3);
}

#[test]
fn jobs_are_tasks_with_names_sites_and_locals() {
    filch::task_local! { static USER: &'static str }
    let runtime = lane(1).build().unwrap();
    runtime.block_on(async {
        USER.set("ada");
        let line = line!() + 1;
        let job = filch::task::Builder::new().name("resize").spawn_compute(|| {
            let me = filch::task::current().unwrap();
            let child = filch::spawn(async { USER.get() });
            let runtime = filch::Handle::current();
            USER.set("grace");
            (me.id(), me.name(), me.info().spawned_at.line(), USER.get(), child, runtime)
        });
        let task = job.task();
        let (id, name, site, user, child, _) = job.await.unwrap();
        assert_eq!((id, name.as_deref(), site), (task.id(), Some("resize"), line));
        assert_eq!((user, child.await.unwrap()), (Some("grace"), Some("ada")));
        assert_eq!(USER.get(), Some("ada"));
    });
    assert!(join(runtime.spawn_compute(filch::task::current)).unwrap().is_some());
}

#[test]
fn a_panic_in_a_job_is_a_join_error_and_the_lane_goes_on() {
    support::hush_panics("planned");
    let runtime = lane(2).build().unwrap();
    let error = join(runtime.spawn_compute(|| panic!("planned"))).unwrap_err();
    assert!(error.is_panic());
    // The half of a join panics, perhaps on another thread.
    let half = || rayon::join(|| (), || panic!("planned"));
    assert!(join(runtime.spawn_compute(half)).unwrap_err().is_panic());
    // A panic that belongs to nobody ends with what panicked.
    let (send, receive) = mpsc::channel::<()>();
    let detached = move || {
        rayon::spawn(move || {
            let _send = send;
            panic!("planned");
        });
    };
    join(runtime.spawn_compute(detached)).unwrap();
    assert!(receive.recv_timeout(LONG).is_err());
    assert_eq!(join(runtime.spawn_compute(|| 1)).unwrap(), 1);
    assert!(runtime.shutdown(LONG).stuck_compute_jobs.is_empty());
}

#[test]
fn a_full_queue_refuses_with_advice() {
    let (runtime, first, gate) = busy(lane(1).compute_queue(2));
    let (second, third) = (runtime.spawn_compute(|| 2), runtime.spawn_compute(|| 3));
    let load = runtime.handle().compute_load();
    assert_eq!((load.queued, load.running, load.threads, load.started), (2, 1, 1, 1));
    let mut refused = runtime.spawn_compute(|| 4);
    let error = refused.try_join().expect("it was refused at once").unwrap_err();
    assert!(error.is_rejected() && !error.is_cancelled());
    assert!(error.to_string().contains("raise Builder::compute_queue"), "{error}");
    let before = Instant::now();
    gate.wait();
    join(first).unwrap();
    assert_eq!((join(second).unwrap(), join(third).unwrap()), (2, 3));
    until(|| runtime.handle().compute_load().running == 0);
    let load = runtime.handle().compute_load();
    assert_eq!((load.queued, load.started), (0, 3));
    assert!(load.waited > Duration::ZERO && before.elapsed() < LONG);
}

#[test]
fn without_a_queue_a_job_needs_a_free_thread() {
    let runtime = lane(1).compute_queue(0).build().unwrap();
    assert_eq!(join(runtime.spawn_compute(|| 1)).unwrap(), 1);
    let (runtime, job, gate) = busy(lane(1).compute_queue(0));
    assert!(join(runtime.spawn_compute(|| ())).unwrap_err().is_rejected());
    gate.wait();
    join(job).unwrap();
}

#[test]
fn jobs_are_started_in_the_order_they_came_in_also_from_inside() {
    let (runtime, first, gate) = busy(lane(1));
    let order = Arc::new(Mutex::new(Vec::new()));
    let note = |what: &'static str| {
        let order = Arc::clone(&order);
        move || order.lock().unwrap().push(what)
    };
    let (a, b, c) = (note("a"), note("b"), note("c"));
    let outer = runtime.spawn_compute(move || {
        a();
        // Rayon would run these two first.
        (filch::spawn_compute(c), filch::spawn_compute(|| ()))
    });
    let second = runtime.spawn_compute(b);
    gate.wait();
    join(first).unwrap();
    let (third, fourth) = join(outer).unwrap();
    join(second).unwrap();
    join(third).unwrap();
    join(fourth).unwrap();
    assert_eq!(*order.lock().unwrap(), ["a", "b", "c"]);
}

#[test]
fn a_job_cancelled_in_the_queue_is_gone_at_once() {
    let (runtime, job, gate) = busy(lane(1).compute_queue(3));
    let depth = || runtime.handle().compute_load().queued;
    let fates = Arc::new(support::Fates::default());
    let submit = || {
        let tracked = fates.track();
        runtime.spawn_compute(move || tracked.finish())
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
    // Taken back: too late.
    let mut fifth = submit();
    let task = fifth.task();
    assert!(task.cancel());
    assert_eq!(task.uncancel(), 0);
    assert!(fifth.try_join().unwrap().unwrap_err().is_cancelled());
    gate.wait();
    [job, third, fourth].into_iter().for_each(|job| join(job).unwrap());
    assert_eq!(fates.dropped_early.load(Ordering::SeqCst), 3);
}

#[test]
fn a_timeout_takes_its_job_out_of_the_queue() {
    let (runtime, job, gate) = busy(lane(1));
    let fates = Arc::new(support::Fates::default());
    let tracked = fates.track();
    runtime.block_on(async {
        let late = filch::spawn_compute(move || tracked.finish()).linked();
        assert!(filch::timeout(Duration::from_millis(1), late).await.is_err());
    });
    assert_eq!((runtime.handle().compute_load().queued, fates.in_flight()), (0, 0));
    gate.wait();
    join(job).unwrap();
}

#[test]
fn a_storm_of_cancellations_is_bounded() {
    let (runtime, job, gate) = busy(lane(1).compute_queue(4));
    let mut refused = 0;
    for _ in 0..3000 {
        let mut job = runtime.spawn_compute(|| ());
        job.cancel();
        refused += u32::from(job.try_join().unwrap().unwrap_err().is_rejected());
    }
    // 1024 dead tickets may wait for the thread.
    assert_eq!(refused, 3000 - 1024);
    gate.wait();
    join(job).unwrap();
    until(|| join(runtime.spawn_compute(|| ())).is_ok());
}

#[test]
fn a_running_job_can_ask_whether_it_should_stop() {
    let runtime = lane(1).build().unwrap();
    let both = Arc::new(Barrier::new(2));
    for abort in [false, true] {
        let b = Arc::clone(&both);
        let job = runtime.spawn_compute(move || {
            let before = filch::compute::cancel_requested();
            b.wait();
            b.wait();
            (before, filch::compute::cancel_requested(), filch::blocking::cancel_requested())
        });
        both.wait();
        assert!(if abort { job.abort() } else { job.cancel() });
        both.wait();
        assert_eq!(join(job).unwrap(), (false, true, true));
    }
    assert!(!join(runtime.spawn_compute(filch::compute::cancel_requested)).unwrap());
}

/// Runs other jobs on this thread, as rayon does while it waits, until the condition holds.
fn wait_as_rayon_does(condition: impl Fn() -> bool) {
    until(|| {
        rayon::yield_now();
        condition()
    });
}

#[test]
fn a_foreign_job_in_the_middle_of_a_job_has_its_own_context() {
    filch::task_local! { static WHO: &'static str }
    support::hush_panics("planned");
    let runtime = lane(1).build().unwrap();
    let handle = runtime.handle();
    let outer = runtime.spawn(async {
        WHO.set("outer");
        let job = filch::spawn_compute(move || {
            let me = filch::task::current().unwrap();
            assert!(me.cancel() && filch::compute::cancel_requested());
            // With one thread, rayon can run it only here.
            let from_outside = std::thread::spawn(move || {
                let inner = handle.spawn_compute(|| {
                    let before = (WHO.get(), filch::compute::cancel_requested());
                    WHO.set("inner");
                    let on_it = filch::Handle::current();
                    // And a third one in the middle of the second; and a future.
                    let third = filch::spawn_compute(|| WHO.get().is_some());
                    wait_as_rayon_does(|| third.is_finished());
                    let polled = Runtime::builder().worker_threads(1).build().unwrap();
                    let polled = polled.block_on(async { WHO.get() });
                    drop(on_it);
                    (filch::task::current().unwrap().id(), before, polled)
                });
                let panics = handle.spawn_compute(|| panic!("planned"));
                (inner, panics)
            });
            let (inner, panics) = from_outside.join().unwrap();
            let thread = std::thread::current().id();
            wait_as_rayon_does(|| inner.is_finished() && panics.is_finished());
            assert!(join(panics).unwrap_err().is_panic());
            let id = inner.id();
            assert_eq!(join(inner).unwrap(), (id, (None, false), Some("inner")));
            assert_eq!(std::thread::current().id(), thread);
            assert_eq!(filch::task::current().unwrap().id(), me.id());
            assert_eq!(WHO.get(), Some("outer"));
            assert!(filch::compute::cancel_requested());
            assert_eq!(me.uncancel(), 0);
            !filch::compute::cancel_requested()
        });
        job.await.unwrap()
    });
    assert!(join(outer).unwrap());
}

#[test]
fn waiting_for_half_of_a_join_runs_foreign_jobs() {
    let runtime = lane(2).build().unwrap();
    let handle = runtime.handle();
    // One half is taken by the other thread and waits there for a job that only the first thread can run,
    // while it waits for that half.
    let job = runtime.spawn_compute(move || {
        let (taken, is_taken) = mpsc::channel();
        let me = filch::task::current().unwrap().id();
        rayon::join(
            move || {
                // Until the other half was stolen.
                let () = is_taken.recv_timeout(LONG).unwrap();
            },
            move || {
                taken.send(()).unwrap();
                let mut foreign = handle.spawn_compute(|| filch::task::current().unwrap().id());
                let id = foreign.join_timeout(LONG).expect("nobody ran it").unwrap();
                assert_eq!(id, foreign.id());
            },
        );
        filch::task::current().unwrap().id() == me
    });
    assert!(join(job).unwrap());
}

#[test]
fn a_job_may_spawn_jobs_and_tasks_and_poll_futures() {
    let runtime = lane(1).build().unwrap();
    let nested = runtime
        .spawn_compute(|| (0..10).map(|i| filch::spawn_compute(move || i)).collect::<Vec<_>>());
    let nested = join(nested).unwrap();
    let sum: i32 = nested.into_iter().map(|job| join(job).unwrap()).sum();
    assert_eq!(sum, 45);
    let handle = runtime.handle();
    let polls = runtime.spawn_compute(move || {
        let task = handle.spawn(async { 4 });
        // Its own runtime cannot be borrowed by a job; another one can.
        let other = Runtime::builder().worker_threads(1).build().unwrap();
        let four = other.block_on(task).unwrap();
        // A panic in it is the job's.
        let panics = catch_unwind(AssertUnwindSafe(|| other.block_on(async { panic!("planned") })));
        (four, panics.is_err(), filch::task::current().is_some())
    });
    support::hush_panics("planned");
    assert_eq!(join(polls).unwrap(), (4, true, true));
}

#[test]
fn many_jobs_from_many_threads_some_cancelled_all_end() {
    let runtime = lane(2).build().unwrap();
    let fates = Arc::new(support::Fates::default());
    let threads: Vec<_> = (0..4)
        .map(|seed| {
            let (handle, fates) = (runtime.handle(), Arc::clone(&fates));
            std::thread::spawn(move || {
                let mut random = support::Random(seed + 1);
                let mut jobs = Vec::new();
                for _ in 0..1500 {
                    let tracked = fates.track();
                    jobs.push(handle.spawn_compute(move || {
                        rayon::join(|| (), || ());
                        tracked.finish();
                    }));
                    if random.below(3) == 0 {
                        let _ = jobs[random.below(jobs.len() as u64) as usize].cancel();
                    }
                }
                jobs.into_iter().filter_map(|job| join(job).ok()).count() as u64
            })
        })
        .collect();
    let ran: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(fates.finished.load(Ordering::SeqCst), ran);
    assert_eq!(fates.dropped_early.load(Ordering::SeqCst), 6000 - ran);
    until(|| runtime.handle().compute_load().running == 0);
    let load = runtime.handle().compute_load();
    // (A thread may have taken a job and then found that it was cancelled.)
    assert!(load.queued == 0 && (ran..=6000).contains(&load.started), "{load:?}, {ran} ran");
}

// ── the end ───────────────────────────────────────────────────────────────────────────────────

#[test]
fn a_stuck_job_is_named_at_shutdown_and_queued_ones_are_dropped() {
    let (runtime, mut job, gate) = busy(lane(1));
    let fates = Arc::new(support::Fates::default());
    let tracked = fates.track();
    let mut queued = runtime.spawn_compute(move || tracked.finish());
    let report = runtime.shutdown(Duration::ZERO);
    let stuck = &report.stuck_compute_jobs;
    assert_eq!(stuck.iter().map(|job| job.id).collect::<Vec<_>>(), [job.id()]);
    assert!(stuck[0].spawned_at.file().ends_with("compute.rs"));
    assert!(queued.try_join().unwrap().unwrap_err().is_cancelled());
    assert_eq!(fates.dropped_early.load(Ordering::SeqCst), 1);
    gate.wait();
    assert!(job.join_timeout(LONG).unwrap().is_ok(), "its result is there when it comes");
}

#[test]
fn a_shutdown_begins_with_dropping_what_waits() {
    let (runtime, job, gate) = busy(lane(1));
    let (open, opened) = async_channel::bounded::<()>(1);
    let (begun, begins) = mpsc::channel();
    drop(runtime.spawn(async move {
        begun.send(()).unwrap();
        // A cleanup that takes until the end of this test.
        let token = filch::catch_cancel(std::future::pending::<()>()).await;
        let _ = opened.recv().await;
        drop(token);
    }));
    begins.recv_timeout(LONG).unwrap();
    let queued = runtime.spawn_compute(|| ());
    let shutdown = std::thread::spawn(move || runtime.shutdown(LONG));
    assert!(join(queued).unwrap_err().is_cancelled());
    assert!(!shutdown.is_finished());
    open.send_blocking(()).unwrap();
    gate.wait();
    join(job).unwrap();
    assert!(shutdown.join().unwrap().stuck_compute_jobs.is_empty());
}

#[test]
fn a_running_job_hears_of_a_shutdown() {
    let runtime = lane(1).build().unwrap();
    let started = Arc::new(Barrier::new(2));
    let s = Arc::clone(&started);
    let job = runtime.spawn_compute(move || {
        s.wait();
        while !filch::compute::cancel_requested() {
            std::thread::yield_now();
        }
        7
    });
    started.wait();
    assert!(runtime.shutdown(LONG).stuck_compute_jobs.is_empty());
    assert_eq!(join(job).unwrap(), 7);
}

#[test]
fn after_the_end_jobs_are_dropped() {
    let runtime = lane(1).build().unwrap();
    let handle = runtime.handle();
    join(handle.spawn_compute(|| ())).unwrap();
    drop(runtime);
    assert!(join(handle.spawn_compute(|| ())).unwrap_err().is_cancelled());
    assert_eq!(handle.compute_load().threads, 0, "all threads have left");
}

#[test]
fn threads_leave_and_the_hooks_are_called() {
    let (starts, stops) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let count = |counter: &Arc<AtomicUsize>| {
        let counter = Arc::clone(counter);
        move || {
            let name = std::thread::current().name().unwrap_or_default().to_string();
            counter.fetch_add(usize::from(name.contains("-compute-")), Ordering::SeqCst);
        }
    };
    let runtime =
        lane(3).on_thread_start(count(&starts)).on_thread_stop(count(&stops)).build().unwrap();
    assert_eq!(runtime.handle().compute_load().threads, 0);
    join(runtime.spawn_compute(|| ())).unwrap();
    until(|| starts.load(Ordering::SeqCst) == 3);
    assert_eq!(stops.load(Ordering::SeqCst), 0);
    assert!(runtime.shutdown(LONG).stuck_compute_jobs.is_empty());
    assert_eq!(stops.load(Ordering::SeqCst), 3);
}

#[test]
fn a_runtime_may_be_dropped_in_a_job_also_in_its_own() {
    let outer = lane(1).build().unwrap();
    let inner = lane(1).build().unwrap();
    let handle = inner.handle();
    let job = outer.spawn_compute(move || {
        join(inner.spawn_compute(|| ())).unwrap();
        drop(inner);
    });
    join(job).unwrap();
    until(|| handle.compute_load().threads == 0);

    let own = Arc::new(Mutex::new(None));
    let runtime = lane(2).build().unwrap();
    let handle = runtime.handle();
    let o = Arc::clone(&own);
    let mut guard = own.lock().unwrap();
    let job = handle.spawn_compute(move || drop(o.lock().unwrap().take()));
    *guard = Some(runtime);
    drop(guard);
    join(job).unwrap();
    until(|| handle.compute_load().threads == 0);
}

#[test]
fn a_shutdown_beside_submitters_loses_nothing() {
    for _ in 0..50 {
        let runtime = lane(2).build().unwrap();
        let fates = Arc::new(support::Fates::default());
        let go = Arc::new(Barrier::new(3));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (handle, fates, go) = (runtime.handle(), Arc::clone(&fates), Arc::clone(&go));
                std::thread::spawn(move || {
                    go.wait();
                    let submit = |_| {
                        let tracked = fates.track();
                        handle.spawn_compute(move || tracked.finish())
                    };
                    (0..200).map(submit).collect::<Vec<_>>().into_iter().for_each(|job| {
                        let _ = join(job);
                    });
                })
            })
            .collect();
        go.wait();
        drop(runtime);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(fates.in_flight(), 0);
    }
}

// ── settings ──────────────────────────────────────────────────────────────────────────────────

#[test]
fn impossible_settings_are_refused_with_advice() {
    let says = |builder: Builder, text: &str| {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains(text), "{error}");
    };
    says(lane(0), "say at least 1");
    says(lane(5000), "the most is 4096");
    says(lane(1).compute_nice(-1), "from 0 to 19");
    says(lane(1).compute_nice(20), "from 0 to 19");
}

/// Of the calling thread.
#[cfg(target_os = "linux")]
fn nice() -> i32 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    // After the name, which stands in parentheses, the 17th field.
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.split(' ').nth(16).unwrap().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn threads_lower_themselves_and_nobody_else() {
    let ours = nice();
    for (level, expected) in [(None, ours), (Some(3), ours.max(3)), (Some(0), ours)] {
        let runtime = lane(2).compute_nice(level).build().unwrap();
        assert_eq!(join(runtime.spawn_compute(nice)).unwrap(), expected, "{level:?}");
    }
    let runtime = lane(2).build().unwrap();
    let all = runtime.spawn_compute(|| rayon::broadcast(|_| nice()));
    assert_eq!(join(all).unwrap(), [ours.max(10); 2]);
    // Started from a lowered thread: by one that is not, all the same.
    let second = lane(1).compute_nice(None).build().unwrap();
    let handle = second.handle();
    let from_lane = runtime.spawn_compute(move || join(handle.spawn_compute(nice)).unwrap());
    assert_eq!(join(from_lane).unwrap(), ours);
    assert_eq!(join(runtime.spawn(async { nice() })).unwrap(), ours);
    assert_eq!(join(runtime.spawn_blocking(nice)).unwrap(), ours);
    assert_eq!(nice(), ours);
}

#[test]
fn the_stack_has_the_size_that_was_asked_for() {
    fn deep(left: usize) -> usize {
        let place = std::hint::black_box([left as u8; 4096]);
        if left == 0 { 0 } else { deep(left - 1) + usize::from(place[left % 4096] == left as u8) }
    }
    let runtime = lane(1).thread_stack_size(64 << 20).build().unwrap();
    assert_eq!(join(runtime.spawn_compute(|| deep(4000))).unwrap(), 4000);
}

#[test]
fn a_manual_clock_waits_for_jobs() {
    let runtime = lane(1).manual_clock(true).build().unwrap();
    let over = Arc::new(AtomicBool::new(false));
    runtime.block_on(async {
        let start = filch::time::now();
        let sleeps = filch::spawn(filch::sleep(Duration::from_secs(60)));
        let (a, b) = (Arc::new(Barrier::new(2)), Arc::clone(&over));
        let gate = Arc::clone(&a);
        let first = filch::spawn_compute(move || {
            gate.wait();
            // All others have the time to go to rest.
            (0..20_000).for_each(|_| std::thread::yield_now());
            filch::time::now()
        });
        let second = filch::spawn_compute(move || {
            b.store(true, Ordering::SeqCst);
            filch::time::now()
        });
        let cancelled = filch::spawn_compute(|| ());
        cancelled.cancel();
        filch::spawn(async move { a.wait() }).await.unwrap();
        assert_eq!((first.await.unwrap(), second.await.unwrap()), (start, start));
        assert!(cancelled.await.is_err());
        sleeps.await.unwrap();
        assert_eq!(filch::time::now() - start, Duration::from_secs(60));
    });
    assert!(over.load(Ordering::SeqCst));
}
