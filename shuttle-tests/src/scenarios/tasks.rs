//! Spawns, wakes and joins, by workers and from outside.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::sync::Barrier;
use shuttle::thread;

use super::Scenario;
use crate::filch;
use crate::support::{Gate, Ledger, any, runtime};

pub(crate) const ALL: &[Scenario] = &[
    ("spawn_tree", 1, spawn_tree),
    ("spawns_from_outside", 1, spawns_from_outside),
    ("wakes_from_everywhere", 1, wakes_from_everywhere),
    ("ping_pong", 1, ping_pong),
    ("yields_beside_wakes", 1, yields_beside_wakes),
    ("local_tasks", 1, local_tasks),
    ("several_sets", 1, several_sets),
    ("all_at_once", 1, all_at_once),
    ("two_runtimes", 1, two_runtimes),
    ("panics", 1, panics),
    ("roots", 1, roots),
];

type Boxed = Pin<Box<dyn Future<Output = usize> + Send>>;

/// Counts the leaves of a tree of tasks.
fn tree(ledger: Ledger, depth: usize) -> Boxed {
    Box::pin(async move {
        if depth == 0 {
            return 1;
        }
        let branches: Vec<_> =
            (0..2).map(|_| filch::spawn(ledger.enter(tree(ledger.clone(), depth - 1)))).collect();
        if any(2) == 0 {
            filch::yield_now().await;
        }
        let mut sum = 0;
        for branch in branches {
            sum += branch.await.unwrap();
        }
        sum
    })
}

fn spawn_tree() {
    let runtime = runtime(3);
    let ledger = Ledger::new();
    assert_eq!(runtime.block_on(tree(ledger.clone(), 3)), 8);
    let handle = runtime.handle();
    drop(runtime);
    assert_eq!((ledger.created(), ledger.finished()), (14, 14));
    ledger.assert_over();
    ledger.assert_agrees(&handle);
}

/// Three threads spawn what nobody joins; the last task opens the gate.
fn spawns_from_outside() {
    const EACH: usize = 4;
    let runtime = runtime(4);
    let (ledger, gate) = (Ledger::new(), Gate::new());
    let left = Arc::new(AtomicUsize::new(3 * EACH));
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let (handle, ledger) = (runtime.handle(), ledger.clone());
            let (left, gate) = (Arc::clone(&left), gate.clone());
            thread::spawn(move || {
                for _ in 0..EACH {
                    let (left, gate) = (Arc::clone(&left), gate.clone());
                    let yields = any(2);
                    drop(handle.spawn(ledger.enter(async move {
                        for _ in 0..yields {
                            filch::yield_now().await;
                        }
                        if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                            gate.open();
                        }
                    })));
                }
            })
        })
        .collect();
    runtime.block_on(gate.passed());
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let handle = runtime.handle();
    drop(runtime);
    // (The task that opened the gate may have been dropped between its last step and its end.)
    ledger.assert_over();
    ledger.assert_agrees(&handle);
}

/// Tasks that wait for gates, opened by tasks and by threads.
fn wakes_from_everywhere() {
    let runtime = runtime(3);
    let ledger = Ledger::new();
    let gates: Vec<_> = (0..6).map(|_| Gate::new()).collect();
    let tasks: Vec<_> = gates
        .iter()
        .map(|gate| {
            let gate = gate.clone();
            runtime.spawn(ledger.enter(async move { gate.passed().await }))
        })
        .collect();
    let outside = thread::spawn({
        let gates = gates[..3].to_vec();
        move || gates.iter().for_each(Gate::open)
    });
    runtime.block_on(async {
        let gates = gates[3..].to_vec();
        let inside = filch::spawn(ledger.enter(async move { gates.iter().for_each(Gate::open) }));
        for task in tasks {
            task.await.unwrap();
        }
        inside.await.unwrap();
    });
    outside.join().unwrap();
    let handle = runtime.handle();
    drop(runtime);
    assert_eq!(ledger.finished(), 7);
    ledger.assert_over();
    ledger.assert_agrees(&handle);
}

