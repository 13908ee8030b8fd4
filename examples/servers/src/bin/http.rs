//! An HTTP server: hyper on filch's sockets.
//!
//! ```console
//! $ cargo run --bin http -- 127.0.0.1:8080
//! listening on http://127.0.0.1:8080
//! $ curl http://127.0.0.1:8080/hello/world
//! hello, world
//! $ curl --data 'some text' http://127.0.0.1:8080/echo
//! some text
//! ```
//!
//! Without an address it takes a free port.

use std::io;
use std::time::Duration;

use filch::net::{TcpListener, TcpStream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};

type Body = BoxBody<Bytes, hyper::Error>;

fn text(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed()
}

async fn answer(request: Request<Incoming>) -> hyper::Result<Response<Body>> {
    let path = request.uri().path();
    if request.method() == Method::POST && path == "/echo" {
        // The body goes back while it still comes in: it may be of any length.
        return Ok(Response::new(request.into_body().boxed()));
    }
    if let Some(name) = path.strip_prefix("/hello/") {
        return Ok(Response::new(text(format!("hello, {name}\n"))));
    }
    let mut response = Response::new(text("there is nothing here\n"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    Ok(response)
}

async fn serve(stream: TcpStream) -> hyper::Result<()> {
    hyper::server::conn::http1::Builder::new()
        // Whoever does not even send a request's head in time is cut off.
        .timer(filch::hyper::Timer)
        .header_read_timeout(Duration::from_secs(10))
        .serve_connection(stream, service_fn(answer))
        .await
}

#[filch::main]
async fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:0".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);

    loop {
        let (stream, peer) = listener.accept().await?;
        // An answer is sent as soon as it is there.
        stream.set_nodelay(true)?;
        filch::spawn(async move {
            if let Err(error) = serve(stream).await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}
