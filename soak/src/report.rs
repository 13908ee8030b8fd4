//! What is told at the end.

use std::fmt::Write;
use std::sync::{Arc, Mutex};

use crate::arguments::Arguments;
use crate::audit::Rest;
use crate::clock;
use crate::ledger::Ledger;
use crate::run::{Rests, Stalls};
use crate::system::{self, Usage};
use crate::world::World;

/// A long run's table shows only some of its epochs.
const ROWS: usize = 24;

/// Collects what the report is made from.
#[derive(Debug)]
pub(crate) struct Report {
    arguments: Arc<Arguments>,
    seed: u64,
    workers: usize,
    ledger: Arc<Ledger>,
    stalls: Stalls,
    world: &'static World,
    rests: Mutex<Rests>,
}

impl Report {
    pub(crate) fn new(
        arguments: &Arc<Arguments>,
        seed: u64,
        workers: usize,
        ledger: &Arc<Ledger>,
        stalls: &Stalls,
        world: &'static World,
    ) -> Report {
        Report {
            arguments: Arc::clone(arguments),
            seed,
            workers,
            ledger: Arc::clone(ledger),
            stalls: Arc::clone(stalls),
            world,
            rests: Mutex::default(),
        }
    }

    /// An epoch is over. The first ones are what others are compared with.
    pub(crate) fn rest(&self, rest: Rest, warm_up: bool) {
        let mut rests = self.rests.lock().unwrap();
        if warm_up {
            rests.baseline.learn(&rest);
            rests.warm_up += 1;
        } else {
            rests.baseline.compare(&rest, self.world);
        }
        rests.all.push(rest);
    }

    /// What to type to do the same again, and where it was done.
    pub(crate) fn head(&self) -> String {
        let mut command = format!(
            "soak --seed {} --duration {}s --workers {}",
            self.seed,
            self.arguments.duration.as_secs(),
            self.workers
        );
        if !self.arguments.only.is_empty() {
            command += &format!(" --only {}", self.arguments.only.join(","));
        }
        let commit =
            option_env!("FILCH_SOAK_COMMIT").map_or(String::new(), |c| format!(", commit {c}"));
        let version = env!("CARGO_PKG_VERSION");
        let build = if cfg!(debug_assertions) { "debug" } else { "release" };
        format!("`{command}`\n\n{}\nfilch {version}{commit}, {build} build", system::machine())
    }

    pub(crate) fn row(rest: &Rest) -> String {
        format!(
            "{} rounds, {} polls, heap {} KiB, RSS {} KiB, {} files, {} threads, worst lateness {:.0} ms",
            rest.rounds,
            rest.polls,
            rest.heap >> 10,
            rest.usage.rss_kib,
            rest.usage.fds,
            rest.usage.threads,
            rest.worst_late.as_secs_f64() * 1e3,
        )
    }

    /// To standard output, and into the file.
    pub(crate) fn write(&self, how: &str) {
        let text = self.text(how);
        println!("\n{text}");
        if let Some(path) = &self.arguments.report {
            if let Err(error) = std::fs::write(path, &text) {
                self.world.wrong(format!("{} could not be written: {error}", path.display()));
            }
        }
    }

    fn text(&self, how: &str) -> String {
        let mut text =
            format!("# A run of the soak\n\n{}, load {:.1}\n\n", self.head(), system::load());
        // (Into a string nothing fails.)
        let _ = self.books(&mut text);
        let _ = self.epochs(&mut text);
        let _ = self.crews(&mut text);
        let _ = self.verdict(&mut text, how);
        text
    }

