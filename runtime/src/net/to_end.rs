//! Reading until the end.

use std::io;
use std::task::{Poll, ready};

/// The least that is read at a time.
const LEAST: usize = 32;
/// The most by which a buffer grows at a time (if it has no room of its own).
const MOST: usize = 64 * 1024;

/// Reads up to the end. The buffer holds exactly what was read, whatever happens.
pub(super) fn poll_to_end(
    buf: &mut Vec<u8>,
    mut read: impl FnMut(&mut [u8]) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<()>> {
    loop {
        let filled = buf.len();
        if buf.capacity() - filled < LEAST {
            buf.reserve(filled.clamp(LEAST, MOST));
        }
        let room = (buf.capacity() - filled).min(MOST);
        buf.resize(filled + room, 0);
        let polled = read(&mut buf[filled..]);
        let read = match &polled {
            Poll::Ready(Ok(read)) => *read,
            _ => 0,
        };
        buf.truncate(filled + read);
        if ready!(polled)? == 0 {
            return Poll::Ready(Ok(()));
        }
    }
}

pub(super) fn not_utf8(error: std::str::Utf8Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the stream is not UTF-8 text: {error}"))
}
