//! Where the one who turns the timer sleeps, and how news gets him up.
//!
//! *News* is a registration that wants an earlier turn than the next one planned, or a heap that
//! wants compacting. It is a flag under a lock, not an event: news that arrives before the turner
//! sleeps keeps him from sleeping, and is consumed when he returns. So the parker never loses
//! news, and the only question left is whether everyone who has some brings it: see `shard.rs`.

use std::time::Instant;

use crate::primitive::{Condvar, Mutex, seeded};

#[derive(Debug)]
pub(crate) struct Parker {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    news: bool,
    /// And somebody wants a turn for itself, be anything due or not.
    called: bool,
    stopped: bool,
    /// How many sleep here for whom news is a reason to get up. std's condition variable makes a
    /// system call even if nobody waits, so we count.
    parked: u32,
}

/// What a sleep has ended by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Up {
    /// Its limit, or the end.
    Time,
    News,
    Call,
}

impl Parker {
    pub(crate) fn new() -> Parker {
        Parker {
            state: Mutex::new(State { news: false, called: false, stopped: false, parked: 0 }),
            changed: Condvar::new(),
        }
    }

    /// Brings news. Never call it under a shard's lock: it may be a system call.
    pub(crate) fn unpark(&self) {
        self.bring(false);
    }

    /// News of which nothing can be planned: somebody wants a turn.
    pub(crate) fn call(&self) {
        self.bring(true);
    }

    fn bring(&self, call: bool) {
        let mut state = self.state.lock();
        state.news = !seeded("timer-news-is-no-flag");
        state.called |= call;
        let parked = state.parked;
        // The woken thread wants this lock: let it go first.
        drop(state);
        if parked > 0 {
            self.changed.notify_all();
        }
    }

    /// From now on nobody sleeps here.
    pub(crate) fn stop(&self) {
        self.state.lock().stopped = true;
        if !seeded("timer-stop-silently") {
            self.changed.notify_all();
        }
    }

    /// Sleeps until there is news (and takes it), until `limit`, or until stopped.
    pub(crate) fn park(&self, limit: Option<Instant>) -> Up {
        self.sleep(limit, true)
    }

    /// Sleeps until `limit` or until stopped; news waits for the next [`Parker::park`].
    pub(crate) fn nap(&self, limit: Instant) {
        self.sleep(Some(limit), false);
    }

    fn sleep(&self, limit: Option<Instant>, for_news: bool) -> Up {
        let mut state = self.state.lock();
        state.parked += u32::from(for_news);
        loop {
            if state.stopped || (for_news && state.news) {
                break;
            }
            match limit {
                None => state = self.changed.wait(state),
                Some(limit) => {
                    let left = limit.saturating_duration_since(crate::primitive::now());
                    if left.is_zero() {
                        break;
                    }
                    state = self.changed.wait_timeout(state, left).0;
                }
            }
        }
        state.parked -= u32::from(for_news);
        if !for_news {
            return Up::Time;
        }
        match (std::mem::take(&mut state.news), std::mem::take(&mut state.called)) {
            (_, true) => Up::Call,
            (true, false) => Up::News,
            (false, false) => Up::Time,
        }
    }
}
