//! Sleeps and timeouts in great numbers. Most timeouts never fire, as in real life; some sleeps are dropped, some moved.

use std::future::pending;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fastrand::Rng;
use filch::{JoinHandle, timeout, timeout_scope, yield_now};

use super::chosen;
use crate::world::Crew;

pub(crate) async fn round(crew: Crew, mut rng: Rng) {
    // The first epochs are to show how much memory there can be.
    if crew.world.is_warming_up.load(Ordering::Relaxed) {
        return crowd(&crew, &mut rng, 100_000).await;
    }
    match rng.u32(0..10) {
        0 => crowd(&crew, &mut rng, 100_000).await,
        1..4 => crowd(&crew, &mut rng, 20_000).await,
        4..6 => never_fire(&crew, &mut rng).await,
        6 => moved(&crew, &mut rng).await,
        7 => ticks(&crew, &mut rng).await,
        _ => few(&crew, &mut rng).await,
    }
}

/// Many at once, of all lengths, some cut short.
async fn crowd(crew: &Crew, rng: &mut Rng, count: usize) {
    crew.step("a crowd goes to sleep");
    let longest = rng.u64(1..3000);
    let mut sleepers: Vec<JoinHandle<()>> = Vec::with_capacity(count);
    for i in 0..count {
        let time = Duration::from_micros(rng.u64(0..longest * 1000));
        let world = crew.world;
        sleepers.push(filch::spawn(crew.ledger.enter(async move { world.nap(time).await })));
        if i % 256 == 0 {
            yield_now().await;
        }
    }
    let mut cut = 0;
    for sleeper in chosen(&sleepers, rng, 8) {
        cut += usize::from(if rng.bool() { sleeper.cancel() } else { sleeper.abort() });
    }
    crew.step("a crowd wakes up");
    let mut slept = 0;
    for sleeper in sleepers {
        slept += usize::from(crew.expect_planned(sleeper.await).is_some());
    }
    crew.world.check(slept + cut >= count, || format!("{slept} + {cut} of {count} sleepers"));
}

/// The timeouts of requests that are answered in time.
async fn never_fire(crew: &Crew, rng: &mut Rng) {
    crew.step("timeouts that never fire");
    for _ in 0..rng.u32(1000..20_000) {
        let limit = Duration::from_secs(rng.u64(60..3600));
        let answer = timeout(limit, yield_now()).await;
        crew.world.check(answer.is_ok(), || format!("a limit of {limit:?} was over at once"));
    }
    // And some that do, in tasks that have long ones around them.
    let inner = (0..rng.usize(1..500)).map(|_| {
        let (world, ms) = (crew.world, rng.u64(0..50));
        crew.ledger.enter_unsure(async move {
            let due = Instant::now() + Duration::from_millis(ms);
            let cut = timeout(Duration::from_secs(3600), async {
                timeout(Duration::from_millis(ms), pending::<()>()).await.is_err()
            });
            let cut = cut.await;
            world.woke(due);
            cut == Ok(true)
        })
    });
    let cut = filch::gather(inner.collect::<Vec<_>>()).await;
    crew.world
        .check(cut.is_ok_and(|cut| cut.iter().all(|cut| *cut)), || "a timeout was lost".into());
}

/// Deadlines that move while they are waited for.
async fn moved(crew: &Crew, rng: &mut Rng) {
    crew.step("deadlines move");
    for _ in 0..rng.u32(1..50) {
        let (first, last) = (rng.u64(5..30), rng.u64(0..30));
        let world = crew.world;
        let mut due = Instant::now() + Duration::from_millis(first);
        let cut = timeout_scope(Duration::from_millis(first), |deadline| {
            let new = Instant::now() + Duration::from_millis(last);
            if deadline.reschedule(new) {
                due = new;
            }
            pending::<()>()
        });
        let result = cut.await;
        world.check(result.is_err(), || "pending() was ready".into());
        world.woke(due);
    }
}

async fn ticks(crew: &Crew, rng: &mut Rng) {
    crew.step("an interval ticks");
    let mut interval = filch::interval(Duration::from_millis(rng.u64(1..5)));
    for _ in 0..rng.u32(1..200) {
        let due = interval.tick().await;
        crew.world.woke(due);
    }
}

/// As in a quiet program.
async fn few(crew: &Crew, rng: &mut Rng) {
    crew.step("a few sleep");
    for _ in 0..rng.u32(1..20) {
        crew.world.nap(Duration::from_micros(rng.u64(0..20_000))).await;
    }
}
