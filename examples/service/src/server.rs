//! Connections: how they begin, and how they all end.

use std::error::Error as _;
use std::future::Future;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use filch::net::{TcpListener, TcpStream};
use filch::{Runtime, TaskGroup, task_group};
use futures_lite::future;
use hyper::server::conn::http1;
use hyper::service::service_fn;

use crate::arguments::Arguments;
use crate::routes::Service;

/// At the very end, for jobs whose clients were cut off: until they notice.
const LAST_GRACE: Duration = Duration::from_secs(1);

pub(crate) fn run(arguments: &Arguments) -> io::Result<ExitCode> {
    let mut builder = Runtime::builder().compute_queue(arguments.queue);
    if let Some(threads) = arguments.compute_threads {
        builder = builder.compute_threads(threads.get());
    }
    let runtime = builder.build()?;
    let result = runtime.block_on(async {
        // Listen to signals before anybody can know that there is a server.
        let stop = asked_to_stop(arguments.stop_at_eof);
        let listener = TcpListener::bind(arguments.listen.clone()).await.map_err(|error| {
            io::Error::new(error.kind(), format!("cannot listen at {}: {error}", arguments.listen))
        })?;
        say(format_args!("listening on http://{}", listener.local_addr()?));
        io::Result::Ok(serve(listener, arguments, stop).await)
    });
    runtime.shutdown(LAST_GRACE);
    Ok(match result? {
        0 => {
            say(format_args!("stopped"));
            ExitCode::SUCCESS
        }
        cut => {
            say(format_args!("stopped: {cut} connections had to be cut"));
            ExitCode::FAILURE
        }
    })
}

/// Serves until `stop` is over, and then what has begun. Answers how many connections did not end in time.
async fn serve(
    listener: TcpListener,
    arguments: &Arguments,
    stop: impl Future<Output = ()>,
) -> usize {
    let server = Arc::new(Server {
        service: Arc::new(Service::new(arguments)),
        head_timeout: arguments.head_timeout,
        grace: arguments.grace,
        cut: AtomicUsize::new(0),
    });
    // The group ends when its last member has ended: nobody need keep a list of connections.
    task_group(async |connections| {
        future::or(stop, accept(&listener, &server, &connections)).await;
        drop(listener);
        say(format_args!("stopping: requests in flight have {:?}", arguments.grace));
        // Each connection hears of that; see `Server::connection`.
        connections.cancel();
    })
    .await;
    server.cut.load(Relaxed)
}

async fn accept(listener: &TcpListener, server: &Arc<Server>, connections: &TaskGroup<Never>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                connections.spawn(Arc::clone(server).connection(stream, peer));
            }
            // Mostly: too many open files. Some will be closed.
            Err(error) => {
                eprintln!("cannot accept: {error}");
                filch::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// What a group of tasks without results has for an error.
type Never = std::convert::Infallible;

struct Server {
    service: Arc<Service>,
    head_timeout: Duration,
    grace: Duration,
    cut: AtomicUsize,
}

impl Server {
    /// What goes wrong with one connection is told in one line, and does not concern the others.
    async fn connection(self: Arc<Server>, stream: TcpStream, peer: SocketAddr) {
        let _counted = self.service.figures.connection();
        match self.requests(stream).await {
            Ok(()) => {}
            // Most of these were kept for a next request that never came. That is nothing to complain about, but somebody
            // who sends a head letter by letter ends in the same way: so they are counted.
            Err(error) if error.is_timeout() => self.service.figures.head_timeout(),
            Err(error) if error.is_incomplete_message() => {
                eprintln!("{peer}: the client went away in the middle of a request");
            }
            Err(error) => match error.source() {
                Some(source) => eprintln!("{peer}: {source}"),
                None => eprintln!("{peer}: {error}"),
            },
        }
    }

    async fn requests(&self, stream: TcpStream) -> hyper::Result<()> {
        // An answer is sent as soon as it is there. (If that fails, the connection is gone, and hyper will say so.)
        let _ = stream.set_nodelay(true);
        let service = &self.service;
        // Who closes his direction has gone: hyper drops what he has asked for. (With `half_close` he might wait for the
        // answer still; but it cannot be told from going away, and thumbnails would be made for nobody.)
        let connection = http1::Builder::new()
            .timer(filch::hyper::Timer)
            .header_read_timeout(self.head_timeout)
            .serve_connection(stream, service_fn(|request| Arc::clone(service).answer(request)));
        let mut connection = pin!(connection);

        match filch::catch_cancel(connection.as_mut()).await {
            Ok(result) => result,
            // The service stops. As long as there is a token, this task may go on.
            Err(_token) => {
                connection.as_mut().graceful_shutdown();
                filch::timeout(self.grace, connection).await.unwrap_or_else(|_| {
                    self.cut.fetch_add(1, Relaxed);
                    Ok(())
                })
            }
        }
    }
}

/// Over when somebody wants the service to end.
fn asked_to_stop(at_eof: bool) -> impl Future<Output = ()> {
    #[cfg(unix)]
    let signals = future::or(filch::signal::terminate(), filch::signal::ctrl_c());
    #[cfg(not(unix))]
    let signals = future::pending::<io::Result<()>>();
    let (sender, eof) = async_channel::bounded::<Never>(1);
    let mut kept = Some(sender);
    if at_eof {
        let sender = kept.take();
        // A thread of its own, which nobody waits for: nothing can end its read. With it goes the sender.
        std::thread::spawn(move || {
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            drop(sender);
        });
    }
    async move {
        let signals = async {
            if let Err(error) = signals.await {
                eprintln!("cannot listen to signals: {error}");
                future::pending::<()>().await;
            }
        };
        let at_end = async {
            let _never_anything = eof.recv().await;
        };
        future::or(signals, at_end).await;
        drop(kept);
    }
}

/// Whoever has started it may have gone, and nobody reads what it says.
fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stdout(), "{line}");
}
