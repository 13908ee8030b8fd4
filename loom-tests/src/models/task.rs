//! The task's state word: who polls, who frees, and what each of them sees.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::Arc as Counted;
use loom::thread;

use crate::primitive::{AtomicUsize, Futex, Mutex, Ordering, UnsafeCell};
use crate::scheduler::live::{Left, LiveList};
use crate::task::cell::{self, Closed, Join, Listed, Place, Spawn};
use crate::task::extra::{self, Extra, Hold, Request};
use crate::task::{Ran, Runnable, Schedule, TaskRef};

/// Where woken tasks of a model go.
#[derive(Debug)]
pub(super) struct Desk {
    queue: Mutex<Vec<Runnable>>,
    list: LiveList,
}

#[derive(Debug)]
pub(super) enum OnDesk {}

impl Schedule for OnDesk {
    type Owner = Desk;

    fn schedule(owner: &'static Desk, task: Runnable) {
        owner.queue.lock().push(task);
    }

    fn track(owner: &'static Desk, task: Listed) -> Result<Place, (Closed, Listed)> {
        owner.list.insert(task).map(|slot| Place { slot, list: 0 })
    }

    fn untrack(owner: &'static Desk, place: Place) -> Listed {
        let (task, left) = owner.list.remove(place.slot);
        assert!(left == Left::Others, "MODEL: nobody has closed the list");
        task
    }
}

impl Desk {
    /// Made anew in each execution, for loom's objects live no longer. (An empty desk is all that
    /// leaks.)
    pub(super) fn new() -> &'static Desk {
        Box::leak(Box::new(Desk { queue: Mutex::new(Vec::new()), list: LiveList::default() }))
    }

    pub(super) fn spawn<F: Future>(&'static self, future: F) -> (Runnable, Join<F::Output>) {
        let new = Spawn {
            owner: self,
            site: std::panic::Location::caller(),
            home: None,
            extra: Some(Extra::named("model")),
        };
        cell::spawn::<OnDesk, F>(future, new)
    }

    pub(super) fn take(&self) -> Option<Runnable> {
        self.queue.lock().pop()
    }

    /// Runs everything there is to run.
    pub(super) fn drain(&self) {
        while let Some(task) = self.take() {
            run_on(task);
        }
    }
}

/// Polls until the task parks or ends.
pub(super) fn run_on(task: Runnable) {
    let mut next = Some(task);
    while let Some(task) = next {
        next = match task.run() {
            Ran::Again(task) => Some(task),
            Ran::Parked | Ran::Ended(_) => None,
        };
    }
}

/// The cell is freed with its last reference, and its name with it.
struct Freed(Arc<str>);

impl Freed {
    fn watch(task: &Runnable) -> Freed {
        Freed(task.header().label().name.expect("the tasks of models have names"))
    }

    fn check(self) {
        assert!(Arc::strong_count(&self.0) == 1, "MODEL: the cell was not freed");
    }
}

fn request() -> Request {
    Request { reason: None, place: std::panic::Location::caller() }
}

/// Each poll notes what it saw of two values. Pending until it saw both.
struct SeesBoth {
    values: Counted<[AtomicUsize; 2]>,
    seen: Counted<AtomicUsize>,
    polls: usize,
}

impl Future for SeesBoth {
    type Output = usize;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<usize> {
        self.polls += 1;
        let seen = self.values.iter().map(|value| value.load(Ordering::Relaxed)).sum();
        self.seen.store(seen, Ordering::Relaxed);
        if seen == 2 { Poll::Ready(self.polls) } else { Poll::Pending }
    }
}

/// Two wakers, each of which has written something before, and a poller. Whoever polls last sees
/// both; polls on different threads see each other's writes.
pub fn wake_wake_poll() {
    let desk = Desk::new();
    let values = Counted::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let seen = Counted::new(AtomicUsize::new(0));
    let future = SeesBoth { values: values.clone(), seen: seen.clone(), polls: 0 };
    let (task, handle) = desk.spawn(future);
    let freed = Freed::watch(&task);
    let (one, two) = (TaskRef::new(task.header()), TaskRef::new(task.header()));
    drop(handle);

    let poller = thread::spawn(move || run_on(task));
    let first = {
        let values = values.clone();
        thread::spawn(move || {
            values[0].store(1, Ordering::Relaxed);
            cell::wake(one.header());
        })
    };
    values[1].store(1, Ordering::Relaxed);
    cell::wake(two.header());
    drop(two);
    // Not synchronized with the poller, so what it wrote must come through the task.
    desk.drain();
    first.join().unwrap();
    desk.drain();
    poller.join().unwrap();
    desk.drain();
    let seen = seen.load(Ordering::Relaxed);
    assert!(seen == 2, "MODEL: the last poll missed what was written before a wake-up");
    freed.check();
}

