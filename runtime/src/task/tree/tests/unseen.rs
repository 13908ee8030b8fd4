//! What goes wrong if nobody looks: what is not polled, moved, leaked, outlived, or very many.

use std::panic::Location;

use super::super::When;
use super::{Bench, Found, ROOT};

#[test]
fn a_fired_catch_that_nobody_polls_is_skipped_once_the_task_is_quiet() {
    let mut b = Bench::default();
    let lost = b.catch(ROOT);
    b.cancel(ROOT);
    assert_eq!(b.deliver(When::BeforePoll), (false, 1));
    assert_eq!(b.park(), (true, 0));
    b.end(lost);
}

#[test]
fn a_fired_catch_that_nobody_polls_is_skipped_if_the_task_is_never_quiet() {
    let mut b = Bench::default();
    let outer = b.catch(ROOT);
    let _lost = b.catch(outer);
    b.cancel(ROOT);
    assert_eq!(b.suspend(), (false, 1));
    let polls = (0..).take_while(|_| b.suspend() == (false, 0)).count();
    assert!((32..200).contains(&polls), "after {polls} polls");
    assert_eq!(b.poll(outer, ROOT), Found::Token);
}

#[test]
fn a_skipped_catch_that_is_polled_again_hears_of_the_next_request() {
    let mut b = Bench::default();
    let region = b.region(ROOT);
    let slow = b.catch(region);
    let shield = b.shield(region);
    b.cancel(region);
    assert_eq!((b.suspend(), b.park()), ((false, 1), (false, 0)));
    assert_eq!(b.poll(slow, region), Found::Nothing, "it was passed on");
    b.cancel(region);
    assert_eq!((b.suspend(), b.poll(slow, region)), ((false, 1), Found::Token));
    assert!(b.end(slow) && b.end(shield));
    assert_eq!((b.suspend(), b.poll(region, ROOT)), ((false, 1), Found::Region));
}

#[test]
fn a_region_that_fired_and_is_not_polled_holds_up_nobody() {
    let mut b = Bench::default();
    let lost = b.region(ROOT);
    let inside = b.catch(lost);
    b.cancel(lost);
    assert_eq!((b.suspend(), b.poll(inside, lost)), ((false, 1), Found::Token));
    assert!(b.end(inside));
    let _later = b.catch(lost);
    assert_eq!(b.suspend(), (false, 1));
    // Its future is the losing side of a select, kept by reference: nobody polls it any more.
    b.cancel(ROOT);
    assert_eq!(b.park(), (true, 0));
}

#[test]
fn a_catch_that_waits_in_a_fired_region_holds_up_no_catch_around_it() {
    let mut b = Bench::default();
    let outer = b.catch(ROOT);
    let lost = b.region(outer);
    let inside = b.catch(lost);
    b.cancel(lost);
    assert_eq!((b.suspend(), b.poll(inside, lost)), ((false, 1), Found::Token));
    assert!(b.end(inside));
    let _later = b.catch(lost);
    assert_eq!(b.suspend(), (false, 1));
    b.cancel(ROOT);
    assert_eq!((b.suspend(), b.poll(outer, ROOT)), ((false, 1), Found::Token));
}

#[test]
fn a_token_outlives_its_region() {
    let mut b = Bench::default();
    let region = b.region(ROOT);
    let token = b.catch(region);
    b.cancel(region);
    assert_eq!((b.suspend(), b.poll(token, region)), ((false, 1), Found::Token));
    assert!(!b.end(region), "nothing waits: the request has gone with its region");
    assert_eq!(b.tree.uncancel(token), 0);
    // The number is used again, by something else.
    let other = b.catch(ROOT);
    assert_eq!(other, region);
    b.cancel(ROOT);
    assert_eq!((b.suspend(), b.poll(other, ROOT)), ((false, 1), Found::Token));
    assert!(b.end(other) && b.suspend() == (false, 0), "the old token is a shield still");
    assert!(b.end(token) && b.suspend() == (true, 0));
}

#[test]
fn numbers_are_used_again_and_start_anew() {
    let mut b = Bench::default();
    let first = b.region(ROOT);
    b.cancel(first);
    let inside = b.catch(first);
    b.end(first);
    assert_eq!(b.poll(inside, ROOT), Found::Nothing);
    let second = b.region(ROOT);
    assert_eq!(second, first);
    assert_eq!((b.tree.count(second), b.park()), (0, (false, 0)));
    assert_eq!(b.poll(second, ROOT), Found::Nothing);
    b.end(second);
    b.end(inside);
    assert_eq!(b.tree.nodes.len(), 0, "nothing is left of them");
}

