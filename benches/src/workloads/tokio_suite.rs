//! The multi-thread suite that tokio measures itself with (its `benches/rt_multi_threaded.rs`): the same structure and sizes, written
//! anew. What differs: the number of workers is the plan's (theirs is 4), and
//! the tasks that keep a runtime busy live for a round only, or they would take the CPU from the other contenders.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::contender::Contender;
use crate::workload::{Plan, Sample, Workload, time_per_op};

/// Many tasks from `block_on`; the last one to count down reports.
#[derive(Clone, Copy)]
pub(super) struct SpawnManyLocal;

impl Workload for SpawnManyLocal {
    fn batch(self, plan: Plan) -> usize {
        plan.size(10_000, 50)
    }

    fn start<C: Contender>(self, plan: Plan) -> impl FnMut() -> Sample + 'static {
        let rt = C::new(plan.workers);
        let tasks = self.batch(plan);
        let remaining = Arc::new(AtomicUsize::new(0));
        let (done, all_done) = mpsc::sync_channel(1);
        move || {
            time_per_op(plan, || {
                remaining.store(tasks, Relaxed);
                rt.block_on(async {
                    for _ in 0..tasks {
                        let remaining = remaining.clone();
                        let done = done.clone();
                        C::detach(C::spawn(async move {
                            if remaining.fetch_sub(1, Relaxed) == 1 {
                                done.send(()).unwrap();
                            }
                        }));
                    }
                    all_done.recv().unwrap();
                });
                tasks - remaining.load(Relaxed)
            })
        }
    }
}

/// Many empty tasks from a thread outside, which then joins them.
#[derive(Clone, Copy)]
pub(super) enum SpawnManyRemote {
    Idle,
    /// Beside tasks that yield: what is spawned is more urgent than they are.
    BesideYielders,
    /// Beside tasks that spawn: a runtime which prefers what its workers spawn lets the others starve.
    BesideSpawners,
}

impl Workload for SpawnManyRemote {
    fn batch(self, plan: Plan) -> usize {
        match self {
            SpawnManyRemote::BesideSpawners => plan.size(1_000, 50),
            _ => plan.size(10_000, 50),
        }
    }

    fn start<C: Contender>(self, plan: Plan) -> impl FnMut() -> Sample + 'static {
        let rt = C::new(plan.workers);
        let tasks = self.batch(plan);
        let mut handles = Vec::with_capacity(tasks);
        move || {
            let load = match self {
                SpawnManyRemote::Idle => None,
                SpawnManyRemote::BesideYielders => Some(Load::of_yielders(&rt, 2 * plan.workers)),
                SpawnManyRemote::BesideSpawners => Some(Load::of_spawners(&rt, plan.workers)),
            };
            let sample = time_per_op(plan, || {
                for _ in 0..tasks {
                    handles.push(rt.spawn_remote(async {}));
                }
                rt.block_on(async {
                    let mut joined = 0;
                    for handle in handles.drain(..) {
                        C::join(handle).await;
                        joined += 1;
                    }
                    joined
                })
            });
            if let Some(load) = load {
                load.stop();
            }
            sample
        }
    }
}

/// Tasks that keep the workers busy until they are told to stop.
struct Load {
    on: Arc<AtomicBool>,
    /// Closed when the last of them is gone.
    all_gone: Receiver<()>,
}

/// What each of these tasks holds.
#[derive(Clone)]
struct Share {
    on: Arc<AtomicBool>,
    running: SyncSender<()>,
}

impl Load {
    fn of_yielders<C: Contender>(rt: &C, tasks: usize) -> Load {
        Load::start(tasks, |share| {
            C::detach(rt.spawn_remote(async move {
                share.running.send(()).unwrap();
                while share.on.load(Relaxed) {
                    C::yield_now().await;
                    compute_10_micros();
                }
            }));
        })
    }

    fn of_spawners<C: Contender>(rt: &C, chains: usize) -> Load {
        fn next<C: Contender>(share: Share) {
            C::detach(C::spawn(async move {
                if share.on.load(Relaxed) {
                    compute_10_micros();
                    next::<C>(share);
                }
            }));
        }
        Load::start(chains, |share| {
            C::detach(rt.spawn_remote(async move {
                share.running.send(()).unwrap();
                next::<C>(share);
            }));
        })
    }

