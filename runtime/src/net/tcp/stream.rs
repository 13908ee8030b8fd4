//! A TCP connection.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use mio::net::TcpStream as Source;
use socket2::{SockRef, TcpKeepalive};

use crate::io::Direction;
use crate::io::registration::{Assume, Registered};
use crate::net::attempts::Attempts;
use crate::net::connected::{Connected, Duplex};
use crate::net::handles::{impl_handles, std_methods};
use crate::net::methods::{
    example, impl_async_read, impl_async_write, read_methods, write_methods,
};
use crate::net::resolve::{ToAddrs, look_up_at};
use crate::net::sited::poll_here;
use crate::net::split::{ReadHalf, WriteHalf, split};
use crate::net::to_end::{not_utf8, poll_to_end};

/// A TCP connection.
///
/// It can be read and written at the same time by two tasks: through
/// [`into_split`](TcpStream::into_split), or through references, since `&TcpStream` implements futures-io's
/// `AsyncRead` and `AsyncWrite`. Dropping it closes both directions.
///
/// For options that are not here, `socket2::SockRef::from(&stream)`.
///
/// ```
/// use filch::net::{TcpListener, TcpStream};
///
/// filch::run(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let mut client = TcpStream::connect(listener.local_addr()?).await?;
///     let (mut server, _) = listener.accept().await?;
///     client.write_all(b"hello").await?;
///     client.close().await?;
///     let mut text = String::new();
///     server.read_to_string(&mut text).await?;
///     assert_eq!(text, "hello");
///     std::io::Result::Ok(())
/// })
/// # .unwrap();
/// ```
#[doc(alias = "open_connection")]
pub struct TcpStream {
    connected: Connected<Source>,
}

