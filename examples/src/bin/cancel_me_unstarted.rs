//! Cancels a task before it has started: it never does.
//!
//! The `cancel_me` program of Python's *Coroutines and Tasks*, without its first sleep:
//!
//! ```python
//! async def cancel_me():
//!     print('cancel_me(): before sleep')
//!     try:
//!         await asyncio.sleep(3600)
//!     finally:
//!         print('cancel_me(): after sleep')
//!
//! async def main():
//!     task = asyncio.create_task(cancel_me())
//!     task.cancel()
//!     try:
//!         await task
//!     except asyncio.CancelledError:
//!         print("main(): cancel_me is cancelled now")
//! ```

use filch::JoinError;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

async fn cancel_me() {
    println!("cancel_me(): before sleep");
    filch::sleep(HOUR).await;
}

async fn start_and_cancel() {
    // A task of `spawn_local` stays on the worker where it was spawned, so it cannot start before this task waits. (One
    // of `filch::spawn` could: another worker may be faster than the next line.)
    let task = filch::spawn_local(cancel_me);
    task.cancel();
    if task.await.is_err_and(|error| error.is_cancelled()) {
        println!("main(): cancel_me is cancelled now");
    }
}

#[filch::main]
async fn main() -> Result<(), JoinError> {
    // `main` itself runs on the main thread, which is no worker.
    filch::spawn(start_and_cancel()).await
}
