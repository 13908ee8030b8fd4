//! Where servers compute: filch's lane, and three usual ways with tokio.

use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot};

use super::{Computes, Tokio};
#[cfg(feature = "filch")]
use super::{Contender, Filch};

/// filch's own threads for calls that compute, as they are by default.
#[cfg(feature = "filch")]
pub(crate) struct FilchCompute;

#[cfg(feature = "filch")]
impl Computes for FilchCompute {
    const NAME: &'static str = "filch + spawn_compute";

    type On = Filch;

    fn new(_: usize) -> Self {
        FilchCompute
    }

    async fn compute<F, T>(&self, call: F) -> T
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Filch::join(filch::spawn_compute(call)).await
    }
}

/// What most programs do: a thread for each call, up to 512.
pub(crate) struct TokioBlocking;

impl Computes for TokioBlocking {
    const NAME: &'static str = "tokio + spawn_blocking";

    type On = Tokio;

    fn new(_: usize) -> Self {
        TokioBlocking
    }

    async fn compute<F, T>(&self, call: F) -> T
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        tokio::task::spawn_blocking(call).await.expect("it does not panic")
    }
}

/// What tokio's manual advises: no more of them at a time than there are cores.
pub(crate) struct TokioSemaphore(Arc<Semaphore>);

impl Computes for TokioSemaphore {
    const NAME: &'static str = "tokio + semaphore";

    type On = Tokio;

    fn new(cores: usize) -> Self {
        TokioSemaphore(Arc::new(Semaphore::new(cores)))
    }

    async fn compute<F, T>(&self, call: F) -> T
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let permit = Arc::clone(&self.0).acquire_owned().await.expect("it is never closed");
        let call = move || {
            let answer = call();
            drop(permit);
            answer
        };
        tokio::task::spawn_blocking(call).await.expect("it does not panic")
    }
}

/// The other usual advice: rayon's threads, and a channel for the answer.
pub(crate) struct TokioRayon(rayon_core::ThreadPool);

impl Computes for TokioRayon {
    const NAME: &'static str = "tokio + rayon";

    type On = Tokio;

    fn new(cores: usize) -> Self {
        let pool = rayon_core::ThreadPoolBuilder::new().num_threads(cores).build();
        TokioRayon(pool.expect("there are threads"))
    }

    async fn compute<F, T>(&self, call: F) -> T
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.0.spawn(move || drop(answer.send(call())));
        answered.await.expect("it does not panic")
    }
}
