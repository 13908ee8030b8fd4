//! The methods that all streams and their halves have, once: with the signatures of
//! `futures::AsyncReadExt` and `AsyncWriteExt`, so that importing those changes nothing.
//!
//! They are macros because inherent methods need no import. A type that uses them has a
//! method `wire()`, and says how a documentation example makes a connection: in it `one` is of the
//! type, and `other` is a whole stream at the other end.

/// Lines before and after an example.
macro_rules! example {
    (tcp) => {
        "# filch::run(async {
# use filch::net::{TcpListener, TcpStream};
# let listener = TcpListener::bind(\"127.0.0.1:0\").await?;
# let mut other = TcpStream::connect(listener.local_addr()?).await?;
# let (mut one, _) = listener.accept().await?;"
    };
    (unix) => {
        "# filch::run(async {
# let (mut one, mut other) = filch::net::UnixStream::pair()?;"
    };
    (read_half) => {
        "# filch::run(async {
# use filch::net::{TcpListener, TcpStream};
# let listener = TcpListener::bind(\"127.0.0.1:0\").await?;
# let mut other = TcpStream::connect(listener.local_addr()?).await?;
# let (mut one, _write_half) = listener.accept().await?.0.into_split();"
    };
    (write_half) => {
        "# filch::run(async {
# use filch::net::{TcpListener, TcpStream};
# let listener = TcpListener::bind(\"127.0.0.1:0\").await?;
# let mut other = TcpStream::connect(listener.local_addr()?).await?;
# let (_read_half, mut one) = listener.accept().await?.0.into_split();"
    };
    () => {
        "# std::io::Result::Ok(())
# }).unwrap();"
    };
}

