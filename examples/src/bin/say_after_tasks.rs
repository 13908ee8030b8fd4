//! Spawns two tasks, which wait at the same time: 1 s and 2 s are 2 s.
//!
//! Mirrors the `say_after` program of Python's *Coroutines and Tasks*, in its second form:
//!
//! ```python
//! async def main():
//!     task1 = asyncio.create_task(say_after(1, 'hello'))
//!     task2 = asyncio.create_task(say_after(2, 'world'))
//!     print(f"started at {time.strftime('%X')}")
//!     await task1
//!     await task2
//!     print(f"finished at {time.strftime('%X')}")
//! ```

use filch::JoinError;
use jiff::Zoned;
use std::time::Duration;

async fn say_after(seconds: u64, what: &str) {
    filch::sleep(Duration::from_secs(seconds)).await;
    println!("{what}");
}

#[filch::main]
async fn main() -> Result<(), JoinError> {
    let task1 = filch::spawn(say_after(1, "hello"));
    let task2 = filch::spawn(say_after(2, "world"));

    println!("started at {}", Zoned::now().strftime("%H:%M:%S"));

    task1.await?;
    task2.await?;

    println!("finished at {}", Zoned::now().strftime("%H:%M:%S"));
    Ok(())
}
