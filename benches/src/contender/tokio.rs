//! tokio's multi-thread runtime, with all drivers on; and its other one, for servers.

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use super::{Contender, Serves};

pub(crate) struct TokioOf<const MULTI_THREAD: bool>(Runtime);

pub(crate) type Tokio = TokioOf<true>;
/// All of it on the thread that is in `block_on`.
pub(crate) type TokioCurrentThread = TokioOf<false>;

impl<const MULTI_THREAD: bool> Contender for TokioOf<MULTI_THREAD> {
    const NAME: &'static str = if MULTI_THREAD { "tokio" } else { "tokio current_thread" };

    type Handle<T: Send + 'static> = JoinHandle<T>;

    fn new(workers: usize) -> Self {
        let mut builder =
            if MULTI_THREAD { Builder::new_multi_thread() } else { Builder::new_current_thread() };
        TokioOf(builder.worker_threads(workers).enable_all().build().expect("tokio starts"))
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.0.block_on(future)
    }

    fn spawn_remote<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.0.spawn(future)
    }

    fn spawn<F>(future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        tokio::spawn(future)
    }

    async fn join<T: Send + 'static>(handle: JoinHandle<T>) -> T {
        handle.await.expect("the task neither panics nor is cancelled")
    }

    fn detach<T: Send + 'static>(handle: JoinHandle<T>) {
        drop(handle);
    }

    fn cancel<T: Send + 'static>(handle: JoinHandle<T>) {
        handle.abort();
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        tokio::task::yield_now()
    }

    fn sleep(duration: Duration) -> impl Future<Output: Send> + Send + 'static {
        tokio::time::sleep(duration)
    }

    fn timeout<F>(
        duration: Duration,
        future: F,
    ) -> impl Future<Output = Result<F::Output, impl Debug>> + Send
    where
        F: Future<Output: Send> + Send,
    {
        tokio::time::timeout(duration, future)
    }

    async fn group<F>(count: usize, child: impl Fn(usize) -> F + Send + 'static) -> usize
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut set = tokio::task::JoinSet::new();
        (0..count).for_each(|number| drop(set.spawn(child(number))));
        let mut ended = 0;
        while let Some(result) = set.join_next().await {
            result.expect("it neither panics nor is cancelled");
            ended += 1;
        }
        ended
    }

    fn spawn_blocking<F, T>(call: F) -> impl Future<Output = T> + Send
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Self::join(tokio::task::spawn_blocking(call))
    }
}

impl<const MULTI_THREAD: bool> Serves for TokioOf<MULTI_THREAD> {
    type Listener = TcpListener;
    type Stream = TcpStream;
    type Http = TokioIo<TcpStream>;

    async fn listen() -> io::Result<(TcpListener, u16)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        Ok((listener, port))
    }

    async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn read<'a>(
        stream: &'a mut TcpStream,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send {
        stream.read(buf)
    }

    fn write_all<'a>(
        stream: &'a mut TcpStream,
        bytes: &'a [u8],
    ) -> impl Future<Output = io::Result<()>> + Send {
        stream.write_all(bytes)
    }

    fn http(stream: TcpStream) -> TokioIo<TcpStream> {
        TokioIo::new(stream)
    }
}
