//! How costs grow: the same thing with ten tasks and with ten million, with one worker and with 64. `-- --growth`.
//!
//! What a table of medians cannot show is what a cost depends on. A list that is searched, a lock that all share, a heap that no
//! longer fits the cache: each is seen as a curve that rises. So each point is measured in a process of its own (memory that has been
//! given back to the allocator would make the next point look better), the contenders in turn, and there is a time after which
//! points are left out and said to be, not measured in a hurry.

mod report;
mod sockets;
mod tasks;
mod timers;
mod workers;

use std::env;
use std::error::Error;
use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

#[cfg(feature = "filch")]
use crate::contender::Filch;
use crate::contender::{Contender, Serves, Tokio};
use crate::workload::Unit;
use crate::{curves, machine};

/// After that no point is begun.
const LIMIT: Duration = Duration::from_secs(5 * 60 + 20);
/// One point; a process that takes longer is ended.
const POINT_LIMIT: Duration = Duration::from_secs(30);
/// No point is to need more memory than that.
const MEMORY: usize = 6_000_000_000;
/// Points of so many or more are measured once.
const LARGE: usize = 1_000_000;

/// Something that is done in sizes.
pub(crate) struct Growth {
    name: &'static str,
    about: &'static str,
    /// What there is more and more of.
    of: &'static str,
    sizes: &'static [usize],
    /// At most so much memory for each of them.
    bytes_each: usize,
    /// For each of the figures that come back: its name and unit.
    figures: &'static [(&'static str, Unit)],
    contenders: Vec<Runner>,
}

struct Runner {
    contender: &'static str,
    measure: Box<dyn Fn(usize, usize) -> Vec<f64>>,
}

/// Written once for all contenders.
trait Grows: Copy + 'static {
    /// The figures for this size; NaN: too small to tell. `workers` does not concern those whose size it is.
    fn measure<C: Serves>(self, size: usize, workers: usize) -> Vec<f64>;
}

impl Growth {
    fn new(name: &'static str, about: &'static str, grows: impl Grows) -> Growth {
        fn runner<C: Serves>(grows: impl Grows) -> Runner {
            Runner {
                contender: <C as Contender>::NAME,
                measure: Box::new(move |size, workers| grows.measure::<C>(size, workers)),
            }
        }
        Growth {
            name,
            about,
            of: "tasks",
            sizes: &[],
            bytes_each: 0,
            figures: &[],
            contenders: Vec::from([
                #[cfg(feature = "filch")]
                runner::<Filch>(grows),
                runner::<Tokio>(grows),
            ]),
        }
    }
}

const TO_TEN_MILLION: &[usize] = &[10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];
const NANOS: Unit = Unit::Nanoseconds;

