//! The rules of cancellation, on the tree alone: what fires, in which order, and that no request
//! waits when nothing holds it.

use std::panic::Location;
use std::sync::Arc;
use std::task::{Wake, Waker};

use super::{Kind, NodeId, Tree, Visit, When};
use crate::primitive::{AtomicUsize, Ordering};
use crate::task::extra::Request;

const ROOT: NodeId = NodeId::ROOT;

/// Counts its wake-ups.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A task that has a tree and nothing else.
#[derive(Default)]
struct Bench {
    tree: Tree,
    bell: Arc<Bell>,
    stamp: u64,
}

fn request(reason: &'static str) -> Request {
    Request { reason: Some(reason.into()), place: Location::caller() }
}

/// What a poll found.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    Region,
    Token,
}

impl Bench {
    /// A future's first poll.
    fn begin(&mut self, kind: Kind, parent: NodeId) -> NodeId {
        let id = self.tree.link(kind, parent, Location::caller());
        assert_eq!(self.poll(id, parent), Found::Nothing);
        id
    }

    fn catch(&mut self, parent: NodeId) -> NodeId {
        self.begin(Kind::Catch, parent)
    }

    fn region(&mut self, parent: NodeId) -> NodeId {
        self.begin(Kind::Region, parent)
    }

    fn shield(&mut self, parent: NodeId) -> NodeId {
        self.begin(Kind::Shield, parent)
    }

    fn poll(&mut self, id: NodeId, parent: NodeId) -> Found {
        self.stamp += 1;
        let waker = Waker::from(Arc::clone(&self.bell));
        match self.tree.visit(id, parent, self.stamp, &waker) {
            Visit::Poll { known } => {
                if !known {
                    drop(self.tree.set_waker(id, waker));
                }
                Found::Nothing
            }
            Visit::Fired(None) => Found::Region,
            Visit::Fired(Some(_)) => Found::Token,
        }
    }

    fn cancel(&mut self, region: NodeId) {
        self.tree.raise(region, request("cancel"));
    }

    /// The task suspends, having been woken. Does it end? And how many were woken?
    fn suspend(&mut self) -> (bool, usize) {
        self.deliver(When::AfterPoll { quiet: false })
    }

    /// The same, with nothing that would poll it again.
    fn park(&mut self) -> (bool, usize) {
        self.deliver(When::AfterPoll { quiet: true })
    }

    fn deliver(&mut self, when: When) -> (bool, usize) {
        let delivery = self.tree.deliver(when);
        let before = self.bell.0.load(Ordering::Relaxed);
        delivery.wakers.into_iter().for_each(Waker::wake);
        (delivery.drop, self.bell.0.load(Ordering::Relaxed) - before)
    }

    /// Ends a future, or drops a token. Is anybody to be asked again?
    fn end(&mut self, id: NodeId) -> bool {
        let (again, waker) = self.tree.unlink(id);
        drop(waker);
        again
    }
}

// ── rule 1 ────────────────────────────────────────────────────────────────────────────────────

#[test]
fn requests_are_counted_and_the_first_reason_is_kept() {
    let mut b = Bench::default();
    let _shield = b.shield(ROOT);
    b.tree.raise(ROOT, request("one"));
    b.tree.raise(ROOT, request("two"));
    assert_eq!(b.tree.count(ROOT), 2);
    assert_eq!(b.tree.first(ROOT).unwrap().reason.as_deref(), Some("one"));
    assert_eq!((b.tree.withdraw(ROOT), b.tree.withdraw(ROOT), b.tree.withdraw(ROOT)), (1, 0, 0));
    assert!(b.tree.first(ROOT).is_none());
}

#[test]
fn without_catch_and_shield_the_region_fires() {
    let mut b = Bench::default();
    b.cancel(ROOT);
    assert_eq!(b.deliver(When::BeforePoll), (true, 0));

    let mut b = Bench::default();
    let (one, two) = (b.region(ROOT), b.region(ROOT));
    b.cancel(one);
    assert_eq!(b.suspend(), (false, 1));
    assert_eq!((b.poll(one, ROOT), b.poll(two, ROOT)), (Found::Region, Found::Nothing));
}

// ── rule 2 ────────────────────────────────────────────────────────────────────────────────────

