//! The other side: clients that drive the service, and measure what it is like to be one.
//!
//! The server is a process of its own, as it would be; both share the machine's CPUs. Cheap requests are sent at fixed times,
//! some hundred microseconds apart, whether or not earlier ones have been answered late, and each is measured from the time at which
//! it was *due*. (Whoever only sends the next one after an answer asks least often when it is slowest, and sees
//! one slow answer where a thousand people would have seen one each.) Thumbnails are asked for by eight clients without a
//! pause, so that eight are always in flight.

use std::error::Error;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use filch::net::TcpStream;
use filch::{JoinHandle, Runtime, task_group};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, StatusCode};

use crate::arguments::Arguments;
use crate::picture;

/// Clients that ask for something cheap, and how often each of them does.
const LIGHT_CLIENTS: usize = 4;
const LIGHT_PERIOD: Duration = Duration::from_millis(2);
/// Clients that ask for thumbnails, each for the next one as soon as it has the last.
const JOBS_IN_FLIGHT: usize = 8;
const WIDTH: u32 = 256;

/// Before the first measurement: connections, and pages of memory that are touched for the first time.
const WARM_UP: Duration = Duration::from_millis(300);
/// What takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(60);

type Failure = Box<dyn Error + Send + Sync>;

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let server = Server::start()?;
    let address = server.address;
    let sample = Bytes::from(picture::sample());
    let (width, height) = picture::SAMPLE;
    println!(
        "a picture of {width} x {height} pixels, {} kB of JPEG, into thumbnails {WIDTH} pixels wide",
        sample.len() / 1000
    );
    let seconds = arguments.seconds;
    // A timer that is late by a millisecond, as it usually may be, would be taken for a slow service.
    let runtime = Runtime::builder().timer_gap(Duration::from_micros(10)).build()?;
    let (alone, busy) = runtime.block_on(async move {
        let progress = Progress::show(WARM_UP + seconds * 2);
        drive(address, WARM_UP, None).await?;
        let alone = drive(address, seconds, None).await?;
        let busy = drive(address, seconds, Some(sample)).await?;
        progress.end();
        Ok::<_, Failure>((alone, busy))
    })?;
    server.stop()?;

    println!("{:<32}{:>9}{:>13}{:>13}{:>13}", "cheap requests", "number", "p50", "p99", "p99.9");
    row("alone", &alone.cheap);
    row(&format!("beside {JOBS_IN_FLIGHT} jobs in flight"), &busy.cheap);
    println!("{:<32}{:>9}{:>13}{:>13}{:>13}", "thumbnails", "number", "p50", "p99", "per second");
    let rate = busy.thumbnails.len() as f64 / seconds.as_secs_f64();
    let jobs = &busy.thumbnails;
    println!(
        "{:<32}{:>9}{:>13}{:>13}{rate:>13.1}",
        "",
        jobs.len(),
        ms(percentile(jobs, 0.5)),
        ms(percentile(jobs, 0.99))
    );
    Ok(())
}

fn row(name: &str, times: &[Duration]) {
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|part| ms(percentile(times, part)));
    println!("{name:<32}{:>9}{p50:>13}{p99:>13}{p999:>13}", times.len());
}

fn ms(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}

