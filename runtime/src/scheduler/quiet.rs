//! When nothing can happen any more: whoever goes to rest last moves a manual clock on.
//!
//! A runtime with the system's clock has none of this: an `Option` is looked at when a thread goes to
//! sleep, and that is all. With a manual clock, time stands still while anybody works, and jumps
//! to the next deadline when all are idle.
//!
//! # Who is awake
//!
//! The threads of a runtime that can make something happen are its workers, the threads in
//! `block_on` (roots), and those that run blocking jobs. One word counts the ones that are *awake*,
//! and, in its upper half, how often any of them woke up:
//!
//! | who     | awake from                                    | until                                      |
//! |---------|-----------------------------------------------|--------------------------------------------|
//! | worker  | it has left its park, before it takes work    | it has announced its park and found no work |
//! | root    | its *waker* fills its mailbox (or it starts)  | its poll has returned, before it parks     |
//! | job     | it is *submitted*                             | it has run, and its end is published       |
//!
//! So what is on its way to a root or a blocking thread is counted by whoever sends it. What is on
//! its way to a worker is not, but can be seen: the notifier has taken the worker's bit out of
//! the mask (see [`sleep`](super::sleep)).
//!
//! There is no thread that watches: whoever brings the count to zero *looks*, and moves time on
//! itself. A thread of its own would have to be woken for each jump, to be ended with the
//! runtime, and would see nothing that the last one to rest does not see.
//!
//! # The look
//!
//! ```text
//!  1 read the word: is nobody awake?                       [quiet-look]
//!  2 is every worker's bit set, does nobody search, is every injector, inbox and due list empty?
//!  3 exchange the word: from what 1 read to "one is awake" (the one who looks)   [quiet-claim]
//!  4 move time on; wakers run here
//!  5 rest again: the last one? → 1
//! ```
//!
//! *Never too early.* Suppose the exchange (3) succeeds. Then nobody woke up between 1 and 3: it would
//! have changed the upper half. So between them no thread of the runtime did anything but park, and
//! what (2) reads is of one moment. Whatever one of them had pushed before it went to rest is
//! visible (its end is a Release, the read in 1 an Acquire), and the sleep protocol had found a
//! worker for it: either that worker's bit is gone, then (2) fails; or it is back again, and
//! then the worker was awake in between, and rests: it has done the work. A worker that was woken and not
//! counted yet, and does its work while (2) reads, has changed the word before any of that can be
//! seen (a Release fence after its count, an Acquire fence before the exchange), so (3) fails.
//!
//! *Never too late, never not at all.* If all is quiet, somebody was the last to rest, and looked. If
//! its look failed at (1) or (3), somebody has woken up since; at (2), a worker is just waking up (or
//! somebody foreign is in the middle of a push, and will wake one). Each of these will rest again,
//! and the last of them looks again. While one moves time on, it is awake: others that rest meanwhile
//! do not look, so it looks again at the end, unless there was no deadline *and* nobody woke up since
//! (the same exchange, backwards).
//!
//! *With nothing to go to* it simply waits: a thread from outside may bring news.
//!
//! # What it does not see
//!
//! Threads that do not belong to the runtime. Between the look and the jump one of them may wake a
//! task or spawn one: that task then starts after the jump, as if the thread had been a little slower.
//! So that a test can be set up from outside, time moves only while somebody is in `block_on`.
//! A thread of the runtime that blocks in a foreign way (a lock, a channel of std) is awake: time
//! waits for it. In a `block_on` inside a job or another `block_on` the whole thread rests, and
//! gives up all that it holds of the count.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use super::Scheduler;
#[cfg(filch_loom)]
use crate::primitive::seeded;
use crate::primitive::{AtomicBool, AtomicU64, AtomicUsize, Mutex, Ordering, fence, tls};

/// The low half counts who is awake, the high half how often somebody woke up.
const WAKING: u64 = 1 << 32;

fn awake(word: u64) -> u64 {
    word % WAKING
}

/// Goes to the next deadline; `false`: there is none.
pub(crate) type MoveOn = Box<dyn Fn() -> bool + Send + Sync>;

