//! Tests with real sockets: real time, and a limit after which a test has failed.
#![allow(dead_code, reason = "not every test uses everything")]

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use filch::Runtime;
use filch::net::{TcpListener, TcpStream};

/// Real time after which a test that makes no progress has failed.
pub(crate) const STUCK: Duration = Duration::from_secs(30);

/// Any free port of this machine.
pub(crate) const HERE: &str = "127.0.0.1:0";

/// The same at an address that nobody else on this machine uses: elsewhere, a port that is given back may be another's a
/// moment later. (Only Linux has so many local addresses.)
pub(crate) fn alone() -> SocketAddr {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    if !cfg!(target_os = "linux") {
        return HERE.parse().unwrap();
    }
    let call = 128 + (CALLS.fetch_add(1, Ordering::Relaxed) % 126) as u8;
    let [.., high, low] = std::process::id().to_be_bytes();
    SocketAddr::from(([127, call, high, low], 0))
}

/// Runs a test in a task, on one worker and on four; and in `block_on`, beside a worker.
#[track_caller]
pub(crate) fn everywhere<F>(test: impl Fn() -> F)
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    for workers in [1, 4] {
        let task = test();
        let name = format!("in a task, with {workers} workers");
        limited(&name, move || {
            let runtime = Runtime::builder().worker_threads(workers).build()?;
            runtime.block_on(runtime.spawn(task))?
        });
    }
    let root = test();
    limited("in block_on", move || {
        let runtime = Runtime::builder().worker_threads(1).build()?;
        runtime.block_on(root)
    });
}

/// Runs something that must come to an end.
#[track_caller]
pub(crate) fn limited(name: &str, test: impl FnOnce() -> io::Result<()> + Send + 'static) {
    let (done, wait) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let result = test();
        let _ = done.send(());
        result
    });
    if let Err(RecvTimeoutError::Timeout) = wait.recv_timeout(STUCK) {
        panic!("{name}: it hangs");
    }
    match thread.join() {
        Ok(result) => result.unwrap_or_else(|error| panic!("{name}: {error}")),
        Err(payload) => {
            eprintln!("({name})");
            resume_unwind(payload)
        }
    }
}

/// Two ends of a connection.
pub(crate) async fn tcp_pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind(HERE).await?;
    let client = TcpStream::connect(listener.local_addr()?).await?;
    let (server, _) = listener.accept().await?;
    Ok((client, server))
}

/// An address of this machine where nobody listens, nor will as long as this process runs.
pub(crate) fn dead_address() -> SocketAddr {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&alone().into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    // It keeps the port, and never listens.
    std::mem::forget(socket);
    address
}

/// Bytes of which each tells where it belongs.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    let period: Vec<u8> = (0..=250).collect();
    let mut pattern = period.repeat(length / period.len() + 1);
    pattern.truncate(length);
    pattern
}
