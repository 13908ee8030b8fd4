//! Threads outside the runtime that spawn at the same time, as in tokio's `benches/remote_spawn.rs`: how its entrance bears contention.

use std::sync::Barrier;
use std::thread;

use crate::contender::Contender;
use crate::workload::{Plan, Sample, Workload, time_per_op};

#[derive(Clone, Copy)]
pub(super) struct RemoteSpawn {
    pub(super) threads: usize,
}

impl Workload for RemoteSpawn {
    fn batch(self, plan: Plan) -> usize {
        plan.size(12_800, 64)
    }

    fn start<C: Contender>(self, plan: Plan) -> impl FnMut() -> Sample + 'static {
        let rt = C::new(plan.workers);
        let tasks_each = self.batch(plan) / self.threads;
        move || {
            time_per_op(plan, || {
                let together = Barrier::new(self.threads);
                let spawn_all = || {
                    let mut handles = Vec::with_capacity(tasks_each);
                    together.wait();
                    for _ in 0..tasks_each {
                        handles.push(rt.spawn_remote(async {}));
                    }
                    handles
                };
                let handles: Vec<_> = thread::scope(|scope| {
                    let spawners: Vec<_> =
                        (0..self.threads).map(|_| scope.spawn(spawn_all)).collect();
                    spawners.into_iter().flat_map(|spawner| spawner.join().unwrap()).collect()
                });
                rt.block_on(async {
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
