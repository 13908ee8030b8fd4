//! What the rules of cancellation say a program does: one thread, one thing at a time, plain lists.
//!
//! No step of a task is polled beside another one of the same task, so "the innermost catches" of
//! rule 2 is at most one, and a request that is passed on has one way out. At each moment one thing happens (a
//! time has come, or something from outside), and then all that follows from it, until nothing does.

mod deliver;
mod steps;

use super::frame::{Body, Frame, Hearing, Region, RegionNo, Token, Value};
use super::program::{Act, End, Event, Log, Ns, Outcome, Program, Record, TaskNo};

/// Two things happen at the same time, and which is first is not for the model to say.
#[derive(Debug)]
pub(super) struct Tie;

#[derive(Debug, Default)]
struct Task<'p> {
    stack: Vec<Frame<'p>>,
    log: Log,
    spawned: bool,
    /// To be dropped, whatever is in there.
    hard: bool,
    /// The shutdown has asked it.
    shut: bool,
    /// How it ends, while it waits for what it has dropped.
    verdict: Option<Outcome>,
    outcome: Option<Outcome>,
    /// The tasks it waits for then.
    held_by: Vec<TaskNo>,
}

pub(super) struct Model<'p> {
    now: Ns,
    tasks: Vec<Task<'p>>,
    regions: RegionNo,
    scopes: Vec<bool>,
    /// Something has happened in these, and what follows has not.
    dirty: Vec<TaskNo>,
    draining: Option<Ns>,
    tie: bool,
    /// From then on, who is asked first is a matter of chance.
    open: Option<Ns>,
    /// The same, if there are several workers.
    open_beside: Option<Ns>,
    report: [u64; 4],
}

pub(super) fn run(program: &Program) -> Result<(Record, [Option<Ns>; 2]), Tie> {
    let mut model = Model {
        now: 0,
        tasks: Vec::new(),
        regions: 0,
        scopes: vec![false; program.scopes],
        dirty: Vec::new(),
        draining: None,
        tie: false,
        open: None,
        open_beside: None,
        report: [0; 4],
    };
    model.tasks.resize_with(program.tasks, Task::default);
    let mut answers = Vec::new();
    for child in &program.roots {
        model.spawn(child);
    }
    model.settle();
    for (at, act) in &program.acts {
        model.advance(*at)?;
        answers.push(model.act(*act));
        model.settle();
    }
    let mut report = None;
    match program.end {
        End::Wait => model.advance(Ns::MAX)?,
        End::Grace(at) => {
            model.advance(at)?;
            model.draining = Some(at);
            model.open = model.somebody_waits().then_some(at);
            model.report = [0; 4];
            for task in 0..model.tasks.len() {
                model.ask_once(task);
            }
            model.settle();
            model.advance(Ns::MAX)?;
            report = Some(model.report);
        }
        End::Drop(at) => {
            model.advance(at)?;
            for task in 0..model.tasks.len() {
                if !model.tasks[task].stack.is_empty() {
                    model.log(task, Event::Dropped);
                }
            }
        }
    }
    if model.tie {
        return Err(Tie);
    }
    let open = [model.open, model.open.or(model.open_beside)];
    let logs = model.tasks.into_iter().map(|task| task.log).collect();
    Ok((Record { logs, answers, report }, open))
}

// ── time ──────────────────────────────────────────────────────────────────────────────────────

