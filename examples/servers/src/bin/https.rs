//! An HTTPS server: rustls between filch's sockets and hyper.
//!
//! ```console
//! $ cargo run --bin https -- 127.0.0.1:8443 certificate.pem
//! listening on https://127.0.0.1:8443
//! $ curl --cacert certificate.pem https://127.0.0.1:8443/
//! nobody else has read this
//! ```
//!
//! Without an address it takes a free port. The certificate is made at the start, and is written to the given file, for
//! clients that shall trust it. (A real server has one from a real authority.)

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use filch::hyper::FuturesIo;
use filch::net::{TcpListener, TcpStream};
use futures_rustls::TlsAcceptor;
use futures_rustls::pki_types::PrivatePkcs8KeyDer;
use futures_rustls::rustls::ServerConfig;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use rcgen::CertifiedKey;

/// How long a client may take for the handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

async fn answer(_: Request<Incoming>) -> Result<Response<String>, Infallible> {
    Ok(Response::new("nobody else has read this\n".to_owned()))
}

async fn serve(stream: TcpStream, tls: TlsAcceptor) -> Result<(), Box<dyn Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let stream = filch::timeout(HANDSHAKE, tls.accept(stream)).await??;
    hyper::server::conn::http1::Builder::new()
        .timer(filch::hyper::Timer)
        // A stream of another library: hyper needs it wrapped.
        .serve_connection(FuturesIo::new(stream), service_fn(answer))
        .await?;
    Ok(())
}

/// Settings for rustls, with a certificate of our own for this machine; and the certificate, as PEM.
fn certified() -> Result<(ServerConfig, String), Box<dyn Error>> {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names)?;
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let settings = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())?;
    Ok((settings, cert.pem()))
}

#[filch::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or("127.0.0.1:0".to_owned());
    let (settings, certificate) = certified()?;
    if let Some(file) = arguments.next() {
        std::fs::write(&file, certificate)
            .map_err(|error| io::Error::new(error.kind(), format!("{file}: {error}")))?;
    }
    let tls = TlsAcceptor::from(Arc::new(settings));
    let listener = TcpListener::bind(address).await?;
    println!("listening on https://{}", listener.local_addr()?);

    loop {
        let (stream, peer) = listener.accept().await?;
        let tls = tls.clone();
        filch::spawn(async move {
            if let Err(error) = serve(stream, tls).await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}
