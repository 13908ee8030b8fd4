//! The core operations for another harness: `benches/criterion.rs`, for those who want to compare two versions of their own.

use std::fmt;

use crate::workload::{Entry, Plan};
use crate::workloads;

/// What is handed out: short, on all contenders, in this process, and about nothing but time.
const CORE: [&str; 10] = [
    "spawn_many_local",
    "spawn_many_remote_idle",
    "yield_many",
    "ping_pong",
    "chained_spawn",
    "spawn + join 10k",
    "spawn + await one",
    "group of 1,000",
    "channel, tachyonix",
    "timeout around a yield",
];

/// A workload of the table, for each contender.
pub struct Operation(Entry);

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Operation").field(&self.name()).finish()
    }
}

impl Operation {
    /// As the table has it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// Those who do it, by name.
    pub fn contenders(&self) -> impl Iterator<Item = &'static str> {
        self.0.contenders.iter().map(|runner| runner.contender)
    }

    /// How many operations one call of what [`Operation::start`] gives is, with so many workers.
    #[must_use]
    pub fn batch(&self, workers: usize) -> usize {
        (self.0.batch)(plan(workers))
    }

    /// Starts the contender's runtime. What comes back does one batch each time it is called.
    ///
    /// # Panics
    ///
    /// If nobody of that name is among the contenders; and what comes back, if the work was not done.
    #[must_use]
    pub fn start(&self, contender: &str, workers: usize) -> Box<dyn FnMut()> {
        let runner = self.0.contenders.iter().find(|runner| runner.contender == contender);
        let mut round = (runner.expect("a contender's name").start)(plan(workers));
        let batch = self.batch(workers);
        Box::new(move || assert_eq!(round().ops, batch, "all of it is done"))
    }
}

/// One batch is one round.
fn plan(workers: usize) -> Plan {
    Plan { round_time: std::time::Duration::ZERO, ..Plan::full(workers) }
}

/// The core operations.
#[must_use]
pub fn operations() -> Vec<Operation> {
    let entries = workloads::all().into_iter();
    entries.filter(|entry| CORE.contains(&entry.name)).map(Operation).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_operations_do_a_batch_at_a_time() {
        let operations = operations();
        assert_eq!(operations.len(), CORE.len());
        let yields = operations.iter().find(|operation| operation.name() == "yield_many").unwrap();
        assert_eq!(yields.batch(2), 200_000);
        assert!(yields.contenders().any(|name| name == "tokio"));
        yields.start("tokio", 2)();
    }
}