/// Pairs of tasks that wake each other, more than there are workers.
fn ping_pong() {
    const ROUNDS: usize = 3;
    let runtime = runtime(2);
    let ledger = Ledger::new();
    let mut tasks = Vec::new();
    for _ in 0..3 {
        let gates: Arc<Vec<Gate>> = Arc::new((0..2 * ROUNDS).map(|_| Gate::new()).collect());
        for side in 0..2 {
            let gates = Arc::clone(&gates);
            tasks.push(runtime.spawn(ledger.enter(async move {
                for round in 0..ROUNDS {
                    let (mine, other) = (2 * round, 2 * round + 1);
                    if side == 0 {
                        gates[mine].open();
                        gates[other].passed().await;
                    } else {
                        gates[mine].passed().await;
                        gates[other].open();
                    }
                }
            })));
        }
    }
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
    let handle = runtime.handle();
    drop(runtime);
    assert_eq!(ledger.finished(), 6);
    ledger.assert_agrees(&handle);
}

/// Tasks that are never out of work must not keep others from being found.
fn yields_beside_wakes() {
    let runtime = runtime(2);
    let ledger = Ledger::new();
    let gate = Gate::new();
    let busy: Vec<_> = (0..2)
        .map(|_| {
            let gate = gate.clone();
            runtime.spawn(ledger.enter(async move {
                let mut opened = false;
                while !opened {
                    opened =
                        std::future::poll_fn(|cx| std::task::Poll::Ready(gate.poll(cx).is_ready()))
                            .await;
                    filch::yield_now().await;
                    // (The explorer is not fair to threads that do not ask for it.)
                    thread::yield_now();
                }
            }))
        })
        .collect();
    let handle = runtime.handle();
    let opener = {
        let (ledger, gate) = (ledger.clone(), gate.clone());
        thread::spawn(move || {
            drop(handle.spawn(ledger.enter(async move { gate.open() })));
        })
    };
    runtime.block_on(async {
        for task in busy {
            task.await.unwrap();
        }
    });
    opener.join().unwrap();
    let handle = runtime.handle();
    drop(runtime);
    ledger.assert_over();
    ledger.assert_agrees(&handle);
}

/// Tasks that stay where they are, woken from outside and by each other. (That they do is checked by the runtime.)
fn local_tasks() {
    let runtime = runtime(2);
    let ledger = Ledger::new();
    let gates: Vec<_> = (0..4).map(|_| Gate::new()).collect();
    let tasks: Vec<_> = (0..4)
        .map(|i| {
            let (mine, ledger) = (gates[i].clone(), ledger.clone());
            let next = gates.get(i + 2).cloned();
            runtime.spawn_local(move || {
                ledger.enter(async move {
                    let here = std::rc::Rc::new(thread::current().id());
                    mine.passed().await;
                    filch::yield_now().await;
                    next.iter().for_each(Gate::open);
                    assert_eq!(*here, thread::current().id(), "it has moved");
                })
            })
        })
        .collect();
    let outside = thread::spawn({
        let gates = gates[..2].to_vec();
        move || gates.iter().for_each(Gate::open)
    });
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
    outside.join().unwrap();
    let handle = runtime.handle();
    drop(runtime);
    assert_eq!(ledger.finished(), 4);
    ledger.assert_over();
    ledger.assert_agrees(&handle);
}

/// Six workers: here a set has four, so there are several, and pushes from outside go to each in turn.
fn several_sets() {
    let runtime = runtime(6);
    let ledger = Ledger::new();
    let handle = runtime.handle();
    let outside = thread::spawn({
        let (handle, ledger) = (handle.clone(), ledger.clone());
        move || (0..5).map(|i| handle.spawn(ledger.enter(async move { i }))).collect::<Vec<_>>()
    });
    assert_eq!(runtime.block_on(tree(ledger.clone(), 2)), 4);
    let tasks = outside.join().unwrap();
    runtime.block_on(async {
        for (i, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.await.unwrap(), i);
        }
    });
    drop(runtime);
    assert_eq!((ledger.created(), ledger.finished()), (11, 11));
    ledger.assert_over();
    ledger.assert_agrees(&handle);
}

