//! What a catch gives: the right, and the duty, to decide about a request.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::panic::Location;
use std::task::{Poll, Waker};

use super::node::{Linked, task_here};
use crate::task::cell;
use crate::task::cell::Waits;
use crate::task::extra::Request;
use crate::task::polling;

/// Somebody wants this code to end: a token for that request.
///
/// While it lives, nothing around the [`catch_cancel`](fn@crate::catch_cancel) it comes from is dropped by a request: what follows
/// may await. There are three ways to be rid of it:
///
/// | | the request … |
/// |---|---|
/// | [`resume().await`](Cancelled::resume) | goes to the next catch outside, or drops the region it was aimed at; never returns |
/// | drop | does the same where the task waits next |
/// | [`uncancel()`](Cancelled::uncancel) | is taken back: the task goes on |
///
/// It is an error, so `?` carries it out of functions, also inside `Box<dyn Error>`, `anyhow::Error` or an
/// enum of your own. A task (or timeout, group, scope) whose future ends while a token of a request
/// to it lives counts as cancelled: the output is dropped.
///
/// A token kept for long shields for long; [`TaskInfo::held_by`](crate::TaskInfo::held_by) shows where it comes
/// from. [`abort`](crate::task::Task::abort) disregards it.
///
/// # Beside other futures of the same task
///
/// A `zip` or `join` of a foreign crate keeps what one branch has returned until the others have ended as well. If that is a
/// token, it shields them until then; and one that has nothing left but to be dropped (it `resume`s its own token, or is
/// a cancelled [`task_group`](fn@crate::task_group), [`gather`](fn@crate::gather),
/// [`linked`](crate::JoinHandle::linked) or [`wait_for`](crate::wait_for)) waits for ever:
/// [`TaskTree`](crate::TaskTree) shows such a task as held up. So spend a token in its own branch, or
/// return it to a `try_zip` or `try_join`, which drops the others at the first error:
///
/// ```
/// use std::future::pending;
/// use futures_lite::future::{try_zip, zip};
/// use filch::{Cancelled, catch_cancel, task_group};
///
/// async fn serve() {
///     task_group(async |group| drop(group.spawn(pending::<()>()))).await
/// }
/// let spends = async {
///     if let Err(cancelled) = catch_cancel(pending::<()>()).await {
///         // … the cleanup …
///         drop(cancelled);
///     }
/// };
/// let spends = async { zip(spends, serve()).await.1 };
/// let returns = catch_cancel(pending::<()>());
/// let returns = async {
///     let serves = async { Ok::<_, Cancelled>(serve().await) };
///     try_zip(returns, serves).await.map(|((), ())| ())
/// };
/// let (one, other) = filch::run(async {
///     let (one, other) = (filch::spawn(spends), filch::spawn(returns));
///     while one.task().waits_at().is_none() || other.task().waits_at().is_none() {
///         filch::yield_now().await; // until they have begun
///     }
///     one.cancel();
///     other.cancel();
///     (one.await, other.await)
/// });
/// assert!(one.unwrap_err().is_cancelled());
/// assert!(other.unwrap_err().is_cancelled());
/// ```
///
/// # Example
///
/// ```
/// # async fn save() {}
/// async fn work() -> Result<(), filch::Cancelled> {
///     let result = filch::catch_cancel(std::future::pending::<()>()).await;
///     save().await;
///     result // with the token in it
/// }
/// let handle = filch::run(async {
///     let handle = filch::spawn(work());
///     while handle.task().waits_at().is_none() && !handle.is_finished() {
///         filch::yield_now().await;
///         handle.cancel();
///     }
///     handle.await
/// });
/// assert!(handle.unwrap_err().is_cancelled(), "not Ok(Err(…))");
/// ```
#[doc(alias = "CancelledError")]
#[must_use = "dropping it passes the request on: the task ends where it waits next; \
              `resume().await`, `uncancel()`, or return it"]
pub struct Cancelled {
    request: Request,
    /// `None`: the region it was aimed at has dropped its future, and this reports it.
    linked: Option<Linked>,
}

impl Cancelled {
    pub(super) fn caught(linked: Linked, request: Request) -> Cancelled {
        Cancelled { request, linked: Some(linked) }
    }

    /// A report: nothing is left to decide.
    pub(super) fn report(request: Request) -> Cancelled {
        Cancelled { request, linked: None }
    }

    /// Why, in the words of whoever asked first.
    pub fn reason(&self) -> Option<&str> {
        self.request.reason.as_deref()
    }

    /// Where the (first) request came from.
    pub fn place(&self) -> &'static Location<'static> {
        self.request.place
    }

    pub(crate) fn request(&self) -> Request {
        self.request.clone()
    }

