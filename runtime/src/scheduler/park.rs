//! How one thread sleeps and how others wake it.
//!
//! There are two kinds of bed. A worker without anything else to do sleeps on a futex. One worker
//! at a time may instead sleep inside the I/O driver, which returns when a socket has news; to
//! wake that one, the driver must be told. Whoever unparks finds out which from the word itself.
//!
//! Parkers are never unmapped, and a stray unpark is legal: whoever parks looks at its reasons
//! again afterwards.

use super::patience::Patience;
use crate::primitive::{Futex, Ordering};

/// Something a worker can sleep in that has other reasons to return than being woken.
pub(crate) trait Bed {
    /// Ends the current or else the next sleep in it.
    fn wake(&self);
}

/// Nobody ever sleeps in the driver.
#[derive(Debug)]
pub(crate) enum NoBed {}

impl Bed for NoBed {
    fn wake(&self) {
        match *self {}
    }
}

const AWAKE: u32 = 0;
const PARKED: u32 = 1;
const IN_DRIVER: u32 = 2;
const TOKEN: u32 = 3;

#[derive(Debug)]
pub(crate) struct Parker {
    word: Futex,
    patience: Patience,
}

impl Parker {
    pub(crate) fn new() -> Parker {
        Parker { word: Futex::new(AWAKE), patience: Patience::new() }
    }

    /// Sleeps until unparked; returns at once if that came first.
    pub(crate) fn park(&self) {
        // Relaxed: whatever is seen, entering synchronizes below.
        self.patience.look(|| self.word.load(Ordering::Relaxed) != AWAKE);
        if !self.enter(PARKED) {
            return;
        }
        self.patience.sleep(|| {
            // Relaxed: leaving synchronizes below.
            while self.word.load(Ordering::Relaxed) == PARKED {
                self.word.wait(PARKED);
            }
        });
        self.leave();
    }

    /// As [`Parker::park`], in the driver: `sleep` returns when the [`Bed`] is woken, also if that came
    /// before, and may return for its own reasons.
    pub(crate) fn park_in(&self, sleep: impl FnOnce()) {
        if self.enter(IN_DRIVER) {
            sleep();
            self.leave();
        }
    }

    /// `false`: a token lay there; it is taken and nobody goes to sleep.
    fn enter(&self, bed: u32) -> bool {
        let entered = self.word.compare_exchange(AWAKE, bed, Ordering::Relaxed, Ordering::Relaxed);
        if entered.is_err() {
            // An exchange and no store, though the token was seen already: another `unpark` may
            // have come since. It left the token as it was and relies on this look at it; a store
            // would wipe it out unseen, and what was published before it could be missed.
            // Acquire: partner is the Release of `unpark`.
            // [park-enter]
            self.word.swap(AWAKE, Ordering::Acquire);
        }
        entered.is_ok()
    }

    fn leave(&self) {
        // Acquire: partner is the Release of `unpark`: what was published before it is visible.
        // [park-leave]
        self.word.swap(AWAKE, Ordering::Acquire);
    }

    /// Wakes the thread, or lets its next park return at once.
    pub(crate) fn unpark(&self, driver: Option<&impl Bed>) {
        #[cfg(filch_shuttle)] // A twin leaves nothing for somebody who is about to sleep.
        if crate::primitive::seeded("no-token") && self.word.load(Ordering::Relaxed) == AWAKE {
            return;
        }
        // Release: partner is the Acquire of `enter` and `leave`.
        // [unpark]
        match self.word.swap(TOKEN, Ordering::Release) {
            PARKED => self.word.wake_one(),
            IN_DRIVER => {
                if let Some(driver) = driver {
                    driver.wake();
                }
            }
            _ => {}
        }
    }
}
