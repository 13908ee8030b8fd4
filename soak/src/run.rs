//! A run: epochs of work, with a rest after each.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fastrand::Rng;
use filch::{Runtime, Stall, task};

use crate::arguments::Arguments;
use crate::audit::{Baseline, Rest, audit};
use crate::clock;
use crate::crews::{Does, KINDS, Kind};
use crate::ledger::Ledger;
use crate::report::Report;
use crate::system::{self, Usage};
use crate::watch::Watch;
use crate::world::{Crew, PLANNED, Post, World};

/// Stalls, by who it was: how many, and the longest.
pub(crate) type Stalls = Arc<Mutex<BTreeMap<String, (u64, Duration)>>>;

const COMPUTE_THREADS: usize = 2;
/// Long enough that threads are used again, short enough that they are gone at a rest.
const KEEP_ALIVE: Duration = Duration::from_secs(1);

/// One member of a crew, over the whole run.
struct Member {
    kind: &'static Kind,
    crew: Crew,
    rng: Rng,
}

pub(crate) fn run(arguments: &Arc<Arguments>, seed: u64) -> ExitCode {
    let cpus = std::thread::available_parallelism().map_or(2, |cpus| cpus.get());
    let workers = arguments.workers.unwrap_or(4 * cpus);
    let world: &'static World = Box::leak(Box::new(World::new()));
    let (ledger, stalls) = (Arc::<Ledger>::default(), Stalls::default());
    let report = Arc::new(Report::new(arguments, seed, workers, &ledger, &stalls, world));
    println!("{}", report.head());
    let runtime = match long_lived(workers, world, &stalls) {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let mut members = members(arguments, seed, world, &ledger, &runtime);
    let watch = {
        let report = Arc::clone(&report);
        let hung = move || {
            report.write("hung");
            std::process::exit(1);
        };
        Watch::start(world, runtime.handle(), Arc::clone(&ledger), arguments.patience, hung)
    };

    let epoch = arguments.epoch();
    let epochs = (arguments.duration.as_secs_f64() / epoch.as_secs_f64()).round().max(2.0) as u64;
    let warm_up = (epochs / 10).max(1);
    // This one, the one that watches, all workers with spare ones, the timer's, and for compute jobs.
    let most_threads = (2 + 2 * workers + 1 + COMPUTE_THREADS) as u64;
    let end = Instant::now() + arguments.duration;
    let mut number = 0;
    // (If the process was stopped for a while, there are fewer epochs.)
    while number < 2 || Instant::now() < end {
        let begin = Instant::now();
        let until = if number < 2 { begin + epoch } else { end.min(begin + epoch) };
        world.is_warming_up.store(number < warm_up, Ordering::Relaxed);
        number += 1;
        work(world, &runtime, &mut members, until);
        let rest = audit(world, &runtime, &ledger, most_threads);
        println!("{}  at rest after {:?}: {}", clock(rest.at), rest.took, Report::row(&rest));
        report.rest(rest, number <= warm_up);
    }
    drop(members);
    finish(world, runtime);
    drop(watch);
    report.write(&format!("ended after {}", clock(world.began.elapsed())));
    if world.wrongs().0 == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn long_lived(workers: usize, world: &'static World, stalls: &Stalls) -> std::io::Result<Runtime> {
    let stalls = Arc::clone(stalls);
    Runtime::builder()
        .worker_threads(workers)
        .thread_name("soak")
        .compute_threads(COMPUTE_THREADS)
        .blocking_keep_alive(KEEP_ALIVE)
        .on_stall(move |stall: &Stall| {
            let name = match &stall.task.name {
                Some(name) => name.to_string(),
                None => {
                    format!("{}:{}", stall.task.spawned_at.file(), stall.task.spawned_at.line())
                }
            };
            let mut stalls = stalls.lock().unwrap();
            let entry = stalls.entry(name).or_default();
            *entry = (entry.0 + 1, entry.1.max(stall.elapsed));
        })
        .on_unhandled_failure(|error| {
            let text = error.to_string();
            world.check(text.contains(PLANNED), || format!("nobody planned this: {text}"));
        })
        .build()
}

fn members(
    arguments: &Arguments,
    seed: u64,
    world: &'static World,
    ledger: &Arc<Ledger>,
    runtime: &Runtime,
) -> Vec<Member> {
    let only = &arguments.only;
    let wanted = |kind: &&Kind| only.is_empty() || only.iter().any(|name| name == kind.name);
    let mut members = Vec::new();
    for kind in KINDS.iter().filter(wanted) {
        for number in 1..=kind.members {
            let post = Arc::new(Post::new(format!("{}-{number}", kind.name)));
            world.posts.lock().unwrap().push(Arc::clone(&post));
            // The same member does the same, whoever else is there.
            let salt = post
                .name
                .bytes()
                .fold(seed, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
            let (ledger, kin) = (Arc::clone(ledger), Arc::default());
            let crew = Crew { world, ledger, post, runtime: runtime.handle(), kin };
            members.push(Member { kind, crew, rng: Rng::with_seed(salt) });
        }
    }
    members
}

/// Everybody works until then, and comes to the end of a round. (Who panics is back in the next epoch.)
fn work(world: &'static World, runtime: &Runtime, members: &mut [Member], until: Instant) {
    std::thread::scope(|scope| {
        let (mut tasks, mut threads) = (Vec::new(), Vec::new());
        for member in members {
            let (crew, mut rng) = (member.crew.clone(), member.rng.fork());
            let post = Arc::clone(&crew.post);
            match member.kind.does {
                Does::Thread(round) => {
                    let work = move || {
                        while Instant::now() < until {
                            crew.post.begins(world);
                            round(&crew, rng.fork());
                            crew.post.ends(world);
                        }
                    };
                    threads.push((post, scope.spawn(work)));
                }
                Does::Task(round) => {
                    let ledger = Arc::clone(&crew.ledger);
                    let work = ledger.enter(async move {
                        while Instant::now() < until {
                            crew.post.begins(world);
                            round(crew.clone(), rng.fork()).await;
                            crew.post.ends(world);
                        }
                    });
                    tasks.push((post, work));
                }
            }
        }
        let spawn = |(post, work): (Arc<Post>, _)| {
            let task = task::Builder::new().name(&post.name).spawn(work);
            (post, task)
        };
        let lost = |post: &Post, why: &str| {
            world.wrong(format!("{}, {}: {why}", post.name, post.last_step()));
            post.ends(world);
        };
        runtime.block_on(async {
            let tasks: Vec<_> = tasks.into_iter().map(spawn).collect();
            for (post, task) in tasks {
                if let Err(error) = task.await {
                    lost(&post, &error.to_string());
                }
            }
        });
        for (post, thread) in threads {
            if thread.join().is_err() {
                lost(&post, "its thread panicked");
            }
        }
    });
}

/// The long-lived runtime ends as well, with nothing in it.
fn finish(world: &World, runtime: Runtime) {
    let report = runtime.shutdown(Duration::from_secs(20));
    // (A task may be counted only now that had ended before: its worker counts a moment later.)
    let tasks = report.cancelled + report.aborted + report.panicked;
    let stuck = report.stuck.len() + report.stuck_jobs + report.stuck_compute_jobs.len();
    world.check(tasks + stuck as u64 == 0, || format!("at the end there was: {report:?}"));
    // This thread, and the one that watches.
    let begin = Instant::now();
    while Usage::now().threads > 2 && begin.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(5));
    }
    world.check(Usage::now().threads <= 2, || {
        format!("after the end there are threads: {}", system::threads().join(", "))
    });
}

/// So that the report can be made by whoever ends the run.
#[derive(Debug, Default)]
pub(crate) struct Rests {
    pub(crate) all: Vec<Rest>,
    pub(crate) warm_up: usize,
    pub(crate) baseline: Baseline,
}
