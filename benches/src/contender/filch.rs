//! filch.

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::time::Duration;

use filch::net::{TcpListener, TcpStream};
use filch::{JoinHandle, Runtime};

use super::{Contender, Serves};

pub(crate) struct Filch(Runtime);

impl Contender for Filch {
    const NAME: &'static str = "filch";

    type Handle<T: Send + 'static> = JoinHandle<T>;

    fn new(workers: usize) -> Self {
        let runtime = Runtime::builder().worker_threads(workers).build().expect("filch starts");
        Filch(runtime)
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
        filch::spawn(future)
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
        filch::yield_now()
    }

    fn sleep(duration: Duration) -> impl Future<Output: Send> + Send + 'static {
        filch::sleep(duration)
    }

    fn timeout<F>(
        duration: Duration,
        future: F,
    ) -> impl Future<Output = Result<F::Output, impl Debug>> + Send
    where
        F: Future<Output: Send> + Send,
    {
        filch::timeout(duration, future)
    }

    async fn catching<F>(future: F) -> F::Output
    where
        F: Future<Output: Send> + Send,
    {
        filch::catch_cancel(future).await.expect("nobody cancels it")
    }

    async fn group<F>(count: usize, child: impl Fn(usize) -> F + Send + 'static) -> usize
    where
        F: Future<Output = ()> + Send + 'static,
    {
        filch::task_group(async move |group| {
            (0..count).for_each(|number| drop(group.spawn(child(number))));
        })
        .await;
        count
    }

    fn spawn_blocking<F, T>(call: F) -> impl Future<Output = T> + Send
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Self::join(filch::spawn_blocking(call))
    }
}

impl Serves for Filch {
    type Listener = TcpListener;
    type Stream = TcpStream;
    type Http = TcpStream;

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

    fn http(stream: TcpStream) -> TcpStream {
        stream
    }
}
