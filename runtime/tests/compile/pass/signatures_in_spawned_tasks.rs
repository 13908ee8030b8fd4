//! Each function of the face, used inside a task that may move between threads.

#![deny(warnings)]

use std::io;
use std::time::{Duration, Instant};

use filch::{
    CancelScope, Closed, Elapsed, GroupError, JoinError, JoinHandle, TaskError, TaskGroup, Until,
    task, task_group,
};

const SECOND: Duration = Duration::from_secs(1);

async fn nothing() {}

async fn groups() -> Result<(), GroupError<io::Error>> {
    // A body of type `()`, members of type `()`: no annotation.
    task_group(async |group| {
        group.spawn(nothing());
        group.spawn_with(task::Builder::new().name("named"), nothing());
    })
    .await;
    // The other way to write a closure.
    task_group(|group| async move {
        group.spawn(nothing());
        let refused: Result<JoinHandle<()>, Closed<_>> = group.try_spawn(nothing());
        drop(refused);
        group.cancel();
    })
    .await;
    // The error type comes from a member, from the body, or from both.
    let three: i32 = task_group(async |group| {
        let one: JoinHandle<i32> = group.spawn(async { io::Result::Ok(1) });
        let (one, two) = (one.await?, group.spawn(async { Ok(2) }).await?);
        group.spawn(nothing());
        Ok(one + two)
    })
    .await?;
    // Members that start members.
    task_group(async |group: TaskGroup<io::Error>| {
        let inner = group.clone();
        group.spawn(async move {
            inner.spawn(nothing());
            Ok(())
        });
        Ok(three)
    })
    .await?;
    // One group in another.
    let result: Result<(), GroupError<GroupError<io::Error>>> = task_group(async |outer| {
        outer.spawn(task_group(async |group| {
            group.spawn(async { Err::<(), _>(io::Error::other("inner")) });
            Ok(())
        }));
        Ok(())
    })
    .await;
    let failed: Vec<filch::Failure<GroupError<io::Error>>> = match result {
        Ok(()) => Vec::new(),
        Err(error) => error.into_iter().collect(),
    };
    drop(failed);
    // One that never ends by itself.
    task_group(async |group| -> io::Result<()> {
        loop {
            group.spawn(nothing());
            filch::yield_now().await;
        }
    })
    .await
}

async fn limits(handle: JoinHandle<u32>) -> Result<u32, io::Error> {
    let _: Result<(), Elapsed> = filch::timeout(SECOND, nothing()).await;
    let _: Result<(), Elapsed> = filch::timeout(None, nothing()).await;
    let _: Result<(), Elapsed> = filch::timeout_at(Instant::now(), nothing()).await;
    let _: Result<(), Elapsed> = filch::timeout_at(None, nothing()).await;
    let three = filch::timeout_scope(SECOND, async |deadline| {
        deadline.reschedule(Instant::now());
        deadline.reschedule(None);
        (deadline.clone().when(), deadline.expired(), 3).2
    });
    let three: Result<u32, Elapsed> = three.await;
    // What is not a future yet, but becomes one.
    let _ = filch::timeout(SECOND, std::future::ready(1)).await?;
    let ended: Result<Result<u32, JoinError>, Elapsed> = filch::wait_for(SECOND, handle).await;
    Ok(ended?? + three?)
}

/// Nested limits in a spawned task.
fn nested() -> JoinHandle<Result<Result<Result<u8, Elapsed>, Elapsed>, Elapsed>> {
    filch::spawn(filch::timeout(
        3 * SECOND,
        filch::timeout(2 * SECOND, filch::timeout(SECOND, async { 7 })),
    ))
}

async fn cancels(scope: CancelScope) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let token = match filch::catch_cancel(nothing()).await {
        Ok(()) => return Ok(()),
        Err(token) => token,
    };
    let _: Option<&str> = token.reason();
    filch::shield(filch::sleep(SECOND)).await;
    scope.run(nothing()).await?;
    scope.clone().cancel();
    if scope.is_cancelled() {
        let _left: usize = token.uncancel();
        return Ok(());
    }
    token.resume().await
}

async fn tasks() -> Result<(), JoinError> {
    let mut handle: JoinHandle<u32> = filch::spawn(async { 1 });
    // A handle that is not kept detaches its task, and that is no mistake.
    filch::spawn(nothing());
    (&mut handle).await?;
    let _: Option<Result<u32, JoinError>> = handle.try_join();
    let task: task::Task = handle.task();
    let callback: task::CallbackId = task.on_done(|_: &task::Task| ());
    let _ = (task.remove_done(callback), handle.cancel(), handle.abort(), handle.id());
    handle.linked().await?;
    filch::spawn_local(|| async { 1 }).await?;
    filch::spawn_blocking(|| 1).await?;
    task::Builder::new().name("x").eager().spawn(nothing()).await?;
    let handle = filch::Handle::current();
    handle.spawn(async move { filch::Handle::try_current().map(|h| h.tasks().len()) }).await?;
    Ok(())
}

async fn combined() -> Result<(), TaskError<JoinError>> {
    let handles = || [1, 2].map(|n| filch::spawn(async move { n }));
    let joined: Result<Vec<i32>, JoinError> = filch::gather((1..3).map(std::future::ready)).await;
    let settled: Vec<Result<(), JoinError>> = filch::gather([nothing()]).settled().await;
    let both: Result<((), i32), JoinError> = filch::gather!(nothing(), async { 2 }).await;
    let values: Vec<i32> = filch::try_gather(handles()).await?;
    drop((joined, settled, both, values));
    let mut waiting: Vec<JoinHandle<i32>> = handles().into();
    for until in [Until::First, Until::All, Until::When(|n| *n == 2)] {
        let _done: Vec<JoinHandle<i32>> = filch::wait(&mut waiting, until, SECOND).await;
    }
    let mut results = filch::as_completed(waiting);
    while let Some((_, result)) = results.next().await {
        result.map_err(TaskError::Join)?;
    }
    let _: Vec<JoinHandle<i32>> = results.into_pending();
    Ok(())
}

async fn time() {
    let mut interval = filch::interval(SECOND).missed_tick(filch::time::MissedTick::Skip);
    let _: Instant = interval.tick().await;
    filch::sleep_until(Instant::now()).await;
}

fn main() {
    filch::run(async {
        filch::spawn(groups());
        filch::spawn(limits(filch::spawn(async { 1 })));
        nested();
        filch::spawn(cancels(CancelScope::new()));
        filch::spawn(tasks());
        filch::spawn(combined());
        filch::spawn(time());
    });
}
