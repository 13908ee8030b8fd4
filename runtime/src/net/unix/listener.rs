//! What accepts connections of Unix streams.

use std::fmt;
use std::io;
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use mio::net::UnixListener as Source;

use super::{UnixStream, failed, shown};
use crate::net::accept::{Accept, Accepting, Listens};
use crate::net::handles::{impl_handles, std_methods};

/// Accepts connections at an address that is a file.
///
/// Several tasks may accept at once. Dropping it closes the socket but leaves the file: to remove it is its
/// user's matter, and to bind where a file is fails.
///
/// ```
/// use filch::net::{UnixListener, UnixStream};
///
/// # let path = std::env::temp_dir().join(format!("filch-doc-listener-{}", std::process::id()));
/// # let result =
/// filch::run(async {
///     let listener = UnixListener::bind(&path)?;
///     let server = filch::spawn(async move {
///         let (mut stream, _) = listener.accept().await?;
///         stream.write_all(b"hello").await
///     });
///     let mut text = String::new();
///     UnixStream::connect(&path).await?.read_to_string(&mut text).await?;
///     assert_eq!(text, "hello");
///     std::fs::remove_file(&path)?;
///     server.await?
/// })
/// # ;
/// # result.unwrap();
/// ```
#[doc(alias = "start_unix_server")]
pub struct UnixListener {
    accepting: Accepting<Source>,
}

impl UnixListener {
    /// Listens at a path, where a file is made.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if there is a file, also an old one that nobody listens at; other errors of the system. And
    /// outside a runtime, one that says so.
    ///
    /// ```
    /// # use filch::net::UnixListener;
    /// # let path = std::env::temp_dir().join(format!("filch-doc-bind-{}", std::process::id()));
    /// # filch::run(async {
    /// drop(UnixListener::bind(&path)?);
    /// let error = UnixListener::bind(&path).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    /// std::fs::remove_file(&path)?;
    /// drop(UnixListener::bind(&path)?);
    /// # std::fs::remove_file(&path)
    /// # }).unwrap();
    /// ```
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixListener> {
        let path = path.as_ref();
        let listener = Source::bind(path).map_err(|error| failed("listen at", path, &error))?;
        UnixListener::watch(listener)
    }

    /// Listens at an address of std's. On Linux that can be a name without a file
    /// (`std::os::linux::net::SocketAddrExt`), which is free again when the socket is closed.
    ///
    /// # Errors
    ///
    /// As [`bind`](UnixListener::bind).
    ///
    /// ```
    /// # #[cfg(target_os = "linux")] {
    /// use filch::net::{UnixListener, UnixStream};
    /// use std::os::linux::net::SocketAddrExt;
    /// use std::os::unix::net::SocketAddr;
    ///
    /// # filch::run(async {
    /// let name = format!("filch-doc-{}", std::process::id());
    /// let address = SocketAddr::from_abstract_name(name)?;
    /// let listener = UnixListener::bind_addr(&address)?;
    /// let _client = UnixStream::connect_addr(&address).await?;
    /// listener.accept().await?;
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// # }
    /// ```
    #[doc(alias = "abstract")]
    pub fn bind_addr(address: &SocketAddr) -> io::Result<UnixListener> {
        UnixListener::watch(Source::bind_addr(address)?)
    }

    fn watch(listener: Source) -> io::Result<UnixListener> {
        Ok(UnixListener { accepting: Accepting::watch(listener)? })
    }

    /// Waits for a connection, and answers it with its peer's address (most often, none: clients need not be bound).
    ///
    /// Connections that are gone before they are accepted are skipped. If the process or the system has no file
    /// descriptors (or no memory) for a further one, it says so once on stderr and tries again,
    /// first after 5 ms, then less often, up to once a second: the connections stay in the system's queue
    /// meanwhile, and a loop that accepts needs no care of its own.
    ///
    /// # Errors
    ///
    /// Those of the listener, which are for good. And after the runtime was shut down.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no connection.
    #[track_caller]
    pub fn accept(&self) -> impl Future<Output = io::Result<(UnixStream, SocketAddr)>> {
        self.accepting.accept()
    }

    /// [`accept`](UnixListener::accept) for those who write futures by hand. Several tasks may poll; but if
    /// there are no file descriptors, only the last of them is woken when it is time to try again.
    ///
    /// # Errors
    ///
    /// As [`accept`](UnixListener::accept).
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(UnixStream, SocketAddr)>> {
        self.accepting.poll_accept(cx)
    }

    /// Accepts a connection if there is one, and does not wait.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is none. Everything else is told, also what
    /// [`accept`](UnixListener::accept) deals with itself.
    pub fn try_accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        self.accepting.try_accept()
    }

    /// The connections as a stream, which never ends; with the errors of [`accept`](UnixListener::accept).
    #[track_caller]
    pub fn incoming(&self) -> UnixIncoming<'_> {
        UnixIncoming { accept: self.accepting.accept() }
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

    std_methods!(std::os::unix::net::UnixListener, Source, accepting.inner);

    /// The error that the system keeps for this socket, if there is one (`SO_ERROR`); it is taken out.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.accepting.inner.take_error()
    }
}

impl Listens for Source {
    type Stream = UnixStream;
    type Address = SocketAddr;

    fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (stream, peer) = Source::accept(self)?;
        Ok((UnixStream::watch(stream)?, peer))
    }

    fn place(&self) -> String {
        shown(self.local_addr())
    }
}

impl_handles!(UnixListener, accepting.inner);

/// The connections of a listener; made by [`UnixListener::incoming`].
#[must_use = "streams do nothing unless polled"]
pub struct UnixIncoming<'a> {
    accept: Accept<'a, Source>,
}

impl Stream for UnixIncoming<'_> {
    type Item = io::Result<UnixStream>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let accepted = Pin::new(&mut self.accept).poll(cx);
        accepted.map(|accepted| Some(accepted.map(|(stream, _)| stream)))
    }
}

impl fmt::Debug for UnixIncoming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnixIncoming").finish_non_exhaustive()
    }
}
