//! What is to be done around some polls: all in one place, so that the others ask one question before and none after.
//!
//! | why | before the poll | after it |
//! |-----|-----------------|----------|
//! | the worker was searching | it leaves the searchers | |
//! | it works on a batch while others sleep | | is it too much for one? |
//! | the poll is a sample | the clock is read | and again |
//! | somebody is followed, or the runtime ends ([`Attention`](crate::scheduler::sample)) | is it this task? is it to be dropped? | |
//!
//! # What measuring costs
//!
//! Instructions for each round, all threads together, on a runtime with one worker, by callgrind; before this was counted
//! and measured, and after:
//!
//! | | before | after |
//! |-|--------|-------|
//! | spawn and await, on the worker | 823 | 823 |
//! | a yield, alone | 240 | 239 |
//! | a yield among ten tasks | 281 | 282 |
//! | two messages, there and back | 2392 | 2395 |
//! | spawn and await, from `block_on` | 1105 | 1167 |
//!
//! There is less before a poll than there was, for the search, the batch and the end of the runtime are asked for at once; the
//! counts take that up. Only who comes out of a search takes the long way around its poll: that is the last row, of a worker
//! that slept before each task, and was woken through the kernel.
//!
//! A sample is two looks at the clock, and two more if a task is followed from it (23 ns each, so 0.4 ns for each poll at most;
//! callgrind takes them for system calls, and counts little of them). Ten million yields took 129 ms of processor time
//! before and 130 after, the medians of 7 rounds.

use std::cell::Cell;

use super::{Alone, Worker};
use crate::task::{Ran, Runnable};

/// One poll in so many is timed.
const SAMPLE_EVERY: u32 = 256;
/// Of the tasks that one look into the driver woke, one is followed, once in so many looks that woke any.
const FOLLOW_EVERY: u32 = 16;

const SEARCHING: u8 = 1;
const BATCH: u8 = 2;
const SAMPLE: u8 = 4;

/// Why the next poll needs care.
#[derive(Debug)]
pub(super) struct Care {
    reasons: Cell<u8>,
    /// If there is to be a sample: how many polls there are until then, with it.
    sample_in: Cell<u32>,
    next_sample: Cell<u32>,
    samples: Cell<u32>,
    landings: Cell<u32>,
}

impl Care {
    /// The first poll of a worker is a sample, so that one that polls seldom has some.
    pub(super) fn new() -> Care {
        Care {
            reasons: Cell::new(SAMPLE),
            sample_in: Cell::new(1),
            next_sample: Cell::new(SAMPLE_EVERY),
            samples: Cell::new(0),
            landings: Cell::new(0),
        }
    }

    #[inline]
    pub(super) fn is_needed(&self) -> bool {
        self.reasons.get() != 0
    }

    fn set(&self, reason: u8, is: bool) {
        let others = self.reasons.get() & !reason;
        self.reasons.set(others | if is { reason } else { 0 });
    }

    fn has(&self, reason: u8) -> bool {
        self.reasons.get() & reason != 0
    }

    /// Awake without work, and counted so?
    pub(super) fn is_searching(&self) -> bool {
        self.has(SEARCHING)
    }

    /// It is counted as a searcher.
    pub(super) fn search(&self) {
        self.set(SEARCHING, true);
    }

    /// Was it counted as a searcher? It is no longer.
    pub(super) fn stop_searching(&self) -> bool {
        let was = self.is_searching();
        self.set(SEARCHING, false);
        was
    }

    /// Is the next poll a sample?
    fn is_sample(&self) -> bool {
        if !self.has(SAMPLE) {
            return false;
        }
        let left = self.sample_in.get() - 1;
        self.sample_in.set(left);
        if left == 0 {
            self.set(SAMPLE, false);
        }
        left == 0
    }
}

/// May what is polled here push into slot and deque?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Open {
    Shut,
    Yes,
    /// And the first task is followed to its poll.
    Sampled,
}

impl Worker {
    pub(super) fn set_batch(&self, batch: Option<Alone>) {
        self.batch.set(batch);
        self.care.set(BATCH, batch.is_some());
    }

    /// Once in many polls: one of the next is a sample. Not always the same of them: what is found at a look outside
    /// comes in every fourth poll.
    pub(super) fn maybe_sample(&self) {
        let care = &self.care;
        if self.is_time(&care.next_sample, SAMPLE_EVERY) {
            care.samples.set(care.samples.get().wrapping_add(1));
            care.sample_in.set(1 + care.samples.get() % super::LOOK_EVERY);
            care.set(SAMPLE, true);
        }
    }

    #[cold]
    #[inline(never)]
    pub(super) fn execute_with_care(&self, task: Runnable) -> Option<Runnable> {
        if self.care.stop_searching() {
            self.stop_search();
        }
        let id = task.header().id().as_u64();
        if let Some(waited) = self.scheduler.attention.arrived(id) {
            self.entry.tally.wake_to_poll.add(waited);
        }
        let start = self.care.is_sample().then(crate::primitive::now);
        self.open.set(if start.is_some() { Open::Sampled } else { Open::Yes });
        let ran = if self.scheduler.is_open() { task.run() } else { self.end(task) };
        self.open.set(Open::Shut);
        if let Some(start) = start {
            let ns = u64::try_from(crate::primitive::elapsed(start).as_nanos()).unwrap_or(u64::MAX);
            self.entry.tally.poll_time.add(ns);
            if let Ran::Again(_) = ran {
                self.scheduler.attention.follow(id);
            }
        }
        let next = self.settle(ran);
        if let Some(batch) = self.batch.get() {
            self.share_batch(batch);
        }
        next
    }

    /// The runtime is ending.
    #[cold]
    fn end(&self, task: Runnable) -> Ran {
        if self.scheduler.is_closing() {
            return task.abandon();
        }
        if task.is_unstarted() {
            // Asked before its first poll, so it is dropped unpolled.
            task.shut();
        }
        task.run()
    }

    /// After a poll of a batch: is it too much for one worker? (The clock is read only if there is
    /// somebody to wake.)
    fn share_batch(&self, batch: Alone) {
        if self.queue.is_empty() {
            self.set_batch(None);
        } else if self.scheduler.is_anybody_parked()
            && (self.queue.len() > batch.most
                || crate::primitive::elapsed(batch.since) > batch.limit)
        {
            self.set_batch(Some(batch.again()));
            self.notify();
        }
    }

    /// A task that is about to be pushed in a poll that is a sample.
    #[cold]
    pub(super) fn follow(&self, task: &Option<Runnable>) {
        if let Some(task) = task {
            self.scheduler.attention.follow(task.header().id().as_u64());
        }
    }

    /// Tasks that the driver's events woke are about to be pushed.
    pub(super) fn follow_landed(&self, landed: &[Runnable]) {
        if landed.is_empty() {
            return;
        }
        let count = self.care.landings.get();
        self.care.landings.set(count.wrapping_add(1));
        if count % FOLLOW_EVERY == 0 {
            // Not always the first or the last: those wait shorter, or longer, than others.
            let task = &landed[(count / FOLLOW_EVERY) as usize % landed.len()];
            self.scheduler.attention.follow(task.header().id().as_u64());
        }
    }
}
