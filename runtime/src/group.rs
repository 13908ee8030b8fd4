//! Task groups: tasks that end together.
//!
//! ```text
//!            ┌── body: spawns members, computes
//! Group ─────┼── member ─┐
//!            └── member ─┴─► ended: leaves the group; the last one wakes the Group
//! ```
//!
//! A group's future is a *catch* for requests from outside, and its body a *region* of its own (see
//! `task/tree.rs`). Whatever ends the body early (a request, [`TaskGroup::cancel`], a member's error or panic)
//! also cancels the members; and whatever happens, the group stays until all of them have ended,
//! cleanups included. A member that has ended is forgotten at once.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;

use crate::cancel::{Cancelled, Entered, Passed, Place, cancel_all, end_with_current};
use crate::context;
use crate::error::JoinError;
use crate::primitive::Mutex;
use crate::spawn;
use crate::task::cell;
use crate::task::cell::Waits;
use crate::task::extra::Request;
use crate::task::polling;
use crate::task::tree::Kind;
use crate::task::{self, JoinHandle, Task, TaskRef, WakerSlot};

/// Runs `body`, and the tasks it starts in the group, until all of them have ended.
///
/// If a member gives `Err` (or the body does), the others are cancelled, and when all have ended, all
/// errors come out together. A panic of a member resumes here, after all have ended. A member
/// that is cancelled by itself harms nobody. Members may start further members as long as the
/// group is not over.
///
/// A body of type `()` makes a group that cannot fail; its members are `()` as well. Otherwise body and members give
/// `Result<_, E>` with the same `E`. (An endless body needs a type:
/// `async |group| -> io::Result<()> { loop { … } }`. So does the error of a body that gives `Ok` beside members
/// that are all `()`: `Ok::<_, Infallible>(value)`.)
///
/// # Cancellation
///
/// If the task (or a timeout around) is cancelled, the body is dropped where it waits (catches in it
/// hear of that first), the members are cancelled, and the group waits for their cleanups. If there
/// are errors then, they are the result, and the request acts where the task waits next.
///
/// # Panics
///
/// With the first panic of a member or the body.
///
/// # Cancel safety
///
/// Dropping it cancels the members; the task that drops it is not seen to be complete until they
/// have ended.
///
/// ```
/// use filch::{GroupError, task_group};
///
/// let sum = filch::run(task_group(async |group| {
///     let one = group.spawn(async { std::io::Result::Ok(1) });
///     let two = group.spawn(async { Ok(2) });
///     Ok(one.await.unwrap() + two.await.unwrap())
/// }));
/// assert_eq!(sum.unwrap(), 3);
///
/// let failed: Result<(), GroupError<String>> = filch::run(task_group(async |group| {
///     group.spawn(async { Err::<(), _>("no route".to_string()) });
///     std::future::pending::<()>().await;
///     Ok(())
/// }));
/// assert_eq!(failed.unwrap_err().into_first().unwrap(), "no route");
/// ```
#[doc(alias = "TaskTracker")]
#[doc(alias = "TaskGroup")]
#[doc(alias = "JoinSet")]
#[doc(alias = "nursery")]
#[track_caller]
pub fn task_group<E, Fut>(body: impl FnOnce(TaskGroup<E>) -> Fut) -> Group<E, Fut>
where
    E: Send + 'static,
    Fut: Future<Output: Body<E>>,
{
    let group = TaskGroup {
        shared: Arc::new(Shared { inner: Mutex::default(), waker: WakerSlot::default() }),
    };
    let shared = Arc::clone(&group.shared);
    Group {
        body: Some(body(group)),
        value: None,
        shared,
        outer: Place::new(Kind::Waiter),
        region: Place::new(Kind::Region),
        stage: Stage::Open,
        raised: false,
    }
}

/// To start tasks in a group, or end it: what the body of [`task_group`] is given. Clones stand for the
/// same group, and may outlive it.
pub struct TaskGroup<E> {
    shared: Arc<Shared<E>>,
}

