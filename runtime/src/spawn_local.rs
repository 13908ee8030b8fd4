//! Tasks that stay on one thread: their futures need not be `Send`.
//!
//! What crosses threads is a closure that makes the future. Its worker, the task's *home*, calls it at
//! the first poll; from then on the task is *started*, and nobody else may touch its future, not
//! even to drop it. (A thread-bound handle, asyncio's loop or tokio's `LocalSet`, would make the same
//! promise by refusing calls from elsewhere. With the closure there is nothing to refuse: any
//! thread may start a local task.)
//!
//! # Why no started future is polled or dropped abroad
//!
//! *Who touches a future.* Only the holder of its [`Runnable`](crate::task::Runnable) polls it or drops
//! it (rule 2 of `task/cell.rs`). Wakers, handles and lists look at the header, and free memory when the
//! future is gone; what they may drop is the output, which is `Send`.
//!
//! *Where its `Runnable` goes.* There is one at a time, made by a spawn, a wake-up, or a request to
//! end. All three call `schedule`, which asks for the home before anything else and pushes it to the
//! home's inbox; so it never comes near a deque, a slot, an injector, or what the timer brings, where
//! others take from. A task woken during its own poll is held by its home, which pushes it
//! to its own inbox (`push_again`). From an inbox only its worker takes, into a chain of its
//! own. It polls what it takes, or, once the runtime is closing, drops it: both at home.
//!
//! *The one way abroad* is an inbox that is closed: it refuses the `Runnable`, and whoever brought it
//! drops it there. Two close an inbox: the worker itself, when it leaves, and the last worker to
//! leave, for all (`seal`), which only matters for workers that never came to be. What an
//! inbox holds at that moment, or refuses later, has never been started:
//!
//! - A started task that has not ended is in its home's hands, or in its home's list of live tasks: it
//!   enters that list in its first poll, before anybody else can get hold of a `Runnable`
//!   again, and leaves it when its future is gone (`publish_now`).
//! - A worker leaves with nothing in its hands, and only if all lists are empty, its own among
//!   them. Tasks at home there enter and leave that list by its own hand alone, so nothing changes
//!   behind its back. When it leaves, none of its tasks is both started and unfinished.
//! - Afterwards none is started any more: only the home does that.
//!
//! What is not started is the closure, which is `Send` and may be dropped by anybody. So a local task
//! spawned while the runtime ends gives a cancelled handle, like any other: dropped by the spawner, if
//! it saw the runtime closing or found the inbox closed, else by its home, or at the latest by the
//! last worker to leave.
//!
//! *A worker's thread* ends by leaving only. A panic in a task ends in the task; one outside of tasks ends
//! the process. A worker that is found stuck may be helped by others, but never with its inbox.
//!
//! In debug builds each started future carries the number of its thread, and every poll and drop
//! checks it. The races are modelled in `loom-tests/src/models/local.rs`.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::context;
use crate::scheduler::{OnWorkers, Scheduler};
use crate::spawn::{Start, start};
use crate::task::{JoinHandle, cell, local};

/// Starts a task whose future stays on one thread, and so need not be `Send`: it may hold an `Rc`, a
/// `RefCell` borrowed across an await, or something that the system ties to a thread.
///
/// The closure is sent to a worker and called there, at the task's first poll; the future it makes
/// is polled and dropped on that thread and no other. On a worker that is the same worker; on any
/// other thread the workers take turns. Only what goes in (the closure) and what comes out (the
/// output) must be `Send`. Everything else is as with [`spawn`](fn@crate::spawn): it can be called
/// anywhere, awaited anywhere, woken and [aborted](JoinHandle::abort) from anywhere.
///
/// The price is that nobody can help: while its worker is busy in a long poll, a local task waits,
/// though others may be idle.
///
/// # Panics
///
/// Outside a runtime; and in a process that was forked after the runtime was made.
///
/// ```
/// use std::cell::RefCell;
/// use std::rc::Rc;
///
/// let sum = filch::run(async {
///     let numbers = vec![1, 2, 3];
///     let task = filch::spawn_local(move || async move {
///         let sum = Rc::new(RefCell::new(0));
///         for number in numbers {
///             *sum.borrow_mut() += number;
///             filch::yield_now().await; // the `Rc` lives across this
///         }
///         sum.take()
///     });
///     task.await.unwrap()
/// });
/// assert_eq!(sum, 6);
/// ```
///
/// A future that is not `Send` does not come in from outside, it is made inside:
///
/// ```compile_fail
/// let shared = std::rc::Rc::new(1);
/// filch::run(async {
///     let _ = filch::spawn_local(move || async move { *shared }); // error: `Rc` cannot be sent
/// });
/// ```
#[doc(alias = "LocalSet")]
#[doc(alias = "create_task")]
#[track_caller]
pub fn spawn_local<F, Fut>(f: F) -> JoinHandle<Fut::Output>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future + 'static,
    Fut::Output: Send + 'static,
{
    match context::scheduler() {
        Some(scheduler) => spawn_local_on(scheduler, f),
        None => context::none("filch::spawn_local"),
    }
}

#[track_caller]
pub(crate) fn spawn_local_on<F, Fut>(scheduler: &'static Scheduler, f: F) -> JoinHandle<Fut::Output>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future + 'static,
    Fut::Output: Send + 'static,
{
    scheduler.assert_same_process();
    let (site, home) = (Location::caller(), Some(scheduler.choose_home()));
    let new = cell::Spawn { owner: scheduler, site, home, extra: local::inherited(None) };
    let (task, join) = cell::spawn::<OnWorkers, _>(Local::Closure { make: Some(f) }, new);
    // (If the runtime is closing it is dropped here: it was not started, so anybody may do that.)
    start(scheduler, task, Start::Queued);
    JoinHandle::new(join)
}

pin_project! {
    /// First the closure, then the future.
    #[project = Stage]
    enum Local<F, Fut> {
        /// `None`: it was called, and panicked.
        Closure { make: Option<F> },
        Started { #[pin] future: Fut, at_home: AtHome },
    }
}

impl<F: FnOnce() -> Fut, Fut: Future> Future for Local<F, Fut> {
    type Output = Fut::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Fut::Output> {
        if let Stage::Closure { make } = self.as_mut().project() {
            let make = make.take().expect("a future that panicked is not polled again");
            let future = make();
            self.set(Local::Started { future, at_home: AtHome::here() });
        }
        match self.project() {
            Stage::Started { future, at_home } => {
                at_home.check();
                future.poll(cx)
            }
            Stage::Closure { .. } => unreachable!("it was started above"),
        }
    }
}

impl<F, Fut> fmt::Debug for Local<F, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Local")
    }
}

/// Which thread a started future belongs to, where debug assertions are on; else nothing.
#[derive(Debug)]
struct AtHome {
    #[cfg(debug_assertions)]
    thread: crate::primitive::thread::ThreadId,
}

impl AtHome {
    fn here() -> AtHome {
        AtHome {
            #[cfg(debug_assertions)]
            thread: crate::primitive::thread::current().id(),
        }
    }

    fn check(&self) {
        #[cfg(debug_assertions)]
        if self.thread != crate::primitive::thread::current().id() {
            // Not a panic: what comes next would be undefined behaviour.
            eprintln!("filch: a local future was touched on a foreign thread; the process ends");
            std::process::abort();
        }
    }
}

impl Drop for AtHome {
    fn drop(&mut self) {
        self.check();
    }
}
