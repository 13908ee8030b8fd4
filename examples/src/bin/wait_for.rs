//! Gives a task one second. It wants an hour, so it is cancelled.
//!
//! Mirrors the `wait_for` program of Python's *Coroutines and Tasks*:
//!
//! ```python
//! async def eternity():
//!     # Sleep for one hour
//!     await asyncio.sleep(3600)
//!     print('yay!')
//!
//! async def main():
//!     # Wait for at most 1 second
//!     try:
//!         await asyncio.wait_for(eternity(), timeout=1.0)
//!     except TimeoutError:
//!         print('timeout!')
//! ```

use filch::JoinError;
use std::time::Duration;

async fn eternity() {
    filch::sleep(Duration::from_secs(3600)).await;
    println!("yay!");
}

#[filch::main]
async fn main() -> Result<(), JoinError> {
    // `wait_for` also waits for the task's cleanup. For a plain future there is `filch::timeout`.
    match filch::wait_for(Duration::from_secs(1), filch::spawn(eternity())).await {
        Ok(result) => result,
        Err(_) => {
            println!("timeout!");
            Ok(())
        }
    }
}
