//! Who asks a server at a steady pace, whether or not it answers: as the clients of a service do, who do not know of each other.
//!
//! One thread sends, one reads. Each request carries the time at which it was sent and whether it counts, and comes back as it was. Both threads are raised
//! above all others if the system allows it: what is measured is how long requests wait in the server, not here.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::stats::tail_of;

/// Bytes of a request and of its answer.
const LENGTH: usize = 64;
/// A server that says nothing for so long will say nothing more.
const PATIENCE: Duration = Duration::from_secs(20);
/// So often a reader that waits looks whether all is over.
const GLANCE: Duration = Duration::from_millis(5);

/// Connections to one server.
pub(crate) struct Paced {
    outward: Vec<std::net::TcpStream>,
    poll: Poll,
    events: Events,
    inward: Vec<Inward>,
}

struct Inward {
    stream: TcpStream,
    /// The beginning of an answer.
    buffer: [u8; LENGTH],
    filled: usize,
}

/// When requests are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    pub(crate) interval: Duration,
    /// Requests of the beginning do not count.
    pub(crate) warm_up: Duration,
    /// How long those are sent that count.
    pub(crate) time: Duration,
    /// Whether sender and reader go before all other threads of the machine, if they may.
    pub(crate) first: bool,
}

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Requests that count.
    pub(crate) requests: usize,
    latencies_ns: Histogram<u32>,
}

impl Outcome {
    /// See [`stats::tail`](crate::stats::tail).
    pub(crate) fn tail(&self) -> Vec<f64> {
        tail_of(self.latencies_ns.len() as usize, |percent| self.latency_ns(percent))
    }

    pub(crate) fn latency_ns(&self, percent: f64) -> f64 {
        self.latencies_ns.value_at_percentile(percent) as f64
    }
}

impl Paced {
    pub(crate) fn connect(port: u16, connections: usize) -> io::Result<Paced> {
        let poll = Poll::new()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (mut outward, mut inward) = (Vec::new(), Vec::new());
        for index in 0..connections {
            let stream = std::net::TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            outward.push(stream.try_clone()?);
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
            inward.push(Inward { stream, buffer: [0; LENGTH], filled: 0 });
        }
        Ok(Paced { outward, poll, events: Events::with_capacity(1024), inward })
    }

    /// Sends as `schedule` has it, and reads all answers. Meanwhile `beside` runs, and what it gives is given; when the
    /// last request is sent, it has ended. What has no answer when sending ends counts as if the answer had come then.
    pub(crate) fn run<T>(
        &mut self,
        schedule: Schedule,
        beside: impl FnOnce() -> io::Result<T>,
        after: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<(Outcome, T)> {
        let (sent, over) = (AtomicUsize::new(0), AtomicBool::new(false));
        let Paced { outward, poll, events, inward } = self;
        let ready = Barrier::new(2);
        let started = OnceLock::new();
        thread::scope(|scope| {
            let sender = scope.spawn(|| {
                schedule.first.then(raise);
                ready.wait();
                let start = *started.get_or_init(Instant::now);
                let sent_all = send(outward, schedule, start, &sent);
                over.store(true, Ordering::Release);
                sent_all
            });
            let reader = scope.spawn(|| {
                schedule.first.then(raise);
                ready.wait();
                let start = *started.get_or_init(Instant::now);
                let mut reader = Reader::new(inward, schedule, start)?;
                let mut heard = Instant::now();
                while !over.load(Ordering::Acquire) || reader.answers < sent.load(Ordering::Relaxed)
                {
                    match poll.poll(events, Some(GLANCE)) {
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                        polled => polled?,
                    }
                    for event in events.iter() {
                        reader.read(event.token().0)?;
                        heard = Instant::now();
                    }
                    if heard.elapsed() > PATIENCE {
                        return Err(io::Error::other("the server does not answer any more"));
                    }
                }
                Ok(reader.outcome)
            });
            let beside = beside();
            let sent_all = sender.join().expect("it does not panic");
            let after = after();
            let outcome = reader.join().expect("it does not panic")?;
            sent_all?;
            after?;
            Ok((outcome, beside?))
        })
    }
}

fn send(
    streams: &mut [std::net::TcpStream],
    schedule: Schedule,
    start: Instant,
    sent: &AtomicUsize,
) -> io::Result<()> {
    let total = schedule.warm_up + schedule.time;
    let (mut due, mut turn) = (Duration::ZERO, 0);
    while due < total {
        let now = start.elapsed();
        if now < due {
            thread::sleep(due - now);
            continue;
        }
        let mut request = [0; LENGTH];
        // How late the system wakes this thread is not the server's. Nor does a server that is late get fewer requests.
        request[..8].copy_from_slice(&(now.as_nanos() as u64).to_le_bytes());
        request[8] = u8::from(due >= schedule.warm_up);
        // Before it can be answered.
        sent.fetch_add(1, Ordering::Relaxed);
        let stream = &mut streams[turn];
        if stream.write(&request)? != LENGTH {
            return Err(io::Error::other("the server's socket is full"));
        }
        turn = (turn + 1) % streams.len();
        due += schedule.interval;
    }
    Ok(())
}

struct Reader<'a> {
    inward: &'a mut [Inward],
    start: Instant,
    /// When sending ends.
    end: Duration,
    answers: usize,
    outcome: Outcome,
}

