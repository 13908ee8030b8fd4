//! [`AsyncFd`]: the driver's service for file descriptors of other libraries.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::task::{Context, Poll, ready};

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use super::readiness::Direction;
use super::registration::{Assume, Registered};

/// A file descriptor that the runtime watches over: an event descriptor, an inotify, a socket of a kind
/// that [`net`](crate::net) does not have.
///
/// The file descriptor must be non-blocking, and one that can be watched: regular files cannot. An operation that
/// gives `WouldBlock` waits for the next event and is tried again.
///
/// ```
/// use filch::io::{AsyncFd, Direction};
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
///
/// filch::run(async {
///     let (one, mut other) = UnixStream::pair()?;
///     one.set_nonblocking(true)?;
///     let one = AsyncFd::new(one)?;
///     let reader = filch::spawn(async move {
///         let mut text = [0; 5];
///         one.io(Direction::Read, |mut one| one.read(&mut text)).await?;
///         std::io::Result::Ok(text)
///     });
///     other.write_all(b"hello")?;
///     assert_eq!(&reader.await??, b"hello");
///     std::io::Result::Ok(())
/// })
/// # .unwrap();
/// ```
#[doc(alias = "add_reader")]
#[doc(alias = "add_writer")]
#[derive(Debug)]
pub struct AsyncFd<T: AsRawFd> {
    inner: Registered<Fd<T>>,
}

#[derive(Debug)]
struct Fd<T>(T);

impl<T: AsRawFd> Source for Fd<T> {
    fn register(&mut self, registry: &Registry, token: Token, on: Interest) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).register(registry, token, on)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, on: Interest) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).reregister(registry, token, on)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).deregister(registry)
    }
}

impl Direction {
    pub(crate) fn interest(self) -> Interest {
        match self {
            Direction::Read => Interest::READABLE,
            Direction::Write => Interest::WRITABLE,
        }
    }
}

impl<T: AsRawFd> AsyncFd<T> {
    /// Watches over a file descriptor, in both directions.
    ///
    /// # Errors
    ///
    /// What the system says: for instance `PermissionDenied` (`EPERM`) for a regular file, which
    /// cannot be watched: read it inside [`spawn_blocking`](crate::spawn_blocking). Outside a runtime, an error
    /// that says so.
    pub fn new(fd: T) -> io::Result<AsyncFd<T>> {
        Ok(AsyncFd { inner: Registered::new(Fd(fd), Assume::Ready)? })
    }

    /// As [`new`](AsyncFd::new), in one direction: for descriptors that can only be read or written.
    ///
    /// # Errors
    ///
    /// As [`new`](AsyncFd::new).
    pub fn in_direction(fd: T, direction: Direction) -> io::Result<AsyncFd<T>> {
        let inner = Registered::with_interest(Fd(fd), direction.interest(), Assume::Ready)?;
        Ok(AsyncFd { inner })
    }

    /// The file descriptor's owner.
    pub fn get_ref(&self) -> &T {
        &self.inner.0
    }

    /// Its owner, to change it. It must stay the same file descriptor.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.inner.0
    }

    /// Gives the file descriptor back; the runtime no longer watches over it.
    pub fn into_inner(self) -> T {
        self.inner.into_inner().0
    }

    /// Tries `operation` when it is worth a try, until it gives something other than `WouldBlock`. Several
    /// tasks may do so at the same time: all are woken, one succeeds.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future between two tries loses nothing.
    #[track_caller]
    pub fn io<R>(
        &self,
        direction: Direction,
        mut operation: impl FnMut(&T) -> io::Result<R>,
    ) -> impl Future<Output = io::Result<R>> {
        self.inner.io(direction, move |fd| operation(&fd.0))
    }

    /// Tries `operation` once, if an event said that it is worth a try. After `WouldBlock` it takes a new
    /// event.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is nothing to be done; otherwise those of the operation.
    pub fn try_io<R>(
        &self,
        direction: Direction,
        operation: impl FnOnce(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.inner.try_io(direction, |fd| operation(&fd.0))
    }

    /// Waits until an operation is worth a try. (It may find nothing nevertheless.)
    ///
    /// # Errors
    ///
    /// After the runtime was shut down.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    #[track_caller]
    pub fn ready(&self, direction: Direction) -> impl Future<Output = io::Result<()>> {
        let wait = self.inner.ready(direction);
        async move { wait.await.map(drop) }
    }

    /// [`io`](AsyncFd::io) for those who write futures by hand. Of many tasks that poll one direction, at most
    /// eight wait side by side; more wake each other in turn.
    ///
    /// # Errors
    ///
    /// Those of the operation.
    pub fn poll_io<R>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        mut operation: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let result = ready!(self.inner.poll_io(cx, direction, |fd| operation(&fd.0)));
        Poll::Ready(result)
    }
}

impl<T: AsRawFd> AsRawFd for AsyncFd<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.get_ref().as_raw_fd()
    }
}

impl<T: AsRawFd + AsFd> AsFd for AsyncFd<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get_ref().as_fd()
    }
}