/// Who of a runtime with a manual clock is awake.
pub(crate) struct Quiet {
    word: AtomicU64,
    /// How many threads are in `block_on`. Without any, time does not move.
    roots: AtomicUsize,
    scheduler: &'static Scheduler,
    move_on: MoveOn,
}

tls! {
    /// What this thread holds of the counts of its runtimes: one for each `block_on` and job that
    /// it is in. (Only compared.)
    static HELD: RefCell<Vec<*const Quiet>> = RefCell::new(Vec::new())
}

impl Quiet {
    /// For a runtime whose workers are about to start: each of them is awake.
    pub(crate) fn new(scheduler: &'static Scheduler, workers: usize, move_on: MoveOn) -> Quiet {
        Quiet {
            word: AtomicU64::new(workers as u64),
            roots: AtomicUsize::new(0),
            scheduler,
            move_on,
        }
    }

    fn wake(&self, count: u64) {
        self.word.fetch_add(WAKING + count, Ordering::Relaxed);
        // Release: partner is the Acquire fence before the exchange in `look`: who sees anything
        // that is done from here on also sees that somebody woke up.
        // [quiet-wake]
        fence(Ordering::Release);
    }

    fn rest(&self, count: u64) {
        if self.is_last_to_leave(count) {
            self.look();
        }
    }

    #[must_use]
    fn is_last_to_leave(&self, count: u64) -> bool {
        // Release: partner is the Acquire in `look`: what was pushed until now is seen there.
        // [quiet-rest]
        let before = self.word.fetch_sub(count, Ordering::Release);
        debug_assert!(awake(before) >= count, "more went to rest than were awake");
        awake(before) == count
    }

    /// The worker has found no work and is about to park: it rests until this is dropped.
    pub(crate) fn park(&self) -> Parking<'_> {
        self.rest(1);
        Parking(self)
    }

    /// Nobody seems to be awake. If that is so, time moves on.
    fn look(&self) {
        loop {
            // Acquire: partner is the Release of everybody who has left.
            // [quiet-look]
            let still = self.word.load(Ordering::Acquire);
            // Relaxed: a root counts itself before it first wakes up, and leaves before it rests.
            let is_waited_for = self.roots.load(Ordering::Relaxed) > 0;
            if awake(still) > 0 || !is_waited_for || !self.scheduler.is_still() {
                return;
            }
            #[cfg(filch_loom)] // A twin does not ask whether somebody woke up during its look.
            let still =
                if seeded("claim-blindly") { self.word.load(Ordering::Relaxed) } else { still };
            // Acquire: partner is the Release fence in `wake`.
            // [quiet-claim]
            fence(Ordering::Acquire);
            let moving = still.wrapping_add(WAKING + 1);
            let relaxed = Ordering::Relaxed;
            if self.word.compare_exchange(still, moving, relaxed, relaxed).is_err() {
                return;
            }
            let moved = (self.move_on)();
            #[cfg(filch_loom)] // A twin does not look again if it found nothing to go to.
            if !moved && seeded("wait-blindly") {
                let _ = self.is_last_to_leave(1);
                return;
            }
            if !moved && self.word.compare_exchange(moving, moving - 1, relaxed, relaxed).is_ok() {
                return;
            }
            if !self.is_last_to_leave(1) {
                return;
            }
        }
    }

    /// How often this thread is counted.
    fn held_here(&self) -> u64 {
        let is_it = |held: &&*const Quiet| std::ptr::eq(**held, self);
        HELD.with(|held| held.borrow().iter().filter(is_it).count() as u64)
    }
}

impl fmt::Debug for Quiet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let awake = awake(self.word.load(Ordering::Relaxed));
        f.debug_struct("Quiet").field("awake", &awake).finish()
    }
}

/// A worker that rests. Dropped, it is awake again.
#[must_use]
#[derive(Debug)]
pub(crate) struct Parking<'a>(&'a Quiet);

impl Drop for Parking<'_> {
    fn drop(&mut self) {
        self.0.wake(1);
    }
}

/// Somebody is awake: a blocking job, from its submission to its end.
#[derive(Debug)]
pub(crate) struct Awake(Arc<Quiet>);