/// Of times in order.
fn percentile(sorted: &[Duration], part: f64) -> Duration {
    let index = (sorted.len() as f64 * part) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

// ── the server ────────────────────────────────────────────────────────────────────────────────

/// This program once more, as a server.
struct Server {
    child: Child,
    /// When it is closed, also because this process ends in whatever way, the server stops.
    stdin: Option<ChildStdin>,
    address: SocketAddr,
}

impl Server {
    fn start() -> Result<Server, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--listen", "127.0.0.1:0", "--stop-at-eof"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or("the server's output is piped")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim_end().strip_prefix("listening on http://");
        let address =
            address.ok_or_else(|| format!("the server did not start: it said {line:?}"))?;
        Ok(Server { child, stdin, address: address.parse()? })
    }

    fn stop(mut self) -> Result<(), Failure> {
        self.stdin = None;
        let status = self.child.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("the server ended with {status}").into())
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After an error; otherwise it has ended, and both say so.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// ── the clients ───────────────────────────────────────────────────────────────────────────────

/// How long answers took, in order.
struct Measured {
    cheap: Vec<Duration>,
    thumbnails: Vec<Duration>,
}

/// All clients at once; with `sample`, those that send it as well.
async fn drive(
    address: SocketAddr,
    time: Duration,
    sample: Option<Bytes>,
) -> Result<Measured, Failure> {
    // The first client to fail ends the others.
    let clients = task_group(async |group| -> Result<Measured, Failure> {
        let heavy = Arc::new(Heavy::default());
        let mut workers = Vec::new();
        if let Some(sample) = sample {
            for _ in 0..JOBS_IN_FLIGHT {
                workers.push(group.spawn(heavy_client(address, sample.clone(), heavy.clone())));
            }
            while heavy.warm.load(Relaxed) < JOBS_IN_FLIGHT {
                filch::sleep(Duration::from_millis(1)).await;
            }
        }
        let begin = Instant::now();
        let end = begin + time;
        let light = (0..LIGHT_CLIENTS).map(|number| {
            let offset = LIGHT_PERIOD * number as u32 / LIGHT_CLIENTS as u32;
            group.spawn(light_client(address, begin + offset, end))
        });
        let mut cheap = Vec::new();
        for client in light.collect::<Vec<_>>() {
            cheap.extend(client.await?);
        }
        heavy.is_over.store(true, Relaxed);
        let mut thumbnails = Vec::new();
        for client in workers {
            let within = client.await?.into_iter().filter(|(at, _)| (begin..end).contains(at));
            thumbnails.extend(within.map(|(_, took)| took));
        }
        cheap.sort_unstable();
        thumbnails.sort_unstable();
        Ok(Measured { cheap, thumbnails })
    });
    let measured = filch::timeout(time + PATIENCE, clients).await;
    let measured = measured.map_err(|_| format!("the service did not answer for {PATIENCE:?}"))?;
    measured.map_err(|error| error.to_string().into())
}

async fn light_client(
    address: SocketAddr,
    begin: Instant,
    end: Instant,
) -> Result<Vec<Duration>, Failure> {
    let mut client = Client::connect(address).await?;
    let mut times = Vec::new();
    // Late ticks come one right after the other, until it has caught up.
    let mut ticks = filch::interval_at(begin, LIGHT_PERIOD);
    loop {
        let due = ticks.tick().await;
        if due >= end {
            return Ok(times);
        }
        client.send(Method::GET, "/hello".to_owned(), Bytes::new()).await?;
        times.push(due.elapsed());
    }
}

/// What the clients that ask for thumbnails share.
#[derive(Default)]
struct Heavy {
    /// How many of them have had one.
    warm: AtomicUsize,
    is_over: AtomicBool,
}

/// When each thumbnail came, and how long it took.
async fn heavy_client(
    address: SocketAddr,
    sample: Bytes,
    heavy: Arc<Heavy>,
) -> Result<Vec<(Instant, Duration)>, Failure> {
    let mut client = Client::connect(address).await?;
    let mut times = Vec::new();
    while !heavy.is_over.load(Relaxed) {
        let begin = Instant::now();
        let path = format!("/thumbnail?width={WIDTH}");
        client.send(Method::POST, path, sample.clone()).await?;
        times.push((Instant::now(), begin.elapsed()));
        if times.len() == 1 {
            heavy.warm.fetch_add(1, Relaxed);
        }
    }
    Ok(times)
}

/// One connection, kept.
struct Client {
    sender: SendRequest<Full<Bytes>>,
    address: SocketAddr,
}

impl Client {
    async fn connect(address: SocketAddr) -> Result<Client, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(stream).await?;
        // It ends when the sender is dropped. Its errors are those of requests.
        filch::spawn(connection);
        Ok(Client { sender, address })
    }

    /// Sends a request and reads the answer, to its end.
    async fn send(&mut self, method: Method, path: String, body: Bytes) -> Result<Bytes, Failure> {
        let request =
            Request::builder().method(method).uri(path).header("host", self.address.to_string());
        self.sender.ready().await?;
        let answer = self.sender.send_request(request.body(Full::new(body))?).await?;
        let status = answer.status();
        let bytes = answer.into_body().collect().await?.to_bytes();
        match status {
            StatusCode::OK => Ok(bytes),
            _ => Err(format!("{status}: {}", String::from_utf8_lossy(&bytes).trim_end()).into()),
        }
    }
}

// ── what is shown meanwhile ───────────────────────────────────────────────────────────────────

/// A bar on a terminal, one line elsewhere; on stderr, so that the output is the table alone.
struct Progress {
    bar: Option<JoinHandle<()>>,
}

impl Progress {
    fn show(time: Duration) -> Progress {
        if !io::stderr().is_terminal() {
            eprintln!("this takes {} s", time.as_secs_f64().ceil());
            return Progress { bar: None };
        }
        let begin = Instant::now();
        let bar = filch::spawn(async move {
            let mut ticks = filch::interval(Duration::from_millis(100));
            loop {
                ticks.tick().await;
                let part = begin.elapsed().div_duration_f64(time).min(1.0);
                let done = (part * 40.0) as usize;
                let _ =
                    write!(io::stderr(), "\r[{:-<40}] {:3.0} %", "#".repeat(done), part * 100.0);
            }
        });
        Progress { bar: Some(bar) }
    }

    fn end(self) {
        if let Some(bar) = self.bar {
            bar.abort();
            let _ = write!(io::stderr(), "\r{:50}\r", "");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_list() {
        let times: Vec<_> = (0..1000).map(Duration::from_micros).collect();
        let [p50, p999] = [0.5, 0.999].map(|part| percentile(&times, part).as_micros());
        assert_eq!((p50, p999), (500, 999));
        assert_eq!(percentile(&times[..1], 0.999), Duration::ZERO);
        assert_eq!(percentile(&[], 0.5), Duration::ZERO);
    }
}
