//! An HTTP server that ends with good manners: after `SIGTERM` (or Ctrl-C) it takes no more connections, but requests
//! in flight are answered, if that takes no longer than a grace.
//!
//! ```console
//! $ cargo run --bin graceful -- 127.0.0.1:8080 30 &
//! listening on http://127.0.0.1:8080
//! $ curl http://127.0.0.1:8080/slow & sleep 1; kill %1
//! stopping: requests in flight have 30 s
//! it took a while
//! stopped
//! ```
//!
//! Without an address it takes a free port; the grace is 10 s unless given in seconds.
//!
//! Most of it is the runtime's: a shutdown asks all tasks to end and waits, for as long as the grace says, for the
//! cleanups of those that catch the request. Here the cleanup is the rest of a request.

use std::error::Error;
use std::io;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use filch::Runtime;
use filch::net::{TcpListener, TcpStream};
use filch::signal::{ctrl_c, terminate};
use futures_lite::future;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};

/// Reads what is sent, however long that takes, and tells its length.
async fn answer(request: Request<Incoming>) -> hyper::Result<Response<String>> {
    if request.uri().path() == "/slow" {
        filch::sleep(Duration::from_secs(3)).await;
        return Ok(Response::new("it took a while\n".to_owned()));
    }
    let body = request.into_body().collect().await?.to_bytes();
    Ok(Response::new(format!("{} bytes\n", body.len())))
}

async fn serve(stream: TcpStream) -> hyper::Result<()> {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(filch::hyper::Timer)
        .serve_connection(stream, service_fn(answer));
    let mut connection = pin!(connection);

    match filch::catch_cancel(connection.as_mut()).await {
        Ok(result) => result,
        // The server stops. While the token lives, this task may go on.
        Err(_token) => {
            // No more requests on this connection; the current one is answered.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}

async fn accept(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, peer) = listener.accept().await?;
        stream.set_nodelay(true)?;
        filch::spawn(async move {
            if let Err(error) = serve(stream).await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or("127.0.0.1:0".to_owned());
    let grace = arguments.next().map_or(Ok(10.0), |seconds| seconds.parse())?;
    let grace = Duration::try_from_secs_f64(grace)?;

    let runtime = Runtime::new()?;
    runtime.block_on(async {
        // Listen to the signals before anybody can know that there is a server.
        let stop = future::or(terminate(), ctrl_c());
        let listener = TcpListener::bind(address).await?;
        println!("listening on http://{}", listener.local_addr()?);
        // Whichever is first; then the other is dropped, and with it the listener.
        future::or(stop, accept(listener)).await
    })?;
    println!("stopping: requests in flight have {} s", grace.as_secs_f64());

    let report = runtime.shutdown(grace);
    if report.aborted > 0 {
        println!("stopped: {} connections had to be cut", report.aborted);
        return Ok(ExitCode::FAILURE);
    }
    println!("stopped");
    Ok(ExitCode::SUCCESS)
}
