//! What async-executor measures itself with (its `benches/executor.rs`): the same structure and sizes, written anew; with one worker,
//! and with as many as the plan says (theirs: as many as there are cores).

use std::future::Future;
use std::pin::Pin;

use crate::contender::Contender;
use crate::workload::{Plan, Sample, Workload, time_per_op};

/// Tasks, and steps of each.
const TASKS: usize = 300;
const STEPS: usize = 300;
const LIGHT_TASKS: usize = 25_000;

#[derive(Clone, Copy)]
pub(super) struct OfSmol {
    pub(super) what: What,
    /// One worker, whatever the plan says.
    pub(super) alone: bool,
}

#[derive(Clone, Copy)]
pub(super) enum What {
    /// From `block_on`, and awaited there: two threads wake each other.
    SpawnOne,
    /// Many from `block_on`, then all are awaited there.
    SpawnMany,
    /// Each task spawns the next and awaits it.
    SpawnRecursively,
    YieldNow,
}

impl Workload for OfSmol {
    fn batch(self, plan: Plan) -> usize {
        match self.what {
            What::SpawnOne => plan.size(1_000, 5),
            What::SpawnMany => plan.size(LIGHT_TASKS, 50),
            What::SpawnRecursively => plan.size(TASKS * (STEPS + 1), 5 * 5),
            What::YieldNow => plan.size(TASKS * STEPS, 5 * 4),
        }
    }

    fn start<C: Contender>(self, plan: Plan) -> impl FnMut() -> Sample + 'static {
        let rt = C::new(if self.alone { 1 } else { plan.workers });
        let tasks = plan.size(TASKS, 5);
        let steps = plan.size(STEPS, 4);
        move || {
            time_per_op(plan, || match self.what {
                What::SpawnOne => (0..self.batch(plan))
                    .map(|_| rt.block_on(async { C::join(C::spawn(async { 1 })).await }))
                    .sum(),
                What::SpawnMany => all::<C, _>(&rt, self.batch(plan), || async { 1 }),
                What::SpawnRecursively => all::<C, _>(&rt, tasks, || deeper::<C>(steps)),
                What::YieldNow => all::<C, _>(&rt, tasks, || async move {
                    for _ in 0..steps {
                        C::yield_now().await;
                    }
                    steps
                }),
            })
        }
    }
}

/// The sum of what so many tasks have done.
fn all<C: Contender, F>(rt: &C, tasks: usize, task: impl Fn() -> F) -> usize
where
    F: Future<Output = usize> + Send + 'static,
{
    rt.block_on(async {
        let handles: Vec<_> = (0..tasks).map(|_| C::spawn(task())).collect();
        let mut done = 0;
        for handle in handles {
            done += C::join(handle).await;
        }
        done
    })
}

/// How many tasks there were, this one included.
fn deeper<C: Contender>(steps: usize) -> Pin<Box<dyn Future<Output = usize> + Send>> {
    Box::pin(async move {
        match steps {
            0 => 1,
            _ => 1 + C::join(C::spawn(deeper::<C>(steps - 1))).await,
        }
    })
}
