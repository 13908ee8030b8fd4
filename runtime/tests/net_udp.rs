//! UDP sockets.

mod support;

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use filch::net::UdpSocket;
use filch::{Runtime, timeout};

use support::sockets::{HERE, alone, everywhere, limited};

async fn pair() -> io::Result<(UdpSocket, UdpSocket)> {
    // Some tests close one of them, and expect that nobody is there then.
    let (one, other) = (UdpSocket::bind(alone()).await?, UdpSocket::bind(alone()).await?);
    one.connect(other.local_addr()?).await?;
    other.connect(one.local_addr()?).await?;
    Ok((one, other))
}

#[test]
fn all_ways_to_send_and_receive() {
    everywhere(|| async {
        let (one, other) = (UdpSocket::bind(HERE).await?, UdpSocket::bind(HERE).await?);
        let (from, to) = (one.local_addr()?, other.local_addr()?);
        let mut buf = [0; 16];
        assert_eq!(one.send_to(b"1", to).await?, 1);
        assert_eq!(one.send_to(b"22", to.to_string()).await?, 2);
        assert_eq!(one.send_to(b"333", ("localhost", to.port())).await?, 3);
        assert_eq!(poll_fn(|cx| one.poll_send_to(cx, b"4444", to)).await?, 4);
        assert_eq!(one.try_send_to(b"55555", to)?, 5);
        assert_eq!(other.peek_from(&mut buf).await?, (1, from));
        assert_eq!(poll_fn(|cx| other.poll_peek_from(cx, &mut buf)).await?, (1, from));
        assert_eq!(other.recv_from(&mut buf).await?, (1, from));
        assert_eq!(poll_fn(|cx| other.poll_recv_from(cx, &mut buf)).await?, (2, from));
        other.readable().await?;
        assert_eq!(other.try_recv_from(&mut buf)?, (3, from));
        assert_eq!(other.recv(&mut buf).await?, 4);
        assert_eq!(poll_fn(|cx| other.poll_recv(cx, &mut buf)).await?, 5);
        assert_eq!(&buf[..5], b"55555");
        let kind = |result: io::Result<()>| result.unwrap_err().kind();
        assert_eq!(kind(other.try_recv(&mut buf).map(drop)), ErrorKind::WouldBlock);
        assert_eq!(kind(other.try_recv_from(&mut buf).map(drop)), ErrorKind::WouldBlock);

        assert_eq!(kind(one.peer_addr().map(drop)), ErrorKind::NotConnected);
        assert!(one.send(b"x").await.is_err(), "to whom?");
        one.connect(to).await?;
        assert_eq!(one.peer_addr()?, to);
        one.writable().await?;
        assert_eq!(one.send(b"1").await?, 1);
        assert_eq!(poll_fn(|cx| one.poll_send(cx, b"22")).await?, 2);
        assert_eq!(one.try_send(b"333")?, 3);
        for length in 1..=3 {
            assert_eq!(other.recv(&mut buf).await?, length);
        }
        // Nothing is a datagram, too.
        assert_eq!(one.send(b"").await?, 0);
        assert_eq!(other.recv(&mut buf).await?, 0);
        Ok(())
    });
}

#[test]
fn what_does_not_fit_is_cut_off_and_what_is_too_long_refused() {
    everywhere(|| async {
        let (one, other) = pair().await?;
        one.send(b"too long").await?;
        one.send(b"next").await?;
        let mut buf = [0; 3];
        #[cfg(unix)]
        assert_eq!(other.recv(&mut buf).await?, 3);
        #[cfg(windows)]
        assert!(other.recv(&mut buf).await.is_err());
        let mut buf = [0; 16];
        assert_eq!(other.recv(&mut buf).await?, 4);
        assert!(one.send(&vec![0; 100_000]).await.is_err());
        one.send(b"goes on").await?;
        assert_eq!(other.recv(&mut buf).await?, 7);
        Ok(())
    });
}

