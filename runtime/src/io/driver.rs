//! The poller, and the right to sleep in it.
//!
//! Whoever holds the [`Turn`] may wait for events; the lock is only ever tried, never waited for: somebody who
//! does not get it knows that another thread is there, or was a moment ago and will come again
//! before it sleeps elsewhere.
//!
//! **If all workers sleep, one of them sleeps here.** Take the last turn that was given back. Whoever gave it
//! back was awake, and goes to sleep later. If it gets the turn again then, it sleeps here. If not, somebody
//! took it after that, who cannot have given it back (it was the last), and so sleeps here. No ordering
//! is needed for that: it speaks of one word, the lock. (Who gives it back and does not sleep later, a spare worker that
//! leaves or the monitor after a look, wakes one of those that sleep.)
//!
//! Waits have no timeout: time is the timer's.

use std::fmt;
use std::io;
use std::task::Waker;
use std::time::Duration;

use mio::event::Source;
#[cfg(not(filch_loom))]
use mio::{Events, Poll, Registry, Waker as Alarm, event::Event};
use mio::{Interest, Token};

#[cfg(filch_loom)]
use self::poller::{Alarm, Event, Events, Poll, Registry};
use super::readiness::{ERROR, GENERATION_BITS, READ, READ_CLOSED, Readiness, WRITE, WRITE_CLOSED};
use super::slab::Slab;
use crate::primitive::{AtomicBool, AtomicU64, Ordering, TryLock, TryLockGuard};
use crate::sys;

/// A thread of a model must not sleep in the kernel.
#[cfg(filch_loom)]
#[path = "../../../loom-tests/src/poller.rs"]
mod poller;

/// Events taken at a time.
const EVENTS: usize = 1024;

/// Of what wakes the sleeper.
const WAKE: Token = Token(usize::MAX);

const INDEX_BITS: u32 = if usize::BITS >= 64 { 31 } else { usize::BITS - GENERATION_BITS - 1 };

pub(crate) struct Driver {
    registry: Registry,
    waker: Alarm,
    poller: TryLock<Poller>,
    slab: Slab,
    /// Somebody sleeps in it. (A hint.)
    manned: AtomicBool,
    /// How often somebody has waited or looked.
    turns: AtomicU64,
    /// Which process it belongs to: a child of it shares the poller, and must not touch it.
    process: u32,
}

struct Poller {
    poll: Poll,
    events: Events,
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("registered", &self.slab.len()).finish_non_exhaustive()
    }
}

/// What somebody is told who uses a socket after its runtime has ended.
pub(crate) fn shut_down() -> io::Error {
    io::Error::other(
        "the runtime of this socket was shut down, and nobody watches over the socket any more; \
         make sockets inside the runtime that uses them",
    )
}

impl Driver {
    pub(crate) fn new() -> io::Result<Driver> {
        let say = |error: io::Error| {
            io::Error::new(error.kind(), format!("the system refused the I/O driver: {error}"))
        };
        let poll = Poll::new().map_err(say)?;
        let registry = poll.registry().try_clone().map_err(say)?;
        let waker = Alarm::new(&registry, WAKE).map_err(say)?;
        Ok(Driver {
            registry,
            waker,
            poller: TryLock::new(Poller { poll, events: Events::with_capacity(EVENTS) }),
            slab: Slab::new(),
            manned: AtomicBool::new(false),
            turns: AtomicU64::new(0),
            process: sys::fork_generation(),
        })
    }

    // ── for those who poll it ─────────────────────────────────────────────────────────────────

