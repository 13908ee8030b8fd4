//! tokio's multi-thread runtime, with all drivers on.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use super::Contender;

pub(crate) struct Tokio(Runtime);

impl Contender for Tokio {
    const NAME: &'static str = "tokio";

    type Handle<T: Send + 'static> = JoinHandle<T>;

    fn new(workers: usize) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(workers)
            .enable_all()
            .build()
            .expect("tokio starts");
        Tokio(runtime)
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
