//! Who inside a task gets a request to end.
//!
//! A request is aimed at a *region*: the task as a whole, a timeout, the body of a group, a scope. Inside
//! it there may be *catches*, which want to hear of the request before the region is dropped, and
//! *shields*, which hold it back. They form a tree that follows the polls:
//!
//! ```text
//!     task ──┬── timeout ── catch ── …        a request to the task fires the innermost catches,
//!            └── shield ── catch              those behind the shield excepted
//! ```
//!
//! The tree belongs to the task, not to the futures: a future has only the number of its node, so
//! one that is leaked leaves a node behind and nothing that dangles. Most tasks have no node at
//! all, and then none of this costs anything.
//!
//! # The life of a request
//!
//! ```text
//! raised ──► fresh ──► a catch fires ──► token ──┬──► withdrawn (uncancel)
//!                │                       ▲       └──► passed on (resume, drop)
//!                │                       └── an enclosing catch ◄──┤
//!                └──► no catch, no shield: the region fires ◄──────┘
//! ```
//!
//! - *Fresh*: it goes to the innermost catches below its region, wherever they are.
//! - *Passed on*: from the catch that had it, only outwards: to a catch that **enclosed** that one, or to
//!   the region. A catch begun later is not asked; else `loop { step().await }` with a catch inside `step`
//!   would fire again for ever.
//! - What lies *behind a shield* waits, and is tried again when the shield ends. A token is a shield
//!   for its cleanup: nothing that encloses it fires while it lives.
//!
//! # When
//!
//! Everything happens in [`Tree::deliver`], which the owner of the task calls when it finds
//! `CANCELLED` in the state word: before a poll, or after a poll that returned Pending. Whoever
//! changes something here that matters (a request raised, a token or a shield gone) sets that bit
//! with [`TaskRef::request`](super::TaskRef::request). So a request acts at suspensions, never in the middle of
//! a poll, and a future that becomes ready in the same poll keeps its value.
//!
//! A fired node is woken through its own waker, because combinators poll only the child that was
//! woken. If nobody polls it nevertheless (the losing side of a `select!`, kept by reference), the
//! request goes outwards once the task is quiet.

use std::panic::Location;
use std::task::Waker;

use super::extra::Request;
#[cfg(filch_loom)]
use crate::primitive::seeded;

/// The number of a node in its task's tree; belongs to one future (or token), which gives it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NodeId(u32);

impl NodeId {
    /// The task itself.
    pub(crate) const ROOT: NodeId = NodeId(u32::MAX);
    /// Inside a blocking job. Nobody delivers requests there: the job's one poll is all of it, and
    /// whatever futures it polls, some other executor drives.
    pub(crate) const NOWHERE: NodeId = NodeId(u32::MAX - 1);

    fn index(self) -> usize {
        self.0 as usize
    }
}

/// How many polls of the task a fired catch may let go by before the request goes outwards, if
/// the task is never quiet; and one more for each node, for a combinator with many children may
/// poll them one at a time.
const PATIENCE: usize = 64;

/// What a future finds at its node before it polls what is inside.
#[derive(Debug)]
pub(crate) enum Visit {
    /// `known`: the node has this waker already.
    Poll { known: bool },
    /// A region, or (with the request) a catch: what is inside is to be dropped.
    Fired(Option<Request>),
}

/// Which future a node stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Region,
    Catch,
    /// A catch of the runtime's own, in a future that waits for tasks it answers for. In a cleanup it
    /// hears nothing of further requests to what is being cleaned up: nobody there could pass them on.
    Waiter,
    Shield,
    /// Has nothing inside: it waits to be dropped for the task's request.
    Resume,
}

#[derive(Debug, Default)]
pub(crate) struct Tree {
    root: Region,
    /// Everything is to be dropped, whatever is in here.
    hard: bool,
    /// The runtime has asked the task to end.
    shut: bool,
    /// Why the task ends; nobody can take that back.
    verdict: Option<Request>,
    nodes: Vec<Option<Node>>,
    free: Vec<NodeId>,
    /// The regions (without the root) that have a request.
    asked: Vec<NodeId>,
    /// How many nodes have begun, and tokens.
    clock: u64,
    /// How many nodes are tokens.
    tokens: usize,
}

