//! Reading into memory that nobody has written to yet, without unsafe code.
//!
//! hyper and tokio lend buffers whose bytes are not initialized, and safe code cannot give those to the system.
//! Clearing them first costs as much as the buffer is large, at each poll, even if there is nothing to
//! read. So the bytes are read into memory of the thread's own, and what came is copied: that costs as
//! much as came.

use std::cell::Cell;
use std::io;
use std::task::{Poll, ready};

/// The most that is read at a time.
const SIZE: usize = 16 * 1024;

std::thread_local! {
    /// Lent to one read at a time, and never across a wait.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Calls `read` with memory for up to `most` bytes, then `put` with what came.
pub(super) fn read_through(
    most: usize,
    read: impl FnOnce(&mut [u8]) -> Poll<io::Result<usize>>,
    put: impl FnOnce(&[u8]),
) -> Poll<io::Result<()>> {
    let mut scratch = SCRATCH.try_with(Cell::take).unwrap_or_default();
    if scratch.is_empty() {
        scratch = vec![0; SIZE];
    }
    let polled = read(&mut scratch[..most.min(SIZE)]);
    if let Poll::Ready(Ok(came)) = polled {
        put(&scratch[..came]);
    }
    // (A thread that ends has it no more.)
    let _ = SCRATCH.try_with(|place| place.set(scratch));
    ready!(polled)?;
    Poll::Ready(Ok(()))
}
