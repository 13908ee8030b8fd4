//! Who asks the servers: one thread, many connections, each of which sends its next request when it has read the answer to the
//! last one.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::stats::tail_of;

/// A server that says nothing for so long will say nothing more.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is sent, and what comes back.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) request: Vec<u8>,
    /// How each answer begins.
    pub(crate) answer: Vec<u8>,
    /// How long it is.
    pub(crate) answer_len: usize,
}

impl Exchange {
    /// For a server that sends back what it reads.
    pub(crate) fn echo(length: usize) -> Exchange {
        let request: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
        Exchange { answer: request.clone(), answer_len: length, request }
    }

    /// For a server of HTTP: asks it once, to see how long its answers are.
    pub(crate) fn http(port: u16) -> io::Result<Exchange> {
        let request = b"GET /plaintext HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec();
        let mut stream = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&request)?;
        let mut text = Vec::new();
        let answer_len = loop {
            let mut more = [0; 1024];
            match stream.read(&mut more)? {
                0 => return Err(io::Error::other("the server closed a connection")),
                length => text.extend_from_slice(&more[..length]),
            }
            if let Some(length) = http_len(&text) {
                break length;
            }
        };
        if text.len() != answer_len {
            return Err(io::Error::other("the server answered more than once"));
        }
        Ok(Exchange { request, answer: b"HTTP/1.1 200 OK\r\n".to_vec(), answer_len })
    }
}

/// How long an answer is with its body; `None` if its head is not complete.
fn http_len(text: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(text).ok()?;
    let (head, _) = text.split_once("\r\n\r\n")?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
    });
    Some(head.len() + 4 + length?.ok()?)
}

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    Time(Duration),
    /// So many requests, of all connections together.
    Requests(usize),
}

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Answers that came in time.
    pub(crate) answers: usize,
    /// The time they took.
    pub(crate) time: Duration,
    /// With those that came after the deadline: their requests were sent before it.
    pub(crate) all_answers: usize,
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

/// Connections to one server.
pub(crate) struct Load {
    poll: Poll,
    events: Events,
    exchange: Exchange,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    sent: Instant,
    /// Bytes of the answer so far.
    received: usize,
}

impl Load {
    pub(crate) fn connect(port: u16, connections: usize, exchange: Exchange) -> io::Result<Load> {
        let poll = Poll::new()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let connect = |index| {
            let stream = std::net::TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
            Ok(Connection { stream, sent: Instant::now(), received: 0 })
        };
        let connections = (0..connections).map(connect).collect::<io::Result<_>>()?;
        // One byte more: who answers too much is found out.
        let buffer = vec![0; exchange.answer_len + 1];
        Ok(Load { poll, events: Events::with_capacity(1024), exchange, connections, buffer })
    }

    /// Sends requests until the limit is reached, and reads all answers.
    pub(crate) fn run(&mut self, limit: Limit) -> io::Result<Outcome> {
        let mut latencies_ns = Histogram::new(3).expect("three digits can be had");
        let (mut answers, mut all_answers, mut requests) = (0, 0, 0);
        let start = Instant::now();
        let mut last = start;
        for connection in &mut self.connections {
            connection.send(&self.exchange, Instant::now())?;
            requests += 1;
        }
        while all_answers < requests {
            match self.poll.poll(&mut self.events, Some(PATIENCE)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            if self.events.is_empty() {
                return Err(io::Error::other("the server does not answer any more"));
            }
            for event in &self.events {
                let connection = &mut self.connections[event.token().0];
                if !connection.receive(&self.exchange, &mut self.buffer)? {
                    continue;
                }
                all_answers += 1;
                let now = Instant::now();
                let (in_time, more) = match limit {
                    Limit::Time(time) => (now - start < time, now - start < time),
                    Limit::Requests(most) => (true, requests < most),
                };
                if in_time {
                    answers += 1;
                    last = now;
                    let latency = (now - connection.sent).as_nanos() as u64;
                    latencies_ns.record(latency).map_err(io::Error::other)?;
                }
                if more {
                    connection.send(&self.exchange, now)?;
                    requests += 1;
                }
            }
        }
        Ok(Outcome { answers, time: last - start, all_answers, latencies_ns })
    }
}

impl Connection {
    fn send(&mut self, exchange: &Exchange, now: Instant) -> io::Result<()> {
        self.sent = now;
        match self.stream.write(&exchange.request)? {
            all if all == exchange.request.len() => Ok(()),
            _ => Err(io::Error::other("not even one request fits into an empty socket")),
        }
    }

    /// Reads; `true`: that was the whole answer.
    fn receive(&mut self, exchange: &Exchange, buffer: &mut [u8]) -> io::Result<bool> {
        loop {
            let length = match self.stream.read(&mut buffer[self.received..]) {
                Ok(0) => return Err(io::Error::other("the server closed a connection")),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            };
            let at_once = self.received == 0;
            self.received += length;
            if self.received < exchange.answer_len {
                continue;
            }
            // The buffer is everybody's: what came in pieces is not all there.
            let wrong = at_once && !buffer.starts_with(&exchange.answer);
            if wrong || self.received > exchange.answer_len {
                return Err(io::Error::other("the server answered something else"));
            }
            self.received = 0;
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_an_answer_is_in_its_head() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\ndate: x\r\n\r\n";
        assert_eq!(http_len(head.as_bytes()), Some(head.len() + 13));
        assert_eq!(http_len(&head.as_bytes()[..30]), None);
    }

    /// A server that answers `answers` to the first request.
    fn run_against(answer: &'static [u8]) -> io::Result<Outcome> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let server = std::thread::spawn(move || {
            let mut stream = listener.accept()?.0;
            stream.read_exact(&mut [0; 4])?;
            stream.write_all(answer)?;
            // Until the other side has gone.
            io::copy(&mut stream, &mut io::sink())
        });
        let outcome = Load::connect(port, 1, Exchange::echo(4))?.run(Limit::Requests(1));
        server.join().expect("it does not panic")?;
        outcome
    }

    #[test]
    fn answers_are_looked_at() {
        let outcome = run_against(&[0, 1, 2, 3]).unwrap();
        assert_eq!((outcome.answers, outcome.all_answers), (1, 1));
        assert!(outcome.latency_ns(50.0) > 0.0);
        for wrong in [&[0, 1, 2, 4][..], &[0, 1, 2, 3, 4]] {
            assert!(run_against(wrong).is_err(), "{wrong:?}");
        }
    }
}
