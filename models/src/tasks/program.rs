//! What a program of tasks is, and how bytes become one.

use std::fmt;

use crate::source::Source;

/// Nanoseconds since the program began, or between two moments of it.
pub(super) type Ns = u64;

/// The number of a task of a program, in the order in which they are written down.
pub(super) type TaskNo = usize;

/// The number of a step, by which logs name it.
pub(super) type StepNo = usize;

const MS: Ns = 1_000_000;

/// What a task does, one thing after the other: nothing in here is polled beside something else of the
/// same task, so at every moment the model knows which step a task stands in.
#[derive(Debug)]
pub(super) enum Step {
    Sleep(StepNo, Ns),
    Yield(StepNo),
    /// A call on the blocking pool that takes no time.
    Blocking(StepNo),
    CancelSelf,
    UncancelSelf,
    Fail(StepNo),
    Panic,
    Timeout(StepNo, Ns, Box<Step>),
    /// What is tried, the cleanup, and what becomes of the token after that.
    Catch(StepNo, Box<Step>, Box<Step>, Answer),
    Shield(Box<Step>),
    Scope(StepNo, usize, Box<Step>),
    Group(StepNo, Vec<Child>, Box<Step>),
    /// Cancels the group around it, if there is one in this task.
    CancelGroup,
    Spawn(StepNo, How, Child),
    Gather(StepNo, Vec<Child>, bool),
    Seq(Vec<Step>),
}

/// Another task. It begins with a sleep, for which of two tasks is polled first when several workers
/// look for work is not promised.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) task: TaskNo,
    pub(super) birth: Ns,
    pub(super) step: Box<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Resume,
    Drop,
    Uncancel,
    /// The token is the result.
    Return,
}

/// What becomes of the handle of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Detach,
    Join,
    Linked,
    WaitFor(Ns),
}

/// What is done from outside.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    Cancel(TaskNo),
    Uncancel(TaskNo),
    Abort(TaskNo),
    CancelScope(usize),
}

/// How it ends, some time after the last act from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// When all tasks have ended.
    Wait,
    /// The runtime is shut down at that time, with more grace than anybody needs.
    Grace(Ns),
    /// And with none.
    Drop(Ns),
}

#[derive(Debug)]
pub(super) struct Program {
    /// Spawned by the main future.
    pub(super) roots: Vec<Child>,
    /// In order.
    pub(super) acts: Vec<(Ns, Act)>,
    pub(super) end: End,
    pub(super) tasks: usize,
    pub(super) scopes: usize,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for root in &self.roots {
            writeln!(f, "  {root:?}")?;
        }
        write!(f, "  from outside {:?}, at the end {:?}", self.acts, self.end)
    }
}

struct Maker<'s, 'b> {
    source: &'s mut Source<'b>,
    steps: StepNo,
    moments: u64,
    tasks: TaskNo,
    scopes: usize,
}

/// More steps than that are cut to sleeps.
const LONGEST: StepNo = 300;

impl Maker<'_, '_> {
    fn number(&mut self) -> StepNo {
        self.steps += 1;
        self.steps
    }

    /// So many milliseconds and a little more, so that no two moments of a program are the same: the
    /// order of what happens at the same time is not promised, or not simple.
    fn time(&mut self) -> Ns {
        let ms = match self.source.byte() {
            byte @ 0..192 => u64::from(byte % 48),
            byte => u64::from(byte) * 5,
        };
        self.moments += 1;
        let mixed = (self.moments ^ 0x5deece66d).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ms * MS + 1 + (mixed >> 20) % (MS - 1)
    }

    fn child(&mut self, depth: u8) -> Child {
        let (task, birth) = (self.tasks, self.time());
        self.tasks += 1;
        let step = Box::new(self.step(depth.saturating_sub(1)));
        Child { task, birth, step }
    }

    fn children(&mut self, depth: u8) -> Vec<Child> {
        (0..=self.source.below(3)).map(|_| self.child(depth)).collect()
    }

