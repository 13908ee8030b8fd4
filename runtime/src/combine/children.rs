//! Several tasks, watched together: each end is noted with its number, and wakes the waiter once.
//!
//! So a thousand tasks cost a thousand notes, and not a poll of each handle for each wake-up.

use std::panic::Location;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::cancel::{Cancelled, Entered, Passed, Place, cancel_all, end_with_current};
use crate::context;
use crate::error::JoinError;
use crate::primitive::Mutex;
use crate::spawn::{self, Start};
use crate::task::cell::Waits;
use crate::task::extra::{self, Extra, Request, Watch, WatchId, Watched};
use crate::task::polling;
use crate::task::pool::Boxed;
use crate::task::tree::Kind;
use crate::task::{Ending, JoinHandle, TaskRef, WakerSlot};

/// The numbers of tasks that have ended, in that order.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    numbers: Mutex<std::collections::VecDeque<usize>>,
    waker: WakerSlot,
}

impl Watch for Ends {
    fn ended(&self, _: &TaskRef, number: usize, _: Ending) {
        self.note(number);
        self.waker.wake();
    }
}

impl Ends {
    /// Notes the end of this task under this number. `None`: it has ended, and is noted already.
    pub(crate) fn watch(self: &Arc<Ends>, task: &TaskRef, number: usize) -> Option<WatchId> {
        match extra::watch(task, Arc::clone(self) as Arc<dyn Watch>, number) {
            Watched::Waiting(id) => Some(id),
            Watched::Ended => {
                self.note(number);
                None
            }
        }
    }

    fn note(&self, number: usize) {
        self.numbers.lock().push_back(number);
    }

    /// The next one; if there is none, `waker` is woken by it.
    pub(crate) fn next(&self, waker: &Waker) -> Option<usize> {
        let number = self.numbers.lock().pop_front();
        number.or_else(|| {
            self.waker.register(waker);
            self.numbers.lock().pop_front()
        })
    }
}

/// Handles that are watched, each under its number. Dropped, the tasks run on.
#[derive(Debug)]
pub(crate) struct Watching<T> {
    handles: Vec<Option<(JoinHandle<T>, Option<WatchId>)>>,
    left: usize,
    ends: Arc<Ends>,
}

impl<T> Watching<T> {
    pub(crate) fn new(handles: impl IntoIterator<Item = JoinHandle<T>>) -> Watching<T> {
        let ends = Arc::<Ends>::default();
        let watch = |(number, handle): (usize, JoinHandle<T>)| {
            let id = ends.watch(&handle.task_ref(), number);
            Some((handle, id))
        };
        let handles: Vec<_> = handles.into_iter().enumerate().map(watch).collect();
        Watching { left: handles.len(), handles, ends }
    }

    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// The handle of the next task that has ended; `None` when there is no further one.
    pub(crate) fn poll_ended(&mut self, cx: &Context<'_>) -> Poll<Option<(usize, JoinHandle<T>)>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        match self.ends.next(cx.waker()) {
            Some(number) => {
                let (handle, _) = self.handles[number].take().expect("a task ends once");
                self.left -= 1;
                Poll::Ready(Some((number, handle)))
            }
            None => Poll::Pending,
        }
    }

    fn tasks(&self) -> Vec<TaskRef> {
        let handles = self.handles.iter().flatten();
        handles.map(|(handle, _)| handle.task_ref()).collect()
    }

    /// The handles of those that were not given out, in order; nobody watches them any more.
    pub(crate) fn into_pending(mut self) -> Vec<JoinHandle<T>> {
        self.unwatch();
        std::mem::take(&mut self.handles).into_iter().flatten().map(|(handle, _)| handle).collect()
    }

    /// Long-lived tasks must not collect the watchers of those who waited for them in vain.
    fn unwatch(&mut self) {
        for (handle, id) in self.handles.iter_mut().flatten() {
            if let Some(id) = id.take() {
                extra::unwatch(&handle.task_ref(), id);
            }
        }
    }
}

impl<T> Drop for Watching<T> {
    fn drop(&mut self) {
        self.unwatch();
    }
}

