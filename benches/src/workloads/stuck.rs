//! Every worker is blocked in a poll: how long does another task wait?
//!
//! There are as many blockers as workers, and each sleeps on its thread until the other task has run, or for [`Stage::BLOCK`] if nobody
//! else runs it. So a runtime that can help itself is tried often, and one that cannot is not tried for long.

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

#[cfg(feature = "filch")]
use crate::contender::Filch;
use crate::contender::{Contender, Serves, Tokio};
use crate::stats::{median, percentile};
use crate::workload::{Entry, Metric, Plan, Runner, Sample};

/// Where the other task waits.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    /// It is spawned from outside.
    Outside,
    /// It was spawned by a blocker, which would run it next.
    Slot,
    /// The same, and another one would be next.
    Deque,
    /// For a socket. The last worker that looked for events is blocked by what it found there.
    Socket,
    /// It sleeps for 5 ms; what is measured is by how much longer.
    Timer,
}

const PLACES: [(Place, &str, &str); 5] = [
    (Place::Outside, "from outside, median", "from outside, longest"),
    (Place::Slot, "in a blocker's LIFO slot, median", "in a blocker's LIFO slot, longest"),
    (Place::Deque, "in a blocker's deque, median", "in a blocker's deque, longest"),
    (Place::Socket, "for a socket, median", "for a socket, longest"),
    (Place::Timer, "lateness of a timer, median", "lateness of a timer, longest"),
];

/// Tries of each place in a round by who helps itself.
#[cfg(feature = "filch")]
const TRIES: usize = 20;
/// By others.
const TRIES_OF_OTHERS: usize = 2;

const SLEEP: Duration = Duration::from_millis(5);
/// Something is broken.
const NEVER: Duration = Duration::from_secs(20);

pub(super) fn entries() -> Vec<Entry> {
    let limit = |metric: Metric, ms: f64| metric.itself().goal(ms * 1e6);
    let metrics = PLACES.iter().flat_map(|&(_, median, longest)| {
        let named = |name| Metric::time().named(name);
        [limit(named(median), 6.0), limit(named(longest), 12.0)]
    });
    vec![Entry {
        name: "all blocked",
        about: "every worker is blocked in a poll, for 60 ms or until another task has run: how long does that one wait, from when it \
                can run until it runs; by where it waits; the median and the longest of 20 tries a round",
        metrics: metrics.collect(),
        own_process: false,
        min_rounds: 0,
        batch: Box::new(|_| PLACES.len()),
        contenders: vec![
            #[cfg(feature = "filch")]
            Runner { contender: Filch::NAME, start: Box::new(|plan| start::<Filch>(plan, TRIES)) },
            Runner {
                contender: Tokio::NAME,
                start: Box::new(|plan| start::<Tokio>(plan, TRIES_OF_OTHERS)),
            },
        ],
    }]
}

fn start<S: Serves>(plan: Plan, tries: usize) -> Box<dyn FnMut() -> Sample> {
    let mut stage = Stage::<S>::new(plan).expect("the loopback is there");
    let tries = plan.size(tries, 1);
    Box::new(move || {
        let mut figures = Vec::new();
        for (place, ..) in PLACES {
            let waits: Vec<_> =
                (0..tries).map(|_| stage.wait_ns(place).expect("sockets work")).collect();
            figures.extend([median(&waits), percentile(&waits, 100.0)]);
        }
        Sample::new(tries * PLACES.len(), figures)
    })
}

/// A runtime, and two connections into it.
struct Stage<S: Serves> {
    runtime: S,
    workers: usize,
    block: Duration,
    /// Which beginning is next, in microseconds.
    turn: u64,
    /// One for a blocker, one for the task that waits; `None` while a task has it.
    inside: [Option<S::Stream>; 2],
    outside: [TcpStream; 2],
}

/// What blockers wait for, on their threads.
struct Gate {
    open: Mutex<bool>,
    changed: Condvar,
    limit: Duration,
}

impl Gate {
    fn block(&self) {
        let open = self.open.lock().expect("nobody panics");
        let wait = self.changed.wait_timeout_while(open, self.limit, |open| !*open);
        drop(wait.expect("nobody panics"));
    }

    fn open(&self) {
        *self.open.lock().expect("nobody panics") = true;
        self.changed.notify_all();
    }
}

impl<S: Serves> Stage<S> {
    const BLOCK: Duration = Duration::from_millis(60);

    fn new(plan: Plan) -> io::Result<Stage<S>> {
        let runtime = S::new(plan.workers);
        let block = if plan.quick { Stage::<S>::BLOCK / 4 } else { Stage::<S>::BLOCK };
        let (inside, outside) = runtime.block_on(async {
            let (listener, port) = S::listen().await?;
            let connect = || TcpStream::connect(("127.0.0.1", port));
            let outside = [connect()?, connect()?];
            let inside = [S::accept(&listener).await?, S::accept(&listener).await?];
            io::Result::Ok((inside, outside))
        })?;
        outside.iter().try_for_each(|stream| stream.set_nodelay(true))?;
        Ok(Stage {
            runtime,
            workers: plan.workers,
            block,
            turn: 0,
            inside: inside.map(Some),
            outside,
        })
    }

