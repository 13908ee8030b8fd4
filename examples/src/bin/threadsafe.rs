//! A thread that is not the runtime's spawns a task on it and waits for the result, though not for ever.
//!
//! Mirrors the `run_coroutine_threadsafe` program of Python's *Coroutines and Tasks*:
//!
//! ```python
//! def in_thread(loop):
//!     coro = asyncio.sleep(1, result=3)
//!     future = asyncio.run_coroutine_threadsafe(coro, loop)
//!     assert future.result(timeout=2) == 3
//!
//! async def main():
//!     loop = asyncio.get_running_loop()
//!     await asyncio.to_thread(in_thread, loop)
//! ```

use filch::{Handle, JoinError};
use std::{thread, time::Duration};

async fn three() -> u32 {
    filch::sleep(Duration::from_secs(1)).await;
    3
}

fn in_thread(runtime: &Handle) {
    let mut task = runtime.spawn(three());
    // This blocks, as the thread's own work would: no future is polled here.
    match task.join_timeout(Duration::from_secs(2)) {
        Some(Ok(result)) => println!("{result}"),
        Some(Err(error)) => println!("the task has failed: {error}"),
        None => println!("the task took too long"),
    }
}

#[filch::main]
async fn main() -> Result<(), JoinError> {
    let runtime = Handle::current();
    let thread = thread::spawn(move || in_thread(&runtime));

    // To wait for a thread is to block, so it is left to a thread that may.
    filch::spawn_blocking(move || thread.join().expect("the thread panicked")).await
}
