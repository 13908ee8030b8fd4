//! Prints the time each second for five seconds: five lines, since the sixth second would end too late.
//!
//! A sixth line would mean that a sleep ended early.
//!
//! Mirrors the `display_date` program of Python's *Coroutines and Tasks*:
//!
//! ```python
//! async def display_date():
//!     loop = asyncio.get_running_loop()
//!     end_time = loop.time() + 5.0
//!     while True:
//!         print(datetime.datetime.now())
//!         if (loop.time() + 1.0) >= end_time:
//!             break
//!         await asyncio.sleep(1)
//! ```

use jiff::Zoned;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

async fn display_date() {
    let end_time = Instant::now() + 5 * SECOND;
    loop {
        println!("{}", Zoned::now().strftime("%Y-%m-%d %H:%M:%S%.6f"));
        if Instant::now() + SECOND >= end_time {
            break;
        }
        filch::sleep(SECOND).await;
    }
}

fn main() {
    filch::run(display_date());
}