struct Shared<E> {
    inner: Mutex<Inner<E>>,
    waker: WakerSlot,
}

struct Inner<E> {
    /// Members that have not ended. `None`: a free place.
    members: Vec<Option<TaskRef>>,
    free: Vec<usize>,
    failures: Vec<Failure<E>>,
    panic: Option<Box<dyn Any + Send>>,
    /// Why members and body are to end.
    request: Option<Request>,
    /// Nobody can join any more.
    closed: bool,
    /// The future is gone; nobody will look at failures.
    abandoned: bool,
}

impl<E> Default for Inner<E> {
    fn default() -> Inner<E> {
        Inner {
            members: Vec::new(),
            free: Vec::new(),
            failures: Vec::new(),
            panic: None,
            request: None,
            closed: false,
            abandoned: false,
        }
    }
}

impl<E> Inner<E> {
    fn living(&self) -> usize {
        self.members.len() - self.free.len()
    }

    fn tasks(&self) -> Vec<TaskRef> {
        self.members.iter().flatten().cloned().collect()
    }
}

// ── members ───────────────────────────────────────────────────────────────────────────────────

impl<E: Send + 'static> TaskGroup<E> {
    /// Starts a task in the group. Its handle may be dropped; awaited, it gives the value.
    /// Of a member that has failed the handle only says [so](JoinError::is_group_failure): the group
    /// has the error.
    ///
    /// In a group that is over or being cancelled, the future is dropped, and the handle is that of
    /// a cancelled task. [`try_spawn`](TaskGroup::try_spawn) gives it back instead.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    ///
    /// ```
    /// filch::run(filch::task_group(async |group| {
    ///     let five = group.spawn(async { std::io::Result::Ok(5) });
    ///     assert_eq!(five.await?, 5);
    ///     Ok(())
    /// })).unwrap();
    /// ```
    #[doc(alias = "create_task")]
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<<F::Output as Outcome<E>>::Ok>
    where
        F: Future<Output: Outcome<E>> + Send + 'static,
    {
        self.spawn_with(task::Builder::new(), future)
    }

    /// As [`spawn`](TaskGroup::spawn), for instance under a name.
    ///
    /// ```
    /// use filch::{task, task_group};
    /// filch::run(task_group(async |group| {
    ///     let member = group.spawn_with(task::Builder::new().name("fetch"), async {});
    ///     assert_eq!(member.name().as_deref(), Some("fetch"));
    /// }));
    /// ```
    #[track_caller]
    pub fn spawn_with<F>(
        &self,
        builder: task::Builder,
        future: F,
    ) -> JoinHandle<<F::Output as Outcome<E>>::Ok>
    where
        F: Future<Output: Outcome<E>> + Send + 'static,
    {
        let site = Location::caller();
        match self.admit(builder, site, future) {
            Ok(handle) => handle,
            Err((Closed { future }, builder)) => {
                let scheduler = scheduler();
                let member = Member::new(future, &self.shared);
                let (task, handle) =
                    spawn::prepare(scheduler, site, member, builder.into_parts().0);
                let reason = Some("its group is over or was cancelled".into());
                task.fail(|label| JoinError::cancelled(label, Request { reason, place: site }));
                handle
            }
        }
    }

    /// As [`spawn`](TaskGroup::spawn), if the group still takes members.
    ///
    /// # Errors
    ///
    /// The future, unpolled, if the group is over or being cancelled.
    ///
    /// ```
    /// let mut late = None;
    /// let group = filch::run(filch::task_group(async |group| -> Result<_, ()> { Ok(group) })).unwrap();
    /// filch::run(async {
    ///     let refused = group.try_spawn(async { Ok::<_, ()>(7) }).unwrap_err();
    ///     late = Some(refused.future.await);
    /// });
    /// assert_eq!(late, Some(Ok(7)));
    /// ```
    #[track_caller]
    pub fn try_spawn<F>(
        &self,
        future: F,
    ) -> Result<JoinHandle<<F::Output as Outcome<E>>::Ok>, Closed<F>>
    where
        F: Future<Output: Outcome<E>> + Send + 'static,
    {
        self.admit(task::Builder::new(), Location::caller(), future).map_err(|(closed, _)| closed)
    }

    /// How many members have not ended.
    pub fn len(&self) -> usize {
        self.shared.inner.lock().living()
    }

    /// Have all members ended?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Cancels all members and the body. The group waits for their cleanups; then a body of type `()` ends
    /// without a word, any other gives an error with [`is_cancelled`](GroupError::is_cancelled), unless the body
    /// had its value already. Doing it twice changes nothing.
    ///
    /// ```
    /// filch::run(filch::task_group(async |group| {
    ///     group.spawn(std::future::pending::<()>());
    ///     group.cancel();
    ///     std::future::pending::<()>().await
    /// }));
    /// ```
    #[doc(alias = "abort_all")]
    #[track_caller]
    pub fn cancel(&self) {
        self.shared.cancel(&Request::here());
    }

    #[track_caller]
    #[expect(clippy::type_complexity, reason = "the builder comes back as well")]
    fn admit<F>(
        &self,
        builder: task::Builder,
        site: &'static Location<'static>,
        future: F,
    ) -> Result<JoinHandle<<F::Output as Outcome<E>>::Ok>, (Closed<F>, task::Builder)>
    where
        F: Future<Output: Outcome<E>> + Send + 'static,
    {
        let scheduler = scheduler();
        scheduler.assert_same_process();
        // Under one lock, so that a cancel either finds the member or keeps it out. (Nobody's code
        // runs in here, and nothing panics: the process was looked at before, the future is moved.)
        let mut inner = self.shared.inner.lock();
        if inner.closed || inner.request.is_some() {
            return Err((Closed { future }, builder));
        }
        let seat = inner.free.pop().unwrap_or_else(|| {
            inner.members.push(None);
            inner.members.len() - 1
        });
        let (extra, start) = builder.into_parts();
        let mut extra = extra.unwrap_or_default();
        extra.watch_from_start(Arc::clone(&self.shared) as _, seat);
        let member = Member::new(future, &self.shared);
        let (task, handle) = spawn::prepare(scheduler, site, member, Some(extra));
        inner.members[seat] = Some(handle.task_ref());
        drop(inner);
        spawn::start(scheduler, task, start);
        Ok(handle)
    }
}