#[test]
fn each_datagram_is_received_by_one_of_many() {
    everywhere(|| async {
        const MANY: usize = 200;
        let (one, other) = pair().await?;
        let (one, other) = (Arc::new(one), Arc::new(other));
        let (tell, told) = async_channel::unbounded();
        let receivers: Vec<_> = (0..4)
            .map(|_| {
                let (other, tell) = (Arc::clone(&other), tell.clone());
                filch::spawn(async move {
                    let mut number = [0; 8];
                    while other.recv(&mut number).await.is_ok() {
                        tell.send(usize::from_le_bytes(number)).await.unwrap();
                    }
                })
            })
            .collect();
        // No more on the way than the system keeps: it would drop them.
        let senders: Vec<_> = (0..2)
            .map(|first| {
                let (one, told) = (Arc::clone(&one), told.clone());
                filch::spawn(async move {
                    let mut numbers = Vec::new();
                    for number in (first..MANY).step_by(2) {
                        one.send(&number.to_le_bytes()).await.unwrap();
                        numbers.push(told.recv().await.unwrap());
                    }
                    numbers
                })
            })
            .collect();
        let mut numbers = Vec::new();
        for sender in senders {
            numbers.extend(sender.await?);
        }
        numbers.sort_unstable();
        assert_eq!(numbers, (0..MANY).collect::<Vec<_>>());
        assert!(receivers.iter().all(|receiver| receiver.abort()));
        Ok(())
    });
}

#[test]
fn a_receive_that_is_given_up_loses_nothing() {
    everywhere(|| async {
        const MANY: u8 = 100;
        let (one, other) = pair().await?;
        let sender = filch::spawn(async move {
            for number in 0..MANY {
                one.send(&[number]).await?;
                filch::yield_now().await;
            }
            io::Result::Ok(one)
        });
        let (mut came, mut given_up, mut buf) = (Vec::new(), 0, [0]);
        while came.len() < usize::from(MANY) || given_up == 0 {
            match timeout(Duration::from_micros(20), other.recv(&mut buf)).await {
                Ok(received) => came.extend_from_slice(&buf[..received?]),
                Err(_) => given_up += 1,
            }
        }
        assert_eq!(came, (0..MANY).collect::<Vec<_>>());
        drop(sender.await??);
        Ok(())
    });
}

/// Loopback tells at once that nobody is there.
#[cfg(target_os = "linux")]
#[test]
fn that_nobody_is_there_is_told_to_who_is_connected() {
    everywhere(|| async {
        let (one, other) = pair().await?;
        drop(other);
        one.send(b"x").await?;
        let error = one.recv(&mut [0; 16]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        // Once told it is forgotten.
        assert!(one.take_error()?.is_none());
        assert_eq!(one.try_recv(&mut [0; 16]).unwrap_err().kind(), ErrorKind::WouldBlock);
        Ok(())
    });
}

#[cfg(target_os = "linux")]
#[test]
fn after_an_error_who_receives_sleeps_again() {
    everywhere(|| async {
        let (one, other) = pair().await?;
        drop(other);
        let one = Arc::new(one);
        for _ in 0..3 {
            // The event of the error is for somebody who waits already.
            let receiver = Arc::clone(&one);
            let receives = filch::spawn(async move { receiver.recv(&mut [0; 16]).await });
            while receives.task().waits_at().is_none() {
                filch::yield_now().await;
            }
            one.send(b"x").await?;
            assert_eq!(receives.await?.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        }
        // Whoever receives now sleeps (instead of trying without end), until something comes.
        let receiver = Arc::clone(&one);
        let receives = filch::spawn(async move { receiver.recv(&mut [0; 16]).await });
        while receives.task().waits_at().is_none() {
            filch::yield_now().await;
        }
        let other = UdpSocket::bind(one.peer_addr()?).await?;
        other.send_to(b"here", one.local_addr()?).await?;
        assert_eq!(receives.await??, 4);
        Ok(())
    });
}

#[test]
fn addresses_in_use_are_told_and_the_next_one_is_taken() {
    everywhere(|| async {
        let first = UdpSocket::bind(HERE).await?;
        let taken = first.local_addr()?;
        let error = UdpSocket::bind(taken).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&taken.to_string()), "{error}");
        let second = UdpSocket::bind([taken, HERE.parse().unwrap()]).await?;
        assert_ne!(second.local_addr()?, taken);

        // A socket of IPv4 cannot be connected to an address of IPv6.
        let foreign: SocketAddr = "[::1]:9".parse().unwrap();
        second.connect([foreign, taken]).await?;
        assert_eq!(second.peer_addr()?, taken);
        let error = second.connect(foreign).await.unwrap_err();
        assert!(error.to_string().contains("[::1]:9"), "{error}");
        let nowhere = second.send_to(b"x", Vec::new()).await.unwrap_err();
        assert_eq!(nowhere.kind(), ErrorKind::InvalidInput);
        Ok(())
    });
}

