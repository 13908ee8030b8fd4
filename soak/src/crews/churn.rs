//! Short runtimes, one after the other and side by side: made, filled, blocked, and ended in each way there is, while
//! others still spawn on them, wake their tasks, or hold their handles.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use filch::{Handle, JoinHandle, Runtime, sleep, yield_now};

use crate::ledger::Ledger;
use crate::world::{Bomb, Crew, Patience, World};

/// When a runtime has ended, and nothing of it can run any more, its books are balanced: at once, or (if nobody
/// could wait for it) soon.
const SOON: Duration = Duration::from_secs(30);

pub(crate) fn round(crew: &Crew, mut rng: Rng) {
    let ledger = Arc::<Ledger>::default();
    let manual = rng.u32(0..5) == 0;
    let workers = rng.usize(1..5);
    crew.step("makes a runtime");
    let built = Runtime::builder()
        .worker_threads(workers)
        .thread_name("short")
        .manual_clock(manual)
        .spare_workers(rng.usize(0..4))
        .blocking_keep_alive(Duration::from_millis(rng.u64(1..200)))
        .compute_threads(1)
        // (Lowered threads get what nobody else wants: on a full machine nothing for minutes, and here somebody waits.)
        .compute_nice(0)
        .stall_threshold(Duration::from_millis(rng.u64(5..200)))
        .on_stall(|_| {})
        .on_unhandled_failure(|_| {})
        .build();
    let runtime = match built {
        Ok(runtime) => runtime,
        // (A full machine.)
        Err(_) => return crew.world.is_refused(),
    };
    let over = Arc::new(AtomicBool::new(false));
    let others: Vec<_> = (0..rng.u32(0..3))
        .map(|_| {
            let (handle, ledger, over) = (runtime.handle(), ledger.clone(), over.clone());
            let (world, rng) = (crew.world, rng.fork());
            thread::spawn(move || meddle(world, &handle, &ledger, &over, rng))
        })
        .collect();
    crew.step("fills it");
    let mut tasks = fill(crew.world, &runtime, &ledger, &mut rng);
    if rng.u32(0..4) == 0 {
        crew.step("waits for some of it");
        for mut task in tasks.split_off(tasks.len().saturating_sub(5)) {
            match task.join_timeout(Duration::from_millis(20)) {
                Some(result) => drop(crew.expect_planned(result)),
                None => tasks.push(task),
            }
        }
    }
    crew.step("runs in it");
    let nap = Duration::from_micros(rng.u64(0..20_000));
    runtime.block_on(async {
        if !manual {
            sleep(nap).await;
        }
        yield_now().await;
    });
    let how = end(crew, runtime, &ledger, &mut rng);
    crew.step("asks how its tasks have ended");
    for mut task in tasks {
        // (Asked, nobody else is told of panics.)
        match Patience::new(SOON).join(&mut task) {
            Some(result) => drop(crew.expect_planned(result)),
            None => {
                let late = Patience::new(4 * SOON).join(&mut task).is_some();
                crew.world.wrong(format!(
                    "a task of a runtime that was {how} had no end within {SOON:?} of running time ({}): {:?}{}",
                    if late { "it had one later" } else { "nor later" },
                    task.task().info(),
                    if manual { ", manual clock" } else { "" },
                ));
            }
        }
    }
    crew.step("stops the meddlers");
    over.store(true, Ordering::Relaxed);
    for other in others {
        if other.join().is_err() {
            crew.world.wrong("a meddler panicked");
        }
    }
    crew.step("closes the books of a short runtime");
    let mut soon = Patience::new(SOON);
    while !ledger.sums().balanced() && !soon.is_over() {
        thread::sleep(Duration::from_millis(1));
    }
    let sums = ledger.sums();
    crew.world.check(sums.balanced(), || format!("a short runtime ({how}) has left: {sums:?}"));
    crew.ledger.take_over(&sums);
}

