//! Who gets a request, and what that does.

use super::super::frame::{Body, Demand, Frame, Hearing, Region, RegionNo, Token, Value};
use super::super::program::{Event, Outcome, TaskNo};
use super::Model;

enum Fires {
    Catch(usize, RegionNo),
    Region(usize),
}

impl<'p> Model<'p> {
    /// Until nothing follows any more.
    pub(super) fn settle(&mut self) {
        while let Some(task) = self.dirty.pop() {
            while self.follow(task) {}
        }
    }

    /// At a suspension: first requests, then whoever has only let others go first.
    pub(super) fn follow(&mut self, task: TaskNo) -> bool {
        if self.tasks[task].stack.is_empty() {
            return false;
        }
        if self.tasks[task].hard {
            self.end(task, Outcome::Cancelled);
            return false;
        }
        match self.deliver(task) {
            Some(Fires::Catch(place, region)) => self.fire_catch(task, place, region),
            Some(Fires::Region(place)) => self.fire_region(task, place),
            None => return self.go_on(task),
        }
        true
    }

    /// The outermost region first.
    fn deliver(&mut self, task: TaskNo) -> Option<Fires> {
        let regions: Vec<usize> = (0..self.tasks[task].stack.len())
            .filter(|place| self.tasks[task].stack[*place].region().is_some_and(Region::waits))
            .collect();
        regions.into_iter().find_map(|place| self.deliver_to(task, place))
    }

    fn deliver_to(&mut self, task: TaskNo, place: usize) -> Option<Fires> {
        let stack = &self.tasks[task].stack;
        let inside = place + 1..stack.len();
        let last_shield = inside.clone().rev().find(|at| stack[*at].shields());
        let behind_shield =
            |at: usize| stack[place + 1..at].iter().any(|f| matches!(f, Frame::Shield));
        // In a cleanup, those who wait for other tasks are left alone.
        let is_deaf = |at: usize| {
            stack[at].is_waiter() && stack[place + 1..at].iter().any(|f| f.token().is_some())
        };
        let hears = |at: &usize| stack[*at].is_catch() || (stack[*at].is_waiter() && !is_deaf(*at));
        let region = stack[place].region().expect("a region");
        let (number, tokens) = (region.number, region.tokens);
        let demand = region.demand.as_ref().expect("one that waits");
        if demand.fresh {
            let innermost = inside.clone().rev().find(hears);
            let innermost = innermost.filter(|at| last_shield < Some(*at) && !behind_shield(*at));
            let held = !demand.passed.is_empty() || tokens > 0;
            let empty = !inside.clone().any(|at| stack[at].is_catch() || stack[at].is_waiter());
            match innermost {
                Some(at) => {
                    self.demand(task, place).fresh = false;
                    return Some(Fires::Catch(at, number));
                }
                None if held => self.demand(task, place).fresh = false,
                None if last_shield.is_none() && empty => return Some(Fires::Region(place)),
                None => {}
            }
        }
        let stack = &self.tasks[task].stack;
        let is_deaf = |at: usize| {
            stack[at].is_waiter() && stack[place + 1..at].iter().any(|f| f.token().is_some())
        };
        let hears = |at: &usize| stack[*at].is_catch() || (stack[*at].is_waiter() && !is_deaf(*at));
        let passed = &stack[place].region()?.demand.as_ref()?.passed;
        let next = |floor: usize| (place + 1..=floor).rev().find(hears).unwrap_or(place);
        let next = passed.iter().map(|floor| next(*floor)).max()?;
        if last_shield > Some(next) {
            return None;
        }
        if next == place {
            return Some(Fires::Region(place));
        }
        let rest: Vec<usize> = passed
            .iter()
            .copied()
            .filter(|floor| (place + 1..=*floor).rev().find(hears) != Some(next))
            .collect();
        self.demand(task, place).passed = rest;
        Some(Fires::Catch(next, number))
    }

    pub(super) fn demand(&mut self, task: TaskNo, place: usize) -> &mut Demand {
        self.region(task, place).demand.as_mut().expect("it was asked")
    }

    pub(super) fn fire_catch(&mut self, task: TaskNo, place: usize, region: RegionNo) {
        self.cut(task, place);
        let token = Token { region, void: false, given_up: false };
        let of = self.place(task, region).expect("it is around the catch");
        self.region(task, of).tokens += 1;
        match &mut self.tasks[task].stack[place] {
            Frame::Catch { n, cleanup, answer } => {
                let (n, cleanup, answer) = (*n, *cleanup, *answer);
                self.tasks[task].stack[place] = Frame::Cleanup { token, answer };
                self.log(task, Event::Caught(n));
                self.start(task, cleanup);
            }
            Frame::Group { hearing, members, body, .. } => {
                *hearing = Hearing::Asked(token);
                if *body == Body::Runs {
                    *body = Body::NoValue;
                }
                let members = members.clone();
                self.ask_members(task, place, &members);
            }
            Frame::One { hearing, child, .. } => {
                *hearing = Hearing::Asked(token);
                let child = *child;
                self.ask(child);
            }
            Frame::Gather { hearing, children, .. } => {
                *hearing = Hearing::Asked(token);
                let children = children.clone();
                children
                    .iter()
                    .filter(|child| child.1.is_none())
                    .for_each(|child| self.ask(child.0));
            }
            frame => unreachable!("{frame:?} hears nothing"),
        }
    }

    pub(super) fn fire_region(&mut self, task: TaskNo, place: usize) {
        if place == 0 {
            return self.end(task, Outcome::Cancelled);
        }
        self.cut(task, place);
        match self.pop(task) {
            Frame::Timeout { n, .. } => {
                self.log(task, Event::Elapsed(n));
                self.give(task, Value::Ok);
            }
            Frame::Scope { n, .. } => {
                self.log(task, Event::Cut(n));
                self.give(task, Value::Ok);
            }
            Frame::Body(_) => self.body_ended(task, None),
            frame => unreachable!("{frame:?} is no region"),
        }
    }

    /// Drops everything inside a step.
    pub(super) fn cut(&mut self, task: TaskNo, place: usize) {
        while self.tasks[task].stack.len() > place + 1 {
            let frame = self.pop(task);
            self.dropped(task, frame);
        }
    }

    /// Tasks for which a step was to wait are asked to end, and its task waits for that.
    pub(super) fn dropped(&mut self, task: TaskNo, frame: Frame<'p>) {
        if let Some(token) = frame.token() {
            if !self.tasks[task].stack.is_empty() {
                self.drop_token(task, token);
            }
        }
        let children = match frame {
            Frame::Group { members, .. } => members,
            Frame::One { child, .. } => vec![child],
            Frame::Gather { children, .. } => children.into_iter().map(|child| child.0).collect(),
            _ => return,
        };
        for child in children {
            if self.tasks[child].outcome.is_none() {
                self.tasks[task].held_by.push(child);
                if self.tasks[task].hard { self.abort(child) } else { self.ask(child) }
            }
        }
    }
}