#[test]
fn options_are_the_systems() {
    everywhere(|| async {
        let socket = UdpSocket::bind(HERE).await?;
        for on in [true, false] {
            socket.set_broadcast(on)?;
            assert_eq!(socket.broadcast()?, on);
            socket.set_multicast_loop_v4(on)?;
            assert_eq!(socket.multicast_loop_v4()?, on);
        }
        socket.set_ttl(21)?;
        socket.set_multicast_ttl_v4(3)?;
        assert_eq!((socket.ttl()?, socket.multicast_ttl_v4()?), (21, 3));
        let group = Ipv4Addr::new(224, 0, 0, 99);
        socket.join_multicast_v4(group, Ipv4Addr::LOCALHOST)?;
        assert!(socket.join_multicast_v4(group, Ipv4Addr::LOCALHOST).is_err(), "it has");
        socket.leave_multicast_v4(group, Ipv4Addr::LOCALHOST)?;
        assert!(socket.join_multicast_v4(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST).is_err());
        // Not every machine has IPv6.
        if let Ok(socket) = UdpSocket::bind("[::1]:0").await {
            socket.set_multicast_loop_v6(false)?;
            assert!(!socket.multicast_loop_v6()?);
            let nowhere = "::1".parse().unwrap();
            assert!(socket.join_multicast_v6(&nowhere, 0).is_err());
            assert!(socket.leave_multicast_v6(&nowhere, 0).is_err());
        }
        assert!(format!("{socket:?}").contains("UdpSocket"));
        Ok(())
    });
}

#[test]
fn sockets_come_from_std_and_go_there() {
    everywhere(|| async {
        let theirs = std::net::UdpSocket::bind(HERE)?;
        let ours = UdpSocket::from_std(std::net::UdpSocket::bind(HERE)?)?;
        let (their, our) = (theirs.local_addr()?, ours.local_addr()?);
        let receives = filch::spawn(async move {
            let mut buf = [0; 8];
            let came = ours.recv_from(&mut buf).await?;
            io::Result::Ok((came, ours))
        });
        while receives.task().waits_at().is_none() {
            filch::yield_now().await;
        }
        theirs.send_to(b"hello", our)?;
        let (came, ours) = receives.await??;
        assert_eq!(came, (5, their));
        // It blocks again.
        let ours = ours.into_std()?;
        let received = filch::spawn_blocking(move || ours.recv(&mut [0; 8]));
        theirs.send_to(b"you", our)?;
        assert_eq!(received.await??, 3);
        Ok(())
    });
}

#[test]
fn outside_and_after_the_runtime_there_are_errors() {
    limited("after the end", || {
        let outside = futures_lite::future::block_on(UdpSocket::bind(HERE)).unwrap_err();
        assert!(outside.to_string().contains("outside"), "{outside}");

        let runtime = Runtime::builder().worker_threads(1).build()?;
        let (one, other) = runtime.block_on(pair())?;
        let to = other.local_addr()?;
        drop(runtime.shutdown(Duration::ZERO));
        futures_lite::future::block_on(async {
            let mut buf = [0; 8];
            let errors = [
                one.send(b"x").await.unwrap_err(),
                one.send_to(b"x", to).await.unwrap_err(),
                one.recv(&mut buf).await.unwrap_err(),
                one.recv_from(&mut buf).await.unwrap_err(),
                one.peek_from(&mut buf).await.unwrap_err(),
                one.readable().await.unwrap_err(),
                one.try_send(b"x").unwrap_err(),
                poll_fn(|cx| one.poll_recv(cx, &mut buf)).await.unwrap_err(),
            ];
            for error in errors {
                assert!(error.to_string().contains("shut down"), "{error}");
            }
            let polled = poll_fn(|cx| Poll::Ready(other.poll_send(cx, b"x").is_ready())).await;
            assert!(polled);
        });
        Ok(())
    });
}
