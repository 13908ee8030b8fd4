//! Workers that are stuck in a poll: nobody else has to wait for it.

use std::collections::HashMap;
use std::future::Future;
use std::io::{Read, Write};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use filch::task::Id;
use filch::{Runtime, sleep};

/// What takes longer than this hangs.
const STUCK: Duration = Duration::from_secs(20);
const MS: Duration = Duration::from_millis(1);

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().worker_threads(workers).on_stall(|_| {}).build().unwrap()
}

/// Blocks the worker of whoever polls it, until something is sent (or dropped).
async fn block(until: Arc<Mutex<mpsc::Receiver<()>>>) {
    let until = until.lock().unwrap();
    if until.recv_timeout(STUCK) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("nobody came to help");
    }
}

/// A task that blocks its worker until the sender is used.
fn blocker() -> (mpsc::Sender<()>, impl Future<Output = ()> + Send) {
    let (release, until) = mpsc::channel();
    (release, block(Arc::new(Mutex::new(until))))
}

/// Blocks as many workers, and answers when all of them are.
fn block_all(
    runtime: &Runtime,
    count: usize,
) -> (Vec<mpsc::Sender<()>>, Vec<filch::JoinHandle<()>>) {
    let mut blocked = (Vec::new(), Vec::new());
    for _ in 0..count {
        let (release, block) = blocker();
        let (begins, began) = mpsc::channel();
        let handle = runtime.spawn(async move {
            begins.send(()).unwrap();
            block.await;
        });
        began.recv_timeout(STUCK).expect("a free worker begins");
        blocked.0.push(release);
        blocked.1.push(handle);
    }
    blocked
}

fn release(blocked: (Vec<mpsc::Sender<()>>, Vec<filch::JoinHandle<()>>)) {
    blocked.0.into_iter().for_each(|release| release.send(()).unwrap());
    for mut handle in blocked.1 {
        handle.join_timeout(STUCK).expect("released").unwrap();
    }
}

#[test]
fn other_tasks_run_while_every_worker_is_stuck() {
    for workers in [1, 2, 4] {
        let runtime = runtime(workers);
        for _ in 0..20 {
            let blocked = block_all(&runtime, workers);
            let tasks: Vec<_> = (0..10).map(|i| runtime.spawn(async move { i })).collect();
            for (i, mut task) in tasks.into_iter().enumerate() {
                assert_eq!(task.join_timeout(STUCK).expect("somebody runs it").unwrap(), i);
            }
            release(blocked);
        }
    }
}

#[test]
fn what_a_stuck_worker_has_in_slot_and_deque_is_taken_from_it() {
    for workers in [1, 2, 4] {
        let runtime = runtime(workers);
        for _ in 0..20 {
            let blocked = block_all(&runtime, workers - 1);
            let (all_ran, until) = mpsc::channel();
            let mut last = runtime.spawn(async move {
                // The first goes into the slot, the others into the deque.
                for _ in 0..4 {
                    let all_ran = all_ran.clone();
                    drop(filch::spawn(async move { all_ran.send(()).unwrap() }));
                }
                for _ in 0..4 {
                    until.recv_timeout(STUCK).expect("taken from here");
                }
            });
            last.join_timeout(STUCK).expect("released").unwrap();
            release(blocked);
        }
    }
}

#[test]
fn what_is_woken_by_a_stuck_worker_is_taken_from_it() {
    for workers in [1, 2] {
        let runtime = runtime(workers);
        for _ in 0..20 {
            let blocked = block_all(&runtime, workers - 1);
            let (to_task, in_task) = async_channel::bounded(1);
            let (to_worker, in_worker) = mpsc::channel();
            drop(runtime.spawn(async move {
                while in_task.recv().await.is_ok() {
                    to_worker.send(()).unwrap();
                }
            }));
            let mut last = runtime.spawn(async move {
                // Each goes into the slot, and the slot is open from the first on.
                for _ in 0..3 {
                    to_task.try_send(()).unwrap();
                    in_worker.recv_timeout(STUCK).expect("taken from here");
                }
            });
            last.join_timeout(STUCK).expect("released").unwrap();
            release(blocked);
        }
    }
}

