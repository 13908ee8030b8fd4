//! What accepts TCP connections.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use mio::net::TcpListener as Source;
use socket2::{Domain, Protocol, Socket, Type};

use super::TcpStream;
use crate::net::accept::{Accept, Accepting, Listens};
use crate::net::attempts::Attempts;
use crate::net::handles::{impl_handles, std_methods};
use crate::net::resolve::{ToAddrs, look_up_at};

/// How many connections the system keeps until they are accepted (if its own limit, on Linux
/// `net.core.somaxconn`, is not lower).
const BACKLOG: i32 = 1024;

/// Accepts TCP connections.
///
/// Several tasks may accept at once. Dropping it closes the socket; the address is free at once on Unix, where
/// `SO_REUSEADDR` is set.
///
/// ```
/// use filch::net::{TcpListener, TcpStream};
///
/// filch::run(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let address = listener.local_addr()?;
///     drop(filch::spawn(async move {
///         while let Ok((mut stream, _peer)) = listener.accept().await {
///             drop(filch::spawn(async move { stream.write_all(b"hello").await }));
///         }
///     }));
///     let mut text = String::new();
///     TcpStream::connect(address).await?.read_to_string(&mut text).await?;
///     assert_eq!(text, "hello");
///     std::io::Result::Ok(())
/// })
/// # .unwrap();
/// ```
#[doc(alias = "start_server")]
pub struct TcpListener {
    accepting: Accepting<Source>,
}

impl TcpListener {
    /// Listens at the first of the addresses that can be had. Port 0 lets the system choose:
    /// [`local_addr`](TcpListener::local_addr) tells which. Suspends only to look a name up.
    ///
    /// On Unix `SO_REUSEADDR` is set, so that a server can be started again while old connections
    /// linger. The system keeps up to 1024 connections that are not accepted yet. For other
    /// settings (`SO_REUSEPORT`, IPv6 only) make the socket with the crate socket2 and use
    /// [`from_std`](TcpListener::from_std).
    ///
    /// # Errors
    ///
    /// That of the last address, with a message that tells of all: `AddrInUse`, `PermissionDenied`
    /// (ports below 1024). The resolver's. And outside a runtime, one that says so.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    ///
    /// ```
    /// # use filch::net::TcpListener;
    /// # filch::run(async {
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let address = listener.local_addr()?;
    /// assert_ne!(address.port(), 0);
    ///
    /// let error = TcpListener::bind(address).await.unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    /// assert!(error.to_string().contains(&address.to_string()));
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn bind(address: impl ToAddrs) -> impl Future<Output = io::Result<TcpListener>> {
        let (addrs, site) = (address.to_addrs(), Location::caller());
        async move {
            let mut attempts = Attempts::to("listen at");
            for address in look_up_at(addrs, site).await? {
                match listen(address) {
                    Ok(listener) => return TcpListener::from_std(listener),
                    Err(error) => attempts.failed(address, error),
                }
            }
            Err(attempts.into_error())
        }
    }

    fn watch(listener: Source) -> io::Result<TcpListener> {
        Ok(TcpListener { accepting: Accepting::watch(listener)? })
    }

    /// Waits for a connection, and answers it with its peer's address.
    ///
    /// Connections that are gone before they are accepted are skipped. If the process or the system has no
    /// file descriptors (or no memory) for a further one, it says so once on stderr and tries
    /// again, first after 5 ms, then less often, up to once a second: the connections stay in the system's
    /// queue meanwhile, and a loop that accepts needs no care of its own.
    ///
    /// # Errors
    ///
    /// Those of the listener, which are for good. And after the runtime was shut down.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no connection.
    ///
    /// ```
    /// # use filch::net::{TcpListener, TcpStream};
    /// # filch::run(async {
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let client = TcpStream::connect(listener.local_addr()?).await?;
    /// let (_stream, peer) = listener.accept().await?;
    /// assert_eq!(peer, client.local_addr()?);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> {
        self.accepting.accept()
    }

    /// [`accept`](TcpListener::accept) for those who write futures by hand. Several tasks may poll; but
    /// if there are no file descriptors, only the last of them is woken when it is time to try again.
    ///
    /// # Errors
    ///
    /// As [`accept`](TcpListener::accept).
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        self.accepting.poll_accept(cx)
    }

    /// Accepts a connection if there is one, and does not wait.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is none. Everything else is told, also what
    /// [`accept`](TcpListener::accept) deals with itself.
    ///
    /// ```
    /// # use filch::net::TcpListener;
    /// # filch::run(async {
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let error = listener.try_accept().unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn try_accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.accepting.try_accept()
    }

    /// The connections as a stream, which never ends; with the errors of
    /// [`accept`](TcpListener::accept).
    ///
    /// ```
    /// use filch::net::{TcpListener, TcpStream};
    /// use futures_lite::StreamExt;
    ///
    /// # filch::run(async {
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let _clients = [
    ///     TcpStream::connect(listener.local_addr()?).await?,
    ///     TcpStream::connect(listener.local_addr()?).await?,
    /// ];
    /// let two: Vec<TcpStream> = listener.incoming().take(2).try_collect().await?;
    /// assert_eq!(two.len(), 2);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { accept: self.accepting.accept() }
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// Those of the system.
    #[doc(alias = "getsockname")]
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.accepting.inner.local_addr()
    }

    std_methods!(std::net::TcpListener, Source, accepting.inner);

    /// How many routers a packet may pass (`IP_TTL`).
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn ttl(&self) -> io::Result<u32> {
        self.accepting.inner.ttl()
    }

    /// Sets [`ttl`](TcpListener::ttl), also for the connections to come.
    ///
    /// # Errors
    ///
    /// Those of the system.
    ///
    /// ```
    /// # filch::run(async {
    /// let listener = filch::net::TcpListener::bind("127.0.0.1:0").await?;
    /// listener.set_ttl(42)?;
    /// assert_eq!(listener.ttl()?, 42);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.accepting.inner.set_ttl(ttl)
    }

    /// The error that the system keeps for this socket, if there is one (`SO_ERROR`); it is taken out.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.accepting.inner.take_error()
    }
}

fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // On Windows it would mean that others may take the address away.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

impl Listens for Source {
    type Stream = TcpStream;
    type Address = SocketAddr;

    fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = Source::accept(self)?;
        Ok((TcpStream::watch(stream)?, peer))
    }

    fn place(&self) -> String {
        match self.local_addr() {
            Ok(address) => address.to_string(),
            Err(_) => String::from("an unknown address"),
        }
    }
}

impl_handles!(TcpListener, accepting.inner);

/// The connections of a listener; made by [`TcpListener::incoming`].
#[must_use = "streams do nothing unless polled"]
pub struct Incoming<'a> {
    accept: Accept<'a, Source>,
}

impl Stream for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let accepted = Pin::new(&mut self.accept).poll(cx);
        accepted.map(|accepted| Some(accepted.map(|(stream, _)| stream)))
    }
}

impl fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").finish_non_exhaustive()
    }
}