#[test]
fn the_innermost_catch_of_each_branch_fires() {
    let mut b = Bench::default();
    let outer = b.catch(ROOT);
    let (left, right) = (b.catch(outer), b.catch(outer));
    let deep = b.catch(left);
    b.cancel(ROOT);
    assert_eq!(b.suspend(), (false, 2));
    assert_eq!(b.poll(left, outer), Found::Nothing);
    assert_eq!(b.poll(right, outer), Found::Token);
    assert_eq!(b.poll(deep, left), Found::Token);
    assert_eq!(b.poll(outer, ROOT), Found::Nothing);
    // They pass it on, and everybody in the middle is asked, once.
    assert!(b.end(deep));
    assert_eq!(b.suspend(), (false, 1));
    assert_eq!((b.poll(left, outer), b.poll(outer, ROOT)), (Found::Token, Found::Nothing));
    assert!(b.end(left) && b.suspend() == (false, 0), "the other token still lives");
    assert!(b.end(right) && b.suspend() == (false, 1));
    assert_eq!(b.poll(outer, ROOT), Found::Token);
    assert!(b.end(outer) && b.suspend() == (true, 0));
}

#[test]
fn a_shield_holds_a_request_back_until_it_ends() {
    let mut b = Bench::default();
    let outer = b.catch(ROOT);
    let shield = b.shield(outer);
    let behind = b.catch(shield);
    let beside = b.catch(outer);
    b.cancel(ROOT);
    assert_eq!(b.suspend(), (false, 1));
    assert_eq!((b.poll(behind, shield), b.poll(beside, outer)), (Found::Nothing, Found::Token));
    assert!(b.end(beside) && b.suspend() == (false, 0));
    assert!(b.end(behind) && b.suspend() == (false, 0));
    assert!(b.end(shield) && b.suspend() == (false, 1));
    assert_eq!(b.poll(outer, ROOT), Found::Token);
}

#[test]
fn what_begins_after_a_shield_hears_of_a_fresh_request() {
    let mut b = Bench::default();
    let shield = b.shield(ROOT);
    b.cancel(ROOT);
    assert_eq!(b.suspend(), (false, 0));
    assert!(b.end(shield));
    let next = b.catch(ROOT);
    assert_eq!(b.suspend(), (false, 1));
    assert_eq!(b.poll(next, ROOT), Found::Token);
}

#[test]
fn a_shield_around_a_region_does_not_shield_what_is_aimed_inside() {
    let mut b = Bench::default();
    let shield = b.shield(ROOT);
    let region = b.region(shield);
    let catch = b.catch(region);
    b.cancel(region);
    assert_eq!((b.suspend(), b.poll(catch, region)), ((false, 1), Found::Token));
    assert!(b.end(catch) && b.suspend() == (false, 1));
    assert_eq!(b.poll(region, shield), Found::Region);
}

// ── rule 5 ────────────────────────────────────────────────────────────────────────────────────

#[test]
fn what_is_passed_on_goes_to_no_catch_begun_later() {
    let mut b = Bench::default();
    let outer = b.catch(ROOT);
    let mut inner = b.catch(outer);
    b.cancel(ROOT);
    assert_eq!((b.suspend(), b.poll(inner, outer)), ((false, 1), Found::Token));
    assert!(b.end(inner));
    inner = b.catch(outer); // the next round of a loop, in the same poll
    assert_eq!(b.suspend(), (false, 1));
    assert_eq!((b.poll(inner, outer), b.poll(outer, ROOT)), (Found::Nothing, Found::Token));
    let beside = b.catch(ROOT);
    b.end(inner);
    assert!(b.end(outer));
    assert_eq!((b.suspend(), b.poll(beside, ROOT)), ((true, 0), Found::Nothing));
}

#[test]
fn all_who_enclosed_are_asked_before_the_region_whatever_the_order() {
    for order in [[0, 1], [1, 0]] {
        let mut b = Bench::default();
        let outer = b.catch(ROOT);
        let tokens = [b.catch(ROOT), b.catch(outer)];
        let parents = [ROOT, outer];
        b.cancel(ROOT);
        assert_eq!(b.suspend(), (false, 2));
        for i in order {
            assert_eq!(b.poll(tokens[i], parents[i]), Found::Token);
            assert!(b.end(tokens[i]));
        }
        assert_eq!(b.suspend(), (false, 1), "{order:?}: the region waits for the catch");
        assert_eq!(b.poll(outer, ROOT), Found::Token, "{order:?}");
        assert!(b.end(outer) && b.suspend() == (true, 0));
    }
}

