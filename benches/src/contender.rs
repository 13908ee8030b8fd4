//! What a runtime has to offer to take part, in the words the workloads use.
//!
//! Everything is a generic function and resolved at compile time. Where a contender's own type can be handed through, it is
//! (`sleep`, `yield_now`): a wrapper would cost one contender bytes or branches which the others do not have.

mod compute;
#[cfg(feature = "filch")]
mod filch;
mod over_futures_io;
mod smol;
mod tokio;

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::time::Duration;

#[cfg(feature = "filch")]
pub(crate) use self::compute::FilchCompute;
pub(crate) use self::compute::{TokioBlocking, TokioRayon, TokioSemaphore};
#[cfg(feature = "filch")]
pub(crate) use self::filch::Filch;
pub(crate) use self::smol::AsyncExecutor;
pub(crate) use self::tokio::{Tokio, TokioCurrentThread};

/// A multi-threaded runtime. Dropping it ends its worker threads.
pub(crate) trait Contender: Send + Sync + 'static {
    /// As the table calls it.
    const NAME: &'static str;

    /// A spawned task, to be joined, detached or cancelled. What a mere drop does differs between contenders.
    type Handle<T: Send + 'static>: Send + 'static;

    /// A runtime with that many worker threads, ready.
    fn new(workers: usize) -> Self;

    /// Runs `future` on the calling thread, which is no worker.
    fn block_on<F: Future>(&self, future: F) -> F::Output;

    /// Spawns from a thread outside the runtime.
    fn spawn_remote<F>(&self, future: F) -> Self::Handle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static;

    /// Spawns from inside, be it a task or `block_on`.
    fn spawn<F>(future: F) -> Self::Handle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static;

    /// Awaits the task's output.
    fn join<T: Send + 'static>(handle: Self::Handle<T>) -> impl Future<Output = T> + Send;

    /// Lets the task run on its own.
    fn detach<T: Send + 'static>(handle: Self::Handle<T>);

    /// Ends the task wherever it waits; its future is dropped now or soon.
    fn cancel<T: Send + 'static>(handle: Self::Handle<T>);

    /// Lets other tasks run.
    fn yield_now() -> impl Future<Output = ()> + Send;

    /// Waits for at least `duration`.
    fn sleep(duration: Duration) -> impl Future<Output: Send> + Send + 'static;

    /// `future`, unless it takes longer than `duration`.
    fn timeout<F>(
        duration: Duration,
        future: F,
    ) -> impl Future<Output = Result<F::Output, impl Debug>> + Send
    where
        F: Future<Output: Send> + Send;

    /// `future`, where a cancel would be caught and cleaned up after. Who has nothing of the kind leaves it as it is.
    fn catching<F>(future: F) -> impl Future<Output = F::Output> + Send
    where
        F: Future<Output: Send> + Send,
    {
        future
    }

    /// Starts `count` tasks that belong together, each from its number, and waits until all have ended. The answer is
    /// the number of those that have.
    fn group<F>(
        count: usize,
        child: impl Fn(usize) -> F + Send + 'static,
    ) -> impl Future<Output = usize> + Send + 'static
    where
        F: Future<Output = ()> + Send + 'static;

    /// Starts `call` where it may block; from inside. It starts now, whether or not the future is polled.
    fn spawn_blocking<F, T>(call: F) -> impl Future<Output = T> + Send
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static;

    /// Runs `future` as a task, on a worker, and waits for it.
    fn in_task<F>(&self, future: F) -> F::Output
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let handle = self.spawn_remote(future);
        self.block_on(Self::join(handle))
    }
}

/// A contender with sockets, the way one of its users would write a server.
pub(crate) trait Serves: Contender {
    type Listener: Send + Sync;
    type Stream: Send + 'static;
    /// A connection the way hyper wants it.
    type Http: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static;

    /// A listener at the loopback, and its port.
    fn listen() -> impl Future<Output = io::Result<(Self::Listener, u16)>>;

    /// A connection, `TCP_NODELAY` set.
    fn accept(listener: &Self::Listener) -> impl Future<Output = io::Result<Self::Stream>>;

    /// Reads what there is; 0 at the end.
    fn read<'a>(
        stream: &'a mut Self::Stream,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send;

    /// Writes all of it.
    fn write_all<'a>(
        stream: &'a mut Self::Stream,
        bytes: &'a [u8],
    ) -> impl Future<Output = io::Result<()>> + Send;

    /// The connection for hyper.
    fn http(stream: Self::Stream) -> Self::Http;
}

/// A server's runtime together with a place for calls that compute, as programs put them together.
pub(crate) trait Computes: Send + Sync + 'static {
    /// As the server is called.
    const NAME: &'static str;

    type On: Serves;

    /// For a machine with so many cores.
    fn new(cores: usize) -> Self;

    /// Runs `call` there; from inside.
    fn compute<F, T>(&self, call: F) -> impl Future<Output = T> + Send
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static;
}
