//! What it costs to start a task: in bulk, one at a time, and while everything sleeps.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::contender::Contender;
use crate::stats::{median, tail};
use crate::workload::{Plan, Sample, Workload, time_per_op};

/// A task spawns many, then joins them.
#[derive(Clone, Copy)]
pub(super) struct SpawnJoinMany;

impl Workload for SpawnJoinMany {
    fn batch(self, plan: Plan) -> usize {
        plan.size(10_000, 50)
    }

    fn start<C: Contender>(self, plan: Plan) -> impl FnMut() -> Sample + 'static {
        let rt = C::new(plan.workers);
        let tasks = self.batch(plan);
        move || {
            time_per_op(plan, || {
                rt.in_task(async move {
                    let handles: Vec<_> = (0..tasks).map(|_| C::spawn(async {})).collect();
                    let mut joined = 0;
                    for handle in handles {
                        C::join(handle).await;
                        joined += 1;
                    }
                    joined
                })
            })
        }
    }
}

/// A task spawns one and awaits it before it spawns the next.
#[derive(Clone, Copy)]
pub(super) struct SpawnAwaitOne;

impl Workload for SpawnAwaitOne {
    fn batch(self, plan: Plan) -> usize {
        plan.size(10_000, 50)
    }

    fn start<C: Contender>(self, plan: Plan) -> impl FnMut() -> Sample + 'static {
        let rt = C::new(plan.workers);
        let tasks = self.batch(plan);
        move || {
            time_per_op(plan, || {
                rt.in_task(async move {
                    let mut joined = 0;
                    for _ in 0..tasks {
                        C::join(C::spawn(async {})).await;
                        joined += 1;
                    }
                    joined
                })
            })
        }
    }
}

/// A task runs a group of so many that yield once.
#[derive(Clone, Copy)]
pub(super) struct Group {
    pub(super) children: usize,
}

impl Workload for Group {
    fn batch(self, plan: Plan) -> usize {
        plan.size(self.children, 50)
    }

    fn start<C: Contender>(self, plan: Plan) -> impl FnMut() -> Sample + 'static {
        let rt = C::new(plan.workers);
        let children = self.batch(plan);
        move || time_per_op(plan, || rt.in_task(C::group(children, |_| C::yield_now())))
    }
}

/// Every worker is parked; how long until a task's first line runs?
#[derive(Clone, Copy)]
pub(super) struct IdleWake;

impl Workload for IdleWake {
    fn batch(self, plan: Plan) -> usize {
        plan.size(500, 5)
    }

    fn start<C: Contender>(self, plan: Plan) -> impl FnMut() -> Sample + 'static {
        let rt = C::new(plan.workers);
        let wakes = self.batch(plan);
        let (running, runs) = mpsc::sync_channel(1);
        move || {
            let mut latencies_ns = Vec::with_capacity(wakes);
            for _ in 0..wakes {
                thread::sleep(Duration::from_micros(200));
                let running = running.clone();
                let start = Instant::now();
                C::detach(rt.spawn_remote(async move {
                    running.send(start.elapsed()).unwrap();
                }));
                latencies_ns.push(runs.recv().unwrap().as_nanos() as f64);
            }
            Sample::new(latencies_ns.len(), vec![median(&latencies_ns)])
                .with_tail(tail(&latencies_ns))
        }
    }
}