#[derive(Debug)]
struct Node {
    parent: NodeId,
    /// How many nodes have this one as their parent.
    children: usize,
    /// When it was polled last (see [`polling::stamp`](super::polling::stamp)).
    stamp: u64,
    waker: Option<Waker>,
    /// Where the future was made.
    site: &'static Location<'static>,
    /// See [`Tree::clock`].
    born: u64,
    waiter: bool,
    is: Is,
}

#[derive(Debug)]
enum Is {
    Region(Region),
    /// `fired`: for the request to this region, and so many polls ago.
    Catch {
        fired: Option<(NodeId, usize)>,
        skipped: bool,
    },
    Shield,
    /// A catch that has given its token away, for a request to this region. `None`: the region
    /// has ended. `void`: the request was taken back, by another token or from outside.
    /// `given_up`: its cleanup has resumed a further request, so it does not shield any more.
    Token {
        region: Option<NodeId>,
        void: bool,
        since: u64,
        given_up: bool,
    },
    /// A token that was spent to pass the request on, and waits to be dropped for it. `None`: the
    /// region has ended.
    Resume(Option<NodeId>),
}

/// What requests are aimed at.
#[derive(Debug, Default)]
struct Region {
    demand: Option<Demand>,
    /// Tokens of this demand that live.
    tokens: usize,
    fired: bool,
    /// It was asked before, so other nodes may name it.
    known: bool,
}

#[derive(Debug)]
struct Demand {
    count: usize,
    first: Request,
    fresh: bool,
    /// The nodes it was passed on to, and has not reached.
    passed: Vec<NodeId>,
    /// Catches that others heard of it before, because something in these held it back.
    missed: Vec<NodeId>,
}

impl Region {
    fn waits(&self) -> bool {
        let waits = |demand: &Demand| {
            demand.fresh || !demand.passed.is_empty() || !demand.missed.is_empty()
        };
        !self.fired && self.demand.as_ref().is_some_and(waits)
    }
}

/// What the owner does after [`Tree::deliver`].
#[derive(Debug, Default)]
pub(crate) struct Delivery {
    /// The task itself has fired.
    pub(crate) drop: bool,
    /// To be run outside the lock.
    pub(crate) wakers: Vec<Waker>,
    /// Look again after the next poll: a fired node must be seen to be polled.
    pub(crate) look_again: bool,
}

/// Where in its life the task is when a request is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    BeforePoll,
    /// `quiet`: nothing has woken the task since that poll began.
    AfterPoll {
        quiet: bool,
    },
}

// ── requests ──────────────────────────────────────────────────────────────────────────────────

impl Tree {
    /// One more request to a region. The first one's reason and place are kept.
    pub(crate) fn raise(&mut self, id: NodeId, request: Request) {
        let region = self.region_mut(id).expect("requests are aimed at regions");
        region.known = true;
        match &mut region.demand {
            Some(demand) => {
                demand.count += 1;
                demand.fresh = true;
            }
            None => {
                let first = request;
                let (passed, missed) = Default::default();
                region.demand = Some(Demand { count: 1, first, fresh: true, passed, missed });
                if id != NodeId::ROOT {
                    self.asked.push(id);
                }
            }
        }
    }

    /// The request of a runtime that shuts down, if it is not in here yet: the task may take it back.
    pub(crate) fn raise_once(&mut self, request: Request) {
        if !std::mem::replace(&mut self.shut, true) {
            self.raise(NodeId::ROOT, request);
        }
    }

    /// The task is to be dropped at its next suspension.
    pub(crate) fn raise_hard(&mut self, request: Request) {
        self.raise(NodeId::ROOT, request);
        self.hard = true;
        self.condemn();
    }

    pub(crate) fn is_hard(&self) -> bool {
        self.hard
    }

    /// Has what was asked of the task reached somebody? (The task itself, or a catch, which may have taken it back.)
    pub(crate) fn has_reached(&self) -> bool {
        self.root.fired || !self.root.demand.as_ref().is_some_and(|demand| demand.fresh)
    }

    /// The task ends because of its first request, even if that is taken back from now on.
    fn condemn(&mut self) {
        #[cfg(filch_loom)] // A twin only notes that it ends.
        if seeded("no-verdict") {
            return;
        }
        let first = self.root.demand.as_ref().map(|demand| demand.first.clone());
        self.verdict = self.verdict.take().or(first);
    }

