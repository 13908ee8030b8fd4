//! Takes results in the order in which they come, and knows whose they are.
//!
//! Mirrors the `as_completed` program of Python's *Coroutines and Tasks* (with sleeps for the connections):
//!
//! ```python
//! ipv4_connect = create_task(open_connection("127.0.0.1", 80))
//! ipv6_connect = create_task(open_connection("::1", 80))
//! tasks = [ipv4_connect, ipv6_connect]
//!
//! async for earliest_connect in as_completed(tasks):
//!     # earliest_connect is done. The result can be obtained by
//!     # awaiting it or calling earliest_connect.result()
//!     reader, writer = await earliest_connect
//!
//!     if earliest_connect is ipv6_connect:
//!         print("IPv6 connection established.")
//!     else:
//!         print("IPv4 connection established.")
//! ```

use filch::JoinError;
use std::time::Duration;

async fn open_connection(seconds: u64) {
    filch::sleep(Duration::from_secs(seconds)).await;
}

#[filch::main]
async fn main() -> Result<(), JoinError> {
    let ipv4_connect = filch::spawn(open_connection(2));
    let ipv6_connect = filch::spawn(open_connection(1));
    let ipv6 = ipv6_connect.id();

    let mut earliest = filch::as_completed([ipv4_connect, ipv6_connect]);
    // (It is a `Stream` as well.)
    while let Some((id, connection)) = earliest.next().await {
        connection?;
        if id == ipv6 {
            println!("IPv6 connection established.");
        } else {
            println!("IPv4 connection established.");
        }
    }
    Ok(())
}
