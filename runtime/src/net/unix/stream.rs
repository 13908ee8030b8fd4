//! A connection inside one machine.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::SocketAddr;
use std::panic::Location;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use mio::net::UnixStream as Source;

use super::failed;
use crate::io::Direction;
use crate::io::registration::{Assume, Registered};
use crate::net::connected::{Connected, Duplex};
use crate::net::handles::{impl_handles, std_methods};
use crate::net::methods::{
    example, impl_async_read, impl_async_write, read_methods, write_methods,
};
use crate::net::sited::poll_here;
use crate::net::split::{ReadHalf, WriteHalf, split};
use crate::net::to_end::{not_utf8, poll_to_end};
use crate::sys;
use crate::time::{Sleep, now};

/// A connection inside one machine.
///
/// As a [`TcpStream`](crate::net::TcpStream) it can be read and written by two tasks at the same time, through
/// [`into_split`](UnixStream::into_split) or through references.
///
/// ```
/// use filch::net::UnixStream;
///
/// filch::run(async {
///     let (mut one, mut other) = UnixStream::pair()?;
///     one.write_all(b"hello").await?;
///     one.close().await?;
///     let mut text = String::new();
///     other.read_to_string(&mut text).await?;
///     assert_eq!(text, "hello");
///     std::io::Result::Ok(())
/// })
/// # .unwrap();
/// ```
#[doc(alias = "open_unix_connection")]
pub struct UnixStream {
    connected: Connected<Source>,
}

impl UnixStream {
    /// Connects to who listens at a path. Suspends while the listener's queue is full: then it tries again, in
    /// 1 to 50 ms (the system tells nobody when there is room).
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no file, `ConnectionRefused` if nobody listens; other errors of the system, with
    /// the path. And outside a runtime, one that says so.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what was begun.
    ///
    /// ```
    /// # filch::run(async {
    /// let error = filch::net::UnixStream::connect("/no/such/file").await.unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    /// assert!(error.to_string().contains("/no/such/file"));
    /// # });
    /// ```
    #[doc(alias = "open_unix_connection")]
    #[track_caller]
    pub fn connect(path: impl AsRef<Path>) -> impl Future<Output = io::Result<UnixStream>> {
        let site = Location::caller();
        async move {
            let path = path.as_ref();
            let connected = match SocketAddr::from_pathname(path) {
                Ok(address) => UnixStream::connect_to(&address, site).await,
                Err(error) => Err(error),
            };
            connected.map_err(|error| failed("connect to", path, &error))
        }
    }

    /// As [`connect`](UnixStream::connect), to an address of std's: for those without a file; see
    /// [`UnixListener::bind_addr`](super::UnixListener::bind_addr).
    ///
    /// # Errors
    ///
    /// As [`connect`](UnixStream::connect).
    ///
    /// # Cancel safety
    ///
    /// As [`connect`](UnixStream::connect).
    #[doc(alias = "abstract")]
    #[track_caller]
    pub fn connect_addr(address: &SocketAddr) -> impl Future<Output = io::Result<UnixStream>> {
        UnixStream::connect_to(address, Location::caller())
    }

