//! `AsyncFd`: a descriptor that many wait for, some of whom give up.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;
use filch::io::{AsyncFd, Direction};
use filch::{timeout, yield_now};

use crate::world::{Crew, Patience};

const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes go through a pair of sockets; many readers share one end. What was written is read, by whomever.
pub(crate) async fn round(crew: Crew, mut rng: Rng) {
    crew.step("makes a pair");
    let (one, two) = StdStream::pair().expect("a pair of sockets");
    one.set_nonblocking(true).unwrap();
    two.set_nonblocking(true).unwrap();
    let reading = Arc::new(AsyncFd::new(one).unwrap());
    let writing = Arc::new(AsyncFd::new(two).unwrap());
    let received = Arc::new(AtomicU64::new(0));
    let readers: Vec<_> = (0..rng.u32(1..20))
        .map(|_| {
            let (reading, received) = (Arc::clone(&reading), Arc::clone(&received));
            let mut rng = rng.fork();
            crew.spawn(async move {
                let mut buffer = [0; 512];
                loop {
                    if rng.u32(0..4) == 0 {
                        // Waits for a moment, and leaves what may have come to the others.
                        let limit = Duration::from_micros(rng.u64(0..500));
                        let _ = timeout(limit, reading.ready(Direction::Read)).await;
                        yield_now().await;
                    }
                    let read = reading.io(Direction::Read, |mut fd| fd.read(&mut buffer));
                    match read.await {
                        Ok(0) => break true,
                        Ok(read) => _ = received.fetch_add(read as u64, Ordering::Relaxed),
                        Err(_) => break false,
                    }
                }
            })
        })
        .collect();
    crew.step("writes");
    let mut sent = 0;
    for _ in 0..rng.u32(0..300) {
        let piece = vec![1; rng.usize(1..3000)];
        let write = writing.io(Direction::Write, |mut fd| fd.write(&piece));
        match Patience::new(PATIENCE).wait(write).await {
            Some(Ok(written)) => sent += written as u64,
            Some(Err(error)) => crew.world.check(error.kind() == ErrorKind::BrokenPipe, || {
                format!("a write failed: {error}")
            }),
            None => return crew.world.wrong("nobody reads what was written to an AsyncFd"),
        }
        if rng.u32(0..10) == 0 {
            yield_now().await;
        }
    }
    crew.step("cuts some readers");
    let mut left: u32 = readers.len() as u32;
    for reader in &readers {
        if left > 1 && rng.u32(0..4) == 0 {
            left -= 1;
            if rng.bool() {
                reader.handle.cancel();
            } else {
                reader.abort();
            }
        }
    }
    crew.step("closes one end");
    match Arc::try_unwrap(writing) {
        Ok(writing) if rng.bool() => drop(writing.into_inner()),
        Ok(writing) => drop(writing),
        Err(_) => unreachable!("nobody else has it"),
    }
    crew.step("the readers see the end");
    for reader in readers {
        let end = crew.join(reader).await;
        crew.world.check(end != Some(false), || "a read failed".into());
    }
    let received = received.load(Ordering::Relaxed);
    // (A read takes the bytes and counts them within one poll.)
    crew.world.check(received == sent, || format!("{received} of {sent} bytes came out"));
}
