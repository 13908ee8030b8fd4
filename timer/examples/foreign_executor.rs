//! The timer under an executor that knows nothing of it (futures-lite's `block_on`, and threads
//! of our own): a service that answers some requests in time and gives up on others.
//!
//! `cargo run -p filch-timer --example foreign_executor`

use std::future::Future;
use std::time::{Duration, Instant};

use filch_timer::{Clock, Timer};
use futures_lite::future::{block_on, or, zip};

/// What asyncio calls `wait_for`, in four lines.
async fn timeout<T>(timer: &Timer, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    or(async { Some(future.await) }, async {
        timer.sleep(limit).await;
        None
    })
    .await
}

async fn request(timer: &Timer, name: &str, takes_ms: u64) -> Option<String> {
    let work = async {
        timer.sleep(Duration::from_millis(takes_ms)).await;
        format!("{name} after {takes_ms} ms")
    };
    timeout(timer, Duration::from_millis(100), work).await
}

fn main() -> std::io::Result<()> {
    let timer = Timer::new(Clock::system())?;
    let start = Instant::now();

    // Two requests at once on this thread, and one each on two others.
    let others = [("third", 10), ("fourth", 60_000)].map(|(name, takes_ms)| {
        let timer = timer.clone();
        std::thread::spawn(move || block_on(request(&timer, name, takes_ms)))
    });
    let (first, second) =
        block_on(zip(request(&timer, "first", 20), request(&timer, "second", 3_600_000)));
    let [third, fourth] = others.map(|thread| thread.join().expect("a request does not panic"));

    let took = start.elapsed();
    println!("first: {first:?}\nsecond: {second:?}\nthird: {third:?}\nfourth: {fourth:?}");
    println!("all of it took {took:?}; left behind: {:?}", timer.stats());
    assert_eq!(first.as_deref(), Some("first after 20 ms"));
    assert_eq!(third.as_deref(), Some("third after 10 ms"));
    assert_eq!((second, fourth), (None, None), "these took too long");
    assert!(took >= Duration::from_millis(100), "never early");
    assert_eq!(timer.stats().registered, 0);
    Ok(())
}
