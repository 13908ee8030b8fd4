//! Requests to parts of a task: none is lost between a poll, a park, a token and whoever asks.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use loom::sync::Arc as Counted;
use loom::thread;

use super::task::{Bell, Desk, Waits, request, run_on};
use crate::cancel::{CancelScope, Cancelled, catch_cancel};
use crate::primitive::{AtomicUsize, Mutex, Ordering, UnsafeCell};
use crate::task::cell::Join;
use crate::task::extra::{self, Force, Watch, Watched};
use crate::task::{Ending, TaskRef};

/// Asks the task of a handle to end.
pub(crate) fn cancel<T>(handle: &Join<T>) {
    let asked = extra::on_request(&handle.task(), request(), Force::Cancel);
    assert!(asked, "MODEL: it has not ended yet");
}

/// The task has ended because it was asked to.
pub(crate) fn check_cancelled<T>(handle: &mut Join<T>) {
    let Some(end) = handle.try_take() else { panic!("MODEL: the request was lost") };
    let Err(error) = end else { panic!("MODEL: it never finishes") };
    assert!(error.is_cancelled() && error.place().is_some(), "MODEL: the request is told");
}

/// Whatever moment of a poll the request comes at: the catch inside gets it, once, and what it does
/// then comes before the joiner hears of the end.
pub fn catch_poll() {
    let desk = Desk::new();
    let note = Counted::new(UnsafeCell::new(0));
    let caught = Counted::new(AtomicUsize::new(0));
    let (cleanup, count) = (note.clone(), caught.clone());
    let (task, mut handle) = desk.spawn(async move {
        let own = Counted::new(UnsafeCell::new(0));
        let result = catch_cancel(Waits(own)).await;
        count.fetch_add(1, Ordering::Relaxed);
        // SAFETY: loom checks.
        cleanup.with_mut(|note| unsafe { *note = 5 });
        result
    });
    let poller = thread::spawn(move || run_on(task));
    cancel(&handle);
    desk.drain();
    let error = Bell::new().join(&mut handle).expect_err("MODEL: it never finishes");
    assert!(error.is_cancelled(), "MODEL: a token that rides out is no value");
    // SAFETY: loom checks.
    let value = note.with(|note| unsafe { *note });
    let times = caught.load(Ordering::Relaxed);
    // (Before its first poll there is no catch that could hear of it.)
    assert!((value == 5) == (times == 1) && times <= 1, "MODEL: the catch hears of it once");
    poller.join().unwrap();
}

/// The same for a task that waits in the catch already: now it must hear of it.
pub fn catch_parked() {
    let desk = Desk::new();
    let caught = Counted::new(AtomicUsize::new(0));
    let count = caught.clone();
    let (task, mut handle) = desk.spawn(async move {
        let result = catch_cancel(pending::<()>()).await;
        count.fetch_add(1, Ordering::Relaxed);
        result
    });
    let waker = handle.task();
    run_on(task);
    // Woken for no reason, it is polled while the request is made.
    let poller = thread::spawn(move || {
        waker.wake();
        desk.drain();
    });
    cancel(&handle);
    desk.drain();
    poller.join().unwrap();
    desk.drain();
    assert!(caught.load(Ordering::Relaxed) == 1, "MODEL: the catch hears of it once");
    check_cancelled(&mut handle);
}

/// A token is given away and dropped on another thread while its task parks: the request goes on
/// from there.
pub fn drop_token_park() {
    let desk = Desk::new();
    let slot: Counted<Mutex<Option<Cancelled>>> = Counted::new(Mutex::new(None));
    let give = slot.clone();
    let (task, mut handle) = desk.spawn(async move {
        let token = catch_cancel(pending::<()>()).await.unwrap_err();
        *give.lock() = Some(token);
        pending::<()>().await;
    });
    run_on(task);
    cancel(&handle);
    let dropper = {
        let slot = slot.clone();
        thread::spawn(move || {
            let token = slot.lock().take();
            drop(token);
            desk.drain();
        })
    };
    desk.drain();
    dropper.join().unwrap();
    desk.drain();
    let late = slot.lock().take();
    drop(late);
    desk.drain();
    check_cancelled(&mut handle);
}

/// Two tokens of one request, dropped at the same time by two threads while the task is polled.
pub fn drop_tokens_poll() {
    let desk = Desk::new();
    let slots: Counted<[Mutex<Option<Cancelled>>; 2]> =
        Counted::new([Mutex::new(None), Mutex::new(None)]);
    let give = slots.clone();
    let (task, mut handle) = desk.spawn(async move {
        let one = std::pin::pin!(catch_cancel(pending::<()>()));
        let two = std::pin::pin!(catch_cancel(pending::<()>()));
        let (one, two) = Both(one, two, None).await;
        *give[0].lock() = one.err();
        *give[1].lock() = two.err();
        pending::<()>().await;
    });
    run_on(task);
    cancel(&handle);
    desk.drain();
    let waker = handle.task();
    let dropper = {
        let slots = slots.clone();
        thread::spawn(move || {
            let token = slots[0].lock().take();
            drop(token);
            desk.drain();
        })
    };
    let token = slots[1].lock().take();
    drop(token);
    waker.wake();
    desk.drain();
    dropper.join().unwrap();
    desk.drain();
    check_cancelled(&mut handle);
}

/// Polls both, and gives both outputs once the second is there (the first is then, too).
struct Both<A, B, T>(A, B, Option<T>);

impl<A: Unpin, B: Unpin, T> Unpin for Both<A, B, T> {}