    pub(crate) fn count(&self, region: NodeId) -> usize {
        self.demand(region).map_or(0, |demand| demand.count)
    }

    /// Why a region is to end: its first request.
    pub(crate) fn first(&self, region: NodeId) -> Option<&Request> {
        let verdict = self.verdict.as_ref().filter(|_| region == NodeId::ROOT);
        verdict.or_else(|| Some(&self.demand(region)?.first))
    }

    /// Takes one request back and answers how many are left. With the last one, what was not
    /// consumed yet is undone, and tokens stand for nothing any more. (Not even that undoes a hard
    /// request.)
    pub(crate) fn withdraw(&mut self, id: NodeId) -> usize {
        let Some(region) = self.region_mut(id) else { return 0 };
        let Some(demand) = &mut region.demand else { return 0 };
        demand.count -= 1;
        if demand.count > 0 {
            return demand.count;
        }
        let fired = region.fired && id == NodeId::ROOT;
        *region = Region { known: true, fired, ..Region::default() };
        self.asked.retain(|asked| *asked != id);
        for node in self.nodes.iter_mut().flatten() {
            match &mut node.is {
                Is::Catch { fired, .. } => _ = fired.take_if(|(region, _)| *region == id),
                Is::Token { region, void, .. } => *void |= *region == Some(id),
                Is::Region(_) | Is::Shield | Is::Resume(_) => {}
            }
        }
        0
    }

    /// Does a token of a request to this region live? (A future that ends then was cut short by it,
    /// even if the token rode out in its output.)
    pub(crate) fn is_ridden(&self, region: NodeId) -> bool {
        self.region(region).is_some_and(|r| r.tokens > 0 && r.demand.is_some())
    }
}

// ── nodes ─────────────────────────────────────────────────────────────────────────────────────

impl Tree {
    pub(crate) fn link(
        &mut self,
        kind: Kind,
        parent: NodeId,
        site: &'static Location<'static>,
    ) -> NodeId {
        let is = match kind {
            Kind::Region => Is::Region(Region::default()),
            Kind::Catch | Kind::Waiter => Is::Catch { fired: None, skipped: false },
            Kind::Shield => Is::Shield,
            Kind::Resume => Is::Resume(Some(NodeId::ROOT)),
        };
        self.count_children(parent, 1);
        let (born, waiter) = (self.tick(), kind == Kind::Waiter);
        let node = Node { parent, children: 0, stamp: 0, waker: None, site, born, waiter, is };
        let node = Some(node);
        match self.free.pop() {
            Some(id) => {
                self.nodes[id.index()] = node;
                id
            }
            None => {
                self.nodes.push(node);
                NodeId((self.nodes.len() - 1) as u32)
            }
        }
    }

    /// A node is about to be polled, under this parent. (No waker is cloned or dropped in here: that
    /// may be foreign code, and this runs under a lock.)
    pub(crate) fn visit(&mut self, id: NodeId, parent: NodeId, stamp: u64, waker: &Waker) -> Visit {
        self.set_parent(id, parent);
        let node = self.node_mut(id);
        node.stamp = stamp;
        let known = node.waker.as_ref().is_some_and(|old| old.will_wake(waker));
        match &mut node.is {
            Is::Region(region) if region.fired => return Visit::Fired(None),
            Is::Catch { fired: Some(_), .. } => {
                if let Some(request) = self.take_token(id) {
                    return Visit::Fired(Some(request));
                }
            }
            Is::Catch { skipped, .. } => *skipped = false,
            Is::Region(_) | Is::Shield | Is::Token { .. } | Is::Resume(_) => {}
        }
        Visit::Poll { known }
    }

    /// Who wakes a node's future; the one before is given back.
    pub(crate) fn set_waker(&mut self, id: NodeId, waker: Waker) -> Option<Waker> {
        self.node_mut(id).waker.replace(waker)
    }

    /// A timeout without a node has polled its future, and nodes were polled in there: it gets one,
    /// between those and the parent.
    pub(crate) fn adopt(
        &mut self,
        parent: NodeId,
        stamps: std::ops::RangeInclusive<u64>,
        site: &'static Location<'static>,
    ) -> Option<NodeId> {
        let inside = |node: &Node| node.parent == parent && stamps.contains(&node.stamp);
        let inside: Vec<_> = self.ids().filter(|id| inside(self.node(*id))).collect();
        if inside.is_empty() {
            return None;
        }
        let id = self.link(Kind::Region, parent, site);
        inside.into_iter().for_each(|child| self.set_parent(child, id));
        self.node_mut(id).stamp = *stamps.end();
        Some(id)
    }