    /// Takes the request back and answers how many others there still are. With zero the task (or
    /// timeout, group, scope) goes on as if it had not been asked; otherwise the rest is passed on, as by a drop.
    ///
    /// ```
    /// let (value, left) = filch::run(async {
    ///     filch::task::current().unwrap().cancel();
    ///     let cancelled = filch::catch_cancel(std::future::pending::<()>()).await.unwrap_err();
    ///     let left = cancelled.uncancel();
    ///     filch::yield_now().await;
    ///     ("still here", left)
    /// });
    /// assert_eq!((value, left), ("still here", 0));
    /// ```
    pub fn uncancel(self) -> usize {
        let Some(Linked { task, id }) = &self.linked else { return 0 };
        let left = task.header().extra_or_new().tree().uncancel(*id);
        if left == 0 {
            // Whoever waits for the end of this request, or has passed it on, is asked again.
            task.request();
        }
        left
    }

    /// Passes the request on, to the next catch outside or to what it was aimed at, and waits
    /// to be dropped for it. Drop other tokens before: they would hold that up. In the cleanup of an
    /// earlier token it gives that cleanup up.
    ///
    /// If the request was taken back meanwhile, by another token or from outside, a new one is
    /// made: this never returns.
    ///
    /// # Panics
    ///
    /// In another task than the one that was cancelled, where it would wait for ever.
    ///
    /// ```
    /// let task = filch::run(async {
    ///     let task = filch::spawn(async {
    ///         filch::task::current().unwrap().cancel();
    ///         let cancelled = filch::catch_cancel(std::future::pending::<()>()).await.unwrap_err();
    ///         // … whatever is to be done first …
    ///         cancelled.resume().await
    ///     });
    ///     task.await
    /// });
    /// assert!(task.unwrap_err().is_cancelled());
    /// ```
    pub async fn resume(self) -> ! {
        let request = self.request();
        let (mut token, mut passed) = (Some(self), None);
        loop {
            poll_fn(|cx| {
                let mut token = || token.take().expect("it is spent once");
                let pass_on = || token().pass_on(cx.waker(), request.place);
                let passed = passed.get_or_insert_with(pass_on);
                passed.insist(&request, cx.waker());
                polling::waits(Waits::at(passed.site));
                Poll::<()>::Pending
            })
            .await;
        }
    }

    /// Passes the request on. The answer tells how that goes; `waker` is woken if it is taken back. The task is
    /// said to wait at `site`: usually it is dropped at once, but a token in another branch may hold that up.
    #[track_caller]
    pub(crate) fn pass_on(self, waker: &Waker, site: &'static Location<'static>) -> Passed {
        let Some(linked) = self.linked else {
            // The region has ended: this is about what is around it.
            let task = task_here().expect(
                "Cancelled::resume was called outside any task, where there is nobody to cancel",
            );
            let linked = Linked::resume(task, self.request.place);
            linked.visit_here(waker);
            return Passed { linked, site };
        };
        let passed = Passed { linked, site };
        let Linked { task, id } = &passed.linked;
        if !cell::is_current(task) {
            // Dropped, it passes the request on in its own task; here that is over.
            waker.wake_by_ref();
            return passed;
        }
        // From where the catch stood; only then is it known to wait here.
        task.header().extra_or_new().tree().resume(*id);
        passed.linked.visit_here(waker);
        task.request();
        polling::waits(Waits::at(site));
        passed
    }
}

/// A request that was passed on. Lives where it waits to be dropped.
#[derive(Debug)]
pub(crate) struct Passed {
    linked: Linked,
    /// Where it waits.
    site: &'static Location<'static>,
}

impl Passed {
    /// It has been taken back, by another token or from outside. Else `waker` is woken by that.
    pub(crate) fn is_over(&self, waker: &Waker) -> bool {
        let Linked { task, id } = &self.linked;
        if !cell::is_current(task) {
            return true;
        }
        self.linked.visit_here(waker);
        let over = task.header().extra_or_new().tree().is_idle(*id);
        if !over {
            polling::waits(Waits::at(self.site));
        }
        over
    }

    /// If it was taken back, makes a new one.
    fn insist(&self, request: &Request, waker: &Waker) {
        self.assert_here();
        let Linked { task, id } = &self.linked;
        self.linked.visit_here(waker);
        let raised = task.header().extra_or_new().tree().insist(*id, request);
        if raised {
            task.request();
        }
    }

    #[track_caller]
    fn assert_here(&self) {
        assert!(
            cell::is_current(&self.linked.task),
            "Cancelled::resume was called in another task than the one that was cancelled; \
             return the token to that task, or drop it here"
        );
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cancelled at {}", self.request.place)?;
        match &self.request.reason {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cancelled({self})")
    }
}

impl Error for Cancelled {}
