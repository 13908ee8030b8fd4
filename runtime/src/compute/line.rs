//! The jobs that wait for a thread of the lane, in order.
//!
//! Each job stands in the line with a *ticket*. For each ticket there is a *token*: a call that was given to rayon
//! and takes the ticket at the front, whosever it is. So the order is ours, whatever order rayon has for its calls.
//!
//! **Who has a job**: whoever exchanges it out of its ticket. That is the token that got the ticket, a canceller, who finds the
//! ticket through the task and the place in the line free from then on, or the end of the runtime.
//! A ticket without a job stays in the line until its token comes, which then does nothing.
//! So there are as many tokens as tickets, always, and nobody counts on anybody. (Dead tickets are limited, too: a
//! storm of cancellations while all threads are busy ends in refusals, not in memory.)
//!
//! **Nobody waits for anybody**: threads of the lane are lowered, and may be put aside anywhere, for long. There is no
//! lock in here that is ever contended. The line is crossbeam's injector. Its pushers wait for each other at the
//! end of each block of 31, and its takers for a pusher in the middle of a push; pushers are workers, and a job of the
//! lane only if it submits another one.
//!
//! **The end**: whoever submits pushes, fences, and looks whether the line is closed; whoever closes it says so, fences, and
//! empties it. One of them sees the other's, so no job is left in a line that nobody serves, and no ticket: whoever
//! submits and finds it closed empties it as well.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::JoinError;
use crate::job;
#[cfg(filch_loom)]
use crate::primitive::seeded;
use crate::primitive::unmodelled;
use crate::primitive::{AtomicBool, AtomicU64, AtomicUsize, Mutex, Ordering, fence};
use crate::scheduler::queue::{Fifo, Steal};
use crate::scheduler::quiet::{Awake, Quiet};
use crate::task::cell::AtomicRunnable;
use crate::task::extra;
use crate::task::{Runnable, TaskRef};

/// How many dead tickets there may be at least.
const DEAD: usize = 1024;

#[derive(Debug)]
pub(crate) struct Line {
    tickets: Fifo<Arc<Ticket>>,
    /// Tickets in the line, dead or alive.
    length: AtomicUsize,
    /// Jobs that wait, and (in the upper half) jobs that run: one word, so that a job is never in both or none.
    counts: AtomicU64,
    closed: AtomicBool,
    /// How many jobs may wait when all threads are busy.
    limit: usize,
    threads: usize,
    started: unmodelled::AtomicU64,
    waited_ns: unmodelled::AtomicU64,
}

const RUNNING: u64 = 1 << 32;

fn waiting(counts: u64) -> usize {
    (counts % RUNNING) as usize
}

fn running(counts: u64) -> usize {
    (counts / RUNNING) as usize
}

/// A place in the line.
#[derive(Debug)]
pub(crate) struct Ticket {
    job: AtomicRunnable,
    line: Arc<Line>,
    since: Instant,
    /// With a manual clock: no time passes until the job has ended. Only touched by who has the job.
    awake: Mutex<Option<Awake>>,
}

/// A job and what goes with it. (Dropped in this order.)
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) job: Runnable,
    pub(crate) awake: Option<Awake>,
}

/// Why a job was not taken.
#[derive(Debug)]
pub(crate) enum Refused {
    Closed(Taken),
    Full(Taken),
}

/// What there is in the lane.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) waiting: usize,
    pub(crate) running: usize,
    pub(crate) started: u64,
    pub(crate) waited: Duration,
}

impl Line {
    pub(crate) fn new(limit: usize, threads: usize) -> Line {
        Line {
            tickets: Fifo::new(),
            length: AtomicUsize::new(0),
            counts: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            limit: limit.min(u32::MAX as usize / 2),
            threads,
            started: unmodelled::AtomicU64::new(0),
            waited_ns: unmodelled::AtomicU64::new(0),
        }
    }

    /// Puts a job at the end. To be followed by a token.
    pub(crate) fn join(&self, ticket: &Arc<Ticket>, job: Runnable) -> Result<(), Refused> {
        if self.is_closed() {
            return Err(Refused::Closed(ticket.with_its(job)));
        }
        if !self.find_room() {
            return Err(Refused::Full(ticket.with_its(job)));
        }
        drop(ticket.job.swap(Some(job)));
        self.length.fetch_add(1, Ordering::Relaxed);
        self.tickets.push(Arc::clone(ticket));
        // [lane-join-fence] partner: lane-close-fence.
        fence(Ordering::SeqCst);
        let closed = self.is_closed();
        #[cfg(filch_loom)] // A twin relies on having looked before.
        let closed = closed && !seeded("join-without-looking");
        if closed {
            let taken = ticket.withdraw();
            #[cfg(filch_loom)] // A twin leaves a ticket without a job for a token that never comes.
            if seeded("leave-the-ticket") {
                return taken.map_or(Ok(()), |taken| Err(Refused::Closed(taken)));
            }
            // The ticket, too: in the line it would keep the line, which keeps it.
            self.empty();
            if let Some(taken) = taken {
                return Err(Refused::Closed(taken));
            }
        }
        Ok(())
    }

