//! Two tasks that have nothing to do but wait for each other: what a wake costs.

use std::fmt::Debug;
use std::future::Future;

use crate::contender::Contender;
use crate::workload::{Plan, Sample, Workload, time_per_op};

/// A number goes to and fro.
#[derive(Clone, Copy)]
pub(super) struct BackAndForth(pub(super) Kind);

/// Whose channels.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// The one most programs have.
    AsyncChannel,
    /// The fastest there and back of those tried on tokio with 2 workers: tachyonix 214 ns, kanal 223, thingbuf 351, tokio 377,
    /// flume 434, futures-channel 458, async-channel 619.
    Tachyonix,
}

impl Workload for BackAndForth {
    fn batch(self, plan: Plan) -> usize {
        plan.size(10_000, 50)
    }

    fn start<C: Contender>(self, plan: Plan) -> impl FnMut() -> Sample + 'static {
        let rt = C::new(plan.workers);
        let trips = self.batch(plan);
        move || {
            time_per_op(plan, || match self.0 {
                Kind::AsyncChannel => exchange(&rt, trips, || async_channel::bounded(1)),
                Kind::Tachyonix => exchange(&rt, trips, || tachyonix::channel(1)),
            })
        }
    }
}

trait Sender: Send + 'static {
    fn send(&mut self, value: usize) -> impl Future<Output = Result<(), impl Debug>> + Send;
}

trait Receiver: Send + 'static {
    /// None: closed.
    fn recv(&mut self) -> impl Future<Output = Option<usize>> + Send;
}

/// Comes back with how often the number has been back.
fn exchange<C, S, R>(rt: &C, trips: usize, channel: impl Fn() -> (S, R)) -> usize
where
    C: Contender,
    S: Sender,
    R: Receiver,
{
    let (mut there, mut arrived) = channel();
    let (mut back, mut returned) = channel();
    C::detach(rt.spawn_remote(async move {
        while let Some(value) = arrived.recv().await {
            back.send(value + 1).await.unwrap();
        }
    }));
    rt.in_task(async move {
        let mut value = 0;
        for _ in 0..trips {
            there.send(value).await.unwrap();
            value = returned.recv().await.unwrap();
        }
        value
    })
}

impl Sender for async_channel::Sender<usize> {
    fn send(&mut self, value: usize) -> impl Future<Output = Result<(), impl Debug>> + Send {
        async_channel::Sender::send(self, value)
    }
}

impl Receiver for async_channel::Receiver<usize> {
    async fn recv(&mut self) -> Option<usize> {
        async_channel::Receiver::recv(self).await.ok()
    }
}

impl Sender for tachyonix::Sender<usize> {
    fn send(&mut self, value: usize) -> impl Future<Output = Result<(), impl Debug>> + Send {
        tachyonix::Sender::send(self, value)
    }
}

impl Receiver for tachyonix::Receiver<usize> {
    async fn recv(&mut self) -> Option<usize> {
        tachyonix::Receiver::recv(self).await.ok()
    }
}
