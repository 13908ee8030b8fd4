//! Waiting for the system: sockets, pipes, anything with a file descriptor.
//!
//! ```text
//!  read() ── WouldBlock ──► Registration ── waker ──► Readiness        (the task sleeps)
//!                                                        ▲
//!  kernel ── event ──► driver::Turn::deliver ── slot ────┘ wakes       (an idle worker, asleep in the driver)
//! ```
//!
//! One *driver* for a runtime: one edge-triggered poller. There is no I/O thread: a worker without work
//! sleeps inside the driver instead of on its futex, the others sleep on futexes, and busy
//! workers look in now and then. Whoever returns from the driver *delivers* all its events before it polls
//! the first task.
//!
//! A task whose sockets are always ready would have its worker for itself, and could neither be cancelled nor run
//! into a timeout. So after 64 operations in one poll one of them is refused: the task yields, as with
//! [`yield_now`](crate::yield_now). (A task that waits for many sockets at a time is not refused all the rest, which would
//! make it ask again and again in vain; only after 512 it is.) Nothing else needs such a budget: a join handle is ready
//! once, and a sleep always suspends.
//!
//! `driver` is the poller, `slab` finds the addressee of an event (or that it is gone), `readiness` is where task and
//! event meet, `registration` the tie between a socket and the driver, and [`AsyncFd`] is for file
//! descriptors of other libraries. Sockets are in [`net`](crate::net).
//!
//! `Door` is the part that outlives runtimes: who wakes a worker must be able to find out where it sleeps.

#[cfg(unix)]
mod async_fd;
pub(crate) mod driver;
pub(crate) mod readiness;
pub(crate) mod registration;
pub(crate) mod slab;

use std::cell::Cell;
use std::io;
use std::sync::{Arc, OnceLock};

use self::driver::Driver;
use crate::primitive::{AtomicBool, Mutex, Ordering, tls, unmodelled};
use crate::sys;

#[cfg(unix)]
pub use self::async_fd::AsyncFd;
pub use self::readiness::Direction;

tls! { static CURRENT: Cell<Option<&'static Door>> = Cell::new(None) }

/// From now on sockets that are made on this thread belong to this runtime; answers whose they were.
pub(crate) fn enter(door: Option<&'static Door>) -> Option<&'static Door> {
    CURRENT.replace(door)
}

/// What somebody is told who makes a socket, or looks a name up, where there is no runtime.
pub(crate) fn outside() -> io::Error {
    io::Error::other(
        "a socket was made outside a filch runtime: make it inside `filch::run(async { … })`, \
         `Runtime::block_on` or `#[filch::main]`",
    )
}

/// Where the driver is, once there is one. As long-lived as the scheduler it belongs to, whereas
/// the driver (and its file descriptors) goes with the runtime.
pub(crate) struct Door {
    driver: Mutex<Option<Arc<Driver>>>,
    /// There is a driver.
    used: AtomicBool,
    /// The runtime is over: no driver is opened any more.
    closed: AtomicBool,
    /// Which process the runtime's threads are in.
    process: unmodelled::AtomicU32,
    /// Makes a sleeping worker look where it sleeps.
    alert: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("used", &self.is_used()).finish_non_exhaustive()
    }
}

impl Door {
    pub(crate) fn new() -> Door {
        Door {
            driver: Mutex::new(None),
            used: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            process: unmodelled::AtomicU32::new(sys::fork_generation()),
            alert: OnceLock::new(),
        }
    }

    /// How to make a sleeping worker look where it sleeps. Once for each door.
    pub(crate) fn set_alert(&self, alert: impl Fn() + Send + Sync + 'static) {
        let _ = self.alert.set(Box::new(alert));
    }

    /// Is there a driver to sleep in? Whoever is about to sleep asks *after* it has announced that
    /// (which includes a fence).
    pub(crate) fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// The driver, if there is one.
    pub(crate) fn driver(&self) -> Option<Arc<Driver>> {
        self.driver.lock().clone()
    }

    /// The driver of this thread's runtime; opened at its first use.
    pub(crate) fn current_driver() -> io::Result<Arc<Driver>> {
        let Some(door) = CURRENT.get() else {
            return Err(outside());
        };
        assert!(
            door.process.load(unmodelled::Ordering::Relaxed) == sys::fork_generation(),
            "this process was forked after the runtime was made: its sockets are watched over in \
             the parent only; make a new filch::Runtime in the child"
        );
        door.open()
    }

    fn open(&self) -> io::Result<Arc<Driver>> {
        let mut place = self.driver.lock();
        if let Some(driver) = &*place {
            return Ok(Arc::clone(driver));
        }
        if self.closed.load(Ordering::Relaxed) {
            return Err(driver::shut_down());
        }
        let driver = Arc::new(Driver::new()?);
        *place = Some(Arc::clone(&driver));
        // Under the lock: `close` may come next.
        #[cfg(filch_loom)] // A twin says it later.
        let place = (!crate::primitive::seeded("used-outside-the-lock")).then_some(place);
        self.used.store(true, Ordering::Relaxed);
        drop(place);
        // All workers may be asleep on futexes: one must move into the driver. The alert begins with a
        // fence; its partner is the announcement of whoever goes to sleep just now: either it sees
        // the driver, or the alert sees it asleep.
        if let Some(alert) = self.alert.get() {
            alert();
        }
        Ok(driver)
    }

    /// The runtime is over: whoever still waits for a socket gets an error.
    pub(crate) fn close(&self) {
        let driver = {
            let mut place = self.driver.lock();
            self.closed.store(true, Ordering::Relaxed);
            self.used.store(false, Ordering::Relaxed);
            place.take()
        };
        if let Some(driver) = driver {
            driver.close();
        }
    }

    /// The next runtime begins.
    pub(crate) fn reopen(&self) {
        self.process.store(sys::fork_generation(), unmodelled::Ordering::Relaxed);
        self.closed.store(false, Ordering::Relaxed);
    }

    /// Wakes the worker that sleeps in the driver.
    pub(crate) fn wake(&self) {
        if let Some(driver) = self.driver() {
            driver.wake();
        }
    }
}

#[cfg(filch_shuttle)]
#[path = "../../../shuttle-tests/src/wire.rs"]
#[doc(hidden)]
#[allow(missing_docs)]
pub mod wire;