    /// The right to wait for events, if nobody has it.
    pub(crate) fn try_turn(&self) -> Option<Turn<'_>> {
        let poller = self.poller.try_lock()?;
        Some(Turn { driver: self, poller })
    }

    /// Ends the current or else the next wait.
    pub(crate) fn wake(&self) {
        // (In a child nobody sleeps, and the parent is not to be woken.)
        if self.is_of_this_process() {
            // Fails only if the poller is gone.
            let _ = self.waker.wake();
        }
    }

    /// A look that may be out of date.
    pub(crate) fn is_manned(&self) -> bool {
        self.manned.load(Ordering::Relaxed)
    }

    /// How many sources it watches over.
    pub(crate) fn registered(&self) -> usize {
        self.slab.len()
    }

    /// How often somebody has waited or looked. (If it does not change, nobody has.)
    pub(crate) fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    // ── for registrations ─────────────────────────────────────────────────────────────────────

    /// Watches over a source. `assumed`: what it is taken to be ready for.
    pub(crate) fn register(
        &self,
        source: &mut impl Source,
        interest: Interest,
        assumed: u64,
    ) -> io::Result<(u32, u32)> {
        let index = self.slab.take().ok_or_else(shut_down)?;
        let readiness = self.readiness(index);
        let generation = readiness.begin(assumed);
        match self.registry.register(source, token(index, generation), interest) {
            Ok(()) => Ok((index, generation)),
            Err(error) => {
                self.release(index);
                Err(error)
            }
        }
    }

    pub(crate) fn deregister(&self, source: &mut impl Source, index: u32) {
        if self.is_of_this_process() {
            // A socket that the system has forgotten already is none to be taken out.
            let _ = self.registry.deregister(source);
        }
        self.release(index);
    }

    fn release(&self, index: u32) {
        self.readiness(index).end();
        self.slab.give_back(index);
    }

    pub(crate) fn readiness(&self, index: u32) -> &Readiness {
        self.slab.get(index).expect("a registration has its place")
    }

    /// Models are the kernel, too.
    #[cfg(filch_loom)]
    pub(crate) fn tell(&self, index: u32, generation: u32) {
        self.registry.tell(token(index, generation));
    }

    fn is_of_this_process(&self) -> bool {
        self.process == sys::fork_generation()
    }

    /// There will be no more events.
    pub(crate) fn close(&self) {
        let mut wakers = Vec::new();
        self.slab.close(|readiness| readiness.shut(&mut wakers));
        wake_all(&mut wakers);
    }
}

/// The right to wait for events: there is only one.
pub(crate) struct Turn<'a> {
    driver: &'a Driver,
    poller: TryLockGuard<'a, Poller>,
}

impl Turn<'_> {
    /// Sleeps until there are events, or somebody calls [`Driver::wake`].
    pub(crate) fn wait(&mut self) {
        self.driver.manned.store(true, Ordering::Relaxed);
        self.poll(None);
        self.driver.manned.store(false, Ordering::Relaxed);
    }

    /// Takes what there is.
    pub(crate) fn look(&mut self) {
        self.poll(Some(Duration::ZERO));
    }

    fn poll(&mut self, limit: Option<Duration>) {
        let Poller { poll, events } = &mut *self.poller;
        match poll.poll(events, limit) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => events.clear(),
            // Somebody has closed a file descriptor that is not his.
            Err(error) => panic!("the I/O driver's poller failed: {error}"),
        }
        let turns = &self.driver.turns;
        turns.store(turns.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Hands over what came, in the order in which it came; gives the turn back. The wakers are to be called by
    /// the caller, who holds nothing any more. Answers how many events there were.
    pub(crate) fn deliver(mut self, wakers: &mut Vec<Waker>) -> usize {
        let mut count = 0;
        for event in &self.poller.events {
            if event.token() == WAKE {
                continue;
            }
            count += 1;
            let (index, generation) = split(event.token());
            if let Some(readiness) = self.driver.slab.get(index) {
                readiness.deliver(generation, flags(event), wakers);
            }
        }
        // Whoever has the turn next may not get to wait (somebody unparked it before): it must not find these again.
        self.poller.events.clear();
        count
    }
}

/// Calls wakers; one that panics keeps no others from being called.
pub(crate) fn wake_all(wakers: &mut Vec<Waker>) {
    wakers.drain(..).for_each(|waker| crate::task::cell::contained(|| waker.wake()));
}

fn flags(event: &Event) -> u64 {
    let mut flags = 0;
    let mut add = |is: bool, flag: u64| flags |= if is { flag } else { 0 };
    add(event.is_readable(), READ);
    add(event.is_writable(), WRITE);
    add(event.is_read_closed(), READ_CLOSED);
    add(event.is_write_closed(), WRITE_CLOSED);
    add(event.is_error(), ERROR | READ | WRITE);
    flags
}

fn token(index: u32, generation: u32) -> Token {
    debug_assert!(index >> INDEX_BITS == 0);
    debug_assert!(u64::from(generation) >> GENERATION_BITS == 0);
    Token((generation as usize) << INDEX_BITS | index as usize)
}