impl TcpStream {
    /// Connects to the first of the addresses that answers; they are tried one after the other. Suspends
    /// until a connection is made, which the system may try for minutes: use [`timeout`](crate::timeout).
    ///
    /// # Errors
    ///
    /// That of the last address, with a message that tells of all: `ConnectionRefused`, `TimedOut`. The
    /// resolver's. And outside a runtime, one that says so.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what was begun.
    ///
    /// ```
    /// # use filch::net::{TcpListener, TcpStream};
    /// # filch::run(async {
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let address = listener.local_addr()?;
    /// assert_eq!(TcpStream::connect(address).await?.peer_addr()?, address);
    ///
    /// drop(listener);
    /// let error = TcpStream::connect(address).await.unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    #[doc(alias = "open_connection")]
    #[track_caller]
    pub fn connect(address: impl ToAddrs) -> impl Future<Output = io::Result<TcpStream>> {
        let (addrs, site) = (address.to_addrs(), Location::caller());
        async move {
            let mut attempts = Attempts::to("connect to");
            for address in look_up_at(addrs, site).await? {
                match TcpStream::connect_to(address, site).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => attempts.failed(address, error),
                }
            }
            Err(attempts.into_error())
        }
    }

    async fn connect_to(
        address: SocketAddr,
        site: &'static Location<'static>,
    ) -> io::Result<TcpStream> {
        let inner = Registered::new(Source::connect(address)?, Assume::Nothing)?;
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
        Ok(TcpStream { connected: Connected { inner } })
    }

    pub(super) fn watch(stream: Source) -> io::Result<TcpStream> {
        Ok(TcpStream { connected: Connected::watch(stream)? })
    }

    fn wire(&self) -> &Connected<Source> {
        &self.connected
    }

    read_methods!(tcp);

    write_methods!(tcp);

    /// Reads without taking anything out: what is read next is the same again. Suspends while nothing has come.
    ///
    /// # Errors
    ///
    /// As [`read`](TcpStream::read).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    ///
    /// ```
    #[doc = example!(tcp)]
    /// other.write_all(b"x").await?;
    /// let mut buf = [0; 8];
    /// assert_eq!(one.peek(&mut buf).await?, 1);
    /// assert_eq!(one.read(&mut buf).await?, 1);
    #[doc = example!()]
    /// ```
    #[track_caller]
    pub fn peek<'a>(&'a self, buf: &'a mut [u8]) -> impl Future<Output = io::Result<usize>> {
        self.connected.inner.io(Direction::Read, |stream| stream.peek(buf))
    }

    /// [`peek`](TcpStream::peek) for those who write futures by hand.
    ///
    /// # Errors
    ///
    /// As [`read`](TcpStream::read).
    pub fn poll_peek(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.connected.inner.poll_io(cx, Direction::Read, |stream| stream.peek(buf))
    }

    /// The two directions, each with an owner of its own.
    ///
    /// Dropping the writing half ends its direction, so that the peer finds the end; see [`WriteHalf`].
    #[doc(alias = "split")]
    pub fn into_split(self) -> (ReadHalf<TcpStream>, WriteHalf<TcpStream>) {
        split(self)
    }

    /// Ends the writing direction: the peer reads what was written and then finds the end. As
    /// [`close`](TcpStream::close), through a reference. Another
    /// task that waits for room to write fails.
    ///
    /// # Errors
    ///
    /// Those of the system. That the peer is gone is none.
    ///
    /// ```
    #[doc = example!(tcp)]
    /// one.shutdown_write()?;
    /// assert_eq!(other.read(&mut [0]).await?, 0);
    /// other.write_all(b"x").await?;
    /// assert_eq!(one.read(&mut [0]).await?, 1, "the other direction is open");
    #[doc = example!()]
    /// ```
    #[doc(alias = "shutdown")]
    pub fn shutdown_write(&self) -> io::Result<()> {
        self.connected.shutdown(Shutdown::Write)
    }

    /// Ends the reading direction: whoever reads finds the end. The peer learns nothing of it. (On Linux what it
    /// sends afterwards is still received, and can be read.)
    ///
    /// # Errors
    ///
    /// Those of the system.
    ///
    /// ```
    #[doc = example!(tcp)]
    /// one.shutdown_read()?;
    /// assert_eq!(one.read(&mut [0]).await?, 0);
    /// # let _ = &mut other;
    #[doc = example!()]
    /// ```
    #[doc(alias = "shutdown")]
    pub fn shutdown_read(&self) -> io::Result<()> {
        self.connected.shutdown(Shutdown::Read)
    }

    /// The other end's address.
    ///
    /// # Errors
    ///
    /// Those of the system: `NotConnected` if the connection is gone.
    #[doc(alias = "getpeername")]
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.connected.inner.peer_addr()
    }

    /// This end's address.
    ///
    /// # Errors
    ///
    /// Those of the system.
    #[doc(alias = "getsockname")]
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.connected.inner.local_addr()
    }

    std_methods!(std::net::TcpStream, Source, connected.inner);

    /// Whether small pieces are sent at once (`TCP_NODELAY`).
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.connected.inner.nodelay()
    }

    /// Sends what is written at once, however little it is, instead of waiting for more while the peer has not
    /// confirmed what was sent before. For protocols of questions and answers.
    ///
    /// # Errors
    ///
    /// Those of the system.
    ///
    /// ```
    #[doc = example!(tcp)]
    /// one.set_nodelay(true)?;
    /// assert!(one.nodelay()?);
    /// # let _ = (&mut one, &mut other);
    #[doc = example!()]
    /// ```
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.connected.inner.set_nodelay(nodelay)
    }

    /// How long closing waits for what was not sent yet (`SO_LINGER`); `None`: the system goes on sending on its own.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        SockRef::from(self).linger()
    }

    /// Sets [`linger`](TcpStream::linger), in whole seconds. Zero: dropping the stream resets the connection, and
    /// what was not sent is lost. With more, dropping it may block the thread for so long.
    ///
    /// # Errors
    ///
    /// Those of the system.
    ///
    /// ```
    #[doc = example!(tcp)]
    /// one.set_linger(Some(std::time::Duration::ZERO))?;
    /// assert_eq!(one.linger()?, Some(std::time::Duration::ZERO));
    /// drop(one);
    /// let error = other.read(&mut [0]).await.unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    #[doc = example!()]
    /// ```
    #[doc(alias = "abort")]
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        SockRef::from(self).set_linger(linger)
    }

    /// Whether the system asks a silent peer for a sign of life (`SO_KEEPALIVE`).
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn keepalive(&self) -> io::Result<bool> {
        SockRef::from(self).keepalive()
    }

    /// After how long a silence the system asks the peer for a sign of life, in whole seconds; a peer that
    /// gives none makes reads fail with `TimedOut`. `None`: it does not ask.
    ///
    /// # Errors
    ///
    /// Those of the system.
    ///
    /// ```
    #[doc = example!(tcp)]
    /// one.set_keepalive(Some(std::time::Duration::from_secs(60)))?;
    /// assert!(one.keepalive()?);
    /// one.set_keepalive(None)?;
    /// assert!(!one.keepalive()?);
    /// # let _ = (&mut one, &mut other);
    #[doc = example!()]
    /// ```
    pub fn set_keepalive(&self, after: Option<Duration>) -> io::Result<()> {
        let socket = SockRef::from(self);
        match after {
            Some(after) => socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(after)),
            None => socket.set_keepalive(false),
        }
    }

    /// How many routers a packet may pass (`IP_TTL`).
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn ttl(&self) -> io::Result<u32> {
        self.connected.inner.ttl()
    }

    /// Sets [`ttl`](TcpStream::ttl).
    ///
    /// # Errors
    ///
    /// Those of the system.
    ///
    /// ```
    #[doc = example!(tcp)]
    /// one.set_ttl(42)?;
    /// assert_eq!(one.ttl()?, 42);
    /// # let _ = (&mut one, &mut other);
    #[doc = example!()]
    /// ```
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.connected.inner.set_ttl(ttl)
    }

    /// The error that the system keeps for this socket, if there is one (`SO_ERROR`); it is taken out.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.connected.inner.take_error()
    }
}

impl Duplex for TcpStream {
    type Wire = Source;

    fn connected(&self) -> &Connected<Source> {
        &self.connected
    }
}

impl_handles!(TcpStream, connected.inner);
impl_async_read!([] TcpStream);
impl_async_read!([] & TcpStream);
impl_async_write!([] TcpStream);
impl_async_write!([] & TcpStream);
