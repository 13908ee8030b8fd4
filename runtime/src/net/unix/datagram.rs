//! Datagrams inside one machine.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::SocketAddr;
use std::panic::Location;
use std::path::Path;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use mio::net::UnixDatagram as Source;
use socket2::{SockAddr, SockRef};

use super::failed;
use crate::io::Direction;
use crate::io::registration::{Assume, Registered};
use crate::net::datagram::datagram_methods;
use crate::net::handles::{impl_handles, std_methods};
use crate::net::sited::poll_here;
use crate::time::{Sleep, now};

/// A socket for datagrams inside one machine: none is lost, none overtakes another, and who sends waits for who
/// receives.
///
/// All methods take a shared reference: several tasks may send and receive at once, through an `Arc`. Each datagram
/// is received by one of them. What does not fit into the buffer is cut off.
///
/// ```
/// use filch::net::UnixDatagram;
///
/// filch::run(async {
///     let (one, other) = UnixDatagram::pair()?;
///     one.send(b"hello").await?;
///     one.send(b"world").await?;
///     let mut buf = [0; 64];
///     assert_eq!(other.recv(&mut buf).await?, 5);
///     assert_eq!(&buf[..5], b"hello");
///     std::io::Result::Ok(())
/// })
/// # .unwrap();
/// ```
pub struct UnixDatagram {
    inner: Registered<Source>,
}

