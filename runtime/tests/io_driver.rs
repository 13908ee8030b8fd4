//! Who sleeps in the driver, and that sockets are never forgotten.

use std::io::{Read, Write};
use std::net::TcpStream as StdStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use filch::Runtime;
use filch::net::TcpListener;

/// Real time after which a test that makes no progress has failed.
const STUCK: Duration = Duration::from_secs(20);

fn connect(address: std::net::SocketAddr) -> StdStream {
    let stream = StdStream::connect(address).unwrap();
    stream.set_read_timeout(Some(STUCK)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn echo_once(stream: &mut StdStream) {
    stream.write_all(b"x").unwrap();
    let mut answer = [0];
    stream.read_exact(&mut answer).expect("nobody looked after this socket");
}

/// Echoes single bytes. After a `b` it blocks its worker, until told through the channel it is given.
async fn serve(
    listener: TcpListener,
    unblock: std::sync::Arc<std::sync::Mutex<mpsc::Receiver<()>>>,
) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let unblock = unblock.clone();
        drop(filch::spawn(async move {
            let mut byte = [0];
            while stream.read(&mut byte).await.is_ok_and(|read| read == 1) {
                if byte[0] == b'b' {
                    let _ = unblock.lock().unwrap().recv_timeout(STUCK);
                }
                if stream.write_all(&byte).await.is_err() {
                    break;
                }
            }
        }));
    }
}

#[test]
fn a_long_poll_on_the_worker_that_came_from_the_driver_does_not_stop_the_sockets_of_others() {
    for workers in [2, 4, 40] {
        let runtime = Runtime::builder().worker_threads(workers).build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (unblock, blocked) = mpsc::channel();
        drop(runtime.spawn(serve(listener, std::sync::Arc::new(std::sync::Mutex::new(blocked)))));
        let (mut blocker, mut other) = (connect(address), connect(address));
        echo_once(&mut blocker);
        echo_once(&mut other);
        for round in 0..30 {
            if round % 3 == 2 {
                // Long enough for the monitor to have stopped: it must be armed again.
                std::thread::sleep(Duration::from_millis(150));
            }
            let start = Instant::now();
            blocker.write_all(b"b").unwrap();
            echo_once(&mut other);
            assert!(start.elapsed() < STUCK, "served only when the other poll had returned");
            unblock.send(()).unwrap();
            blocker.read_exact(&mut [0]).unwrap();
        }
        drop((blocker, other));
    }
}

#[test]
fn the_first_socket_of_a_sleeping_runtime_is_looked_after() {
    for _ in 0..50 {
        // All workers sleep on futexes when this thread, which is none, opens the driver.
        let runtime = Runtime::builder().worker_threads(2).build().unwrap();
        let mut client = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let client = std::thread::spawn(move || connect(address));
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut client = client.join().unwrap();
            let mut byte = [0];
            let read = filch::timeout(STUCK, stream.read(&mut byte));
            let wrote = client.write_all(b"x");
            assert_eq!((read.await.unwrap().unwrap(), wrote.is_ok()), (1, true));
            client
        });
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "the server's side is dropped");
    }
}

#[test]
fn workers_that_always_have_something_to_do_look_after_sockets_too() {
    for workers in [1, 2] {
        let runtime = Runtime::builder().worker_threads(workers).build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (_unblock, blocked) = mpsc::channel();
        drop(runtime.spawn(serve(listener, std::sync::Arc::new(std::sync::Mutex::new(blocked)))));
        for _ in 0..2 * workers {
            drop(runtime.spawn(async {
                loop {
                    filch::yield_now().await;
                }
            }));
        }
        let mut client = connect(address);
        (0..100).for_each(|_| echo_once(&mut client));
    }
}
