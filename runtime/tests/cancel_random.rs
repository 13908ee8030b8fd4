//! Random programs of timeouts, catches, shields, groups and the rest, cancelled at random times.
//!
//! What they do is not predicted. But each of them must come to its end (within the sum of all its
//! sleeps, since nothing in it runs twice), at once if nobody inside can object, and leave nothing behind.

mod support;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use filch::{
    CancelScope, Cancelled, catch_cancel, gather, shield, sleep, spawn, task, task_group, timeout,
    wait_for, yield_now,
};
use support::Random;
use support::manual::{MS, Stopwatch, manual_on, settle};

/// A program.
#[derive(Debug)]
enum Step {
    Sleep(u32),
    Yield,
    CancelSelf,
    Timeout(u32, Box<Step>),
    /// What is tried, the cleanup, and what becomes of the token then.
    Catch(Box<Step>, Box<Step>, Answer),
    Shield(Box<Step>),
    /// Cancelled after that time.
    Scope(u32, Box<Step>),
    /// Members (and whether they fail then), the body, and when it is cancelled.
    Group(Vec<(Step, bool)>, Box<Step>, Option<u32>),
    Linked(Box<Step>),
    WaitFor(u32, Box<Step>),
    Gather(Vec<Step>, bool),
    Seq(Vec<Step>),
    Both(Box<Step>, Box<Step>),
    Either(Box<Step>, Box<Step>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Resume,
    Drop,
    Uncancel,
    /// The token is the result.
    Return,
}

impl Step {
    /// `joined`: in a branch of `Both` no token is returned. It would stay in there until the other branch is
    /// ready, which may wait to be dropped for the very request that the token holds up.
    fn random(random: &mut Random, depth: u64, joined: bool) -> Step {
        let time = |random: &mut Random| random.below(50) as u32;
        let inner = |random: &mut Random| Box::new(Step::random(random, depth - 1, joined));
        let branch = |random: &mut Random| Box::new(Step::random(random, depth - 1, true));
        // What is in a task of its own.
        let spawned = |random: &mut Random| Step::random(random, depth - 1, false);
        let some = |random: &mut Random| {
            (0..1 + random.below(3)).map(|_| spawned(random)).collect::<Vec<_>>()
        };
        if depth == 0 {
            return match random.below(8) {
                0 => Step::Yield,
                1 => Step::CancelSelf,
                _ => Step::Sleep(time(random)),
            };
        }
        match random.below(16) {
            0 | 1 => Step::Timeout(time(random), inner(random)),
            2..=4 => {
                let answers = [Answer::Resume, Answer::Drop, Answer::Uncancel, Answer::Return];
                let answer = answers[random.below(if joined { 3 } else { 4 }) as usize];
                Step::Catch(inner(random), inner(random), answer)
            }
            5 => Step::Shield(inner(random)),
            6 => Step::Scope(time(random), inner(random)),
            7..=9 => {
                let members = some(random).into_iter();
                let members = members.map(|step| (step, random.below(4) == 0)).collect();
                let cancel = (random.below(4) == 0).then(|| time(random));
                Step::Group(members, inner(random), cancel)
            }
            10 => Step::Linked(Box::new(spawned(random))),
            11 => Step::WaitFor(time(random), Box::new(spawned(random))),
            12 => Step::Gather(some(random), random.below(2) == 0),
            13 => Step::Both(branch(random), branch(random)),
            14 => Step::Either(inner(random), inner(random)),
            _ => Step::Seq((0..1 + random.below(3)).map(|_| *inner(random)).collect()),
        }
    }

    fn children(&self) -> Vec<&Step> {
        match self {
            Step::Sleep(_) | Step::Yield | Step::CancelSelf => Vec::new(),
            Step::Timeout(_, a)
            | Step::Shield(a)
            | Step::Scope(_, a)
            | Step::Linked(a)
            | Step::WaitFor(_, a) => vec![a],
            Step::Catch(a, b, _) | Step::Both(a, b) | Step::Either(a, b) => vec![a, b],
            Step::Group(members, body, _) => {
                members.iter().map(|(step, _)| step).chain([&**body]).collect()
            }
            Step::Gather(all, _) | Step::Seq(all) => all.iter().collect(),
        }
    }

    /// All its sleeps, in milliseconds.
    fn longest(&self) -> u128 {
        let own = if let Step::Sleep(ms) = self { u128::from(*ms) } else { 0 };
        own + self.children().into_iter().map(Step::longest).sum::<u128>()
    }

