//! Ends a group early by cancelling it: no member has to fail for that.
//!
//! Mirrors *Terminating a Task Group* in Python's *Coroutines and Tasks*, with `TaskGroup.cancel()`, which Python has
//! from 3.15 on:
//!
//! ```python
//! async def job(task_id, sleep_time):
//!     print(f'Task {task_id}: start')
//!     await asyncio.sleep(sleep_time)
//!     print(f'Task {task_id}: done')
//!
//! async def main():
//!     async with asyncio.TaskGroup() as group:
//!         group.create_task(job(1, 0.5))
//!         group.create_task(job(2, 1.5))
//!         await asyncio.sleep(1)
//!         group.cancel()
//! ```

use std::time::Duration;

async fn job(task: u32, time: Duration) {
    println!("Task {task}: start");
    filch::sleep(time).await;
    println!("Task {task}: done");
}

#[filch::main]
async fn main() {
    filch::task_group(async |group| {
        group.spawn(job(1, Duration::from_millis(500)));
        group.spawn(job(2, Duration::from_millis(1500)));
        filch::sleep(Duration::from_secs(1)).await;
        group.cancel();
    })
    .await;
}
