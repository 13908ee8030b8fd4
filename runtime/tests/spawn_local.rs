//! Tasks that stay on their worker. In debug builds the runtime itself checks, at each poll and drop,
//! that it happens at home; here it is seen from outside as well.

mod support;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Poll, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;

use filch::{Handle, JoinHandle, Runtime, sleep, spawn, spawn_local, yield_now};
use support::{Fates, Random, hush_panics};

const MS: Duration = Duration::from_millis(1);

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().worker_threads(workers).build().unwrap()
}

fn here() -> ThreadId {
    thread::current().id()
}

/// Notes where it is dropped, and is not `Send`.
struct Stays {
    home: ThreadId,
    dropped: Arc<AtomicU64>,
    abroad: Arc<AtomicU64>,
    _rc: Rc<()>,
}

#[derive(Clone, Default)]
struct Drops {
    at_home: Arc<AtomicU64>,
    abroad: Arc<AtomicU64>,
}

impl Drops {
    fn stays(&self) -> Stays {
        let (dropped, abroad) = (Arc::clone(&self.at_home), Arc::clone(&self.abroad));
        Stays { home: here(), dropped, abroad, _rc: Rc::new(()) }
    }

    /// How many were dropped, all of them at home.
    fn count(&self) -> u64 {
        assert_eq!(self.abroad.load(Ordering::Relaxed), 0, "dropped on a foreign thread");
        self.at_home.load(Ordering::Relaxed)
    }
}

impl Stays {
    fn check(&self) {
        assert_eq!(self.home, here(), "polled on a foreign thread");
    }
}

