//! The scenarios of CPython's `test_eager_task_factory.py`, in our words: see `CPYTHON.md`.

mod support;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use filch::{Handle, JoinHandle, sleep, task, task_group, yield_now};
use support::manual::{S, manual};

filch::task_local! { static VALUE: u32 = 0 }

#[track_caller]
fn eagerly<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    task::Builder::new().eager().spawn(future)
}

fn me() -> task::Task {
    task::current().expect("this is a task")
}

fn is_listed(id: task::Id) -> bool {
    Handle::current().tasks().iter().any(|info| info.id == id)
}

#[test]
fn eager_ready_future_is_done() {
    // CPython: test_eager_completion, test_eager_start_true (test_tasks), test_eager_start_true_with_default_factory.
    manual(async || {
        let mut handle = eagerly(async { (me().name(), "ready") });
        assert!(handle.is_finished());
        assert_eq!(handle.try_join().unwrap().unwrap(), (None, "ready"));
    });
}

#[test]
fn eager_then_blocks() {
    // CPython: test_block_after_eager_step.
    manual(async || {
        let handle = eagerly(async {
            sleep(S).await;
            "later"
        });
        assert!(!handle.is_finished());
        assert_eq!(handle.await.unwrap(), "later");
    });
}

#[test]
fn eager_child_sets_what_parent_awaits() {
    // CPython: test_await_future_during_eager_step.
    manual(async || {
        let (send, receive) = async_channel::bounded(1);
        let handle = eagerly(async move {
            send.try_send("value").unwrap();
            sleep(S).await;
            1
        });
        assert_eq!(receive.try_recv().unwrap(), "value");
        assert_eq!(handle.await.unwrap(), 1);
    });
}

#[test]
fn eager_finished_cannot_be_cancelled() {
    // CPython: test_cancellation_after_eager_completion.
    manual(async || {
        let handle = eagerly(async { 7 });
        assert!(!handle.cancel());
        assert_eq!(handle.await.unwrap(), 7);
    });
}

#[test]
fn eager_blocked_is_cancelled_with_reason() {
    // CPython: test_cancellation_after_eager_step_blocks.
    manual(async || {
        let handle = eagerly(sleep(S));
        assert!(handle.cancel_with("hello"));
        assert_eq!(handle.await.unwrap_err().reason(), Some("hello"));
    });
}

#[test]
fn eager_current_task() {
    // CPython: test_current_task.
    manual(async || {
        let parent = me().id();
        let handle = eagerly(async {
            let before = me().id();
            yield_now().await;
            (before, me().id())
        });
        assert_eq!(me().id(), parent);
        let id = handle.id();
        assert_eq!(handle.await.unwrap(), (id, id));
    });
}

#[test]
fn eager_listed_while_running() {
    // CPython: test_all_tasks_with_eager_completion. There a task is listed during its eager step; here tasks enter
    // the list when they first wait, and this one never does.
    manual(async || {
        let handle = eagerly(async {});
        assert!(!is_listed(handle.id()));
        handle.await.unwrap();
    });
}

#[test]
fn eager_listed_until_end() {
    // CPython: test_all_tasks_with_blocking.
    manual(async || {
        let handle = eagerly(sleep(S));
        assert!(is_listed(handle.id()));
        sleep(2 * S).await;
        assert!(!is_listed(handle.id()));
    });
}

#[test]
fn eager_locals_are_a_copy() {
    // CPython: test_context_vars.
    manual(async || {
        VALUE.set(1);
        let handle = eagerly(async {
            assert_eq!(VALUE.get(), Some(1));
            VALUE.set(2);
            yield_now().await;
            VALUE.get()
        });
        assert_eq!(VALUE.get(), Some(1));
        assert_eq!(handle.await.unwrap(), Some(2));
        assert_eq!(VALUE.get(), Some(1));
    });
}

#[test]
fn eager_name_inside() {
    // CPython: test_name.
    manual(async || {
        let named = task::Builder::new().name("test name").eager();
        let mut handle = named.spawn(async { me().name() });
        assert_eq!(handle.try_join().unwrap().unwrap().as_deref(), Some("test name"));
    });
}

/// A task with five children, and so on.
fn tree(
    eager: bool,
    depth: usize,
    count: Arc<AtomicUsize>,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        count.fetch_add(1, Ordering::SeqCst);
        if depth == 0 {
            return;
        }
        task_group(async |group| {
            for _ in 0..5 {
                let builder = task::Builder::new();
                let builder = if eager { builder.eager() } else { builder };
                let child = group.spawn_with(builder, tree(eager, depth - 1, Arc::clone(&count)));
                assert!(!eager || child.is_finished());
            }
        })
        .await;
    })
}

#[test]
fn eager_group_tree_pushes_nothing() {
    // CPython: test_recursive_taskgroups. (An eager child that has ended when its spawn returns was in no queue.)
    manual(async || {
        for eager in [false, true] {
            let count = Arc::new(AtomicUsize::new(0));
            tree(eager, 4, Arc::clone(&count)).await;
            assert_eq!(count.load(Ordering::SeqCst), 1 + 5 + 25 + 125 + 625);
        }
    });
}
