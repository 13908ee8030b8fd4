//! What few tasks have: a name, a request to end, something that holds back their completion.
//!
//! An ordinary task has none of it: one null pointer in its header. The rest of the runtime
//! meets these fields in three hooks, and nothing else above the task reaches in:
//!
//! | hook               | called                                                    | by            |
//! |--------------------|-----------------------------------------------------------|---------------|
//! | [`on_request`]     | somebody asks the task to end                             | the requester |
//! | [`after_pending`]  | a request waits, before a poll or before parking          | the owner     |
//! | [`before_publish`] | the future is gone and the output stored                  | the owner     |

use std::borrow::Cow;
use std::panic::Location;
use std::sync::Arc;

use super::cell::{Ending, Header, TaskRef};
use crate::error::JoinError;
use crate::primitive::{AtomicUsize, Mutex, Ordering};

/// The rare fields of a task.
#[derive(Debug, Default)]
pub(crate) struct Extra {
    name: Option<Arc<str>>,
    request: Mutex<Option<Request>>,
    /// How many [`Hold`]s there are.
    holds: AtomicUsize,
    /// How the task ended, while that is held back.
    ending: Mutex<Option<Ending>>,
}

/// The first request to end: later ones do not replace it.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) reason: Option<Cow<'static, str>>,
    pub(crate) place: &'static Location<'static>,
}

/// What the owner of a cancelled task does.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Drop the future now.
    Drop,
    /// Poll on: the request was delivered to something inside the future.
    #[allow(dead_code, reason = "cancellation that can be caught will answer this")]
    GoOn,
}

/// Whether a finished task may be seen to be finished.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Publish {
    Now,
    Held,
}

impl Extra {
    pub(crate) fn named(name: &str) -> Box<Extra> {
        Box::new(Extra { name: Some(name.into()), ..Extra::default() })
    }

    pub(crate) fn ending(&self) -> Option<Ending> {
        *self.ending.lock()
    }

    pub(crate) fn name(&self) -> Option<Arc<str>> {
        self.name.clone()
    }
}

/// Asks a task to end. `false` if it has ended already.
pub(crate) fn on_request(task: &TaskRef, request: Request) -> bool {
    let extra = task.header().extra_or_new();
    extra.request.lock().get_or_insert(request);
    task.request()
}

/// A request waits: is the future to be dropped?
pub(crate) fn after_pending(_task: &Header) -> Verdict {
    Verdict::Drop
}

/// The error of a task whose future was dropped by request. (A runtime that shuts down asks
/// without leaving a reason in each task.)
pub(crate) fn cancelled(task: &Header) -> JoinError {
    match task.extra().and_then(|extra| extra.request.lock().clone()) {
        Some(request) => JoinError::cancelled(task.label(), request),
        None => JoinError::shut_down(task.label()),
    }
}

/// May the completion be published?
pub(crate) fn before_publish(extra: &Extra, ending: Ending) -> Publish {
    // Acquire: partner is the Release of `Hold::drop`: what the holder did happens before the
    // joiner sees the end.
    // [hold-look]
    if extra.holds.load(Ordering::Acquire) == 0 {
        return Publish::Now;
    }
    *extra.ending.lock() = Some(ending);
    Publish::Held
}

/// While it lives, its task is not seen to be complete: the future is gone, the output stored,
/// but joiners wait. (A task waits so for children it was dropped together with.)
#[derive(Debug)]
pub(crate) struct Hold {
    task: TaskRef,
}

impl Hold {
    /// Must be called while the task is polled (or before it is), by the task's owner: later the
    /// output may be published already.
    #[cfg_attr(not(filch_loom), allow(dead_code, reason = "groups will hold"))]
    pub(crate) fn new(task: TaskRef) -> Hold {
        // Relaxed: the owner itself looks at the count later.
        task.header().extra_or_new().holds.fetch_add(1, Ordering::Relaxed);
        Hold { task }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // The race: the owner sees a hold and parks; meanwhile the last hold goes. Either the
        // owner's look comes after this write, or its park comes before our wake-up, which then
        // schedules the task, or in between, and then the park finds NOTIFIED and looks again.
        let extra = self.task.header().extra_or_new();
        // [hold-drop] partner: `before_publish`.
        if extra.holds.fetch_sub(1, Ordering::Release) == 1 {
            self.task.wake();
        }
    }
}
