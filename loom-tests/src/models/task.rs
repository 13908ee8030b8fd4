//! The task's state word: who polls, who frees, and what each of them sees.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::Arc as Counted;
use loom::thread;

use crate::error::JoinError;
use crate::primitive::{AtomicUsize, Futex, Mutex, Ordering, UnsafeCell, seeded};
use crate::scheduler::live::{Left, LiveList};
use crate::task::cell::{self, Closed, Join, Listed, Place, Spawn};
use crate::task::extra::{self, Extra, Hold, Request};
use crate::task::pool::Boxed;
use crate::task::{Ran, Runnable, Schedule, TaskRef};

/// Where woken tasks of a model go.
#[derive(Debug)]
pub(crate) struct Desk {
    queue: Mutex<Vec<Runnable>>,
    list: LiveList,
    /// How often the last task left the list after it was closed.
    emptied: AtomicUsize,
}

#[derive(Debug)]
pub(crate) enum OnDesk {}

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
        if left == Left::ClosedAndEmpty {
            owner.emptied.fetch_add(1, Ordering::Relaxed);
        }
        task
    }

    fn later(_: &'static Desk, job: cell::Job) {
        job();
    }

    fn unhandled(_: &'static Desk, _: &JoinError) {}
}

impl Desk {
    /// Made anew in each execution, for loom's objects live no longer. (An empty desk is all that
    /// leaks.)
    pub(crate) fn new() -> &'static Desk {
        let (queue, emptied) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
        Box::leak(Box::new(Desk { queue, list: LiveList::default(), emptied }))
    }

    pub(crate) fn spawn<F: Future>(&'static self, future: F) -> (Runnable, Join<F::Output>) {
        self.spawn_with(future, Some(Extra::named("model")))
    }

    pub(crate) fn spawn_with<F: Future>(
        &'static self,
        future: F,
        extra: Option<Boxed<Extra>>,
    ) -> (Runnable, Join<F::Output>) {
        let site = std::panic::Location::caller();
        cell::spawn::<OnDesk, F>(future, Spawn { owner: self, site, home: None, extra })
    }

    fn take(&self) -> Option<Runnable> {
        self.queue.lock().pop()
    }

    /// Runs everything there is to run.
    pub(crate) fn drain(&self) {
        while let Some(task) = self.take() {
            run_on(task);
        }
    }
}

/// Polls until the task parks or ends.
pub(crate) fn run_on(task: Runnable) {
    let mut next = Some(task);
    while let Some(task) = next {
        next = match task.run_and_hand_over() {
            Ran::Again(task) => Some(task),
            Ran::Handed(joiner) => {
                joiner.schedule();
                None
            }
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

pub(super) fn request() -> Request {
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
    let (one, two) = (task.task(), task.task());
    drop(handle);

    let poller = thread::spawn(move || run_on(task));
    let first = {
        let values = values.clone();
        thread::spawn(move || {
            values[0].store(1, Ordering::Relaxed);
            one.wake();
        })
    };
    values[1].store(1, Ordering::Relaxed);
    two.wake();
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

/// A task is woken by the last waker there is; whoever polls it then frees it, while the waker's thread is on its way
/// back from there.
pub fn wake_by_val_free() {
    /// Leaves its waker, and ends when it is polled again.
    struct Once(Counted<Mutex<Option<Waker>>>, bool);
    impl Future for Once {
        type Output = ();
        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            if std::mem::replace(&mut self.1, true) {
                return Poll::Ready(());
            }
            *self.0.lock() = Some(cx.waker().clone());
            Poll::Pending
        }
    }
    let desk = Desk::new();
    let waker = Counted::new(Mutex::new(None));
    let (task, handle) = desk.spawn(Once(waker.clone(), false));
    let freed = Freed::watch(&task);
    drop(handle);
    run_on(task);
    let last = waker.lock().take().expect("MODEL: it has left a waker");
    let other = thread::spawn(move || last.wake());
    desk.drain();
    other.join().unwrap();
    desk.drain();
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
    let left = waker.lock().take();
    let woken = left.is_some();
    // After the lock, which must not be what carries it.
    values[0].store(1, Ordering::Relaxed);
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
            task.shut();
        });
        desk.drain();
    }
    freed.check();
}