#[test]
fn the_inner_one_of_two_who_enclosed_is_asked_first_whatever_the_order() {
    for order in [[0, 1], [1, 0]] {
        let mut b = Bench::default();
        let outer = b.catch(ROOT);
        let middle = b.catch(outer);
        let (tokens, parents) = ([b.catch(outer), b.catch(middle)], [outer, middle]);
        b.cancel(ROOT);
        assert_eq!(b.suspend(), (false, 2));
        for i in order {
            assert_eq!(b.poll(tokens[i], parents[i]), Found::Token);
            assert!(b.end(tokens[i]));
        }
        assert_eq!(b.suspend(), (false, 1));
        assert_eq!((b.poll(middle, outer), b.poll(outer, ROOT)), (Found::Token, Found::Nothing));
        assert!(b.end(middle) && b.suspend() == (false, 1));
        assert_eq!(b.poll(outer, ROOT), Found::Token, "{order:?}");
    }
}

#[test]
fn a_catch_that_fired_and_is_dropped_before_its_poll_passes_the_request_on() {
    let mut b = Bench::default();
    let outer = b.catch(ROOT);
    let inner = b.catch(outer);
    b.cancel(ROOT);
    assert_eq!(b.suspend(), (false, 1));
    assert!(b.end(inner));
    assert_eq!((b.suspend(), b.poll(outer, ROOT)), ((false, 1), Found::Token));
}

#[test]
fn a_token_shields_and_rides_and_is_counted() {
    let mut b = Bench::default();
    let region = b.region(ROOT);
    let catch = b.catch(region);
    b.cancel(region);
    assert_eq!((b.suspend(), b.poll(catch, region)), ((false, 1), Found::Token));
    assert!(b.tree.is_ridden(region) && !b.tree.is_ridden(ROOT));
    assert!(b.tree.held_by().is_some());
    b.cancel(ROOT);
    assert_eq!(b.suspend(), (false, 0), "the cleanup is not cut short by a request further out");
    assert_eq!(b.tree.uncancel(catch), 0);
    assert!(b.end(catch), "the other request has waited for it");
    assert_eq!(b.suspend(), (true, 0));
}

#[test]
fn uncancel_undoes_what_nobody_has_taken() {
    let mut b = Bench::default();
    let (one, two) = (b.catch(ROOT), b.catch(ROOT));
    b.cancel(ROOT);
    assert_eq!((b.suspend(), b.poll(one, ROOT)), ((false, 2), Found::Token));
    assert_eq!(b.tree.uncancel(one), 0);
    assert!(!b.end(one));
    assert_eq!(b.poll(two, ROOT), Found::Nothing);
    assert_eq!(b.park(), (false, 0));
    b.cancel(ROOT);
    assert_eq!((b.suspend(), b.poll(two, ROOT)), ((false, 1), Found::Token));
}

#[test]
fn uncancel_of_one_of_two_requests_passes_the_other_one_on() {
    let mut b = Bench::default();
    let catch = b.catch(ROOT);
    b.cancel(ROOT);
    b.cancel(ROOT);
    assert_eq!((b.suspend(), b.poll(catch, ROOT)), ((false, 1), Found::Token));
    assert_eq!(b.tree.uncancel(catch), 1);
    assert!(b.end(catch) && b.suspend() == (true, 0));
}

#[test]
fn a_token_takes_back_only_the_request_it_stands_for() {
    let mut b = Bench::default();
    let (one, two) = (b.catch(ROOT), b.catch(ROOT));
    b.cancel(ROOT);
    assert_eq!(b.suspend(), (false, 2));
    assert_eq!((b.poll(one, ROOT), b.poll(two, ROOT)), (Found::Token, Found::Token));
    assert_eq!(b.tree.uncancel(one), 0);
    assert!(!b.end(one));
    b.cancel(ROOT); // while the second one cleans up
    assert!(!b.tree.is_ridden(ROOT), "what the token stands for was taken back");
    assert_eq!(b.suspend(), (false, 0));
    assert_eq!(b.tree.uncancel(two), 1, "a later request is not for this token");
    assert!(b.end(two) && b.suspend() == (true, 0));
}

// ── rules 10, 11 and 12 ───────────────────────────────────────────────────────────────────────

