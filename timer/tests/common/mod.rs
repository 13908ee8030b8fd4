//! Wakers that say that they were woken.
#![allow(dead_code, reason = "no test file uses all of it")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use filch_timer::{Clock, Entry, Timer};

/// Counts wakes.
#[derive(Default)]
pub(crate) struct Count(AtomicUsize);

impl Count {
    pub(crate) fn new() -> Arc<Count> {
        Arc::default()
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Writes its number into a log when it is woken.
pub(crate) struct Log(pub(crate) usize, pub(crate) Arc<Mutex<Vec<usize>>>);

impl Wake for Log {
    fn wake(self: Arc<Self>) {
        self.1.lock().unwrap().push(self.0);
    }
}

/// Does something when it is woken.
pub(crate) struct Act<F: Fn() + Send + Sync + 'static>(pub(crate) F);

impl<F: Fn() + Send + Sync + 'static> Wake for Act<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

pub(crate) fn waker(act: impl Fn() + Send + Sync + 'static) -> Waker {
    Waker::from(Arc::new(Act(act)))
}

pub(crate) fn poll(entry: &mut Entry, timer: &Timer, waker: &Waker) -> Poll<()> {
    entry.poll(timer, &mut Context::from_waker(waker))
}

pub(crate) fn manual() -> (Clock, Timer) {
    let clock = Clock::manual();
    let timer = Timer::builder().clock(clock.clone()).shards(1).start().unwrap();
    (clock, timer)
}

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A small generator, so that a test is the same each time.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