    fn step(&mut self, depth: u8) -> Step {
        let n = self.number();
        if depth == 0 || n > LONGEST || self.source.is_over() {
            return match self.source.below(16) {
                0 => Step::Yield(n),
                1 => Step::CancelSelf,
                2 => Step::UncancelSelf,
                3 => Step::Fail(n),
                4 => Step::Blocking(n),
                5 => Step::CancelGroup,
                6 if self.source.below(4) == 3 => Step::Panic,
                _ => Step::Sleep(n, self.time()),
            };
        }
        let kind = self.source.below(24);
        let inner = |this: &mut Self| Box::new(this.step(depth - 1));
        match kind {
            0 | 1 => self.step(0),
            2..=4 => Step::Timeout(n, self.time(), inner(self)),
            5..=8 => {
                let answers = [Answer::Resume, Answer::Drop, Answer::Uncancel, Answer::Return];
                let answer = answers[usize::from(self.source.below(4))];
                let tried = inner(self);
                Step::Catch(n, tried, inner(self), answer)
            }
            9 | 10 => Step::Shield(inner(self)),
            11 => {
                let scope = self.scopes;
                self.scopes += 1;
                Step::Scope(n, scope, inner(self))
            }
            12..=14 => {
                let members = self.children(depth);
                Step::Group(n, members, inner(self))
            }
            15 => Step::Spawn(n, How::Detach, self.child(depth)),
            16 => Step::Spawn(n, How::Join, self.child(depth)),
            17 => Step::Spawn(n, How::Linked, self.child(depth)),
            18 => {
                let limit = self.time();
                Step::Spawn(n, How::WaitFor(limit), self.child(depth))
            }
            19 => {
                let settled = self.source.below(2) == 0;
                Step::Gather(n, self.children(depth), settled)
            }
            _ => {
                let length = 2 + self.source.below(3);
                Step::Seq((0..length).map(|_| self.step(depth - 1)).collect())
            }
        }
    }
}

impl Program {
    pub(super) fn decode(bytes: &[u8]) -> Program {
        let source = &mut Source::new(bytes);
        let mut maker = Maker { source, steps: 0, moments: 0, tasks: 0, scopes: 0 };
        // What is done from outside comes first, so that a change in a task does not change it.
        let (count, end) = (maker.source.below(6), maker.source.below(4));
        let mut acts: Vec<(Ns, u8, u8)> = (0..count)
            .map(|_| (maker.time(), maker.source.below(16), maker.source.byte()))
            .collect();
        acts.sort_unstable();
        let mut last = acts.last().map_or(0, |act| act.0);
        let mut roots = Vec::new();
        for _ in 0..=maker.source.below(2) {
            let depth = 1 + maker.source.below(6);
            roots.push(maker.child(depth));
        }
        last += maker.time();
        let end = match end {
            0 | 1 => End::Wait,
            2 => End::Grace(last),
            _ => End::Drop(last),
        };
        let (tasks, scopes) = (maker.tasks, maker.scopes);
        let acts = acts.into_iter().map(|(at, kind, whom)| {
            // Early tasks are asked more often: they have children.
            let task = usize::from(whom) % tasks.min(1 + usize::from(whom >> 4));
            let act = match kind {
                0..=8 => Act::Cancel(task),
                9 | 10 => Act::Uncancel(task),
                11 | 12 => Act::Abort(task),
                _ if scopes > 0 => Act::CancelScope(usize::from(whom) % scopes),
                _ => Act::Cancel(0),
            };
            (at, act)
        });
        Program { roots, acts: acts.collect(), end, tasks, scopes }
    }
}

/// Something that both sides write down, each task for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    Slept(StepNo),
    Yielded(StepNo),
    Blocked(StepNo),
    /// A catch has a token.
    Caught(StepNo),
    /// A timeout or a `wait_for` gives `Elapsed`.
    Elapsed(StepNo),
    /// A scope has dropped its future.
    Cut(StepNo),
    Joined(StepNo, Outcome),
    Gathered(StepNo, Vec<Outcome>),
    /// Ended by one of them.
    GatherFailed(StepNo, Outcome),
    GroupOk(StepNo),
    /// The errors, sorted: those of one moment come in any order.
    GroupErr(StepNo, Vec<StepNo>),
    /// The task's future was dropped.
    Dropped,
    /// The task has ended.
    Ended,
}

/// How a task has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Ok,
    Failed(StepNo),
    Cancelled,
    Panicked,
}

/// What has happened in a task, and when.
pub(super) type Log = Vec<(Ns, Event)>;

/// All that is compared.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) logs: Vec<Log>,
    /// The answers to the acts from outside: was there somebody to ask?
    pub(super) answers: Vec<Option<bool>>,
    /// For a shutdown with grace: finished, cancelled, aborted, panicked.
    pub(super) report: Option<[u64; 4]>,
}
