//! What would stand in the way on 64 cores: a model, since no machine with so many is at hand. `-- --cores`.
//!
//! Each core does operations one after the other. Of each it spends some time on its own (`local_ns`), and some in places where
//! only one core can be at a time: a word whose cache line has to come over from the core that wrote it last, or a stretch under a
//! lock. The cores are the customers of a closed queueing network and these places its servers; *mean value analysis* gives the
//! exact throughput of such a network for 1, 2, 3, … customers:
//!
//! ```text
//! R(k) = demand(k) · (1 + queue(k) among n − 1)     a customer finds what one fewer leave
//! X    = n / (local + Σ R(k))                        operations per nanosecond
//! queue(k) among n = X · R(k)
//! ```
//!
//! The places and how often an operation comes by are read off the runtime's code, each with file and function (a test looks whether
//! they still exist). What each costs is measured: see [`Costs`]. What the model leaves out makes real machines worse: retries of
//! compare-exchange loops, memory bandwidth, the kernel. It says which place comes first, and about when, not how fast a machine is.

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;
use std::{fs, io, thread};

use crate::machine;
use crate::report::{markdown, notes, show};
use crate::workload::Unit;

/// A place where cores meet.
struct Place {
    name: &'static str,
    file: &'static str,
    function: &'static str,
    copies: Copies,
    what: &'static str,
    remedy: &'static str,
}

/// How many there are of a place.
#[derive(Clone, Copy, PartialEq)]
enum Copies {
    One,
    /// One, and only used if there are more workers than one set has.
    BeyondOneSet,
    EachSet,
    EachWorker,
}

impl Copies {
    fn among(self, workers: usize) -> usize {
        match self {
            Copies::One => 1,
            Copies::BeyondOneSet => usize::from(workers > SET),
            Copies::EachSet => workers.div_ceil(SET),
            Copies::EachWorker => workers,
        }
    }

    fn say(self) -> &'static str {
        match self {
            Copies::One => "one for all",
            Copies::BeyondOneSet => "one for all, with more than 32 workers",
            Copies::EachSet => "one for each 32 workers",
            Copies::EachWorker => "one for each worker",
        }
    }
}

const PLACES: [Place; 10] = [
    Place {
        name: "injector, push",
        file: "runtime/src/task/cell/links.rs",
        function: "push",
        copies: Copies::EachSet,
        what: "the top of the stack that all who spawn or wake from outside exchange; every worker reads its line at each fourth poll",
        remedy: "an injector for each 8 workers, chosen by the pushing thread; the readers' copy of \"is there any\" on a line of its own",
    },
    Place {
        name: "injector, portion",
        file: "runtime/src/scheduler/injector.rs",
        function: "pop",
        copies: Copies::EachSet,
        what: "the lock under which what came in is turned round and shared out: two lines of each task come over, written by the pusher \
               and by whoever turned it round",
        remedy: "try the lock instead of waiting for it; turn round outside of it; hand out whole chains",
    },
    Place {
        name: "turn of the sets",
        file: "runtime/src/scheduler/mod.rs",
        function: "next_set",
        copies: Copies::BeyondOneSet,
        what: "the counter that deals pushes out to the sets: one exchange for each push, by all",
        remedy: "a counter for each pushing thread: the two sets exist in order not to share a word",
    },
    Place {
        name: "depot",
        file: "runtime/src/task/pool.rs",
        function: "take_chain",
        copies: Copies::One,
        what: "chains of 64 blocks change hands if who spawns is not who completes: the hint `full` and a place, twice for each chain",
        remedy: "a depot for each group of cores; none needed before that",
    },
    Place {
        name: "sleep word",
        file: "runtime/src/scheduler/sleep.rs",
        function: "notify_one",
        copies: Copies::EachSet,
        what: "mask of the parked and count of searchers in one word: a worker that is woken, works and parks exchanges it three \
               times; a steal twice; every push reads it",
        remedy: "sets of 16 or 8; a searcher that finds work soon need not be counted (spin before the count)",
    },
    Place {
        name: "driver's turn",
        file: "runtime/src/io/driver.rs",
        function: "try_turn",
        copies: Copies::One,
        what: "one worker at a time takes events out of the poller and hands them over; its lock is tried before each park",
        remedy: "a poller for each set, a connection staying with the one it was registered with",
    },
    Place {
        name: "timer's thread",
        file: "timer/src/turn.rs",
        function: "expire",
        copies: Copies::One,
        what: "one heap, one thread: all that fires comes through it; it visits each shard twice in each turn, at most one turn in a millisecond",
        remedy: "a heap for each set of shards, turned by whoever of the set is awake",
    },
    Place {
        name: "due",
        file: "runtime/src/scheduler/due.rs",
        function: "pop",
        copies: Copies::EachSet,
        what: "what the timer woke, under a lock: pointers in, pointers out, 256 at a time",
        remedy: "none needed while the timer's thread comes first",
    },
    Place {
        name: "live list",
        file: "runtime/src/scheduler/live.rs",
        function: "remove",
        copies: Copies::EachWorker,
        what: "a lock for each worker: a task that waits enters the list of its worker and leaves it from wherever it ends; on n \
               workers each has the n-th part of it",
        remedy: "none: it gets thinner with each worker",
    },
    Place {
        name: "blocking pool",
        file: "runtime/src/blocking.rs",
        function: "submit",
        copies: Copies::One,
        what: "one lock around the queue of all jobs: in, out",
        remedy: "a queue for each set; jobs that wait for a disk do not need it",
    },
];

