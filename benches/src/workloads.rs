//! All workloads, with the goals as data. The goals were set on a machine with 2 cores.

mod blocking;
mod channel;
mod memory;
mod messages;
mod mixed;
mod remote_spawn;
mod servers;
mod smol_suite;
mod spawn;
mod stuck;
mod timers;
mod tokio_suite;

use std::time::Duration;

use crate::service::Service;
use crate::workload::{Entry, FILCH, Metric, TOKIO, Unit};
use channel::Kind;
use servers::{Contestant, Figure, Served};
use smol_suite::{OfSmol, What};
use timers::LightLoad;
pub(crate) use timers::scramble;

/// Every workload, in the order of the table.
pub(crate) fn all() -> Vec<Entry> {
    let mut entries = Vec::new();
    entries.extend(tokios_own());
    entries.extend(smols_own());
    entries.extend(spawning());
    entries.extend(waiting());
    entries.extend(light_loads());
    entries.extend(resources());
    entries.extend(echo_servers());
    entries.extend(http_servers());
    entries.extend(mixed::entries());
    entries.extend(stuck::entries());
    entries
}

/// The workloads of tokio's `benches/rt_multi_threaded.rs` and `benches/remote_spawn.rs`.
fn tokios_own() -> Vec<Entry> {
    let mut entries = vec![
        Entry::new(
            "spawn_many_local",
            "block_on spawns 10,000 tasks which count down; time per task until the last has run",
            tokio_suite::SpawnManyLocal,
        )
        .metric(Metric::time().goal(4.0)),
        Entry::new(
            REMOTE_IDLE,
            "a thread outside spawns 10,000 empty tasks onto an idle runtime, then joins them all; time per task",
            tokio_suite::SpawnManyRemote::Idle,
        )
        .metric(Metric::time().goal(4.0)),
        Entry::new(
            "spawn_many_remote_busy1",
            "the same beside 2 tasks per worker which compute 10 µs and yield, over and over",
            tokio_suite::SpawnManyRemote::BesideYielders,
        )
        .metric(Metric::time().goal(5.0)),
        Entry::new(
            REMOTE_BUSY2,
            "the same with 1,000 tasks, beside one task per worker which computes 10 µs and spawns its successor",
            tokio_suite::SpawnManyRemote::BesideSpawners,
        )
        .metric(Metric::time().goal(50.0)),
        Entry::new(
            "yield_many",
            "200 tasks yield 1,000 times each; time per yield",
            tokio_suite::YieldMany,
        )
        .metric(Metric::time().goal(3.0).elsewhere(&[("Go 1.19", 218.0), ("asyncio", 1309.0)])),
        Entry::new(
            "ping_pong",
            "1,000 tasks spawn a partner each and exchange two messages over oneshot channels; time per pair",
            tokio_suite::PingPong { pairs: 1_000 },
        )
        .metric(Metric::time().goal(4.0)),
        Entry::new(
            "ping_pong, 10 times as long",
            "the same with 10,000 pairs: what starting and ending a round costs shows less",
            tokio_suite::PingPong { pairs: 10_000 },
        )
        .metric(Metric::time()),
        Entry::new(
            "chained_spawn",
            "a task spawns the next, 1,000 times; time per task",
            tokio_suite::ChainedSpawn { links: 1_000 },
        )
        .metric(Metric::time().goal(5.0)),
        Entry::new(
            "chained_spawn, 100 times as long",
            "the same with 100,000 tasks: what starting and ending a round costs does not show",
            tokio_suite::ChainedSpawn { links: 100_000 },
        )
        .metric(Metric::time()),
    ];
    for (name, threads) in [
        ("remote_spawn, 1 thread", 1),
        ("remote_spawn, 2 threads", 2),
        ("remote_spawn, 4 threads", 4),
        ("remote_spawn, 8 threads", 8),
        ("remote_spawn, 16 threads", 16),
    ] {
        let about = "so many threads outside spawn 12,800 empty tasks at the same time; time per task, threads started and \
                     tasks joined";
        entries.push(
            Entry::new(name, about, remote_spawn::RemoteSpawn { threads })
                .metric(Metric::time().goal(3.0)),
        );
    }
    entries
}