/// The same with wakers that give their references away: the last one may free the cell.
pub fn wake_by_val_poll() {
    let desk = Desk::new();
    let values = Counted::new([AtomicUsize::new(0), AtomicUsize::new(1)]);
    let seen = Counted::new(AtomicUsize::new(0));
    let waker: Counted<Mutex<Option<Waker>>> = Counted::new(Mutex::new(None));
    /// Leaves its waker for the other thread, then is as `SeesBoth`.
    struct Leaves(Counted<Mutex<Option<Waker>>>, SeesBoth);
    impl Future for Leaves {
        type Output = usize;
        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<usize> {
            *self.0.lock() = Some(cx.waker().clone());
            Pin::new(&mut self.1).poll(cx)
        }
    }
    let inner = SeesBoth { values: values.clone(), seen: seen.clone(), polls: 0 };
    let (task, handle) = desk.spawn(Leaves(waker.clone(), inner));
    let freed = Freed::watch(&task);
    drop(handle);
    let poller = thread::spawn(move || run_on(task));
    values[0].store(1, Ordering::Relaxed);
    let left = waker.lock().take();
    let woken = left.is_some();
    if let Some(left) = left {
        left.wake();
    }
    desk.drain();
    poller.join().unwrap();
    desk.drain();
    if woken {
        assert!(
            seen.load(Ordering::Relaxed) == 2,
            "MODEL: the last poll missed what was written before a wake-up"
        );
    }
    drop(waker.lock().take());
    if !woken && seen.load(Ordering::Relaxed) != 2 {
        // It waits for a wake-up that this execution does not have.
        desk.list.for_each(|task| {
            task.request();
        });
        desk.drain();
    }
    freed.check();
}

/// A waker of another kind of thread: counts, and wakes a sleeper.
struct Bell(Futex);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(1, Ordering::Release);
        self.0.wake_one();
    }
}

impl Bell {
    fn wait(&self) {
        while self.0.load(Ordering::Acquire) == 0 {
            self.0.wait(0);
        }
        self.0.store(0, Ordering::Relaxed);
    }
}

/// Ready at once, with an output that shows whether it is handed over properly.
struct Gives(Option<Counted<UnsafeCell<usize>>>);

impl Future for Gives {
    type Output = Counted<UnsafeCell<usize>>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        let output = self.0.take().expect("polled once");
        // SAFETY: loom checks.
        output.with_mut(|value| unsafe { *value = 7 });
        Poll::Ready(output)
    }
}

/// Somebody awaits the task while it completes: the output arrives, with what was written to it,
/// and the waker rings if it must.
pub fn join_completion() {
    let desk = Desk::new();
    let (task, mut handle) = desk.spawn(Gives(Some(Counted::new(UnsafeCell::new(0)))));
    let freed = Freed::watch(&task);
    let runner = thread::spawn(move || run_on(task));
    let bell = Arc::new(Bell(Futex::new(0)));
    let waker = Waker::from(bell.clone());
    let output = loop {
        match handle.poll(&Context::from_waker(&waker)) {
            Poll::Ready(output) => break output.expect("MODEL: the task finished"),
            Poll::Pending => bell.wait(),
        }
    };
    // SAFETY: loom checks.
    let value = output.with(|value| unsafe { *value });
    assert!(value == 7, "MODEL: the joiner sees what the task wrote");
    drop(handle);
    runner.join().unwrap();
    drop(waker);
    assert!(Arc::strong_count(&bell) == 1, "MODEL: a waker was kept");
    freed.check();
}

