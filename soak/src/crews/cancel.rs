//! Random trees of what has to do with cancellation. Every leaf ends on its own, so nothing that waits for a part of a
//! tree may hang, however requests are caught, taken back, or held up.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fastrand::Rng;
use filch::{
    CancelScope, TaskGroup, catch_cancel, gather, shield, task_group, timeout, wait_for, yield_now,
};

use crate::ledger::Followed;
use crate::world::Crew;

type Outcome = Result<(), &'static str>;
type Tree = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Counts what lives in a task's children.
struct Alive([Arc<AtomicUsize>; 2]);

impl Alive {
    fn new(count: &Arc<AtomicUsize>, crew: &Crew) -> Alive {
        let counts = [count, &crew.kin].map(Arc::clone);
        counts.iter().for_each(|count| _ = count.fetch_add(1, Ordering::Relaxed));
        Alive(counts)
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.iter().for_each(|count| _ = count.fetch_sub(1, Ordering::Release));
    }
}

fn micros(rng: &mut Rng, most: u64) -> Duration {
    Duration::from_micros(rng.u64(0..=most))
}

async fn leaf(crew: Crew, mut rng: Rng) -> Outcome {
    match rng.u32(0..12) {
        0 => return Err("planned: a leaf failed"),
        1 if rng.u32(0..8) == 0 => panic!("planned: in a leaf"),
        2 => drop(filch::task::current().map(|task| task.cancel())),
        3 => drop(filch::task::current().map(|task| task.uncancel())),
        4..8 => crew.world.nap(micros(&mut rng, 10_000)).await,
        _ => {}
    }
    yield_now().await;
    Ok(())
}

fn tree(crew: &Crew, rng: &mut Rng, depth: u32) -> Tree {
    let (crew, rng) = (crew.clone(), rng.fork());
    if depth == 0 {
        return Box::pin(leaf(crew, rng));
    }
    Box::pin(grow(crew, rng, depth - 1))
}

async fn grow(crew: Crew, mut rng: Rng, depth: u32) -> Outcome {
    let rng = &mut rng;
    match rng.u32(0..14) {
        0 | 1 => match catch_cancel(tree(&crew, rng, depth)).await {
            Ok(outcome) => outcome,
            Err(token) => {
                // The cleanup.
                let _ = tree(&crew, rng, depth).await;
                match rng.u32(0..4) {
                    0 => drop(token.uncancel()),
                    1 => drop(token),
                    2 => {
                        let outcome = tree(&crew, rng, depth).await;
                        drop(token);
                        return outcome;
                    }
                    _ => token.resume().await,
                }
                leaf(crew, rng.fork()).await
            }
        },
        2 => shield(tree(&crew, rng, depth)).await,
        3 | 4 => match timeout(micros(rng, 8000), tree(&crew, rng, depth)).await {
            Ok(outcome) => outcome,
            Err(_) => leaf(crew, rng.fork()).await,
        },
        5 => {
            let scope = CancelScope::new();
            let (other, time) = (scope.clone(), micros(rng, 5000));
            let world = crew.world;
            let canceller = crew.spawn(async move {
                world.nap(time).await;
                other.cancel();
            });
            let result = scope.run(tree(&crew, rng, depth)).await;
            let _ = catch_cancel(canceller.handle).await;
            result.unwrap_or(Ok(()))
        }
        6 | 7 => group(&crew, rng, depth).await,
        8 | 9 => {
            let alive = Arc::<AtomicUsize>::default();
            let children: Vec<_> = (0..rng.u32(1..4))
                .map(|_| {
                    let (alive, tree) = (Alive::new(&alive, &crew), tree(&crew, rng, depth));
                    crew.ledger.enter_unsure(async move {
                        let _alive = alive;
                        tree.await
                    })
                })
                .collect();
            let results = gather(children).settled().await;
            let left = alive.load(Ordering::Acquire);
            crew.world.check(left == 0, || format!("gather ended before {left} of its tasks"));
            results.into_iter().filter_map(|result| crew.expect_planned(result)).collect()
        }
        10 => {
            let child = crew.spawn(tree(&crew, rng, depth));
            let result = child.handle.linked().await;
            crew.settle(&child.fate, result).unwrap_or(Ok(()))
        }
        11 => {
            // (If this wait is cut, nobody waits for what is in there.)
            let other = Crew { kin: Arc::default(), ..crew.clone() };
            let Followed { handle, fate } = crew.spawn(tree(&other, rng, depth));
            match wait_for(micros(rng, 8000), handle).await {
                Ok(result) => crew.settle(&fate, result).unwrap_or(Ok(())),
                Err(_) => {
                    crew.world
                        .check(fate.end().is_some(), || "wait_for left its task alone".into());
                    Ok(())
                }
            }
        }
        12 => {
            let both = (tree(&crew, rng, depth), tree(&crew, rng, depth));
            if rng.bool() {
                futures_lite::future::or(both.0, both.1).await
            } else {
                // (A token that waits in one of the two does not keep the other from being polled.)
                let (one, two) = futures_lite::future::zip(both.0, both.1).await;
                one.and(two)
            }
        }
        _ => leaf(crew, rng.fork()).await,
    }
}