impl<'a> Reader<'a> {
    fn new(inward: &'a mut [Inward], schedule: Schedule, start: Instant) -> io::Result<Reader<'a>> {
        let latencies_ns = Histogram::new(3).map_err(io::Error::other)?;
        let end = schedule.warm_up + schedule.time;
        let outcome = Outcome { requests: 0, latencies_ns };
        Ok(Reader { inward, start, end, answers: 0, outcome })
    }

    /// Reads what there is.
    fn read(&mut self, index: usize) -> io::Result<()> {
        loop {
            let from = &mut self.inward[index];
            match from.stream.read(&mut from.buffer[from.filled..]) {
                Ok(0) => return Err(io::Error::other("the server closed a connection")),
                Ok(length) => from.filled += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
            if from.filled == LENGTH {
                from.filled = 0;
                let (stamp, rest) = from.buffer.split_at(8);
                let stamp = u64::from_le_bytes(stamp.try_into().expect("eight of them"));
                if rest[0] > 1 || rest[1..].iter().any(|&byte| byte != 0) {
                    return Err(io::Error::other("the server answered something else"));
                }
                let counts = rest[0] == 1;
                self.answered(Duration::from_nanos(stamp), counts)?;
            }
        }
    }

    fn answered(&mut self, sent: Duration, counts: bool) -> io::Result<()> {
        self.answers += 1;
        if counts {
            let latency = self.start.elapsed().min(self.end).saturating_sub(sent);
            self.outcome.requests += 1;
            self.outcome
                .latencies_ns
                .record(latency.as_nanos() as u64)
                .map_err(io::Error::other)?;
        }
        Ok(())
    }
}

/// Puts this thread above all others, or at least above most, if the system allows it.
fn raise() {
    #[cfg(target_os = "linux")]
    {
        static SAID: std::sync::Once = std::sync::Once::new();
        if !run_first() && rustix::process::nice(-20).is_err() {
            SAID.call_once(|| {
                eprintln!(
                    "  the load's threads cannot be raised: latencies contain their own waits"
                );
            });
        }
    }
}

/// Makes this thread one of the system's real-time threads: others would have to wait until somebody has had its slice, whatever
/// their nice level.
#[cfg(target_os = "linux")]
fn run_first() -> bool {
    use std::process::{Command, Stdio};
    let thread = rustix::thread::gettid().as_raw_nonzero().to_string();
    let mut command = Command::new("chrt");
    command.args(["--fifo", "--pid", "1", &thread]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what it reads, `late` so much.
    fn run_against(late: Duration, change: u8) -> io::Result<Outcome> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        thread::spawn(move || {
            let mut stream = listener.accept()?.0;
            let mut buffer = [0; LENGTH];
            while stream.read_exact(&mut buffer).is_ok() {
                thread::sleep(late);
                buffer[LENGTH - 1] += change;
                stream.write_all(&buffer)?;
            }
            io::Result::Ok(())
        });
        let ms = Duration::from_millis;
        let schedule = Schedule { interval: ms(1), warm_up: ms(2), time: ms(10), first: false };
        let run = Paced::connect(port, 1)?.run(schedule, || Ok(7), || Ok(()));
        run.map(|(outcome, beside)| {
            assert_eq!(beside, 7);
            outcome
        })
    }

    #[test]
    fn a_slow_server_is_asked_as_often_as_a_quick_one() {
        assert_eq!(run_against(Duration::ZERO, 0).unwrap().requests, 10);
        let slow = run_against(Duration::from_millis(3), 0).unwrap();
        assert_eq!(slow.requests, 10);
        assert!(slow.latency_ns(100.0) >= 3e6);
    }

    #[test]
    fn answers_are_looked_at() {
        assert!(run_against(Duration::ZERO, 1).is_err());
    }
}