fn all() -> Vec<Growth> {
    vec![
        Growth {
            sizes: TO_TEN_MILLION,
            bytes_each: 500,
            figures: &[("spawn + join", NANOS)],
            ..Growth::new(
                "spawn + join",
                "a task spawns so many empty tasks, then joins them all; time per task",
                tasks::SpawnJoin,
            )
        },
        Growth {
            // With fewer it is seen how long a thread takes to look again, no more.
            sizes: &TO_TEN_MILLION[2..],
            bytes_each: 500,
            figures: &[
                ("sleeping task: memory", Unit::Bytes),
                ("sleeping task: start", NANOS),
                ("sleeping task: cancel", NANOS),
            ],
            ..Growth::new(
                "sleeping tasks",
                "so many tasks each in a sleep of an hour: peak memory per task (from 10,000 on: it is counted in pages), time until all \
                 sleep and until all are cancelled, per task",
                tasks::Sleeping,
            )
        },
        Growth {
            of: "waiting tasks",
            sizes: TO_TEN_MILLION,
            bytes_each: 500,
            figures: &[("one more beside them", NANOS), ("end of the runtime", NANOS)],
            ..Growth::new(
                "waiting tasks",
                "beside so many tasks that wait, a task is started, waits, is woken and joined, over and over; time for each. Then \
                 the runtime is dropped with all that wait; time per task (from 1,000 on: threads end, too)",
                tasks::Waiting,
            )
        },
        Growth {
            of: "timers",
            sizes: TO_TEN_MILLION,
            bytes_each: 400,
            figures: &[
                ("timer: set + cancel, hours", NANOS),
                ("timer: set + cancel, within 10 s", NANOS),
                ("timer: set + fire, CPU", NANOS),
            ],
            ..Growth::new(
                "timers",
                "beside so many timers one task sets and cancels others, in batches of 1,000, all of 1 to 2 hours, or 1 to 10 s; time \
                 for each, one allocation included. And one task sets so many that fire within as many microseconds, and waits for \
                 all; CPU time for each",
                timers::Timers,
            )
        },
        Growth {
            of: "workers",
            sizes: &[1, 2, 4, 8, 16, 32, 64],
            figures: &[
                ("spawn + join 10k", NANOS),
                ("spawn from outside", NANOS),
                ("yield", NANOS),
                ("start + stop of a worker", NANOS),
            ],
            ..Growth::new(
                "workers",
                "so many workers, whatever cores there are: a task spawns and joins 10,000; a thread outside does; 200 tasks yield; time \
                 per task, per yield. And a runtime is started and dropped; time per worker",
                workers::Workers,
            )
        },
        Growth {
            of: "connections",
            sizes: &[1, 10, 100, 1_000, 10_000],
            bytes_each: 50_000,
            figures: &[
                ("echo: time per request", NANOS),
                ("echo: CPU per request", NANOS),
                ("echo: memory per connection", Unit::Bytes),
            ],
            ..Growth::new(
                "connections",
                "echo of 64 bytes as in the table, with so many connections; time and the server's CPU per request, the server's \
                 memory per connection (from 1,000 on)",
                sockets::Echo,
            )
        },
    ]
}

/// The hidden argument that makes this program measure one point; followed by the name, the contender and the size.
pub(crate) const POINT: &str = "point";

/// What was asked for on the command line.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) filter: Option<&'a str>,
    pub(crate) rounds: usize,
    pub(crate) workers: usize,
    pub(crate) quick: bool,
    pub(crate) write: bool,
    pub(crate) command: &'a str,
}

/// All figures of a [`Growth`].
struct Grown {
    growth: Growth,
    /// By contender, size, figure, round.
    rounds: Vec<Vec<Vec<Vec<f64>>>>,
    left_out: Vec<String>,
}

/// Measures, prints, and writes if it is to.
pub(crate) fn run(asked: &Asked<'_>) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let mut grown = Vec::new();
    for growth in all() {
        if asked.filter.is_none_or(|filter| growth.name.contains(filter)) {
            eprintln!("{}", growth.name);
            grown.push(measure(growth, asked, start + LIMIT)?);
        }
    }
    if grown.is_empty() {
        return Err("nothing that grows has such a name".into());
    }
    for grown in &grown {
        println!("{}", report::tables(grown));
    }
    eprintln!("took {:.0} s", start.elapsed().as_secs_f64());
    if asked.write {
        let here = Path::new(machine::HERE);
        let path = here.join("GROWTH.md");
        let previous = fs::read_to_string(&path).ok();
        let text = report::document(&grown, asked, previous.as_deref());
        fs::write(path, text)?;
        let panels: Vec<_> = grown.iter().flat_map(report::panels).collect();
        fs::write(here.join("GROWTH.svg"), curves::svg("What more of it costs", &panels)?)?;
        eprintln!("written: benches/GROWTH.md, benches/GROWTH.svg");
    }
    Ok(())
}

