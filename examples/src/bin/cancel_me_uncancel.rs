//! Cancels a task that does not end: it takes the request back and gives a value.
//!
//! The `cancel_me` program of Python's *Coroutines and Tasks*, without its `raise`:
//!
//! ```python
//! async def cancel_me():
//!     print('cancel_me(): before sleep')
//!     try:
//!         await asyncio.sleep(3600)
//!     except asyncio.CancelledError:
//!         print('cancel_me(): cancel sleep')
//!         asyncio.current_task().uncancel()
//!     finally:
//!         print('cancel_me(): after sleep')
//!     return 42
//!
//! async def main():
//!     task = asyncio.create_task(cancel_me())
//!     await asyncio.sleep(1)
//!     task.cancel()
//!     print(f"main(): cancel_me gives {await task}")
//! ```

use filch::JoinError;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// Python's `finally`: what is to be done however the function is left.
struct Finally;

impl Drop for Finally {
    fn drop(&mut self) {
        println!("cancel_me(): after sleep");
    }
}

async fn cancel_me() -> u32 {
    println!("cancel_me(): before sleep");
    let _finally = Finally;
    if let Err(cancelled) = filch::catch_cancel(filch::sleep(HOUR)).await {
        println!("cancel_me(): cancel sleep");
        cancelled.uncancel();
    }
    42
}

#[filch::main]
async fn main() -> Result<(), JoinError> {
    let task = filch::spawn(cancel_me());
    filch::sleep(Duration::from_secs(1)).await;
    task.cancel();
    println!("main(): cancel_me gives {}", task.await?);
    Ok(())
}
