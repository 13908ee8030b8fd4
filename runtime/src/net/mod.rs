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

pub use self::resolve::{ToAddrs, lookup};
pub use self::split::{ReadHalf, ReuniteError, WriteHalf};
pub use self::tcp::{Incoming, TcpListener, TcpStream};
pub use self::udp::UdpSocket;
#[cfg(unix)]
pub use self::unix::{UCred, UnixDatagram, UnixIncoming, UnixListener, UnixStream};
