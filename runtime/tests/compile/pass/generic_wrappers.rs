//! What somebody builds on it: generic functions that spawn what they are given.

#![deny(warnings)]

use std::future::Future;
use std::time::Duration;

use filch::{Body, Elapsed, Group, JoinHandle, TaskGroup, spawn, task_group, time::Timeout};

/// A group in a task, from any body.
fn spawn_group<E, Fut>(
    body: impl FnOnce(TaskGroup<E>) -> Fut,
) -> JoinHandle<<Fut::Output as Body<E>>::Output>
where
    E: Send + 'static,
    Fut: Future<Output: Body<E>> + Send + 'static,
    Fut::Output: Send,
    <Fut::Output as Body<E>>::Output: Send + 'static,
{
    spawn(task_group(body))
}

/// A future by name, so that no box is needed.
fn limited_group<E, Fut>(
    limit: Duration,
    body: impl FnOnce(TaskGroup<E>) -> Fut,
) -> Timeout<Group<E, Fut>>
where
    E: Send + 'static,
    Fut: Future<Output: Body<E>>,
{
    filch::timeout(limit, task_group(body))
}

/// All of it around any future.
fn supervised<F>(limit: Duration, future: F) -> JoinHandle<Result<F::Output, Elapsed>>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    spawn(async move {
        filch::timeout(limit, async {
            match filch::catch_cancel(filch::shield(future)).await {
                Ok(value) => value,
                Err(token) => token.resume().await,
            }
        })
        .await
    })
}

fn main() {
    filch::run(async {
        spawn_group(async |group| {
            group.spawn(async {});
        });
        spawn_group(|group| async move {
            group.spawn(async { Err::<(), _>("no") });
            Ok(())
        });
        spawn(limited_group(Duration::ZERO, async |group| {
            group.spawn(async { Ok::<(), std::fmt::Error>(()) });
            Ok(1)
        }));
        supervised(Duration::ZERO, async { String::new() });
    });
}
