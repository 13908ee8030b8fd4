//! Runs a scenario in many orders, and one of them again.

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use filch_shuttle_primitive::time::{self, Clock};
use shuttle::scheduler::{
    PctScheduler, RandomScheduler, ReplayScheduler, Schedule, Scheduler, Task, TaskId,
    UncontrolledNondeterminismCheckScheduler,
};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

use crate::scenarios;

/// So many executions each scenario gets, times its own share; a deeper exploration asks for more.
pub(crate) const ITERATIONS: &str = "FILCH_SHUTTLE_ITERATIONS";
/// Where the random numbers begin.
pub(crate) const SEED: &str = "FILCH_SHUTTLE_SEED";
/// A file with the schedule that is to be run again.
pub(crate) const REPLAY: &str = "FILCH_SHUTTLE_REPLAY";
/// The folder for such files.
pub(crate) const SCHEDULES: &str = "FILCH_SHUTTLE_SCHEDULES";

/// Nothing that ends takes so many steps.
const MOST_STEPS: usize = 400_000;

/// Explores the scenario of this name.
pub(crate) fn named(name: &str) {
    let all = scenarios::ALL.iter().copied().flatten();
    let found = all.copied().find(|(other, ..)| *other == name);
    let (name, times, scenario) = found.unwrap_or_else(|| panic!("there is no scenario {name}"));
    explore(name, times, scenario);
}

/// Half of the executions take random orders, half have few preemptions at unlucky places.
fn explore(name: &str, times: usize, scenario: fn()) {
    let number = |name, usual| match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is {text}: not a number")),
        Err(_) => usual,
    };
    if let Ok(file) = std::env::var(REPLAY) {
        let scheduler = ReplayScheduler::new_from_file(&file).expect("there is such a schedule");
        let scheduler = Patient::replay(scheduler);
        Runner::new(scheduler, config(FailurePersistence::None)).run(move || run(scenario));
        println!("{name}: nothing failed in {file}");
        return;
    }
    let iterations = number(ITERATIONS, 600) * times;
    let seed = number(SEED, 1) as u64;
    let usual = || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("schedules");
    let folder = std::env::var_os(SCHEDULES).map_or_else(usual, PathBuf::from);
    fs::create_dir_all(&folder).expect("a folder for schedules");
    let execution = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&execution);
    let persist = FailurePersistence::File(Some(folder));
    let explored = panic::catch_unwind(AssertUnwindSafe(|| {
        let half = iterations.div_ceil(2);
        let counted = move || {
            count.fetch_add(1, Ordering::Relaxed);
            run(scenario);
        };
        let random = Patient::new(RandomScheduler::new_from_seed(seed, half), seed);
        Runner::new(random, config(persist.clone())).run(counted.clone());
        for depth in [2, 3, 5] {
            let pct = PctScheduler::new_from_seed(seed + depth as u64, depth, half.div_ceil(3));
            Runner::new(Patient::new(pct, seed), config(persist.clone())).run(counted.clone());
        }
    }));
    if let Err(payload) = explored {
        eprintln!(
            "{name} has failed in execution {}. To run the same order of steps again, with the file named above:\n  \
             {REPLAY}=FILE cargo test -p shuttle-tests -- --exact {name} --nocapture",
            execution.load(Ordering::Relaxed),
        );
        panic::resume_unwind(payload);
    }
}

/// Runs some executions of each scenario twice: the second time everybody must be able to do what they could the first
/// time. (Else a schedule in a file would lead elsewhere.)
pub(crate) fn all_twice(executions: usize) {
    for &(name, _, scenario) in scenarios::ALL.iter().copied().flatten() {
        println!("{name}, twice");
        let random = Patient::new(RandomScheduler::new_from_seed(1, executions), 1);
        // The outermost one tells the clock of a hurry, the second time as well.
        let twice = Patient::replay(UncontrolledNondeterminismCheckScheduler::new(random));
        Runner::new(twice, config(FailurePersistence::None)).run(move || run(scenario));
    }
}

fn config(failure_persistence: FailurePersistence) -> Config {
    let mut config = Config::new();
    config.stack_size = 0x40000;
    config.failure_persistence = failure_persistence;
    config.max_steps = MaxSteps::FailAfter(MOST_STEPS);
    config.silence_warnings = true;
    config
}

fn run(scenario: fn()) {
    let _clock = Clock::start();
    scenario();
}

/// A scheduler that lets the clock thread run only when nobody else can, and now and then before that. Likewise for
/// those who may wake up for no reason.
struct Patient<S> {
    inner: S,
    is_replay: bool,
    state: u64,
}

/// Once in so many steps, time passes although there is something to do.
const IMPATIENCE: u64 = 200;

impl<S> Patient<S> {
    fn new(inner: S, seed: u64) -> Patient<S> {
        Patient { inner, is_replay: false, state: seed ^ 0x9e37_79b9_7f4a_7c15 }
    }

    /// One that knows already what is to be done.
    fn replay(inner: S) -> Patient<S> {
        Patient { is_replay: true, ..Patient::new(inner, 0) }
    }

    fn random(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }
}

fn is_clock(task: &Task) -> bool {
    usize::from(task.id()) == 1
}

impl<S: Scheduler> Scheduler for Patient<S> {
    fn new_execution(&mut self) -> Option<Schedule> {
        self.inner.new_execution()
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        is_yielding: bool,
    ) -> Option<TaskId> {
        let at_work = |task: &&&Task| !is_clock(task) && !task.can_spuriously_wakeup();
        let workers: Vec<_> = runnable.iter().filter(at_work).copied().collect();
        time::hurry(!workers.is_empty());
        if self.is_replay || workers.len() == runnable.len() || self.random() % IMPATIENCE == 0 {
            return self.inner.next_task(runnable, current, is_yielding);
        }
        if workers.is_empty() {
            let clock = runnable.iter().find(|task| is_clock(task));
            if let Some(clock) = clock {
                return Some(clock.id());
            }
            return self.inner.next_task(runnable, current, is_yielding);
        }
        self.inner.next_task(&workers, current, is_yielding)
    }

    fn next_u64(&mut self) -> u64 {
        self.inner.next_u64()
    }
}
