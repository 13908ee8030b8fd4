//! An ordinary task allocates nothing but its cell, and those are recycled.

#![allow(missing_docs, unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use filch::{Runtime, spawn, timeout, yield_now};

struct Counting;

static ALLOCATED: AtomicU64 = AtomicU64::new(0);

// SAFETY: it hands everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Allocations for each round, when the pools are warm.
fn per_round(rounds: u64, round: impl AsyncFn()) -> f64 {
    let runtime = Runtime::builder().worker_threads(1).build().unwrap();
    runtime.block_on(async {
        for _ in 0..rounds {
            round().await;
        }
        let before = ALLOCATED.load(Ordering::Relaxed);
        for _ in 0..rounds {
            round().await;
        }
        (ALLOCATED.load(Ordering::Relaxed) - before) as f64 / rounds as f64
    })
}

/// One test: another one beside it would be counted as well.
#[test]
fn a_task_without_scopes_allocates_nothing_more() {
    if cfg!(filch_no_pool) {
        return;
    }
    let tasks = per_round(10_000, async || {
        spawn(async {
            yield_now().await;
            timeout(Duration::from_secs(3600), yield_now()).await.unwrap();
        })
        .await
        .unwrap();
    });
    assert!(tasks < 0.01, "a task that yields, with a timeout: {tasks}");
    // The tree of nodes, once for each task that catches: the box, the nodes, and the free ones.
    let catches = per_round(1_000, async || {
        spawn(async {
            for _ in 0..10 {
                filch::catch_cancel(yield_now()).await.unwrap();
            }
        })
        .await
        .unwrap();
    });
    assert!(catches < 4.0, "a task with ten catches, one after the other: {catches}");
}