#[track_caller]
fn scheduler() -> &'static crate::scheduler::Scheduler {
    match context::scheduler() {
        Some(scheduler) => scheduler,
        None => context::none("TaskGroup::spawn"),
    }
}

impl<E> Shared<E> {
    /// Members are asked now; the body by the group's future, which is woken for that.
    fn cancel(&self, request: &Request) {
        let mut inner = self.inner.lock();
        if inner.closed || inner.request.is_some() {
            return;
        }
        inner.request = Some(request.clone());
        let tasks = inner.tasks();
        drop(inner);
        cancel_all(&tasks, request);
        self.waker.wake();
    }

    fn failed(&self, task: Task, error: E) {
        let reason = format!("{task} of the same group failed").into();
        let place = task.spawned_at();
        let mut inner = self.inner.lock();
        if inner.abandoned {
            // Nobody will look. (And what is in there may be this very group.)
            drop(inner);
            return drop(error);
        }
        inner.failures.push(Failure { task, error });
        drop(inner);
        self.cancel(&Request { reason: Some(reason), place });
    }

    /// Gives the payload back if nobody will ever look.
    fn panicked(
        &self,
        payload: Box<dyn Any + Send>,
        task: Option<Task>,
    ) -> Option<Box<dyn Any + Send>> {
        let mut inner = self.inner.lock();
        if inner.abandoned {
            return Some(payload);
        }
        let spare = match inner.panic {
            None => {
                inner.panic = Some(payload);
                None
            }
            // The first one is resumed.
            Some(_) => Some(payload),
        };
        drop(inner);
        let place = task.as_ref().map_or_else(Location::caller, Task::spawned_at);
        let reason = task.map_or("the body of the group panicked".into(), |task| {
            format!("{task} of the same group panicked").into()
        });
        self.cancel(&Request { reason: Some(reason), place });
        spare
    }
}

