//! What a group knows of its members: that they failed, and that they ended.
//!
//! A failure is told at once, by the member's own poll, so that the others are cancelled. The end is
//! told by the task layer after everybody can see it, so a group never ends before a member, or before what a member has left behind.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::{Outcome, Shared};
use crate::error::JoinError;
use crate::task::extra::{self, Watch};
use crate::task::{self, Ending, TaskRef};

/// A member is gone for good, with all that belongs to it.
impl<E: Send> Watch for Shared<E> {
    fn ended(&self, _: &TaskRef, seat: usize, _: Ending) {
        let mut inner = self.inner.lock();
        let task = inner.members[seat].take();
        inner.free.push(seat);
        let last = inner.living() == 0;
        drop(inner);
        drop(task);
        if last {
            self.waker.wake();
        }
    }
}

pin_project! {
    /// What a member's task polls: its failure goes to the group.
    pub(super) struct Member<F, E> {
        #[pin]
        future: Option<F>,
        group: Arc<Shared<E>>,
    }

    impl<F, E> PinnedDrop for Member<F, E> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let dropped = catch_unwind(AssertUnwindSafe(|| this.future.set(None)));
            if let Err(payload) = dropped {
                let task = task::current();
                if let Some(payload) = this.group.panicked(payload, task) {
                    resume_unwind(payload);
                }
            }
        }
    }
}

impl<F, E> Member<F, E> {
    pub(super) fn new(future: F, group: &Arc<Shared<E>>) -> Member<F, E> {
        Member { future: Some(future), group: Arc::clone(group) }
    }
}

impl<F, E> Future for Member<F, E>
where
    F: Future<Output: Outcome<E>>,
{
    type Output = <F::Output as Outcome<E>>::Ok;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let future = this.future.as_mut().as_pin_mut().expect("it has not ended");
        let failure = match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => match output.into_result() {
                Ok(value) => return Poll::Ready(value),
                Err(error) => Ok(error),
            },
            Err(payload) => Err(payload),
        };
        let task = task::current().expect("a member is a task");
        let error = match failure {
            Ok(error) => match extra::overruled(task.task().header()) {
                None => {
                    this.group.failed(task, error);
                    None
                }
                // The error carries the token of a cancel: that is no failure.
                overruled => {
                    drop(error);
                    overruled
                }
            },
            Err(payload) => {
                let spare = this.group.panicked(payload, Some(task.clone()));
                spare.map(|payload| JoinError::panicked(payload, task.task().header().label()))
            }
        };
        // There is no value, so the task ends the other way.
        extra::fail_current(|label| error.unwrap_or_else(|| JoinError::in_group(label)));
        Poll::Pending
    }
}
