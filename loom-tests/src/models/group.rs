//! A group and its members: nobody waits in vain, and nobody is forgotten. (A child module of the
//! group's, so that it may use what is private there.)

use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use loom::sync::Arc as Counted;
use loom::thread;

use super::{Inner, Member, TaskGroup, task_group};
use crate::__models::cancel::{cancel, check_cancelled};
use crate::__models::task::{Bell, Desk, Waits, run_on};
use crate::primitive::UnsafeCell;
use crate::task::Runnable;
use crate::task::extra::Extra;

/// As `TaskGroup::admit`, on a desk.
fn admit<F>(group: &TaskGroup<Infallible>, desk: &'static Desk, future: F) -> Runnable
where
    F: Future<Output = ()> + 'static,
{
    let shared = &group.shared;
    let mut extra = Extra::named("member");
    extra.watch_from_start(Arc::clone(shared) as _, 0);
    let (task, handle) = desk.spawn_with(Member::new(future, shared), Some(extra));
    let Inner { members, .. } = &mut *shared.inner.lock();
    assert!(members.is_empty(), "MODEL: one member");
    members.push(Some(handle.task()));
    drop(handle);
    task
}

/// A group whose body has ended; the group is for its maker.
fn group(body: impl Future<Output = ()>) -> (impl Future<Output = ()>, TaskGroup<Infallible>) {
    let mut made = None;
    let group = task_group(|group: TaskGroup<Infallible>| {
        made = Some(group);
        body
    });
    (group, made.expect("it is made at once"))
}

/// Writes when it is polled, and once more when it is dropped.
struct Writes(Counted<UnsafeCell<usize>>);

impl Future for Writes {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        // SAFETY: loom checks.
        self.0.with_mut(|value| unsafe { *value += 1 });
        Poll::Ready(())
    }
}

impl Drop for Writes {
    fn drop(&mut self) {
        // SAFETY: loom checks.
        self.0.with_mut(|value| unsafe { *value += 10 });
    }
}

/// The last member ends while the group is polled, or parks: it ends as well, after that. (Whoever polls
/// it uses two wakers, of which only the last one counts.)
pub fn last_member_parks() {
    let desk = Desk::new();
    let data = Counted::new(UnsafeCell::new(0));
    let (future, group) = group(async {});
    let member = admit(&group, desk, Writes(data.clone()));
    let (owner, mut handle) = desk.spawn(async {
        let mut future = std::pin::pin!(future);
        if future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            future.await;
        }
    });
    drop(group);
    let runner = thread::spawn(move || {
        run_on(member);
        desk.drain();
    });
    run_on(owner);
    desk.drain();
    Bell::new().join(&mut handle).expect("MODEL: the group ends");
    // SAFETY: loom checks.
    let value = data.with(|value| unsafe { *value });
    assert!(value == 11, "MODEL: the group ends after its members");
    runner.join().unwrap();
}

/// A group is cancelled from outside its task while it is polled: body and member end.
pub fn cancel_group_poll() {
    let desk = Desk::new();
    let (future, group) = group(pending());
    let own = Counted::new(UnsafeCell::new(0));
    let member = admit(&group, desk, Waits(own));
    let (owner, mut handle) = desk.spawn(future);
    run_on(member);
    let canceller = thread::spawn(move || {
        group.cancel();
        desk.drain();
    });
    run_on(owner);
    desk.drain();
    canceller.join().unwrap();
    desk.drain();
    let end = handle.try_take();
    assert!(matches!(end, Some(Ok(()))), "MODEL: the group has ended");
}

/// The task of a group is cancelled; its member ends while the group begins to wait for that.
pub fn cancel_owner_member() {
    let desk = Desk::new();
    let (future, group) = group(pending());
    let member = admit(&group, desk, pending());
    let (owner, mut handle) = desk.spawn(future);
    drop(group);
    run_on(member);
    run_on(owner);
    let runner = thread::spawn(move || desk.drain());
    cancel(&handle);
    desk.drain();
    runner.join().unwrap();
    desk.drain();
    check_cancelled(&mut handle);
}

/// A task drops a group and completes, while the member is polled on another thread: the joiner sees the
/// end after the member's.
pub fn drop_group_member() {
    let desk = Desk::new();
    let data = Counted::new(UnsafeCell::new(0));
    let (future, group) = group(pending());
    let member = admit(&group, desk, Waits(data.clone()));
    let (owner, mut handle) = desk.spawn(async move {
        let mut future = Box::pin(future);
        poll_fn(|cx| {
            assert!(future.as_mut().poll(cx).is_pending(), "MODEL: the member waits");
            Poll::Ready(())
        })
        .await;
    });
    drop(group);
    run_on(member);
    let runner = thread::spawn(move || desk.drain());
    run_on(owner);
    desk.drain();
    Bell::new().join(&mut handle).expect("MODEL: the owner finishes");
    // SAFETY: loom checks.
    let value = data.with(|value| unsafe { *value });
    assert!(value == 100, "MODEL: the end comes after the members'");
    runner.join().unwrap();
}