impl Awake {
    pub(crate) fn new(quiet: &Arc<Quiet>) -> Awake {
        quiet.wake(1);
        Awake(Arc::clone(quiet))
    }

    /// It is this thread.
    pub(crate) fn here(self) -> AwakeHere {
        HELD.with(|held| held.borrow_mut().push(Arc::as_ptr(&self.0)));
        AwakeHere { awake: self, is_root: false }
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        self.0.rest(1);
    }
}

/// This thread is awake, for one reason (it may have others).
#[derive(Debug)]
pub(crate) struct AwakeHere {
    awake: Awake,
    is_root: bool,
}

impl AwakeHere {
    /// This thread has entered `block_on`.
    pub(crate) fn root(quiet: &Arc<Quiet>) -> AwakeHere {
        quiet.roots.fetch_add(1, Ordering::Relaxed);
        let mut awake = Awake::new(quiet).here();
        awake.is_root = true;
        awake
    }
}

impl Drop for AwakeHere {
    fn drop(&mut self) {
        // They end in the reverse order, but other runtimes may have come in between.
        HELD.with(|held| {
            let mut held = held.borrow_mut();
            let place = held.iter().rposition(|&held| std::ptr::eq(held, &*self.awake.0));
            held.remove(place.expect("a thread that is awake is counted here"));
        });
        if self.is_root {
            // Before it rests: nobody waits for the time to pass when `block_on` is over.
            self.awake.0.roots.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Somebody waits for the end of cleanups, though nobody is in `block_on`: time may move.
#[derive(Debug)]
pub(crate) struct Awaited<'a>(&'a Quiet);

impl<'a> Awaited<'a> {
    pub(crate) fn new(quiet: &'a Arc<Quiet>) -> Awaited<'a> {
        quiet.roots.fetch_add(1, Ordering::Relaxed);
        // Perhaps all rest already: then this is the last one to do so, and looks.
        drop(Awake::new(quiet));
        Awaited(quiet)
    }
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        self.0.roots.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Who sits on a seat of `block_on`, as far as it matters here. With the system's clock it does not: one
/// load for a waker.
#[derive(Debug)]
pub(crate) struct Sitter {
    is_on: AtomicBool,
    who: Mutex<Option<Who>>,
}

#[derive(Debug, Clone)]
struct Who {
    quiet: Arc<Quiet>,
    /// How often the thread on the seat is counted: for this `block_on`, and for all around it.
    count: u64,
}

impl Sitter {
    pub(crate) fn new() -> Sitter {
        Sitter { is_on: AtomicBool::new(false), who: Mutex::new(None) }
    }

    /// This thread sits down.
    pub(crate) fn sits_down(&self, quiet: Option<&Arc<Quiet>>) {
        let who = |quiet: &Arc<Quiet>| Who { quiet: Arc::clone(quiet), count: quiet.held_here() };
        // Relaxed: what is read of it later is read because of the task, which is made after this.
        self.is_on.store(quiet.is_some(), Ordering::Relaxed);
        *self.who.lock() = quiet.map(who);
    }

    /// It gets up.
    pub(crate) fn gets_up(&self) {
        if self.is_on.load(Ordering::Relaxed) {
            self.is_on.store(false, Ordering::Relaxed);
            let who = self.who.lock().take();
            drop(who);
        }
    }

    /// Its task waits. (The waker may have come already: the count does not mind the order.)
    pub(crate) fn rests(&self) {
        if let Some(Who { quiet, count }) = self.who() {
            quiet.rest(count);
        }
    }

    /// Its task is about to be given back to it.
    pub(crate) fn wakes(&self) {
        if let Some(Who { quiet, count }) = self.who() {
            quiet.wake(count);
        }
    }

    fn who(&self) -> Option<Who> {
        if self.is_on.load(Ordering::Relaxed) { self.who.lock().clone() } else { None }
    }
}

#[cfg(all(filch_loom, not(filch_shuttle)))]
#[path = "../../../loom-tests/src/models/quiet.rs"]
#[allow(missing_docs)]
pub mod models;
