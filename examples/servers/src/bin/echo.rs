//! A TCP server that sends back what it gets.
//!
//! ```console
//! $ cargo run --bin echo -- 127.0.0.1:7007
//! listening on 127.0.0.1:7007
//! ```
//!
//! Without an address it takes a free port. To talk to it: `nc 127.0.0.1 7007`.

use std::io;

use filch::net::{TcpListener, TcpStream};

/// Sends back what comes, until the client has no more to say.
async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            length => stream.write_all(&buffer[..length]).await?,
        }
    }
}

#[filch::main]
async fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:0".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);

    loop {
        let (stream, peer) = listener.accept().await?;
        filch::spawn(async move {
            // One client's trouble is not the others'.
            if let Err(error) = echo(stream).await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}