/// The waker of a thread that sleeps. It says *that* something has happened, and hands nothing
/// over: what the sleeper must see has to come through the task.
#[derive(Debug)]
pub(crate) struct Bell(Futex);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(1, Ordering::Relaxed);
        self.0.wake_one();
    }
}

impl Bell {
    pub(crate) fn new() -> Arc<Bell> {
        Arc::new(Bell(Futex::new(0)))
    }

    pub(crate) fn wait(&self) {
        while self.0.load(Ordering::Relaxed) == 0 {
            self.0.wait(0);
        }
        self.0.store(0, Ordering::Relaxed);
    }

    /// Sleeps until the task has ended.
    pub(crate) fn join<T>(self: &Arc<Self>, handle: &mut Join<T>) -> Result<T, JoinError> {
        let waker = Waker::from(self.clone());
        loop {
            match handle.poll(&Context::from_waker(&waker)) {
                Poll::Ready(output) => return output,
                Poll::Pending => self.wait(),
            }
        }
    }

    /// Nobody has kept a waker.
    pub(crate) fn check(self: Arc<Self>) {
        assert!(Arc::strong_count(&self) == 1, "MODEL: a waker was kept");
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
    let bell = Bell::new();
    let output = bell.join(&mut handle).expect("MODEL: the task finished");
    // SAFETY: loom checks.
    let value = output.with(|value| unsafe { *value });
    assert!(value == 7, "MODEL: the joiner sees what the task wrote");
    drop(handle);
    runner.join().unwrap();
    bell.check();
    freed.check();
}

/// The handle is polled twice, with different wakers, and then dropped, all while the task
/// completes: output and wakers are dropped once, by whoever has them.
pub fn join_drop_completion() {
    let desk = Desk::new();
    let (task, mut handle) = desk.spawn(Gives(Some(Counted::new(UnsafeCell::new(0)))));
    let freed = Freed::watch(&task);
    let runner = thread::spawn(move || run_on(task));
    let bells = [Bell::new(), Bell::new()];
    let mut ready = false;
    for bell in &bells {
        let waker = Waker::from(bell.clone());
        ready = ready || handle.poll(&Context::from_waker(&waker)).is_ready();
    }
    drop(handle);
    runner.join().unwrap();
    for bell in bells {
        bell.check();
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
pub(crate) struct Waits(pub(crate) Counted<UnsafeCell<usize>>);

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
    assert!(
        extra::on_request(&handle.task(), request(), extra::Force::Cancel),
        "MODEL: it has not ended yet"
    );
    // The request makes either the poller or this thread end it.
    desk.drain();
    let error = Bell::new().join(&mut handle).expect_err("MODEL: it never finishes");
    assert!(error.is_cancelled() && error.place().is_some(), "MODEL: the request is told");
    drop(error);
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
    let (task, mut handle) = desk.spawn_with(Waits(data), None);
    run_on(task);
    let other = handle.task();
    let canceller = thread::spawn(move || {
        extra::on_request(&other, request(), extra::Force::Cancel);
    });
    extra::on_request(&handle.task(), request(), extra::Force::Cancel);
    desk.drain();
    canceller.join().unwrap();
    desk.drain();
    let error = handle.try_take().expect("MODEL: it has ended").expect_err("MODEL: cancelled");
    assert!(error.place().is_some(), "MODEL: the request is told");
}

/// Asks for the rare fields of its own task when it is polled, and ends.
struct Holds(Counted<UnsafeCell<Option<TaskRef>>>);

impl Future for Holds {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        // SAFETY: loom checks.
        let own = self.0.with_mut(|own| unsafe { (*own).take() });
        drop(Hold::new(own.expect("MODEL: polled once")));
        Poll::Ready(())
    }
}

/// The rare fields are made by a canceller or by the task itself, whoever is first, and both use
/// them. The task ends in any case.
pub fn abort_extra() {
    let desk = Desk::new();
    let own = Counted::new(UnsafeCell::new(None));
    let (task, mut handle) = desk.spawn_with(Holds(own.clone()), None);
    // SAFETY: loom checks.
    own.with_mut(|own| unsafe { *own = Some(handle.task()) });
    let runner = thread::spawn(move || run_on(task));
    extra::on_request(&handle.task(), request(), extra::Force::Cancel);
    runner.join().unwrap();
    assert!(handle.try_take().is_some(), "MODEL: it has ended");
}

/// Waits for ever. When it is dropped it must see what was written before it was asked to end.
struct ReadsAtEnd(Counted<UnsafeCell<usize>>, Waits);

impl Future for ReadsAtEnd {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.1).poll(cx)
    }
}

