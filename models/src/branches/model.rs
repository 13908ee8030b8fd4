//! What the rules of cancellation say a program does: one thread, plain lists.
//!
//! Both branches of a zip are polled, the first one first, until nothing follows from that; then what was asked is delivered,
//! and when nobody is told of anything, the clock moves.

mod deliver;

use super::{Answer, Event, LATE, Log, Member, Ns, Program, Step, StepNo};

/// Two things happen at the same time, and which is first is not for the model to say.
#[derive(Debug)]
pub(super) struct Tie;

/// The number of something that hears, shields, or has a request; never used twice.
type NodeNo = usize;

/// The task.
const ROOT: NodeNo = 0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    Root,
    Catch {
        fired: bool,
    },
    Shield,
    Token {
        since: usize,
        void: bool,
        given_up: bool,
    },
    /// A token that was spent to pass its request on.
    Resume,
    Gone,
}

#[derive(Debug)]
struct Node {
    parent: NodeNo,
    born: usize,
    /// A group: in a cleanup it is left alone.
    waiter: bool,
    is: Is,
}

#[derive(Debug, Default)]
struct Demand {
    fresh: bool,
    /// From where somebody has passed it on.
    passed: Vec<NodeNo>,
    /// Catches that are owed it when what shields in them has ended.
    missed: Vec<NodeNo>,
}

impl Demand {
    fn waits(&self) -> bool {
        self.fresh || !self.passed.is_empty() || !self.missed.is_empty()
    }
}

/// What a step gives: nothing, or a token.
type Value = Option<NodeNo>;