const INJECTOR: usize = 0;
const PORTION: usize = 1;
const TURN: usize = 2;
const DEPOT: usize = 3;
const SLEEP: usize = 4;
const DRIVER: usize = 5;
const TIMER: usize = 6;
const DUE: usize = 7;
const LIVE: usize = 8;
const BLOCKING: usize = 9;

/// How often an operation comes by a place: so many lines come over, and so long it stays besides.
struct Use {
    place: usize,
    lines: f64,
    fixed_ns: f64,
}

const fn lines(place: usize, lines: f64) -> Use {
    Use { place, lines, fixed_ns: 0.0 }
}

struct Operation {
    name: &'static str,
    /// Where the figures come from.
    about: &'static str,
    /// A core's own time: CPU time of one operation in RESULTS.md.
    local_ns: f64,
    uses: &'static [Use],
}

const OPERATIONS: [Operation; 9] = [
    Operation {
        name: "spawn from outside",
        about: "half of the cores spawn, half poll; 67 ns on three threads in `spawn_many_remote_idle`; one exchange for each push, and a look by \
                each fourth poll; two lines and a push into the deque (12 ns) for each task in a portion",
        local_ns: 130.0,
        uses: &[
            lines(INJECTOR, 1.25),
            Use { place: PORTION, lines: 2.0, fixed_ns: 12.0 },
            lines(TURN, 1.0),
            lines(DEPOT, 4.0 / 64.0),
        ],
    },
    Operation {
        name: "spawn + join inside",
        about: "58 ns; nothing is shared while all are busy: deque, chain of blocks and block of ids are the worker's own; ids come in blocks",
        local_ns: 58.0,
        uses: &[],
    },
    Operation {
        name: "spawn inside, polled by thieves",
        about: "the same where every task is stolen, 16 at a time (a thief takes half, 64 at most): two exchanges of the searchers' count a \
                steal, and chains that change hands",
        local_ns: 110.0,
        uses: &[lines(SLEEP, 2.0 / 16.0), lines(DEPOT, 4.0 / 64.0)],
    },
    Operation {
        name: "a task that waits once",
        about: "285 ns in `group of 1,000`; it enters the list of its worker and leaves it from another, two lines each time",
        local_ns: 285.0,
        uses: &[lines(LIVE, 4.0)],
    },
    Operation {
        name: "wake of a parked worker",
        about: "2.4 µs from futex to running and as much to lie down; a look and an exchange to notify, one to leave the search, one to announce; \
                the driver's lock tried each time",
        local_ns: 4_800.0,
        uses: &[lines(SLEEP, 4.0), lines(DRIVER, 2.0)],
    },
    Operation {
        name: "echo, one event",
        about: "5.2 µs CPU a request; one epoll_wait for 8 events, 0.1 µs of it and 0.1 µs of ours for each event in the turn; stolen 8 at a time",
        local_ns: 5_000.0,
        uses: &[Use { place: DRIVER, lines: 0.25, fixed_ns: 200.0 }, lines(SLEEP, 2.0 / 8.0)],
    },
    Operation {
        name: "sleep that fires",
        about: "1.03 µs CPU in `100,000 sleeps`, 0.4 of it the timer's thread; each waits once, so it enters a live list and leaves it",
        local_ns: 630.0,
        uses: &[
            Use { place: TIMER, lines: 0.0, fixed_ns: 400.0 },
            Use { place: DUE, lines: 4.0 / 256.0, fixed_ns: 10.0 },
        ],
    },
    Operation {
        name: "timeout, set and cancelled",
        about: "110 ns; the shard's lock is the worker's own, the heap never hears of it",
        local_ns: 110.0,
        uses: &[],
    },
    Operation {
        name: "spawn_blocking",
        about: "2.34 µs on two cores; two holds of the lock, about 50 ns each, and its own line twice each",
        local_ns: 4_400.0,
        uses: &[Use { place: BLOCKING, lines: 4.0, fixed_ns: 100.0 }],
    },
];