/// The workloads of async-executor's `benches/executor.rs`.
fn smols_own() -> Vec<Entry> {
    let one =
        "a thread outside spawns an empty task in block_on and awaits it there; time for each";
    let many =
        "the same with 25,000 tasks, which are spawned before the first is awaited; time per task";
    let deep = "300 tasks, each spawns the next and awaits it, 300 deep; one boxed future each; time per task";
    let yields = "300 tasks yield 300 times each; time per yield";
    let entry = |name, about, what, alone| {
        Entry::new(name, about, OfSmol { what, alone }).metric(Metric::time())
    };
    vec![
        entry("smol's spawn_one, 1 worker", one, What::SpawnOne, true),
        entry("smol's spawn_one", one, What::SpawnOne, false),
        entry("smol's spawn_many_local, 1 worker", many, What::SpawnMany, true),
        entry("smol's spawn_many_local", many, What::SpawnMany, false),
        entry("smol's spawn_recursively, 1 worker", deep, What::SpawnRecursively, true),
        entry("smol's spawn_recursively", deep, What::SpawnRecursively, false),
        entry("smol's yield_now, 1 worker", yields, What::YieldNow, true),
        entry("smol's yield_now", yields, What::YieldNow, false),
    ]
}

fn spawning() -> Vec<Entry> {
    vec![
        Entry::new(
            "spawn + join 10k",
            "a task spawns 10,000 empty tasks, then joins them all; time per task",
            spawn::SpawnJoinMany,
        )
        .metric(Metric::time().goal(8.0).elsewhere(&[("Go 1.19", 441.0), ("asyncio", 7013.0)])),
        Entry::new(
            "spawn + await one",
            "a task spawns an empty task and awaits it, over and over; time per task",
            spawn::SpawnAwaitOne,
        )
        .metric(Metric::time().goal(4.0).elsewhere(&[("Go 1.19", 394.0), ("asyncio", 7028.0)])),
        Entry::new(
            "group of 1,000",
            "a task starts 1,000 tasks that yield once, in a group (tokio: JoinSet; async-executor: a Vec), and waits for all; time per task",
            spawn::Group { children: 1_000 },
        )
        .metric(Metric::time()),
        Entry::new(
            "idle wake → body",
            "a thread outside spawns onto a runtime that has been idle for 0.2 ms; median time until the task's body runs",
            spawn::IdleWake,
        )
        .metric(Metric::time().goal(3.0)),
    ]
}

fn waiting() -> Vec<Entry> {
    vec![
        Entry::new(
            "channel, async-channel",
            "two tasks send a number to and fro over two bounded(1) channels; time there and back",
            channel::BackAndForth(Kind::AsyncChannel),
        )
        .metric(Metric::time().goal(1.5)),
        Entry::new(
            "channel, tachyonix",
            "the same over the fastest channels of a library",
            channel::BackAndForth(Kind::Tachyonix),
        )
        .metric(
            Metric::time().elsewhere(&[("Go 1.19", 417.0), ("asyncio", 9672.0)]),
        ),
        Entry::new(
            "pinball, 1 ball",
            "tachyobench's: 61 times 13 tasks, each of which can send to each other of its 13; 1 message goes from one to the next by \
             chance; time per message received, starting and ending included",
            messages::Pinball { balls: 1 },
        )
        .metric(Metric::time()),
        Entry::new("pinball, 13 balls", "the same with 13 messages", messages::Pinball { balls: 13 })
            .metric(Metric::time()),
        Entry::new(
            "funnel, capacity 10",
            "tachyobench's: 61 times 13 tasks send to one, as fast as it goes, over a channel for 10; time per message",
            messages::Funnel { capacity: 10 },
        )
        .metric(Metric::time()),
        Entry::new(
            "funnel, capacity 1,000",
            "the same over a channel that is never full",
            messages::Funnel { capacity: 1_000 },
        )
        .metric(Metric::time()),
        Entry::new(
            "time_timeout",
            "tokio's: as many tasks as workers await what is ready at once, under a timeout of a second, over and over; time for each",
            timers::TimeTimeout::Ready,
        )
        .metric(Metric::time()),
        Entry::new(
            "time_timeout, sleeps dropped",
            "the same tasks make sleeps of a second and drop them, without awaiting",
            timers::TimeTimeout::SleepDropped,
        )
        .metric(Metric::time()),
        Entry::new(
            "timeout around a yield",
            "a task awaits a future which is ready after one yield, under a timeout of an hour; time for each",
            timers::TimeoutAroundYield,
        )
        .metric(Metric::time().goal(8.0).elsewhere(&[("asyncio", 16923.0)])),
        Entry::new(
            "timeout around a catch",
            "the same around filch's catch_cancel, whose cleanup the timeout would wait for; the others have nothing of the kind, and do as above",
            timers::TimeoutAroundCatch,
        )
        .metric(Metric::time()),
        Entry::new(
            "100,000 sleeps",
            "100,000 tasks sleep once, for 1 to 50 ms; CPU time per sleep, spawning included, and lateness",
            timers::ManySleeps,
        )
        .metric(Metric::share("CPU").goal(0.5))
        .metric(Metric::share("p50 lateness").goal(0.2))
        .in_own_process(),
    ]
}

