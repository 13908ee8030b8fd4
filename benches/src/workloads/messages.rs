//! Many tasks and messages between them, in the shapes of tachyobench: *pinball*, where whoever receives is often starved and nobody
//! who sends is ever held up, and *funnel*, where many send to one through a channel that is usually full. Written anew, over the one kind of channel.

use crate::contender::Contender;
use crate::workload::{Plan, Sample, Workload, time_per_op};

/// Rigs that have nothing to do with each other.
const RIGS: usize = 61;
/// Nodes of a rig of pinball; senders of a rig of funnel.
const NODES: usize = 13;

/// In each rig every node can send to every other. A message goes from node to node by chance, so many times.
#[derive(Clone, Copy)]
pub(super) struct Pinball {
    /// In each rig.
    pub(super) balls: usize,
}

/// A message: which steps are left, and chance.
struct Ball {
    hops: usize,
    chance: u32,
}

impl Ball {
    /// xorshift: any other node than this one.
    fn next_after(&mut self, node: usize) -> usize {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 17;
        self.chance ^= self.chance << 5;
        (node + 1 + self.chance as usize % (NODES - 1)) % NODES
    }
}

impl Pinball {
    fn rigs(plan: Plan) -> usize {
        plan.size(RIGS, 2)
    }

    fn hops(self, plan: Plan) -> usize {
        plan.size(2_000 / self.balls + 100, 5)
    }
}

impl Workload for Pinball {
    fn batch(self, plan: Plan) -> usize {
        Pinball::rigs(plan) * self.balls * self.hops(plan)
    }

    fn start<C: Contender>(self, plan: Plan) -> impl FnMut() -> Sample + 'static {
        let rt = C::new(plan.workers);
        let hops = self.hops(plan);
        move || {
            time_per_op(plan, || {
                rt.in_task(async move {
                    let mut nodes = Vec::with_capacity(Pinball::rigs(plan) * NODES);
                    for rig in 0..Pinball::rigs(plan) {
                        nodes.extend(self.rig::<C>(rig, hops));
                    }
                    let mut done = 0;
                    for node in nodes {
                        done += C::join(node).await;
                    }
                    done
                })
            })
        }
    }
}

impl Pinball {
    /// Tasks that tell how many messages they have received. A rig ends by itself: who has seen a ball's last hop says so to all.
    fn rig<C: Contender>(self, rig: usize, hops: usize) -> Vec<C::Handle<usize>> {
        // Room for all balls, and for all that say that it is over: sending never waits.
        let channel = || tachyonix::channel(self.balls + NODES + self.balls * NODES);
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..NODES).map(|_| channel()).unzip();
        for ball in 0..self.balls {
            let chance = (1 + rig * self.balls + ball) as u32;
            let sent = senders[ball % NODES].try_send(Ball { hops, chance });
            assert!(sent.is_ok(), "there is room");
        }
        let node = |(node, mut receiver): (usize, tachyonix::Receiver<Ball>)| {
            let senders = senders.clone();
            let balls = self.balls;
            C::spawn(async move {
                let (mut received, mut over) = (0, 0);
                while over < balls {
                    let mut ball = receiver.recv().await.expect("it has a sender itself");
                    if ball.hops == 0 {
                        over += 1;
                        continue;
                    }
                    received += 1;
                    ball.hops -= 1;
                    if ball.hops == 0 {
                        for sender in &senders {
                            let told = sender.try_send(Ball { hops: 0, chance: 0 });
                            assert!(told.is_ok(), "there is room");
                        }
                    } else {
                        let next = ball.next_after(node);
                        assert!(
                            senders[next].send(ball).await.is_ok(),
                            "nobody leaves before the end"
                        );
                    }
                }
                received
            })
        };
        receivers.into_iter().enumerate().map(node).collect()
    }
}

/// In each rig thirteen send to one, as fast as it goes.
#[derive(Clone, Copy)]
pub(super) struct Funnel {
    pub(super) capacity: usize,
}

impl Funnel {
    /// Messages of each sender.
    fn messages(plan: Plan) -> usize {
        plan.size(50, 3)
    }
}

impl Workload for Funnel {
    fn batch(self, plan: Plan) -> usize {
        Pinball::rigs(plan) * NODES * Funnel::messages(plan)
    }

    fn start<C: Contender>(self, plan: Plan) -> impl FnMut() -> Sample + 'static {
        let rt = C::new(plan.workers);
        let messages = Funnel::messages(plan);
        move || {
            time_per_op(plan, || {
                rt.in_task(async move {
                    let mut receivers = Vec::new();
                    for _ in 0..Pinball::rigs(plan) {
                        let (sender, mut receiver) = tachyonix::channel(self.capacity);
                        receivers.push(C::spawn(async move {
                            let mut received = 0;
                            while receiver.recv().await.is_ok() {
                                received += 1;
                            }
                            received
                        }));
                        for _ in 0..NODES {
                            let sender = sender.clone();
                            C::detach(C::spawn(async move {
                                for message in 0..messages {
                                    let sent = sender.send(message).await;
                                    assert!(sent.is_ok(), "the receiver stays until all have left");
                                }
                            }));
                        }
                    }
                    let mut received = 0;
                    for receiver in receivers {
                        received += C::join(receiver).await;
                    }
                    received
                })
            })
        }
    }
}