    /// A future has ended or is dropped. `true`: somebody may have waited for that, deliver again.
    /// (The waker is to be dropped outside the lock.)
    pub(crate) fn unlink(&mut self, id: NodeId) -> (bool, Option<Waker>) {
        let node = self.nodes[id.index()].take().expect("a node is unlinked once");
        self.free.push(id);
        let parent = node.parent;
        self.tokens -= usize::from(matches!(node.is, Is::Token { .. }));
        self.count_children(parent, -1);
        // Nearly always nobody names it: what was inside has ended before.
        if node.children > 0 || matches!(node.is, Is::Region(Region { known: true, .. })) {
            self.forget(id, parent);
        }
        self.for_each_demand(|demand| {
            let moved = demand.passed.iter_mut().filter(|floor| **floor == id);
            moved.for_each(|floor| *floor = parent);
            demand.missed.retain(|catch| *catch != id);
        });
        match node.is {
            // Fired, and nobody took the token: nothing is lost.
            Is::Catch { fired: Some((region, _)), .. } => self.pass_on(region, parent),
            Is::Token { region: Some(region), void: false, .. } => {
                self.region_mut(region).expect("it is alive").tokens -= 1;
                self.pass_on(region, parent);
            }
            Is::Catch { .. } | Is::Token { .. } | Is::Region(_) | Is::Shield | Is::Resume(_) => {}
        }
        if self.free.len() == self.nodes.len() {
            self.nodes.clear();
            self.free.clear();
        }
        (self.regions_asked().any(|(_, region)| region.waits()), node.waker)
    }

    /// No other node names this one any more.
    fn forget(&mut self, id: NodeId, parent: NodeId) {
        self.asked.retain(|asked| *asked != id);
        let mut adopted = 0;
        for other in self.nodes.iter_mut().flatten() {
            if other.parent == id {
                other.parent = parent;
                adopted += 1;
            }
            match &mut other.is {
                Is::Catch { fired, .. } => _ = fired.take_if(|(region, _)| *region == id),
                Is::Token { region, .. } | Is::Resume(region) => _ = region.take_if(|r| *r == id),
                Is::Region(_) | Is::Shield => {}
            }
        }
        self.count_children(parent, adopted);
    }

    /// A catch that has fired becomes a token: a shield for the cleanup.
    fn take_token(&mut self, id: NodeId) -> Option<Request> {
        let Is::Catch { fired, .. } = &mut self.node_mut(id).is else { return None };
        let (region, _) = fired.take()?;
        let first = self.first(region)?.clone();
        let since = self.tick();
        let token = Is::Token { region: Some(region), void: false, since, given_up: false };
        self.node_mut(id).is = token;
        self.tokens += 1;
        self.region_mut(region).expect("it is alive").tokens += 1;
        Some(first)
    }

    /// A token is spent to take its request back: how many are left? (None, if it was taken back
    /// before: those that came later are not this token's.)
    pub(crate) fn uncancel(&mut self, token: NodeId) -> usize {
        match self.node(token).is {
            Is::Token { region: Some(region), void: false, .. } => self.withdraw(region),
            Is::Token { region: Some(region), void: true, .. } => self.count(region),
            _ => 0,
        }
    }

    /// A token is spent to pass its request on: from now on its node waits to be dropped for that.
    pub(crate) fn resume(&mut self, token: NodeId) {
        let Node { is: Is::Token { region, void, .. }, parent, .. } = *self.node_mut(token) else {
            return;
        };
        // In another token's cleanup: that will never come to its end.
        let target = region.unwrap_or(NodeId::ROOT);
        for id in self.cleanups_of(token, target).collect::<Vec<_>>() {
            if let Is::Token { given_up, .. } = &mut self.node_mut(id).is {
                *given_up = true;
            }
        }
        self.node_mut(token).is = Is::Resume(region);
        self.tokens -= 1;
        if let (Some(region), false) = (region, void) {
            self.region_mut(region).expect("it is alive").tokens -= 1;
            self.pass_on(region, parent);
        }
    }

