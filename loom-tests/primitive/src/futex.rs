//! A word to sleep on.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use loom::sync::atomic as inner;
use loom::thread::{self, Thread};

use crate::Ordering::{Relaxed, SeqCst};
use crate::atomic::AtomicU32;
use crate::run::{Whim, whim};

/// An atomic word that a thread can sleep on. Whoever is never woken is loom's deadlock.
///
/// A futex promises that a waiter is woken, not that it sees what the waker wrote before: that
/// takes orderings on the word. A model in which the futex handed memory on, as one over loom's
/// mutex would, could not tell whether those orderings are there. So the queue of sleepers is plain
/// data that loom does not know, and its changes only take place at scheduling points which make
/// loom try both orders of a `wait` and a `wake_one`.
///
/// One leak remains: a thread that really sleeps is resumed by loom's `unpark`, which hands over
/// what its caller knows. But most `wait`s have an execution in which they come too late to sleep,
/// and [`Whim::SpuriousWake`] covers the rest: a `wait` that returns at once, in a thread that goes
/// on late, does whatever a woken one can, and knows nothing. Models of a futex run with that whim
/// in any case: who sleeps must expect it.
#[derive(Debug)]
pub struct Futex {
    word: AtomicU32,
    /// Written, never read, before each change of `sleepers`: the two become one step.
    gate: inner::AtomicBool,
    sleepers: Mutex<VecDeque<Arc<Sleeper>>>,
}

#[derive(Debug)]
struct Sleeper {
    thread: Thread,
    parked: AtomicBool,
    woken: AtomicBool,
}

impl Sleeper {
    fn wake(&self) {
        self.woken.store(true, SeqCst);
        if self.parked.load(SeqCst) {
            self.thread.unpark();
        }
    }
}

impl Futex {
    /// A word that nobody sleeps on.
    #[track_caller]
    pub fn new(value: u32) -> Self {
        Futex {
            word: AtomicU32::new(value),
            gate: inner::AtomicBool::new(false),
            sleepers: Mutex::default(),
        }
    }

    /// Sleeps if the word still equals `expected`, until [`Futex::wake_one`]; returns for no
    /// reason only at a [`Whim::SpuriousWake`].
    #[track_caller]
    pub fn wait(&self, expected: u32) {
        if whim(Whim::SpuriousWake) {
            return;
        }
        let me = Arc::new(Sleeper {
            thread: thread::current(),
            parked: AtomicBool::new(false),
            woken: AtomicBool::new(false),
        });
        self.gate.store(true, Relaxed);
        self.sleepers().push_back(me.clone());

        if self.newest(expected) != expected {
            // What a waker did in between was not meant for a thread that does not sleep: it
            // goes to the next one, as if this one had never been in the queue.
            let next = {
                let mut sleepers = self.sleepers();
                sleepers.retain(|other| !Arc::ptr_eq(other, &me));
                if me.woken.load(SeqCst) { sleepers.pop_front() } else { None }
            };
            if let Some(next) = next {
                next.wake();
            }
            return;
        }
        while !me.woken.load(SeqCst) {
            me.parked.store(true, SeqCst);
            thread::park();
        }
    }

    /// Wakes one thread that sleeps on the word, if there is one.
    #[track_caller]
    pub fn wake_one(&self) {
        self.gate.store(true, Relaxed);
        let first = self.sleepers().pop_front();
        if let Some(first) = first {
            first.wake();
        }
    }

    /// The newest value of the word (a load may give an older one): an exchange that is meant to
    /// fail, and that changes nothing if it does not.
    #[track_caller]
    fn newest(&self, expected: u32) -> u32 {
        let other = !expected;
        self.word.compare_exchange(other, other, Relaxed, Relaxed).unwrap_or_else(|found| found)
    }

    fn sleepers(&self) -> MutexGuard<'_, VecDeque<Arc<Sleeper>>> {
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for Futex {
    type Target = AtomicU32;

    fn deref(&self) -> &AtomicU32 {
        &self.word
    }
}