#[test]
fn a_worker_that_never_runs_out_of_work_takes_what_waits_behind_a_stuck_one() {
    let runtime =
        Runtime::builder().worker_threads(2).spare_workers(0).on_stall(|_| {}).build().unwrap();
    for _ in 0..20 {
        let (stop, stopped) = mpsc::channel::<()>();
        let mut busy = runtime.spawn(async move {
            while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
                filch::yield_now().await;
            }
        });
        let (all_ran, until) = mpsc::channel();
        let mut last = runtime.spawn(async move {
            for _ in 0..4 {
                let all_ran = all_ran.clone();
                drop(filch::spawn(async move { all_ran.send(()).unwrap() }));
            }
            for _ in 0..4 {
                until.recv_timeout(STUCK).expect("taken from here");
            }
        });
        // What comes from outside makes the busy one look. (Some of it may be behind the stuck one as well.)
        let (mut spawned, ran) = (0, Arc::new(AtomicUsize::new(0)));
        while !last.is_finished() {
            if spawned - ran.load(Ordering::Relaxed) < 100 {
                spawned += 1;
                let ran = Arc::clone(&ran);
                drop(runtime.spawn(async move { ran.fetch_add(1, Ordering::Relaxed) }));
            }
            thread::yield_now();
        }
        last.join_timeout(STUCK).expect("released").unwrap();
        drop(stop);
        busy.join_timeout(STUCK).expect("stopped").unwrap();
    }
}

#[test]
fn timers_fire_while_every_worker_is_stuck() {
    for workers in [1, 2] {
        let runtime = runtime(workers);
        let mut sleeper = runtime.spawn(async {
            for _ in 0..20 {
                sleep(MS).await;
            }
        });
        let blocked = block_all(&runtime, workers);
        sleeper.join_timeout(STUCK).expect("the timer's wakes are followed").unwrap();
        release(blocked);
    }
}

#[test]
fn sockets_answer_while_every_worker_is_stuck() {
    for workers in [1, 2, 4] {
        let runtime = runtime(workers);
        let listener = runtime.block_on(filch::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (release, until) = mpsc::channel();
        let until = Arc::new(Mutex::new(until));
        drop(runtime.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let until = Arc::clone(&until);
                drop(filch::spawn(async move {
                    let mut byte = [0];
                    while stream.read(&mut byte).await.is_ok_and(|read| read == 1) {
                        if byte[0] == b'b' {
                            // This worker has just come from the driver.
                            block(Arc::clone(&until)).await;
                        }
                        stream.write_all(&byte).await.unwrap();
                    }
                }));
            }
        }));
        let connect = || {
            let stream = std::net::TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(STUCK)).unwrap();
            stream
        };
        let mut blockers: Vec<_> = (0..workers).map(|_| connect()).collect();
        let mut other = connect();
        for _ in 0..10 {
            blockers.iter_mut().for_each(|stream| stream.write_all(b"b").unwrap());
            other.write_all(b"x").unwrap();
            other.read_exact(&mut [0]).expect("nobody looks after the sockets");
            for stream in &mut blockers {
                release.send(()).unwrap();
                let _ = stream;
            }
            blockers.iter_mut().for_each(|stream| stream.read_exact(&mut [0]).unwrap());
        }
    }
}

#[test]
fn more_are_stuck_than_spare_workers_may_come() {
    let runtime = Runtime::builder().worker_threads(2).spare_workers(1).on_stall(|_| {});
    let runtime = runtime.build().unwrap();
    let blocked = block_all(&runtime, 3);
    // Nobody is left. (Whoever waits outside the workers is served all the same.)
    let (begins, began) = mpsc::channel();
    let mut task = runtime.spawn(async move { begins.send(()).unwrap() });
    assert!(runtime.block_on(async { filch::timeout(30 * MS, &mut task).await }).is_err());
    assert!(began.try_recv().is_err());
    release(blocked);
    task.join_timeout(STUCK).expect("it has waited").unwrap();
}

#[test]
fn without_spare_workers_everything_waits_until_somebody_returns() {
    let runtime = Runtime::builder().worker_threads(1).spare_workers(0).on_stall(|_| {});
    let runtime = runtime.build().unwrap();
    let blocked = block_all(&runtime, 1);
    let mut task = runtime.spawn(async {});
    assert!(task.join_timeout(50 * MS).is_none());
    release(blocked);
    task.join_timeout(STUCK).expect("it has waited").unwrap();
}

#[test]
fn a_task_at_home_stays_with_its_worker_also_if_it_is_spawned_on_a_spare_one() {
    let runtime = runtime(1);
    let home = runtime.spawn(async { std::thread::current().id() }).join_timeout(STUCK);
    let home = home.unwrap().unwrap();
    let blocked = block_all(&runtime, 1);
    let mut local = runtime.spawn(async {
        let elsewhere = std::thread::current().id();
        (elsewhere, filch::spawn_local(|| async { std::thread::current().id() }))
    });
    let (elsewhere, mut local) = local.join_timeout(STUCK).expect("a spare one runs it").unwrap();
    assert_ne!(elsewhere, home);
    assert!(local.join_timeout(20 * MS).is_none(), "its home is stuck");
    release(blocked);
    assert_eq!(local.join_timeout(STUCK).unwrap().unwrap(), home);
}

