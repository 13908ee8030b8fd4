//! More and more tasks: empty ones, sleeping ones, waiting ones.

use std::future;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use super::Grows;
use crate::contender::Serves;
use crate::usage::{resident_now, resident_peak};

/// A point is measured for at least so long.
pub(super) const TIME: Duration = Duration::from_millis(150);
/// What few things cost is seen if they are done so often.
pub(super) const OFTEN: usize = 10_000;
/// Memory is counted in pages: fewer tell nothing.
const ENOUGH_FOR_MEMORY: usize = 10_000;

/// Repeats `batch` of `ops` operations for [`TIME`], after one that does not count unless it is long; nanoseconds for each.
pub(super) fn time_each(ops: usize, mut batch: impl FnMut()) -> f64 {
    let start = Instant::now();
    batch();
    let first = start.elapsed();
    if first > TIME {
        return first.as_nanos() as f64 / ops as f64;
    }
    let start = Instant::now();
    let mut batches = 0;
    while start.elapsed() < TIME {
        batch();
        batches += 1;
    }
    start.elapsed().as_nanos() as f64 / (batches * ops) as f64
}

/// A task spawns so many, then joins them.
#[derive(Clone, Copy)]
pub(super) struct SpawnJoin;

impl Grows for SpawnJoin {
    fn measure<C: Serves>(self, size: usize, workers: usize) -> Vec<f64> {
        let rt = C::new(workers);
        let times = (OFTEN / size).max(1);
        let each = time_each(size * times, || {
            rt.in_task(async move {
                let mut handles = Vec::with_capacity(size);
                for _ in 0..times {
                    handles.extend((0..size).map(|_| C::spawn(async {})));
                    for handle in handles.drain(..) {
                        C::join(handle).await;
                    }
                }
            });
        });
        vec![each]
    }
}

/// Tasks that wait. Static, as a pointer to it would make each task larger.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Held by each of them; takes no room.
struct Counted;

impl Counted {
    fn new() -> Counted {
        WAITING.fetch_add(1, SeqCst);
        Counted
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, SeqCst);
    }
}

fn wait_until_waiting(tasks: usize) {
    while WAITING.load(SeqCst) != tasks {
        thread::sleep(Duration::from_micros(50));
    }
}

/// So many tasks in a sleep of an hour. Figures: memory, time to get there, time to cancel them.
#[derive(Clone, Copy)]
pub(super) struct Sleeping;

impl Grows for Sleeping {
    fn measure<C: Serves>(self, size: usize, workers: usize) -> Vec<f64> {
        let rt = C::new(workers);
        rt.in_task(async {});
        let mut handles = Vec::with_capacity(size);
        let before = resident_now();
        let start = Instant::now();
        rt.block_on(async {
            handles.extend((0..size).map(|_| {
                C::spawn(async {
                    let _counted = Counted::new();
                    C::sleep(Duration::from_secs(3600)).await;
                })
            }));
        });
        wait_until_waiting(size);
        let started = start.elapsed();
        let peak = resident_peak();
        let start = Instant::now();
        handles.into_iter().for_each(C::cancel);
        wait_until_waiting(0);
        let cancelled = start.elapsed();
        let each = |time: Duration| time.as_nanos() as f64 / size as f64;
        let memory = match (before, peak) {
            (Some(before), Some(peak)) if size >= ENOUGH_FOR_MEMORY => {
                peak.saturating_sub(before) as f64 / size as f64
            }
            _ => f64::NAN,
        };
        vec![memory, each(started), each(cancelled)]
    }
}

/// Beside so many tasks that wait, one more comes and goes; then the runtime ends. Figures: time for each.
#[derive(Clone, Copy)]
pub(super) struct Waiting;

impl Grows for Waiting {
    fn measure<C: Serves>(self, size: usize, workers: usize) -> Vec<f64> {
        let rt = C::new(workers);
        rt.block_on(async {
            for _ in 0..size {
                C::detach(C::spawn(async {
                    let _counted = Counted::new();
                    future::pending::<()>().await;
                }));
            }
        });
        wait_until_waiting(size);
        let one_more = time_each(OFTEN, || {
            rt.in_task(async {
                for _ in 0..OFTEN {
                    let (wake, woken) = async_channel::bounded(1);
                    let task = C::spawn(async move { woken.recv().await.unwrap() });
                    // It runs, and waits.
                    C::yield_now().await;
                    wake.send(()).await.unwrap();
                    C::join(task).await;
                }
            });
        });
        let start = Instant::now();
        drop(rt);
        let end = start.elapsed();
        assert_eq!(WAITING.load(SeqCst), 0, "{} forgets tasks", C::NAME);
        let end = if size >= 1_000 { end.as_nanos() as f64 / size as f64 } else { f64::NAN };
        vec![one_more, end]
    }
}