    fn books(&self, text: &mut String) -> std::fmt::Result {
        let (sums, taken) = (self.ledger.sums(), self.ledger.taken());
        let [seconds, cpu] = [self.world.began.elapsed().as_secs_f64(), Usage::now().cpu_seconds];
        writeln!(text, "| | long-lived runtime | short ones | all |\n|---|---:|---:|---:|")?;
        let rows = [
            ("futures created", sums.created, taken.created),
            ("finished", sums.finished, taken.finished),
            ("cancelled", sums.cancelled, taken.cancelled),
            ("aborted by their owner", sums.aborted, taken.aborted),
            ("panicked", sums.panicked, taken.panicked),
            ("ended together", sums.ended(), taken.ended()),
            ("jobs created", sums.jobs, taken.jobs),
            ("jobs run or dropped", sums.jobs_ended, taken.jobs_ended),
        ];
        for (name, one, other) in rows {
            writeln!(text, "| {name} | {one} | {other} | {} |", one + other)?;
        }
        let all = sums.ended() + taken.ended();
        writeln!(
            text,
            "\n{all} futures in {seconds:.0} s: {:.0} a second, with {cpu:.0} s of CPU.",
            all as f64 / seconds
        )?;
        let (count, [half, most, nearly_all], worst) = self.world.lateness();
        writeln!(
            text,
            "{count} sleeps, none early; late by less than {half:?} (half of them), {most:?} (99 %), {nearly_all:?} \
             (99.9 %), at worst {worst:?}.",
        )?;
        let (pauses, paused) = *self.world.pauses.lock().unwrap();
        if pauses > 0 {
            writeln!(
                text,
                "The process did not run at all {pauses} times, for {paused:.0?} together (stopped, or no processor \
                 for it): that is part of the time, and of lateness and stalls."
            )?;
        }
        let refused = self.world.refused.load(std::sync::atomic::Ordering::Relaxed);
        writeln!(text, "Connections and runtimes that the system refused or cut: {refused}.\n")
    }

    fn epochs(&self, text: &mut String) -> std::fmt::Result {
        let rests = self.rests.lock().unwrap();
        let (count, most) = (rests.all.len(), &rests.baseline);
        writeln!(
            text,
            "At rest, after each of {count} epochs (the first {} are what the others are compared with; allowed were {} \
             KiB of heap, {} KiB resident, {} files):\n",
            rests.warm_up,
            most.most_heap() >> 10,
            most.most_rss_kib(),
            most.most_fds()
        )?;
        writeln!(
            text,
            "| at | futures | heap KiB | RSS KiB | files | threads | stalls | worst lateness | did not run so far |"
        )?;
        writeln!(text, "|---|---:|---:|---:|---:|---:|---:|---:|---:|")?;
        let step = count.div_ceil(ROWS).max(1);
        for (i, rest) in rests.all.iter().enumerate() {
            if i % step == 0 || i + 1 == count {
                writeln!(
                    text,
                    "| {} | {} | {} | {} | {} | {} | {} | {:.0} ms | {:.0} s |",
                    clock(rest.at),
                    rest.sums.created,
                    rest.heap >> 10,
                    rest.usage.rss_kib,
                    rest.usage.fds,
                    rest.usage.threads,
                    rest.stalls,
                    rest.worst_late.as_secs_f64() * 1e3,
                    rest.paused.as_secs_f64()
                )?;
            }
        }
        writeln!(text)
    }

    fn crews(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "Rounds:")?;
        for post in self.world.posts.lock().unwrap().iter() {
            let rounds = post.rounds.load(std::sync::atomic::Ordering::Relaxed);
            write!(text, " {} {rounds},", post.name)?;
        }
        text.pop();
        writeln!(text, ".\n\nStalls that were reported (`blocked` is meant to):\n")?;
        for (name, (count, longest)) in self.stalls.lock().unwrap().iter() {
            writeln!(text, "- {name}: {count}, the longest of {longest:.0?}")?;
        }
        writeln!(text)
    }

    fn verdict(&self, text: &mut String, how: &str) -> std::fmt::Result {
        let (count, wrong) = self.world.wrongs();
        match count {
            0 => writeln!(text, "**Nothing was wrong** ({how})."),
            _ => {
                writeln!(text, "**{count} things were wrong** ({how}):\n")?;
                wrong.iter().try_for_each(|wrong| writeln!(text, "- {}", wrong.replace('\n', " ")))
            }
        }
    }
}