#[test]
fn shutdown_while_workers_are_stuck_names_them() {
    let runtime = runtime(2);
    let blocked = block_all(&runtime, 2);
    // On a spare worker, which waits for its end.
    let (begins, began) = mpsc::channel();
    drop(runtime.spawn(async move {
        begins.send(()).unwrap();
        std::future::pending::<()>().await;
    }));
    began.recv_timeout(STUCK).unwrap();
    let report = runtime.shutdown(10 * MS);
    assert_eq!(report.stuck.len(), 2, "{report:?}");
    blocked.0.into_iter().for_each(|release| release.send(()).unwrap());
}

#[test]
fn a_runtime_whose_spare_workers_have_come_and_gone_ends_as_ever() {
    for _ in 0..20 {
        let runtime = runtime(2);
        let blocked = block_all(&runtime, 4);
        release(blocked);
        ends_well(runtime);
    }
}

/// Long before its grace is over.
fn ends_well(runtime: Runtime) {
    let start = Instant::now();
    let report = runtime.shutdown(STUCK);
    assert!(report.stuck.is_empty() && report.aborted == 0, "{report:?}");
    assert!(start.elapsed() < STUCK / 2, "it waited for somebody who had gone");
}

/// Workers stand in sets of 32: the spare ones share one with others here, or have one to themselves.
#[test]
fn spare_workers_of_another_set_come_and_go_as_well() {
    for workers in [20, 32, 33] {
        let runtime = runtime(workers);
        let blocked = block_all(&runtime, workers);
        let tasks: Vec<_> = (0..100).map(|i| runtime.spawn(async move { i })).collect();
        for (i, mut task) in tasks.into_iter().enumerate() {
            assert_eq!(task.join_timeout(STUCK).expect("somebody runs it").unwrap(), i);
        }
        release(blocked);
        ends_well(runtime);
    }
}

#[test]
fn block_in_place_lets_others_run() {
    for workers in [1, 2] {
        let runtime = runtime(workers);
        for _ in 0..20 {
            let (to_call, in_call) = mpsc::channel();
            let mut blocks = runtime.spawn(async move {
                let slot = to_call.clone();
                drop(filch::spawn(async move { slot.send("from the slot").unwrap() }));
                let name = String::from("borrowed");
                filch::block_in_place(|| {
                    drop(filch::spawn(async move { to_call.send("spawned inside").unwrap() }));
                    let both = [(); 2].map(|()| in_call.recv_timeout(STUCK).expect("they run"));
                    assert!(both.contains(&"from the slot") && both.contains(&"spawned inside"));
                    name.len()
                })
            });
            let length = blocks.join_timeout(STUCK).expect("somebody ran the others").unwrap();
            assert_eq!(length, 8);
        }
    }
}

#[test]
fn block_in_place_may_block_on_and_a_panic_in_it_is_the_tasks() {
    let runtime = runtime(1);
    let inner = runtime.handle();
    let result = runtime.block_on(runtime.spawn(async move {
        let other = Runtime::new().unwrap();
        let here = filch::block_in_place(|| other.block_on(async { 1 }));
        let there = filch::block_in_place(|| inner.spawn(async { 2 }).join_timeout(STUCK));
        filch::block_in_place(|| drop(other));
        here + there.unwrap().unwrap()
    }));
    assert_eq!(result.unwrap(), 3);
    let panics = runtime.spawn(async { filch::block_in_place(|| panic!("planned")) });
    assert!(runtime.block_on(panics).unwrap_err().is_panic());
    // The worker is as before: refuses, and runs.
    let refused = runtime.spawn(async { filch::Runtime::new().unwrap().block_on(async {}) });
    assert!(runtime.block_on(refused).unwrap_err().is_panic());
    assert_eq!(filch::block_in_place(|| 7), 7, "elsewhere it is a call");
}

/// What tasks know of their polls. The one that a thread has polled last is taken for the one it polls, until it
/// polls another: so that may last from the end of the poll before it to the beginning of the one after it.
struct Polls {
    /// For each task the longest.
    longest: HashMap<Id, Duration>,
    /// The last poll of each thread that has told of itself: whose, when the one before it ended, and when itself.
    last: HashMap<ThreadId, (Id, Instant, Instant)>,
    begun: Instant,
}

