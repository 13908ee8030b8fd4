//! Starts two tasks in a group, which waits for both: 1 s and 2 s are 2 s.
//!
//! Mirrors the `say_after` program of Python's *Coroutines and Tasks*, in its third form:
//!
//! ```python
//! async def main():
//!     async with asyncio.TaskGroup() as tg:
//!         task1 = tg.create_task(say_after(1, 'hello'))
//!         task2 = tg.create_task(say_after(2, 'world'))
//!         print(f"started at {time.strftime('%X')}")
//!     # The await is implicit when the context manager exits.
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
    filch::task_group(async |group| {
        group.spawn(say_after(1, "hello"));
        group.spawn(say_after(2, "world"));
        println!("started at {}", Zoned::now().strftime("%H:%M:%S"));
    })
    .await;

    // Both have ended: a group is not over before its last member is.
    println!("finished at {}", Zoned::now().strftime("%H:%M:%S"));
}
