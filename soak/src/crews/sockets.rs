//! Echo servers and their clients, with everything that can happen to a connection.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use filch::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use filch::{JoinHandle, timeout};
use futures_lite::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::chosen;
use crate::world::{Crew, Patience};

/// Longer than this no piece of a conversation takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A stream of either kind.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    fn half_close(&self) -> io::Result<()>;
    /// The next drop resets the connection, where there is such a thing.
    fn will_reset(&self) {}
}

impl Stream for TcpStream {
    fn half_close(&self) -> io::Result<()> {
        self.shutdown_write()
    }

    fn will_reset(&self) {
        let _ = self.set_linger(Some(Duration::ZERO));
    }
}

impl Stream for UnixStream {
    fn half_close(&self) -> io::Result<()> {
        self.shutdown_write()
    }
}

/// Until the peer has said all, or is gone.
async fn echo(mut stream: impl Stream) -> io::Result<()> {
    let mut buffer = vec![0; 8 << 10];
    loop {
        match AsyncReadExt::read(&mut stream, &mut buffer).await? {
            0 => return stream.half_close(),
            read => AsyncWriteExt::write_all(&mut stream, &buffer[..read]).await?,
        }
    }
}

/// A server: whoever comes hears an echo.
fn serve<S: Stream, A>(crew: &Crew, accept: impl Fn() -> A + Send + 'static) -> JoinHandle<()>
where
    A: Future<Output = io::Result<S>> + Send,
{
    let (here, world) = (crew.clone(), crew.world);
    filch::spawn(crew.ledger.enter(async move {
        loop {
            match accept().await {
                // (Whoever is reset makes its echo fail.)
                Ok(stream) => drop(filch::spawn(here.ledger.enter(async move {
                    let end = Patience::new(2 * PATIENCE).wait(echo(stream)).await;
                    world.check(end.is_some(), || "an echo hangs".into());
                }))),
                Err(error) => refused(&here, &error),
            }
        }
    }))
}

/// One client. (Errors of the system are nobody's fault; bytes that are wrong or missing are.)
async fn client(crew: Crew, mut rng: Rng, mut stream: impl Stream) -> io::Result<()> {
    let length = if rng.u32(0..10) == 0 { rng.usize(0..500_000) } else { rng.usize(0..2000) };
    let sent: Vec<u8> = (0..length).map(|_| rng.u8(..)).collect();
    match rng.u32(0..12) {
        // In turn.
        0..5 => {
            let mut received = vec![0; 1000];
            for piece in sent.chunks(1000) {
                AsyncWriteExt::write_all(&mut stream, piece).await?;
                let received = &mut received[..piece.len()];
                AsyncReadExt::read_exact(&mut stream, received).await?;
                crew.world.check(received == piece, || "the echo is not what was said".into());
            }
            stream.will_reset();
        }
        // All at once, then half a close.
        5..8 => {
            let (mut reader, mut writer) = futures_lite::io::split(stream);
            let mut received = vec![0; sent.len()];
            let write = AsyncWriteExt::write_all(&mut writer, &sent);
            let read = AsyncReadExt::read_exact(&mut reader, &mut received);
            futures_lite::future::try_zip(write, read).await?;
            crew.world.check(received == sent, || "the echo is not what was said".into());
            AsyncWriteExt::close(&mut writer).await?;
            let rest = AsyncReadExt::read(&mut reader, &mut [0; 16]).await?;
            crew.world.check(rest == 0, || "there is something behind the end".into());
        }
        // Goes in the middle.
        8 => {
            AsyncWriteExt::write_all(&mut stream, &sent[..length / 2]).await?;
            if rng.bool() {
                stream.will_reset();
            }
        }
        // Waits for an answer to nothing.
        9 => {
            let limit = Duration::from_millis(rng.u64(0..20));
            let answer = timeout(limit, AsyncReadExt::read(&mut stream, &mut [0; 16])).await;
            crew.world.check(!matches!(answer, Ok(Ok(1..))), || "an answer to nothing".into());
            stream.will_reset();
        }
        // Stops reading until nothing more goes in, and is cut there.
        10 => {
            let piece = vec![7; 64 << 10];
            let limit = Duration::from_millis(rng.u64(1..30));
            let flood = timeout(limit, async {
                loop {
                    AsyncWriteExt::write_all(&mut stream, &piece).await?;
                }
            });
            let _: Result<io::Result<()>, _> = flood.await;
            stream.will_reset();
        }
        _ => stream.will_reset(),
    }
    Ok(())
}

/// Clients at the same time; each has its own limits.
async fn clients<S: Stream, C>(crew: &Crew, rng: &mut Rng, connect: impl Fn() -> C)
where
    C: Future<Output = io::Result<S>> + Send + 'static,
{
    crew.step("clients talk");
    let tasks: Vec<JoinHandle<()>> = (0..rng.u32(1..24))
        .map(|_| {
            let (crew_here, rng, connect) = (crew.clone(), rng.fork(), connect());
            filch::spawn(crew.ledger.enter(async move {
                let talk = async {
                    let stream = connect.await?;
                    client(crew_here.clone(), rng, stream).await
                };
                match Patience::new(PATIENCE).wait(talk).await {
                    Some(Ok(())) => {}
                    Some(Err(error)) => refused(&crew_here, &error),
                    None => crew_here.world.wrong(format!(
                        "a conversation hangs ({}, {})",
                        crew_here.post.name,
                        crew_here.post.last_step()
                    )),
                }
            }))
        })
        .collect();
    crew.world.nap(Duration::from_millis(rng.u64(0..20))).await;
    for task in chosen(&tasks, rng, 12) {
        if rng.bool() {
            task.cancel()
        } else {
            task.abort()
        };
    }
    for task in tasks {
        crew.expect_planned(task.await);
    }
}

/// What may happen on a busy machine. (Nobody here closes a connection before a client has heard all.)
fn refused(crew: &Crew, error: &io::Error) {
    use io::ErrorKind::{AddrInUse, AddrNotAvailable, BrokenPipe, ConnectionReset};
    crew.world.is_refused();
    let known = matches!(error.kind(), AddrInUse | AddrNotAvailable | BrokenPipe | ConnectionReset);
    // (Also a full table of ports, or of files.)
    let full = error.raw_os_error().is_some_and(|code| code == 24 || code == 11);
    crew.world.check(known || full, || format!("a client failed: {error:?}"));
}

pub(crate) async fn tcp(crew: Crew, mut rng: Rng) {
    crew.step("binds");
    let listener = match TcpListener::bind("127.0.0.1:0").await {
        Ok(listener) => Arc::new(listener),
        Err(error) => return refused(&crew, &error),
    };
    let address: SocketAddr = listener.local_addr().unwrap();
    let server = serve(&crew, move || {
        let listener = Arc::clone(&listener);
        async move { listener.accept().await.map(|(stream, _)| stream) }
    });
    for _ in 0..rng.u32(1..6) {
        clients(&crew, &mut rng, || TcpStream::connect(address)).await;
        // (Ports are not for free.)
        crew.world.nap(Duration::from_millis(rng.u64(0..100))).await;
    }
    crew.step("stops the server");
    server.abort();
    crew.expect_planned(server.await);
}

pub(crate) async fn unix(crew: Crew, mut rng: Rng) {
    crew.step("binds");
    let name = format!("filch-soak-{}-{:x}", std::process::id(), rng.u64(..));
    let path = std::env::temp_dir().join(name);
    let listener = Arc::new(UnixListener::bind(&path).expect("a name in the temporary folder"));
    let server = serve(&crew, move || {
        let listener = Arc::clone(&listener);
        async move { listener.accept().await.map(|(stream, _)| stream) }
    });
    for _ in 0..rng.u32(1..6) {
        let path = path.clone();
        clients(&crew, &mut rng, || UnixStream::connect(path.clone())).await;
    }
    crew.step("talks to itself");
    let (one, two) = UnixStream::pair().unwrap();
    let echo = crew.spawn(async move { echo(two).await.is_ok() });
    let _ = client(crew.clone(), rng.fork(), one).await;
    crew.join(echo).await;
    crew.step("stops the server");
    server.abort();
    crew.expect_planned(server.await);
    let _ = std::fs::remove_file(path);
}