impl Drop for ReadsAtEnd {
    fn drop(&mut self) {
        // SAFETY: loom checks.
        let value = self.0.with(|value| unsafe { *value });
        assert!(value == 5, "MODEL: the end comes after what was written before the request");
    }
}

/// A request without a reason, as a runtime makes it that shuts down: no lock carries anything.
pub fn request_poll() {
    let desk = Desk::new();
    let note = Counted::new(UnsafeCell::new(0));
    let own = Counted::new(UnsafeCell::new(0));
    let (task, mut handle) = desk.spawn_with(ReadsAtEnd(note.clone(), Waits(own)), None);
    let poller = thread::spawn(move || run_on(task));
    // SAFETY: loom checks.
    note.with_mut(|note| unsafe { *note = 5 });
    let asker = handle.task();
    assert!(asker.shut(), "MODEL: it has not ended yet");
    // If the task was idle it is this thread's now. (The reference is dropped only then: the drop
    // would synchronize, too.)
    desk.drain();
    drop(asker);
    poller.join().unwrap();
    assert!(handle.try_take().is_some(), "MODEL: it has ended");
}

/// Something holds the completion back and lets go at any moment: the joiner sees the end after
/// it, and does see it.
pub fn hold_completion() {
    let desk = Desk::new();
    let data = Counted::new(UnsafeCell::new(0));
    let (task, mut handle) = desk.spawn(Gives(Some(Counted::new(UnsafeCell::new(0)))));
    let freed = Freed::watch(&task);
    let hold = Hold::new(task.task());
    let holder = {
        let data = data.clone();
        thread::spawn(move || {
            // SAFETY: loom checks.
            data.with_mut(|value| unsafe { *value = 1 });
            drop(hold);
            desk.drain();
        })
    };
    let runner = thread::spawn(move || run_on(task));
    let output = Bell::new().join(&mut handle).expect("MODEL: the task finished");
    // SAFETY: loom checks.
    let (first, second) = unsafe { (output.with(|value| *value), data.with(|value| *value)) };
    assert!(first == 7, "MODEL: the joiner sees what the task wrote");
    assert!(second == 1, "MODEL: the end comes after what held it back");
    drop((handle, output));
    runner.join().unwrap();
    holder.join().unwrap();
    freed.check();
}

/// Nobody waits for the output, so whoever publishes the end drops it: perhaps the thread that
/// held it back.
pub fn hold_detached() {
    let desk = Desk::new();
    let (task, handle) = desk.spawn(Gives(Some(Counted::new(UnsafeCell::new(0)))));
    drop(handle);
    let freed = Freed::watch(&task);
    let hold = Hold::new(task.task());
    let runner = thread::spawn(move || run_on(task));
    drop(hold);
    desk.drain();
    runner.join().unwrap();
    freed.check();
}

/// A task parks for the first time while the list of live tasks is closed: it is either listed, and
/// asked to end, or refused, and ends itself. None is overlooked.
pub fn close_track() {
    let desk = Desk::new();
    let (task, mut handle) = desk.spawn_with(Waits(Counted::new(UnsafeCell::new(0))), None);
    let runner = thread::spawn(move || run_on(task));
    let ask = || {
        desk.list.for_each(|task| {
            task.shut();
        });
    };
    if seeded("ask-before-closing") {
        ask();
    }
    desk.list.close();
    let listed = !desk.list.is_empty();
    if !seeded("ask-before-closing") {
        ask();
    }
    desk.drain();
    runner.join().unwrap();
    let end = handle.try_take().expect("MODEL: a task was overlooked");
    assert!(end.is_err_and(|error| error.is_cancelled()), "MODEL: it was shut down");
    assert!(desk.list.is_empty(), "MODEL: who has ended is not listed");
    let emptied = desk.emptied.load(Ordering::Relaxed);
    assert!(emptied == usize::from(listed), "MODEL: the last to leave says so, once");
}
