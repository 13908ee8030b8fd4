//! What all sockets for datagrams do, once.

/// Sending, receiving, waiting; to be used inside an `impl`, where `SocketAddr` is the kind's. In the examples there are `one` and `other`,
/// connected to each other.
macro_rules! datagram_methods {
    ($type:ident, $example:literal) => {
        /// Sends a datagram to what the socket is connected to. Suspends while the system has no room.
        ///
        /// # Errors
        ///
        /// Those of the system: for instance if it is not connected, or the datagram is too long; `ConnectionRefused` if
        /// the peer has said that nobody is there. And after the runtime was shut down.
        ///
        /// # Cancel safety
        ///
        /// Dropping the future before it is ready sends nothing.
        ///
        /// ```
        #[doc = $example]
        /// assert_eq!(one.send(b"hello").await?, 5);
        /// let mut buf = [0; 16];
        /// assert_eq!(other.recv(&mut buf).await?, 5);
        /// # std::io::Result::Ok(())
        /// # }).unwrap();
        /// ```
        #[track_caller]
        pub fn send<'a>(&'a self, buf: &'a [u8]) -> impl Future<Output = io::Result<usize>> {
            self.inner.io(Direction::Write, |socket| socket.send(buf))
        }

        #[doc = concat!("[`send`](", stringify!($type), "::send) for those who write futures by hand.")]
        ///
        /// # Errors
        ///
        #[doc = concat!("As [`send`](", stringify!($type), "::send).")]
        pub fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            self.inner.poll_io(cx, Direction::Write, |socket| socket.send(buf))
        }

        /// Sends a datagram if there is room, and does not wait.
        ///
        /// # Errors
        ///
        #[doc = concat!("`WouldBlock` if there is none; otherwise as [`send`](", stringify!($type), "::send).")]
        pub fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
            self.inner.try_io(Direction::Write, |socket| socket.send(buf))
        }

        /// Receives a datagram, and answers its length. Suspends until one comes.
        ///
        /// # Errors
        ///
        /// Those of the system. And after the runtime was shut down.
        ///
        /// # Cancel safety
        ///
        /// Dropping the future loses no datagram.
        ///
        /// ```
        #[doc = $example]
        /// one.send(b"hello").await?;
        /// let mut buf = [0; 16];
        /// let length = other.recv(&mut buf).await?;
        /// assert_eq!(&buf[..length], b"hello");
        /// # std::io::Result::Ok(())
        /// # }).unwrap();
        /// ```
        #[track_caller]
        pub fn recv<'a>(&'a self, buf: &'a mut [u8]) -> impl Future<Output = io::Result<usize>> {
            self.inner.io(Direction::Read, |socket| socket.recv(buf))
        }

        #[doc = concat!("[`recv`](", stringify!($type), "::recv) for those who write futures by hand.")]
        ///
        /// # Errors
        ///
        #[doc = concat!("As [`recv`](", stringify!($type), "::recv).")]
        pub fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
            self.inner.poll_io(cx, Direction::Read, |socket| socket.recv(buf))
        }

        /// Receives a datagram if one has come, and does not wait.
        ///
        /// # Errors
        ///
        #[doc = concat!("`WouldBlock` if there is none; otherwise as [`recv`](", stringify!($type), "::recv).")]
        ///
        /// ```
        #[doc = $example]
        /// let error = one.try_recv(&mut [0; 16]).unwrap_err();
        /// assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        /// # drop(other);
        /// # std::io::Result::Ok(())
        /// # }).unwrap();
        /// ```
        pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
            self.inner.try_io(Direction::Read, |socket| socket.recv(buf))
        }

        /// Receives a datagram, and answers its length and where it came from. Suspends until one comes.
        ///
        /// # Errors
        ///
        /// Those of the system. And after the runtime was shut down.
        ///
        /// # Cancel safety
        ///
        /// Dropping the future loses no datagram.
        #[doc(alias = "recvfrom")]
        #[track_caller]
        pub fn recv_from<'a>(
            &'a self,
            buf: &'a mut [u8],
        ) -> impl Future<Output = io::Result<(usize, SocketAddr)>> {
            self.inner.io(Direction::Read, |socket| socket.recv_from(buf))
        }

        #[doc = concat!("[`recv_from`](", stringify!($type), "::recv_from) for those who write futures by hand.")]
        ///
        /// # Errors
        ///
        #[doc = concat!("As [`recv_from`](", stringify!($type), "::recv_from).")]
        pub fn poll_recv_from(
            &self,
            cx: &mut Context<'_>,
            buf: &mut [u8],
        ) -> Poll<io::Result<(usize, SocketAddr)>> {
            self.inner.poll_io(cx, Direction::Read, |socket| socket.recv_from(buf))
        }

        /// Receives a datagram if one has come, and does not wait.
        ///
        /// # Errors
        ///
        #[doc = concat!("`WouldBlock` if there is none; otherwise as [`recv_from`](", stringify!($type), "::recv_from).")]
        pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
            self.inner.try_io(Direction::Read, |socket| socket.recv_from(buf))
        }

        /// Waits until a datagram has come (or the system has an error to tell); for the `try_` methods. (They may
        /// find nothing nevertheless: then wait again.)
        ///
        /// # Errors
        ///
        /// After the runtime was shut down.
        ///
        /// # Cancel safety
        ///
        /// Dropping the future loses nothing.
        ///
        /// ```
        #[doc = $example]
        /// one.send(b"hello").await?;
        /// let mut buf = [0; 16];
        /// let length = loop {
        ///     other.readable().await?;
        ///     match other.try_recv(&mut buf) {
        ///         Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
        ///         result => break result?,
        ///     }
        /// };
        /// assert_eq!(&buf[..length], b"hello");
        /// # std::io::Result::Ok(())
        /// # }).unwrap();
        /// ```
        #[track_caller]
        pub fn readable(&self) -> impl Future<Output = io::Result<()>> {
            let ready = self.inner.ready(Direction::Read);
            async move { ready.await.map(drop) }
        }

        /// Waits until there is room to send; for the `try_` methods. (They may find none nevertheless: then wait
        /// again.)
        ///
        /// # Errors
        ///
        /// After the runtime was shut down.
        ///
        /// # Cancel safety
        ///
        /// Dropping the future loses nothing.
        #[track_caller]
        pub fn writable(&self) -> impl Future<Output = io::Result<()>> {
            let ready = self.inner.ready(Direction::Write);
            async move { ready.await.map(drop) }
        }

        /// The error that the system keeps for this socket, if there is one (`SO_ERROR`); it is taken out.
        ///
        /// # Errors
        ///
        /// Those of the system.
        pub fn take_error(&self) -> io::Result<Option<io::Error>> {
            self.inner.take_error()
        }
    };
}

/// An option of a UDP socket: how it is read and set.
macro_rules! option {
    ($(#[doc = $doc:literal])* $get:ident: $value:ty, $set:ident($example:literal)) => {
        $(#[doc = $doc])*
        ///
        /// # Errors
        ///
        /// Those of the system.
        pub fn $get(&self) -> io::Result<$value> {
            self.inner.$get()
        }

        #[doc = concat!("Sets [`", stringify!($get), "`](UdpSocket::", stringify!($get), ").")]
        ///
        /// # Errors
        ///
        /// Those of the system.
        ///
        /// ```
        /// # filch::run(async {
        /// let socket = filch::net::UdpSocket::bind("127.0.0.1:0").await?;
        #[doc = concat!("socket.", stringify!($set), "(", stringify!($example), ")?;")]
        #[doc = concat!("assert_eq!(socket.", stringify!($get), "()?, ", stringify!($example), ");")]
        /// # std::io::Result::Ok(())
        /// # }).unwrap();
        /// ```
        pub fn $set(&self, value: $value) -> io::Result<()> {
            self.inner.$set(value)
        }
    };
}

pub(super) use {datagram_methods, option};
