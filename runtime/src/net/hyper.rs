//! hyper's [`Read`] and [`Write`] (feature `hyper`): each is what the corresponding trait of futures-io is.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use ::hyper::rt::{Read, ReadBufCursor, Write};

use super::scratch::read_through;

macro_rules! read {
    ($($type:ty),* $(,)?) => {$(
        #[cfg_attr(docsrs, doc(cfg(feature = "hyper")))]
        impl Read for $type {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                mut buf: ReadBufCursor<'_>,
            ) -> Poll<io::Result<()>> {
                let read = |memory: &mut [u8]| futures_io::AsyncRead::poll_read(self, cx, memory);
                read_through(buf.remaining(), read, |came| buf.put_slice(came))
            }
        }
    )*};
}

macro_rules! write {
    ($($type:ty),* $(,)?) => {$(
        #[cfg_attr(docsrs, doc(cfg(feature = "hyper")))]
        impl Write for $type {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                futures_io::AsyncWrite::poll_write(self, cx, buf)
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                futures_io::AsyncWrite::poll_flush(self, cx)
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                futures_io::AsyncWrite::poll_close(self, cx)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                futures_io::AsyncWrite::poll_write_vectored(self, cx, bufs)
            }
        }
    )*};
}

read!(super::TcpStream, super::ReadHalf<super::TcpStream>);
write!(super::TcpStream, super::WriteHalf<super::TcpStream>);
#[cfg(unix)]
read!(super::UnixStream, super::ReadHalf<super::UnixStream>);
#[cfg(unix)]
write!(super::UnixStream, super::WriteHalf<super::UnixStream>);