    async fn connect_to(
        address: &SocketAddr,
        site: &'static Location<'static>,
    ) -> io::Result<UnixStream> {
        let mut pause = Duration::from_millis(1);
        let stream = loop {
            match Source::connect_addr(address) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    Sleep::at_site(now() + pause, site).await;
                    pause = (pause * 2).min(Duration::from_millis(50));
                }
                result => break result?,
            }
        };
        let inner = Registered::new(stream, Assume::Nothing)?;
        let is_made = |stream: &Source| {
            if let Some(error) = stream.take_error()? {
                return Err(error);
            }
            match stream.peer_addr() {
                Ok(_) => Ok(()),
                // An event that was about something else.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                    Err(io::ErrorKind::WouldBlock.into())
                }
                Err(error) => Err(error),
            }
        };
        inner.io(Direction::Write, is_made).at(site).await?;
        Ok(UnixStream { connected: Connected { inner } })
    }

    /// Two streams that are connected to each other.
    ///
    /// # Errors
    ///
    /// Those of the system. And outside a runtime, one that says so.
    #[doc(alias = "socketpair")]
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (one, other) = Source::pair()?;
        Ok((UnixStream::watch(one)?, UnixStream::watch(other)?))
    }

    pub(super) fn watch(stream: Source) -> io::Result<UnixStream> {
        Ok(UnixStream { connected: Connected::watch(stream)? })
    }

    fn wire(&self) -> &Connected<Source> {
        &self.connected
    }

    read_methods!(unix);

    write_methods!(unix);

    /// The two directions, each with an owner of its own.
    ///
    /// Dropping the writing half ends its direction, so that the peer finds the end; see [`WriteHalf`].
    #[doc(alias = "split")]
    pub fn into_split(self) -> (ReadHalf<UnixStream>, WriteHalf<UnixStream>) {
        split(self)
    }

    /// Ends the writing direction: the peer reads what was written and then finds the end. As
    /// [`close`](UnixStream::close), through a reference. Another
    /// task that waits for room to write fails.
    ///
    /// # Errors
    ///
    /// Those of the system. That the peer is gone is none.
    #[doc(alias = "shutdown")]
    pub fn shutdown_write(&self) -> io::Result<()> {
        self.connected.shutdown(Shutdown::Write)
    }

    /// Ends the reading direction: whoever reads finds the end, and the peer's writes fail with `BrokenPipe`.
    ///
    /// # Errors
    ///
    /// Those of the system.
    ///
    /// ```
    #[doc = example!(unix)]
    /// one.shutdown_read()?;
    /// assert_eq!(one.read(&mut [0]).await?, 0);
    /// let error = other.write(b"x").await.unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    #[doc = example!()]
    /// ```
    #[doc(alias = "shutdown")]
    pub fn shutdown_read(&self) -> io::Result<()> {
        self.connected.shutdown(Shutdown::Read)
    }

    /// The other end's address: most often none.
    ///
    /// # Errors
    ///
    /// Those of the system.
    #[doc(alias = "getpeername")]
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.connected.inner.peer_addr()
    }

    /// This end's address: most often none, except at the server.
    ///
    /// # Errors
    ///
    /// Those of the system.
    #[doc(alias = "getsockname")]
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.connected.inner.local_addr()
    }

    /// Who the other end was when it connected (or, for the client, when the server began to listen).
    ///
    /// # Errors
    ///
    /// Those of the system; `Unsupported` where it cannot tell.
    ///
    /// ```
    #[doc = example!(unix)]
    /// # #[cfg(target_os = "linux")]
    /// assert_eq!(one.peer_cred()?.pid(), Some(std::process::id()));
    /// # let _ = (&mut one, &mut other);
    #[doc = example!()]
    /// ```
    #[doc(alias = "SO_PEERCRED")]
    pub fn peer_cred(&self) -> io::Result<UCred> {
        let (uid, gid, pid) = sys::peer_of(self.as_fd())?;
        Ok(UCred { uid, gid, pid })
    }

    std_methods!(std::os::unix::net::UnixStream, Source, connected.inner);

    /// The error that the system keeps for this socket, if there is one (`SO_ERROR`); it is taken out.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.connected.inner.take_error()
    }
}

impl Duplex for UnixStream {
    type Wire = Source;

    fn connected(&self) -> &Connected<Source> {
        &self.connected
    }
}

impl_handles!(UnixStream, connected.inner);
impl_async_read!([] UnixStream);
impl_async_read!([] & UnixStream);
impl_async_write!([] UnixStream);
impl_async_write!([] & UnixStream);

/// Who is at the other end of a [`UnixStream`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UCred {
    uid: u32,
    gid: u32,
    pid: Option<u32>,
}

impl UCred {
    /// The user.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// The group.
    pub fn gid(&self) -> u32 {
        self.gid
    }

    /// The process, where the system tells it (Linux does).
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }
}
