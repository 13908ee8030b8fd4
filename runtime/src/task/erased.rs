//! A task without the type of its output: to be asked, named, cancelled, watched.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::panic::Location;
use std::sync::Arc;

use super::cell::{self, Closed, Ending, Job, Listed, Place, Runnable, Schedule, Spawn, TaskRef};
use super::extra::{self, Extra, Force, Request, Watch, WatchId, Watched};
use super::polling;
use super::tree::NodeId;
use super::{Id, JoinError, TaskInfo};
use crate::primitive::Mutex;

/// A task, whatever its output is. Clones stand for the same task; none keeps it from ending.
///
/// ```
/// filch::run(async {
///     let handle = filch::spawn(std::future::pending::<()>());
///     let task = handle.task();
///     assert!(task.cancel_with("enough"));
///     assert_eq!(handle.await.unwrap_err().reason(), Some("enough"));
///     assert!(task.is_finished() && !task.cancel());
/// });
/// ```
#[doc(alias = "AbortHandle")]
#[derive(Clone)]
pub struct Task(TaskRef);

/// The task that is running here; `None` outside tasks.
///
/// ```
/// assert!(filch::task::current().is_none());
/// filch::run(async {
///     let main = filch::task::current().unwrap();
///     let child = filch::spawn(async { filch::task::current().unwrap().id() });
///     assert_ne!(child.await.unwrap(), main.id());
/// });
/// ```
#[doc(alias = "current_task")]
pub fn current() -> Option<Task> {
    cell::current().map(Task)
}

impl Task {
    pub(crate) fn new(task: TaskRef) -> Task {
        Task(task)
    }

    /// The task that is running here; outside of tasks one that has ended already.
    pub(crate) fn current_or_nobody(site: &'static Location<'static>) -> Task {
        cell::current().map_or_else(|| Task(nobody(site)), Task)
    }

    pub(crate) fn task(&self) -> &TaskRef {
        &self.0
    }

    /// Identifies the task.
    pub fn id(&self) -> Id {
        self.0.header().id()
    }

    /// The name it was given with [`task::Builder::name`](crate::task::Builder::name).
    #[doc(alias = "get_name")]
    pub fn name(&self) -> Option<Arc<str>> {
        self.0.header().label().name
    }

