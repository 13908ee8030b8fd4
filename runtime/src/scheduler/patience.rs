//! How long a thread looks for its wake-up before it goes to sleep for it.
//!
//! A processor whose last thread has gone to sleep is halted, and takes its time to come back: 3 µs at best, 25 to 30 µs
//! if it is one of a virtual machine. Whoever waits for an answer that takes 40 µs does better to stay awake. Nobody can know
//! that; but who slept only shortly three times in a row will do so again. So a thread then looks for 50 µs before it
//! sleeps, and goes on like that until it has looked in vain: then it sleeps the next 16 times, or 32, and so on. Who
//! sleeps for long, until a timer fires or because there is nothing to do, never looks. So an idle runtime costs
//! nothing, and a light load no more than without this.
//!
//! Measured with two workers on two processors: `block_on` that spawns a task and awaits it, 16.3 → 1.5 µs, with
//! less processor time as well (12.9 → 1.5 µs, for the futex calls are spared); 1,000 tasks of which each spawns the next, from
//! `block_on`, 87 → 36 ns a task. All on one processor: 4.7 → 4.8 µs, and no difference.
//!
//! Tried and not kept: to give the processor away (`yield_now`) between two looks. On a busy machine that is to be last in a long
//! row, where a sleeper that is woken comes first: 5 → 10 µs a round of processor time, and up to 40 µs until it was over.

use std::time::Duration;

use crate::primitive::unmodelled::{AtomicU32, Ordering};
use crate::primitive::{elapsed, now};

/// How long it looks.
const LOOK: Duration = Duration::from_micros(50);
/// A sleep that looking would have spared, and its wake-up.
const SHORT: Duration = Duration::from_micros(100);
/// After so many of those in a row a thread looks.
const IN_A_ROW: u32 = 3;
/// The same after it has looked in vain; twice as many each time, …
const AFTER_VAIN: u32 = 16;
/// … up to this.
const AT_MOST: u32 = 4096;

/// What a thread knows of its last sleeps. (Atomic because beds are shared; only who sleeps in one uses it. No
/// protocol depends on it: it decides when a thread sleeps, not whether.)
#[derive(Debug)]
pub(crate) struct Patience {
    /// So many short sleeps more, and it looks.
    wanting: AtomicU32,
    /// So many will be wanting when it has looked in vain.
    price: AtomicU32,
}

impl Patience {
    pub(crate) fn new() -> Patience {
        Patience { wanting: AtomicU32::new(IN_A_ROW), price: AtomicU32::new(AFTER_VAIN) }
    }

    /// Looks until it `is_over`, if that is likely to be soon.
    pub(crate) fn look(&self, is_over: impl Fn() -> bool) {
        if cfg!(filch_loom) || !self.is_there() {
            return;
        }
        let start = now();
        while !is_over() {
            if elapsed(start) > LOOK {
                return self.was_in_vain();
            }
            (0..8).for_each(|_| std::hint::spin_loop());
        }
        self.price.store(AFTER_VAIN, Ordering::Relaxed);
    }

    /// Sleeps, and remembers how long.
    pub(crate) fn sleep(&self, sleep: impl FnOnce()) {
        let start = now();
        sleep();
        self.slept(elapsed(start));
    }

    fn is_there(&self) -> bool {
        self.wanting.load(Ordering::Relaxed) == 0
    }

    fn was_in_vain(&self) {
        let price = self.price.load(Ordering::Relaxed);
        self.wanting.store(price, Ordering::Relaxed);
        self.price.store((2 * price).min(AT_MOST), Ordering::Relaxed);
    }

    fn slept(&self, time: Duration) {
        let wanting = self.wanting.load(Ordering::Relaxed);
        let next = if time < SHORT { wanting.saturating_sub(1) } else { wanting.max(IN_A_ROW) };
        self.wanting.store(next, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(filch_loom)))]
mod tests {
    use super::{AFTER_VAIN, AT_MOST, IN_A_ROW, LOOK, Patience, SHORT};

    fn short_sleeps(patience: &Patience) -> u32 {
        (1..)
            .find(|_| {
                patience.slept(LOOK);
                patience.is_there()
            })
            .unwrap()
    }

    #[test]
    fn who_slept_shortly_a_few_times_looks() {
        let patience = Patience::new();
        assert!(!patience.is_there());
        assert_eq!(short_sleeps(&patience), IN_A_ROW);
        // As long as that is right, it goes on.
        patience.look(|| true);
        assert!(patience.is_there());
    }

    #[test]
    fn a_long_sleep_begins_the_row_anew() {
        let patience = Patience::new();
        short_sleeps(&patience);
        patience.slept(SHORT);
        assert_eq!(short_sleeps(&patience), IN_A_ROW);
    }

    #[test]
    fn to_have_looked_in_vain_costs_more_each_time() {
        let patience = Patience::new();
        short_sleeps(&patience);
        patience.look(|| false);
        assert_eq!(short_sleeps(&patience), AFTER_VAIN);
        patience.look(|| false);
        // A long sleep does not make it cheaper.
        patience.slept(SHORT);
        assert_eq!(short_sleeps(&patience), 2 * AFTER_VAIN);
        (0..32).for_each(|_| patience.was_in_vain());
        assert_eq!(short_sleeps(&patience), AT_MOST);
        // To have been right does.
        patience.look(|| true);
        patience.look(|| false);
        assert_eq!(short_sleeps(&patience), AFTER_VAIN);
    }
}
