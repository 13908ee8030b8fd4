//! Tasks that stay on one thread: whatever happens to them, only that thread may touch them.

use std::cell::Cell;
use std::rc::Rc;
use std::thread::{self, ThreadId};
use std::time::Duration;

use fastrand::Rng;
use filch::{spawn_local, yield_now};

use super::chosen;
use crate::world::{Crew, World};

/// Notices when it is used or dropped elsewhere.
struct AtHome {
    home: ThreadId,
    world: &'static World,
}

impl AtHome {
    fn look(&self) {
        let here = thread::current().id() == self.home;
        self.world.check(here, || "a local task was polled on another thread".into());
    }
}

impl Drop for AtHome {
    fn drop(&mut self) {
        let here = thread::current().id() == self.home;
        self.world.check(here, || "a local task was dropped on another thread".into());
    }
}

pub(crate) async fn round(crew: Crew, mut rng: Rng) {
    crew.step("spawns local tasks");
    let mut tasks = Vec::new();
    for _ in 0..rng.u32(1..100) {
        let (world, ledger, mut rng) = (crew.world, crew.ledger.clone(), rng.fork());
        // (Entered when it is spawned: if it never reaches its home, its closure is dropped.)
        let outer = crew.ledger.job(|| {});
        tasks.push(spawn_local(move || {
            outer();
            let home = AtHome { home: thread::current().id(), world };
            let count = Rc::new(Cell::new(0));
            ledger.enter_unsure(async move {
                let kind = rng.u32(0..8);
                for _ in 0..rng.u32(0..10) {
                    home.look();
                    count.set(count.get() + 1);
                    match kind {
                        0 => world.nap(Duration::from_micros(rng.u64(0..3000))).await,
                        1 => {
                            // A child of the same thread.
                            let child = Rc::clone(&count);
                            child.set(child.get() + 1);
                            yield_now().await;
                        }
                        2 => thread::sleep(Duration::from_millis(rng.u64(0..4))),
                        3 => panic!("planned: in a local task"),
                        4 => std::future::pending::<()>().await,
                        _ => yield_now().await,
                    }
                }
                home.look();
                drop(home);
            })
        }));
    }
    crew.step("disturbs local tasks");
    for task in chosen(&tasks, &mut rng, 3) {
        if rng.bool() {
            task.cancel()
        } else {
            task.abort()
        };
    }
    crew.world.nap(Duration::from_millis(rng.u64(0..10))).await;
    for task in tasks.iter().filter(|task| !task.is_finished()) {
        if rng.bool() {
            task.cancel()
        } else {
            task.abort()
        };
    }
    crew.step("joins local tasks");
    for task in tasks {
        crew.expect_planned(task.await);
    }
}