impl Model<'_> {
    /// All that happens before then.
    fn advance(&mut self, until: Ns) -> Result<(), Tie> {
        loop {
            let mut next: Vec<(Ns, TaskNo, usize)> = Vec::new();
            for (task, state) in self.tasks.iter().enumerate() {
                for (place, frame) in state.stack.iter().enumerate() {
                    match frame {
                        Frame::Sleep { at, .. }
                        | Frame::Timeout { at, expired: false, .. }
                        | Frame::One { at: Some(at), expired: false, .. } => {
                            next.push((*at, task, place));
                        }
                        _ => {}
                    }
                }
            }
            next.sort_unstable();
            let Some(&(at, task, place)) = next.first().filter(|next| next.0 <= until) else {
                self.now = until;
                return Ok(());
            };
            if at == until || next.get(1).is_some_and(|other| other.0 == at) {
                return Err(Tie);
            }
            self.now = at;
            match &mut self.tasks[task].stack[place] {
                Frame::Sleep { n, .. } => {
                    let n = *n;
                    self.tasks[task].stack.pop();
                    if let Some(n) = n {
                        self.log(task, Event::Slept(n));
                    }
                    self.give(task, Value::Ok);
                }
                Frame::Timeout { region, expired, .. } => {
                    *expired = true;
                    let region = region.number;
                    self.raise(task, region);
                }
                Frame::One { child, expired, .. } => {
                    *expired = true;
                    let child = *child;
                    self.ask(child);
                }
                frame => unreachable!("{frame:?} has no time"),
            }
            self.settle();
        }
    }

    /// From outside. The answer: was there somebody to ask?
    fn act(&mut self, act: Act) -> Option<bool> {
        match act {
            Act::Cancel(task) => {
                let alive = !self.tasks[task].stack.is_empty();
                self.ask(task);
                self.tasks[task].spawned.then_some(alive)
            }
            Act::Uncancel(task) => {
                if !self.tasks[task].stack.is_empty() {
                    self.withdraw(task, 0);
                }
                None
            }
            Act::Abort(task) => {
                self.abort(task);
                None
            }
            Act::CancelScope(scope) => {
                self.scopes[scope] = true;
                for task in 0..self.tasks.len() {
                    let is_it = |frame: &Frame<'_>| matches!(frame, Frame::Scope { scope: s, .. } if *s == scope);
                    if let Some(place) = self.tasks[task].stack.iter().position(is_it) {
                        let region = self.region(task, place).number;
                        self.raise(task, region);
                    }
                }
                None
            }
        }
    }

    /// Does a task wait for another one? If both are asked to end, what the first one sees depends on who
    /// is asked first.
    fn somebody_waits(&self) -> bool {
        let alive = |child: TaskNo| self.tasks[child].outcome.is_none();
        self.tasks.iter().flat_map(|task| &task.stack).any(|frame| match frame {
            Frame::Join { child, .. } | Frame::One { child, .. } => alive(*child),
            Frame::Group { members, .. } => members.iter().any(|member| alive(*member)),
            Frame::Gather { children, .. } => children.iter().any(|child| alive(child.0)),
            _ => false,
        }) || self.tasks.iter().any(|task| task.verdict.is_some() && task.outcome.is_none())
    }

    fn log(&mut self, task: TaskNo, event: Event) {
        self.tasks[task].log.push((self.now, event));
    }
}

// ── requests ──────────────────────────────────────────────────────────────────────────────────

impl<'p> Model<'p> {
    fn region(&mut self, task: TaskNo, place: usize) -> &mut Region {
        self.tasks[task].stack[place].region_mut().expect("a region")
    }

    fn new_region(&mut self) -> Region {
        self.regions += 1;
        Region { number: self.regions, demand: None, tokens: 0 }
    }

    fn place(&self, task: TaskNo, number: RegionNo) -> Option<usize> {
        let is_it =
            |frame: &Frame<'_>| frame.region().is_some_and(|region| region.number == number);
        self.tasks[task].stack.iter().position(is_it)
    }

    fn raise(&mut self, task: TaskNo, number: RegionNo) {
        let Some(place) = self.place(task, number) else { return };
        let demand = self.region(task, place).demand.get_or_insert_default();
        demand.count += 1;
        demand.fresh = true;
        self.dirty.push(task);
    }

    /// A request to a task.
    fn ask(&mut self, task: TaskNo) {
        if !self.tasks[task].stack.is_empty() {
            let root = self.region(task, 0).number;
            self.raise(task, root);
        }
    }

    /// A runtime that shuts down asks each task once.
    fn ask_once(&mut self, task: TaskNo) {
        let state = &mut self.tasks[task];
        if state.spawned && !std::mem::replace(&mut state.shut, true) {
            self.ask(task);
        }
    }

    fn abort(&mut self, task: TaskNo) {
        if self.tasks[task].outcome.is_some() || !self.tasks[task].spawned {
            return;
        }
        self.tasks[task].hard = true;
        self.dirty.push(task);
        // What it has dropped before, and waits for.
        for child in self.tasks[task].held_by.clone() {
            self.abort(child);
        }
    }

    /// Takes one request to a region back: how many are left?
    fn withdraw(&mut self, task: TaskNo, place: usize) -> usize {
        let region = self.region(task, place);
        let number = region.number;
        let Some(demand) = &mut region.demand else { return 0 };
        demand.count -= 1;
        if demand.count > 0 {
            return demand.count;
        }
        (region.demand, region.tokens) = (None, 0);
        for token in self.tasks[task].stack.iter_mut().filter_map(Frame::token_mut) {
            token.void |= token.region == number;
        }
        self.dirty.push(task);
        0
    }

    /// A token is dropped here: its request goes outwards from the present end of the stack.
    fn drop_token(&mut self, task: TaskNo, token: Token) {
        if let (false, Some(place)) = (token.void, self.place(task, token.region)) {
            let floor = self.tasks[task].stack.len() - 1;
            let region = self.region(task, place);
            region.tokens -= 1;
            if let Some(demand) = &mut region.demand {
                demand.passed.push(floor);
            }
        }
    }

    fn take_back(&mut self, task: TaskNo, token: Token) {
        let Some(place) = self.place(task, token.region).filter(|_| !token.void) else { return };
        if self.withdraw(task, place) > 0 {
            self.drop_token(task, token);
        }
    }