    /// Comes back when all of them run.
    fn start(tasks: usize, spawn: impl Fn(Share)) -> Load {
        let (running, all_gone) = mpsc::sync_channel(tasks);
        let on = Arc::new(AtomicBool::new(true));
        for _ in 0..tasks {
            spawn(Share { on: on.clone(), running: running.clone() });
        }
        for _ in 0..tasks {
            all_gone.recv().unwrap();
        }
        Load { on, all_gone }
    }

    fn stop(self) {
        self.on.store(false, Relaxed);
        assert!(self.all_gone.recv().is_err(), "nobody says anything, all leave");
    }
}

fn compute_10_micros() {
    let start = Instant::now();
    while start.elapsed() < Duration::from_micros(10) {
        thread::yield_now();
    }
}

/// Many tasks that do nothing but yield.
#[derive(Clone, Copy)]
pub(super) struct YieldMany;

impl Workload for YieldMany {
    fn batch(self, plan: Plan) -> usize {
        YieldMany::tasks(plan) * YieldMany::yields_each(plan)
    }

    fn start<C: Contender>(self, plan: Plan) -> impl FnMut() -> Sample + 'static {
        let rt = C::new(plan.workers);
        let tasks = YieldMany::tasks(plan);
        let yields = YieldMany::yields_each(plan);
        let (done, all_done) = mpsc::sync_channel(tasks);
        move || {
            time_per_op(plan, || {
                for _ in 0..tasks {
                    let done = done.clone();
                    C::detach(rt.spawn_remote(async move {
                        let mut yielded = 0;
                        for _ in 0..yields {
                            C::yield_now().await;
                            yielded += 1;
                        }
                        done.send(yielded).unwrap();
                    }));
                }
                all_done.iter().take(tasks).sum()
            })
        }
    }
}

impl YieldMany {
    fn tasks(plan: Plan) -> usize {
        plan.size(200, 5)
    }

    fn yields_each(plan: Plan) -> usize {
        plan.size(1_000, 10)
    }
}

/// Many pairs of tasks that send each other one message.
#[derive(Clone, Copy)]
pub(super) struct PingPong {
    pub(super) pairs: usize,
}

impl Workload for PingPong {
    fn batch(self, plan: Plan) -> usize {
        plan.size(self.pairs, 20)
    }

    fn start<C: Contender>(self, plan: Plan) -> impl FnMut() -> Sample + 'static {
        let rt = C::new(plan.workers);
        let pairs = self.batch(plan);
        let remaining = Arc::new(AtomicUsize::new(0));
        let (done, all_done) = mpsc::sync_channel(1);
        move || {
            time_per_op(plan, || {
                remaining.store(pairs, Relaxed);
                let counter = remaining.clone();
                let done = done.clone();
                rt.block_on(async {
                    C::detach(C::spawn(async move {
                        for _ in 0..pairs {
                            let counter = counter.clone();
                            let done = done.clone();
                            C::detach(C::spawn(async move {
                                let (ping, pinged) = oneshot::channel();
                                let (pong, ponged) = oneshot::channel();
                                C::detach(C::spawn(async move {
                                    pinged.await.unwrap();
                                    pong.send(()).unwrap();
                                }));
                                ping.send(()).unwrap();
                                ponged.await.unwrap();
                                if counter.fetch_sub(1, Relaxed) == 1 {
                                    done.send(()).unwrap();
                                }
                            }));
                        }
                    }));
                    all_done.recv().unwrap();
                });
                pairs - remaining.load(Relaxed)
            })
        }
    }
}

/// One task after the other, each spawned by the one before.
#[derive(Clone, Copy)]
pub(super) struct ChainedSpawn {
    pub(super) links: usize,
}

impl Workload for ChainedSpawn {
    fn batch(self, plan: Plan) -> usize {
        plan.size(self.links, 20)
    }

    fn start<C: Contender>(self, plan: Plan) -> impl FnMut() -> Sample + 'static {
        fn link<C: Contender>(done: SyncSender<usize>, length: usize, of: usize) {
            if length == of {
                done.send(length).unwrap();
            } else {
                C::detach(C::spawn(async move { link::<C>(done, length + 1, of) }));
            }
        }
        let rt = C::new(plan.workers);
        let tasks = self.batch(plan);
        let (done, all_done) = mpsc::sync_channel(1);
        move || {
            time_per_op(plan, || {
                let done = done.clone();
                rt.block_on(async {
                    C::detach(C::spawn(async move { link::<C>(done, 0, tasks) }));
                    all_done.recv().unwrap()
                })
            })
        }
    }
}
