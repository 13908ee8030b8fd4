//! How much the wrappers add to a future, and how large handles and errors are.
//!
//! (An `async fn` holds its argument twice, before its first poll and after, so a nest of them doubles with each layer:
//! that is why the wrappers are named futures.) The bounds leave some room; what was measured stands beside them. The
//! size of a task's own memory is asserted in `task/cell.rs`.
#![cfg(target_pointer_width = "64")]

use std::future::{Future, ready};
use std::mem::size_of_val;
use std::time::Duration;

use filch::{
    CancelScope, Cancelled, Elapsed, GroupError, JoinError, JoinHandle, catch_cancel, gather,
    shield, sleep, task, task_group, timeout, wait_for, yield_now,
};

const LIMIT: Duration = Duration::from_secs(1);

/// A future that holds a kilobyte across a wait.
async fn kilobyte() -> u64 {
    let data = [1_u64; 128];
    yield_now().await;
    data.iter().sum()
}

/// By how much a future is larger than [`kilobyte`].
fn added<F: Future>(future: &F) -> usize {
    let kilobyte = size_of_val(&kilobyte());
    assert!((1024..1056).contains(&kilobyte), "{kilobyte}");
    size_of_val(future) - kilobyte
}

#[track_caller]
fn at_most(bound: usize, size: usize) {
    println!("{size} of {bound}");
    assert!(size <= bound, "{size} bytes, at most {bound} were expected");
}

/// 104; each further one adds 96.
const TIMEOUT: usize = 128;

#[test]
fn three_timeouts() {
    at_most(TIMEOUT, added(&timeout(LIMIT, kilobyte())));
    at_most(3 * TIMEOUT, added(&timeout(LIMIT, timeout(LIMIT, timeout(LIMIT, kilobyte())))));
}

/// 40; each further one adds 32.
const CATCH: usize = 48;

#[test]
fn three_catches() {
    at_most(CATCH, added(&catch_cancel(kilobyte())));
    at_most(3 * CATCH, added(&catch_cancel(catch_cancel(catch_cancel(kilobyte())))));
}

/// 40; each further one adds 32.
const SHIELD: usize = 48;

#[test]
fn three_shields() {
    at_most(SHIELD, added(&shield(kilobyte())));
    at_most(3 * SHIELD, added(&shield(shield(shield(kilobyte())))));
}

/// 80; each further one adds 72.
const SCOPE: usize = 96;

#[test]
fn three_scopes() {
    let scope = CancelScope::new();
    at_most(SCOPE, added(&scope.run(kilobyte())));
    at_most(3 * SCOPE, added(&scope.run(scope.run(scope.run(kilobyte())))));
}

/// 160, with what the body's own closure adds.
const GROUP: usize = 192;

#[test]
fn three_groups() {
    let one = task_group(async |_group| {
        kilobyte().await;
    });
    at_most(GROUP, added(&one));
    let three = task_group(async |_outer| {
        task_group(async |_middle| {
            task_group(async |_inner| {
                kilobyte().await;
            })
            .await;
        })
        .await;
    });
    at_most(3 * GROUP, added(&three));
}

#[test]
fn one_of_each() {
    let scope = CancelScope::new();
    let all = scope.run(timeout(LIMIT, catch_cancel(shield(kilobyte()))));
    at_most(SCOPE + TIMEOUT + CATCH + SHIELD, added(&all));
}

/// What a future of many parts has to hold does not go into its own memory.
#[test]
fn futures_that_start_tasks() {
    // 176: the futures themselves are in a vector.
    at_most(208, size_of_val(&gather([kilobyte()])));
    filch::run(async {
        // 96, 144: the handle, a place in the tree, and one for the result.
        at_most(112, size_of_val(&filch::spawn(ready(1)).linked()));
        at_most(160, size_of_val(&wait_for(LIMIT, filch::spawn(ready(1)))));
    });
}

#[test]
fn leaves() {
    at_most(40, size_of_val(&sleep(LIMIT)));
    at_most(1, size_of_val(&yield_now()));
}

#[test]
fn handles_and_errors() {
    assert_eq!(size_of::<JoinHandle<[u8; 1024]>>(), 8);
    assert_eq!(size_of::<Option<JoinHandle<u8>>>(), 8);
    assert_eq!(size_of::<task::Task>(), 8);
    assert_eq!(size_of::<task::Id>(), 8);
    assert_eq!(size_of::<JoinError>(), 8);
    assert_eq!(size_of::<Result<(), JoinError>>(), 8);
    assert_eq!(size_of::<Result<u64, JoinError>>(), 16);
    assert_eq!(size_of::<Elapsed>(), 0);
    assert_eq!(size_of::<GroupError<String>>(), 24);
    at_most(48, size_of::<Cancelled>());
}