/// What a line that comes over costs, in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Costs {
    line_ns: f64,
}

/// As measured on the machine of the goals, and as on machines whose cores do not share a cache.
const COSTS: [(&str, Costs); 2] = [
    ("33 ns a line (two cores beside each other)", Costs { line_ns: 33.0 }),
    ("100 ns a line (cores that share no cache)", Costs { line_ns: 100.0 }),
];
const CORES: [usize; 6] = [2, 4, 8, 16, 32, 64];
const SET: usize = 32;

impl Use {
    /// How many such places there are.
    fn copies(&self, cores: usize) -> usize {
        PLACES[self.place].copies.among(cores)
    }

    /// Nanoseconds in each of them for one operation: each has its share.
    fn demand(&self, cores: usize, costs: Costs) -> f64 {
        (self.lines * costs.line_ns + self.fixed_ns) / self.copies(cores).max(1) as f64
    }
}

/// Operations per nanosecond on so many cores, each of which does `body_ns` of somebody's own work for each operation.
fn throughput(operation: &Operation, body_ns: f64, cores: usize, costs: Costs) -> f64 {
    let demands: Vec<f64> = operation
        .uses
        .iter()
        .flat_map(|used| vec![used.demand(cores, costs); used.copies(cores)])
        .collect();
    let mut queues = vec![0.0; demands.len()];
    let mut throughput = 0.0;
    for customers in 1..=cores {
        let stays: Vec<f64> =
            demands.iter().zip(&queues).map(|(demand, queue)| demand * (1.0 + queue)).collect();
        let cycle = operation.local_ns + body_ns + stays.iter().sum::<f64>();
        throughput = customers as f64 / cycle;
        queues = stays.iter().map(|stay| throughput * stay).collect();
    }
    throughput
}

/// The place with the largest demand, and how many cores keep it busy all the time: beyond that, more add nothing.
fn first_contended(
    operation: &Operation,
    body_ns: f64,
    costs: Costs,
) -> Option<(&'static str, usize)> {
    if operation.uses.is_empty() {
        return None;
    }
    // How many there are of a place depends on how many cores there are.
    for cores in 1..=MOST {
        let there = || operation.uses.iter().filter(|used| used.copies(cores) > 0);
        let demand = |used: &Use| used.demand(cores, costs);
        let Some(used) = there().max_by(|a, b| demand(a).total_cmp(&demand(b))) else { continue };
        let all: f64 = there().map(|used| demand(used) * used.copies(cores) as f64).sum();
        if cores as f64 * demand(used) >= operation.local_ns + body_ns + all {
            return Some((PLACES[used.place].name, cores));
        }
    }
    Some(("nothing yet", MOST))
}

