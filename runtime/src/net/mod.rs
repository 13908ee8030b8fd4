//! Sockets.
//!
//! ```
//! use filch::net::{TcpListener, TcpStream};
//!
//! filch::run(async {
//!     let listener = TcpListener::bind("127.0.0.1:0").await?;
//!     let address = listener.local_addr()?;
//!     let server = filch::spawn(async move {
//!         let (mut stream, _peer) = listener.accept().await?;
//!         let mut text = [0; 5];
//!         stream.read_exact(&mut text).await?;
//!         stream.write_all(&text).await
//!     });
//!     let mut stream = TcpStream::connect(address).await?;
//!     stream.write_all(b"hello").await?;
//!     let mut answer = [0; 5];
//!     stream.read_exact(&mut answer).await?;
//!     assert_eq!(&answer, b"hello");
//!     server.await?
//! })
//! # .unwrap();
//! ```
//!
//! | for | there is |
//! |-----|----------|
//! | connections | [`TcpStream`], on Unix also [`UnixStream`]; their directions apart: [`ReadHalf`], [`WriteHalf`] |
//! | those who accept them | [`TcpListener`], [`UnixListener`] |
//! | datagrams | [`UdpSocket`], [`UnixDatagram`] |
//! | names | [`lookup`]; whatever takes an address also takes a name: [`ToAddrs`] |
//! | everything else with a file descriptor | [`io::AsyncFd`](crate::io::AsyncFd) |
//!
//! # Good to know
//!
//! - Streams and halves have futures-io's `AsyncRead` and `AsyncWrite` (through references as well), and the methods of
//!   its extension traits without an import. There are features for the traits of tokio and hyper.
//! - Each method says what dropping its future loses. Nothing is lost with those that do one thing (`read`, `write`,
//!   `accept`, `recv`, `send`); what repeats them until all is done (`read_exact`, `write_all`) cannot say how
//!   far it came.
//! - A socket belongs to the runtime it was made in. Made outside a runtime, it is an error; used after its runtime was shut
//!   down, too, and nobody waits in vain. `into_std` and `from_std` take it to another runtime.
//! - [`TcpListener::accept`] deals with a shortage of file descriptors itself.
//! - Errors of addresses, names and paths tell which: also of several that were tried.
//! - Options that are not here are in the crate socket2: `SockRef::from(&stream)`.

mod accept;
mod attempts;
mod connected;
mod datagram;
mod handles;
#[cfg(feature = "hyper")]
mod hyper;
mod methods;
mod resolve;
#[cfg(any(feature = "tokio-io", feature = "hyper"))]
pub(crate) mod scratch;
mod sited;
mod split;
mod tcp;
mod to_end;
#[cfg(feature = "tokio-io")]
mod tokio_io;
mod udp;
#[cfg(unix)]
mod unix;
#[cfg(any(feature = "tokio-io", feature = "hyper"))]
mod writes;

pub use self::resolve::{ToAddrs, lookup};
pub use self::split::{ReadHalf, ReuniteError, WriteHalf};
pub use self::tcp::{Incoming, TcpListener, TcpStream};
pub use self::udp::UdpSocket;
#[cfg(unix)]
pub use self::unix::{UCred, UnixDatagram, UnixIncoming, UnixListener, UnixStream};
