//! Hands a call that blocks to another thread and sleeps meanwhile: 1 s and 1 s are 1 s.
//!
//! Mirrors the `to_thread` program of Python's *Coroutines and Tasks*:
//!
//! ```python
//! def blocking_io():
//!     print(f"start blocking_io at {time.strftime('%X')}")
//!     time.sleep(1)
//!     print(f"blocking_io complete at {time.strftime('%X')}")
//!
//! async def main():
//!     print(f"started main at {time.strftime('%X')}")
//!     await asyncio.gather(
//!         asyncio.to_thread(blocking_io),
//!         asyncio.sleep(1))
//!     print(f"finished main at {time.strftime('%X')}")
//! ```

use filch::JoinError;
use futures_lite::future::zip;
use jiff::Zoned;
use std::{thread, time::Duration};

fn blocking_io() {
    println!("start blocking_io at {}", Zoned::now().strftime("%H:%M:%S"));
    // This stands for anything that makes its thread wait, such as reading a file.
    thread::sleep(Duration::from_secs(1));
    println!("blocking_io complete at {}", Zoned::now().strftime("%H:%M:%S"));
}

#[filch::main]
async fn main() -> Result<(), JoinError> {
    println!("started main at {}", Zoned::now().strftime("%H:%M:%S"));

    // Any runtime-agnostic combinator will do; this one awaits two futures of different types at once.
    let (io, ()) =
        zip(filch::spawn_blocking(blocking_io), filch::sleep(Duration::from_secs(1))).await;
    io?;

    println!("finished main at {}", Zoned::now().strftime("%H:%M:%S"));
    Ok(())
}