#[test]
fn a_second_request_reaches_only_catches_in_the_cleanup() {
    let mut b = Bench::default();
    let outer = b.catch(ROOT);
    let inner = b.catch(outer);
    b.cancel(ROOT);
    assert_eq!((b.suspend(), b.poll(inner, outer)), ((false, 1), Found::Token));
    b.cancel(ROOT);
    assert_eq!(b.suspend(), (false, 0), "it only counts");
    assert_eq!(b.tree.count(ROOT), 2);
    let cleanup = b.catch(outer);
    assert_eq!(b.suspend(), (false, 0), "nor does it wait for what comes");
    b.cancel(ROOT);
    assert_eq!((b.suspend(), b.poll(cleanup, outer)), ((false, 1), Found::Token));
    assert!(b.end(cleanup) && b.suspend() == (false, 0));
    assert!(b.end(inner) && b.suspend() == (false, 1));
    assert_eq!(b.poll(outer, ROOT), Found::Token);
}

#[test]
fn a_group_in_a_cleanup_does_not_wait_to_be_dropped_by_it() {
    let mut b = Bench::default();
    let region = b.region(ROOT);
    let catch = b.catch(region);
    let before = b.begin(Kind::Waiter, region);
    b.cancel(region);
    assert_eq!((b.suspend(), b.poll(catch, region)), ((false, 2), Found::Token));
    assert_eq!(b.poll(before, region), Found::Token, "it had begun before");
    assert!(b.end(before));
    // Here begins the cleanup: a group with a catch in its body, in a timeout.
    let timeout = b.region(region);
    let group = b.begin(Kind::Waiter, timeout);
    let inside = b.catch(group);
    b.cancel(region);
    b.cancel(ROOT);
    assert_eq!(b.suspend(), (false, 1));
    assert_eq!((b.poll(group, timeout), b.poll(inside, group)), (Found::Nothing, Found::Token));
    assert!(b.end(inside));
    assert_eq!((b.suspend(), b.poll(group, timeout)), ((false, 0), Found::Nothing));
    b.cancel(timeout); // what belongs to the cleanup is its own affair
    assert_eq!((b.suspend(), b.poll(group, timeout)), ((false, 1), Found::Token));
    assert!(b.end(group) && b.suspend() == (false, 1));
    assert_eq!(b.poll(timeout, region), Found::Region);
    assert!(b.end(timeout) && b.end(catch));
    assert_eq!(b.suspend(), (true, 0));
}

#[test]
fn a_hard_request_disregards_everything_and_is_not_taken_back() {
    let mut b = Bench::default();
    let (catch, _shield) = (b.catch(ROOT), b.shield(ROOT));
    b.tree.raise_hard(request("abort"));
    assert_eq!(b.tree.withdraw(ROOT), 0);
    assert_eq!(b.suspend(), (true, 0));
    assert_eq!(b.tree.first(ROOT).unwrap().reason.as_deref(), Some("abort"));
    assert!(b.tree.is_hard());
    b.end(catch);
}

#[test]
fn a_root_that_has_fired_keeps_its_reason() {
    let mut b = Bench::default();
    b.cancel(ROOT);
    assert_eq!(b.suspend(), (true, 0));
    b.tree.withdraw(ROOT); // too late, from another thread
    assert_eq!(b.tree.first(ROOT).unwrap().reason.as_deref(), Some("cancel"));
}

#[test]
fn of_an_inner_and_an_outer_request_the_outer_one_reports() {
    let mut b = Bench::default();
    let outer = b.region(ROOT);
    let inner = b.region(outer);
    b.cancel(inner);
    b.cancel(outer);
    assert_eq!((b.suspend(), b.poll(outer, ROOT)), ((false, 1), Found::Region));

    let mut b = Bench::default();
    let outer = b.region(ROOT);
    let inner = b.region(outer);
    let catch = b.catch(inner);
    b.cancel(inner);
    b.cancel(outer);
    assert_eq!((b.suspend(), b.poll(catch, inner)), ((false, 1), Found::Token));
    assert!(b.end(catch));
    assert_eq!((b.suspend(), b.poll(outer, ROOT)), ((false, 1), Found::Region));
}

#[test]
fn an_outer_request_that_is_taken_back_leaves_the_inner_one() {
    let mut b = Bench::default();
    let region = b.region(ROOT);
    let catch = b.catch(region);
    b.cancel(region);
    b.cancel(ROOT);
    assert_eq!((b.suspend(), b.poll(catch, region)), ((false, 1), Found::Token));
    assert_eq!(b.tree.uncancel(catch), 0);
    assert!(b.end(catch) && b.suspend() == (false, 1));
    assert_eq!(b.poll(region, ROOT), Found::Region);
}

mod unseen;