// ── the group's own future ────────────────────────────────────────────────────────────────────

#[derive(Debug)]
enum Stage {
    Open,
    /// A request from outside has ended the body; it is kept until the members have ended.
    Caught(Cancelled),
    /// Passed on; what is around the group is about to be dropped for it.
    Passed(Passed),
    Done,
}

pin_project! {
    /// The future of [`task_group`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct Group<E, Fut>
    where
        E: Send,
        E: 'static,
        Fut: Future,
    {
        #[pin]
        body: Option<Fut>,
        value: Option<Fut::Output>,
        shared: Arc<Shared<E>>,
        outer: Place,
        region: Place,
        stage: Stage,
        // The body was asked to end.
        raised: bool,
    }

    impl<E, Fut> PinnedDrop for Group<E, Fut>
    where
        E: Send,
        E: 'static,
        Fut: Future,
    {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if matches!(this.stage, Stage::Done) {
                return;
            }
            let request = Request {
                reason: Some("its group was dropped".into()),
                place: this.outer.site(),
            };
            let mut inner = this.shared.inner.lock();
            let request = inner.request.get_or_insert(request).clone();
            inner.closed = true;
            inner.abandoned = true;
            let tasks = inner.tasks();
            let (failures, panic) = (std::mem::take(&mut inner.failures), inner.panic.take());
            drop(inner);
            end_with_current(&tasks, &request);
            drop(failures);
            drop(panic);
        }
    }
}

impl<E, Fut> Future for Group<E, Fut>
where
    E: Send + 'static,
    Fut: Future<Output: Body<E>>,
{
    type Output = <Fut::Output as Body<E>>::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let mut outside = None;
        match this.stage {
            Stage::Open => match this.outer.enter(cx.waker()) {
                Entered::Poll(guard) => outside = guard,
                Entered::Caught(token) => {
                    this.body.set(None);
                    this.region.leave();
                    this.shared.cancel(&token.request());
                    *this.stage = Stage::Caught(token);
                }
                Entered::Fired => unreachable!("a catch is no region"),
            },
            Stage::Passed(passed) if !passed.is_over(cx.waker()) => return Poll::Pending,
            Stage::Caught(_) | Stage::Passed(_) => {}
            Stage::Done => panic!("a group was polled again after it had given its result"),
        }
        if this.body.is_some() {
            let request = this.shared.listen(cx.waker());
            if let Some(request) = request.filter(|_| !*this.raised || this.region.is_asked_away())
            {
                *this.raised = true;
                if this.region.is_linked() {
                    this.region.raise(request);
                } else {
                    // Nobody in there could be asked: it has not begun, or not in this task.
                    this.body.set(None);
                }
            }
        }
        if let Some(body) = this.body.as_mut().as_pin_mut() {
            if let Entered::Poll(guard) = this.region.enter(cx.waker()) {
                let polled = catch_unwind(AssertUnwindSafe(|| body.poll(cx)));
                drop(guard);
                match polled {
                    Ok(Poll::Pending) => {
                        // If the body has cancelled it: that acts where it waits now, not one poll later.
                        let may_ask = !*this.raised && this.region.is_linked();
                        if let Some(request) = may_ask.then(|| this.shared.request()).flatten() {
                            *this.raised = true;
                            this.region.raise(request);
                        }
                        return Poll::Pending;
                    }
                    // Its value carries the token of what cut it short.
                    Ok(Poll::Ready(value)) if this.region.is_ridden() => drop(value),
                    Ok(Poll::Ready(value)) => *this.value = Some(value),
                    Err(payload) => drop(this.shared.panicked(payload, None)),
                }
            }
            this.body.set(None);
            this.region.leave();
            match this.value.take().map(Body::split) {
                Some(Ok(value)) => *this.value = Some(value),
                Some(Err(error)) => {
                    this.shared.failed(Task::current_or_nobody(this.outer.site()), error);
                }
                None => {}
            }
        }
        drop(outside);
        if !this.shared.all_ended(cx.waker()) {
            polling::waits_rather(Waits::at(this.outer.site()));
            return Poll::Pending;
        }
        let (failures, panic) = this.shared.harvest();
        // A request from outside that nobody here has heard of yet must not be taken for ours:
        // suspend once more, and it acts.
        let unheard = matches!(this.stage, Stage::Open) && this.value.is_none() && panic.is_none();
        let is_asked = || cell::with_current(|task| task.state().is_cancelled()) == Some(true);
        if unheard && failures.is_empty() && this.outer.is_linked() && is_asked() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let (Stage::Caught(_), None, true) = (&this.stage, &panic, failures.is_empty()) {
            // Nothing to report, so it ends as asked: what is around it drops it.
            if let Stage::Caught(token) = std::mem::replace(this.stage, Stage::Done) {
                *this.stage = Stage::Passed(token.pass_on(cx.waker(), this.outer.site()));
            }
            return Poll::Pending;
        }
        // (If a token is in there: dropping it passes the request on, which acts after this.)
        *this.stage = Stage::Done;
        this.outer.leave();
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
        Poll::Ready(match this.value.take() {
            Some(value) if failures.is_empty() => value.finish(),
            value => {
                drop(value);
                <Fut::Output as Body<E>>::failed(GroupError { failures })
            }
        })
    }
}

