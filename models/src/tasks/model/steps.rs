//! What the steps of a task do, one after the other.

use super::super::frame::{Body, Demand, Frame, Hearing, Region, RegionNo, Token, Value};
use super::super::program::{Answer, Child, Event, How, Outcome, Step, TaskNo};
use super::Model;

impl<'p> Model<'p> {
    pub(super) fn push(&mut self, task: TaskNo, frame: Frame<'p>) {
        self.tasks[task].stack.push(frame);
    }

    pub(super) fn spawn(&mut self, child: &'p Child) -> TaskNo {
        let root = self.new_region();
        let task = &mut self.tasks[child.task];
        task.spawned = true;
        let at = self.now + child.birth;
        task.stack = vec![
            Frame::Root(root),
            Frame::Seq(std::slice::from_ref(&child.step)),
            Frame::Sleep { n: None, at },
        ];
        if let Some(since) = self.draining {
            // With several workers it may be gone before the one that has spawned it waits.
            self.open_beside.get_or_insert(since);
            self.ask_once(child.task);
        }
        child.task
    }

    /// Begins a step.
    pub(super) fn start(&mut self, task: TaskNo, step: &'p Step) {
        self.dirty.push(task);
        let now = self.now;
        match step {
            Step::Sleep(n, time) => self.push(task, Frame::Sleep { n: Some(*n), at: now + time }),
            Step::Yield(n) => self.push(task, Frame::Yield { n: *n, blocks: false }),
            Step::Blocking(n) => self.push(task, Frame::Yield { n: *n, blocks: true }),
            Step::CancelSelf => {
                self.beside_members(task);
                self.ask(task);
                self.give(task, Value::Ok);
            }
            Step::UncancelSelf => {
                self.beside_members(task);
                self.withdraw(task, 0);
                self.give(task, Value::Ok);
            }
            Step::CancelGroup => {
                let group =
                    self.tasks[task].stack.iter().rposition(|f| matches!(f, Frame::Group { .. }));
                let asked = |frame: &Frame<'_>| frame.region().is_some_and(Region::waits);
                self.tie |= self.tasks[task].stack.iter().any(asked);
                if let Some(place) = group {
                    self.cancel_group(task, place);
                }
                self.give(task, Value::Ok);
            }
            Step::Fail(n) => self.give(task, Value::Failed(*n)),
            Step::Panic => self.give(task, Value::Panic),
            Step::Timeout(n, time, step) => {
                let region = self.new_region();
                self.push(task, Frame::Timeout { n: *n, at: now + time, region, expired: false });
                self.start(task, step);
            }
            Step::Catch(n, step, cleanup, answer) => {
                self.push(task, Frame::Catch { n: *n, cleanup, answer: *answer });
                self.start(task, step);
            }
            Step::Shield(step) => {
                self.push(task, Frame::Shield);
                self.start(task, step);
            }
            Step::Scope(n, scope, step) => {
                if self.scopes[*scope] {
                    self.log(task, Event::Cut(*n));
                    return self.give(task, Value::Ok);
                }
                let region = self.new_region();
                self.push(task, Frame::Scope { n: *n, scope: *scope, region });
                self.start(task, step);
            }
            Step::Group(n, members, body) => {
                let members = members.iter().map(|child| self.spawn(child)).collect();
                let (hearing, errors) = (Hearing::Armed, Vec::new());
                self.push(
                    task,
                    Frame::Group {
                        n: *n,
                        hearing,
                        members,
                        errors,
                        panicked: false,
                        asked: None,
                        body: Body::Runs,
                    },
                );
                let region = self.new_region();
                self.push(task, Frame::Body(region));
                self.start(task, body);
            }
            Step::Spawn(n, how, child) => {
                let child = self.spawn(child);
                let at = match how {
                    How::Detach => return self.give(task, Value::Ok),
                    How::Join => return self.push(task, Frame::Join { n: *n, child }),
                    How::Linked => None,
                    How::WaitFor(time) => Some(now + time),
                };
                self.push(
                    task,
                    Frame::One { n: *n, hearing: Hearing::Armed, child, at, expired: false },
                );
            }
            Step::Gather(n, children, settled) => {
                let children = children.iter().map(|child| (self.spawn(child), None)).collect();
                self.push(
                    task,
                    Frame::Gather {
                        n: *n,
                        hearing: Hearing::Armed,
                        settled: *settled,
                        children,
                        ended: Vec::new(),
                    },
                );
            }
            Step::Seq(steps) => {
                self.push(task, Frame::Seq(&steps[1..]));
                self.start(task, &steps[0]);
            }
        }
    }

