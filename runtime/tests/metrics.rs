//! What a runtime counts and measures: each number moves for its reason, and for no other.

mod support;

use std::future::{Future, pending};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use filch::net::{TcpListener, TcpStream, UdpSocket};
use filch::{Handle, Histogram, Metrics, Runtime, WorkerMetrics, yield_now};

const STUCK: Duration = Duration::from_secs(20);

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().worker_threads(workers).on_stall(|_| {}).spare_workers(0).build().unwrap()
}

/// The numbers of a runtime that has ended.
fn after(runtime: Runtime) -> Metrics {
    let handle = runtime.handle();
    let report = runtime.shutdown(STUCK);
    assert!(report.stuck.is_empty(), "{report:?}");
    handle.metrics()
}

/// Waits for a condition that is about to come true.
#[track_caller]
fn until(handle: &Handle, is: impl Fn(&Metrics) -> bool) -> Metrics {
    let start = Instant::now();
    loop {
        let metrics = handle.metrics();
        if is(&metrics) {
            return metrics;
        }
        assert!(start.elapsed() < STUCK, "it did not come true: {metrics:#?}");
        std::thread::yield_now();
    }
}

#[track_caller]
fn join<T>(mut handle: filch::JoinHandle<T>) -> Result<T, filch::JoinError> {
    handle.join_timeout(STUCK).expect("it did not end")
}

/// Blocks the worker that polls it: says when it begins, and goes on when it is told to.
fn blocker() -> (Sender<()>, Receiver<()>, impl Future<Output = ()> + Send) {
    let (release, released) = mpsc::channel::<()>();
    let (begins, began) = mpsc::channel();
    let released = Mutex::new(released);
    let block = async move {
        begins.send(()).unwrap();
        let released = released.lock().unwrap();
        assert_ne!(released.recv_timeout(STUCK), Err(mpsc::RecvTimeoutError::Timeout));
    };
    (release, began, block)
}

/// A runtime whose only worker is blocked until something is sent.
fn blocked(runtime: &Runtime) -> Sender<()> {
    let (release, began, block) = blocker();
    drop(runtime.spawn(block));
    began.recv_timeout(STUCK).expect("a worker begins");
    release
}

/// What calls back late is a task of the runtime's own.
#[test]
fn callbacks_of_tasks_that_have_ended_are_polls_and_no_ends() {
    let runtime = runtime(1);
    let calls_back = |task: &filch::task::Task| {
        let (called, wait) = mpsc::channel();
        for _ in 0..10 {
            let called = called.clone();
            let _ = task.on_done(move |_| called.send(()).unwrap());
        }
        drop(called);
        wait
    };
    let ended = runtime.spawn(async {});
    let task = ended.task();
    join(ended).unwrap();
    let wait = calls_back(&task);
    (0..10).for_each(|_| wait.recv_timeout(STUCK).unwrap());
    // The worker polls it after them.
    join(runtime.spawn(async {})).unwrap();
    let before = until(&runtime.handle(), |metrics| metrics.total.finished >= 2).total;
    assert_eq!((before.polls, before.finished, before.cancelled), (12, 2, 0));

    // Nor are they in the report: here one task cleans up, and the callbacks come after it.
    let (begins, began) = mpsc::channel();
    let (counted, count) = mpsc::channel();
    drop(runtime.spawn(async move {
        begins.send(()).unwrap();
        let cancelled = filch::catch_cancel(pending::<()>()).await;
        counted.send(calls_back(&task)).unwrap();
        cancelled
    }));
    began.recv_timeout(STUCK).unwrap();
    let handle = runtime.handle();
    let report = runtime.shutdown(STUCK);
    assert_eq!(count.recv().unwrap().iter().count(), 10);
    assert_eq!((report.finished, report.cancelled, report.aborted), (0, 1, 0), "{report:?}");
    assert_eq!(handle.metrics().total.finished, 2);
}

#[test]
fn polls_and_ends_are_counted_exactly() {
    support::hush_panics("on purpose");
    let builder = Runtime::builder().worker_threads(1).spare_workers(0);
    let runtime = builder.on_unhandled_failure(|_| {}).build().unwrap();
    runtime.block_on(async {
        let yielding: Vec<_> = (0..10).map(|_| filch::spawn(yield_now())).collect();
        for task in yielding {
            task.await.unwrap();
        }
        for _ in 0..3 {
            assert!(filch::spawn(async { panic!("on purpose") }).await.unwrap_err().is_panic());
        }
        // Begun before they are cancelled: a poll to begin, and one to end.
        let waiting: Vec<_> = (0..5).map(|_| filch::spawn(pending::<()>())).collect();
        filch::spawn(async {}).await.unwrap();
        assert!(waiting.iter().all(|task| task.cancel()));
        for task in waiting {
            assert!(task.await.unwrap_err().is_cancelled());
        }
    });
    let metrics = after(runtime);
    let total = &metrics.total;
    assert_eq!((total.finished, total.panicked, total.cancelled), (11, 3, 5));
    assert_eq!(total.polls, 20 + 3 + 2 * 5 + 1);
}

