//! hyper's servers and clients, and the client of hyper-util.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use filch::hyper::{Connector, Executor, Timer};
use filch::net::TcpStream;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn;
use hyper::rt::{self, Timer as _};
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::client::legacy::Client;
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;

use crate::{connected, listen, run};

/// Tells the path and the length of the body.
async fn tell(request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
    let path = request.uri().path().to_owned();
    let length = request.into_body().collect().await?.to_bytes().len();
    Ok(Response::new(Full::from(format!("{path} {length}"))))
}

fn post(path: &str, length: usize) -> Request<Full<Bytes>> {
    let request = Request::post(path).header("host", "test");
    request.body(Full::from(vec![7; length])).unwrap()
}

async fn text(answer: Response<Incoming>) -> String {
    assert_eq!(answer.status(), 200);
    String::from_utf8(answer.collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[test]
fn http1_server_and_client() {
    run(async {
        let (one, other) = connected().await;
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(Timer).half_close(true);
        let server = filch::spawn(http.serve_connection(one, service_fn(tell)));
        let (mut sender, connection) = conn::http1::handshake(other).await.unwrap();
        let client = filch::spawn(connection);
        for length in [0, 1, 100_000, 3_000_000] {
            sender.ready().await.unwrap();
            let answer = sender.send_request(post("/one", length)).await.unwrap();
            assert_eq!(text(answer).await, format!("/one {length}"));
        }
        drop(sender);
        client.await.unwrap().unwrap();
        server.await.unwrap().unwrap();
    });
}

#[test]
fn http2_server_and_client_with_many_requests_at_once() {
    run(async {
        let (one, other) = connected().await;
        let mut http = hyper::server::conn::http2::Builder::new(Executor);
        http.timer(Timer).keep_alive_interval(Duration::from_secs(5));
        let server = filch::spawn(http.serve_connection(one, service_fn(tell)));
        let handshake = conn::http2::Builder::new(Executor).timer(Timer).handshake(other);
        let (sender, connection) = handshake.await.unwrap();
        let client = filch::spawn(connection);
        let requests = (0..100).map(|number| {
            let mut sender = sender.clone();
            async move {
                let request = post(&format!("http://test/{number}"), number * 1000);
                let answer = sender.send_request(request).await.unwrap();
                assert_eq!(answer.version(), Version::HTTP_2);
                text(answer).await
            }
        });
        let answers = filch::gather(requests).await.unwrap();
        for (number, answer) in answers.iter().enumerate() {
            assert_eq!(answer, &format!("/{number} {}", number * 1000));
        }
        drop(sender);
        client.await.unwrap().unwrap();
        server.await.unwrap().unwrap();
    });
}

#[cfg(unix)]
#[test]
fn http_over_unix_sockets() {
    run(async {
        let (one, other) = filch::net::UnixStream::pair().unwrap();
        let http = auto::Builder::new(Executor);
        let server = filch::spawn(async move {
            http.serve_connection(one, service_fn(tell)).await.unwrap();
        });
        let (mut sender, connection) = conn::http1::handshake(other).await.unwrap();
        let client = filch::spawn(connection);
        let answer = sender.send_request(post("/unix", 100_000)).await.unwrap();
        assert_eq!(text(answer).await, "/unix 100000");
        drop(sender);
        client.await.unwrap().unwrap();
        server.await.unwrap();
    });
}

/// A connector of one's own is a function.
#[cfg(unix)]
#[test]
fn the_client_of_hyper_util_over_unix_sockets() {
    run(async {
        let connector = tower::service_fn(async |_: hyper::Uri| {
            let (one, other) = filch::net::UnixStream::pair()?;
            filch::spawn(async move {
                let http = auto::Builder::new(Executor);
                http.serve_connection(one, service_fn(tell)).await.unwrap();
            });
            std::io::Result::Ok(other)
        });
        // (The client wants futures that can be moved.)
        let connector = tower::util::BoxCloneSyncService::new(connector);
        let client = Client::builder(Executor).build::<_, Full<Bytes>>(connector);
        let answer = client.request(post("http://unix/path", 3)).await.unwrap();
        assert_eq!(text(answer).await, "/path 3");
    });
}

/// On a manual clock the ten seconds are over as soon as nobody has anything to do.
#[test]
fn limits_go_by_the_clock_of_the_runtime() {
    let runtime = filch::Runtime::builder().manual_clock(true).build().unwrap();
    let error = runtime.block_on(async {
        let (one, _silent) = connected().await;
        hyper::server::conn::http1::Builder::new()
            .timer(Timer)
            .header_read_timeout(Duration::from_secs(10))
            .serve_connection(one, service_fn(tell))
            .await
            .unwrap_err()
    });
    assert!(error.is_timeout(), "{error}");
}

#[test]
fn a_sleep_of_any_timer_can_be_reset() {
    /// Some other timer's.
    struct Never;
    impl Future for Never {
        type Output = ();
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            Poll::Pending
        }
    }
    impl rt::Sleep for Never {}

    const SECOND: Duration = Duration::from_secs(1);
    let runtime = filch::Runtime::builder().manual_clock(true).build().unwrap();
    runtime.block_on(async {
        let start = Timer.now();
        let mut later = Timer.sleep(100 * SECOND);
        Timer.reset(&mut later, start + SECOND);
        later.await;
        assert_eq!(Timer.now() - start, SECOND);
        let mut earlier = Timer.sleep_until(start + 2 * SECOND);
        Timer.reset(&mut earlier, start + 3 * SECOND);
        earlier.await;
        assert_eq!(Timer.now() - start, 3 * SECOND);
        let mut foreign: Pin<Box<dyn rt::Sleep>> = Box::pin(Never);
        Timer.reset(&mut foreign, start + 4 * SECOND);
        foreign.await;
        assert_eq!(Timer.now() - start, 4 * SECOND);
    });
}

#[test]
fn the_client_of_hyper_util_keeps_its_connections() {
    run(async {
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let address = listen(move |stream| {
            counter.fetch_add(1, Ordering::Relaxed);
            async move {
                let http = auto::Builder::new(Executor);
                http.serve_connection(stream, service_fn(tell)).await.unwrap();
            }
        })
        .await;
        let client = Client::builder(Executor)
            .pool_timer(Timer)
            .pool_idle_timeout(Duration::from_secs(30))
            .build::<_, Full<Bytes>>(Connector::new());
        // A connection is free again when its task has seen the end of the answer, which may be after the next request:
        // so until it was in time once. (If it never is, this hangs.)
        for number in 1.. {
            let answer = client.request(post(&format!("http://{address}/{number}"), 10)).await;
            assert_eq!(text(answer.unwrap()).await, format!("/{number} 10"));
            if connections.load(Ordering::Relaxed) < number {
                break;
            }
        }
        // By name as well.
        let request = post(&format!("http://localhost:{}/name", address.port()), 0);
        assert_eq!(text(client.request(request).await.unwrap()).await, "/name 0");
    });
}

#[test]
fn the_client_of_hyper_util_sends_many_requests_at_once() {
    run(async {
        let address = listen(|stream| async move {
            let http = auto::Builder::new(Executor);
            http.serve_connection(stream, service_fn(tell)).await.unwrap();
        })
        .await;
        for only_http2 in [false, true] {
            let client = Client::builder(Executor)
                .pool_timer(Timer)
                .http2_only(only_http2)
                .build::<_, Full<Bytes>>(Connector::new());
            let requests = (0..20).map(|number| {
                let answer = client.request(post(&format!("http://{address}/{number}"), number));
                async move {
                    let answer = answer.await.unwrap();
                    assert_eq!(answer.version() == Version::HTTP_2, only_http2);
                    text(answer).await
                }
            });
            let answers = filch::gather(requests).await.unwrap();
            for (number, answer) in answers.iter().enumerate() {
                assert_eq!(answer, &format!("/{number} {number}"));
            }
        }
    });
}

#[test]
fn the_client_of_hyper_util_tells_why_it_could_not_connect() {
    run(async {
        let client = Client::builder(Executor).build::<_, Full<Bytes>>(Connector::new());
        let error = client.request(post("https://127.0.0.1:1/", 0)).await.unwrap_err();
        assert!(error.is_connect());
        let reason = std::error::Error::source(&error).unwrap().to_string();
        assert!(reason.contains("TLS"), "{reason}");
        // Nobody listens at the client's end of a connection, nor can anybody while it is open.
        let (one, _other) = connected().await;
        let address = one.local_addr().unwrap();
        let error = client.request(post(&format!("http://{address}/"), 0)).await.unwrap_err();
        assert!(error.is_connect(), "{error}");
    });
}

#[test]
fn the_graceful_shutdown_of_hyper_util_waits_for_the_request_in_flight() {
    run(async {
        let (one, other) = connected().await;
        let (begun, has_begun) = async_channel::bounded::<()>(1);
        let (go_on, may_go_on) = async_channel::bounded::<()>(1);
        let service = service_fn(move |_| {
            let (begun, may_go_on) = (begun.clone(), may_go_on.clone());
            async move {
                begun.send(()).await.unwrap();
                may_go_on.recv().await.unwrap();
                Ok::<_, Infallible>(Response::new("done".to_owned()))
            }
        });
        let graceful = GracefulShutdown::new();
        let http = hyper::server::conn::http1::Builder::new().serve_connection(one, service);
        let server = filch::spawn(graceful.watch(http));
        let (mut sender, connection) = conn::http1::handshake(other).await.unwrap();
        filch::spawn(connection);
        let answer = filch::spawn(sender.send_request(post("/", 0)));
        has_begun.recv().await.unwrap();

        let mut shutdown = pin!(graceful.shutdown());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(shutdown.as_mut().poll(&mut cx).is_pending(), "a request is in flight");
        go_on.send(()).await.unwrap();
        shutdown.await;
        assert_eq!(text(answer.await.unwrap().unwrap()).await, "done");
        server.await.unwrap().unwrap();
    });
}

#[test]
fn an_upgraded_connection_is_the_stream_again() {
    run(async {
        let (one, mut other) = connected().await;
        let service = service_fn(async |mut request: Request<Incoming>| {
            filch::spawn(async move {
                let upgraded = hyper::upgrade::on(&mut request).await.unwrap();
                let parts = upgraded.downcast::<TcpStream>().unwrap();
                let mut stream = parts.io;
                stream.write_all(&parts.read_buf).await.unwrap();
                stream.write_all(b"!").await.unwrap();
            });
            let answer = Response::builder().status(101).header("upgrade", "x");
            Ok::<_, Infallible>(answer.header("connection", "upgrade").body(String::new()).unwrap())
        });
        let http = hyper::server::conn::http1::Builder::new();
        let server = filch::spawn(http.serve_connection(one, service).with_upgrades());
        let request =
            b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nhello";
        other.write_all(request).await.unwrap();
        let mut answer = String::new();
        futures_util::AsyncReadExt::read_to_string(&mut other, &mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        assert!(answer.ends_with("\r\n\r\nhello!"), "{answer}");
        server.await.unwrap().unwrap();
    });
}
