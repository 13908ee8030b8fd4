//! Awaits two futures one after the other: 1 s and 2 s are 3 s. A future does nothing until it is awaited.
//!
//! Mirrors the `say_after` program of Python's *Coroutines and Tasks*, in its first form:
//!
//! ```python
//! async def main():
//!     print(f"started at {time.strftime('%X')}")
//!     await say_after(1, 'hello')
//!     await say_after(2, 'world')
//!     print(f"finished at {time.strftime('%X')}")
//! ```

use jiff::Zoned;
use std::time::Duration;

async fn say_after(seconds: u64, what: &str) {
    filch::sleep(Duration::from_secs(seconds)).await;
    println!("{what}");
}

#[filch::main]
async fn main() {
    println!("started at {}", Zoned::now().strftime("%H:%M:%S"));

    say_after(1, "hello").await;
    say_after(2, "world").await;

    println!("finished at {}", Zoned::now().strftime("%H:%M:%S"));
}