impl<E> Shared<E> {
    /// Sees to it that `waker` is woken by what matters to the group; then, whether it is to end.
    fn listen(&self, waker: &Waker) -> Option<Request> {
        self.waker.register(waker);
        self.request()
    }

    fn request(&self) -> Option<Request> {
        self.inner.lock().request.clone()
    }

    /// Have all members ended? Then the group is closed. Else the last one wakes `waker`.
    fn all_ended(&self, waker: &Waker) -> bool {
        #[cfg(filch_loom)] // A twin looks, and registers only then.
        if crate::primitive::seeded("group-looks-first") {
            let ended = self.inner.lock().living() == 0;
            self.waker.register(waker);
            return ended;
        }
        self.waker.register(waker);
        let mut inner = self.inner.lock();
        inner.closed = inner.closed || inner.living() == 0;
        inner.closed
    }

    fn harvest(&self) -> (Vec<Failure<E>>, Option<Box<dyn Any + Send>>) {
        let mut inner = self.inner.lock();
        (std::mem::take(&mut inner.failures), inner.panic.take())
    }
}

impl<E> Clone for TaskGroup<E> {
    fn clone(&self) -> TaskGroup<E> {
        TaskGroup { shared: Arc::clone(&self.shared) }
    }
}

impl<E> fmt::Debug for TaskGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.shared.inner.lock();
        f.debug_struct("TaskGroup")
            .field("members", &inner.living())
            .field("failures", &inner.failures.len())
            .field("closed", &inner.closed)
            .finish()
    }
}

impl<E: Send, Fut: Future> fmt::Debug for Group<E, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("members", &self.shared.inner.lock().living()).finish()
    }
}

mod error;
mod kinds;
mod member;

pub use error::{Closed, Failure, GroupError};
pub use kinds::{Body, Outcome};
use member::Member;

#[cfg(all(filch_loom, not(filch_shuttle)))]
#[path = "../../loom-tests/src/models/group.rs"]
#[allow(missing_docs, unsafe_code, reason = "models")]
pub mod models;