    /// What waits to be dropped for a request: was the request taken back? (If the region has
    /// ended, the task takes its place.)
    pub(crate) fn is_idle(&self, resume: NodeId) -> bool {
        self.resumed(resume).is_some_and(|region| self.demand(region).is_none())
    }

    /// What waits to be dropped for a request, which was taken back, makes a new one: it goes
    /// outwards from there. `false`: there was no need.
    pub(crate) fn insist(&mut self, resume: NodeId, request: &Request) -> bool {
        let Some(region) = self.resumed(resume).filter(|_| self.is_idle(resume)) else {
            return false;
        };
        let floor = self.node(resume).parent;
        self.raise(region, request.clone());
        let demand = self.demand_mut(region);
        (demand.fresh, demand.passed) = (false, vec![floor]);
        true
    }

    fn resumed(&self, resume: NodeId) -> Option<NodeId> {
        match self.node(resume).is {
            Is::Resume(region) => Some(region.unwrap_or(NodeId::ROOT)),
            _ => None,
        }
    }
}

impl Tree {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }
}

mod deliver;
#[cfg(all(test, not(filch_loom)))]
mod tests;

// ── small things ──────────────────────────────────────────────────────────────────────────────

impl Tree {
    fn ids(&self) -> impl Iterator<Item = NodeId> {
        (0..self.nodes.len()).filter(|i| self.nodes[*i].is_some()).map(|i| NodeId(i as u32))
    }

    /// From the node's parent up to the root.
    fn ancestors(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        let first = (id != NodeId::ROOT).then(|| self.node(id).parent);
        std::iter::successors(first, |id| (*id != NodeId::ROOT).then(|| self.node(*id).parent))
    }

    /// The node itself, then its ancestors.
    fn ancestors_from(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        std::iter::once(id).chain(self.ancestors(id))
    }

    /// The root stands behind all others.
    fn slot(&self, id: NodeId) -> usize {
        if id == NodeId::ROOT { self.nodes.len() } else { id.index() }
    }

    fn set_parent(&mut self, id: NodeId, parent: NodeId) {
        let old = std::mem::replace(&mut self.node_mut(id).parent, parent);
        if old != parent {
            self.count_children(old, -1);
            self.count_children(parent, 1);
        }
    }

    fn count_children(&mut self, id: NodeId, difference: isize) {
        if id != NodeId::ROOT {
            let children = &mut self.node_mut(id).children;
            *children = children.saturating_add_signed(difference);
        }
    }

    fn node(&self, id: NodeId) -> &Node {
        self.nodes[id.index()].as_ref().expect("its owner has not unlinked it")
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes[id.index()].as_mut().expect("its owner has not unlinked it")
    }

    fn region(&self, id: NodeId) -> Option<&Region> {
        if id == NodeId::ROOT {
            return Some(&self.root);
        }
        match &self.nodes.get(id.index())?.as_ref()?.is {
            Is::Region(region) => Some(region),
            _ => None,
        }
    }

    fn region_mut(&mut self, id: NodeId) -> Option<&mut Region> {
        if id == NodeId::ROOT {
            return Some(&mut self.root);
        }
        match &mut self.nodes.get_mut(id.index())?.as_mut()?.is {
            Is::Region(region) => Some(region),
            _ => None,
        }
    }

    fn demand(&self, region: NodeId) -> Option<&Demand> {
        self.region(region)?.demand.as_ref()
    }

    fn demand_mut(&mut self, region: NodeId) -> &mut Demand {
        self.region_mut(region).and_then(|r| r.demand.as_mut()).expect("there is a request")
    }

    /// Regions that have a request.
    fn regions_asked(&self) -> impl Iterator<Item = (NodeId, &Region)> {
        let root = self.root.demand.is_some().then_some((NodeId::ROOT, &self.root));
        root.into_iter().chain(self.asked.iter().filter_map(|id| Some((*id, self.region(*id)?))))
    }

    fn for_each_demand(&mut self, mut f: impl FnMut(&mut Demand)) {
        self.root.demand.iter_mut().for_each(&mut f);
        for id in &self.asked {
            if let Some(Node { is: Is::Region(region), .. }) = &mut self.nodes[id.index()] {
                region.demand.iter_mut().for_each(&mut f);
            }
        }
    }
}
