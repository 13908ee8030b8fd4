//! The crews: each does one kind of thing, in rounds that come to an end on their own.

use std::future::Future;
use std::pin::Pin;

use fastrand::Rng;

use crate::world::Crew;

mod blocked;
mod cancel;
mod churn;
mod fds;
mod locals;
mod locks;
mod pools;
mod sockets;
mod storm;
mod timers;

type Round = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One in so many of them, at random.
fn chosen<'a, T>(items: &'a [T], rng: &mut Rng, one_in: u32) -> Vec<&'a T> {
    items.iter().filter(|_| rng.u32(0..one_in) == 0).collect()
}

/// How a round is run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Does {
    /// As a task of the long-lived runtime.
    Task(fn(Crew, Rng) -> Round),
    /// On a thread of its own, which belongs to no runtime.
    Thread(fn(&Crew, Rng)),
}

/// One kind of work.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// How many do it side by side.
    pub(crate) members: usize,
    pub(crate) does: Does,
}

macro_rules! task {
    ($round:path) => {
        Does::Task(|crew, rng| Box::pin($round(crew, rng)))
    };
}

pub(crate) const KINDS: &[Kind] = &[
    Kind {
        name: "storm",
        what: "spawns by the thousand: values, panics in futures, drops and wakers, aborts, cancels, every way to join",
        members: 4,
        does: task!(storm::round),
    },
    Kind {
        name: "cancel",
        what: "random trees of catches, shields, scopes, timeouts, groups, gathers, cancelled at random",
        members: 4,
        does: task!(cancel::round),
    },
    Kind {
        name: "timers",
        what: "sleeps and timeouts by the ten thousand, up to a hundred thousand at once; none may be early",
        members: 2,
        does: task!(timers::round),
    },
    Kind {
        name: "blocked",
        what: "polls that block for 1 to 200 ms, also inside block_in_place, also beside what waits behind them",
        members: 3,
        does: task!(blocked::round),
    },
    Kind {
        name: "pools",
        what: "spawn_blocking and spawn_compute: run, cancelled in the queue, panicking",
        members: 2,
        does: task!(pools::round),
    },
    Kind {
        name: "locals",
        what: "spawn_local: polled and dropped on one thread only",
        members: 2,
        does: task!(locals::round),
    },
    Kind {
        name: "tcp",
        what: "echo over TCP: whole, half-closed, reset, timed out, dropped in the middle",
        members: 2,
        does: task!(sockets::tcp),
    },
    Kind {
        name: "unix",
        what: "the same over Unix sockets",
        members: 2,
        does: task!(sockets::unix),
    },
    Kind {
        name: "fds",
        what: "AsyncFd: many waiters for one descriptor, dropped waits",
        members: 2,
        does: task!(fds::round),
    },
    Kind {
        name: "locks",
        what: "channels, locks, semaphores and events of other libraries, with waits that are cut short",
        members: 3,
        does: task!(locks::round),
    },
    Kind {
        name: "outside",
        what: "threads that belong to no runtime: spawn, join_timeout, cancel, block_on",
        members: 2,
        does: Does::Thread(storm::outside),
    },
    Kind {
        name: "churn",
        what: "short runtimes: busy, blocked, shut down, dropped, also by their own tasks, while others spawn on them",
        members: 3,
        does: Does::Thread(churn::round),
    },
];
