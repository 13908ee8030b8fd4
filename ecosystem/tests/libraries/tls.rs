//! TLS with rustls: over the traits of futures-io, over tokio's, and below hyper.

use std::convert::Infallible;
use std::sync::Arc;

use filch::hyper::{Connector, Executor, FuturesIo, Timer};
use filch::net::TcpStream;
use futures_rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use futures_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use futures_util::{AsyncReadExt, AsyncWriteExt};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper::{Response, Version};
use hyper_util::client::legacy::Client;
use hyper_util::server::conn::auto;

use crate::{connected, listen, run};

/// A certificate for `localhost`, for both sides; each may speak what `protocols` says.
fn certified(protocols: &[&str]) -> (ServerConfig, ClientConfig) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate: CertificateDer<'static> = made.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let mut server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key.into())
        .unwrap();
    server.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let mut trusted = RootCertStore::empty();
    trusted.add(certificate).unwrap();
    let client = ClientConfig::builder().with_root_certificates(trusted).with_no_client_auth();
    (server, client)
}

fn localhost() -> ServerName<'static> {
    "localhost".try_into().unwrap()
}

#[test]
fn futures_rustls_on_both_sides() {
    run(async {
        let (server, client) = certified(&[]);
        let (one, other) = connected().await;
        let accept = futures_rustls::TlsAcceptor::from(Arc::new(server)).accept(one);
        let server = filch::spawn(async move {
            let mut stream = accept.await.unwrap();
            let mut text = Vec::new();
            stream.read_to_end(&mut text).await.unwrap();
            stream.write_all(&text).await.unwrap();
            stream.close().await.unwrap();
        });
        let connector = futures_rustls::TlsConnector::from(Arc::new(client));
        let mut stream = connector.connect(localhost(), other).await.unwrap();
        let sent = vec![7; 1_000_000];
        stream.write_all(&sent).await.unwrap();
        stream.close().await.unwrap();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).await.unwrap();
        assert!(received == sent, "{} bytes came back", received.len());
        server.await.unwrap();
    });
}

#[test]
fn tokio_rustls_on_both_sides() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    run(async {
        let (server, client) = certified(&[]);
        let (one, other) = connected().await;
        let accept = tokio_rustls::TlsAcceptor::from(Arc::new(server)).accept(one);
        let server = filch::spawn(async move {
            let mut stream = accept.await.unwrap();
            let mut text = Vec::new();
            stream.read_to_end(&mut text).await.unwrap();
            stream.write_all(&text).await.unwrap();
            stream.shutdown().await.unwrap();
        });
        let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
        let mut stream = connector.connect(localhost(), other).await.unwrap();
        let sent = vec![7; 1_000_000];
        stream.write_all(&sent).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).await.unwrap();
        assert!(received == sent, "{} bytes came back", received.len());
        server.await.unwrap();
    });
}

#[test]
fn a_client_that_does_not_trust_the_certificate_ends_the_handshake() {
    run(async {
        let (server, _) = certified(&[]);
        let (_, stranger) = certified(&[]);
        let (one, other) = connected().await;
        let accept = futures_rustls::TlsAcceptor::from(Arc::new(server)).accept(one);
        let server = filch::spawn(async move { accept.await.map(drop) });
        let connector = futures_rustls::TlsConnector::from(Arc::new(stranger));
        assert!(connector.connect(localhost(), other).await.is_err());
        assert!(server.await.unwrap().is_err());
    });
}

#[test]
fn hyper_rustls_on_top_of_the_connector() {
    run(async {
        for (protocols, version) in
            [(&["http/1.1"][..], Version::HTTP_11), (&["h2", "http/1.1"], Version::HTTP_2)]
        {
            let (server, client) = certified(protocols);
            let accept = futures_rustls::TlsAcceptor::from(Arc::new(server));
            let address = listen(move |stream: TcpStream| {
                let accept = accept.clone();
                async move {
                    let stream = FuturesIo::new(accept.accept(stream).await.unwrap());
                    let answer = service_fn(async |_| {
                        Ok::<_, Infallible>(Response::new("secret".to_owned()))
                    });
                    let mut http = auto::Builder::new(Executor);
                    http.http1().timer(Timer);
                    // The client does not always say good-bye.
                    let _ = http.serve_connection(stream, answer).await;
                }
            })
            .await;
            let connector = hyper_rustls::HttpsConnectorBuilder::new()
                .with_tls_config(client)
                .https_only()
                .enable_all_versions()
                .wrap_connector(Connector::under_tls());
            let client = Client::builder(Executor).build::<_, Empty<Bytes>>(connector);
            for _ in 0..3 {
                let url = format!("https://localhost:{}/", address.port()).parse().unwrap();
                let answer = client.get(url).await.unwrap();
                assert_eq!(answer.version(), version);
                assert_eq!(answer.collect().await.unwrap().to_bytes(), "secret");
            }
        }
    });
}