/// Where a step is.
#[derive(Debug)]
enum Run<'p> {
    New(&'p Step),
    Sleep(StepNo, Ns),
    Catch { n: StepNo, node: NodeNo, tried: Box<Run<'p>>, cleanup: &'p Step, answer: Answer },
    Cleanup { n: StepNo, token: NodeNo, run: Box<Run<'p>>, answer: Answer },
    Resume(NodeNo),
    Shield(NodeNo, Box<Run<'p>>),
    Group { n: StepNo, node: NodeNo, stage: Stage, members: Members, body: Option<Box<Run<'p>>> },
    Both { n: StepNo, runs: Box<[Run<'p>; 2]>, ended: [Option<Value>; 2], first_token_ends: bool },
    Seq(Box<Run<'p>>, &'p [Step]),
    Nothing,
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    Caught,
    Passed,
}

#[derive(Debug)]
struct Members {
    began: Ns,
    asked: bool,
    /// What they do, and when they end.
    each: Vec<(Member, Ns)>,
}

pub(super) struct Model {
    now: Ns,
    log: Log,
    nodes: Vec<Node>,
    clock: usize,
    demand: Option<Demand>,
    /// Something has changed that matters to a request.
    poked: bool,
    fired: bool,
    /// Until then members hold the end back.
    held: Ns,
    tie: bool,
}

pub(super) fn run(program: &Program) -> Result<Log, Tie> {
    let root = Node { parent: ROOT, born: 0, waiter: false, is: Is::Root };
    let mut model = Model {
        now: 0,
        log: Log::new(),
        nodes: vec![root],
        clock: 0,
        demand: None,
        poked: false,
        fired: false,
        held: 0,
        tie: false,
    };
    let mut run = Run::New(&program.step);
    let (mut asked, mut value) = (false, None);
    let ended = loop {
        if let Some(ended) = model.settle(&mut run) {
            value = ended;
            break !model.fired;
        }
        let mut times = Vec::new();
        model.times(&run, &mut times);
        times.extend((!asked).then_some(program.cancel));
        times.sort_unstable();
        if times.windows(2).any(|two| two[0] == two[1]) {
            return Err(Tie);
        }
        let Some(next) = times.first() else {
            // A zip must have a token that explains it.
            assert!(
                keeps(&model, &run),
                "the rules do not explain why this stands still: {run:#?}"
            );
            model.now = program.cancel + LATE;
            model.log(Event::Stuck);
            break false;
        };
        model.now = *next;
        if !asked && *next == program.cancel {
            asked = true;
            model.demand = Some(Demand { fresh: true, ..Demand::default() });
            model.poked = true;
        }
    };
    // (Asked for with a value: it counts if a token of the request is left.)
    let is_token = |node: NodeNo| matches!(model.nodes[node].is, Is::Token { void: false, .. });
    let cancelled = !ended || value.is_some_and(is_token);
    if !ended {
        model.drop_run(run);
    }
    model.log(Event::Dropped);
    model.now = model.now.max(model.held);
    model.log(Event::Ended { cancelled });
    if model.tie { Err(Tie) } else { Ok(model.log) }
}

/// Does a zip keep a token? (One of a request that was taken back shields as well: its cleanup may be going on.)
fn keeps(model: &Model, run: &Run<'_>) -> bool {
    match run {
        Run::Both { runs, ended, .. } => {
            let is_token = |value: &Value| {
                value.is_some_and(|node| matches!(model.nodes[node].is, Is::Token { .. }))
            };
            ended.iter().flatten().any(is_token) || runs.iter().any(|run| keeps(model, run))
        }
        Run::Catch { tried: run, .. }
        | Run::Cleanup { run, .. }
        | Run::Shield(_, run)
        | Run::Group { body: Some(run), .. }
        | Run::Seq(run, _) => keeps(model, run),
        Run::New(_)
        | Run::Sleep(..)
        | Run::Resume(_)
        | Run::Group { .. }
        | Run::Nothing
        | Run::Over => false,
    }
}

impl Model {
    fn log(&mut self, event: Event) {
        self.log.push((self.now, event));
    }

    /// Until nothing follows any more. The task's value, or nothing of worth if it has fired.
    fn settle(&mut self, run: &mut Run<'_>) -> Option<Value> {
        loop {
            if std::mem::take(&mut self.poked) {
                self.deliver();
                if self.fired {
                    return Some(None);
                }
            }
            if let Some(value) = self.poll(run, ROOT) {
                return Some(value);
            }
            if !self.poked {
                return None;
            }
        }
    }

    fn times(&self, run: &Run<'_>, times: &mut Vec<Ns>) {
        match run {
            Run::Sleep(_, at) => times.push(*at),
            Run::Catch { tried: run, .. }
            | Run::Cleanup { run, .. }
            | Run::Shield(_, run)
            | Run::Seq(run, _) => self.times(run, times),
            Run::Group { members, body, .. } => {
                times.extend(members.each.iter().map(|one| one.1).filter(|at| *at > self.now));
                body.iter().for_each(|body| self.times(body, times));
            }
            Run::Both { runs, .. } => runs.iter().for_each(|run| self.times(run, times)),
            Run::New(_) | Run::Resume(_) | Run::Nothing | Run::Over => {}
        }
    }

    fn poll(&mut self, run: &mut Run<'_>, parent: NodeNo) -> Option<Value> {
        if let Run::New(step) = run {
            *run = self.begin(step, parent);
        }
        let value = match run {
            Run::New(_) => unreachable!("it was just begun"),
            Run::Over => unreachable!("it has ended"),
            Run::Nothing => None,
            Run::Sleep(n, at) => {
                if *at > self.now {
                    return None;
                }
                self.log(Event::Slept(*n));
                None
            }
            Run::Catch { n, node, tried, cleanup, answer } => {
                if self.nodes[*node].is == (Is::Catch { fired: true }) {
                    let (n, token, cleanup, answer) = (*n, *node, *cleanup, *answer);
                    self.take_token(token);
                    self.drop_run(std::mem::replace(&mut **tried, Run::Over));
                    self.log(Event::Caught(n));
                    let cleanup = Box::new(Run::New(cleanup));
                    *run = Run::Cleanup { n, token, run: cleanup, answer };
                    return self.poll(run, parent);
                }
                let value = self.poll(tried, *node)?;
                self.unlink(*node);
                value
            }
            Run::Cleanup { n, token, run: cleanup, answer } => {
                let value = self.poll(cleanup, parent)?;
                self.log(Event::CleanedUp(*n));
                let (token, answer) = (*token, *answer);
                match answer {
                    Answer::Resume => {
                        value.into_iter().for_each(|inner| self.unlink(inner));
                        self.resume(token);
                        *run = Run::Resume(token);
                        return self.poll(run, parent);
                    }
                    Answer::Return if value.is_none() => Some(token),
                    Answer::Uncancel => {
                        self.uncancel(token);
                        value
                    }
                    Answer::Return | Answer::Drop => {
                        self.unlink(token);
                        value
                    }
                }
            }
            Run::Resume(node) => {
                if self.demand.is_none() {
                    // It was taken back: a new one is made.
                    let passed = vec![self.nodes[*node].parent];
                    self.demand = Some(Demand { passed, ..Demand::default() });
                    self.poked = true;
                }
                return None;
            }
            Run::Shield(node, inner) => {
                let value = self.poll(inner, *node)?;
                self.unlink(*node);
                value
            }
            Run::Group { n, node, stage, members, body } => {
                let (n, node) = (*n, *node);
                if *stage == Stage::Open && self.nodes[node].is == (Is::Catch { fired: true }) {
                    self.take_token(node);
                    body.take().into_iter().for_each(|body| self.drop_run(*body));
                    self.ask(members);
                    self.look_again();
                    *stage = Stage::Caught;
                }
                if *stage == Stage::Passed && self.demand.is_some() {
                    return None;
                }
                if let Some(running) = body {
                    let value = self.poll(running, node)?;
                    value.into_iter().for_each(|token| self.unlink(token));
                    *body = None;
                    self.look_again();
                }
                if members.each.iter().any(|one| one.1 > self.now) {
                    return None;
                }
                if *stage == Stage::Caught {
                    self.resume(node);
                    *stage = Stage::Passed;
                    return None;
                }
                self.unlink(node);
                self.log(Event::Grouped(n));
                None
            }
            Run::Both { n, runs, ended, first_token_ends } => {
                for (run, ended) in runs.iter_mut().zip(&mut *ended) {
                    if ended.is_none() {
                        *ended = self.poll(run, parent);
                        if *first_token_ends && matches!(ended, Some(Some(_))) {
                            break;
                        }
                    }
                }
                let value = match *ended {
                    [Some(Some(token)), None] | [_, Some(Some(token))] if *first_token_ends => {
                        for run in runs.iter_mut() {
                            self.drop_run(std::mem::replace(run, Run::Over));
                        }
                        Some(token)
                    }
                    [Some(None), Some(value)] => value,
                    [Some(one), Some(other)] => {
                        other.into_iter().for_each(|token| self.unlink(token));
                        one
                    }
                    _ => return None,
                };
                self.log(Event::Zipped(*n));
                value
            }
            Run::Seq(step, rest) => {
                let value = self.poll(step, parent)?;
                match rest {
                    [next, left @ ..] if value.is_none() => {
                        (**step, *rest) = (Run::New(next), left);
                        return self.poll(run, parent);
                    }
                    _ => value,
                }
            }
        };
        *run = Run::Over;
        Some(value)
    }

    fn begin<'p>(&mut self, step: &'p Step, parent: NodeNo) -> Run<'p> {
        let new = |step: &'p Step| Box::new(Run::New(step));
        match step {
            Step::Sleep(n, time) => Run::Sleep(*n, self.now + time),
            Step::Catch(n, tried, cleanup, answer) => {
                let node = self.link(parent, Is::Catch { fired: false }, false);
                Run::Catch { n: *n, node, tried: new(tried), cleanup, answer: *answer }
            }
            Step::Shield(step) => Run::Shield(self.link(parent, Is::Shield, false), new(step)),
            Step::Group(n, members, body) => {
                let node = self.link(parent, Is::Catch { fired: false }, true);
                let each = members.iter().map(|one| (*one, self.now + one.sleeps)).collect();
                let members = Members { began: self.now, asked: false, each };
                Run::Group { n: *n, node, stage: Stage::Open, members, body: Some(new(body)) }
            }
            Step::Zip(n, one, other) | Step::Try(n, one, other) => {
                let runs = Box::new([Run::New(one), Run::New(other)]);
                let first_token_ends = matches!(step, Step::Try(..));
                Run::Both { n: *n, runs, ended: [None; 2], first_token_ends }
            }
            Step::Seq(steps) => match &steps[..] {
                [] => Run::Nothing,
                [first, rest @ ..] => Run::Seq(new(first), rest),
            },
        }
    }

    /// The group's members are asked to end.
    fn ask(&mut self, members: &mut Members) {
        if std::mem::replace(&mut members.asked, true) {
            return;
        }
        for (member, ends) in members.each.iter_mut().filter(|one| one.1 > self.now) {
            // Was it polled before?
            self.tie |= members.began == self.now;
            *ends = self.now + member.cleans_up;
        }
    }

    /// What is inside goes first.
    fn drop_run(&mut self, run: Run<'_>) {
        match run {
            Run::New(_) | Run::Sleep(..) | Run::Nothing | Run::Over => {}
            Run::Catch { node, tried: inner, .. } | Run::Shield(node, inner) => {
                self.drop_run(*inner);
                self.unlink(node);
            }
            Run::Cleanup { token, run, .. } => {
                self.drop_run(*run);
                self.unlink(token);
            }
            Run::Resume(node) => self.unlink(node),
            Run::Group { node, mut members, body, .. } => {
                body.into_iter().for_each(|body| self.drop_run(*body));
                self.ask(&mut members);
                let last = members.each.iter().map(|one| one.1).max();
                self.held = self.held.max(last.unwrap_or(0));
                self.unlink(node);
            }
            Run::Both { runs, ended, .. } => {
                runs.into_iter().for_each(|run| self.drop_run(run));
                ended.into_iter().flatten().flatten().for_each(|token| self.unlink(token));
            }
            Run::Seq(run, _) => self.drop_run(*run),
        }
    }
}
