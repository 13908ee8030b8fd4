//! Timers that never fire, that all fire, and that fire now and then.

use std::future::Future;
use std::hint;
use std::time::{Duration, Instant};

use futures_lite::future::yield_now;

use crate::contender::Contender;
use crate::stats::{percentile, tail};
use crate::usage::cpu_time;
use crate::workload::{Plan, Sample, Workload, time_per_op};

/// The usual fate of a timeout: set, then dropped. The yield is the same for all contenders: it wakes itself and is ready next time.
#[derive(Clone, Copy)]
pub(super) struct TimeoutAroundYield;

impl Workload for TimeoutAroundYield {
    fn batch(self, plan: Plan) -> usize {
        plan.size(10_000, 50)
    }

    fn start<C: Contender>(self, plan: Plan) -> impl FnMut() -> Sample + 'static {
        timeouts_around::<C, _>(plan, self.batch(plan), yield_now)
    }
}

/// The same, with somebody inside who would clean up: the timeout would wait for that.
#[derive(Clone, Copy)]
pub(super) struct TimeoutAroundCatch;

impl Workload for TimeoutAroundCatch {
    fn batch(self, plan: Plan) -> usize {
        plan.size(10_000, 50)
    }

    fn start<C: Contender>(self, plan: Plan) -> impl FnMut() -> Sample + 'static {
        timeouts_around::<C, _>(plan, self.batch(plan), || C::catching(yield_now()))
    }
}

/// One timeout after the other, in one task.
fn timeouts_around<C: Contender, F>(
    plan: Plan,
    timeouts: usize,
    inside: impl Fn() -> F + Copy + Send + 'static,
) -> impl FnMut() -> Sample + 'static
where
    F: Future<Output: Send> + Send + 'static,
{
    let rt = C::new(plan.workers);
    move || {
        time_per_op(plan, || {
            rt.in_task(async move {
                let mut in_time = 0;
                for _ in 0..timeouts {
                    C::timeout(Duration::from_secs(3600), inside()).await.unwrap();
                    in_time += 1;
                }
                in_time
            })
        })
    }
}

/// tokio's `benches/time_timeout.rs`: as many tasks as workers, each sets one timeout after the other around what is ready at once; or
/// makes sleeps that nobody ever awaits.
#[derive(Clone, Copy)]
pub(super) enum TimeTimeout {
    Ready,
    SleepDropped,
}

impl Workload for TimeTimeout {
    fn batch(self, plan: Plan) -> usize {
        plan.workers * plan.size(10_000, 50)
    }

    fn start<C: Contender>(self, plan: Plan) -> impl FnMut() -> Sample + 'static {
        let rt = C::new(plan.workers);
        let each = plan.size(10_000, 50);
        let second = Duration::from_secs(1);
        move || {
            time_per_op(plan, || {
                rt.block_on(async {
                    let task = || async move {
                        let mut done = 0;
                        for _ in 0..each {
                            match self {
                                TimeTimeout::Ready => {
                                    done += C::timeout(second, async { 1 }).await.unwrap();
                                }
                                TimeTimeout::SleepDropped => {
                                    drop(hint::black_box(C::sleep(second)));
                                    done += 1;
                                }
                            }
                        }
                        done
                    };
                    let tasks: Vec<_> = (0..plan.workers).map(|_| C::spawn(task())).collect();
                    let mut done = 0;
                    for task in tasks {
                        done += C::join(task).await;
                    }
                    done
                })
            })
        }
    }
}

/// Many tasks, one sleep each, all at once: more than the workers can serve in time, so the lateness tells how quickly they catch up.
/// Figures: CPU time per sleep, median lateness.
#[derive(Clone, Copy)]
pub(super) struct ManySleeps;

impl Workload for ManySleeps {
    fn batch(self, plan: Plan) -> usize {
        plan.size(100_000, 20)
    }

    fn start<C: Contender>(self, plan: Plan) -> impl FnMut() -> Sample + 'static {
        let rt = C::new(plan.workers);
        let tasks = self.batch(plan);
        let waves = plan.size(5, 1);
        move || {
            // One wave varies a lot.
            let mut all = Run::none();
            for _ in 0..waves {
                all.add(Run::of(&rt, tasks, |task| async move {
                    let micros = 1_000 + scramble(task as u64) % 49_000;
                    [late_sleep::<C>(Duration::from_micros(micros)).await]
                }));
            }
            let figures = vec![all.cpu_ns_per_sleep(), percentile(&all.lateness_ns, 50.0)];
            Sample::new(all.lateness_ns.len(), figures).with_tail(tail(&all.lateness_ns))
        }
    }
}