/// All that a runtime can have in it.
fn fill(
    world: &'static World,
    runtime: &Runtime,
    ledger: &Arc<Ledger>,
    rng: &mut Rng,
) -> Vec<JoinHandle<()>> {
    (0..rng.u32(0..200))
        .map(|_| {
            let (mut rng, inner) = (rng.fork(), ledger.clone());
            match rng.u32(0..16) {
                0..3 => runtime.spawn(ledger.enter(pending())),
                3..5 => {
                    let ms = rng.u64(0..100);
                    runtime
                        .spawn(ledger.enter(async move { sleep(Duration::from_millis(ms)).await }))
                }
                5 => {
                    let ms = rng.u64(0..30);
                    runtime.spawn(ledger.enter(async move {
                        thread::sleep(Duration::from_millis(ms));
                        yield_now().await;
                    }))
                }
                6 => {
                    let ms = rng.u64(0..30);
                    runtime.spawn_blocking(
                        ledger.job(move || thread::sleep(Duration::from_millis(ms))),
                    )
                }
                7 => runtime.spawn_compute(ledger.job(|| {
                    std::hint::black_box((0..10_000).sum::<u64>());
                })),
                8 => {
                    let arrives = ledger.job(|| {});
                    runtime.spawn_local(move || {
                        arrives();
                        inner.enter_unsure(pending())
                    })
                }
                // Tasks that spawn as long as they may, also while the runtime ends.
                9 => runtime.spawn(ledger.enter(async move {
                    for _ in 0..rng.u32(0..1000) {
                        drop(filch::spawn(inner.enter(yield_now())));
                        yield_now().await;
                    }
                })),
                // A cleanup that takes its time, and one that fails.
                10 => runtime.spawn(ledger.enter(async move {
                    let ms = rng.u64(0..20);
                    if let Err(token) = filch::catch_cancel(pending::<()>()).await {
                        sleep(Duration::from_millis(ms)).await;
                        drop(token);
                    }
                })),
                11 => runtime.spawn(ledger.enter(async move {
                    let _bomb = Bomb;
                    pending::<()>().await;
                })),
                // Its drop wakes and spawns.
                12 => {
                    let (send, receive) = async_channel::bounded::<()>(1);
                    let handle = runtime.handle();
                    drop(runtime.spawn(ledger.enter(async move { _ = receive.recv().await })));
                    runtime.spawn(ledger.enter(async move {
                        let _at_the_end = Spawns(handle, inner);
                        let _send = send;
                        pending::<()>().await;
                    }))
                }
                13 => runtime.spawn(ledger.enter(async move { talks_to_itself(world).await })),
                14 => {
                    let children: Vec<_> =
                        (0..rng.u32(0..5)).map(|_| inner.enter_unsure(pending::<()>())).collect();
                    runtime.spawn(ledger.enter(async move {
                        let _ = filch::gather(children).await;
                    }))
                }
                _ => runtime.spawn(ledger.enter(async {})),
            }
        })
        .collect()
}

/// Spawns when it is dropped, wherever that is.
struct Spawns(Handle, Arc<Ledger>);

impl Drop for Spawns {
    fn drop(&mut self) {
        drop(self.0.spawn(self.1.enter(yield_now())));
    }
}

/// Over a socket, until somebody ends it.
async fn talks_to_itself(world: &'static World) {
    let Ok((mut one, mut two)) = filch::net::UnixStream::pair() else {
        return world.is_refused();
    };
    let mut byte = [0];
    for _ in 0..100 {
        if one.write_all(&[7]).await.is_err() || two.read_exact(&mut byte).await.is_err() {
            return;
        }
        world.check(byte == [7], || "a pair of sockets gave another byte".into());
    }
    let _ = two.read(&mut byte).await;
}

/// From outside, until nobody wants it any more: it may find the runtime in any state.
fn meddle(world: &World, handle: &Handle, ledger: &Arc<Ledger>, over: &AtomicBool, mut rng: Rng) {
    let mut tasks: Vec<JoinHandle<()>> = Vec::new();
    while !over.load(Ordering::Relaxed) {
        match rng.u32(0..10) {
            0..4 => tasks.push(handle.spawn(ledger.enter(pending()))),
            4 => drop(handle.spawn(ledger.enter(yield_now()))),
            5 => drop(handle.spawn_blocking(ledger.job(|| {}))),
            6 => drop(handle.tasks()),
            7 => drop(handle.metrics()),
            8 => {
                if let Some(task) = tasks.pop() {
                    if rng.bool() {
                        task.cancel()
                    } else {
                        task.abort()
                    };
                }
            }
            _ => thread::sleep(Duration::from_micros(rng.u64(0..2000))),
        }
    }
    // It has ended, or does so: nobody waits in vain.
    for mut task in tasks {
        task.cancel();
        let end = Patience::new(SOON).join(&mut task);
        world.check(end.is_some(), || "a task of a runtime that has ended has no end".into());
    }
}

/// Ends a runtime, and says how.
fn end(crew: &Crew, runtime: Runtime, ledger: &Arc<Ledger>, rng: &mut Rng) -> &'static str {
    match rng.u32(0..8) {
        0 | 1 => {
            crew.step("drops a runtime");
            drop(runtime);
            "dropped"
        }
        2 => {
            crew.step("shuts a runtime down without grace");
            drop(runtime.shutdown(Duration::ZERO));
            "shut down without grace"
        }
        3 | 4 => {
            crew.step("shuts a runtime down with grace");
            drop(runtime.shutdown(Duration::from_millis(rng.u64(1..60))));
            "shut down with grace"
        }
        5 => {
            crew.step("a runtime is dropped by a task of its own");
            // (Whoever spawns it there must not be cut before it has begun.)
            let (give, take) = async_channel::bounded::<Runtime>(1);
            drop(runtime.handle().spawn(ledger.enter(async move {
                if let Ok(runtime) = take.recv().await {
                    drop(runtime);
                }
                yield_now().await;
            })));
            // The channel may be all that is left of it, if the task ended early.
            let _ = give.try_send(runtime);
            "dropped by a task of its own"
        }
        6 => {
            crew.step("a runtime is dropped by a task of another");
            let task = crew.spawn(async move { drop(runtime) });
            let mut handle = task.handle;
            match Patience::new(SOON).join(&mut handle) {
                None => crew.world.wrong("a runtime's drop inside a task waits for something"),
                Some(result) => drop(crew.settle(&task.fate, result)),
            }
            "dropped by a task of another"
        }
        _ => {
            crew.step("a runtime is dropped by a job of its own");
            let handle = runtime.handle();
            drop(handle.spawn_blocking(ledger.job(move || drop(runtime))));
            "dropped by a job of its own"
        }
    }
}
