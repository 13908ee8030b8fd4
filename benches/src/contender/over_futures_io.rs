//! What hyper asks of a connection, for those who have futures-io's traits.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_lite::{AsyncRead, AsyncWrite};
use hyper::rt::{Read, ReadBufCursor, Write};

/// As much as hyper asks for at first.
const BUFFER: usize = 8 * 1024;

/// A connection for hyper. hyper's buffer is uninitialized, futures-io wants another kind: what was read is copied once.
pub(crate) struct OverFuturesIo<S> {
    stream: S,
    buffer: Box<[u8; BUFFER]>,
}

impl<S> OverFuturesIo<S> {
    pub(crate) fn new(stream: S) -> OverFuturesIo<S> {
        OverFuturesIo { stream, buffer: Box::new([0; BUFFER]) }
    }
}

impl<S: AsyncRead + Unpin> Read for OverFuturesIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let OverFuturesIo { stream, buffer } = &mut *self;
        let most = into.remaining().min(BUFFER);
        let length = ready!(Pin::new(stream).poll_read(cx, &mut buffer[..most]))?;
        into.put_slice(&buffer[..length]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Write for OverFuturesIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}