/// What a type that can be read has.
macro_rules! read_methods {
    ($example:ident) => {
        pub(crate) fn poll_read_at(
            &self,
            cx: &mut Context<'_>,
            buf: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            self.wire().poll_read(cx, buf)
        }

        pub(crate) fn poll_read_vectored_at(
            &self,
            cx: &mut Context<'_>,
            bufs: &mut [IoSliceMut<'_>],
        ) -> Poll<io::Result<usize>> {
            self.wire().poll_read_vectored(cx, bufs)
        }

        /// Reads what there is: at least one byte, at most as many as the buffer has room for. 0 at the end of
        /// the stream (or into an empty buffer). Suspends while nothing has come.
        ///
        /// # Errors
        ///
        /// Those of the system, for instance `ConnectionReset`; and after the runtime was shut down.
        ///
        /// # Cancel safety
        ///
        /// Dropping the future loses nothing: bytes are taken only when it becomes ready.
        ///
        /// ```
        #[doc = example!($example)]
        /// other.write_all(b"hello").await?;
        /// let mut buf = [0; 16];
        /// let read = one.read(&mut buf).await?;
        /// assert!(read >= 1 && buf.starts_with(&b"hello"[..read]));
        #[doc = example!()]
        /// ```
        #[doc(alias = "recv")]
        #[track_caller]
        pub fn read<'a>(
            &'a mut self,
            buf: &'a mut [u8],
        ) -> impl Future<Output = io::Result<usize>> {
            let this = &*self;
            poll_here(move |cx| this.poll_read_at(cx, buf))
        }

        /// As [`read`](Self::read), into several buffers, one after the other, in one call of the system.
        ///
        /// # Errors
        ///
        /// As [`read`](Self::read).
        ///
        /// # Cancel safety
        ///
        /// As [`read`](Self::read).
        ///
        /// ```
        #[doc = example!($example)]
        /// other.write_all(b"ab").await?;
        /// let (mut first, mut second) = ([0; 1], [0; 8]);
        /// # use std::io::IoSliceMut;
        /// let bufs = &mut [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        /// assert!(one.read_vectored(bufs).await? >= 1);
        /// assert_eq!(&first, b"a");
        #[doc = example!()]
        /// ```
        #[doc(alias = "readv")]
        #[track_caller]
        pub fn read_vectored<'a>(
            &'a mut self,
            bufs: &'a mut [IoSliceMut<'a>],
        ) -> impl Future<Output = io::Result<usize>> {
            let this = &*self;
            poll_here(move |cx| this.poll_read_vectored_at(cx, bufs))
        }

        /// Fills the buffer. Suspends until that many bytes have come.
        ///
        /// # Errors
        ///
        /// As [`read`](Self::read), and `UnexpectedEof` if the stream ends before the buffer is full.
        ///
        /// # Cancel safety
        ///
        /// None: what was read so far is in the buffer, and how much that is nobody knows.
        ///
        /// ```
        #[doc = example!($example)]
        /// other.write_all(b"hello").await?;
        /// let mut buf = [0; 5];
        /// one.read_exact(&mut buf).await?;
        /// assert_eq!(&buf, b"hello");
        ///
        /// other.write_all(b"by").await?;
        /// drop(other);
        /// let error = one.read_exact(&mut buf).await.unwrap_err();
        /// assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
        #[doc = example!()]
        /// ```
        #[track_caller]
        pub fn read_exact<'a>(
            &'a mut self,
            buf: &'a mut [u8],
        ) -> impl Future<Output = io::Result<()>> {
            let (this, mut filled) = (&*self, 0);
            poll_here(move |cx| {
                while filled < buf.len() {
                    match ready!(this.poll_read_at(cx, &mut buf[filled..]))? {
                        0 => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                        more => filled += more,
                    }
                }
                Poll::Ready(Ok(()))
            })
        }

        /// Appends everything up to the end of the stream, and answers how much that was. Suspends until the
        /// peer has ended its direction.
        ///
        /// # Errors
        ///
        /// As [`read`](Self::read). What came before the error has been appended.
        ///
        /// # Cancel safety
        ///
        /// Dropping the future loses nothing: what was read so far has been appended.
        ///
        /// ```
        #[doc = example!($example)]
        /// other.write_all(b"all of it").await?;
        /// drop(other);
        /// let mut text = Vec::new();
        /// assert_eq!(one.read_to_end(&mut text).await?, 9);
        /// assert_eq!(text, b"all of it");
        #[doc = example!()]
        /// ```
        #[track_caller]
        pub fn read_to_end<'a>(
            &'a mut self,
            buf: &'a mut Vec<u8>,
        ) -> impl Future<Output = io::Result<usize>> {
            let (this, before) = (&*self, buf.len());
            poll_here(move |cx| {
                ready!(poll_to_end(buf, |part| this.poll_read_at(cx, part)))?;
                Poll::Ready(Ok(buf.len() - before))
            })
        }

        /// As [`read_to_end`](Self::read_to_end), for text.
        ///
        /// # Errors
        ///
        /// As [`read`](Self::read), and `InvalidData` for what is not UTF-8. Nothing is appended then.
        ///
        /// # Cancel safety
        ///
        /// None: what was read so far is lost.
        ///
        /// ```
        #[doc = example!($example)]
        /// other.write_all("größer".as_bytes()).await?;
        /// drop(other);
        /// let mut text = String::from("etwas ");
        /// assert_eq!(one.read_to_string(&mut text).await?, 8);
        /// assert_eq!(text, "etwas größer");
        #[doc = example!()]
        /// ```
        #[track_caller]
        pub fn read_to_string<'a>(
            &'a mut self,
            buf: &'a mut String,
        ) -> impl Future<Output = io::Result<usize>> {
            let (this, mut bytes) = (&*self, Vec::new());
            poll_here(move |cx| {
                ready!(poll_to_end(&mut bytes, |part| this.poll_read_at(cx, part)))?;
                let text = std::str::from_utf8(&bytes).map_err(not_utf8)?;
                buf.push_str(text);
                Poll::Ready(Ok(text.len()))
            })
        }

        /// Waits until there is something to read, or the stream has ended; for
        /// [`try_read`](Self::try_read). (It may find nothing nevertheless: then wait again.)
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
        #[doc = example!($example)]
        /// other.write_all(b"x").await?;
        /// let mut buf = [0; 8];
        /// let read = loop {
        ///     one.readable().await?;
        ///     match one.try_read(&mut buf) {
        ///         Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
        ///         result => break result?,
        ///     }
        /// };
        /// assert_eq!((read, buf[0]), (1, b'x'));
        #[doc = example!()]
        /// ```
        #[track_caller]
        pub fn readable(&self) -> impl Future<Output = io::Result<()>> {
            let ready = self.wire().ready(Direction::Read);
            async move { ready.await.map(drop) }
        }

        /// Reads what there is, and does not wait.
        ///
        /// # Errors
        ///
        /// `WouldBlock` if there is nothing; otherwise as [`read`](Self::read).
        ///
        /// ```
        #[doc = example!($example)]
        /// let mut buf = [0; 8];
        /// let error = one.try_read(&mut buf).unwrap_err();
        /// assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "nothing was written");
        /// # let _ = &mut other; let _ = &mut one;
        #[doc = example!()]
        /// ```
        pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
            self.wire().try_read(buf)
        }

        /// As [`try_read`](Self::try_read), into several buffers.
        ///
        /// # Errors
        ///
        /// As [`try_read`](Self::try_read).
        ///
        /// ```
        #[doc = example!($example)]
        /// # use std::io::IoSliceMut;
        /// let mut buf = [0; 8];
        /// let error = one.try_read_vectored(&mut [IoSliceMut::new(&mut buf)]).unwrap_err();
        /// assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        /// # let _ = &mut other; let _ = &mut one;
        #[doc = example!()]
        /// ```
        pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
            self.wire().try_read_vectored(bufs)
        }
    };
}