/// Tasks that sleep again and again: the machine is mostly idle.
fn light_loads() -> Vec<Entry> {
    let micros = Duration::from_micros;
    let load = LightLoad { tasks: 500, sleeps: 40, stretch: 1, compute: Duration::ZERO };
    let entry =
        |name, about, load| Entry::new(name, about, load).in_own_process().rounds_at_least(11);
    let report = |entry: Entry| {
        entry
            .metric(Metric::share("p50 lateness"))
            .metric(Metric::share("p99 lateness"))
            .metric(Metric::share("CPU"))
    };
    vec![
        entry(
            "light load, 500 tasks",
            "500 tasks sleep 40 times, for 1 to 20 ms; lateness, CPU time per sleep",
            load,
        )
        .metric(Metric::share("p50 lateness").goal(0.55))
        .metric(Metric::share("p99 lateness").goal(0.55))
        .metric(Metric::share("CPU").goal(0.9)),
        report(entry(
            "light load, 5 tasks",
            "5 tasks sleep 100 times, for 1 to 20 ms",
            LightLoad { tasks: 5, sleeps: 100, ..load },
        )),
        report(entry(
            "light load, 50 tasks",
            "50 tasks sleep 40 times, for 1 to 20 ms",
            LightLoad { tasks: 50, ..load },
        )),
        report(entry(
            "light load, 3000 tasks",
            "3,000 tasks sleep 20 times, for 6 to 120 ms: as many sleeps a second as with 500 tasks",
            LightLoad { tasks: 3000, sleeps: 20, stretch: 6, ..load },
        )),
        report(entry(
            "light load, 500 tasks + 50 µs",
            "500 tasks sleep 20 times, for 4 to 80 ms, and compute 50 µs after each: 0.6 cores are busy",
            LightLoad { sleeps: 20, stretch: 4, compute: micros(50), ..load },
        )),
        report(entry(
            "light load, 500 tasks + 200 µs",
            "500 tasks sleep 10 times, for 16 to 320 ms, and compute 200 µs after each: 0.6 cores are busy",
            LightLoad { sleeps: 10, stretch: 16, compute: micros(200), ..load },
        )),
    ]
}

fn resources() -> Vec<Entry> {
    vec![
        Entry::new(
            "1,000,000 sleeping tasks",
            "a million tasks each in a sleep of an hour, handles kept in a Vec: the process's peak memory beyond what it had \
             before, per task; and what it still has beyond that when all are cancelled and gone",
            memory::SleepingTasks,
        )
        .metric(Metric::bytes("peak RSS per task").goal(0.4))
        .metric(Metric::bytes("RSS per task, all gone").itself())
        .in_own_process(),
        Entry::new(
            "spawn_blocking, 16 threads",
            "16 threads outside, each in block_on, make 10 batches of 16 empty blocking calls and await each batch; time per call",
            blocking::SpawnBlocking { threads: 16 },
        )
        .metric(Metric::time().goal(3.0)),
        Entry::new(
            "spawn_blocking, inside",
            "as many tasks as workers make 100 batches of 16 empty blocking calls and await each batch; time per call",
            blocking::SpawnBlockingInside,
        )
        .metric(Metric::time()),
    ]
}

fn latency(percent: f64, name: &'static str) -> (Figure, Metric) {
    (Figure::Latency(percent), Metric::share(name))
}

/// Servers that send back what they read: hardly anything but the runtime and the system.
fn echo_servers() -> Vec<Entry> {
    let with_goal = |(figure, metric): (Figure, Metric), goal| (figure, metric.goal(goal));
    let usual = [FILCH, TOKIO, "async-executor"].map(Contestant::usual);
    let echo = |connections, figures| Served {
        service: Service::Echo,
        without: None,
        compute: Duration::ZERO,
        connections,
        contenders: usual.to_vec(),
        figures,
    };
    vec![
        echo(
            50,
            vec![
                (Figure::Time, Metric::rate().goal(1.2)),
                latency(50.0, "p50"),
                latency(99.0, "p99"),
                with_goal(latency(99.9, "p99.9"), 0.4),
                (Figure::Cpu, Metric::share("CPU")),
            ],
        )
        .entry(
            "echo, 50 connections",
            "a server sends back what it reads, 64 bytes at a time; requests per second, latency, CPU time of the server per request",
        ),
        echo(
            1_000,
            vec![
                (Figure::Time, Metric::rate().goal(1.1)),
                latency(50.0, "p50"),
                with_goal(latency(99.0, "p99"), 0.25),
                latency(99.9, "p99.9"),
                (Figure::Cpu, Metric::share("CPU")),
            ],
        )
        .entry("echo, 1,000 connections", "the same with 1,000 connections"),
        Served {
            service: Service::EchoTimeout,
            without: Some(Service::Echo),
            ..echo(
                50,
                vec![
                    (Figure::Time, Metric::rate()),
                    (Figure::ExtraTime, Metric::time().named("extra time").itself()),
                    (Figure::ExtraCpu, Metric::time().named("extra CPU").itself().goal(150.0)),
                ],
            )
        }
        .entry(
            "echo, timeouts",
            "the same with 50 connections and a timeout of 30 s around each read; and what that adds to the echo without",
        ),
    ]
}

