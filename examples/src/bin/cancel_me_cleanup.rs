//! Cancels a task that needs some time to clean up: it is given the time.
//!
//! The `cancel_me` program of Python's *Coroutines and Tasks*, with an `await` in its `except`:
//!
//! ```python
//! async def cancel_me():
//!     print('cancel_me(): before sleep')
//!     try:
//!         await asyncio.sleep(3600)
//!     except asyncio.CancelledError:
//!         print('cancel_me(): cancel sleep')
//!         await asyncio.sleep(0.1)
//!         print('cancel_me(): cleaned up')
//!         raise
//!     finally:
//!         print('cancel_me(): after sleep')
//! ```

use filch::Cancelled;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// Python's `finally`: what is to be done however the function is left.
struct Finally;

impl Drop for Finally {
    fn drop(&mut self) {
        println!("cancel_me(): after sleep");
    }
}

async fn cancel_me() -> Result<(), Cancelled> {
    println!("cancel_me(): before sleep");
    let _finally = Finally;
    let slept = filch::catch_cancel(filch::sleep(HOUR)).await;
    if slept.is_err() {
        println!("cancel_me(): cancel sleep");
        // The task can wait here, as it has the token, in `slept`.
        filch::sleep(Duration::from_millis(100)).await;
        println!("cancel_me(): cleaned up");
    }
    // To return the token, by name or with `?`, is another way of saying `raise`.
    slept
}

#[filch::main]
async fn main() {
    let task = filch::spawn(cancel_me());
    filch::sleep(Duration::from_secs(1)).await;
    task.cancel();
    if task.await.is_err_and(|error| error.is_cancelled()) {
        println!("main(): cancel_me is cancelled now");
    }
}