    /// Where it was spawned.
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.0.header().site()
    }

    /// Where it waits, if it waits for a future of this runtime (and has not just been woken).
    ///
    /// ```
    /// use std::time::Duration;
    /// filch::run(async {
    ///     let sleeper = filch::spawn(async {
    ///         filch::sleep(Duration::from_secs(3600)).await;
    ///     });
    ///     while sleeper.task().waits_at().is_none() {
    ///         filch::yield_now().await; // until a worker has polled it
    ///     }
    ///     assert!(sleeper.task().waits_at().unwrap().line() > sleeper.spawned_at().line());
    /// });
    /// ```
    #[doc(alias = "get_stack")]
    #[doc(alias = "print_stack")]
    pub fn waits_at(&self) -> Option<&'static Location<'static>> {
        self.info().waits_at
    }

    /// All that is known of it.
    ///
    /// ```
    /// filch::run(async {
    ///     let named = filch::task::Builder::new().name("fetch").spawn(std::future::pending::<()>());
    ///     let info = named.task().info();
    ///     assert_eq!((info.id, info.name.as_deref()), (named.id(), Some("fetch")));
    ///     assert_eq!(info.parent, None, "it is in no group");
    /// });
    /// ```
    pub fn info(&self) -> TaskInfo {
        TaskInfo::of(self.0.header())
    }

    /// Has it ended?
    #[doc(alias = "done")]
    pub fn is_finished(&self) -> bool {
        self.0.header().state().is_complete()
    }

    /// Asks the task to end; `false` if it has ended already.
    ///
    /// It takes effect where the task waits next (at once, if it is waiting). There the innermost
    /// [`catch_cancel`](fn@crate::catch_cancel) hears of it and may clean up, or take the
    /// request back. Without one the task's future is dropped, by the thread that polls it, and its
    /// handle gives an error with [`is_cancelled`](crate::JoinError::is_cancelled). A task that was not
    /// started never starts. A future that is ready before it waits again keeps its value.
    ///
    /// Requests are counted; the reason and the place of the first one are kept.
    #[doc(alias = "Task.cancel")]
    #[track_caller]
    pub fn cancel(&self) -> bool {
        extra::on_request(&self.0, Request::here(), Force::Cancel)
    }

    /// As [`cancel`](Task::cancel), with a reason that the error shows.
    #[track_caller]
    pub fn cancel_with(&self, reason: impl Into<Cow<'static, str>>) -> bool {
        let request = Request { reason: Some(reason.into()), place: Location::caller() };
        extra::on_request(&self.0, request, Force::Cancel)
    }

    /// Ends the task hard: everything in it is dropped at its next suspension, whatever catches and
    /// shields there are. `false` if it has ended already.
    ///
    /// ```
    /// filch::run(async {
    ///     let shielded = filch::spawn(filch::shield(std::future::pending::<()>()));
    ///     shielded.task().abort();
    ///     assert!(shielded.await.unwrap_err().is_cancelled());
    /// });
    /// ```
    #[track_caller]
    pub fn abort(&self) -> bool {
        extra::on_request(&self.0, Request::here(), Force::Abort)
    }

    /// How many requests to end there are that were not taken back.
    ///
    /// ```
    /// filch::run(async {
    ///     let task = filch::task::current().unwrap();
    ///     assert_eq!(task.cancelling(), 0);
    ///     task.cancel();
    ///     task.cancel();
    ///     assert_eq!(task.cancelling(), 2);
    ///     assert_eq!((task.uncancel(), task.uncancel()), (1, 0));
    ///     filch::yield_now().await; // a suspension: nothing is left that could act here
    /// });
    /// ```
    pub fn cancelling(&self) -> usize {
        let extra = self.0.header().extra();
        let tree = extra.and_then(Extra::tree_if_any);
        tree.map_or(0, |tree| tree.count(NodeId::ROOT))
    }

    /// Takes one request to end back and answers how many are left. With the last one, what has not
    /// been delivered is withdrawn, and the task goes on. (A [token](crate::Cancelled) does
    /// the same for the request it stands for.)
    ///
    /// ```
    /// filch::run(async {
    ///     let task = filch::task::current().unwrap();
    ///     task.cancel();
    ///     assert_eq!(task.uncancel(), 0);
    ///     filch::yield_now().await; // and is still there
    /// });
    /// ```
    pub fn uncancel(&self) -> usize {
        let extra = self.0.header().extra();
        let tree = extra.and_then(Extra::tree_if_any);
        let Some(mut tree) = tree else { return 0 };
        let left = tree.withdraw(NodeId::ROOT);
        drop(tree);
        if left == 0 {
            // Other requests may have waited for this one.
            self.0.request();
        }
        left
    }

    /// Calls `f` once the task has ended: never inside this call, and not in the task. If it has
    /// ended already, `f` is called soon.
    ///
    /// It is called by the thread that ends the task, and must not block. A panic in it is
    /// contained. No task is current in it, so it finds no [locals](crate::task_local).
    ///
    /// ```
    /// use std::sync::mpsc;
    /// filch::run(async {
    ///     let (ended, wait) = mpsc::channel();
    ///     let handle = filch::spawn(async { 1 });
    ///     handle.task().on_done(move |task| ended.send(task.is_finished()).unwrap());
    ///     assert_eq!(handle.await.unwrap(), 1);
    ///     filch::spawn_blocking(move || assert!(wait.recv().unwrap())).await.unwrap();
    /// });
    /// ```
    #[doc(alias = "add_done_callback")]
    pub fn on_done(&self, f: impl FnOnce(&Task) + Send + 'static) -> CallbackId {
        let callback = Arc::new(Callback(Mutex::new(Some(Box::new(f)))));
        match extra::watch(&self.0, Arc::clone(&callback) as Arc<dyn Watch>, 0) {
            Watched::Waiting(id) => CallbackId(Some(id)),
            Watched::Ended => {
                let task = self.clone();
                cell::later(&self.0, Box::new(move || callback.call(&task)));
                CallbackId(None)
            }
        }
    }

    /// Forgets a callback and answers how many that were: 0 if it was called (or is about to be), else
    /// 1.
    ///
    /// ```
    /// filch::run(async {
    ///     let handle = filch::spawn(std::future::pending::<()>());
    ///     let id = handle.task().on_done(|_| unreachable!("it was removed"));
    ///     assert_eq!(handle.task().remove_done(id), 1);
    ///     assert_eq!(handle.task().remove_done(id), 0);
    ///     handle.abort();
    /// });
    /// ```
    #[doc(alias = "remove_done_callback")]
    pub fn remove_done(&self, id: CallbackId) -> usize {
        usize::from(id.0.is_some_and(|id| extra::unwatch(&self.0, id)))
    }
}

/// A task that is none: it never ran.
fn nobody(site: &'static Location<'static>) -> TaskRef {
    let task = cell::root::<Nowhere>(Spawn { owner: &Nowhere, site, home: None, extra: None });
    task.task()
}

#[derive(Debug)]
pub(crate) struct Nowhere;

impl Schedule for Nowhere {
    type Owner = Nowhere;

    fn schedule(_: &'static Nowhere, task: Runnable) {
        drop(task);
    }

    fn track(_: &'static Nowhere, task: Listed) -> Result<Place, (Closed, Listed)> {
        Err((Closed, task))
    }

    fn untrack(_: &'static Nowhere, _: Place) -> Listed {
        unreachable!("it is in no list")
    }

    fn later(_: &'static Nowhere, job: Job) {
        job();
    }

    fn unhandled(_: &'static Nowhere, _: &JoinError) {}
}

/// Finds a callback of a task again: see [`Task::remove_done`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallbackId(Option<WatchId>);

type Call = Box<dyn FnOnce(&Task) + Send>;

struct Callback(Mutex<Option<Call>>);

impl Callback {
    fn call(&self, task: &Task) {
        let f = self.0.lock().take();
        let _outside = polling::outside();
        if let Some(f) = f {
            // Here, for it may be called by whoever added it too late.
            cell::contained(|| f(task));
        }
    }
}

impl Watch for Callback {
    fn ended(&self, task: &TaskRef, _: usize, _: Ending) {
        self.call(&Task(task.clone()));
    }
}

impl PartialEq for Task {
    fn eq(&self, other: &Task) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Task {}

impl Hash for Task {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Task({})", self.0.header().label())
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.header().label().fmt(f)
    }
}