    /// A token of the last step is spent to pass its request on.
    fn resume(&mut self, task: TaskNo, token: Token) {
        let place = self.tasks[task].stack.len() - 1;
        let region = self.place(task, token.region).unwrap_or(0);
        for frame in &mut self.tasks[task].stack[region + 1..place] {
            // That cleanup will never come to its end.
            if let Some(token) = frame.token_mut() {
                token.given_up = true;
            }
        }
        let region = self.region(task, region);
        if !token.void {
            region.tokens -= 1;
            if let Some(demand) = &mut region.demand {
                demand.passed.push(place - 1);
            }
        }
    }

    /// What was passed on to a step that has ended goes on to the one around it.
    fn pop(&mut self, task: TaskNo) -> Frame<'p> {
        let stack = &mut self.tasks[task].stack;
        let frame = stack.pop().expect("it has a step");
        let last = stack.len().saturating_sub(1);
        for demand in
            stack.iter_mut().filter_map(Frame::region_mut).filter_map(|r| r.demand.as_mut())
        {
            demand.passed.iter_mut().for_each(|floor| *floor = last.min(*floor));
        }
        frame
    }
}

// ── ends ──────────────────────────────────────────────────────────────────────────────────────

impl Model<'_> {
    /// Its future is gone. What that has dropped may hold it up.
    fn end(&mut self, task: TaskNo, outcome: Outcome) {
        while let Some(frame) = self.tasks[task].stack.pop() {
            self.dropped(task, frame);
        }
        self.log(task, Event::Dropped);
        self.tasks[task].verdict = Some(outcome);
        self.look_at_end(task);
    }

    fn look_at_end(&mut self, task: TaskNo) {
        let holds =
            self.tasks[task].held_by.iter().any(|child| self.tasks[*child].outcome.is_none());
        let Some(outcome) = self.tasks[task].verdict.filter(|_| !holds) else { return };
        if self.tasks[task].outcome.replace(outcome).is_some() {
            return;
        }
        self.log(task, Event::Ended);
        self.report[match outcome {
            Outcome::Ok | Outcome::Failed(_) => 0,
            Outcome::Cancelled => 1,
            Outcome::Panicked => 3,
        }] += 1;
        for other in 0..self.tasks.len() {
            if self.tasks[other].held_by.contains(&task) {
                self.look_at_end(other);
            }
            self.child_ended(other, task, outcome);
        }
    }

    /// Whoever waits for it looks when its turn has come: requests go first.
    fn child_ended(&mut self, task: TaskNo, child: TaskNo, outcome: Outcome) {
        let is_group = |frame: &Frame<'_>| matches!(frame, Frame::Group { members, .. } if members.contains(&child));
        if let Some(place) = self.tasks[task].stack.iter().position(is_group) {
            let Frame::Group { errors, panicked, .. } = &mut self.tasks[task].stack[place] else {
                return;
            };
            match outcome {
                Outcome::Failed(n) => errors.push(n),
                Outcome::Panicked => *panicked = true,
                Outcome::Ok | Outcome::Cancelled => {}
            }
            if matches!(outcome, Outcome::Failed(_) | Outcome::Panicked) {
                self.cancel_group(task, place);
            }
        }
        if let Some(Frame::Gather { children, ended, .. }) = self.tasks[task].stack.last_mut() {
            if let Some(entry) = children.iter_mut().find(|entry| entry.0 == child) {
                entry.1 = Some(outcome);
                ended.push(outcome);
            }
        }
        self.dirty.push(task);
    }

    /// Have those ended for whom the last step waits?
    fn look_at_children(&mut self, task: TaskNo) -> bool {
        let outcome = |child: &TaskNo| self.tasks[*child].outcome;
        let is_error =
            |outcome: &Outcome| matches!(outcome, Outcome::Cancelled | Outcome::Panicked);
        let Some(frame) = self.tasks[task].stack.last() else { return false };
        let (over, passes) = match frame {
            Frame::Join { child, .. } => (outcome(child).is_some(), false),
            Frame::One { child, .. } => {
                (outcome(child).is_some(), outcome(child) == Some(Outcome::Cancelled))
            }
            Frame::Gather { children, ended, settled, hearing, .. } => {
                let armed = matches!(hearing, Hearing::Armed);
                let failed = armed && !*settled && ended.iter().any(is_error);
                (failed || ended.len() == children.len(), true)
            }
            Frame::Group { members, errors, panicked, body, .. } => {
                let over = members.iter().all(|member| outcome(member).is_some());
                (over && *body != Body::Runs, errors.is_empty() && !*panicked)
            }
            _ => return false,
        };
        if !over {
            return false;
        }
        match self.tasks[task].stack.last_mut().and_then(Frame::hearing) {
            Some(Hearing::Passed(_)) => return false,
            Some(hearing @ Hearing::Asked(_)) if passes => {
                let Hearing::Asked(token) = *hearing else { return false };
                *hearing = Hearing::Passed(token.region);
                self.resume(task, token);
            }
            _ => self.waited(task),
        }
        true
    }
}