    fn has(&self, what: &dyn Fn(&Step) -> bool) -> bool {
        what(self) || self.children().into_iter().any(|step| step.has(what))
    }
}

/// Counts what is alive.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Alive {
        count.fetch_add(1, Ordering::SeqCst);
        Alive(Arc::clone(count))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

type Running = Pin<Box<dyn Future<Output = Result<(), Cancelled>> + Send>>;

fn run(step: Step, count: &Arc<AtomicUsize>) -> Running {
    let (alive, count) = (Alive::new(count), Arc::clone(count));
    Box::pin(async move {
        let _alive = alive;
        let run = |step: Step| run(step, &count);
        match step {
            Step::Sleep(ms) => sleep(ms * MS).await,
            Step::Yield => yield_now().await,
            Step::CancelSelf => _ = task::current().unwrap().cancel(),
            Step::Timeout(ms, step) => return timeout(ms * MS, run(*step)).await.unwrap_or(Ok(())),
            Step::Catch(step, cleanup, answer) => match catch_cancel(run(*step)).await {
                Ok(result) => return result,
                Err(cancelled) => {
                    let inner = run(*cleanup).await;
                    match answer {
                        Answer::Resume => {
                            // It may hold a token, which would hold up this one.
                            drop(inner);
                            cancelled.resume().await;
                        }
                        Answer::Drop => drop(cancelled),
                        Answer::Uncancel => _ = cancelled.uncancel(),
                        Answer::Return => return inner.and(Err(cancelled)),
                    }
                    return inner;
                }
            },
            Step::Shield(step) => return shield(run(*step)).await,
            Step::Scope(ms, step) => {
                let scope = CancelScope::new();
                let timer = scope.clone();
                spawn(async move {
                    sleep(ms * MS).await;
                    timer.cancel();
                });
                return scope.run(run(*step)).await?;
            }
            Step::Group(members, body, cancel) => {
                let done = task_group(async |group| {
                    for (step, fails) in members {
                        let member = run(step);
                        group.spawn(async move {
                            member.await.map_err(Some)?;
                            if fails { Err(None) } else { Ok(()) }
                        });
                    }
                    if let Some(ms) = cancel {
                        let group = group.clone();
                        spawn(async move {
                            sleep(ms * MS).await;
                            group.cancel();
                        });
                    }
                    run(*body).await.map_err(Some)
                })
                .await;
                if let Err(error) = done {
                    // A token of another task is nothing to return here.
                    drop(error);
                }
            }
            Step::Linked(step) => drop(spawn(run(*step)).linked().await),
            Step::WaitFor(ms, step) => drop(wait_for(ms * MS, spawn(run(*step))).await),
            Step::Gather(steps, settled) => {
                let all = gather(steps.into_iter().map(run).collect::<Vec<_>>());
                if settled {
                    drop(all.settled().await);
                } else {
                    drop(all.await);
                }
            }
            Step::Seq(steps) => {
                for step in steps {
                    run(step).await?;
                }
            }
            Step::Both(one, other) => {
                let (one, other) = futures_lite::future::zip(run(*one), run(*other)).await;
                return one.and(other);
            }
            Step::Either(one, other) => {
                return futures_lite::future::or(run(*one), run(*other)).await;
            }
        }
        Ok(())
    })
}

fn one(workers: usize, seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let step = {
        let depth = 1 + random.below(4);
        Step::random(&mut random, depth, false)
    };
    let requests: Vec<_> = (0..random.below(4)).map(|_| random.below(100)).collect();
    let abort = (random.below(4) == 0).then(|| random.below(100));
    let text =
        format!("seed {seed}, {workers} workers, cancel {requests:?}, abort {abort:?}: {step:?}");
    let objects = |step: &Step| matches!(step, Step::Catch(..) | Step::Shield(_));
    let quiet = !step.has(&objects);
    // (The children that are left behind by an error of a gather run on.)
    let detaches = step.has(&|step| matches!(step, Step::Gather(_, false)));
    let drops = step.has(&|step| matches!(step, Step::Either(..)));
    let longest = step.longest();
    let count = Arc::new(AtomicUsize::new(0));
    let running = run(step, &count);
    let stopped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let text = text.clone();
        manual_on(workers, async move {
            let time = Stopwatch::start();
            let handle = spawn(running);
            let task = handle.task();
            for (ms, hard) in
                requests.iter().map(|ms| (ms, false)).chain(abort.iter().map(|ms| (ms, true)))
            {
                let (task, wait) = (task.clone(), Duration::from_millis(*ms));
                spawn(async move {
                    sleep(wait).await;
                    if hard { task.abort() } else { task.cancel() }
                });
            }
            let result = handle.await;
            let took = time.ms();
            assert!(took <= longest, "{took} ms, at most {longest}: {text}");
            // (A task that is only held up by members of a dropped group is not ended sooner by an abort.)
            if let Some(latest) = abort.filter(|_| !drops) {
                assert!(took <= latest.into(), "{took} ms, aborted: {text}");
            }
            if let Some(first) = requests.iter().min().filter(|_| quiet) {
                assert!(took <= (*first).into(), "{took} ms, nobody objects: {text}");
            }
            drop(result);
            if !detaches {
                settle().await;
                assert_eq!(count.load(Ordering::SeqCst), 0, "left behind: {text}");
            }
        });
    }));
    if let Err(payload) = stopped {
        eprintln!("failed: {text}");
        std::panic::resume_unwind(payload);
    }
}

#[test]
fn random_programs_end_in_time_and_leave_nothing() {
    let seeds = match std::env::var("FILCH_TEST_SEEDS") {
        Ok(range) => {
            let (from, to) = range.split_once("..").expect("a range: 0..1000");
            from.parse().unwrap()..to.parse().unwrap()
        }
        Err(_) => 0..1000,
    };
    for seed in seeds {
        one(if seed % 2 == 0 { 1 } else { 4 }, seed);
    }
}
