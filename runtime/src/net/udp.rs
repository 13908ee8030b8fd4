//! UDP.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::panic::Location;
use std::task::{Context, Poll};

use mio::net::UdpSocket as Source;

use super::attempts::Attempts;
use super::datagram::{datagram_methods, option};
use super::handles::{impl_handles, std_methods};
use super::resolve::{ToAddrs, first_at, look_up_at};
use crate::io::Direction;
use crate::io::registration::{Assume, Registered};

/// A UDP socket.
///
/// All methods take a shared reference: several tasks may send and receive at once, through an `Arc`. Each datagram
/// is received by one of them. What does not fit into the buffer is cut off. (Windows makes an error of that.)
///
/// ```
/// use filch::net::UdpSocket;
///
/// filch::run(async {
///     let server = UdpSocket::bind("127.0.0.1:0").await?;
///     let address = server.local_addr()?;
///     drop(filch::spawn(async move {
///         let mut buf = [0; 1500];
///         while let Ok((length, peer)) = server.recv_from(&mut buf).await {
///             let _ = server.send_to(&buf[..length], peer).await;
///         }
///     }));
///     let client = UdpSocket::bind("127.0.0.1:0").await?;
///     client.connect(address).await?;
///     client.send(b"hello").await?;
///     let mut buf = [0; 1500];
///     let length = client.recv(&mut buf).await?;
///     assert_eq!(&buf[..length], b"hello");
///     std::io::Result::Ok(())
/// })
/// # .unwrap();
/// ```
#[doc(alias = "create_datagram_endpoint")]
pub struct UdpSocket {
    inner: Registered<Source>,
}

impl UdpSocket {
    /// A socket at the first of the addresses that can be had. Port 0 lets the system choose. Suspends only to
    /// look a name up.
    ///
    /// # Errors
    ///
    /// That of the last address, with a message that tells of all: `AddrInUse`. The resolver's. And outside a
    /// runtime, one that says so.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    ///
    /// ```
    /// # use filch::net::UdpSocket;
    /// # filch::run(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// let error = UdpSocket::bind(socket.local_addr()?).await.unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn bind(address: impl ToAddrs) -> impl Future<Output = io::Result<UdpSocket>> {
        let (addrs, site) = (address.to_addrs(), Location::caller());
        async move {
            let mut attempts = Attempts::to("bind a UDP socket to");
            for address in look_up_at(addrs, site).await? {
                match Source::bind(address) {
                    Ok(socket) => return UdpSocket::watch(socket),
                    Err(error) => attempts.failed(address, error),
                }
            }
            Err(attempts.into_error())
        }
    }

    fn watch(socket: Source) -> io::Result<UdpSocket> {
        Ok(UdpSocket { inner: Registered::new(socket, Assume::Ready)? })
    }

    std_methods!(std::net::UdpSocket, Source, inner);

    /// From now on it sends to and receives from this address only; the first of several that can be had.
    /// Nothing is sent. Suspends only to look a name up.
    ///
    /// # Errors
    ///
    /// That of the last address, with a message that tells of all. The resolver's.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the socket as it is.
    ///
    /// ```
    /// # use filch::net::UdpSocket;
    /// # filch::run(async {
    /// let one = UdpSocket::bind("127.0.0.1:0").await?;
    /// let other = UdpSocket::bind("127.0.0.1:0").await?;
    /// one.connect(other.local_addr()?).await?;
    /// assert_eq!(one.peer_addr()?, other.local_addr()?);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn connect<'a>(
        &'a self,
        address: impl ToAddrs + 'a,
    ) -> impl Future<Output = io::Result<()>> {
        let (addrs, site) = (address.to_addrs(), Location::caller());
        async move {
            let mut attempts = Attempts::to("connect a UDP socket to");
            for address in look_up_at(addrs, site).await? {
                match self.inner.connect(address) {
                    Ok(()) => return Ok(()),
                    Err(error) => attempts.failed(address, error),
                }
            }
            Err(attempts.into_error())
        }
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

    /// What it is [connected](UdpSocket::connect) to.
    ///
    /// # Errors
    ///
    /// `NotConnected` if it is not.
    #[doc(alias = "getpeername")]
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.peer_addr()
    }

    /// Sends a datagram to an address; to the first, if a name has several. Suspends to look a name up, and while
    /// the system has no room.
    ///
    /// # Errors
    ///
    /// Those of the system, for instance if the datagram is too long (65,507 bytes at most). The resolver's. And
    /// after the runtime was shut down.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready sends nothing.
    ///
    /// ```
    /// # use filch::net::UdpSocket;
    /// # filch::run(async {
    /// let one = UdpSocket::bind("127.0.0.1:0").await?;
    /// let other = UdpSocket::bind("127.0.0.1:0").await?;
    /// assert_eq!(one.send_to(b"hello", other.local_addr()?).await?, 5);
    /// let mut buf = [0; 16];
    /// assert_eq!(other.recv_from(&mut buf).await?, (5, one.local_addr()?));
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    #[doc(alias = "sendto")]
    #[track_caller]
    pub fn send_to<'a>(
        &'a self,
        buf: &'a [u8],
        target: impl ToAddrs + 'a,
    ) -> impl Future<Output = io::Result<usize>> {
        let (addrs, site) = (target.to_addrs(), Location::caller());
        async move {
            let target = first_at(addrs, site, "send to").await?;
            self.inner.io(Direction::Write, |socket| socket.send_to(buf, target)).at(site).await
        }
    }

    /// [`send_to`](UdpSocket::send_to) for those who write futures by hand.
    ///
    /// # Errors
    ///
    /// As [`send_to`](UdpSocket::send_to).
    pub fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        target: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        self.inner.poll_io(cx, Direction::Write, |socket| socket.send_to(buf, target))
    }

    /// Sends a datagram if there is room, and does not wait.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is none; otherwise as [`send_to`](UdpSocket::send_to).
    pub fn try_send_to(&self, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
        self.inner.try_io(Direction::Write, |socket| socket.send_to(buf, target))
    }

    /// As [`recv_from`](UdpSocket::recv_from), and leaves the datagram where it is: whoever receives next finds
    /// it again.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](UdpSocket::recv_from).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    ///
    /// ```
    /// # use filch::net::UdpSocket;
    /// # filch::run(async {
    /// let one = UdpSocket::bind("127.0.0.1:0").await?;
    /// let other = UdpSocket::bind("127.0.0.1:0").await?;
    /// one.send_to(b"hello", other.local_addr()?).await?;
    /// let mut buf = [0; 16];
    /// let peeked = other.peek_from(&mut buf).await?;
    /// assert_eq!(other.recv_from(&mut buf).await?, peeked);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn peek_from<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<(usize, SocketAddr)>> {
        self.inner.io(Direction::Read, |socket| socket.peek_from(buf))
    }

    /// [`peek_from`](UdpSocket::peek_from) for those who write futures by hand.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](UdpSocket::recv_from).
    pub fn poll_peek_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        self.inner.poll_io(cx, Direction::Read, |socket| socket.peek_from(buf))
    }

    datagram_methods!(
        UdpSocket,
        "# filch::run(async {
# use filch::net::UdpSocket;
# let one = UdpSocket::bind(\"127.0.0.1:0\").await?;
# let other = UdpSocket::bind(\"127.0.0.1:0\").await?;
# one.connect(other.local_addr()?).await?;
# other.connect(one.local_addr()?).await?;"
    );
}

