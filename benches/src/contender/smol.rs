//! async-executor, run the way smol runs it: one static executor, threads that drive async-io's reactor between tasks.

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use async_executor::{Executor, Task};
use async_io::{Async, Timer};
use futures_lite::{AsyncReadExt, AsyncWriteExt, future};

use super::over_futures_io::OverFuturesIo;
use super::{Contender, Serves};

/// Shared by all instances, as `smol::spawn` has it: a task can spawn without being handed its executor.
static EXECUTOR: Executor<'static> = Executor::new();

pub(crate) struct AsyncExecutor {
    /// Closed on drop, which ends the workers.
    stop: Sender<()>,
    workers: Vec<thread::JoinHandle<()>>,
}

impl Drop for AsyncExecutor {
    fn drop(&mut self) {
        self.stop.close();
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

/// The timeout ran out.
#[derive(Debug)]
struct Elapsed;

impl Contender for AsyncExecutor {
    const NAME: &'static str = "async-executor";

    type Handle<T: Send + 'static> = Task<T>;

    fn new(workers: usize) -> Self {
        let (stop, stopped): (Sender<()>, Receiver<()>) = async_channel::bounded(1);
        let workers = (0..workers)
            .map(|_| {
                let stopped = stopped.clone();
                thread::spawn(move || {
                    let _ = async_io::block_on(EXECUTOR.run(stopped.recv()));
                })
            })
            .collect();
        AsyncExecutor { stop, workers }
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        async_io::block_on(future)
    }

    fn spawn_remote<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        EXECUTOR.spawn(future)
    }

    fn spawn<F>(future: F) -> Task<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        EXECUTOR.spawn(future)
    }

    fn join<T: Send + 'static>(handle: Task<T>) -> impl Future<Output = T> + Send {
        handle
    }

    fn detach<T: Send + 'static>(handle: Task<T>) {
        handle.detach();
    }

    fn cancel<T: Send + 'static>(handle: Task<T>) {
        drop(handle);
    }

    fn yield_now() -> impl Future<Output = ()> + Send {
        future::yield_now()
    }

    fn sleep(duration: Duration) -> impl Future<Output: Send> + Send + 'static {
        Timer::after(duration)
    }

    fn timeout<F>(
        duration: Duration,
        future: F,
    ) -> impl Future<Output = Result<F::Output, impl Debug>> + Send
    where
        F: Future<Output: Send> + Send,
    {
        future::or(async { Ok(future.await) }, async move {
            Timer::after(duration).await;
            Err(Elapsed)
        })
    }

    async fn group<F>(count: usize, child: impl Fn(usize) -> F + Send + 'static) -> usize
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let tasks: Vec<_> = (0..count).map(|number| Self::spawn(child(number))).collect();
        for task in tasks {
            Self::join(task).await;
        }
        count
    }

    fn spawn_blocking<F, T>(call: F) -> impl Future<Output = T> + Send
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        blocking::unblock(call)
    }
}

impl Serves for AsyncExecutor {
    type Listener = Async<TcpListener>;
    type Stream = Async<TcpStream>;
    type Http = OverFuturesIo<Async<TcpStream>>;

    async fn listen() -> io::Result<(Async<TcpListener>, u16)> {
        let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 0))?;
        let port = listener.get_ref().local_addr()?.port();
        Ok((listener, port))
    }

    async fn accept(listener: &Async<TcpListener>) -> io::Result<Async<TcpStream>> {
        let (stream, _) = listener.accept().await?;
        stream.get_ref().set_nodelay(true)?;
        Ok(stream)
    }

    fn read<'a>(
        stream: &'a mut Async<TcpStream>,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send {
        stream.read(buf)
    }

    fn write_all<'a>(
        stream: &'a mut Async<TcpStream>,
        bytes: &'a [u8],
    ) -> impl Future<Output = io::Result<()>> + Send {
        stream.write_all(bytes)
    }

    fn http(stream: Async<TcpStream>) -> OverFuturesIo<Async<TcpStream>> {
        OverFuturesIo::new(stream)
    }
}
