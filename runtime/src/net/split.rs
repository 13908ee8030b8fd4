//! The two directions of a stream, each with an owner of its own.

use std::error::Error;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::connected::{Connected, Duplex};
use super::methods::{example, impl_async_read, impl_async_write, read_methods, write_methods};
use super::sited::poll_here;
use super::to_end::{not_utf8, poll_to_end};
use crate::io::Direction;

/// The reading direction of a stream; made by `into_split` of
/// [`TcpStream`](super::TcpStream) and [`UnixStream`](super::UnixStream).
///
/// Dropping it leaves the writing direction as it is. The socket is closed when both halves are dropped.
///
/// ```
/// use filch::net::{TcpListener, TcpStream};
///
/// filch::run(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let client = TcpStream::connect(listener.local_addr()?).await?;
///     let (mut echo, _) = listener.accept().await?;
///     let (mut reader, mut writer) = client.into_split();
///     let answer = filch::spawn(async move {
///         let mut text = [0; 5];
///         reader.read_exact(&mut text).await.map(|()| text)
///     });
///     writer.write_all(b"hello").await?;
///     let mut text = [0; 5];
///     echo.read_exact(&mut text).await?;
///     echo.write_all(&text).await?;
///     assert_eq!(&answer.await??, b"hello");
///     std::io::Result::Ok(())
/// })
/// # .unwrap();
/// ```
#[doc(alias = "OwnedReadHalf")]
#[doc(alias = "StreamReader")]
pub struct ReadHalf<S> {
    stream: Arc<S>,
}

/// The writing direction of a stream; made by `into_split` of
/// [`TcpStream`](super::TcpStream) and [`UnixStream`](super::UnixStream).
///
/// Dropping it ends the writing direction: the peer reads what was written, and then finds the end.
/// [`forget`](WriteHalf::forget) leaves the direction open instead.
///
/// ```
/// use filch::net::{TcpListener, TcpStream};
///
/// filch::run(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let client = TcpStream::connect(listener.local_addr()?).await?;
///     let (mut server, _) = listener.accept().await?;
///     let (mut reader, mut writer) = client.into_split();
///     writer.write_all(b"question").await?;
///     drop(writer);
///     let mut text = String::new();
///     server.read_to_string(&mut text).await?;
///     assert_eq!(text, "question", "there was an end to it");
///     server.write_all(b"answer").await?;
///     drop(server);
///     text.clear();
///     reader.read_to_string(&mut text).await?;
///     assert_eq!(text, "answer");
///     std::io::Result::Ok(())
/// })
/// # .unwrap();
/// ```
#[doc(alias = "OwnedWriteHalf")]
#[doc(alias = "StreamWriter")]
pub struct WriteHalf<S: Duplex> {
    /// `None` only while it is taken apart.
    stream: Option<Arc<S>>,
}

pub(super) fn split<S: Duplex>(stream: S) -> (ReadHalf<S>, WriteHalf<S>) {
    let stream = Arc::new(stream);
    (ReadHalf { stream: Arc::clone(&stream) }, WriteHalf { stream: Some(stream) })
}

fn reunite<S: Duplex>(read: ReadHalf<S>, mut write: WriteHalf<S>) -> Result<S, ReuniteError<S>> {
    let taken = write.stream.take();
    let other = taken.expect("taken only by those who consume the half");
    if !Arc::ptr_eq(&read.stream, &other) {
        write.stream = Some(other);
        return Err(ReuniteError { read, write });
    }
    drop(read);
    Ok(Arc::into_inner(other).expect("a stream has two halves"))
}

impl<S: Duplex> ReadHalf<S> {
    /// Gives the stream back.
    ///
    /// # Errors
    ///
    /// If the halves are not of the same stream: the error has both, unchanged.
    ///
    /// ```
    /// # use filch::net::{TcpListener, TcpStream};
    /// # filch::run(async {
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let client = TcpStream::connect(listener.local_addr()?).await?;
    /// let address = client.local_addr()?;
    /// let (read, write) = client.into_split();
    /// let client = read.reunite(write)?;
    /// assert_eq!(client.local_addr()?, address);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn reunite(self, write: WriteHalf<S>) -> Result<S, ReuniteError<S>> {
        reunite(self, write)
    }

    fn wire(&self) -> &Connected<S::Wire> {
        self.stream.connected()
    }

    read_methods!(read_half);
}