/// Options. For those that are not here, `socket2::SockRef::from(&socket)`.
impl UdpSocket {
    option! {
        /// Whether it may send to broadcast addresses (`SO_BROADCAST`).
        broadcast: bool,
        set_broadcast(true)
    }

    option! {
        /// How many routers a datagram may pass (`IP_TTL`).
        ttl: u32,
        set_ttl(42)
    }

    option! {
        /// Whether this machine receives what it sends to a multicast group itself (IPv4).
        multicast_loop_v4: bool,
        set_multicast_loop_v4(false)
    }

    option! {
        /// How many routers a datagram to a multicast group may pass (IPv4).
        multicast_ttl_v4: u32,
        set_multicast_ttl_v4(2)
    }

    /// Whether this machine receives what it sends to a multicast group itself (IPv6).
    ///
    /// # Errors
    ///
    /// Those of the system; also if the socket is not one of IPv6.
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        self.inner.multicast_loop_v6()
    }

    /// Sets [`multicast_loop_v6`](UdpSocket::multicast_loop_v6).
    ///
    /// # Errors
    ///
    /// Those of the system; also if the socket is not one of IPv6.
    pub fn set_multicast_loop_v6(&self, on: bool) -> io::Result<()> {
        self.inner.set_multicast_loop_v6(on)
    }

    /// Receives from now on what is sent to this multicast group, through the interface with this address (or, with
    /// `Ipv4Addr::UNSPECIFIED`, one that the system chooses).
    ///
    /// # Errors
    ///
    /// Those of the system: for instance if `group` is no multicast address.
    ///
    /// ```
    /// use std::net::Ipv4Addr;
    /// # use filch::net::UdpSocket;
    /// # filch::run(async {
    /// let socket = UdpSocket::bind("127.0.0.1:0").await?;
    /// let group = Ipv4Addr::new(224, 0, 0, 123);
    /// socket.join_multicast_v4(group, Ipv4Addr::LOCALHOST)?;
    /// socket.leave_multicast_v4(group, Ipv4Addr::LOCALHOST)?;
    /// assert!(socket.leave_multicast_v4(group, Ipv4Addr::LOCALHOST).is_err());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.inner.join_multicast_v4(&group, &interface)
    }

    /// Undoes [`join_multicast_v4`](UdpSocket::join_multicast_v4).
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.inner.leave_multicast_v4(&group, &interface)
    }

    /// Receives from now on what is sent to this multicast group, through the interface with this index (or, with
    /// 0, any).
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.inner.join_multicast_v6(group, interface)
    }

    /// Undoes [`join_multicast_v6`](UdpSocket::join_multicast_v6).
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.inner.leave_multicast_v6(group, interface)
    }
}

impl_handles!(UdpSocket, inner);
