//! Computes three factorials at the same time, and collects them in order.
//!
//! Mirrors the `gather` program of Python's *Coroutines and Tasks*:
//!
//! ```python
//! async def factorial(name, number):
//!     f = 1
//!     for i in range(2, number + 1):
//!         print(f"Task {name}: Compute factorial({number}), currently i={i}...")
//!         await asyncio.sleep(1)
//!         f *= i
//!     print(f"Task {name}: factorial({number}) = {f}")
//!     return f
//!
//! async def main():
//!     # Schedule three calls *concurrently*:
//!     L = await asyncio.gather(
//!         factorial("A", 2),
//!         factorial("B", 3),
//!         factorial("C", 4),
//!     )
//!     print(L)
//! ```

use filch::JoinError;
use std::time::Duration;

async fn factorial(name: &str, number: u64) -> u64 {
    let mut f = 1;
    for i in 2..=number {
        println!("Task {name}: Compute factorial({number}), currently i={i}...");
        filch::sleep(Duration::from_secs(1)).await;
        f *= i;
    }
    println!("Task {name}: factorial({number}) = {f}");
    f
}

#[filch::main]
async fn main() -> Result<(), JoinError> {
    let numbers = filch::gather([factorial("A", 2), factorial("B", 3), factorial("C", 4)]).await?;
    println!("{numbers:?}");
    Ok(())
}