#[test]
fn the_total_is_the_sum_of_the_workers() {
    let runtime = runtime(4);
    runtime.block_on(async {
        let tasks: Vec<_> = (0..1000)
            .map(|i| {
                filch::spawn(async move {
                    let children: Vec<_> = (0..5).map(|_| filch::spawn(yield_now())).collect();
                    for child in children {
                        child.await.unwrap();
                    }
                    if i % 10 == 0 {
                        filch::sleep(Duration::from_millis(1)).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    let metrics = after(runtime);
    let (total, workers) = (&metrics.total, &metrics.workers);
    let sum = |of: fn(&WorkerMetrics) -> u64| workers.iter().map(of).sum::<u64>();
    assert_eq!(workers.len(), 4);
    assert_eq!((total.finished, sum(|w| w.finished)), (6000, 6000));
    assert_eq!(total.polls, sum(|w| w.polls));
    assert_eq!(total.steals, sum(|w| w.steals));
    assert_eq!(total.stolen, sum(|w| w.stolen));
    assert_eq!(total.parks, sum(|w| w.parks));
    assert_eq!((total.injected, sum(|w| w.injected)), (1000, 1000));
    assert_eq!(total.due, sum(|w| w.due));
    assert_eq!(total.poll_time.count(), sum(|w| w.poll_time.count()));
    assert_eq!(total.wake_to_poll.count(), sum(|w| w.wake_to_poll.count()));
    assert!(total.polls >= 11_000, "each child is polled twice, each parent at least once");
    assert!(total.stolen >= total.steals);
}

#[test]
fn who_comes_from_outside_is_counted_when_taken_and_seen_while_it_waits() {
    let runtime = runtime(1);
    let handle = runtime.handle();
    let release = blocked(&runtime);
    let before = handle.metrics();
    assert_eq!((before.injector_len, before.total.injected), (0, 1));
    let tasks: Vec<_> = (0..5).map(|_| runtime.spawn(async {})).collect();
    assert_eq!(handle.metrics().injector_len, 5);
    let more: Vec<_> = (0..7).map(|_| runtime.spawn(async {})).collect();
    let metrics = handle.metrics();
    assert_eq!((metrics.injector_len, metrics.total.injected, metrics.total.polls), (12, 1, 1));
    release.send(()).unwrap();
    tasks.into_iter().chain(more).for_each(|task| join(task).unwrap());
    let metrics = handle.metrics();
    assert_eq!((metrics.injector_len, metrics.total.injected), (0, 13));
    // What is spawned by a worker is none of them.
    join(runtime.spawn(async { filch::spawn(async {}).await.unwrap() })).unwrap();
    assert_eq!(handle.metrics().total.injected, 14);
}

#[test]
fn those_who_were_counted_come_in_order() {
    let runtime = runtime(1);
    let release = blocked(&runtime);
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for i in 0..50 {
        let order = Arc::clone(&order);
        tasks.push(runtime.spawn(async move { order.lock().unwrap().push(i) }));
        if i % 7 == 0 {
            assert_eq!(runtime.handle().metrics().injector_len, i + 1);
        }
    }
    release.send(()).unwrap();
    tasks.into_iter().for_each(|task| join(task).unwrap());
    assert_eq!(*order.lock().unwrap(), (0..50).collect::<Vec<_>>());
}

#[test]
fn who_asks_again_and_again_keeps_nobody_from_waking_up() {
    let runtime = runtime(2);
    let handle = runtime.handle();
    let (ended, end) = mpsc::channel::<()>();
    let asks = std::thread::spawn(move || {
        while end.try_recv() == Err(mpsc::TryRecvError::Empty) {
            let _ = handle.metrics();
        }
    });
    // Each of them finds the workers asleep, or about to be.
    (0..2000).for_each(|_| join(runtime.spawn(async {})).unwrap());
    drop(ended);
    asks.join().unwrap();
}

#[test]
fn queues_are_as_long_as_they_are() {
    let runtime = runtime(1);
    let handle = runtime.handle();
    let metrics = join(runtime.spawn(async move {
        let tasks: Vec<_> = (0..20).map(|_| filch::spawn(async {})).collect();
        let metrics = handle.metrics();
        for task in tasks {
            task.await.unwrap();
        }
        metrics
    }));
    let metrics = metrics.unwrap();
    assert_eq!((metrics.workers[0].queue_len, metrics.total.queue_len), (20, 20));
    assert_eq!(after(runtime).total.queue_len, 0);
}

#[test]
fn the_slot_is_hit_by_who_is_woken_last() {
    let runtime = runtime(1);
    let slot = |metrics: &Metrics| metrics.total.from_slot;
    // Nobody but themselves: a yield goes through the queue.
    join(runtime.spawn(async {
        for _ in 0..100 {
            yield_now().await;
        }
    }))
    .unwrap();
    assert_eq!(slot(&runtime.handle().metrics()), 0);
    // The child is spawned while nobody waits, and so is in the slot; so is the parent, which it wakes.
    join(runtime.spawn(async {
        for _ in 0..100 {
            filch::spawn(async {}).await.unwrap();
        }
    }))
    .unwrap();
    let metrics = after(runtime);
    assert_eq!((slot(&metrics), metrics.total.polls), (200, 101 + 201));
}

#[test]
fn a_theft_is_counted_by_the_thief() {
    let runtime = runtime(2);
    let handle = runtime.handle();
    let (done, all) = mpsc::channel();
    let thefts = join(runtime.spawn(async move {
        // This worker does not come to them, so the other one takes them, in several goes.
        for _ in 0..8 {
            let done = done.clone();
            drop(filch::spawn(async move { done.send(()).unwrap() }));
        }
        // (The first is in the slot, which is not stolen from before this worker is seen to be stuck: on a busy machine it
        // may be.)
        (0..7).for_each(|_| all.recv_timeout(STUCK).expect("the other worker steals"));
        let metrics = until(&handle, |metrics| metrics.total.finished >= 7);
        metrics.workers.iter().map(|w| (w.steals, w.stolen)).collect::<Vec<_>>()
    }))
    .unwrap();
    let thief = thefts.iter().find(|(_, stolen)| *stolen > 0).expect("somebody stole");
    assert!(thefts.contains(&(0, 0)), "who was in a poll stole nothing: {thefts:?}");
    assert!((7..=8).contains(&thief.1), "{thefts:?}");
    assert!((1..=thief.1).contains(&thief.0), "{thefts:?}");
}

#[test]
fn a_worker_without_work_parks() {
    let runtime = runtime(1);
    let handle = runtime.handle();
    let parks = until(&handle, |metrics| metrics.total.parks > 0).total.parks;
    for more in 1..=3 {
        join(runtime.spawn(async {})).unwrap();
        until(&handle, |metrics| metrics.total.parks >= parks + more);
    }
}

#[test]
fn who_waits_is_alive() {
    let runtime = runtime(1);
    let handle = runtime.handle();
    let waiting: Vec<_> = (0..6).map(|_| runtime.spawn(pending::<()>())).collect();
    until(&handle, |metrics| metrics.alive == 6);
    waiting[0].abort();
    until(&handle, |metrics| metrics.alive == 5 && metrics.total.cancelled == 1);
    drop(waiting);
    assert_eq!(handle.metrics().alive, 5, "detached tasks live on");
    let metrics = after(runtime);
    assert_eq!((metrics.alive, metrics.total.cancelled), (0, 6));
}

#[test]
fn timers_are_registered_until_they_fire_or_are_dropped() {
    let runtime = Runtime::builder().worker_threads(1).manual_clock(true).build().unwrap();
    let handle = runtime.handle();
    runtime.block_on(async {
        let minute = Duration::from_secs(60);
        let sleeps: Vec<_> = (1..=5).map(|i| filch::spawn(filch::sleep(i * minute))).collect();
        let begun = || sleeps.iter().all(|sleep| sleep.task().waits_at().is_some());
        while !begun() {
            yield_now().await;
        }
        assert_eq!((handle.metrics().timers, handle.metrics().timers_fired), (5, 0));
        sleeps[4].abort();
        filch::time::advance(2 * minute);
        let fired = until(&handle, |metrics| metrics.total.finished == 2);
        assert_eq!((fired.timers_fired, fired.total.due), (2, 2));
        assert_eq!(until(&handle, |metrics| metrics.timers == 2).timers_fired, 2);
        // One that never fires leaves no trace.
        filch::timeout(minute, yield_now()).await.unwrap();
        assert_eq!((handle.metrics().timers, handle.metrics().timers_fired), (2, 2));
    });
    assert_eq!((after(runtime).timers, handle.metrics().timers_fired), (0, 2));
}

#[test]
fn a_stall_is_counted() {
    let (stalled, stalls) = mpsc::channel();
    let runtime = Runtime::builder()
        .worker_threads(1)
        .stall_threshold(Duration::from_millis(10))
        .on_stall(move |_| stalled.send(()).unwrap())
        .build()
        .unwrap();
    assert_eq!(runtime.handle().metrics().stalls, 0);
    let (release, _began, block) = blocker();
    let task = runtime.spawn(block);
    stalls.recv_timeout(STUCK).expect("the monitor sees it");
    assert_eq!(runtime.handle().metrics().stalls, 1);
    release.send(()).unwrap();
    join(task).unwrap();
    assert_eq!(after(runtime).stalls, 1);
}

#[test]
fn a_spare_worker_is_counted_while_it_is_there() {
    let runtime = Runtime::builder().worker_threads(1).on_stall(|_| {}).build().unwrap();
    let handle = runtime.handle();
    let metrics = until(&handle, |metrics| metrics.regular_workers == 1);
    assert_eq!((metrics.spare_workers, metrics.workers.len()), (0, 1));
    let release = blocked(&runtime);
    join(runtime.spawn(async {})).unwrap();
    let metrics = handle.metrics();
    assert_eq!((metrics.spare_workers, metrics.workers.len()), (1, 2));
    assert_eq!((metrics.workers[0].polls, metrics.workers[1].polls), (1, 1));
    release.send(()).unwrap();
    until(&handle, |metrics| metrics.spare_workers == 0 && metrics.workers.len() == 2);
    let metrics = after(runtime);
    assert_eq!((metrics.regular_workers, metrics.spare_workers, metrics.total.polls), (0, 0, 2));
}

#[test]
fn blocking_jobs_and_their_threads() {
    let runtime = Runtime::builder().worker_threads(1).max_blocking_threads(2).build().unwrap();
    let handle = runtime.handle();
    let blocking = |metrics: &Metrics| {
        (metrics.blocking_queue, metrics.blocking_threads, metrics.blocking_idle)
    };
    assert_eq!(blocking(&handle.metrics()), (0, 0, 0));
    let (release, released) = mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let job = || {
        let released = Arc::clone(&released);
        runtime.spawn_blocking(move || released.lock().unwrap().recv_timeout(STUCK).unwrap())
    };
    let jobs: Vec<_> = (0..5).map(|_| job()).collect();
    until(&handle, |metrics| blocking(metrics) == (3, 2, 0));
    (0..5).for_each(|_| release.send(()).unwrap());
    jobs.into_iter().for_each(|job| join(job).unwrap());
    until(&handle, |metrics| blocking(metrics) == (0, 2, 2));
    assert_eq!(handle.metrics().total.polls, 0, "jobs are no polls of workers");
    assert_eq!(blocking(&after(runtime)), (0, 0, 0));
}

#[test]
fn the_lanes_load_is_among_them() {
    let runtime = Runtime::builder().worker_threads(1).compute_threads(1).build().unwrap();
    join(runtime.spawn_compute(|| ())).unwrap();
    let compute = runtime.handle().metrics().compute;
    assert_eq!((compute.queued, compute.started, compute.threads), (0, 1, 1));
    assert_eq!(after(runtime).compute.started, 1);
}

#[test]
fn sockets_are_registered_and_their_events_counted() {
    let runtime = runtime(1);
    let handle = runtime.handle();
    let asks = handle.clone();
    join(runtime.spawn(async move {
        let before = asks.metrics();
        assert_eq!((before.sockets, before.total.events), (0, 0));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        assert_eq!(asks.metrics().sockets, 1);
        let mut one = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut other, _) = listener.accept().await.unwrap();
        assert_eq!(asks.metrics().sockets, 3);
        let answers = filch::spawn(async move {
            let mut byte = [0];
            while other.read(&mut byte).await.unwrap() == 1 {
                other.write_all(&byte).await.unwrap();
            }
        });
        for _ in 0..10 {
            one.write_all(b"x").await.unwrap();
            one.read_exact(&mut [0]).await.unwrap();
        }
        let metrics = asks.metrics();
        assert!(metrics.total.events >= 20, "each byte is an event at either side: {metrics:?}");
        assert!(metrics.total.driver_turns >= 10, "{metrics:?}");
        drop((one, listener));
        answers.await.unwrap();
        assert_eq!(asks.metrics().sockets, 0);
    }))
    .unwrap();
    let metrics = after(runtime);
    assert!(metrics.total.events >= 20 && metrics.sockets == 0, "{metrics:?}");
}

#[test]
fn one_poll_in_256_is_timed() {
    let runtime = runtime(1);
    let yields = 10 * 256;
    join(runtime.spawn(async move {
        for _ in 0..yields {
            yield_now().await;
        }
    }))
    .unwrap();
    let metrics = after(runtime);
    assert_eq!(metrics.total.polls, yields + 1);
    // The first of all, and then one in each 256; the last of them may be just beyond the end.
    let timed = metrics.total.poll_time.count();
    assert!((10..=11).contains(&timed), "{timed}");
    let followed = metrics.total.wake_to_poll.count();
    assert!((1..=timed + 1).contains(&followed), "{followed}");
}

#[test]
fn long_polls_and_long_waits_are_in_late_buckets() {
    let ms = Duration::from_millis(1);
    let runtime = runtime(1);
    let handle = runtime.handle();
    // The first poll of the worker, and the first task from outside: both are in the sample.
    let (release, began, block) = blocker();
    let first = runtime.spawn(async move {
        block.await;
        std::thread::sleep(20 * ms);
    });
    began.recv_timeout(STUCK).unwrap();
    release.send(()).unwrap();
    join(first).unwrap();
    let metrics = until(&handle, |metrics| metrics.total.poll_time.count() == 1);
    let (poll, wait) = (&metrics.total.poll_time, &metrics.total.wake_to_poll);
    assert_eq!(wait.count(), 1, "the poll had just begun");
    assert!(poll.sum() >= 20 * ms && poll.quantile(0.0).unwrap() >= 20 * ms, "{poll:?}");
    // In a bucket at most twice as long.
    assert!(poll.quantile(1.0).unwrap() <= 2 * poll.sum(), "{poll:?}");
    let filled: Vec<_> = poll.buckets().filter(|(_, count)| *count > 0).collect();
    assert_eq!(filled, [(poll.quantile(0.5), 1)]);
    assert!(poll.sum() < filled[0].0.unwrap());
}

#[test]
fn a_task_that_waits_for_a_busy_worker_is_measured() {
    let ms = Duration::from_millis(1);
    // It is in the sample of a fresh runtime: the first of the tasks that come from outside, polled first.
    let runtime = runtime(1);
    let handle = runtime.handle();
    let queues = handle.clone();
    let (waits, wait) = mpsc::channel();
    // The first poll is timed, so the first task that it queues is followed. (If the one that brought it here has arrived,
    // and sixteen times its way is over: that may take a while on a busy machine.)
    join(runtime.spawn(async move {
        let before = queues.metrics().total.wake_to_poll;
        assert_eq!(before.count(), 1);
        std::thread::sleep(17 * before.sum() + ms);
        drop(filch::spawn(async move { waits.send(()).unwrap() }));
        std::thread::sleep(20 * ms);
    }))
    .unwrap();
    wait.recv_timeout(STUCK).unwrap();
    let wait = after(runtime).total.wake_to_poll;
    assert_eq!(wait.count(), 2, "{wait:?}");
    assert!(wait.quantile(1.0).unwrap() >= 20 * ms, "{wait:?}");
}

#[test]
fn a_fresh_histogram_is_empty() {
    let none = Histogram::default();
    assert_eq!((none.count(), none.sum(), none.quantile(0.5)), (0, Duration::ZERO, None));
    let ends: Vec<_> = none.buckets().map(|(end, _)| end).collect();
    assert!(ends.windows(2).all(|pair| pair[1].is_none() || pair[1] == pair[0].map(|end| 2 * end)));
}

#[test]
fn a_runtime_begins_with_nothing_counted() {
    // The next one uses what the one before has left behind.
    for _ in 0..3 {
        let runtime = runtime(1);
        assert_eq!(runtime.handle().metrics().total.polls, 0);
        join(runtime.spawn(async {
            filch::sleep(Duration::from_millis(1)).await;
            UdpSocket::bind("127.0.0.1:0").await.unwrap();
        }))
        .unwrap();
        let metrics = after(runtime);
        assert_eq!((metrics.total.finished, metrics.total.injected), (1, 1));
        assert!(metrics.total.wake_to_poll.count() >= 1);
        // (None, if the machine was so busy that the sleep was over before it could wait.)
        assert!(metrics.total.due <= 1 && metrics.timers_fired <= 1, "{metrics:?}");
    }
}