/// What a type that can be written has.
macro_rules! write_methods {
    ($example:ident) => {
        pub(crate) fn poll_write_at(
            &self,
            cx: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.wire().poll_write(cx, buf)
        }

        pub(crate) fn poll_write_vectored_at(
            &self,
            cx: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.wire().poll_write_vectored(cx, bufs)
        }

        /// Ends the writing direction; never waits.
        pub(crate) fn poll_shutdown_write(&self) -> io::Result<()> {
            self.wire().shutdown(Shutdown::Write)
        }

        /// Writes some of it, and answers how much. Suspends while the system has no room, because the peer reads
        /// too slowly.
        ///
        /// # Errors
        ///
        /// Those of the system: `BrokenPipe` or `ConnectionReset` when the peer is gone (the signal `SIGPIPE` is
        /// ignored by Rust programs). And after the runtime was shut down.
        ///
        /// # Cancel safety
        ///
        /// Dropping the future loses nothing: it has written only when it becomes ready.
        ///
        /// ```
        #[doc = example!($example)]
        /// let written = one.write(b"hello").await?;
        /// assert!((1..=5).contains(&written));
        /// # let _ = &mut other;
        #[doc = example!()]
        /// ```
        #[doc(alias = "send")]
        #[track_caller]
        pub fn write<'a>(&'a mut self, buf: &'a [u8]) -> impl Future<Output = io::Result<usize>> {
            let this = &*self;
            poll_here(move |cx| this.poll_write_at(cx, buf))
        }

        /// As [`write`](Self::write), out of several buffers, one after the other, in one call of the system.
        ///
        /// # Errors
        ///
        /// As [`write`](Self::write).
        ///
        /// # Cancel safety
        ///
        /// As [`write`](Self::write).
        ///
        /// ```
        #[doc = example!($example)]
        /// # use std::io::IoSlice;
        /// let written = one.write_vectored(&[IoSlice::new(b"hel"), IoSlice::new(b"lo")]).await?;
        /// assert!((1..=5).contains(&written));
        /// # let _ = &mut other;
        #[doc = example!()]
        /// ```
        #[doc(alias = "writev")]
        #[track_caller]
        pub fn write_vectored<'a>(
            &'a mut self,
            bufs: &'a [IoSlice<'a>],
        ) -> impl Future<Output = io::Result<usize>> {
            let this = &*self;
            poll_here(move |cx| this.poll_write_vectored_at(cx, bufs))
        }

        /// Writes all of it. Suspends until the system has taken the last byte (which does not mean that the peer
        /// has it).
        ///
        /// # Errors
        ///
        /// As [`write`](Self::write). How much was written before it is not told.
        ///
        /// # Cancel safety
        ///
        /// None: how much was written nobody knows.
        ///
        /// ```
        #[doc = example!($example)]
        /// one.write_all(b"hello").await?;
        /// let mut buf = [0; 5];
        /// other.read_exact(&mut buf).await?;
        /// assert_eq!(&buf, b"hello");
        #[doc = example!()]
        /// ```
        #[doc(alias = "sendall")]
        #[track_caller]
        pub fn write_all<'a>(&'a mut self, buf: &'a [u8]) -> impl Future<Output = io::Result<()>> {
            let (this, mut rest) = (&*self, buf);
            poll_here(move |cx| {
                while !rest.is_empty() {
                    match ready!(this.poll_write_at(cx, rest))? {
                        0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                        written => rest = &rest[written..],
                    }
                }
                Poll::Ready(Ok(()))
            })
        }

        /// Does nothing: what is written is with the system already. For those who write code for any writer.
        ///
        /// # Errors
        ///
        /// None.
        ///
        /// ```
        #[doc = example!($example)]
        /// one.write_all(b"hello").await?;
        /// one.flush().await?;
        /// # let mut buf = [0; 5];
        /// # other.read_exact(&mut buf).await?;
        /// # assert_eq!(&buf, b"hello");
        #[doc = example!()]
        /// ```
        pub fn flush(&mut self) -> impl Future<Output = io::Result<()>> {
            std::future::ready(Ok(()))
        }

        /// Ends the writing direction: the peer reads what was written and then finds the end. What it
        /// writes can still be read. Does not wait. A second time it does nothing; dropping the
        /// whole stream ends both directions.
        ///
        /// # Errors
        ///
        /// Those of the system. That the peer is gone is none.
        ///
        /// # Cancel safety
        ///
        /// It happens when the method is called.
        ///
        /// ```
        #[doc = example!($example)]
        /// one.write_all(b"bye").await?;
        /// one.close().await?;
        /// let mut text = String::new();
        /// other.read_to_string(&mut text).await?;
        /// assert_eq!(text, "bye");
        /// assert!(one.write(b"more").await.is_err());
        #[doc = example!()]
        /// ```
        #[doc(alias = "shutdown")]
        #[doc(alias = "write_eof")]
        pub fn close(&mut self) -> impl Future<Output = io::Result<()>> {
            std::future::ready(self.poll_shutdown_write())
        }

        /// Waits until there is room to write, or writing is in vain; for
        /// [`try_write`](Self::try_write). (It may find none nevertheless: then wait again.)
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
        #[doc = example!($example)]
        /// one.writable().await?;
        /// assert_eq!(one.try_write(b"x")?, 1);
        /// # let mut buf = [0; 1];
        /// # other.read_exact(&mut buf).await?;
        /// # assert_eq!(&buf, b"x");
        /// # let _ = &mut one;
        #[doc = example!()]
        /// ```
        #[track_caller]
        pub fn writable(&self) -> impl Future<Output = io::Result<()>> {
            let ready = self.wire().ready(Direction::Write);
            async move { ready.await.map(drop) }
        }

        /// Writes as much as there is room for, and does not wait.
        ///
        /// # Errors
        ///
        /// `WouldBlock` if there is no room; otherwise as [`write`](Self::write).
        ///
        /// ```
        #[doc = example!($example)]
        /// let page = [0; 4096];
        /// let error = loop {
        ///     match one.try_write(&page) {
        ///         Ok(written) => assert!(written > 0),
        ///         Err(error) => break error,
        ///     }
        /// };
        /// assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "the other side reads nothing");
        /// # let _ = &mut other; let _ = &mut one;
        #[doc = example!()]
        /// ```
        pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
            self.wire().try_write(buf)
        }

        /// As [`try_write`](Self::try_write), out of several buffers.
        ///
        /// # Errors
        ///
        /// As [`try_write`](Self::try_write).
        ///
        /// ```
        #[doc = example!($example)]
        /// # use std::io::IoSlice;
        /// assert_eq!(one.try_write_vectored(&[IoSlice::new(b"hel"), IoSlice::new(b"lo")])?, 5);
        /// # let _ = &mut other; let _ = &mut one;
        #[doc = example!()]
        /// ```
        pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
            self.wire().try_write_vectored(bufs)
        }
    };
}

/// futures-io's trait for reading.
macro_rules! impl_async_read {
    ([$($generics:tt)*] $type:ty) => {
        impl $($generics)* futures_io::AsyncRead for $type {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                self.poll_read_at(cx, buf)
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                self.poll_read_vectored_at(cx, bufs)
            }
        }
    };
}

/// futures-io's trait for writing.
macro_rules! impl_async_write {
    ([$($generics:tt)*] $type:ty) => {
        impl $($generics)* futures_io::AsyncWrite for $type {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.poll_write_at(cx, buf)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.poll_write_vectored_at(cx, bufs)
            }

            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(self.poll_shutdown_write())
            }
        }
    };
}

pub(super) use {example, impl_async_read, impl_async_write, read_methods, write_methods};