    /// After requests: a step that waits for nothing but its turn.
    pub(super) fn go_on(&mut self, task: TaskNo) -> bool {
        let region = match self.tasks[task].stack.last_mut() {
            Some(Frame::Yield { n, blocks }) => {
                let event = if *blocks { Event::Blocked(*n) } else { Event::Yielded(*n) };
                self.pop(task);
                self.log(task, event);
                self.give(task, Value::Ok);
                return true;
            }
            Some(Frame::Resume(region)) => *region,
            Some(frame) => match frame.hearing() {
                Some(Hearing::Passed(region)) => *region,
                _ => return self.look_at_children(task),
            },
            None => return false,
        };
        let place = self.place(task, region).unwrap_or(0);
        if self.region(task, place).demand.is_some() {
            return false;
        }
        // It was taken back meanwhile.
        if let Some(Frame::Resume(_)) = self.tasks[task].stack.last() {
            self.insist(task, region);
        } else {
            self.waited(task);
        }
        true
    }

    /// What waits to be dropped for a request that was taken back makes a new one.
    pub(super) fn insist(&mut self, task: TaskNo, region: RegionNo) {
        let place = self.place(task, region).unwrap_or(0);
        let passed = vec![self.tasks[task].stack.len() - 2];
        let demand = &mut self.region(task, place).demand;
        demand.get_or_insert_with(|| Demand { count: 1, fresh: false, passed });
    }

    /// The step around the end of the stack gets this from the one it waited for.
    pub(super) fn give(&mut self, task: TaskNo, value: Value) {
        self.dirty.push(task);
        let own = |region: &Region| matches!(value, Value::Token(token) if token.region == region.number && !token.void);
        let rides = self.tasks[task].stack.last().and_then(Frame::region).is_some_and(own);
        if self.tasks[task].stack.len() == 1 {
            return self.end(
                task,
                match value {
                    _ if rides => Outcome::Cancelled,
                    Value::Ok | Value::Token(_) => Outcome::Ok,
                    Value::Failed(n) => Outcome::Failed(n),
                    Value::Panic => Outcome::Panicked,
                },
            );
        }
        match self.pop(task) {
            Frame::Seq([step, rest @ ..]) if matches!(value, Value::Ok) => {
                self.push(task, Frame::Seq(rest));
                self.start(task, step);
            }
            Frame::Timeout { n, .. } if rides => {
                self.log(task, Event::Elapsed(n));
                self.give(task, Value::Ok);
            }
            Frame::Scope { n, .. } if rides => {
                self.log(task, Event::Cut(n));
                self.give(task, Value::Ok);
            }
            Frame::Body(_) => self.body_ended(task, Some(value)),
            Frame::Cleanup { token, answer } => self.cleaned_up(task, token, answer, value),
            Frame::Seq(_)
            | Frame::Timeout { .. }
            | Frame::Scope { .. }
            | Frame::Catch { .. }
            | Frame::Shield => self.give(task, value),
            frame => unreachable!("nothing is inside {frame:?}"),
        }
    }

    pub(super) fn cleaned_up(&mut self, task: TaskNo, token: Token, answer: Answer, value: Value) {
        match (answer, value) {
            (_, Value::Panic) => self.drop_token(task, token),
            (Answer::Resume, _) => {
                if let Value::Token(inner) = value {
                    self.drop_token(task, inner);
                }
                self.push(task, Frame::Resume(token.region));
                self.resume(task, token);
                return self.insist(task, token.region);
            }
            (Answer::Uncancel, _) => self.take_back(task, token),
            (Answer::Return, Value::Ok) => return self.give(task, Value::Token(token)),
            (Answer::Drop | Answer::Return, _) => self.drop_token(task, token),
        }
        // What was taken back may have been what another token stands for.
        let value = match value {
            Value::Token(inner) => {
                let taken_back =
                    answer == Answer::Uncancel && inner.region == token.region && !token.void;
                let asked = self
                    .place(task, inner.region)
                    .is_some_and(|place| self.region(task, place).demand.is_some());
                Value::Token(Token { void: inner.void || (taken_back && !asked), ..inner })
            }
            value => value,
        };
        self.give(task, value);
    }

