//! The worker and the I/O driver: a bed to sleep in, and where tasks come from.
//!
//! A worker that returns from the driver puts all that its events wake at the end of its own queue, in their order,
//! and wakes nobody: most polls are short, and the next events are best taken by the one who is awake already.
//! Only if the first polls show that it is too much for one (more than 8 wait, or 50 µs have passed)
//! it wakes another, and that one the next.
//!
//! Tried and not kept: 100 µs, however many wait. With handlers of 20 µs two workers then serve 1.66 times as much as one
//! instead of 1.80, and with handlers that do nothing no more than before (0.91 of what one worker serves, and 0.90);
//! nor did 500 µs save any processor time, though there were a quarter of the futex calls.
//!
//! Tried, and not kept so far: to look into the driver after as few as 4 polls where 32 take longer than 2 ms. Where handlers take a
//! millisecond it is the monitor that looks, every 2 ms. With 50 connections 1 % waited for 87 others instead of 96 (tokio: 86), in
//! one run of 5 rounds on a busy machine; what it costs an echo server was not measured.

use std::cell::{Cell, OnceCell, RefCell};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::{Alone, Worker};
use crate::io::driver::{self, Driver};
use crate::scheduler::sleep::Sleep;
use crate::task::Runnable;

/// How long a batch from the driver may keep the others asleep, and how many tasks of it may wait.
const ALONE: Duration = Duration::from_micros(50);
const WAIT: usize = 8;
/// After how many polls a busy worker looks into the driver, unless somebody has just done so. (A look costs a
/// system call, as much as ten yields.)
const LOOK_EVERY: u32 = 32;
const REST: Duration = Duration::from_micros(100);

/// What a worker keeps for that.
#[derive(Debug)]
pub(super) struct Events {
    /// The driver, once it was needed here.
    driver: OnceCell<Arc<Driver>>,
    next_look: Cell<u32>,
    last_look: Cell<Option<Instant>>,
    /// What the events wake is collected here, while they are handed over.
    landing: RefCell<Option<Vec<Runnable>>>,
    /// Whom they wake: kept for its memory.
    wakers: RefCell<Vec<Waker>>,
}

impl Events {
    pub(super) fn new() -> Events {
        Events {
            driver: OnceCell::new(),
            next_look: Cell::new(LOOK_EVERY),
            last_look: Cell::new(None),
            landing: RefCell::new(None),
            wakers: RefCell::default(),
        }
    }
}

impl Worker {
    /// Sleeps: in the driver, if there is one and its bed is free. `false`: still announced.
    pub(super) fn sleep(&self, sleep: &Sleep, bit: usize) -> bool {
        if self.scheduler.door.is_used() {
            if let Some(mut turn) = self.driver().and_then(|driver| driver.try_turn()) {
                let mut taken = sleep.park_in(bit, || turn.wait());
                let mut wakers = self.events.wakers.take();
                self.count_turn(turn.deliver(&mut wakers));
                if !taken && !wakers.is_empty() {
                    // Awake before it wakes: else it might choose itself to be woken.
                    self.scheduler.woken(sleep.retract(bit));
                    taken = true;
                }
                self.wake_all(wakers);
                return taken;
            }
        }
        sleep.park(bit)
    }

    /// With a manual clock, before this worker rests: what tasks have just sent to each other has arrived, and time must not
    /// move before it is received. `true`: the worker is awake again.
    #[cold]
    pub(super) fn finds_events(&self, sleep: &Sleep, bit: usize) -> bool {
        if !self.scheduler.door.is_used() {
            return false;
        }
        let Some(mut turn) = self.driver().and_then(|driver| driver.try_turn()) else {
            return false;
        };
        let mut wakers = self.events.wakers.take();
        turn.look();
        self.count_turn(turn.deliver(&mut wakers));
        let found = !wakers.is_empty();
        if found {
            self.scheduler.woken(sleep.retract(bit));
        }
        self.wake_all(wakers);
        found
    }

    fn count_turn(&self, events: usize) {
        self.entry.tally.turns.add(1);
        self.entry.tally.events.add(events as u64);
    }

    fn driver(&self) -> Option<&Driver> {
        let place = &self.events.driver;
        if place.get().is_none() {
            let driver = self.scheduler.door.driver()?;
            let _ = place.set(driver);
        }
        place.get().map(|driver| &**driver)
    }

    /// Even if there is always something to do, those who wait for sockets do not starve.
    pub(super) fn look_into_driver(&self) {
        let events = &self.events;
        if !self.is_time(&events.next_look, LOOK_EVERY) {
            return;
        }
        self.maybe_sample();
        if !self.scheduler.door.is_used() {
            return;
        }
        let now = crate::primitive::now();
        if events.last_look.get().is_none_or(|last| now - last > REST) {
            events.last_look.set(Some(now));
            if let Some(mut turn) = self.driver().and_then(|driver| driver.try_turn()) {
                let mut wakers = events.wakers.take();
                turn.look();
                self.count_turn(turn.deliver(&mut wakers));
                self.wake_all(wakers);
            }
        }
    }

    /// From here on the driver may be unmanned, though others sleep: if it stays so for long, the monitor wakes one.
    fn wake_all(&self, mut wakers: Vec<Waker>) {
        if !wakers.is_empty() {
            self.events.landing.replace(Some(Vec::with_capacity(wakers.len())));
            driver::wake_all(&mut wakers);
            let landed = self.events.landing.take().unwrap_or_default();
            let rescued = self.rescue();
            if landed.len() > 1 {
                self.set_batch(Some(Alone::new(ALONE, WAIT)));
            }
            self.follow_landed(&landed);
            landed.into_iter().for_each(|task| self.queue.push(task));
            if rescued {
                self.announce_rescued();
            }
        }
        self.events.wakers.replace(wakers);
    }

    /// A task that was woken while none is polled here: it lands if the driver's events wake it.
    pub(super) fn land(&self, task: Option<Runnable>) -> Option<Runnable> {
        match &mut *self.events.landing.borrow_mut() {
            Some(landed) => {
                landed.extend(task);
                None
            }
            None => task,
        }
    }
}
