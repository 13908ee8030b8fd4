//! What a connected stream does, whichever kind it is: the one copy for TCP and Unix streams.
//!
//! A [`Wire`] is what the system can do with such a socket, [`Connected`] waits until it can, and
//! [`Duplex`] is for what is made of streams, as the [halves](super::split) are.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::task::{Context, Poll};

use mio::event::Source;

use crate::io::Direction;
use crate::io::registration::{Assume, Registered, Wait};

/// A connected socket.
pub trait Wire: Source + fmt::Debug + Send + Sync + 'static {
    fn read(&self, buf: &mut [u8]) -> io::Result<usize>;
    fn read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize>;
    fn write(&self, buf: &[u8]) -> io::Result<usize>;
    fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize>;
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;
}

macro_rules! wire {
    ($source:ty) => {
        impl Wire for $source {
            fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
                let mut this = self;
                Read::read(&mut this, buf)
            }

            fn read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                let mut this = self;
                Read::read_vectored(&mut this, bufs)
            }

            fn write(&self, buf: &[u8]) -> io::Result<usize> {
                let mut this = self;
                Write::write(&mut this, buf)
            }

            fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                let mut this = self;
                Write::write_vectored(&mut this, bufs)
            }

            fn shutdown(&self, how: Shutdown) -> io::Result<()> {
                <$source>::shutdown(self, how)
            }
        }
    };
}
wire!(mio::net::TcpStream);
#[cfg(unix)]
wire!(mio::net::UnixStream);

/// A stream that can be read and written at the same time: [`TcpStream`](super::TcpStream),
/// and on Unix [`UnixStream`](super::UnixStream).
pub trait Duplex: Sized {
    #[doc(hidden)]
    type Wire: Wire;
    #[doc(hidden)]
    fn connected(&self) -> &Connected<Self::Wire>;
}

/// A connected socket that the driver watches over.
pub struct Connected<W: Wire> {
    pub(super) inner: Registered<W>,
}

impl<W: Wire> Connected<W> {
    pub(super) fn watch(wire: W) -> io::Result<Connected<W>> {
        Ok(Connected { inner: Registered::new(wire, Assume::Ready)? })
    }

    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.inner.poll_transfer(cx, Direction::Read, buf.len(), |wire| wire.read(buf))
    }

    pub(super) fn poll_read_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let wanted = bufs.iter().map(|buf| buf.len()).sum();
        if wanted == 0 {
            return Poll::Ready(Ok(0));
        }
        self.inner.poll_transfer(cx, Direction::Read, wanted, |wire| wire.read_vectored(bufs))
    }

    pub(super) fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.inner.poll_transfer(cx, Direction::Write, buf.len(), |wire| wire.write(buf))
    }

    pub(super) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wanted = bufs.iter().map(|buf| buf.len()).sum();
        if wanted == 0 {
            return Poll::Ready(Ok(0));
        }
        self.inner.poll_transfer(cx, Direction::Write, wanted, |wire| wire.write_vectored(bufs))
    }

    pub(super) fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.try_io(Direction::Read, |wire| wire.read(buf))
    }

    pub(super) fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.inner.try_io(Direction::Read, |wire| wire.read_vectored(bufs))
    }

    pub(super) fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.inner.try_io(Direction::Write, |wire| wire.write(buf))
    }

    pub(super) fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.inner.try_io(Direction::Write, |wire| wire.write_vectored(bufs))
    }

    #[track_caller]
    pub(super) fn ready(&self, direction: Direction) -> Wait<'_, W> {
        self.inner.ready(direction)
    }

    /// Ends a direction, or both. What the peer has ended already is no error.
    pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let result = self.inner.shutdown(how);
        self.inner.rouse(how);
        match result {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        }
    }
}

impl<W: Wire> fmt::Debug for Connected<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