impl Polls {
    /// Something in a poll, the only thing it does.
    fn tell(polls: &Mutex<Polls>, poll: impl FnOnce()) {
        let (id, here, begins) =
            (filch::task::current().unwrap().id(), std::thread::current().id(), Instant::now());
        {
            let polls = &mut *polls.lock().unwrap();
            let mut before = polls.begun;
            if let Some((id, since, end)) = polls.last.remove(&here) {
                let longest = polls.longest.entry(id).or_default();
                *longest = begins.duration_since(since).max(*longest);
                before = end;
            }
            // (If it is told of nothing more here, nobody knows how long it was taken for the one.)
            polls.last.insert(here, (id, before, begins));
        }
        poll();
        if let Some((.., end)) = polls.lock().unwrap().last.get_mut(&here) {
            *end = Instant::now();
        }
    }

    /// How long a poll of this task may have been, if somebody knows.
    fn longest(&self, task: Id) -> Option<Duration> {
        let is_open = self.last.values().any(|(id, ..)| *id == task);
        self.longest.get(&task).filter(|_| !is_open).copied()
    }
}

type Hear = Arc<(Mutex<Vec<filch::Stall>>, Condvar)>;

/// One poll that lasts until it was reported, and until the next one of as many others was, so that the monitor has seen
/// it once more. That begins only now.
fn stalls(hear: Hear, others: u32, chain: u32) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        if others % 2 == 0 {
            sleep(MS).await;
        }
        let (reports, news) = &*hear;
        let is_told = |number: u32| {
            let name = format!("slow {number} of {chain}");
            let is_silent = |reports: &mut Vec<filch::Stall>| {
                !reports.iter().any(|stall| stall.task.name.as_deref() == Some(&*name))
            };
            let reports = reports.lock().unwrap();
            let told = news.wait_timeout_while(reports, STUCK, is_silent).unwrap();
            let waits = filch::task::current().unwrap();
            let reported = || told.0.iter().map(|stall| stall.task.to_string()).collect::<Vec<_>>();
            assert!(!told.1.timed_out(), "{name} is not reported to {waits:?}: {:?}", reported());
        };
        is_told(others);
        if let Some(others) = others.checked_sub(1) {
            let next = stalls(Arc::clone(&hear), others, chain);
            let name = format!("slow {others} of {chain}");
            drop(filch::task::Builder::new().name(name).spawn(next));
            is_told(others);
        }
    })
}

/// However little of the machine the monitor gets, or the workers.
#[test]
fn stalls_are_reported_all_of_them_and_no_others() {
    const OTHERS: u32 = 12;
    let threshold = 50 * MS;
    let hear = Hear::default();
    let (longest, last, begun) = (HashMap::new(), HashMap::new(), Instant::now());
    let polls = Arc::new(Mutex::new(Polls { longest, last, begun }));
    let runtime = Runtime::builder()
        .worker_threads(4)
        .stall_threshold(threshold)
        .on_stall({
            let hear = Arc::clone(&hear);
            move |stall| {
                hear.0.lock().unwrap().push(stall.clone());
                hear.1.notify_all();
            }
        })
        .build()
        .unwrap();
    // They are in the way all the time.
    let good = || {
        let polls = Arc::clone(&polls);
        runtime.spawn(async move {
            for i in 0..3 {
                if i > 0 {
                    filch::yield_now().await;
                }
                Polls::tell(&polls, || _ = std::hint::black_box((0..100).sum::<u64>()));
            }
            filch::task::current().unwrap().id()
        })
    };
    let name = |chain: u32, others: u32| format!("slow {others} of {chain}");
    for chain in 0..2 {
        let named = filch::task::Builder::new().name(name(chain, OTHERS));
        runtime.block_on(async { drop(named.spawn(stalls(Arc::clone(&hear), OTHERS, chain))) });
    }
    let mut fine = Vec::new();
    let is_over = |chain| {
        let (name, reports) = (name(chain, 0), hear.0.lock().unwrap());
        reports.iter().any(|stall| stall.task.name.as_deref() == Some(&*name))
    };
    let start = Instant::now();
    while !(is_over(0) && is_over(1)) {
        assert!(start.elapsed() < 2 * OTHERS * STUCK, "a chain has ended early");
        for mut task in (0..100).map(|_| good()).collect::<Vec<_>>() {
            fine.push(task.join_timeout(STUCK).expect("it is not stuck").unwrap());
        }
    }
    drop(runtime);
    let reports = hear.0.lock().unwrap();
    for (chain, others) in [0, 1].into_iter().flat_map(|c| (0..=OTHERS).map(move |o| (c, o))) {
        let name = name(chain, others);
        let of_it = reports.iter().filter(|stall| stall.task.name.as_deref() == Some(&*name));
        // (Who sleeps first has two polls, and a machine that is busy may stop the first one for long.)
        let polls = if others % 2 == 0 { 2 } else { 1 };
        let count = of_it.count();
        assert!((1..=polls).contains(&count), "{name} is reported {count} times");
    }
    let polls = polls.lock().unwrap();
    for stall in reports.iter().filter(|stall| fine.contains(&stall.task.id)) {
        if let Some(longest) = polls.longest(stall.task.id) {
            assert!(stall.elapsed <= longest, "none lasted longer than {longest:?}: {stall}");
        }
    }
    assert!(reports.iter().all(|stall| stall.elapsed >= threshold));
}

