//! Streams of both kinds, whole and in halves, behind one face.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use filch::net::{ReadHalf, TcpListener, TcpStream, UnixListener, UnixStream, WriteHalf};
use futures_io::{AsyncRead, AsyncWrite};

type Ready<'a> = Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'a>>;

pub(super) trait Reads: Send + Sync + 'static {
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;
    fn try_read(&self, buf: &mut [u8]) -> io::Result<usize>;
    fn readable(&self) -> Ready<'_>;
}

pub(super) trait Writes: Send + Sync + 'static {
    fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>>;
    fn try_write(&self, buf: &[u8]) -> io::Result<usize>;
    fn writable(&self) -> Ready<'_>;
    fn poll_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

macro_rules! reads {
    ($($type:ty),*) => { $(
        impl Reads for $type {
            fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
                Pin::new(&mut &*self).poll_read(cx, buf)
            }

            fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
                self.try_read(buf)
            }

            fn readable(&self) -> Ready<'_> {
                Box::pin(self.readable())
            }
        }
    )* };
}

macro_rules! writes {
    ($($type:ty),*) => { $(
        impl Writes for $type {
            fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                Pin::new(&mut &*self).poll_write(cx, buf)
            }

            fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
                self.try_write(buf)
            }

            fn writable(&self) -> Ready<'_> {
                Box::pin(self.writable())
            }

            fn poll_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut &*self).poll_close(cx)
            }
        }
    )* };
}

reads!(TcpStream, UnixStream, ReadHalf<TcpStream>, ReadHalf<UnixStream>);
writes!(TcpStream, UnixStream, WriteHalf<TcpStream>, WriteHalf<UnixStream>);

/// A kind of streams.
pub(super) trait Kind: Reads + Writes + Sized {
    type R: Reads;
    type W: Writes;
    type Std: Send + 'static;
    fn split(self) -> (Self::R, Self::W);
    fn reunite(read: Self::R, write: Self::W) -> Option<Self>;
    fn into_std(self) -> io::Result<Self::Std>;
    fn from_std(std: Self::Std) -> io::Result<Self>;
    /// The next drop resets the connection; where there is no such thing, nothing happens.
    fn will_reset(&self) -> bool;
}

macro_rules! kind {
    ($type:ident, $std:ty, $reset:expr) => {
        impl Kind for $type {
            type R = ReadHalf<$type>;
            type W = WriteHalf<$type>;
            type Std = $std;

            fn split(self) -> (Self::R, Self::W) {
                self.into_split()
            }

            fn reunite(read: Self::R, write: Self::W) -> Option<Self> {
                read.reunite(write).ok()
            }

            fn into_std(self) -> io::Result<$std> {
                self.into_std()
            }

            fn from_std(std: $std) -> io::Result<Self> {
                $type::from_std(std)
            }

            fn will_reset(&self) -> bool {
                let reset: fn(&$type) -> bool = $reset;
                reset(self)
            }
        }
    };
}

kind!(TcpStream, std::net::TcpStream, |stream| stream.set_linger(Some(Duration::ZERO)).is_ok());
kind!(UnixStream, StdUnixStream, |_| false);

/// In which form somebody has a stream.
enum Form<K: Kind> {
    Whole(Arc<K>),
    Halves(Option<Arc<K::R>>, Option<Arc<K::W>>),
    Nothing,
}

/// A form of either kind. What answers a `bool` says whether it could be done; an error is a fault.
pub(super) trait Ends: Send {
    fn reader(&self) -> Option<Arc<dyn Reads>>;
    fn writer(&self) -> Option<Arc<dyn Writes>>;
    fn split(&mut self) -> Result<bool, String>;
    fn reunite(&mut self) -> Result<bool, String>;
    fn drop_read(&mut self) -> bool;
    fn drop_write(&mut self) -> bool;
    fn will_reset(&self) -> bool;
    /// Takes it from its runtime; to be called in the other one.
    fn migrate(self: Box<Self>) -> Result<Migrates, String>;
}

