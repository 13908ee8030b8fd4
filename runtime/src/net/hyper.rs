//! hyper's [`Read`] and [`Write`] (feature `hyper`): each is what the corresponding trait of futures-io is.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use ::hyper::rt::{Read, ReadBufCursor, Write};

use super::scratch::read_through;
use super::writes::writes;

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

read!(super::TcpStream, super::ReadHalf<super::TcpStream>);
writes!(Write, "hyper", super::TcpStream, super::WriteHalf<super::TcpStream>);
#[cfg(unix)]
read!(super::UnixStream, super::ReadHalf<super::UnixStream>);
#[cfg(unix)]
writes!(Write, "hyper", super::UnixStream, super::WriteHalf<super::UnixStream>);