/// Nobody asks for more cores than that.
const MOST: usize = 1_000;

/// What a shared word costs here, now: exchanges by one thread, and by two on the same word.
fn measured_exchanges() -> (f64, f64) {
    const TIMES: u64 = 200_000;
    let run = |threads: usize| {
        let word = AtomicU64::new(0);
        let begin = Barrier::new(threads);
        let run = || {
            begin.wait();
            let start = Instant::now();
            for _ in 0..TIMES {
                black_box(word.fetch_add(1, Relaxed));
            }
            start.elapsed().as_nanos() as f64 / TIMES as f64
        };
        let times: Vec<f64> = thread::scope(|scope| {
            let runs: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
            runs.into_iter().map(|run| run.join().expect("it only counts")).collect()
        });
        assert_eq!(word.load(Relaxed), TIMES * threads as u64);
        // Of two at the same time, each had half of them.
        times.iter().sum::<f64>() / (threads * threads) as f64
    };
    // The fastest was disturbed least.
    let fastest = |threads| (0..10).map(|_| run(threads)).fold(f64::INFINITY, f64::min);
    (fastest(1), fastest(2))
}

/// Prints, and writes if it is to.
pub(crate) fn run(write: bool, command: &str) -> io::Result<()> {
    let path = Path::new(machine::HERE).join("CORES.md");
    let text = document(command, fs::read_to_string(&path).ok().as_deref());
    println!("{text}");
    if write {
        fs::write(path, text)?;
        eprintln!("written: benches/CORES.md");
    }
    Ok(())
}

fn document(command: &str, previous: Option<&str>) -> String {
    let (alone, together) = measured_exchanges();
    let mut text = format!(
        "# On 64 cores\n\n\
         What would stand in the way on a machine that is not at hand: a model, in [src/cores.rs](src/cores.rs), from what the code does and what \
         things cost on two cores. Written by the command below; only the notes are by hand.\n\n\
         ```text\n{command}\n```\n\n\
         An exchange on a word here, when this was written: {alone:.1} ns by one thread, {together:.1} ns by two at once.\n\n{}",
        notes(previous)
    );
    text.push_str("## Where cores meet\n\n");
    for place in &PLACES {
        let often = place.copies.say();
        let Place { name, file, function, what, remedy, .. } = place;
        let _ = writeln!(
            text,
            "- **{name}** (`{function}` in `{file}`; {often}): {what}. *If it is in the way*: {remedy}."
        );
    }
    text.push_str("\n## The operations\n\n");
    for Operation { name, about, .. } in &OPERATIONS {
        let _ = writeln!(text, "- **{name}**: {about}.");
    }
    for (title, costs) in COSTS {
        let _ = writeln!(
            text,
            "\n## {title}\n\nHow many times as much as one core, and which place is busy all the time from how many cores on:\n"
        );
        text.push_str(&speedups(costs));
        text.push_str(
            "\nFrom how many cores on, if each operation comes with so much work of the program's own:\n\n",
        );
        text.push_str(&with_bodies(costs));
    }
    text
}

fn speedups(costs: Costs) -> String {
    let mut head = vec!["operation".to_owned(), "CPU of one".to_owned()];
    head.extend(CORES.map(|cores| format!("{cores} cores")));
    head.extend(["first in the way", "from"].map(str::to_owned));
    let body: Vec<_> =
        OPERATIONS
            .iter()
            .map(|operation| {
                let one = throughput(operation, 0.0, 1, costs);
                let mut row = vec![operation.name.to_owned(), show(1.0 / one, Unit::Nanoseconds)];
                row.extend(CORES.map(|cores| {
                    format!("{:.1} ×", throughput(operation, 0.0, cores, costs) / one)
                }));
                row.extend(match first_contended(operation, 0.0, costs) {
                    None => ["nothing".to_owned(), String::new()],
                    Some((place, cores)) => [place.to_owned(), from(cores)],
                });
                row
            })
            .collect();
    markdown(&head, &body)
}