pub(super) type Migrates = Box<dyn FnOnce() -> io::Result<Box<dyn Ends>> + Send>;

pub(super) fn whole<K: Kind>(stream: K) -> Box<dyn Ends> {
    Box::new(Form::Whole(Arc::new(stream)))
}

/// Nobody else has it: all tasks that had it have ended.
fn alone<T>(shared: Arc<T>) -> Result<T, String> {
    Arc::into_inner(shared)
        .ok_or_else(|| "a task has ended, and what it held is still held".to_owned())
}

impl<K: Kind> Ends for Form<K> {
    fn reader(&self) -> Option<Arc<dyn Reads>> {
        match self {
            Form::Whole(stream) => Some(Arc::clone(stream) as Arc<dyn Reads>),
            Form::Halves(read, _) => read.clone().map(|read| read as Arc<dyn Reads>),
            Form::Nothing => None,
        }
    }

    fn writer(&self) -> Option<Arc<dyn Writes>> {
        match self {
            Form::Whole(stream) => Some(Arc::clone(stream) as Arc<dyn Writes>),
            Form::Halves(_, write) => write.clone().map(|write| write as Arc<dyn Writes>),
            Form::Nothing => None,
        }
    }

    fn split(&mut self) -> Result<bool, String> {
        match std::mem::replace(self, Form::Nothing) {
            Form::Whole(stream) => {
                let (read, write) = alone(stream)?.split();
                *self = Form::Halves(Some(Arc::new(read)), Some(Arc::new(write)));
                Ok(true)
            }
            other => {
                *self = other;
                Ok(false)
            }
        }
    }

    fn reunite(&mut self) -> Result<bool, String> {
        match std::mem::replace(self, Form::Nothing) {
            Form::Halves(Some(read), Some(write)) => {
                let whole = K::reunite(alone(read)?, alone(write)?);
                *self = Form::Whole(Arc::new(whole.ok_or("these halves are of one stream")?));
                Ok(true)
            }
            other => {
                *self = other;
                Ok(false)
            }
        }
    }

    fn drop_read(&mut self) -> bool {
        if let Form::Halves(read, _) = self { read.take().is_some() } else { false }
    }

    fn drop_write(&mut self) -> bool {
        if let Form::Halves(_, write) = self { write.take().is_some() } else { false }
    }

    fn will_reset(&self) -> bool {
        matches!(self, Form::Whole(stream) if stream.will_reset())
    }

    fn migrate(self: Box<Self>) -> Result<Migrates, String> {
        let Form::Whole(stream) = *self else { return Err("only a whole stream moves".into()) };
        let std = alone(stream)?.into_std().map_err(|error| format!("into_std: {error}"))?;
        Ok(Box::new(move || K::from_std(std).map(whole)))
    }
}

/// A listening socket of either kind.
pub(super) enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Listening::Unix(_, path) = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Listening {
    /// A connection, and where it comes from.
    pub(super) async fn accept(&self) -> io::Result<(Box<dyn Ends>, Option<SocketAddr>)> {
        match self {
            Listening::Tcp(listener) => {
                let (stream, from) = listener.accept().await?;
                Ok((whole(stream), Some(from)))
            }
            Listening::Unix(listener, _) => Ok((whole(listener.accept().await?.0), None)),
        }
    }

    /// A connection to it, and what it will be known by.
    pub(super) async fn connect(&self) -> io::Result<(Box<dyn Ends>, Option<SocketAddr>)> {
        match self {
            Listening::Tcp(listener) => {
                let stream = TcpStream::connect(listener.local_addr()?).await?;
                let name = stream.local_addr()?;
                Ok((whole(stream), Some(name)))
            }
            Listening::Unix(_, path) => Ok((whole(UnixStream::connect(path).await?), None)),
        }
    }
}
