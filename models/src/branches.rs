//! Several branches in one task against the rules of cancellation.
//!
//! In the programs of [`tasks`](crate::tasks) nothing is polled beside something else of the same task. Here it is: a program is
//! one task of zips (both branches end) and tries (the first token ends the other branch), with catches, shields and groups
//! in them, and it is cancelled once. What it went through, and when, must be what the model says. And a
//! task may stand still for one reason only: a branch that has ended has given its token to a zip, which keeps it; then
//! the runtime must say who holds it up.

mod model;
mod real;

use crate::source::Source;
use crate::{Target, Verdict};

/// See the module.
pub const TARGET: Target = Target { name: "branches", run, longest: 200 };

type Ns = u64;
type StepNo = usize;

const MS: Ns = 1_000_000;
/// More steps than that are cut to sleeps.
const LONGEST: StepNo = 120;
/// Nothing lasts so long: who has not ended by then never will.
const LATE: Ns = 1_000_000 * MS;

#[derive(Debug)]
enum Step {
    Sleep(StepNo, Ns),
    /// What is tried, the cleanup, and what becomes of the token after that.
    Catch(StepNo, Box<Step>, Box<Step>, Answer),
    Shield(Box<Step>),
    Group(StepNo, Vec<Member>, Box<Step>),
    /// Ends when both have.
    Zip(StepNo, Box<Step>, Box<Step>),
    /// Ends when both have, or one with a token.
    Try(StepNo, Box<Step>, Box<Step>),
    Seq(Vec<Step>),
}

/// Sleeps; if it is cancelled meanwhile, cleans up for some time.
#[derive(Debug, Clone, Copy)]
struct Member {
    sleeps: Ns,
    cleans_up: Ns,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Resume,
    Drop,
    Uncancel,
    /// The token is the result.
    Return,
}

#[derive(Debug)]
struct Program {
    step: Step,
    cancel: Ns,
}

/// Something that both sides write down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Slept(StepNo),
    /// A catch has a token.
    Caught(StepNo),
    CleanedUp(StepNo),
    Grouped(StepNo),
    Zipped(StepNo),
    /// It was asked to end, and nothing can happen any more; the runtime tells who holds it up.
    Stuck,
    /// The future was dropped.
    Dropped,
    Ended {
        cancelled: bool,
    },
}

type Log = Vec<(Ns, Event)>;

struct Maker<'s, 'b> {
    source: &'s mut Source<'b>,
    steps: StepNo,
    moments: u64,
}

impl Maker<'_, '_> {
    /// So many milliseconds and a little more, so that no two moments of a program are the same.
    fn time(&mut self) -> Ns {
        let ms = u64::from(self.source.byte() % 64);
        self.moments += 1;
        let mixed = (self.moments ^ 0x5dee_ce66d).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ms * MS + 1 + (mixed >> 20) % (MS - 1)
    }

    fn step(&mut self, depth: u8) -> Step {
        self.steps += 1;
        let n = self.steps;
        if depth == 0 || n > LONGEST || self.source.is_over() {
            return Step::Sleep(n, self.time());
        }
        let inner = |this: &mut Self| Box::new(this.step(depth - 1));
        match self.source.below(16) {
            0 => Step::Sleep(n, self.time()),
            1..=4 => {
                let answers = [Answer::Resume, Answer::Drop, Answer::Uncancel, Answer::Return];
                let answer = answers[usize::from(self.source.below(4))];
                let tried = inner(self);
                Step::Catch(n, tried, inner(self), answer)
            }
            5 => Step::Shield(inner(self)),
            6 | 7 => {
                let count = self.source.below(3);
                let member = |_| Member { sleeps: self.time(), cleans_up: self.time() };
                let members = (0..count).map(member).collect();
                Step::Group(n, members, inner(self))
            }
            8..=11 => {
                let one = inner(self);
                Step::Zip(n, one, inner(self))
            }
            12 => {
                let one = inner(self);
                Step::Try(n, one, inner(self))
            }
            13 => Step::Seq(Vec::new()),
            _ => {
                let length = 2 + self.source.below(2);
                Step::Seq((0..length).map(|_| self.step(depth - 1)).collect())
            }
        }
    }
}

impl Program {
    fn decode(bytes: &[u8]) -> Program {
        let mut maker = Maker { source: &mut Source::new(bytes), steps: 0, moments: 0 };
        let cancel = maker.time();
        let depth = 2 + maker.source.below(5);
        Program { step: maker.step(depth), cancel }
    }
}

/// Decodes a program and runs it.
///
/// # Errors
///
/// If runtime and model disagree, or a task stands still for no good reason.
pub fn run(bytes: &[u8]) -> Verdict {
    let program = Program::decode(bytes);
    let Ok(expected) = model::run(&program) else { return Ok(()) };
    for workers in [1, 3] {
        let seen = real::run(Program::decode(bytes), workers);
        if seen != Ok(expected.clone()) {
            return Err(format!(
                "{program:#?}\n  {workers} workers: {seen:?}\n  the model: {expected:?}"
            ));
        }
    }
    Ok(())
}
