//! More and more timers, set by one task.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::Grows;
use super::tasks::{OFTEN, TIME};
use crate::contender::Serves;
use crate::usage::cpu_time;
use crate::workloads::scramble;

/// Beside so many timers others are set and cancelled, and so many are set that fire. Figures: time for one set and one cancel, far
/// ones and near ones; CPU time for one that is set and fires.
#[derive(Clone, Copy)]
pub(super) struct Timers;

/// Set and cancelled together.
const BATCH: usize = 1_000;

impl Grows for Timers {
    fn measure<C: Serves>(self, size: usize, workers: usize) -> Vec<f64> {
        let far = |index| Duration::from_micros(3_600_000_000 + scramble(index) % 3_600_000_000);
        let near = |index| Duration::from_micros(1_000_000 + scramble(index) % 9_000_000);
        let rt = C::new(workers);
        let far = rt.in_task(set_and_cancel::<C>(size, far));
        // (More would fire before all are set.)
        let near =
            if size <= 1_000_000 { rt.in_task(set_and_cancel::<C>(size, near)) } else { f64::NAN };
        vec![far, near, fire::<C>(&rt, size)]
    }
}

async fn set_and_cancel<C: Serves>(
    size: usize,
    duration: impl Fn(u64) -> Duration + Send + 'static,
) -> f64 {
    let there = set_all::<C, _>(size, |index| C::sleep(duration(index))).await;
    let start = Instant::now();
    let mut batches = 0;
    let mut others = Vec::with_capacity(BATCH);
    while start.elapsed() < TIME {
        let first = (size + batches * BATCH) as u64;
        others.extend((0..BATCH as u64).map(|index| Box::pin(C::sleep(duration(first + index)))));
        set(&mut others).await;
        others.clear();
        batches += 1;
    }
    let each = start.elapsed().as_nanos() as f64 / (batches * BATCH) as f64;
    let mut there = there;
    while !there.is_empty() {
        there.truncate(there.len().saturating_sub(BATCH));
        C::yield_now().await;
    }
    each
}

/// Sets so many, in batches: no poll is to be so long that somebody comes to help.
async fn set_all<C: Serves, F: Future>(size: usize, sleep: impl Fn(u64) -> F) -> Vec<Pin<Box<F>>> {
    let mut there = Vec::with_capacity(size);
    while there.len() < size {
        let first = there.len();
        let more = first..size.min(first + BATCH);
        there.extend(more.map(|index| Box::pin(sleep(index as u64))));
        set(&mut there[first..]).await;
        C::yield_now().await;
    }
    there
}

/// Polls each once: it is set from then on.
async fn set<F: Future>(sleeps: &mut [Pin<Box<F>>]) {
    poll_fn(|context| {
        for sleep in &mut *sleeps {
            let _ = sleep.as_mut().poll(context);
        }
        Poll::Ready(())
    })
    .await;
}

fn fire<C: Serves>(rt: &C, size: usize) -> f64 {
    let times = (OFTEN / size).max(1);
    let Some(before) = cpu_time() else { return f64::NAN };
    rt.in_task(async move {
        for _ in 0..times {
            let duration =
                |index| Duration::from_micros(size as u64 / 2 + scramble(index) % size as u64);
            let sleeps = set_all::<C, _>(size, |index| C::sleep(duration(index))).await;
            for sleep in sleeps {
                sleep.await;
            }
        }
    });
    let cpu = cpu_time().and_then(|after| after.checked_sub(before));
    cpu.map_or(f64::NAN, |cpu| cpu.as_nanos() as f64 / (times * size) as f64)
}
