//! tokio's [`AsyncRead`] and [`AsyncWrite`] (feature `tokio-io`): each is what the trait of the same name of futures-io is.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::scratch::read_through;
use super::writes::writes;

macro_rules! read {
    ($($type:ty),* $(,)?) => {$(
        #[cfg_attr(docsrs, doc(cfg(feature = "tokio-io")))]
        impl AsyncRead for $type {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                poll_read(self, cx, buf)
            }
        }
    )*};
}

read!(super::TcpStream, super::ReadHalf<super::TcpStream>);
writes!(AsyncWrite, "tokio-io", super::TcpStream, super::WriteHalf<super::TcpStream>);
#[cfg(unix)]
read!(super::UnixStream, super::ReadHalf<super::UnixStream>);
#[cfg(unix)]
writes!(AsyncWrite, "tokio-io", super::UnixStream, super::WriteHalf<super::UnixStream>);

fn poll_read(
    stream: Pin<&mut impl futures_io::AsyncRead>,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let is_initialized = buf.initialized().len() == buf.capacity();
    if is_initialized {
        let came = ready!(stream.poll_read(cx, buf.initialize_unfilled()))?;
        buf.advance(came);
        return Poll::Ready(Ok(()));
    }
    read_through(buf.remaining(), |memory| stream.poll_read(cx, memory), |came| buf.put_slice(came))
}