/// As many tasks as workers, each of which waits in its poll until all are polled: no worker sleeps beside work. (The
/// clock is a manual one, so no monitor helps.) They come from outside: what a task wakes may wait for its worker.
fn all_at_once() {
    const WORKERS: usize = 3;
    let runtime = runtime(WORKERS);
    let ledger = Ledger::new();
    let barrier = Arc::new(Barrier::new(WORKERS));
    let rounds = 1 + any(2);
    for _ in 0..rounds {
        let threads: Vec<_> = (0..WORKERS)
            .map(|_| {
                let (handle, ledger) = (runtime.handle(), ledger.clone());
                let barrier = Arc::clone(&barrier);
                thread::spawn(move || {
                    handle.spawn(ledger.enter(async move {
                        barrier.wait();
                    }))
                })
            })
            .collect();
        for thread in threads {
            runtime.block_on(thread.join().unwrap()).unwrap();
        }
    }
    let handle = runtime.handle();
    drop(runtime);
    assert_eq!(ledger.finished(), WORKERS * rounds);
    ledger.assert_agrees(&handle);
}

/// A task of one runtime waits for tasks of another, which ends first.
fn two_runtimes() {
    let (one, other) = (runtime(2), runtime(2));
    let ledgers = [Ledger::new(), Ledger::new()];
    let handle = other.handle();
    let task = one.spawn(ledgers[0].enter({
        let ledger = ledgers[1].clone();
        async move {
            let tasks: Vec<_> =
                (0..3).map(|i| handle.spawn(ledger.enter(async move { i }))).collect();
            let mut ended = 0;
            for task in tasks {
                ended += usize::from(task.await.is_ok());
            }
            ended
        }
    }));
    let is_kept = any(2) == 0;
    let kept = if is_kept { Some(other) } else { None };
    let ended = one.block_on(task).unwrap();
    assert!(!is_kept || ended == 3);
    let handle = one.handle();
    drop((one, kept));
    ledgers.iter().for_each(Ledger::assert_over);
    ledgers[0].assert_agrees(&handle);
}

/// Every second task panics, and every second one of those is joined.
fn panics() {
    let told = Arc::new(AtomicUsize::new(0));
    let hook = Arc::clone(&told);
    let runtime = crate::support::builder(2)
        .manual_clock(true)
        .on_unhandled_failure(move |_| {
            hook.fetch_add(1, Ordering::Relaxed);
        })
        .build()
        .unwrap();
    let ledger = Ledger::new();
    let mut tasks: Vec<_> = (0..4)
        .map(|i| {
            runtime.spawn(ledger.enter(async move {
                filch::yield_now().await;
                if i % 2 == 0 {
                    // (Not `panic!`: the explorer would print a schedule.)
                    std::panic::resume_unwind(Box::new("planned"));
                }
            }))
        })
        .collect();
    drop(tasks.remove(0));
    runtime.block_on(async {
        for (i, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.await.is_err_and(|error| error.is_panic()), i == 1);
        }
    });
    let handle = runtime.handle();
    drop(runtime);
    // The first may have been dropped before it could panic.
    assert_eq!(told.load(Ordering::Relaxed), ledger.panicked() - 1);
    ledger.assert_over();
    ledger.assert_agrees(&handle);
}

/// Several threads in `block_on`, one in another's, and a stray wake for a seat that has a new task.
fn roots() {
    let runtime = Arc::new(runtime(2));
    let gates: Vec<_> = (0..2).map(|_| Gate::new()).collect();
    let threads: Vec<_> = (0..2)
        .map(|i| {
            let (runtime, gates) = (Arc::clone(&runtime), gates.clone());
            thread::spawn(move || {
                runtime.block_on(async {
                    gates[i].open();
                    gates[1 - i].passed().await;
                });
                runtime.block_on(async {
                    let task = filch::spawn(async { filch::yield_now().await });
                    task.await.unwrap();
                });
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(runtime.handle().metrics().alive, 0);
}