    // ── groups ──

    pub(super) fn ask_members(&mut self, task: TaskNo, place: usize, members: &[TaskNo]) {
        let Frame::Group { asked, .. } = &mut self.tasks[task].stack[place] else { return };
        if asked.replace(self.now).is_none() {
            members.iter().for_each(|member| self.ask(*member));
        }
    }

    /// What a body does to its own task, or passes on to it, at the very moment at which its members are asked to end
    /// comes before their ends, or after.
    pub(super) fn beside_members(&mut self, task: TaskNo) {
        let now = self.now;
        let is_asked =
            |frame: &Frame<'_>| matches!(frame, Frame::Group { asked: Some(at), .. } if *at == now);
        self.tie |= self.tasks[task].stack.iter().any(is_asked);
    }

    /// Everybody in the group is asked to end.
    pub(super) fn cancel_group(&mut self, task: TaskNo, place: usize) {
        let Frame::Group { members, asked: None, .. } = &self.tasks[task].stack[place] else {
            return;
        };
        let members = members.clone();
        self.ask_members(task, place, &members);
        if let Some(Frame::Body(region)) = self.tasks[task].stack.get(place + 1) {
            let region = region.number;
            self.raise(task, region);
        }
        self.dirty.push(task);
    }

    /// `None`: it was dropped.
    pub(super) fn body_ended(&mut self, task: TaskNo, value: Option<Value>) {
        let place = self.tasks[task].stack.len() - 1;
        if let Some(Value::Token(token)) = value {
            self.beside_members(task);
            self.drop_token(task, token);
        }
        let Frame::Group { body, errors, panicked, .. } = &mut self.tasks[task].stack[place] else {
            unreachable!("a body has a group");
        };
        *body = if matches!(value, Some(Value::Ok | Value::Token(_))) {
            Body::Value
        } else {
            Body::NoValue
        };
        let failed = match value {
            Some(Value::Failed(n)) => {
                errors.push(n);
                true
            }
            Some(Value::Panic) => {
                *panicked = true;
                true
            }
            _ => false,
        };
        let quiet = !failed && value.is_none();
        if failed {
            self.cancel_group(task, place);
        }
        // In the same poll, so that completion wins; but what was only cancelled lets requests go first.
        let Frame::Group { errors, panicked, .. } = &self.tasks[task].stack[place] else { return };
        if !quiet || !errors.is_empty() || *panicked {
            self.look_at_children(task);
        }
    }

    /// The tasks for which the last step has waited have ended, and nothing is passed on.
    pub(super) fn waited(&mut self, task: TaskNo) {
        let frame = self.pop(task);
        if let Some(token) = frame.token() {
            self.drop_token(task, token);
        }
        let event = match frame {
            Frame::Join { n, child } => {
                Event::Joined(n, self.tasks[child].outcome.expect("it has ended"))
            }
            Frame::Group { panicked: true, .. } => return self.give(task, Value::Panic),
            Frame::Group { n, errors, body: Body::Value, .. } if errors.is_empty() => {
                Event::GroupOk(n)
            }
            Frame::Group { n, mut errors, .. } => {
                errors.sort_unstable();
                Event::GroupErr(n, errors)
            }
            Frame::One { n, child, expired, .. } => match self.tasks[child].outcome {
                Some(Outcome::Cancelled) if expired => Event::Elapsed(n),
                outcome => Event::Joined(n, outcome.expect("it has ended")),
            },
            Frame::Gather { n, settled, children, ended, hearing } => {
                let outcomes = children.into_iter().filter_map(|child| child.1).collect();
                let is_error =
                    |outcome: &&Outcome| matches!(outcome, Outcome::Cancelled | Outcome::Panicked);
                // Of all that have ended the first in place is told of, else the first to end.
                let all: &Vec<Outcome> =
                    if matches!(hearing, Hearing::Armed) { &ended } else { &outcomes };
                match all.iter().find(is_error).filter(|_| !settled) {
                    Some(error) => Event::GatherFailed(n, *error),
                    None => Event::Gathered(n, outcomes),
                }
            }
            frame => unreachable!("{frame:?} waits for nobody"),
        };
        self.log(task, event);
        self.give(task, Value::Ok);
    }
}
