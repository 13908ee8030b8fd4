//! TCP: listeners and streams.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::resolve::{ToAddrs, look_up};
use crate::io::Direction;
use crate::io::registration::{Assume, Registered};

/// Accepts connections.
pub struct TcpListener {
    inner: Registered<mio::net::TcpListener>,
}

/// A connection.
pub struct TcpStream {
    inner: Registered<mio::net::TcpStream>,
}

impl TcpListener {
    /// Listens at the first of the addresses that can be had.
    pub async fn bind(address: impl ToAddrs) -> io::Result<TcpListener> {
        let mut last = None;
        for address in look_up(address.to_addrs()).await? {
            match mio::net::TcpListener::bind(address) {
                Ok(listener) => return TcpListener::watch(listener),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no address")))
    }

    fn watch(listener: mio::net::TcpListener) -> io::Result<TcpListener> {
        Ok(TcpListener { inner: Registered::new(listener, Assume::Ready)? })
    }

    /// Waits for a connection.
    #[track_caller]
    pub fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> {
        let accepted = self.inner.io(Direction::Read, |listener| listener.accept());
        async move {
            let (stream, peer) = accepted.await?;
            Ok((TcpStream::watch(stream)?, peer))
        }
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

impl TcpStream {
    /// Connects to the first of the addresses that answers.
    pub async fn connect(address: impl ToAddrs) -> io::Result<TcpStream> {
        let mut last = None;
        for address in look_up(address.to_addrs()).await? {
            match TcpStream::connect_to(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no address")))
    }

    async fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
        let stream = mio::net::TcpStream::connect(address)?;
        let inner = Registered::new(stream, Assume::Nothing)?;
        inner.ready(Direction::Write).await?;
        match inner.take_error()? {
            Some(error) => Err(error),
            None => Ok(TcpStream { inner }),
        }
    }

    fn watch(stream: mio::net::TcpStream) -> io::Result<TcpStream> {
        Ok(TcpStream { inner: Registered::new(stream, Assume::Ready)? })
    }

    pub(crate) fn poll_read_at(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let wanted = buf.len();
        self.inner.poll_transfer(cx, Direction::Read, wanted, |mut stream| stream.read(buf))
    }

    pub(crate) fn poll_write_at(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.inner.poll_transfer(cx, Direction::Write, buf.len(), |mut stream| stream.write(buf))
    }

    /// Reads what there is.
    pub async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read_at(cx, buf)).await
    }

    /// Fills the buffer.
    pub async fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.read(&mut buf[filled..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => filled += more,
            }
        }
        Ok(())
    }

    /// Writes all of it.
    pub async fn write_all(&mut self, mut buf: &[u8]) -> io::Result<()> {
        while !buf.is_empty() {
            let written = poll_fn(|cx| self.poll_write_at(cx, buf)).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            buf = &buf[written..];
        }
        Ok(())
    }

    /// Sends what is written at once, however little it is.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.inner.set_nodelay(nodelay)
    }
}

impl futures_io::AsyncRead for TcpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_read_at(cx, buf)
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let wanted = bufs.iter().map(|buf| buf.len()).sum();
        let read = |mut stream: &mio::net::TcpStream| stream.read_vectored(bufs);
        self.inner.poll_transfer(cx, Direction::Read, wanted, read)
    }
}

impl futures_io::AsyncWrite for TcpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_at(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wanted = bufs.iter().map(|buf| buf.len()).sum();
        let write = |mut stream: &mio::net::TcpStream| stream.write_vectored(bufs);
        self.inner.poll_transfer(cx, Direction::Write, wanted, write)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.inner.shutdown(Shutdown::Write))
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
