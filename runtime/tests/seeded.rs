//! Bugs on purpose. A sanitizer that reports nothing may be one that sees nothing, so each stage of
//! CI that runs one shows it these first, and fails if they are not reported.
//!
//! They are in no other build (`filch_no_pool` is set for sanitizers and valgrind only), and run
//! only when they are asked for: `--ignored`.
#![cfg(filch_no_pool)]
#![allow(unsafe_code, reason = "there is no race and no dangling pointer without")]

use std::cell::UnsafeCell;
use std::hint::black_box;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, mpsc};

use filch::Runtime;

fn two_workers() -> Runtime {
    Runtime::builder().worker_threads(2).build().unwrap()
}

#[derive(Debug)]
struct Shared(UnsafeCell<u64>);

// SAFETY: none; that is the bug.
unsafe impl Sync for Shared {}

impl Shared {
    fn add(&self) {
        // SAFETY: none. The other task does the same at the same time.
        unsafe { *self.0.get() += 1 };
    }
}

/// Two tasks that really run at once write to one place.
#[test]
#[ignore = "a race, for ThreadSanitizer"]
fn two_tasks_race() {
    let runtime = two_workers();
    let (shared, here) = (Arc::new(Shared(UnsafeCell::new(0))), Arc::new(Barrier::new(2)));
    let both = [(); 2].map(|()| {
        let (shared, here) = (Arc::clone(&shared), Arc::clone(&here));
        runtime.spawn(async move {
            // Each in a poll, so on two threads. The barrier orders only what came before it.
            here.wait();
            shared.add();
        })
    });
    for task in both {
        runtime.block_on(task).unwrap();
    }
}

/// A flag without orderings hands over what one task has written to another that did not wait for
/// it. On x86-64 the value is always right.
#[test]
#[ignore = "a race that this processor hides, for ThreadSanitizer"]
fn a_relaxed_flag_hands_nothing_over() {
    let runtime = two_workers();
    let (shared, ready) = (Arc::new(Shared(UnsafeCell::new(0))), Arc::new(AtomicBool::new(false)));
    let (theirs, flag) = (Arc::clone(&shared), Arc::clone(&ready));
    let (go, wait) = mpsc::channel();
    let writer = std::thread::spawn(move || {
        wait.recv().unwrap();
        theirs.add();
        flag.store(true, Ordering::Relaxed);
    });
    go.send(()).unwrap();
    runtime.block_on(async {
        filch::spawn(async move {
            while !ready.load(Ordering::Relaxed) {
                filch::yield_now().await;
            }
            shared.add();
        })
        .await
        .unwrap();
    });
    writer.join().unwrap();
}

/// Somebody still looks into the future of a task that is over. (Recycled blocks would hide it.)
#[test]
#[ignore = "a use after free, for AddressSanitizer and valgrind"]
fn a_pointer_outlives_its_task() {
    let runtime = two_workers();
    let inside = runtime.block_on(async {
        filch::spawn(async {
            let local = [7_u64; 32];
            let inside = local.as_ptr() as usize;
            filch::yield_now().await;
            black_box(&local);
            inside
        })
        .await
        .unwrap()
    });
    drop(runtime);
    // SAFETY: none. The task's block is freed.
    let read = unsafe { ptr::read_volatile(inside as *const u64) };
    println!("read {read} from a freed task");
}

/// Nobody drops the handle, nor what the task has.
#[test]
#[ignore = "a leak, for LeakSanitizer and valgrind"]
fn a_task_is_forgotten() {
    let runtime = two_workers();
    runtime.block_on(async {
        filch::spawn(async {
            let forgotten = black_box(vec![7_u8; 12_345]);
            std::mem::forget(forgotten);
        })
        .await
        .unwrap();
    });
    drop(runtime);
}
