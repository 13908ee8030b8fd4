//! A future's place in the tree of the task that polls it.
//!
//! It is taken at the first poll and given back when the future ends or is dropped. A future that
//! is polled by another task next time leaves the old place and takes one there. Outside any task
//! there is no place, and the wrappers do nothing.

use std::panic::Location;
use std::task::Waker;

use super::token::Cancelled;
#[cfg(filch_loom)]
use crate::primitive::seeded;
use crate::task::TaskRef;
use crate::task::cell::{self, contained};
use crate::task::extra::Request;
use crate::task::polling::{self, InNode};
use crate::task::tree::{Kind, NodeId, Visit};

/// Where a wrapper stands, if it stands anywhere yet.
#[derive(Debug)]
pub(crate) struct Place {
    kind: Kind,
    site: &'static Location<'static>,
    linked: Option<Linked>,
}

/// A node, given back when dropped.
#[derive(Debug)]
pub(crate) struct Linked {
    pub(super) task: TaskRef,
    pub(super) id: NodeId,
}

/// What a wrapper does next.
#[derive(Debug)]
pub(crate) enum Entered {
    /// Poll what is inside, and drop the guard after that.
    Poll(Option<InNode>),
    /// A region has fired: drop what is inside.
    Fired,
    /// A catch has: drop what is inside. The token stands in the catch's place.
    Caught(Cancelled),
}

/// The task whose tree futures polled here belong to. Not that of a blocking job, where nobody
/// would deliver requests.
pub(super) fn task_here() -> Option<TaskRef> {
    if polling::node() == NodeId::NOWHERE { None } else { cell::current() }
}

impl Place {
    #[track_caller]
    pub(crate) fn new(kind: Kind) -> Place {
        Place { kind, site: Location::caller(), linked: None }
    }

    pub(crate) fn at(kind: Kind, site: &'static Location<'static>) -> Place {
        Place { kind, site, linked: None }
    }

    pub(crate) fn site(&self) -> &'static Location<'static> {
        self.site
    }

    /// Before a poll of what is inside.
    pub(crate) fn enter(&mut self, waker: &Waker) -> Entered {
        if self.linked.as_ref().is_some_and(|linked| !cell::is_current(&linked.task)) {
            self.linked = None;
        }
        let parent = polling::node();
        if self.linked.is_none() {
            let Some(task) = task_here() else { return Entered::Poll(None) };
            // (Cloned before the lock: it may be foreign code.)
            let waker = waker.clone();
            let mut tree = task.header().extra_or_new().tree();
            let id = tree.link(self.kind, parent, self.site);
            // The first visit at once: nothing can have been asked of it, and there is no waker yet.
            let _ = tree.visit(id, parent, polling::next_stamp(), &waker);
            tree.set_waker(id, waker);
            let hears = matches!(self.kind, Kind::Catch | Kind::Waiter) && tree.is_waited_on();
            drop(tree);
            if hears {
                // A request that nobody in a cleanup could hear so far may be for this one.
                task.request();
            }
            self.linked = Some(Linked { task, id });
            return Entered::Poll(Some(polling::enter_node(id)));
        }
        let linked = self.linked.as_ref().expect("it was just made");
        match linked.visit(parent, waker) {
            Visit::Poll { .. } => Entered::Poll(Some(polling::enter_node(linked.id))),
            Visit::Fired(None) => Entered::Fired,
            Visit::Fired(Some(request)) => {
                let linked = self.linked.take().expect("it has fired");
                Entered::Caught(Cancelled::caught(linked, request))
            }
        }
    }

    /// Takes a place for a future that did without one so far, above all that was polled inside it
    /// since the stamp was `before`. `false`: nothing was.
    pub(crate) fn adopt(&mut self, before: u64, waker: &Waker) -> bool {
        let Some(task) = task_here() else { return false };
        let stamps = before + 1..=polling::next_stamp();
        let parent = polling::node();
        let adopted = match task.header().extra() {
            Some(extra) => extra.tree().adopt(parent, stamps, self.site),
            None => None,
        };
        let Some(id) = adopted else { return false };
        let linked = Linked { task, id };
        let _ = linked.visit(parent, waker);
        self.linked = Some(linked);
        true
    }

    /// A region without a place, or one that is polled by another task now, has nobody inside whom
    /// it could ask.
    pub(crate) fn is_linked(&self) -> bool {
        self.linked.as_ref().is_some_and(|linked| cell::is_current(&linked.task))
    }

    /// Has it a place in some task's tree, perhaps not in that of the task that polls it now?
    pub(crate) fn was_linked(&self) -> bool {
        self.linked.is_some()
    }

    /// Was it polled by another task before, which has a request to it? Then nobody inside can be
    /// asked any more.
    pub(crate) fn is_asked_away(&self) -> bool {
        let away = self.linked.as_ref().filter(|linked| !cell::is_current(&linked.task));
        away.is_some_and(|Linked { task, id }| task.header().extra_or_new().tree().count(*id) > 0)
    }

    /// Was it polled by another task before, where nothing (more) is asked of it?
    pub(crate) fn is_spared_away(&self) -> bool {
        let away = self.linked.as_ref().is_some_and(|linked| !cell::is_current(&linked.task));
        away && !self.is_asked_away()
    }

    /// A request to this region. It acts when the task waits next.
    pub(crate) fn raise(&self, request: Request) {
        if let Some(Linked { task, id }) = &self.linked {
            task.header().extra_or_new().tree().raise(*id, request);
            task.request();
        }
    }

    /// Has what was inside ended because of a request to this region, although it gave a value? A
    /// token of that request lives then, perhaps in the value.
    pub(crate) fn is_ridden(&self) -> bool {
        self.linked
            .as_ref()
            .is_some_and(|Linked { task, id }| task.header().extra_or_new().tree().is_ridden(*id))
    }

    /// What was inside is gone.
    pub(crate) fn leave(&mut self) {
        self.linked = None;
    }
}

impl Linked {
    /// What waits here to be dropped for the task's request.
    pub(super) fn resume(task: TaskRef, site: &'static Location<'static>) -> Linked {
        let tree = || task.header().extra_or_new().tree();
        let id = tree().link(Kind::Resume, polling::node(), site);
        Linked { task, id }
    }

    pub(super) fn visit_here(&self, waker: &Waker) {
        let _ = self.visit(polling::node(), waker);
    }

    fn visit(&self, parent: NodeId, waker: &Waker) -> Visit {
        let extra = self.task.header().extra_or_new();
        let visit = extra.tree().visit(self.id, parent, polling::next_stamp(), waker);
        if let Visit::Poll { known: false } = visit {
            let waker = waker.clone();
            let old = extra.tree().set_waker(self.id, waker);
            drop(old);
        }
        visit
    }
}

impl Drop for Linked {
    fn drop(&mut self) {
        let (again, waker) = self.task.header().extra_or_new().tree().unlink(self.id);
        contained(|| drop(waker));
        #[cfg(filch_loom)] // A twin tells nobody.
        let again = again && !seeded("token-drops-silently");
        if again {
            // Requests wait; perhaps for this.
            self.task.request();
        }
    }
}