impl<T, A, B> Future for Both<A, B, T>
where
    A: Future<Output = T> + Unpin,
    B: Future<Output = T> + Unpin,
{
    type Output = (T, T);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<(T, T)> {
        if self.2.is_none() {
            if let Poll::Ready(output) = Pin::new(&mut self.0).poll(cx) {
                self.2 = Some(output);
            }
        }
        match Pin::new(&mut self.1).poll(cx) {
            Poll::Ready(second) => {
                Poll::Ready((self.2.take().expect("MODEL: both have fired"), second))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

/// A scope in a task, and the task itself, are cancelled at the same time: it ends for the outer
/// request, whether the inner one was told or not.
pub fn cancel_inner_outer() {
    let desk = Desk::new();
    let scope = CancelScope::new();
    let inside = scope.clone();
    let reports = Counted::new(AtomicUsize::new(0));
    let count = reports.clone();
    let (task, mut handle) = desk.spawn(async move {
        let result = inside.run(pending::<()>()).await;
        assert!(result.is_err(), "MODEL: it never finishes");
        count.fetch_add(1, Ordering::Relaxed);
        pending::<()>().await;
    });
    run_on(task);
    let asker = thread::spawn(move || {
        scope.cancel();
        desk.drain();
    });
    cancel(&handle);
    desk.drain();
    asker.join().unwrap();
    desk.drain();
    check_cancelled(&mut handle);
    assert!(reports.load(Ordering::Relaxed) <= 1, "MODEL: it is told once");
}

/// A request is taken back while it is being delivered: the task either goes on or was cancelled
/// for that very request, and is not stuck.
pub fn uncancel_deliver() {
    let desk = Desk::new();
    let flag = Counted::new(AtomicUsize::new(0));
    let seen = flag.clone();
    let (task, mut handle) = desk.spawn(async move {
        std::future::poll_fn(|_| match seen.load(Ordering::Relaxed) {
            0 => Poll::Pending,
            _ => Poll::Ready(()),
        })
        .await;
    });
    run_on(task);
    cancel(&handle);
    let poller = thread::spawn(move || desk.drain());
    let other = handle.task();
    let left = other.header().extra_or_new().tree().withdraw(crate::task::tree::NodeId::ROOT);
    assert!(left == 0, "MODEL: there was one request");
    flag.store(1, Ordering::Relaxed);
    other.wake();
    desk.drain();
    poller.join().unwrap();
    desk.drain();
    match handle.try_take() {
        Some(Ok(())) => {}
        Some(Err(error)) => {
            assert!(error.is_cancelled() && error.place().is_some(), "MODEL: the request is told");
        }
        None => panic!("MODEL: the task is stuck"),
    }
}

/// Rings when the task has ended.
struct Rings(Waker, AtomicUsize);

impl Watch for Rings {
    fn ended(&self, task: &TaskRef, key: usize, ending: Ending) {
        // (A panic in here is contained: then nobody rings.)
        assert!(key == 3 && ending == Ending::Finished, "EXPECTED: it is told what has ended");
        assert!(task.header().state().is_complete(), "EXPECTED: the end is seen by then");
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.wake_by_ref();
    }
}

/// Ready at once.
struct Writes(Counted<UnsafeCell<usize>>);

impl Future for Writes {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        // SAFETY: loom checks.
        self.0.with_mut(|value| unsafe { *value = 7 });
        Poll::Ready(())
    }
}

/// Somebody begins to watch a task that completes: told, once, or answered that it has ended. Either
/// way what the task wrote is visible then.
pub fn watch_completion() {
    let desk = Desk::new();
    let data = Counted::new(UnsafeCell::new(0));
    // (Without the rare fields: the completer must see those that the watcher makes.)
    let (task, handle) = desk.spawn_with(Writes(data.clone()), None);
    let watched = handle.task();
    let runner = thread::spawn(move || run_on(task));
    let bell = Bell::new();
    let rings = Arc::new(Rings(Waker::from(bell.clone()), AtomicUsize::new(0)));
    let answer = extra::watch(&watched, rings.clone(), 3);
    let waits = matches!(answer, Watched::Waiting(_));
    match answer {
        Watched::Waiting(_) => {
            bell.wait();
        }
        Watched::Ended => {
            // SAFETY: loom checks.
            let value = data.with(|value| unsafe { *value });
            assert!(value == 7, "MODEL: what the task wrote is seen");
        }
    }
    runner.join().unwrap();
    let told = rings.1.load(Ordering::Relaxed);
    assert!(told == usize::from(waits), "MODEL: it is told once, or answered");
}

/// A watcher is taken back while the task completes: it is told, or gone.
pub fn unwatch_completion() {
    let desk = Desk::new();
    let data = Counted::new(UnsafeCell::new(0));
    let (task, handle) = desk.spawn(Writes(data));
    let watched = handle.task();
    let bell = Bell::new();
    let rings = Arc::new(Rings(Waker::from(bell.clone()), AtomicUsize::new(0)));
    let Watched::Waiting(id) = extra::watch(&watched, rings.clone(), 3) else {
        panic!("MODEL: it has not begun");
    };
    let runner = thread::spawn(move || run_on(task));
    let gone = extra::unwatch(&watched, id);
    runner.join().unwrap();
    let told = rings.1.load(Ordering::Relaxed);
    assert!(told == usize::from(!gone), "MODEL: it is told, or gone");
    assert!(Arc::strong_count(&rings) == 1, "MODEL: the watcher was kept");
}