#[test]
fn a_timeout_adopts_what_was_polled_inside() {
    let mut b = Bench::default();
    let beside = b.catch(ROOT);
    let before = b.stamp;
    let inside = b.catch(ROOT);
    let deep = b.catch(inside);
    b.stamp += 1;
    let timeout = b.tree.adopt(ROOT, before + 1..=b.stamp, Location::caller()).unwrap();
    assert_eq!(b.poll(timeout, ROOT), Found::Nothing);
    b.cancel(timeout);
    assert_eq!(b.suspend(), (false, 1));
    assert_eq!((b.poll(beside, ROOT), b.poll(deep, inside)), (Found::Nothing, Found::Token));
    assert!(b.end(deep) && b.suspend() == (false, 1));
    assert_eq!(b.poll(inside, timeout), Found::Token);
    assert!(b.end(inside) && b.suspend() == (false, 1));
    assert_eq!(b.poll(timeout, ROOT), Found::Region);
    let empty = b.stamp + 1..=b.stamp + 9;
    assert_eq!(b.tree.adopt(ROOT, empty, Location::caller()), None);
}

#[test]
fn a_leaked_node_costs_its_memory_and_no_request() {
    let mut b = Bench::default();
    let region = b.region(ROOT);
    let _leaked = b.catch(region);
    b.end(region);
    b.cancel(ROOT);
    assert_eq!(b.suspend(), (false, 1));
    assert_eq!(b.park(), (true, 0));
}

#[test]
fn a_request_follows_what_was_moved() {
    let mut b = Bench::default();
    let (here, there) = (b.region(ROOT), b.region(ROOT));
    let catch = b.catch(here);
    b.cancel(here);
    assert_eq!(b.suspend(), (false, 1));
    assert_eq!(b.poll(catch, there), Found::Token, "it had fired before");
    assert!(b.end(catch));
    assert_eq!((b.suspend(), b.poll(here, ROOT)), ((false, 1), Found::Region));
    assert_eq!(b.poll(there, ROOT), Found::Nothing);
}

/// Each thing that is done once per catch costs little, and each delivery one look at all of them.
#[test]
fn ten_thousand_catches_are_no_trouble() {
    // (Under a sanitizer everything takes ten times as long.)
    let many = match cfg!(debug_assertions) {
        _ if cfg!(filch_no_pool) => 500,
        true => 1_000,
        false => 10_000,
    };
    let mut b = Bench::default();
    let outer = b.catch(ROOT);
    let inside: Vec<_> = (0..many).map(|_| b.catch(outer)).collect();
    b.cancel(ROOT);
    let start = std::time::Instant::now();
    assert_eq!(b.suspend(), (false, many));
    // A combinator that polls some of them at a time.
    for some in inside.chunks(10) {
        for id in some {
            assert_eq!(b.poll(*id, outer), Found::Token);
            b.end(*id);
        }
        b.suspend();
    }
    assert_eq!(b.poll(outer, ROOT), Found::Token);
    assert!(b.end(outer) && b.suspend() == (true, 0));
    println!("catches: {:?}", start.elapsed());

    // Ten thousand timeouts, each with a catch inside, are up at the same time.
    let mut b = Bench::default();
    let adopt = |b: &mut Bench| {
        let before = b.stamp;
        let catch = b.catch(ROOT);
        b.stamp += 1;
        (b.tree.adopt(ROOT, before + 1..=b.stamp, Location::caller()).unwrap(), catch)
    };
    let timeouts: Vec<_> = (0..many).map(|_| adopt(&mut b)).collect();
    println!("adopted: {:?}", start.elapsed());
    timeouts.iter().for_each(|(timeout, _)| b.cancel(*timeout));
    assert_eq!(b.suspend(), (false, many));
    for (timeout, catch) in &timeouts {
        assert_eq!(b.poll(*catch, *timeout), Found::Token);
        b.end(*catch);
    }
    b.suspend();
    for (timeout, _) in &timeouts {
        assert_eq!(b.poll(*timeout, ROOT), Found::Region);
        b.end(*timeout);
    }
    println!("timeouts: {:?}", start.elapsed());
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}