impl UnixDatagram {
    /// A socket at a path, where a file is made. Dropping the socket leaves the file: to remove it is its
    /// user's matter.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if there is a file; other errors of the system. And outside a runtime, one that says so.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixDatagram> {
        let path = path.as_ref();
        let socket = Source::bind(path).map_err(|error| failed("bind", path, &error))?;
        UnixDatagram::watch(socket)
    }

    /// A socket at an address of std's. On Linux that can be a name without a file
    /// (`std::os::linux::net::SocketAddrExt`).
    ///
    /// # Errors
    ///
    /// As [`bind`](UnixDatagram::bind).
    #[doc(alias = "abstract")]
    pub fn bind_addr(address: &SocketAddr) -> io::Result<UnixDatagram> {
        UnixDatagram::watch(Source::bind_addr(address)?)
    }

    /// A socket without an address: it can send, but nobody can answer.
    ///
    /// # Errors
    ///
    /// Those of the system. And outside a runtime, one that says so.
    pub fn unbound() -> io::Result<UnixDatagram> {
        UnixDatagram::watch(Source::unbound()?)
    }

    /// Two sockets that are connected to each other.
    ///
    /// # Errors
    ///
    /// Those of the system. And outside a runtime, one that says so.
    #[doc(alias = "socketpair")]
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (one, other) = Source::pair()?;
        Ok((UnixDatagram::watch(one)?, UnixDatagram::watch(other)?))
    }

    fn watch(socket: Source) -> io::Result<UnixDatagram> {
        Ok(UnixDatagram { inner: Registered::new(socket, Assume::Ready)? })
    }

    std_methods!(std::os::unix::net::UnixDatagram, Source, inner);

    /// From now on [`send`](UnixDatagram::send) sends to who is bound to this path.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no file, `ConnectionRefused` if nobody is there; other errors of the system.
    ///
    /// ```
    /// # use filch::net::UnixDatagram;
    /// # let path = std::env::temp_dir().join(format!("filch-doc-connect-{}", std::process::id()));
    /// # filch::run(async {
    /// let server = UnixDatagram::bind(&path)?;
    /// let client = UnixDatagram::unbound()?;
    /// client.connect(&path)?;
    /// client.send(b"hello").await?;
    /// let mut buf = [0; 16];
    /// assert_eq!(server.recv(&mut buf).await?, 5);
    /// # std::fs::remove_file(&path)
    /// # }).unwrap();
    /// ```
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        self.inner.connect(path).map_err(|error| failed("connect to", path, &error))
    }

    datagram_methods!(
        UnixDatagram,
        "# filch::run(async {
# let (one, other) = filch::net::UnixDatagram::pair()?;"
    );

    /// Sends a datagram to who is bound to this path. Suspends while it has too many unread: then it tries again, in 1 to
    /// 20 ms, for the system does not tell when there is room. (To a socket that is
    /// [connected](UnixDatagram::connect) it does: use [`send`](UnixDatagram::send) for many datagrams.)
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no file, `ConnectionRefused` if nobody is there; other errors of the system. And after
    /// the runtime was shut down.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready sends nothing.
    ///
    /// ```
    /// # use filch::net::UnixDatagram;
    /// # let path = std::env::temp_dir().join(format!("filch-doc-send-{}", std::process::id()));
    /// # filch::run(async {
    /// let server = UnixDatagram::bind(&path)?;
    /// let client = UnixDatagram::unbound()?;
    /// client.send_to(b"hello", &path).await?;
    /// let mut buf = [0; 16];
    /// let (length, from) = server.recv_from(&mut buf).await?;
    /// assert_eq!(&buf[..length], b"hello");
    /// assert!(from.is_unnamed());
    /// # std::fs::remove_file(&path)
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn send_to<'a>(
        &'a self,
        buf: &'a [u8],
        path: impl AsRef<Path> + 'a,
    ) -> impl Future<Output = io::Result<usize>> {
        self.send_somewhere(move |socket| socket.send_to(buf, path.as_ref()))
    }

    /// As [`send_to`](UnixDatagram::send_to), to an address of std's: for answers, and for addresses without a file.
    ///
    /// # Errors
    ///
    /// As [`send_to`](UnixDatagram::send_to); `InvalidInput` for the address of a socket that has none.
    ///
    /// # Cancel safety
    ///
    /// As [`send_to`](UnixDatagram::send_to).
    #[doc(alias = "abstract")]
    #[track_caller]
    pub fn send_to_addr<'a>(
        &'a self,
        buf: &'a [u8],
        address: &'a SocketAddr,
    ) -> impl Future<Output = io::Result<usize>> {
        self.send_somewhere(move |socket| {
            SockRef::from(socket).send_to(buf, &socket_address(address)?)
        })
    }

    /// Sends without being connected. If the receiver has too many unread, the system does not tell when it
    /// has read some; but each attempt that fails frees memory, of which Linux makes an event. So events
    /// alone would mean trying without end: after a few it pauses between attempts, longer each time.
    #[track_caller]
    fn send_somewhere<'a>(
        &'a self,
        mut send: impl FnMut(&Source) -> io::Result<usize> + 'a,
    ) -> impl Future<Output = io::Result<usize>> {
        const AT_ONCE: u32 = 4;
        const LONGEST: Duration = Duration::from_millis(20);
        let site = Location::caller();
        let mut wait = self.inner.ready(Direction::Write);
        let (mut failed, mut length) = (0, Duration::from_millis(1));
        let mut pause: Option<Sleep> = None;
        poll_here(move |cx| {
            loop {
                // First, because it tells when the runtime has ended, which the pause would not like.
                let ready = match wait.poll_ready(cx) {
                    Poll::Ready(ready) => Some(ready?),
                    Poll::Pending => None,
                };
                match &mut pause {
                    Some(sleep) => ready!(sleep.poll_deadline(cx)),
                    None if ready.is_none() => return Poll::Pending,
                    None => {}
                }
                pause = None;
                match send(&self.inner) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        ready.into_iter().for_each(|ready| self.inner.clear(ready));
                        failed += 1;
                        if failed > AT_ONCE {
                            pause = Some(Sleep::at_site(now() + length, site));
                            length = (length * 2).min(LONGEST);
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    result => return Poll::Ready(result),
                }
            }
        })
    }

    /// [`send_to`](UnixDatagram::send_to) for those who write futures by hand; but it does not pause: while the receiver
    /// has too many unread, its task may be woken again and again.
    ///
    /// # Errors
    ///
    /// As [`send_to`](UnixDatagram::send_to).
    pub fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        path: impl AsRef<Path>,
    ) -> Poll<io::Result<usize>> {
        self.inner.poll_io(cx, Direction::Write, |socket| socket.send_to(buf, path.as_ref()))
    }

    /// Sends a datagram if there is room, and does not wait.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is none; otherwise as [`send_to`](UnixDatagram::send_to).
    pub fn try_send_to(&self, buf: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        self.inner.try_io(Direction::Write, |socket| socket.send_to(buf, path.as_ref()))
    }

    /// Where it is.
    ///
    /// # Errors
    ///
    /// Those of the system.
    #[doc(alias = "getsockname")]
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// What it is connected to.
    ///
    /// # Errors
    ///
    /// `NotConnected` if it is not.
    #[doc(alias = "getpeername")]
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.peer_addr()
    }

    /// Ends the writing direction: whoever sends fails from now on.
    ///
    /// # Errors
    ///
    /// Those of the system: `NotConnected`.
    ///
    /// ```
    /// # filch::run(async {
    /// let (one, _other) = filch::net::UnixDatagram::pair()?;
    /// one.shutdown_write()?;
    /// assert!(one.send(b"x").await.is_err());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    #[doc(alias = "shutdown")]
    pub fn shutdown_write(&self) -> io::Result<()> {
        let result = self.inner.shutdown(Shutdown::Write);
        self.inner.rouse(Shutdown::Write);
        result
    }

    /// Ends the reading direction: whoever sends to it fails from now on.
    ///
    /// # Errors
    ///
    /// Those of the system: `NotConnected`.
    ///
    /// ```
    /// # filch::run(async {
    /// let (one, other) = filch::net::UnixDatagram::pair()?;
    /// one.shutdown_read()?;
    /// assert!(other.send(b"x").await.is_err());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    #[doc(alias = "shutdown")]
    pub fn shutdown_read(&self) -> io::Result<()> {
        let result = self.inner.shutdown(Shutdown::Read);
        self.inner.rouse(Shutdown::Read);
        result
    }
}

fn socket_address(address: &SocketAddr) -> io::Result<SockAddr> {
    if let Some(path) = address.as_pathname() {
        return SockAddr::unix(path);
    }
    #[cfg(target_os = "linux")]
    if let Some(name) = std::os::linux::net::SocketAddrExt::as_abstract_name(address) {
        use std::os::unix::ffi::OsStrExt;
        let name = [b"\0", name].concat();
        return SockAddr::unix(std::ffi::OsStr::from_bytes(&name));
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "a datagram cannot be sent to a socket that has no address; its owner must bind it",
    ))
}

impl_handles!(UnixDatagram, inner);
