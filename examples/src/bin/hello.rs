//! Prints `hello`, waits a second, prints `world`.
//!
//! Mirrors the first program of Python's *Coroutines and Tasks*:
//!
//! ```python
//! async def main():
//!     print('hello')
//!     await asyncio.sleep(1)
//!     print('world')
//! ```

use std::time::Duration;

#[filch::main]
async fn main() {
    println!("hello");
    filch::sleep(Duration::from_secs(1)).await;
    println!("world");
}
