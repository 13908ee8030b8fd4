//! Cancels a task, which hears of it, cleans up, and ends as it was asked to.
//!
//! Mirrors the `cancel_me` program of Python's *Coroutines and Tasks*:
//!
//! ```python
//! async def cancel_me():
//!     print('cancel_me(): before sleep')
//!     try:
//!         # Wait for 1 hour
//!         await asyncio.sleep(3600)
//!     except asyncio.CancelledError:
//!         print('cancel_me(): cancel sleep')
//!         raise
//!     finally:
//!         print('cancel_me(): after sleep')
//!
//! async def main():
//!     task = asyncio.create_task(cancel_me())
//!     # Wait for 1 second
//!     await asyncio.sleep(1)
//!     task.cancel()
//!     try:
//!         await task
//!     except asyncio.CancelledError:
//!         print("main(): cancel_me is cancelled now")
//! ```

use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// Python's `finally`: what is to be done however the function is left.
struct Finally;

impl Drop for Finally {
    fn drop(&mut self) {
        println!("cancel_me(): after sleep");
    }
}

async fn cancel_me() {
    println!("cancel_me(): before sleep");
    let _finally = Finally;
    if let Err(cancelled) = filch::catch_cancel(filch::sleep(HOUR)).await {
        println!("cancel_me(): cancel sleep");
        // Python's `raise`: the task is dropped here, and with it `_finally`.
        cancelled.resume().await;
    }
}

#[filch::main]
async fn main() {
    let task = filch::spawn(cancel_me());
    filch::sleep(Duration::from_secs(1)).await;
    task.cancel();
    if task.await.is_err_and(|error| error.is_cancelled()) {
        // Only now: whoever awaits a task never sees its end before everything in it is dropped.
        println!("main(): cancel_me is cancelled now");
    }
}
