//! What a workload is, and what its figures mean.

use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

#[cfg(feature = "filch")]
use crate::contender::Filch;
use crate::contender::{AsyncExecutor, Contender, Tokio};

/// Whom the table is about.
pub(crate) const FILCH: &str = "filch";
/// Whom it is compared with.
pub(crate) const TOKIO: &str = "tokio";

/// How much to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Worker threads of each contender.
    pub(crate) workers: usize,
    /// At least so long is one round of one contender, where the workload can be repeated at will.
    pub(crate) round_time: Duration,
    /// Tiny sizes: to see that it works, not how fast.
    pub(crate) quick: bool,
}

impl Plan {
    /// A plan that measures.
    pub(crate) fn full(workers: usize) -> Plan {
        Plan { workers, round_time: Duration::from_millis(200), quick: false }
    }

    /// A plan that only shows that everything runs.
    pub(crate) fn quick(workers: usize) -> Plan {
        Plan { workers, round_time: Duration::ZERO, quick: true }
    }

    /// `full`, or if it is to be quick, `quick`.
    pub(crate) fn size(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }
}

/// What one round of one contender yields.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    /// How many operations were seen to be done: not how many were asked for.
    pub(crate) ops: usize,
    /// One for each [`Metric`] of the workload, in its unit, for each operation. NaN: this system does not tell.
    pub(crate) figures: Vec<f64>,
    /// How the latencies are spread, if that is what it is about: see [`stats::tail`](crate::stats::tail).
    pub(crate) tail: Vec<f64>,
}

impl Sample {
    pub(crate) fn new(ops: usize, figures: Vec<f64>) -> Sample {
        Sample { ops, figures, tail: Vec::new() }
    }

    pub(crate) fn with_tail(self, tail: Vec<f64>) -> Sample {
        Sample { tail, ..self }
    }
}

/// Words apart by spaces: how a process of its own answers.
impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.ops)?;
        self.figures.iter().try_for_each(|figure| write!(f, " {figure}"))?;
        write!(f, " {BETWEEN}")?;
        self.tail.iter().try_for_each(|value| write!(f, " {value}"))
    }
}

/// Figures before it, the tail after it.
const BETWEEN: &str = "|";

impl FromStr for Sample {
    type Err = Box<dyn Error>;

    fn from_str(text: &str) -> Result<Sample, Self::Err> {
        let mut words = text.split_whitespace();
        let ops = words.next().ok_or("empty")?.parse()?;
        let figures = words.by_ref().take_while(|word| *word != BETWEEN).map(str::parse);
        let figures = figures.collect::<Result<_, _>>()?;
        let tail = words.map(str::parse).collect::<Result<_, _>>()?;
        Ok(Sample { ops, figures, tail })
    }
}

/// Something to measure, written once for all contenders.
pub(crate) trait Workload: Copy + 'static {
    /// The operations of one batch; a round does at least one batch.
    fn batch(self, plan: Plan) -> usize;

    /// Gets everything ready, the runtime included. What comes back does one round each time it is called.
    fn start<C: Contender>(self, plan: Plan) -> impl FnMut() -> Sample + 'static;
}

/// Repeats `batch` for the time of a round and takes the time of one operation in nanoseconds. `batch` says how many it has done.
pub(crate) fn time_per_op(plan: Plan, mut batch: impl FnMut() -> usize) -> Sample {
    let start = Instant::now();
    let mut ops = batch();
    while start.elapsed() < plan.round_time {
        ops += batch();
    }
    Sample::new(ops, vec![start.elapsed().as_nanos() as f64 / ops as f64])
}

/// A workload's entry in the table.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    /// What is done and what is measured.
    pub(crate) about: &'static str,
    pub(crate) metrics: Vec<Metric>,
    /// Each round of each contender gets a process of its own.
    pub(crate) own_process: bool,
    /// More than the usual number of rounds.
    pub(crate) min_rounds: usize,
    /// See [`Workload::batch`].
    pub(crate) batch: Box<dyn Fn(Plan) -> usize>,
    pub(crate) contenders: Vec<Runner>,
}

/// A workload for one contender.
pub(crate) struct Runner {
    pub(crate) contender: &'static str,
    pub(crate) start: Box<dyn Fn(Plan) -> Box<dyn FnMut() -> Sample>>,
}

impl Runner {
    fn new<C: Contender>(workload: impl Workload) -> Runner {
        Runner {
            contender: C::NAME,
            start: Box::new(move |plan| Box::new(workload.start::<C>(plan))),
        }
    }
}

impl Entry {
    /// A workload that every contender runs.
    pub(crate) fn new(name: &'static str, about: &'static str, workload: impl Workload) -> Entry {
        Entry {
            name,
            about,
            metrics: Vec::new(),
            own_process: false,
            min_rounds: 0,
            batch: Box::new(move |plan| workload.batch(plan)),
            // The one list of contenders.
            contenders: Vec::from([
                #[cfg(feature = "filch")]
                Runner::new::<Filch>(workload),
                Runner::new::<Tokio>(workload),
                Runner::new::<AsyncExecutor>(workload),
            ]),
        }
    }

    pub(crate) fn metric(mut self, metric: Metric) -> Entry {
        self.metrics.push(metric);
        self
    }

    pub(crate) fn in_own_process(mut self) -> Entry {
        self.own_process = true;
        self
    }

    pub(crate) fn rounds_at_least(mut self, rounds: usize) -> Entry {
        self.min_rounds = rounds;
        self
    }
}