    fn wait_ns(&mut self, place: Place) -> io::Result<f64> {
        for _ in 0..20 {
            if let Some(wait) = self.wait(place)? {
                return Ok(wait.as_nanos() as f64);
            }
        }
        Err(io::Error::other("the machine is too busy: workers cannot be blocked in 5 ms"))
    }

    /// `None`: the try came to nothing.
    fn wait(&mut self, place: Place) -> io::Result<Option<Duration>> {
        // Everybody who helped with the last try is gone then; and it begins anywhere between two looks of a monitor.
        self.turn = (self.turn + 2_347) % 7_000;
        thread::sleep(Duration::from_millis(25) + Duration::from_micros(self.turn));

        let gate =
            Arc::new(Gate { open: Mutex::new(false), changed: Condvar::new(), limit: self.block });
        let (blocked, blockers) = mpsc::channel();
        let (runs, ran) = mpsc::channel();
        let waited = match place {
            Place::Outside => {
                self.block(self.workers, &gate, &blocked, &blockers);
                let start = Instant::now();
                S::detach(self.runtime.spawn_remote(tell(runs)));
                Some(hear(&ran) - start)
            }
            Place::Slot | Place::Deque => {
                self.block(self.workers - 1, &gate, &blocked, &blockers);
                let holder = {
                    let gate = Arc::clone(&gate);
                    async move {
                        if place == Place::Deque {
                            S::detach(S::spawn(async {}));
                        }
                        let _ = blocked.send(Instant::now());
                        S::detach(S::spawn(tell(runs)));
                        gate.block();
                    }
                };
                S::detach(self.runtime.spawn_remote(holder));
                let start = hear(&blockers);
                Some(hear(&ran) - start)
            }
            Place::Socket => Some(self.wait_for_socket(&gate, &blocked, &blockers, runs, &ran)?),
            Place::Timer => {
                let (sleeps, asleep) = mpsc::channel();
                S::detach(self.runtime.spawn_remote(async move {
                    let _ = sleeps.send(Instant::now());
                    let _ = S::sleep(SLEEP).await;
                    tell(runs).await;
                }));
                let due = hear(&asleep) + SLEEP;
                self.block(self.workers, &gate, &blocked, &blockers);
                let in_time = Instant::now() < due;
                let ran = hear(&ran);
                in_time.then(|| ran.saturating_duration_since(due))
            }
        };
        gate.open();
        Ok(waited)
    }

    /// So many workers are blocked when this returns.
    fn block(
        &self,
        count: usize,
        gate: &Arc<Gate>,
        blocked: &Sender<Instant>,
        blockers: &Receiver<Instant>,
    ) {
        for _ in 0..count {
            let (gate, blocked) = (Arc::clone(gate), blocked.clone());
            S::detach(self.runtime.spawn_remote(async move {
                let _ = blocked.send(Instant::now());
                gate.block();
            }));
        }
        (0..count).for_each(|_| _ = hear(blockers));
    }

    fn wait_for_socket(
        &mut self,
        gate: &Arc<Gate>,
        blocked: &Sender<Instant>,
        blockers: &Receiver<Instant>,
        runs: Sender<Instant>,
        ran: &Receiver<Instant>,
    ) -> io::Result<Duration> {
        let [blocker, waiter] = self.inside.each_mut().map(Option::take);
        let (mut blocker, mut waiter) =
            (blocker.expect("it came back"), waiter.expect("it came back"));
        let (here, tell_blocked) = (Arc::clone(gate), blocked.clone());
        let blocker = self.runtime.spawn_remote(async move {
            let read = S::read(&mut blocker, &mut [0]).await;
            let _ = tell_blocked.send(Instant::now());
            here.block();
            read.map(|_| blocker)
        });
        let waiter = self.runtime.spawn_remote(async move {
            let read = S::read(&mut waiter, &mut [0]).await;
            tell(runs).await;
            read.map(|_| waiter)
        });
        // Both wait, and so does a worker, in the driver.
        thread::sleep(Duration::from_millis(5));
        self.block(self.workers - 1, gate, blocked, blockers);
        self.outside[0].write_all(&[0])?;
        hear(blockers);
        let start = Instant::now();
        self.outside[1].write_all(&[0])?;
        let waited = hear(ran) - start;
        gate.open();
        self.inside[0] = Some(self.runtime.block_on(S::join(blocker))?);
        self.inside[1] = Some(self.runtime.block_on(S::join(waiter))?);
        Ok(waited)
    }
}

async fn tell(runs: Sender<Instant>) {
    let _ = runs.send(Instant::now());
}

fn hear(from: &Receiver<Instant>) -> Instant {
    from.recv_timeout(NEVER).expect("tasks run at last")
}
