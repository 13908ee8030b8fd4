//! Polls that do not return for a while, so that the monitor acts and spare workers come, and go again.

use std::thread;
use std::time::Duration;

use fastrand::Rng;
use filch::{task, yield_now};

use crate::world::{Crew, Patience};

pub(crate) async fn round(crew: Crew, mut rng: Rng) {
    crew.step("blocks");
    let time = |rng: &mut Rng| Duration::from_millis(rng.u64(1..=200) / rng.u64(1..=10));
    let blocked: Vec<_> = (0..rng.u32(1..6))
        .map(|_| {
            let (crew_here, mut rng, time) = (crew.clone(), rng.fork(), time(&mut rng));
            let (future, _) = crew.ledger.follow(async move {
                // What is woken and spawned by one that blocks right after: it is for others.
                let (send, receive) = async_channel::bounded(1);
                let behind = crew_here.spawn(async move { receive.recv().await });
                let next = crew_here.spawn(async { yield_now().await });
                match rng.u32(0..5) {
                    0 => filch::block_in_place(|| thread::sleep(time)),
                    1 => filch::block_in_place(|| {
                        // A thread may wait for a task there.
                        let mut task = crew_here.spawn(async { 3 });
                        let three = Patience::new(Duration::from_secs(60)).join(&mut task.handle);
                        match three {
                            None => crew_here.world.wrong("block_in_place: nobody runs the task"),
                            Some(result) => drop(crew_here.settle(&task.fate, result)),
                        }
                    }),
                    2 => filch::block_in_place(|| {
                        thread::sleep(time / 2);
                        panic!("planned: in block_in_place");
                    }),
                    _ => thread::sleep(time),
                }
                let _ = send.send(()).await;
                crew_here.join(behind).await;
                crew_here.join(next).await;
            });
            task::Builder::new().name("blocked").spawn(future)
        })
        .collect();
    crew.step("beside the blocked ones");
    for _ in 0..rng.u32(0..50) {
        let task = crew.spawn(yield_now());
        crew.join(task).await;
    }
    crew.step("until the blocked ones return");
    for task in blocked {
        if rng.u32(0..10) == 0 {
            task.abort();
        }
        crew.expect_planned(task.await);
    }
    crew.world.nap(Duration::from_millis(rng.u64(0..300))).await;
}
