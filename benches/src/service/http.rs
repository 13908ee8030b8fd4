//! HTTP/1.1 by hyper: what many a program's server is.

use std::convert::Infallible;
use std::io;

use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;

use crate::contender::Serves;
use crate::work;

const GREETING: &[u8] = b"Hello, World!";

/// Answers each request with a greeting, after so many steps of work.
pub(super) async fn connection<S: Serves>(stream: S::Stream, steps: u64) -> io::Result<()> {
    let greet = service_fn(move |_| async move {
        work::steps(steps);
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(GREETING))))
    });
    let served = http1::Builder::new().serve_connection(S::http(stream), greet).await;
    served.map_err(io::Error::other)
}
