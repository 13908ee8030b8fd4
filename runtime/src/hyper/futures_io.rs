//! Streams of other libraries.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use ::futures_io::{AsyncRead, AsyncWrite};
use ::hyper::rt::{Read, ReadBufCursor, Write};
use pin_project_lite::pin_project;

use crate::net::scratch::read_through;

pin_project! {
    /// A stream of futures-io, for hyper: one of `futures-rustls` for instance.
    ///
    /// Streams of [`net`](crate::net) need no such wrapper.
    ///
    /// ```
    /// use filch::hyper::FuturesIo;
    /// use hyper::rt::Write;
    /// use std::pin::Pin;
    ///
    /// filch::run(async {
    ///     let mut stream = FuturesIo::new(futures_lite::io::Cursor::new(Vec::new()));
    ///     let written = std::future::poll_fn(|cx| Pin::new(&mut stream).poll_write(cx, b"hello"));
    ///     assert_eq!(written.await.unwrap(), 5);
    ///     assert_eq!(stream.into_inner().into_inner(), b"hello");
    /// });
    /// ```
    #[derive(Debug, Clone)]
    pub struct FuturesIo<T> {
        #[pin]
        inner: T,
    }
}

impl<T> FuturesIo<T> {
    /// Wraps a stream.
    pub fn new(inner: T) -> FuturesIo<T> {
        FuturesIo { inner }
    }

    /// The stream.
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// The stream, to change it.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// Gives the stream back. (It has no buffer: nothing is lost.)
    pub fn into_inner(self) -> T {
        self.inner
    }
}

impl<T: AsyncRead> Read for FuturesIo<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = self.project().inner;
        let read = |memory: &mut [u8]| stream.poll_read(cx, memory);
        read_through(buf.remaining(), read, |came| buf.put_slice(came))
    }
}

impl<T: AsyncWrite> Write for FuturesIo<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_close(cx)
    }

    /// futures-io does not tell. Saying yes costs nothing: who cannot, writes the first of the buffers.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write_vectored(cx, bufs)
    }
}

#[cfg(feature = "hyper-client")]
#[cfg_attr(docsrs, doc(cfg(feature = "hyper-client")))]
impl<T> hyper_util::client::legacy::connect::Connection for FuturesIo<T> {
    fn connected(&self) -> hyper_util::client::legacy::connect::Connected {
        hyper_util::client::legacy::connect::Connected::new()
    }
}