impl Drop for Stays {
    fn drop(&mut self) {
        let count = if here() == self.home { &self.dropped } else { &self.abroad };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn an_rc_lives_across_awaits() {
    for workers in [1, 4] {
        runtime(workers).block_on(async {
            let sums: Vec<_> = (0..20_u64)
                .map(|i| {
                    spawn_local(move || async move {
                        let home = here();
                        let sum = Rc::new(Cell::new(0));
                        let other = Rc::clone(&sum);
                        for _ in 0..100 {
                            other.set(other.get() + i);
                            yield_now().await;
                            assert_eq!(here(), home);
                        }
                        sum.get()
                    })
                })
                .collect();
            for (i, sum) in sums.into_iter().enumerate() {
                assert_eq!(sum.await.unwrap(), 100 * i as u64);
            }
        });
    }
}

#[test]
fn it_is_at_home_where_it_was_spawned_and_elsewhere_each_worker_has_its_turn() {
    let runtime = runtime(3);
    runtime.block_on(async {
        let nested = spawn(async {
            let home = here();
            let child = spawn_local(|| async { here() });
            // The closure and each poll run on this very thread; and so do grandchildren.
            let grandchild = spawn_local(|| async { spawn_local(|| async { here() }).await });
            // (This task itself may have moved by now.)
            (home, child.await.unwrap(), grandchild.await.unwrap().unwrap())
        });
        let (home, child, grandchild) = nested.await.unwrap();
        assert_eq!((home, home), (child, grandchild));
    });
    let homes: Vec<_> = (0..30).map(|_| runtime.spawn_local(|| async { here() })).collect();
    let homes: Vec<_> = homes.into_iter().map(|home| runtime.block_on(home).unwrap()).collect();
    assert!(homes.iter().all(|home| homes.iter().filter(|other| *other == home).count() == 10));
    assert!(homes.iter().all(|&home| home != here()));
}

#[test]
fn it_is_woken_from_other_threads_and_by_the_timer() {
    let runtime = runtime(2);
    let (send, receive) = async_channel::bounded::<u64>(1);
    let mut listener = runtime.spawn_local(move || async move {
        let sum = Rc::new(Cell::new(0));
        let home = here();
        while let Ok(value) = receive.recv().await {
            sum.set(sum.get() + value);
            sleep(MS / 4).await;
            assert_eq!(here(), home);
        }
        sum.get()
    });
    thread::scope(|scope| {
        for _ in 0..3 {
            let send = send.clone();
            scope.spawn(move || (0..50).for_each(|_| send.send_blocking(1).unwrap()));
        }
    });
    drop(send);
    assert_eq!(listener.join_timeout(None).unwrap().unwrap(), 150);
}

#[test]
fn it_can_be_spawned_from_anywhere() {
    let runtime = runtime(2);
    let local = || async {
        let rc = Rc::new(5);
        yield_now().await;
        *rc
    };
    let handle = runtime.handle();
    let outside = thread::spawn(move || handle.spawn_local(local).join_timeout(None));
    assert_eq!(outside.join().unwrap().unwrap().unwrap(), 5);
    let in_job = runtime.spawn_blocking(move || spawn_local(local));
    let in_task = runtime.spawn(async move { spawn_local(local).await });
    runtime.block_on(async move {
        assert_eq!(in_job.await.unwrap().await.unwrap(), 5);
        assert_eq!(in_task.await.unwrap().unwrap(), 5);
        assert_eq!(spawn_local(local).await.unwrap(), 5);
        // On a worker of this runtime, for another one: there it is at home, not here.
        let other = crate::runtime(1);
        let other_handle = other.handle();
        let homes = spawn(async move { (here(), other_handle.spawn_local(|| async { here() })) });
        let (own, others) = homes.await.unwrap();
        assert_ne!(own, others.await.unwrap());
        spawn_blocking_drop(other).await;
    });
    let place = runtime.spawn_local(local);
    assert!(place.spawned_at().file().ends_with("local.rs"));
    hush_panics("filch::spawn_local was called outside");
    let caught = thread::spawn(|| drop(spawn_local(|| async {}))).join();
    assert!(caught.unwrap_err().downcast_ref::<String>().unwrap().contains("spawn_local"));
}

/// A runtime is dropped where waiting for it harms nobody.
async fn spawn_blocking_drop(runtime: Runtime) {
    filch::spawn_blocking(move || drop(runtime)).await.unwrap();
}

#[test]
fn an_abort_from_elsewhere_drops_it_at_home() {
    let runtime = runtime(2);
    let drops = Drops::default();
    for round in 0..200 {
        let (started, is_started) = std::sync::mpsc::channel();
        let stays = drops.clone();
        let mut handle = runtime.spawn_local(move || {
            let stays = stays.stays();
            async move {
                started.send(()).unwrap();
                loop {
                    stays.check();
                    if round % 2 == 0 { pending::<()>().await } else { yield_now().await }
                }
            }
        });
        is_started.recv().unwrap();
        assert!(handle.abort());
        assert!(handle.join_timeout(None).unwrap().unwrap_err().is_cancelled());
        assert_eq!(drops.count(), round + 1);
    }
}

#[test]
fn what_is_aborted_before_it_started_is_never_called() {
    let runtime = runtime(1);
    runtime.block_on(async {
        spawn(async {
            // This task holds the only worker, so nothing else starts.
            let called = Arc::new(AtomicBool::new(false));
            let (in_closure, alive) = (Arc::clone(&called), Arc::new(()));
            let carried = Arc::clone(&alive);
            let handle = spawn_local(move || {
                let _carried = carried;
                in_closure.store(true, Ordering::Relaxed);
                async {}
            });
            assert!(handle.abort());
            assert!(handle.await.unwrap_err().is_cancelled());
            assert!(!called.load(Ordering::Relaxed));
            assert_eq!(Arc::strong_count(&alive), 1, "the closure was dropped");
        })
        .await
        .unwrap();
    });
}

#[test]
fn a_panic_in_the_closure_or_the_future_is_a_join_error() {
    hush_panics("a local one gives up");
    let runtime = runtime(2);
    let drops = Drops::default();
    runtime.block_on(async {
        let in_closure = spawn_local(|| {
            if here() == here() {
                panic!("a local one gives up");
            }
            async {}
        });
        let error = in_closure.await.unwrap_err();
        assert!(error.is_panic());
        let stays = drops.clone();
        let in_future = spawn_local(move || {
            let stays = stays.stays();
            async move {
                yield_now().await;
                stays.check();
                panic!("a local one gives up");
            }
        });
        let error: filch::JoinError = in_future.await.unwrap_err();
        assert!(error.is_panic());
        assert_eq!(drops.count(), 1);
        assert_eq!(spawn_local(|| async { 1 }).await.unwrap(), 1, "the worker goes on");
    });
}

/// Local tasks in all states: they wait, sleep, yield, wait for each other, and some never start.
fn a_crowd(runtime: &Runtime, drops: &Drops, fates: &Arc<Fates>) -> Vec<JoinHandle<()>> {
    (0..3000)
        .map(|i| {
            let (drops, tracked) = (drops.clone(), fates.track());
            runtime.spawn_local(move || {
                let stays = drops.stays();
                async move {
                    match i % 5 {
                        0 => pending().await,
                        1 => sleep(Duration::from_secs(3600)).await,
                        2 => loop {
                            stays.check();
                            yield_now().await;
                        },
                        3 => {
                            let child = spawn_local(pending::<()>);
                            let _ = child.await;
                        }
                        _ => sleep(MS * (i % 50)).await,
                    }
                    stays.check();
                    tracked.finish();
                }
            })
        })
        .collect()
}

#[test]
fn a_runtime_that_ends_drops_each_at_home() {
    for round in 0..20 {
        let runtime = runtime(1 + round % 4);
        let (drops, fates) = (Drops::default(), Arc::<Fates>::default());
        let handles = a_crowd(&runtime, &drops, &fates);
        match round % 3 {
            0 => {}
            1 => runtime.block_on(sleep(5 * MS)),
            _ => runtime.block_on(async { drop(spawn_local(|| async {}).await) }),
        }
        // Some are woken or aborted by others while it ends.
        let aborter = {
            let tasks: Vec<_> = handles.iter().map(JoinHandle::id).collect();
            assert_eq!(tasks.len(), 3000);
            thread::spawn(move || {
                for (i, handle) in handles.into_iter().enumerate() {
                    if i % 7 == 0 {
                        handle.abort();
                    }
                }
            })
        };
        drop(runtime);
        aborter.join().unwrap();
        drops.count();
        assert_eq!(fates.in_flight(), 0, "round {round}");
    }
}

#[test]
fn a_runtime_dropped_inside_itself_drops_each_at_home() {
    let (drops, fates) = (Drops::default(), Arc::<Fates>::default());
    let (over, is_over) = std::sync::mpsc::channel();
    let runtime = runtime(3);
    let handles = a_crowd(&runtime, &drops, &fates);
    let handle = runtime.handle();
    drop(handle.spawn_local(move || async move {
        drop(runtime);
        over.send(()).unwrap();
    }));
    is_over.recv().unwrap();
    drop(handle);
    for mut handle in handles {
        let _ = handle.join_timeout(None).unwrap();
    }
    drops.count();
    assert_eq!(fates.in_flight(), 0);
}

#[test]
fn spawning_while_the_runtime_ends_gives_an_end_to_each() {
    for _ in 0..100 {
        let runtime = runtime(2);
        let handle = runtime.handle();
        let start = Arc::new(Barrier::new(2));
        let (drops, fates) = (Drops::default(), Arc::<Fates>::default());
        let spawner = {
            let (start, drops, fates) = (Arc::clone(&start), drops.clone(), Arc::clone(&fates));
            thread::spawn(move || {
                start.wait();
                let spawned = |_| {
                    let (drops, tracked) = (drops.clone(), fates.track());
                    handle.spawn_local(move || {
                        let stays = drops.stays();
                        async move {
                            let _held = (stays, tracked);
                            pending::<()>().await;
                        }
                    })
                };
                (0..200).map(spawned).collect::<Vec<_>>()
            })
        };
        start.wait();
        drop(runtime);
        for mut handle in spawner.join().unwrap() {
            assert!(handle.join_timeout(None).unwrap().unwrap_err().is_cancelled());
        }
        drops.count();
        assert_eq!(fates.in_flight(), 0);
    }
}

/// Neither tasks at home that are always busy, nor the others, starve.
#[test]
fn busy_local_tasks_and_the_rest_of_the_world_get_along() {
    let runtime = runtime(1);
    let stop = Arc::new(AtomicBool::new(false));
    let busy = |stop: &Arc<AtomicBool>| {
        let stop = Arc::clone(stop);
        async move {
            while !stop.load(Ordering::Relaxed) {
                yield_now().await;
            }
        }
    };
    let (one, two) = (Arc::clone(&stop), Arc::clone(&stop));
    let locals = [runtime.spawn_local(move || busy(&one)), runtime.spawn_local(move || busy(&two))];
    // From outside, from the timer, and again from outside while shared tasks are busy, too.
    runtime.block_on(async {
        spawn(sleep(MS)).await.unwrap();
        let shared = [spawn(busy(&stop)), spawn(busy(&stop))];
        spawn_local(|| sleep(MS)).await.unwrap();
        spawn(async {}).await.unwrap();
        let last = spawn_local({
            let stop = Arc::clone(&stop);
            move || async move { stop.store(true, Ordering::Relaxed) }
        });
        last.await.unwrap();
        for task in shared.into_iter().chain(locals) {
            task.await.unwrap();
        }
    });
}

/// Counts its wake-ups: each waker is used once, by a foreign thread, and must be answered.
#[test]
fn foreign_wakers_by_the_thousand_lose_nothing() {
    const TASKS: usize = 200;
    const ROUNDS: u64 = 100;
    let runtime = runtime(3);
    let drops = Drops::default();
    let (wakers, to_wake) = std::sync::mpsc::channel::<(Waker, Arc<AtomicBool>)>();
    let polls = Arc::new(AtomicUsize::new(0));
    let handles: Vec<_> = (0..TASKS)
        .map(|_| {
            let (wakers, drops, polls) = (wakers.clone(), drops.clone(), Arc::clone(&polls));
            runtime.spawn_local(move || {
                let stays = drops.stays();
                async move {
                    let answered = RefCell::new(0);
                    for _ in 0..ROUNDS {
                        let flag = Arc::new(AtomicBool::new(false));
                        let mut sent = false;
                        poll_fn(|cx| {
                            stays.check();
                            polls.fetch_add(1, Ordering::Relaxed);
                            if flag.load(Ordering::Relaxed) {
                                return Poll::Ready(());
                            }
                            if !std::mem::replace(&mut sent, true) {
                                wakers.send((cx.waker().clone(), Arc::clone(&flag))).unwrap();
                            }
                            Poll::Pending
                        })
                        .await;
                        *answered.borrow_mut() += 1;
                    }
                    answered.into_inner()
                }
            })
        })
        .collect();
    drop(wakers);
    let to_wake = Mutex::new(to_wake);
    let total = AtomicU64::new(0);
    thread::scope(|scope| {
        for seed in 1..=3 {
            let (to_wake, total) = (&to_wake, &total);
            scope.spawn(move || {
                let mut random = Random(seed);
                loop {
                    let next = to_wake.lock().unwrap().recv();
                    let Ok((waker, flag)) = next else { return };
                    total.fetch_add(1, Ordering::Relaxed);
                    // Now and then one too many, and one too early.
                    if random.below(4) == 0 {
                        waker.wake_by_ref();
                    }
                    flag.store(true, Ordering::Relaxed);
                    waker.wake();
                }
            });
        }
        for handle in handles {
            assert_eq!(runtime.block_on(handle).unwrap(), ROUNDS);
        }
    });
    assert_eq!(total.into_inner(), TASKS as u64 * ROUNDS);
    assert_eq!(drops.count(), TASKS as u64);
    assert!(polls.load(Ordering::Relaxed) as u64 >= TASKS as u64 * ROUNDS);
}

/// Local tasks of one worker may share what is not `Send`, through a thread-local of theirs.
#[test]
fn tasks_of_one_home_share_an_rc() {
    thread_local! { static SHARED: Rc<Cell<u64>> = Rc::default(); }
    runtime(1).block_on(async {
        let add = |value| {
            spawn_local(move || async move {
                let shared = SHARED.with(Rc::clone);
                yield_now().await;
                shared.set(shared.get() + value);
            })
        };
        for task in (0..100).map(add).collect::<Vec<_>>() {
            task.await.unwrap();
        }
        let sum = spawn_local(|| async { SHARED.with(|shared| shared.get()) });
        assert_eq!(sum.await.unwrap(), 4950);
    });
}

#[test]
fn it_is_listed_and_reported_like_others() {
    let runtime = runtime(2);
    let handle = runtime.spawn_local(pending::<()>);
    let is_listed = || Handle::current().tasks().iter().any(|task| task.id == handle.id());
    runtime.block_on(async {
        while !is_listed() {
            yield_now().await;
        }
    });
    let report = runtime.shutdown(Duration::from_secs(60));
    assert_eq!((report.cancelled, report.stuck.len()), (1, 0));
    assert!(handle.is_finished());
}

/// It waits for time as all do: a manual clock sees when its home is idle.
#[test]
fn with_a_manual_clock_it_sleeps_exactly() {
    for workers in [1, 4] {
        let runtime =
            Runtime::builder().worker_threads(workers).manual_clock(true).build().unwrap();
        let slept = runtime.block_on(async {
            let start = filch::time::now();
            let naps: Vec<_> = (1..=100)
                .map(|i| {
                    spawn_local(move || async move {
                        let rc = Rc::new(i);
                        sleep(*rc * MS).await;
                        filch::time::now() - start
                    })
                })
                .collect();
            for (i, nap) in naps.into_iter().enumerate() {
                assert_eq!(nap.await.unwrap(), (i as u32 + 1) * MS);
            }
            filch::time::now() - start
        });
        assert_eq!(slept, 100 * MS);
    }
}

/// Only the closure and the output have to be `Send`, and the handle then is.
#[test]
fn the_handle_is_send() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let runtime = runtime(1);
    let handle = is_send(runtime.spawn_local(|| async {
        let rc = Rc::new(1);
        yield_now().await;
        *rc
    }));
    fn assert_future<F: Future<Output = Result<i32, filch::JoinError>>>(_: &F) {}
    assert_future(&handle);
    assert_eq!(runtime.block_on(handle).unwrap(), 1);
}
