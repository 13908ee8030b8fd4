//! Ends a group early by a member that fails: the others are cancelled.
//!
//! Mirrors the program of *Terminating a Task Group* in Python's *Coroutines and Tasks*:
//!
//! ```python
//! class TerminateTaskGroup(Exception):
//!     """Exception raised to terminate a task group."""
//!
//! async def force_terminate_task_group():
//!     """Used to force termination of a task group."""
//!     raise TerminateTaskGroup()
//!
//! async def job(task_id, sleep_time):
//!     print(f'Task {task_id}: start')
//!     await asyncio.sleep(sleep_time)
//!     print(f'Task {task_id}: done')
//!
//! async def main():
//!     try:
//!         async with TaskGroup() as group:
//!             # spawn some tasks
//!             group.create_task(job(1, 0.5))
//!             group.create_task(job(2, 1.5))
//!             # sleep for 1 second
//!             await asyncio.sleep(1)
//!             # add an exception-raising task to force the group to terminate
//!             group.create_task(force_terminate_task_group())
//!     except* TerminateTaskGroup:
//!         pass
//! ```

use filch::{GroupError, task_group};
use std::time::Duration;

#[derive(Debug)]
struct Terminate;

async fn force_terminate() -> Result<(), Terminate> {
    Err(Terminate)
}

async fn job(task: u32, time: Duration) {
    println!("Task {task}: start");
    filch::sleep(time).await;
    println!("Task {task}: done");
}

#[filch::main]
async fn main() {
    // The members that give `()` cannot fail; the error type is that of the one that can.
    let result: Result<(), GroupError<Terminate>> = task_group(async |group| {
        group.spawn(job(1, Duration::from_millis(500)));
        group.spawn(job(2, Duration::from_millis(1500)));
        filch::sleep(Duration::from_secs(1)).await;
        group.spawn(force_terminate());
        Ok(())
    })
    .await;

    let error = result.expect_err("a member has failed");
    assert!(matches!(error.into_first(), Some(Terminate)));
}
