//! What sockets do on bad days: errors that pass, hang-ups that are none.

#![cfg(target_os = "linux")]

mod support;

use std::future::{Future, poll_fn};
use std::io::{self, Read, Write};
use std::net::{TcpListener as StdListener, UdpSocket};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use filch::io::{AsyncFd, Direction};
use filch::{Builder, Runtime};
use support::sockets::alone;

/// Real time after which a test that makes no progress has failed.
const STUCK: Duration = Duration::from_secs(20);

/// One whom nobody helps out if the machine is busy.
fn one_worker() -> Builder {
    Runtime::builder().worker_threads(1).spare_workers(0)
}

/// An operation that is tried again and again without anything having happened.
struct Tries(u32);

impl Tries {
    fn count(&mut self) {
        self.0 += 1;
        assert!(self.0 < 100, "tried in vain, over and over, in one poll");
    }
}

/// Returns when all events were delivered that came before it, and those they woke were polled (there is
/// one worker).
async fn all_events_so_far() {
    let (one, mut other) = UnixStream::pair().unwrap();
    one.set_nonblocking(true).unwrap();
    let one = AsyncFd::new(one).unwrap();
    let waits = filch::spawn(async move {
        one.io(Direction::Read, |mut one| one.read(&mut [0])).await.unwrap();
    });
    other.write_all(b"x").unwrap();
    waits.await.unwrap();
}

#[test]
fn an_error_that_an_operation_has_told_does_not_make_the_next_one_spin() {
    let runtime = one_worker().build().unwrap();
    runtime.block_on(async {
        // (Where nobody else is given its port once it has gone.)
        let peer = UdpSocket::bind(alone()).unwrap();
        let there = peer.local_addr().unwrap();
        drop(peer);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let here = socket.local_addr().unwrap();
        socket.connect(there).unwrap();
        socket.set_nonblocking(true).unwrap();
        let socket = AsyncFd::new(socket).unwrap();
        socket.get_ref().send(b"anybody there?").unwrap();
        all_events_so_far().await;
        let mut reader = filch::spawn(async move {
            let receive = |socket: &UdpSocket| socket.recv(&mut [0; 9]);
            let refused = socket.io(Direction::Read, receive).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            let mut tries = Tries(0);
            socket
                .io(Direction::Read, |socket| {
                    tries.count();
                    socket.recv(&mut [0; 9])
                })
                .await
        });
        all_events_so_far().await;
        let peer = UdpSocket::bind(there).unwrap();
        peer.send_to(b"now", here).unwrap();
        let received = filch::timeout(STUCK, &mut reader).await;
        assert_eq!(received.expect("it waits for an event that has come").unwrap().unwrap(), 3);
    });
}

#[test]
fn a_socket_that_was_watched_before_it_was_connected_is_not_taken_to_be_closed() {
    let runtime = one_worker().build().unwrap();
    runtime.block_on(async {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        // As long as it is not connected, the system says that it is hung up.
        let socket = AsyncFd::new(socket).unwrap();
        all_events_so_far().await;
        socket.get_ref().connect(&listener.local_addr().unwrap().into()).unwrap();
        socket.get_ref().set_nonblocking(true).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let mut reader = filch::spawn(async move {
            let mut tries = Tries(0);
            socket
                .io(Direction::Read, |mut socket| {
                    tries.count();
                    socket.read(&mut [0; 9])
                })
                .await
        });
        all_events_so_far().await;
        peer.write_all(b"now").unwrap();
        let received = filch::timeout(STUCK, &mut reader).await;
        assert_eq!(received.expect("it waits for an event that has come").unwrap().unwrap(), 3);
    });
}

#[test]
fn a_task_whose_socket_is_always_ready_lets_others_in() {
    let runtime = one_worker().build().unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let greedy = {
        let over = Arc::clone(&over);
        runtime.spawn(async move {
            let (one, mut other) = UnixStream::pair().unwrap();
            one.set_nonblocking(true).unwrap();
            let one = AsyncFd::new(one).unwrap();
            while !over.load(Ordering::Relaxed) {
                let feed_and_read = |mut one: &UnixStream| {
                    other.write_all(b"x")?;
                    one.read(&mut [0])
                };
                one.io(Direction::Read, feed_and_read).await.unwrap();
            }
        })
    };
    let mut modest = runtime.spawn(async {});
    let let_in = modest.join_timeout(STUCK);
    over.store(true, Ordering::Relaxed);
    assert!(let_in.is_some_and(|end| end.is_ok()), "it had the worker for itself");
    runtime.block_on(greedy).unwrap();
}

#[test]
fn a_manual_clock_does_not_pass_by_what_tasks_have_sent_to_each_other() {
    let runtime = one_worker().manual_clock(true).build().unwrap();
    runtime.block_on(async {
        for _ in 0..100 {
            let (one, mut other) = UnixStream::pair().unwrap();
            one.set_nonblocking(true).unwrap();
            let one = AsyncFd::new(one).unwrap();
            let reader = filch::spawn(async move {
                let read = one.io(Direction::Read, |mut one| one.read(&mut [0]));
                filch::timeout(Duration::from_secs(1), read).await.is_ok()
            });
            let writer = filch::spawn(async move {
                filch::sleep(Duration::from_millis(10)).await;
                other.write_all(b"x").unwrap();
                other
            });
            assert!(reader.await.unwrap(), "it was there before its time was over");
            drop(writer.await.unwrap());
        }
    });
}

/// A socket that has something to read for ever.
fn always_ready() -> AsyncFd<UnixStream> {
    let (one, other) = UnixStream::pair().unwrap();
    one.set_nonblocking(true).unwrap();
    // What is left to be read when the peer has closed stays readable.
    drop(other);
    AsyncFd::new(one).unwrap()
}

#[test]
fn a_task_that_selects_between_two_that_are_always_ready_lets_others_in() {
    let runtime = one_worker().build().unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let greedy = {
        let over = Arc::clone(&over);
        runtime.spawn(async move {
            let (one, other) = (always_ready(), always_ready());
            while !over.load(Ordering::Relaxed) {
                futures_lite::future::or(one.ready(Direction::Read), other.ready(Direction::Read))
                    .await
                    .unwrap();
            }
        })
    };
    let mut modest = runtime.spawn(async {});
    let let_in = modest.join_timeout(STUCK);
    over.store(true, Ordering::Relaxed);
    assert!(let_in.is_some_and(|end| end.is_ok()), "they had the worker for themselves");
    runtime.block_on(greedy).unwrap();
}

#[test]
fn many_that_are_ready_at_a_time_are_not_asked_in_vain() {
    const MANY: usize = 400;
    let runtime = one_worker().build().unwrap();
    let polls = runtime.spawn(async {
        let sockets: Vec<_> = (0..MANY).map(|_| always_ready()).collect();
        let mut waits: Vec<_> =
            sockets.iter().map(|socket| Some(Box::pin(socket.ready(Direction::Read)))).collect();
        let mut polls = 0;
        poll_fn(|cx| {
            for wait in &mut waits {
                if let Some(pending) = wait {
                    polls += 1;
                    if pending.as_mut().poll(cx).is_ready() {
                        *wait = None;
                    }
                }
            }
            if waits.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        polls
    });
    assert_eq!(runtime.block_on(polls).unwrap(), MANY + 1, "one is asked to try again later");
}
