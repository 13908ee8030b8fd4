//! Other libraries on filch, with no other runtime around: what `filch::guide::libraries` says about them.

mod axum;
mod codec;
mod hyper;
mod postgres;
mod table;
mod tls;
mod tonic;
mod tower;
mod traits_futures;
mod traits_tokio;
mod websocket;

use std::net::SocketAddr;
use std::time::Duration;

use filch::net::{TcpListener, TcpStream};

/// Runs a test; what takes longer than its limit hangs.
fn run(test: impl Future<Output = ()>) {
    filch::run(filch::timeout(Duration::from_secs(60), test)).expect("it hangs");
}

/// Both ends of a connection.
async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let one = TcpStream::connect(address).await.unwrap();
    let (other, _) = listener.accept().await.unwrap();
    (one, other)
}

/// Takes connections, for as long as the test runs, and gives each to `serve` in a task of its own.
async fn listen<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    filch::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            filch::spawn(serve(stream));
        }
    });
    address
}