async fn group(crew: &Crew, rng: &mut Rng, depth: u32) -> Outcome {
    let alive = Arc::<AtomicUsize>::default();
    let (here, mut inner, counted) = (crew.clone(), rng.fork(), Arc::clone(&alive));
    let result = task_group(async move |group: TaskGroup<&'static str>| -> Outcome {
        for _ in 0..inner.u32(0..5) {
            let (alive, tree) = (Alive::new(&counted, &here), tree(&here, &mut inner, depth));
            // (A group that is closed by then drops it.)
            drop(group.spawn(here.ledger.enter_unsure(async move {
                let _alive = alive;
                tree.await
            })));
            if inner.u32(0..4) == 0 {
                yield_now().await;
            }
        }
        match inner.u32(0..8) {
            0 => group.cancel(),
            1 => return Err("planned: a body failed"),
            _ => {}
        }
        tree(&here, &mut inner, depth).await
    })
    .await;
    let left = alive.load(Ordering::Acquire);
    crew.world.check(left == 0, || format!("a group ended before {left} of its members"));
    if result.is_err() && rng.bool() { Err("planned: a group failed") } else { Ok(()) }
}

/// A child that has to clean up for a while when it is asked to end, and must be waited for.
async fn tidies_up(crew: Crew, alive: Alive, time: Duration) -> Outcome {
    let _alive = alive;
    if let Err(token) = catch_cancel(crew.world.nap(Duration::from_secs(1))).await {
        crew.world.nap(time).await;
        token.resume().await;
    }
    Ok(())
}

/// Begins children in one of the ways that answer for them, drops that in the middle, and ends at once.
async fn drops_its_children(crew: Crew, mut rng: Rng) {
    let count = rng.usize(1..4);
    let mut child = || {
        let alive = Alive::new(&Arc::default(), &crew);
        tidies_up(crew.clone(), alive, micros(&mut rng, 3000))
    };
    let children: Vec<_> = (0..count).map(|_| child()).collect();
    let (here, ledger) = (crew.clone(), &crew.ledger);
    let answers: Tree = match rng.u32(0..4) {
        0 => {
            let children: Vec<_> = children.into_iter().map(|c| ledger.enter_unsure(c)).collect();
            Box::pin(async {
                gather(children).settled().await.into_iter().for_each(drop);
                Ok(())
            })
        }
        1 => Box::pin(async move {
            let ended = task_group(async move |group: TaskGroup<&'static str>| {
                for child in children {
                    drop(group.spawn(here.ledger.enter_unsure(child)));
                }
                Ok(())
            });
            ended.await.map_err(|_| "a child failed")
        }),
        2 => Box::pin(async move {
            for child in children {
                let _ = here.spawn(child).handle.linked().await;
            }
            Ok(())
        }),
        _ => Box::pin(async move {
            for child in children {
                let _ = wait_for(Duration::from_secs(1), here.spawn(child).handle).await;
            }
            Ok(())
        }),
    };
    let soon = async {
        crew.world.nap(micros(&mut rng, 500)).await;
        Ok(())
    };
    let _ = futures_lite::future::or(answers, soon).await;
}

pub(crate) async fn round(crew: Crew, mut rng: Rng) {
    crew.step("children are dropped");
    let parents: Vec<_> = (0..rng.u32(1..8))
        .map(|_| {
            let kin = Arc::default();
            let crew = Crew { kin, ..crew.clone() };
            (crew.spawn(drops_its_children(crew.clone(), rng.fork())), crew.kin)
        })
        .collect();
    end_with_their_kin(&crew, parents).await;
    crew.step("trees grow");
    let roots: Vec<_> = (0..rng.u32(1..20))
        .map(|_| {
            let (depth, kin) = (rng.u32(1..6), Arc::default());
            let crew = Crew { kin, ..crew.clone() };
            (crew.spawn(tree(&crew, &mut rng, depth)), crew.kin)
        })
        .collect();
    for _ in 0..rng.u32(0..30) {
        crew.world.nap(micros(&mut rng, 3000)).await;
        let (root, _) = &roots[rng.usize(0..roots.len())];
        match rng.u32(0..10) {
            0 => root.abort(),
            1 => drop(root.handle.cancel_within(micros(&mut rng, 10_000))),
            2 | 3 => drop(root.handle.task().uncancel()),
            _ => drop(root.handle.cancel()),
        }
    }
    crew.step("trees end");
    end_with_their_kin(&crew, roots).await;
}

/// Nobody is seen to end before what holds back his end.
async fn end_with_their_kin<T>(crew: &Crew, tasks: Vec<(Followed<T>, Arc<AtomicUsize>)>) {
    for (task, kin) in tasks {
        crew.join(task).await;
        let left = kin.load(Ordering::Acquire);
        crew.world.check(left == 0, || format!("a task ended before {left} of its children"));
    }
}