fn split(token: Token) -> (u32, u32) {
    let index = token.0 & ((1 << INDEX_BITS) - 1);
    (index as u32, (token.0 >> INDEX_BITS) as u32)
}

#[cfg(all(test, not(filch_loom)))]
mod tests {
    use super::*;
    use crate::io::Direction;

    /// Two connected sockets, the first of them watched over, and its place.
    fn watched(driver: &Driver) -> (mio::net::UdpSocket, std::net::UdpSocket, u32) {
        let mut one = mio::net::UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let other = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        other.connect(one.local_addr().unwrap()).unwrap();
        let (index, _) = driver.register(&mut one, Interest::READABLE, 0).unwrap();
        (one, other, index)
    }

    #[test]
    fn an_event_for_a_socket_that_is_gone_does_nothing_to_the_next_one_in_its_place() {
        let driver = Driver::new().unwrap();
        let (mut one, other, index) = watched(&driver);
        other.send(b"news").unwrap();
        let mut turn = driver.try_turn().unwrap();
        turn.wait();
        // The event is on its way; its socket is closed, and another takes the place.
        driver.deregister(&mut one, index);
        let (_next, other, again) = watched(&driver);
        assert_eq!(again, index);
        let poll = || driver.readiness(index).poll(Direction::Read, None, Waker::noop());
        assert!(poll().is_pending());
        let mut wakers = Vec::new();
        turn.deliver(&mut wakers);
        assert!(wakers.is_empty() && poll().is_pending(), "it was not meant");
        // Whereas its own event is.
        other.send(b"news").unwrap();
        let mut turn = driver.try_turn().unwrap();
        turn.wait();
        turn.deliver(&mut wakers);
        assert!(wakers.len() == 1 && poll().is_ready());
    }

    #[test]
    fn only_one_has_the_turn_and_it_can_be_woken() {
        let driver = Driver::new().unwrap();
        let mut turn = driver.try_turn().unwrap();
        assert!(driver.try_turn().is_none());
        driver.wake();
        turn.wait(); // returns
        let mut wakers = Vec::new();
        turn.deliver(&mut wakers);
        assert!(wakers.is_empty() && driver.try_turn().is_some());
    }

    #[test]
    fn an_event_is_handed_over_once() {
        let driver = Driver::new().unwrap();
        let (_one, other, index) = watched(&driver);
        other.send(b"news").unwrap();
        let mut turn = driver.try_turn().unwrap();
        turn.wait();
        turn.deliver(&mut Vec::new());
        let ready = driver.readiness(index).look(Direction::Read).unwrap();
        driver.readiness(index).clear(ready);
        // The next one does not get to wait.
        driver.try_turn().unwrap().deliver(&mut Vec::new());
        assert!(driver.readiness(index).look(Direction::Read).is_none(), "that was told before");
    }

    #[test]
    fn however_often_a_place_is_used_its_events_find_it() {
        let driver = Driver::new().unwrap();
        for _ in 0..300 {
            let (mut one, other, index) = watched(&driver);
            other.send(b"news").unwrap();
            let mut turn = driver.try_turn().unwrap();
            turn.wait();
            turn.deliver(&mut Vec::new());
            assert!(driver.readiness(index).look(Direction::Read).is_some());
            driver.deregister(&mut one, index);
        }
    }

    #[test]
    fn after_the_end_whoever_waits_is_woken_and_nobody_new_is_taken() {
        let driver = Driver::new().unwrap();
        let (mut one, _other, index) = watched(&driver);
        let poll = || driver.readiness(index).poll(Direction::Read, None, Waker::noop());
        assert!(poll().is_pending());
        driver.close();
        assert!(matches!(poll(), std::task::Poll::Ready(ready) if ready.is_shut()));
        driver.deregister(&mut one, index);
        assert!(driver.register(&mut one, Interest::READABLE, 0).is_err());
    }

    #[test]
    fn a_token_is_index_and_generation() {
        for (index, generation) in [(0, 0), (1, 255), (1_000_000, 77), (0, 1)] {
            let token = token(index, generation);
            assert_ne!(token, WAKE);
            assert_eq!(split(token), (index, generation));
        }
    }
}