/// One figure of a workload and how to read it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric {
    /// Told apart by this if there are several; else empty.
    pub(crate) name: &'static str,
    pub(crate) unit: Unit,
    pub(crate) reading: Reading,
    /// For the ratio in this reading.
    pub(crate) goal: Option<f64>,
    /// Who is compared with whom.
    pub(crate) between: [&'static str; 2],
    /// What other languages need on the machine of the goals, in the same unit. filch is to be ahead of each.
    pub(crate) elsewhere: &'static [(&'static str, f64)],
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Unit {
    Nanoseconds,
    /// The figure is the time of one in nanoseconds; shown is how many there are in a second.
    PerSecond,
    Bytes,
    /// No unit: a quotient.
    Times,
}

/// Which way round the ratio is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reading {
    /// tokio's figure / filch's, the larger the better.
    Speedup,
    /// filch's figure / tokio's, the smaller the better.
    Share,
    /// filch's figure as it is, the smaller the better.
    Itself,
}

impl Metric {
    /// The time of an operation, read as a speedup.
    pub(crate) const fn time() -> Metric {
        Metric {
            name: "",
            unit: Unit::Nanoseconds,
            reading: Reading::Speedup,
            goal: None,
            between: [FILCH, TOKIO],
            elsewhere: &[],
        }
    }

    /// Operations per second, read as a speedup.
    pub(crate) const fn rate() -> Metric {
        Metric { unit: Unit::PerSecond, ..Metric::time() }
    }

    /// CPU time or lateness, read as a share of tokio's.
    pub(crate) const fn share(name: &'static str) -> Metric {
        Metric { name, reading: Reading::Share, ..Metric::time() }
    }

    /// Memory, read as a share of tokio's.
    pub(crate) const fn bytes(name: &'static str) -> Metric {
        Metric { unit: Unit::Bytes, ..Metric::share(name) }
    }

    /// Not compared with tokio's.
    pub(crate) const fn itself(self) -> Metric {
        Metric { reading: Reading::Itself, ..self }
    }

    pub(crate) const fn named(self, name: &'static str) -> Metric {
        Metric { name, ..self }
    }

    /// Compared with another contender than tokio.
    pub(crate) const fn against(self, other: &'static str) -> Metric {
        Metric { between: [self.between[0], other], ..self }
    }

    pub(crate) const fn goal(self, ratio: f64) -> Metric {
        Metric { goal: Some(ratio), ..self }
    }

    pub(crate) const fn elsewhere(self, figures: &'static [(&'static str, f64)]) -> Metric {
        Metric { elsewhere: figures, ..self }
    }
}

/// What no row may fall under with so many workers, as a share of tokio's figure: with more workers than the goals are for, that
/// is the rule.
pub(crate) fn floor(workers: usize) -> Option<f64> {
    (workers > 2).then_some(0.9)
}

impl Reading {
    /// The ratio of one round.
    pub(crate) fn ratio(self, filch: f64, tokio: f64) -> f64 {
        match self {
            Reading::Speedup => tokio / filch,
            Reading::Share => filch / tokio,
            Reading::Itself => filch,
        }
    }

    /// What is left of `goal` with so many workers: it is for 2. With more, on the 2 cores it was set on, 0.7 of it, but never
    /// worse than 0.9 of tokio.
    pub(crate) fn goal_for(self, goal: f64, workers: usize) -> f64 {
        match self {
            _ if workers <= 2 => goal,
            Reading::Speedup => (goal * 0.7).max(0.9),
            Reading::Share => (goal / 0.7).min(1.0 / 0.9),
            Reading::Itself => goal,
        }
    }

    pub(crate) fn reaches(self, ratio: f64, goal: f64) -> bool {
        match self {
            Reading::Speedup => ratio >= goal,
            Reading::Share | Reading::Itself => ratio <= goal,
        }
    }

    /// How many times better than tokio: what the plot shows, the larger the better for every reading.
    pub(crate) fn times_better(self, ratio: f64) -> Option<f64> {
        match self {
            Reading::Speedup => Some(ratio),
            Reading::Share => Some(1.0 / ratio),
            Reading::Itself => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings() {
        assert_eq!(Reading::Speedup.ratio(100.0, 400.0), 4.0);
        assert_eq!(Reading::Share.ratio(100.0, 400.0), 0.25);
        assert_eq!(Reading::Share.times_better(0.25), Some(4.0));
        assert!(Reading::Speedup.reaches(4.0, 4.0));
        assert!(!Reading::Share.reaches(0.6, 0.5));
    }

    #[test]
    fn goals_with_more_workers() {
        assert_eq!(Reading::Speedup.goal_for(4.0, 2), 4.0);
        assert!((Reading::Speedup.goal_for(4.0, 4) - 2.8).abs() < 1e-9);
        assert_eq!(Reading::Speedup.goal_for(1.0, 4), 0.9);
        assert_eq!(Reading::Share.goal_for(0.9, 4), 1.0 / 0.9);
    }

    #[test]
    fn a_sample_survives_its_way_between_processes() {
        let sample = Sample::new(40, vec![0.1, 12345.678]);
        assert_eq!(sample.to_string().parse::<Sample>().unwrap(), sample);
        let sample = sample.with_tail(vec![1.5, 7.25]);
        assert_eq!(sample.to_string().parse::<Sample>().unwrap(), sample);
        assert!("40 NaN".parse::<Sample>().unwrap().figures[0].is_nan());
        assert!("".parse::<Sample>().is_err());
        assert!("40 thread panicked".parse::<Sample>().is_err());
    }

    #[test]
    fn a_round_lasts_its_time_and_counts_what_was_done() {
        let plan = Plan { round_time: Duration::from_millis(5), ..Plan::full(1) };
        let start = Instant::now();
        let mut calls = 0;
        let sample = time_per_op(plan, || {
            calls += 1;
            10
        });
        assert!(start.elapsed() >= plan.round_time);
        assert_eq!(sample.ops, calls * 10);
        assert_eq!(time_per_op(Plan::quick(1), || 3).ops, 3);
    }
}