/// The same server of hyper's for all; and one whose handlers compute.
fn http_servers() -> Vec<Entry> {
    let served = |connections, compute, others: &[Contestant], figures| Served {
        service: Service::Http { steps: 0 },
        without: None,
        compute,
        connections,
        contenders: [FILCH, TOKIO].map(Contestant::usual).iter().chain(others).copied().collect(),
        figures,
    };
    let mut entries = vec![
        served(
            64,
            Duration::ZERO,
            &[Contestant::usual("async-executor")],
            vec![
                (Figure::Time, Metric::rate().goal(1.12)),
                latency(50.0, "p50"),
                latency(99.0, "p99"),
                latency(99.9, "p99.9"),
                (Figure::Cpu, Metric::share("CPU").goal(0.92)),
            ],
        )
        .entry(
            "HTTP, 64 connections",
            "hyper answers 13 bytes of plain text, HTTP/1.1, keep-alive; requests per second, latency, CPU time of the server per request",
        ),
    ];
    const ONE_WORKER: &str = "filch, 1 worker";
    const CURRENT_THREAD: &str = "tokio current_thread";
    let one_worker = Contestant { name: ONE_WORKER, runtime: FILCH, workers: Some(1) };
    let others = [one_worker, Contestant::usual(CURRENT_THREAD)];
    for (micros, name, goal, than_one) in [
        (0, "handlers of 0 µs", None, None),
        (20, "handlers of 20 µs", Some(1.0), None),
        (100, "handlers of 100 µs", Some(1.0), None),
        (1000, "handlers of 1000 µs", Some(1.0), Some(1.6)),
    ] {
        let rate = Metric { goal, ..Metric::rate() };
        let figures = vec![
            (Figure::Time, rate),
            (Figure::Time, rate.named("against current_thread").against(CURRENT_THREAD)),
            (
                Figure::Time,
                Metric { goal: than_one, ..rate }.named("against 1 worker").against(ONE_WORKER),
            ),
            latency(99.0, "p99"),
            (Figure::Cpu, Metric::share("CPU")),
        ];
        entries.push(served(50, Duration::from_micros(micros), &others, figures).entry(
            name,
            "the same server with 50 connections, and handlers that compute so long;              also against tokio's current_thread runtime and against filch with a single worker",
        ));
    }
    entries
}

const REMOTE_IDLE: &str = "spawn_many_remote_idle";
const REMOTE_BUSY2: &str = "spawn_many_remote_busy2";

/// A figure that follows from two workloads.
pub(crate) struct Derived {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// This workload's time per operation …
    pub(crate) dividend: &'static str,
    /// … over this one's.
    pub(crate) divisor: &'static str,
    pub(crate) metric: Metric,
}

/// How unfair a runtime is to those who spawn from outside.
pub(crate) const FAIRNESS: Derived = Derived {
    name: "busy2 / remote_idle",
    about: "fairness: how much longer a task from outside takes if the workers spawn busily themselves",
    dividend: REMOTE_BUSY2,
    divisor: REMOTE_IDLE,
    metric: Metric { unit: Unit::Times, ..Metric::time().itself().goal(4.0) },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Plan;

    /// So that no workload rots: each does two tiny rounds for each contender.
    #[test]
    fn every_workload_does_its_work_for_every_contender() {
        let plan = Plan::quick(2);
        for entry in all() {
            for runner in &entry.contenders {
                let mut round = (runner.start)(plan);
                for _ in 0..2 {
                    let sample = round();
                    let what = format!("{} by {}: {sample:?}", entry.name, runner.contender);
                    assert_eq!(sample.ops, (entry.batch)(plan), "{what}");
                    assert_eq!(sample.figures.len(), entry.metrics.len(), "{what}");
                    let plausible = |figure: &f64| figure.is_nan() || *figure >= 0.0;
                    assert!(sample.figures.iter().all(plausible), "{what}");
                }
            }
        }
    }

    #[test]
    fn names_are_unique_and_fit_a_table() {
        let mut names: Vec<_> = all().iter().map(|entry| entry.name).collect();
        assert!(names.iter().all(|name| !name.contains(['|', '\n'])));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all().len());
        assert!(names.contains(&FAIRNESS.dividend) && names.contains(&FAIRNESS.divisor));
    }
}