/// The handle is polled twice, with different wakers, and then dropped, all while the task
/// completes: output and wakers are dropped once, by whoever has them.
pub fn join_drop_completion() {
    let desk = Desk::new();
    let (task, mut handle) = desk.spawn(Gives(Some(Counted::new(UnsafeCell::new(0)))));
    let freed = Freed::watch(&task);
    let runner = thread::spawn(move || run_on(task));
    let bells = [Arc::new(Bell(Futex::new(0))), Arc::new(Bell(Futex::new(0)))];
    let mut ready = false;
    for bell in &bells {
        let waker = Waker::from(bell.clone());
        ready = ready || handle.poll(&Context::from_waker(&waker)).is_ready();
    }
    drop(handle);
    runner.join().unwrap();
    for bell in bells {
        assert!(Arc::strong_count(&bell) == 1, "MODEL: a waker was kept");
    }
    freed.check();
}

/// Dropped unpolled while the task completes on another thread.
pub fn detach_completion() {
    let desk = Desk::new();
    let (task, handle) = desk.spawn(Gives(Some(Counted::new(UnsafeCell::new(0)))));
    let freed = Freed::watch(&task);
    let runner = thread::spawn(move || run_on(task));
    drop(handle);
    runner.join().unwrap();
    freed.check();
}

/// Waits for ever; its own data tells whether its end is ordered after its polls.
struct Waits(Counted<UnsafeCell<usize>>);

impl Future for Waits {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        // SAFETY: loom checks.
        self.0.with_mut(|value| unsafe { *value += 1 });
        Poll::Pending
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        // SAFETY: loom checks.
        self.0.with_mut(|value| unsafe { *value = 100 });
    }
}

/// An abort at any moment of a poll ends the task, and its future is gone before the joiner
/// hears of it.
pub fn abort_poll() {
    let desk = Desk::new();
    let data = Counted::new(UnsafeCell::new(0));
    let (task, mut handle) = desk.spawn(Waits(data.clone()));
    let freed = Freed::watch(&task);
    let poller = thread::spawn(move || run_on(task));
    assert!(extra::on_request(&handle.task(), request()), "MODEL: it has not ended yet");
    // The request makes either the poller or this thread end it.
    desk.drain();
    let bell = Arc::new(Bell(Futex::new(0)));
    let waker = Waker::from(bell.clone());
    let error = loop {
        match handle.poll(&Context::from_waker(&waker)) {
            Poll::Ready(output) => break output.expect_err("MODEL: it never finishes"),
            Poll::Pending => bell.wait(),
        }
    };
    assert!(error.is_cancelled() && error.place().is_some(), "MODEL: the request is told");
    // SAFETY: loom checks.
    let value = data.with(|value| unsafe { *value });
    assert!(value == 100, "MODEL: the future is dropped before the joiner hears of it");
    drop(handle);
    poller.join().unwrap();
    freed.check();
}

/// Two ask at the same time; one reason stays, and the rare fields are made once.
pub fn abort_abort() {
    let desk = Desk::new();
    let data = Counted::new(UnsafeCell::new(0));
    let new = Spawn { owner: desk, site: std::panic::Location::caller(), home: None, extra: None };
    let (task, mut handle) = cell::spawn::<OnDesk, _>(Waits(data), new);
    run_on(task);
    let other = handle.task();
    let canceller = thread::spawn(move || {
        extra::on_request(&other, request());
    });
    extra::on_request(&handle.task(), request());
    desk.drain();
    canceller.join().unwrap();
    desk.drain();
    let error = handle.try_take().expect("MODEL: it has ended").expect_err("MODEL: cancelled");
    assert!(error.place().is_some(), "MODEL: the request is told");
}

/// Ready at once.
struct Ends;

impl Future for Ends {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

/// Something holds the completion back and lets go at any moment: the joiner sees the end after
/// it, and does see it.
pub fn hold_completion() {
    let desk = Desk::new();
    let data = Counted::new(UnsafeCell::new(0));
    let (task, mut handle) = desk.spawn(Ends);
    let freed = Freed::watch(&task);
    let hold = Hold::new(TaskRef::new(task.header()));
    let holder = {
        let data = data.clone();
        thread::spawn(move || {
            // SAFETY: loom checks.
            data.with_mut(|value| unsafe { *value = 1 });
            drop(hold);
            desk.drain();
        })
    };
    run_on(task);
    let bell = Arc::new(Bell(Futex::new(0)));
    let waker = Waker::from(bell.clone());
    while handle.poll(&Context::from_waker(&waker)).is_pending() {
        bell.wait();
    }
    // SAFETY: loom checks.
    let value = data.with(|value| unsafe { *value });
    assert!(value == 1, "MODEL: the end comes after what held it back");
    drop(handle);
    holder.join().unwrap();
    freed.check();
}