fn measure(growth: Growth, asked: &Asked<'_>, deadline: Instant) -> io::Result<Grown> {
    let sizes = if asked.quick { &growth.sizes[..2] } else { growth.sizes };
    let none = vec![vec![Vec::new(); growth.figures.len()]; growth.sizes.len()];
    let mut rounds = vec![none; growth.contenders.len()];
    let mut left_out = Vec::new();
    for (index, &size) in sizes.iter().enumerate() {
        let needs = size.saturating_mul(growth.bytes_each);
        let why = if needs > MEMORY.min(available().unwrap_or(MEMORY)) {
            Some(format!("{} MB of memory are not to be had", needs / 1_000_000))
        } else if Instant::now() > deadline {
            Some(format!("the {} s for all points are over", LIMIT.as_secs()))
        } else {
            None
        };
        if let Some(why) = why {
            left_out.push(format!("{size} {}: {why}", growth.of));
            continue;
        }
        for _ in 0..if size >= LARGE { 1 } else { asked.rounds } {
            for (runner, rounds) in growth.contenders.iter().zip(&mut rounds) {
                match in_child(&growth, runner.contender, size, asked.workers) {
                    Ok(figures) => {
                        for (rounds, figure) in rounds[index].iter_mut().zip(figures) {
                            rounds.push(figure);
                        }
                    }
                    Err(why) => left_out
                        .push(format!("{size} {} by {}: {why}", growth.of, runner.contender)),
                }
            }
        }
    }
    left_out.iter().for_each(|what| eprintln!("  left out: {what}"));
    Ok(Grown { growth, rounds, left_out })
}

/// Memory that may be used without harm to others, if the system tells.
fn available() -> Option<usize> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024 / 4 * 3)
}

fn in_child(
    growth: &Growth,
    contender: &str,
    size: usize,
    workers: usize,
) -> Result<Vec<f64>, Box<dyn Error>> {
    let mut command = Command::new(env::current_exe()?);
    command.arg(format!("--{POINT}")).args([growth.name, contender, &size.to_string()]);
    command.args(["--workers", &workers.to_string()]);
    let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let start = Instant::now();
    let status = loop {
        if let Some(status) = process.try_wait()? {
            break status;
        }
        if start.elapsed() > POINT_LIMIT {
            process.kill()?;
            process.wait()?;
            return Err(format!("took more than {} s", POINT_LIMIT.as_secs()).into());
        }
        thread::sleep(Duration::from_millis(2));
    };
    // One line: it fits the pipe.
    let mut answer = String::new();
    process.stdout.take().expect("piped").read_to_string(&mut answer)?;
    if !status.success() {
        return Err(format!("{status}").into());
    }
    let figures: Vec<f64> = answer.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    if figures.len() != growth.figures.len() {
        return Err(format!("answered {answer:?}").into());
    }
    Ok(figures)
}

/// The other side of `in_child`: one line of figures. None: no such point.
pub(crate) fn be_child(name: &str, contender: &str, size: usize, workers: usize) -> Option<String> {
    let growths = all();
    let growth = growths.iter().find(|growth| growth.name == name)?;
    let runner = growth.contenders.iter().find(|runner| runner.contender == contender)?;
    let figures = (runner.measure)(size, workers);
    Some(figures.iter().map(f64::to_string).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So that nothing rots: the smallest size of each, for every contender.
    #[test]
    fn everything_that_grows_does_its_work() {
        for growth in all() {
            for runner in &growth.contenders {
                let figures = (runner.measure)(growth.sizes[0], 2);
                let what = format!("{} by {}: {figures:?}", growth.name, runner.contender);
                assert_eq!(figures.len(), growth.figures.len(), "{what}");
                assert!(figures.iter().all(|figure| figure.is_nan() || *figure >= 0.0), "{what}");
                assert!(figures.iter().any(|figure| figure.is_finite()), "{what}");
            }
        }
    }

    #[test]
    fn no_point_may_need_more_memory_than_there_is_to_be() {
        for growth in all() {
            let largest = growth.sizes.last().unwrap() * growth.bytes_each;
            assert!(largest <= MEMORY, "{}: {largest}", growth.name);
        }
    }
}