/// Tasks that a future has started and answers for: it cancels them when it is cancelled or dropped,
/// and waits until they have ended.
#[derive(Debug)]
pub(crate) struct Children<T> {
    watching: Watching<T>,
    outer: Place,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Running,
    /// A request is kept until all have ended.
    Caught(Cancelled),
    Passed(Passed),
    /// Nobody is answered for any more.
    Over,
}

/// What a future does about its children.
#[derive(Debug)]
pub(crate) enum Next<T> {
    /// This one has ended.
    Ended(usize, Result<T, JoinError>),
    /// All have.
    AllEnded,
}

/// Starts a task that is watched from the start.
pub(crate) fn spawn_child<F>(
    future: F,
    site: &'static Location<'static>,
    ends: &Arc<Ends>,
    number: usize,
) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let Some(scheduler) = context::scheduler() else { context::none("gather") };
    let mut extra = Boxed::<Extra>::default();
    extra.watch_from_start(Arc::clone(ends) as Arc<dyn Watch>, number);
    let (task, handle) = spawn::prepare(scheduler, site, future, Some(extra));
    spawn::start(scheduler, task, Start::Queued);
    handle
}

impl<T> Children<T> {
    /// `spawn` starts them, each with [`spawn_child`].
    pub(crate) fn new(
        site: &'static Location<'static>,
        spawn: impl FnOnce(&Arc<Ends>) -> Vec<JoinHandle<T>>,
    ) -> Children<T> {
        let ends = Arc::<Ends>::default();
        let handles = spawn(&ends).into_iter().map(|handle| Some((handle, None)));
        let handles: Vec<_> = handles.collect();
        let watching = Watching { left: handles.len(), handles, ends };
        Children { watching, outer: Place::at(Kind::Waiter, site), stage: Stage::Running }
    }

    /// Hears of requests, then gives the next child that has ended. Once a request was caught it is
    /// Pending until all have ended, and passes the request on then; only if that is taken back does it
    /// go on as if nothing had been.
    pub(crate) fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Next<T>> {
        if let Stage::Running = self.stage {
            match self.outer.enter(cx.waker()) {
                Entered::Poll(guard) => drop(guard),
                Entered::Caught(token) => {
                    cancel_all(&self.watching.tasks(), &token.request());
                    self.stage = Stage::Caught(token);
                }
                Entered::Fired => unreachable!("a catch is no region"),
            }
        }
        match self.watching.poll_ended(cx) {
            Poll::Ready(Some((number, mut handle))) => {
                let result = handle.try_join().expect("it has ended");
                Poll::Ready(Next::Ended(number, result))
            }
            Poll::Ready(None) => self.end(cx),
            Poll::Pending => {
                polling::waits_rather(Waits::at(self.outer.site()));
                Poll::Pending
            }
        }
    }

    /// Was it cancelled? Then the children's errors are the answer to that.
    pub(crate) fn is_cancelled(&self) -> bool {
        matches!(self.stage, Stage::Caught(_) | Stage::Passed(_))
    }

    fn end(&mut self, cx: &Context<'_>) -> Poll<Next<T>> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Caught(token) => {
                self.stage = Stage::Passed(token.pass_on(cx.waker(), self.outer.site()));
                Poll::Pending
            }
            Stage::Passed(passed) if !passed.is_over(cx.waker()) => {
                self.stage = Stage::Passed(passed);
                Poll::Pending
            }
            Stage::Running | Stage::Passed(_) | Stage::Over => {
                self.outer.leave();
                Poll::Ready(Next::AllEnded)
            }
        }
    }

    /// The rest runs on without being answered for.
    pub(crate) fn release(&mut self) {
        self.stage = Stage::Over;
        self.outer.leave();
        self.watching.unwatch();
        self.watching.handles.clear();
        self.watching.left = 0;
    }
}

impl<T> Drop for Children<T> {
    fn drop(&mut self) {
        if matches!(self.stage, Stage::Running | Stage::Caught(_)) {
            let reason = Some("what waited for it was dropped".into());
            let request = Request { reason, place: self.outer.site() };
            end_with_current(&self.watching.tasks(), &request);
        }
    }
}