#[test]
fn a_dropped_runtime_waits_for_spare_workers_as_for_the_others() {
    let runtime = runtime(1);
    let blocked = block_all(&runtime, 1);
    let (begins, began) = mpsc::channel();
    let (go, until) = mpsc::channel();
    let (ended, end) = mpsc::channel();
    drop(runtime.spawn(async move {
        begins.send(()).unwrap();
        until.recv_timeout(STUCK).expect("told to go on");
        ended.send(()).unwrap();
    }));
    began.recv_timeout(STUCK).expect("a spare worker begins");
    release(blocked);
    let other = std::thread::spawn(move || {
        // (If the drop does not wait, it is over by then.)
        std::thread::sleep(100 * MS);
        go.send(()).unwrap();
    });
    drop(runtime);
    assert!(end.try_recv().is_ok(), "a poll still runs, and the runtime is gone");
    other.join().unwrap();
}

#[test]
fn block_in_place_may_be_nested_in_itself_in_local_tasks_and_in_another_runtime() {
    let runtime = runtime(1);
    let handle = runtime.handle();
    let run = move |n| {
        let mut inner = handle.spawn(async move { n });
        inner.join_timeout(STUCK).expect("somebody runs it").unwrap()
    };
    let (twice, there) = (run.clone(), run.clone());
    let mut nested = runtime.spawn(async move {
        let inner = filch::block_in_place(|| filch::block_in_place(|| twice(1)) + twice(2));
        // Outside again: what is woken is for this worker.
        drop(filch::spawn(async {}));
        inner + filch::block_in_place(|| twice(3))
    });
    assert_eq!(nested.join_timeout(STUCK).expect("it ends").unwrap(), 6);
    let mut local = runtime.spawn_local(move || async move {
        let here = std::rc::Rc::new(run(4).min(0) + 1);
        filch::yield_now().await;
        *here
    });
    // Not allowed outside `block_in_place`, on a worker.
    assert!(local.join_timeout(STUCK).expect("it ends").unwrap_err().is_panic());
    let mut local = runtime.spawn_local(move || async move {
        let here = std::rc::Rc::new(5);
        let other = filch::block_in_place(|| Runtime::new().unwrap());
        let inner = filch::block_in_place(|| {
            other.block_on(async { filch::block_in_place(|| there(6)) + 1 })
        });
        filch::block_in_place(|| drop(other));
        filch::yield_now().await;
        *here + inner
    });
    assert_eq!(local.join_timeout(STUCK).expect("it ends").unwrap(), 12);
}

#[test]
fn a_stall_hook_may_panic_and_spawn_but_not_wait() {
    type Hook = Box<dyn Fn(&filch::Handle) + Send + Sync>;
    let hooks: [Hook; 3] = [
        Box::new(|_| panic!("planned")),
        Box::new(|handle| drop(handle.spawn(async {}))),
        // For the very thread that it stands on.
        Box::new(|handle| drop(handle.spawn(sleep(MS)).join_timeout(STUCK))),
    ];
    for hook in hooks {
        let place = Arc::new(std::sync::OnceLock::<filch::Handle>::new());
        let (called, calls) = mpsc::channel();
        let handle = Arc::clone(&place);
        let called = Mutex::new(called);
        let builder = Runtime::builder().worker_threads(1).stall_threshold(10 * MS);
        let builder = builder.on_stall(move |_| {
            called.lock().unwrap().send(()).unwrap();
            hook(handle.get().unwrap());
        });
        let runtime = builder.build().unwrap();
        assert!(place.set(runtime.handle()).is_ok());
        let blocked = block_all(&runtime, 1);
        calls.recv_timeout(STUCK).expect("a stall");
        let start = Instant::now();
        runtime.spawn(sleep(MS)).join_timeout(STUCK).expect("there is still a timer").unwrap();
        assert!(start.elapsed() < STUCK / 2, "the timer stood still");
        release(blocked);
    }
}