/// Tasks that sleep again and again and, if they are to, compute after each sleep. Figures: median and 99th percentile of the
/// lateness, CPU time per sleep.
#[derive(Clone, Copy)]
pub(super) struct LightLoad {
    pub(super) tasks: usize,
    /// Of each task.
    pub(super) sleeps: usize,
    /// The sleeps are 1 to 20 ms times this.
    pub(super) stretch: u64,
    pub(super) compute: Duration,
}

impl Workload for LightLoad {
    fn batch(self, plan: Plan) -> usize {
        let load = self.sized(plan);
        load.tasks * load.sleeps
    }

    fn start<C: Contender>(self, plan: Plan) -> impl FnMut() -> Sample + 'static {
        let rt = C::new(plan.workers);
        let load = self.sized(plan);
        // Threads start, pages are touched.
        LightLoad { sleeps: 1, ..load }.run(&rt);
        move || {
            let run = load.run(&rt);
            let figures = vec![
                percentile(&run.lateness_ns, 50.0),
                percentile(&run.lateness_ns, 99.0),
                run.cpu_ns_per_sleep(),
            ];
            Sample::new(run.lateness_ns.len(), figures).with_tail(tail(&run.lateness_ns))
        }
    }
}

impl LightLoad {
    fn sized(self, plan: Plan) -> LightLoad {
        if plan.quick { LightLoad { tasks: 5, sleeps: 2, stretch: 1, ..self } } else { self }
    }

    fn run<C: Contender>(self, rt: &C) -> Run {
        Run::of(rt, self.tasks, move |task| async move {
            let mut lateness = Vec::with_capacity(self.sleeps);
            for sleep in 0..self.sleeps {
                let chance = scramble((task * self.sleeps + sleep) as u64);
                let micros = (1_000 + chance % 19_000) * self.stretch;
                lateness.push(late_sleep::<C>(Duration::from_micros(micros)).await);
                compute(self.compute);
            }
            lateness
        })
    }
}

/// What many sleeps came to.
struct Run {
    lateness_ns: Vec<f64>,
    /// Of the whole process, from the first spawn to the last join.
    cpu: Option<Duration>,
}

impl Run {
    fn none() -> Run {
        Run { lateness_ns: Vec::new(), cpu: Some(Duration::ZERO) }
    }

    fn add(&mut self, other: Run) {
        self.lateness_ns.extend(other.lateness_ns);
        self.cpu = self.cpu.zip(other.cpu).map(|(cpu, more)| cpu + more);
    }

    /// A task on `rt` spawns `tasks` others, which tell how late their sleeps were, and joins them.
    fn of<C, F, L>(rt: &C, tasks: usize, task: impl Fn(usize) -> F + Send + 'static) -> Run
    where
        C: Contender,
        F: Future<Output = L> + Send + 'static,
        L: IntoIterator<Item = Duration> + Send + 'static,
    {
        let before = cpu_time();
        let lateness_ns = rt.in_task(async move {
            let handles: Vec<_> = (0..tasks).map(|index| C::spawn(task(index))).collect();
            let mut lateness_ns = Vec::new();
            for handle in handles {
                let lateness = C::join(handle).await;
                lateness_ns.extend(lateness.into_iter().map(|late| late.as_nanos() as f64));
            }
            lateness_ns
        });
        let cpu = before.and_then(|before| cpu_time()?.checked_sub(before));
        Run { lateness_ns, cpu }
    }

    fn cpu_ns_per_sleep(&self) -> f64 {
        match self.cpu {
            Some(cpu) => cpu.as_nanos() as f64 / self.lateness_ns.len() as f64,
            None => f64::NAN,
        }
    }
}

/// Sleeps and tells how much longer than `duration` that took.
async fn late_sleep<C: Contender>(duration: Duration) -> Duration {
    let deadline = Instant::now() + duration;
    C::sleep(duration).await;
    let now = Instant::now();
    assert!(now >= deadline, "{} wakes {:?} early", C::NAME, deadline - now);
    now - deadline
}

/// Keeps a core busy.
fn compute(duration: Duration) {
    let start = Instant::now();
    while start.elapsed() < duration {
        hint::spin_loop();
    }
}

/// The same numbers for every contender, in every round, and no pattern in them (the mixer of splitmix64).
pub(crate) fn scramble(index: u64) -> u64 {
    let mut mixed = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeps_are_spread_evenly() {
        let micros = |index| 1_000 + scramble(index) % 19_000;
        let mean = (0..20_000).map(micros).sum::<u64>() / 20_000;
        assert!((10_300..10_700).contains(&mean), "{mean}");
        assert!((0..20_000).all(|index| (1_000..20_000).contains(&micros(index))));
    }
}