    fn find_room(&self) -> bool {
        // Relaxed throughout: these are numbers, and hand nothing over.
        let dead = |counts| self.length.load(Ordering::Relaxed).saturating_sub(waiting(counts));
        let mut now = self.counts.load(Ordering::Relaxed);
        loop {
            let room = self.limit + self.threads.saturating_sub(running(now));
            if waiting(now) >= room || dead(now) >= self.limit.max(DEAD) {
                return false;
            }
            let relaxed = Ordering::Relaxed;
            match self.counts.compare_exchange_weak(now, now + 1, relaxed, relaxed) {
                Ok(_) => return true,
                Err(found) => now = found,
            }
        }
    }

    /// A token: takes the ticket at the front, and the job, if it is still there. Followed by [`Line::ended`].
    pub(crate) fn next(&self) -> Option<Taken> {
        let ticket = self.front()?;
        let taken = ticket.take()?;
        self.counts.fetch_add(RUNNING - 1, Ordering::Relaxed);
        self.started.fetch_add(1, unmodelled::Ordering::Relaxed);
        let waited =
            u64::try_from(crate::primitive::elapsed(ticket.since).as_nanos()).unwrap_or(u64::MAX);
        self.waited_ns.fetch_add(waited, unmodelled::Ordering::Relaxed);
        Some(taken)
    }

    fn front(&self) -> Option<Arc<Ticket>> {
        loop {
            match self.tickets.pop() {
                Steal::Success(ticket) => {
                    self.length.fetch_sub(1, Ordering::Relaxed);
                    return Some(ticket);
                }
                Steal::Empty => return None,
                #[cfg(filch_loom)] // A twin takes a lost race for an empty line.
                Steal::Retry if seeded("retry-is-empty") => return None,
                // Somebody else got one.
                Steal::Retry => {}
            }
        }
    }

    /// A job that [`Line::next`] gave has ended.
    pub(crate) fn ended(&self) {
        self.counts.fetch_sub(RUNNING, Ordering::Relaxed);
    }

    /// Drops what waits now; more may come meanwhile.
    pub(crate) fn drain(&self) {
        let tickets = self.length.load(Ordering::Relaxed);
        (0..tickets).map_while(|_| self.front()).for_each(|ticket| drop(ticket.withdraw()));
    }

    /// Takes no more, and drops what waits.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        // [lane-close-fence] partner: lane-join-fence.
        fence(Ordering::SeqCst);
        self.empty();
    }

    fn empty(&self) {
        std::iter::from_fn(|| self.front()).for_each(|ticket| drop(ticket.withdraw()));
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    pub(crate) fn counts(&self) -> Counts {
        let counts = self.counts.load(Ordering::Relaxed);
        Counts {
            waiting: waiting(counts),
            running: running(counts),
            started: self.started.load(unmodelled::Ordering::Relaxed),
            waited: Duration::from_nanos(self.waited_ns.load(unmodelled::Ordering::Relaxed)),
        }
    }
}

impl Ticket {
    pub(crate) fn new(line: &Arc<Line>, quiet: Option<&Arc<Quiet>>) -> Arc<Ticket> {
        Arc::new(Ticket {
            job: AtomicRunnable::empty(),
            line: Arc::clone(line),
            since: crate::primitive::now(),
            awake: Mutex::new(quiet.map(Awake::new)),
        })
    }

    fn with_its(&self, job: Runnable) -> Taken {
        Taken { job, awake: self.awake.lock().take() }
    }

    fn take(&self) -> Option<Taken> {
        self.job.take().map(|job| self.with_its(job))
    }

    /// Takes the job out of the line, if it still is in there.
    fn withdraw(&self) -> Option<Taken> {
        let taken = self.take();
        let was_waiting = taken.is_some();
        #[cfg(filch_loom)] // A twin frees a place that the job has left already.
        let was_waiting = was_waiting || seeded("uncount-anyway");
        if was_waiting {
            self.line.counts.fetch_sub(1, Ordering::Relaxed);
        }
        taken
    }
}

impl extra::Line for Ticket {
    /// Ends a job that was asked to end, if it still waits.
    fn requested(&self, job: &TaskRef) {
        let Some(request) = job::request(job) else { return };
        if let Some(Taken { job, awake: _awake }) = self.withdraw() {
            // Unpolled, even if the request is taken back now: that comes too late.
            job.fail(|label| JoinError::cancelled(label, request));
        }
    }
}

#[cfg(all(filch_loom, not(filch_shuttle)))]
#[path = "../../../loom-tests/src/models/compute.rs"]
#[allow(missing_docs)]
pub mod models;
