//! A million tasks that only wait: what a task costs when nothing runs.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use crate::contender::Contender;
use crate::usage::{resident_now, resident_peak};
use crate::workload::{Plan, Sample, Workload};

/// Figures: peak memory per task, memory that is left per task when all are gone. The handles are kept in a `Vec`, 8 bytes each.
#[derive(Clone, Copy)]
pub(super) struct SleepingTasks;

/// Tasks that sleep. Static, as a pointer to it would make each task larger.
static ASLEEP: AtomicUsize = AtomicUsize::new(0);

/// Held by each of them; takes no room.
struct Asleep;

impl Asleep {
    fn new() -> Asleep {
        ASLEEP.fetch_add(1, SeqCst);
        Asleep
    }
}

impl Drop for Asleep {
    fn drop(&mut self) {
        ASLEEP.fetch_sub(1, SeqCst);
    }
}

impl Workload for SleepingTasks {
    fn batch(self, plan: Plan) -> usize {
        plan.size(1_000_000, 50)
    }

    fn start<C: Contender>(self, plan: Plan) -> impl FnMut() -> Sample + 'static {
        let rt = C::new(plan.workers);
        let tasks = self.batch(plan);
        // A runtime may put off its bookkeeping; what it comes to belongs to the figure.
        let settle = move || {
            if !plan.quick {
                thread::sleep(Duration::from_millis(1_200));
            }
        };
        rt.in_task(async {});
        move || {
            let mut handles = Vec::with_capacity(tasks);
            let before = resident_now();
            rt.block_on(async {
                for _ in 0..tasks {
                    handles.push(C::spawn(async {
                        let _asleep = Asleep::new();
                        C::sleep(Duration::from_secs(3600)).await;
                    }));
                }
            });
            wait_until_asleep(tasks);
            settle();
            let ops = ASLEEP.load(SeqCst);
            let peak = resident_peak();

            handles.into_iter().for_each(C::cancel);
            wait_until_asleep(0);
            settle();
            let after = resident_now();

            let per_task = |bytes: Option<u64>| match (bytes, before) {
                (Some(bytes), Some(before)) => bytes.saturating_sub(before) as f64 / tasks as f64,
                _ => f64::NAN,
            };
            Sample::new(ops, vec![per_task(peak), per_task(after)])
        }
    }
}

fn wait_until_asleep(tasks: usize) {
    while ASLEEP.load(SeqCst) != tasks {
        thread::sleep(Duration::from_millis(1));
    }
}