impl<S: Duplex> WriteHalf<S> {
    /// Gives the stream back; as [`ReadHalf::reunite`].
    ///
    /// # Errors
    ///
    /// As [`ReadHalf::reunite`].
    pub fn reunite(self, read: ReadHalf<S>) -> Result<S, ReuniteError<S>> {
        reunite(read, self)
    }

    /// Drops the half without ending its direction: nothing more will be written, and the peer does not
    /// learn that before the other half is dropped as well.
    ///
    /// ```
    /// # use filch::net::{TcpListener, TcpStream};
    /// # filch::run(async {
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let client = TcpStream::connect(listener.local_addr()?).await?;
    /// let (server, _) = listener.accept().await?;
    /// let (read, write) = client.into_split();
    /// write.forget();
    /// let error = server.try_read(&mut [0]).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "not the end");
    /// drop(read);
    /// server.readable().await?;
    /// assert_eq!(server.try_read(&mut [0])?, 0);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    pub fn forget(mut self) {
        drop(self.stream.take());
    }

    fn whole(&self) -> &S {
        self.stream.as_ref().expect("taken only by those who consume the half")
    }

    fn wire(&self) -> &Connected<S::Wire> {
        self.whole().connected()
    }

    write_methods!(write_half);
}

impl_async_read!([<S: Duplex>] ReadHalf<S>);
impl_async_read!([<S: Duplex>] &ReadHalf<S>);
impl_async_write!([<S: Duplex>] WriteHalf<S>);
impl_async_write!([<S: Duplex>] &WriteHalf<S>);

/// The whole stream: for its addresses and options.
impl<S> AsRef<S> for ReadHalf<S> {
    fn as_ref(&self) -> &S {
        &self.stream
    }
}

/// The whole stream: for its addresses and options.
impl<S: Duplex> AsRef<S> for WriteHalf<S> {
    fn as_ref(&self) -> &S {
        self.whole()
    }
}

impl<S: Duplex> Drop for WriteHalf<S> {
    fn drop(&mut self) {
        if let Some(stream) = &self.stream {
            // Fails only if there is nothing to be ended.
            let _ = stream.connected().shutdown(Shutdown::Write);
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for ReadHalf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadHalf").field(&self.stream).finish()
    }
}

impl<S: Duplex + fmt::Debug> fmt::Debug for WriteHalf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WriteHalf").field(self.whole()).finish()
    }
}

/// The halves are not of the same stream. Both are in here, unchanged.
///
/// ```
/// # use filch::net::{TcpListener, TcpStream};
/// # filch::run(async {
/// # let listener = TcpListener::bind("127.0.0.1:0").await?;
/// # let address = listener.local_addr()?;
/// let one = TcpStream::connect(address).await?;
/// let other = TcpStream::connect(address).await?;
/// let (one_read, one_write) = one.into_split();
/// let (other_read, other_write) = other.into_split();
/// let error = one_read.reunite(other_write).unwrap_err();
/// let (one_read, other_write) = (error.read, error.write);
/// assert!(one_read.reunite(one_write).is_ok() && other_read.reunite(other_write).is_ok());
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub struct ReuniteError<S: Duplex> {
    /// The reading half.
    pub read: ReadHalf<S>,
    /// The writing half.
    pub write: WriteHalf<S>,
}

impl<S: Duplex> fmt::Debug for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReuniteError").finish_non_exhaustive()
    }
}

impl<S: Duplex> fmt::Display for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the halves are of two different streams, and cannot be put together")
    }
}

impl<S: Duplex> Error for ReuniteError<S> {}