fn with_bodies(costs: Costs) -> String {
    const BODIES: [(&str, f64); 4] =
        [("none", 0.0), ("1 µs", 1e3), ("10 µs", 1e4), ("100 µs", 1e5)];
    let mut head = vec!["operation".to_owned()];
    head.extend(BODIES.map(|(name, _)| name.to_owned()));
    let contended = OPERATIONS.iter().filter(|operation| !operation.uses.is_empty());
    let body: Vec<_> = contended
        .map(|operation| {
            let mut row = vec![operation.name.to_owned()];
            row.extend(BODIES.map(|(_, body_ns)| {
                let contended = first_contended(operation, body_ns, costs);
                contended
                    .map_or_else(String::new, |(place, cores)| format!("{} ({place})", from(cores)))
            }));
            row
        })
        .collect();
    markdown(&head, &body)
}

fn from(cores: usize) -> String {
    if cores == MOST { format!("> {MOST}") } else { cores.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEAR: Costs = COSTS[0].1;

    #[test]
    fn the_places_exist() {
        for Place { name, file, function, .. } in &PLACES {
            let path = Path::new(machine::HERE).join("..").join(file);
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
            let has = text.contains(&format!("fn {function}("))
                || text.contains(&format!("fn {function}<"));
            assert!(has, "{name}: there is no {function} in {file}");
        }
    }

    #[test]
    fn places_are_called_by_their_names() {
        let names = [INJECTOR, PORTION, TURN, DEPOT, SLEEP, DRIVER, TIMER, DUE, LIVE, BLOCKING]
            .map(|place| PLACES[place].name);
        let expected = "injector, push|injector, portion|turn of the sets|depot|sleep word|driver's turn|timer's thread|due|live list|blocking pool";
        assert_eq!(names.join("|"), expected);
    }

    #[test]
    fn what_shares_nothing_grows_with_the_cores() {
        let alone = Operation { name: "", about: "", local_ns: 50.0, uses: &[] };
        let ratio = throughput(&alone, 0.0, 64, NEAR) / throughput(&alone, 0.0, 1, NEAR);
        assert!((ratio - 64.0).abs() < 1e-9, "{ratio}");
        assert!(first_contended(&alone, 0.0, NEAR).is_none());
    }

    #[test]
    fn one_place_is_never_used_more_than_all_the_time() {
        // A core of its own time 100, and a place for 10: the known answers for two, and for very many.
        const USES: &[Use] = &[Use { place: TIMER, lines: 0.0, fixed_ns: 10.0 }];
        let operation = Operation { name: "", about: "", local_ns: 100.0, uses: USES };
        let two = throughput(&operation, 0.0, 2, NEAR);
        assert!((two - 2.0 / (100.0 + 10.0 * (1.0 + 10.0 / 110.0))).abs() < 1e-12, "{two}");
        let many = throughput(&operation, 0.0, 1_000, NEAR);
        assert!((0.0999..=0.1).contains(&many), "{many}");
        let (place, from) = first_contended(&operation, 0.0, NEAR).unwrap();
        assert_eq!((place, from), ("timer's thread", 11));
        assert!(first_contended(&operation, 1_000.0, NEAR).unwrap().1 > 100);
    }

    #[test]
    fn sets_halve_what_each_of_them_has() {
        let used = lines(SLEEP, 1.0);
        assert_eq!(used.demand(32, NEAR), 2.0 * used.demand(64, NEAR));
        let turn = lines(TURN, 1.0);
        assert_eq!((turn.copies(32), turn.copies(33), turn.demand(33, NEAR)), (0, 1, 33.0));
        assert_eq!(lines(LIVE, 1.0).copies(64), 64);
    }
}
