//! The pool for calls that block: how it is entered from many threads at once.

use std::thread;

use crate::contender::Contender;
use crate::workload::{Plan, Sample, Workload, time_per_op};

const BATCH: usize = 16;

#[derive(Clone, Copy)]
pub(super) struct SpawnBlocking {
    pub(super) threads: usize,
}

impl SpawnBlocking {
    fn rounds_each(plan: Plan) -> usize {
        plan.size(10, 1)
    }
}

impl Workload for SpawnBlocking {
    fn batch(self, plan: Plan) -> usize {
        self.threads * SpawnBlocking::rounds_each(plan) * BATCH
    }

    fn start<C: Contender>(self, plan: Plan) -> impl FnMut() -> Sample + 'static {
        let rt = C::new(plan.workers);
        move || {
            let call_all = || {
                rt.block_on(async {
                    let mut answered = 0;
                    for _ in 0..SpawnBlocking::rounds_each(plan) {
                        let calls: Vec<_> = (0..BATCH).map(|_| C::spawn_blocking(|| 1)).collect();
                        for call in calls {
                            answered += call.await;
                        }
                    }
                    answered
                })
            };
            time_per_op(plan, || {
                thread::scope(|scope| {
                    let callers: Vec<_> =
                        (0..self.threads).map(|_| scope.spawn(call_all)).collect();
                    callers.into_iter().map(|caller| caller.join().unwrap()).sum()
                })
            })
        }
    }
}

/// The same from inside: as many tasks as there are workers (the shape of tokio's `benches/spawn_blocking.rs`).
#[derive(Clone, Copy)]
pub(super) struct SpawnBlockingInside;

impl SpawnBlockingInside {
    fn rounds_each(plan: Plan) -> usize {
        plan.size(100, 1)
    }
}

impl Workload for SpawnBlockingInside {
    fn batch(self, plan: Plan) -> usize {
        plan.workers * SpawnBlockingInside::rounds_each(plan) * BATCH
    }

    fn start<C: Contender>(self, plan: Plan) -> impl FnMut() -> Sample + 'static {
        let rt = C::new(plan.workers);
        let rounds = SpawnBlockingInside::rounds_each(plan);
        move || {
            time_per_op(plan, || {
                rt.block_on(async {
                    let call_all = || async move {
                        let mut answered = 0;
                        for _ in 0..rounds {
                            let calls: Vec<_> =
                                (0..BATCH).map(|_| C::spawn_blocking(|| 1)).collect();
                            for call in calls {
                                answered += call.await;
                            }
                        }
                        answered
                    };
                    let callers: Vec<_> = (0..plan.workers).map(|_| C::spawn(call_all())).collect();
                    let mut answered = 0;
                    for caller in callers {
                        answered += C::join(caller).await;
                    }
                    answered
                })
            })
        }
    }
}
