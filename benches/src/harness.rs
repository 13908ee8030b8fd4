//! Rounds in which the contenders take turns, and processes of their own for what only a whole process can tell.

use std::env;
use std::io;
use std::process::{Command, Stdio};

use crate::workload::{Entry, Metric, Plan, Sample};

/// All figures of a workload.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) contenders: Vec<Figures>,
}

/// What one contender reached.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub(crate) contender: &'static str,
    /// By metric, then by round.
    pub(crate) by_metric: Vec<Vec<f64>>,
    /// By round; empty if it is not about latencies.
    pub(crate) tails: Vec<Vec<f64>>,
}

impl Measured {
    /// The figures of each round, if that contender took part.
    pub(crate) fn rounds(&self, contender: &str, metric: usize) -> Option<&[f64]> {
        let figures = self.contenders.iter().find(|figures| figures.contender == contender)?;
        Some(&figures.by_metric[metric])
    }
}

/// Runs `entry` for every contender in turn, `rounds` times. `progress` is told each round, 0 being the one that warms up.
pub(crate) fn measure(
    entry: &Entry,
    plan: Plan,
    rounds: usize,
    mut progress: impl FnMut(usize),
) -> io::Result<Measured> {
    type Round = Box<dyn FnMut() -> io::Result<Sample>>;
    let batch = (entry.batch)(plan);
    let mut turns: Vec<Round> = Vec::new();
    for runner in &entry.contenders {
        let contender = runner.contender;
        let name = entry.name;
        turns.push(if entry.own_process {
            Box::new(move || in_child(name, contender, plan))
        } else {
            let mut round = (runner.start)(plan);
            Box::new(move || Ok(round()))
        });
    }
    let mut contenders: Vec<_> = entry
        .contenders
        .iter()
        .map(|runner| Figures {
            contender: runner.contender,
            by_metric: vec![Vec::with_capacity(rounds); entry.metrics.len()],
            tails: Vec::new(),
        })
        .collect();

    // A process that starts afresh each time has nothing to warm up.
    let first = usize::from(entry.own_process);
    for round in first..=rounds {
        progress(round);
        for (turn, figures) in turns.iter_mut().zip(&mut contenders) {
            let sample = turn()?;
            let (name, contender) = (entry.name, figures.contender);
            if sample.ops == 0 || sample.ops % batch != 0 {
                let ops = sample.ops;
                let what =
                    format!("{name}: {contender} did {ops} operations, not batches of {batch}");
                return Err(io::Error::other(what));
            }
            assert_eq!(
                sample.figures.len(),
                entry.metrics.len(),
                "{name}: a figure for each metric"
            );
            if round > 0 {
                for (rounds, figure) in figures.by_metric.iter_mut().zip(sample.figures) {
                    rounds.push(figure);
                }
                figures.tails.push(sample.tail);
            }
        }
    }
    Ok(Measured {
        name: entry.name,
        about: entry.about,
        metrics: entry.metrics.clone(),
        contenders,
    })
}

/// The hidden argument that makes this program do one round of one contender; followed by the names of both.
pub(crate) const CHILD: &str = "child";

/// One round in a process of its own.
fn in_child(workload: &str, contender: &str, plan: Plan) -> io::Result<Sample> {
    let mut command = Command::new(env::current_exe()?);
    command.arg(format!("--{CHILD}")).args([workload, contender]);
    command.args(["--workers", &plan.workers.to_string()]);
    if plan.quick {
        command.arg("--quick");
    }
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    let answer = String::from_utf8_lossy(&output.stdout);
    match answer.parse() {
        Ok(sample) if output.status.success() => Ok(sample),
        _ => Err(io::Error::other(format!(
            "{workload} by {contender}: {}, answer {answer:?}",
            output.status
        ))),
    }
}

/// The other side of [`in_child`].
pub(crate) fn be_child(
    entries: &[Entry],
    workload: &str,
    contender: &str,
    plan: Plan,
) -> Option<Sample> {
    let entry = entries.iter().find(|entry| entry.name == workload)?;
    let runner = entry.contenders.iter().find(|runner| runner.contender == contender)?;
    Some((runner.start)(plan)())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contender::Contender;
    use crate::workload::{Workload, time_per_op};

    /// Its first round is different, so that it shows if the warm-up counts.
    #[derive(Clone, Copy)]
    struct Nothing {
        done: usize,
    }

    impl Workload for Nothing {
        fn batch(self, _: Plan) -> usize {
            2
        }

        fn start<C: Contender>(self, plan: Plan) -> impl FnMut() -> Sample + 'static {
            let mut round = 0.0;
            move || {
                let ops = time_per_op(plan, || self.done).ops;
                round += 1.0;
                Sample::new(ops, vec![round])
            }
        }
    }

    #[test]
    fn the_warm_up_does_not_count() {
        let entry = Entry::new("nothing", "", Nothing { done: 2 }).metric(Metric::time());
        let mut seen = Vec::new();
        let measured = measure(&entry, Plan::quick(1), 3, |round| seen.push(round)).unwrap();
        assert_eq!(seen, [0, 1, 2, 3]);
        assert_eq!(measured.rounds("tokio", 0).unwrap(), [2.0, 3.0, 4.0]);
        assert_eq!(measured.rounds("async-executor", 0).unwrap().len(), 3);
        assert!(measured.rounds("nobody", 0).is_none());
    }

    #[test]
    fn a_contender_that_does_half_the_work_is_no_contender() {
        let entry = Entry::new("nothing", "", Nothing { done: 3 }).metric(Metric::time());
        let error = measure(&entry, Plan::quick(1), 1, |_| ()).unwrap_err();
        assert!(error.to_string().contains("3 operations"), "{error}");
    }
}
