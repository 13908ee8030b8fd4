//! What scenarios are made of: an account of what they start, and something to wait for.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use shuttle::rand::{Rng, thread_rng};

use crate::filch::{Builder, Handle, Runtime};

/// A number below `limit`, as the schedule says.
pub(crate) fn any(limit: usize) -> usize {
    thread_rng().gen_range(0..limit)
}

/// A runtime whose time passes when all rest. It has no monitor, so that nobody repairs what was lost.
pub(crate) fn runtime(workers: usize) -> Runtime {
    builder(workers).manual_clock(true).build().unwrap()
}

/// A runtime with the explorer's time, a timer thread and a monitor.
pub(crate) fn watched(workers: usize) -> Runtime {
    builder(workers).build().unwrap()
}

pub(crate) fn builder(workers: usize) -> Builder {
    Runtime::builder().worker_threads(workers).compute_threads(1)
}

/// What was started, and what became of it. (std's atomics: to look into the books is no step of the schedule.)
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Books>);

#[derive(Default)]
struct Books {
    created: AtomicUsize,
    finished: AtomicUsize,
    panicked: AtomicUsize,
    dropped: AtomicUsize,
}

impl Ledger {
    pub(crate) fn new() -> Ledger {
        Ledger::default()
    }

    /// The future, entered.
    pub(crate) fn enter<F: Future>(&self, future: F) -> Entered<F> {
        self.0.created.fetch_add(1, Ordering::Relaxed);
        Entered { books: Arc::clone(&self.0), state: State::default(), future: Box::pin(future) }
    }

    pub(crate) fn created(&self) -> usize {
        self.0.created.load(Ordering::Relaxed)
    }

    pub(crate) fn finished(&self) -> usize {
        self.0.finished.load(Ordering::Relaxed)
    }

    pub(crate) fn panicked(&self) -> usize {
        self.0.panicked.load(Ordering::Relaxed)
    }

    /// Everything has ended, and nothing of it is left.
    pub(crate) fn assert_over(&self) {
        let dropped = self.0.dropped.load(Ordering::Relaxed);
        assert_eq!(dropped, self.created(), "a future outlives its runtime");
    }

    /// What workers say of the tasks is what the ledger says.
    pub(crate) fn assert_agrees(&self, handle: &Handle) {
        let total = handle.metrics().total;
        assert_eq!(total.finished, self.finished() as u64, "finished");
        assert_eq!(total.panicked, self.panicked() as u64, "panicked");
        let ended = total.finished + total.cancelled + total.panicked;
        assert_eq!(ended, self.created() as u64, "of all tasks");
        assert_eq!(handle.metrics().alive, 0, "alive");
        assert_eq!(handle.tasks().len(), 0, "listed");
    }
}

/// A future whose life is written down, and that minds being polled at the wrong time.
pub(crate) struct Entered<F: Future> {
    books: Arc<Books>,
    state: State,
    future: Pin<Box<F>>,
}

#[derive(Default)]
struct State {
    is_polled: AtomicBool,
    has_ended: AtomicBool,
}

impl<F: Future> Future for Entered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        /// Also if it panics.
        struct Polled<'a>(&'a State, &'a Books, bool);
        impl Drop for Polled<'_> {
            fn drop(&mut self) {
                self.0.is_polled.store(false, Ordering::Relaxed);
                if !self.2 {
                    self.0.has_ended.store(true, Ordering::Relaxed);
                    self.1.panicked.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        let this = &mut *self;
        let (state, books) = (&this.state, &*this.books);
        assert!(!state.is_polled.swap(true, Ordering::Relaxed), "polled by two at a time");
        assert!(!state.has_ended.load(Ordering::Relaxed), "polled after its end");
        let mut polled = Polled(state, books, false);
        let poll = this.future.as_mut().poll(cx);
        polled.2 = true;
        if poll.is_ready() {
            state.has_ended.store(true, Ordering::Relaxed);
            books.finished.fetch_add(1, Ordering::Relaxed);
        }
        poll
    }
}

impl<F: Future> Drop for Entered<F> {
    fn drop(&mut self) {
        assert!(!self.state.is_polled.load(Ordering::Relaxed), "dropped while it is polled");
        self.books.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// Opens once; whoever waits for it goes on.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    is_open: bool,
    wakers: Vec<Waker>,
}

impl Gate {
    pub(crate) fn new() -> Gate {
        Gate::default()
    }

    pub(crate) fn open(&self) {
        let wakers = {
            let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            inner.is_open = true;
            std::mem::take(&mut inner.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        // (Cloned outside: a step of the schedule under a lock of std's would stop everybody.)
        let waker = cx.waker().clone();
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.is_open {
            drop(inner);
            return Poll::Ready(());
        }
        let old = std::mem::replace(&mut inner.wakers, vec![waker]);
        let (mine, others): (Vec<_>, Vec<_>) =
            old.into_iter().partition(|old| old.will_wake(cx.waker()));
        inner.wakers.extend(others);
        drop(inner);
        drop(mine);
        Poll::Pending
    }

    pub(crate) async fn passed(&self) {
        std::future::poll_fn(|cx| self.poll(cx)).await;
    }
}
