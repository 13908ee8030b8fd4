//! Unix sockets. (What they share with TCP is tested there; here is what the kind makes different, and each method once.)
#![cfg(unix)]

mod support;

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use filch::net::{UnixDatagram, UnixListener, UnixStream};
use filch::{Runtime, timeout};
use futures_lite::{AsyncReadExt, AsyncWrite, AsyncWriteExt, StreamExt};

use support::sockets::{everywhere, limited, pattern};

const MB: usize = 1 << 20;

/// A path that nobody else uses; what is there is removed in the end.
struct TempPath(PathBuf);

impl TempPath {
    fn new() -> TempPath {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("filch-net-unix-{}-{number}", std::process::id());
        TempPath(std::env::temp_dir().join(name))
    }
}

impl AsRef<Path> for TempPath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempPath {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn streams_have_all_methods() {
    everywhere(|| async {
        let (mut one, mut other) = UnixStream::pair()?;
        one.writable().await?;
        assert_eq!(one.try_write(b"a")?, 1);
        assert_eq!(one.try_write_vectored(&[IoSlice::new(b"b")])?, 1);
        assert_eq!(one.write(b"c").await?, 1);
        assert_eq!(one.write_vectored(&[IoSlice::new(b"d")]).await?, 1);
        one.write_all(b"e").await?;
        (&one).write_all(b"f").await?;
        one.flush().await?;
        other.readable().await?;
        let (mut a, mut b, mut c, mut d) = ([0], [0], [0], [0]);
        assert_eq!(other.try_read(&mut a)?, 1);
        assert_eq!(other.try_read_vectored(&mut [IoSliceMut::new(&mut b)])?, 1);
        assert_eq!(other.read(&mut c).await?, 1);
        assert_eq!(other.read_vectored(&mut [IoSliceMut::new(&mut d)]).await?, 1);
        let mut ef = [0; 2];
        other.read_exact(&mut ef).await?;
        assert_eq!((a, b, c, d, ef), (*b"a", *b"b", *b"c", *b"d", *b"ef"));
        assert_eq!(other.try_read(&mut a).unwrap_err().kind(), ErrorKind::WouldBlock);
        one.write_all(b"end").await?;
        one.close().await?;
        let mut text = String::new();
        other.read_to_string(&mut text).await?;
        assert_eq!((text.as_str(), other.read_to_end(&mut Vec::new()).await?), ("end", 0));
        other.write_all(b"x").await?;
        assert_eq!((&one).read(&mut a).await?, 1);
        assert!(one.take_error()?.is_none());
        assert!(one.local_addr()?.is_unnamed() && one.peer_addr()?.is_unnamed());
        assert!(format!("{one:?}").contains("UnixStream"));
        #[cfg(target_os = "linux")]
        assert_eq!(one.peer_cred()?.pid(), Some(std::process::id()));
        assert_eq!(one.peer_cred()?, other.peer_cred()?);
        Ok(())
    });
}

#[test]
fn listeners_have_all_methods_and_their_file_stays() {
    everywhere(|| async {
        let path = TempPath::new();
        let listener = UnixListener::bind(&path)?;
        assert_eq!(listener.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(UnixStream::connect(&path).await?);
        }
        assert_eq!(clients[0].peer_addr()?.as_pathname(), Some(path.as_ref()));
        assert_eq!(listener.local_addr()?.as_pathname(), Some(path.as_ref()));
        let (mut server, peer) = listener.accept().await?;
        assert!(peer.is_unnamed());
        listener.try_accept()?;
        poll_fn(|cx| listener.poll_accept(cx)).await?;
        listener.incoming().next().await.unwrap()?;
        assert!(listener.take_error()?.is_none());
        clients[0].write_all(b"x").await?;
        server.read_exact(&mut [0]).await?;
        #[cfg(target_os = "linux")]
        assert_eq!(server.peer_cred()?.pid(), Some(std::process::id()));

        drop(listener);
        let error = UnixListener::bind(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains(path.0.to_str().unwrap()), "{error}");
        let error = UnixStream::connect(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        std::fs::remove_file(&path)?;
        let error = UnixStream::connect(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains(path.0.to_str().unwrap()), "{error}");
        let error = UnixStream::connect("x".repeat(1000)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        drop(UnixListener::bind(&path)?);
        Ok(())
    });
}

#[cfg(target_os = "linux")]
#[test]
fn names_without_a_file() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;

    everywhere(|| async {
        let name = TempPath::new();
        let name = name.0.to_str().unwrap().as_bytes();
        let address = SocketAddr::from_abstract_name(name)?;
        let listener = UnixListener::bind_addr(&address)?;
        let mut client = UnixStream::connect_addr(&address).await?;
        let (mut server, _) = listener.accept().await?;
        client.write_all(b"x").await?;
        server.read_exact(&mut [0]).await?;
        assert_eq!(client.peer_addr()?.as_abstract_name(), Some(name));
        drop(listener);
        drop(UnixListener::bind_addr(&address)?);

        let socket = UnixDatagram::bind_addr(&address)?;
        let sender = UnixDatagram::unbound()?;
        assert_eq!(sender.send_to_addr(b"hello", &address).await?, 5);
        assert_eq!(socket.recv(&mut [0; 8]).await?, 5);
        Ok(())
    });
}

#[test]
fn much_goes_both_ways_through_halves_that_come_together_again() {
    everywhere(|| async {
        let (one, other) = UnixStream::pair()?;
        let (mut reader, mut writer) = one.into_split();
        let echo = filch::spawn(async move {
            futures_lite::io::copy(&other, &other).await?;
            other.shutdown_write()
        });
        let writing = filch::spawn(async move {
            writer.write_all(&pattern(4 * MB)).await?;
            io::Result::Ok(writer)
        });
        let mut text = vec![0; 4 * MB];
        reader.read_exact(&mut text).await?;
        assert!(text == pattern(4 * MB));
        let one = reader.reunite(writing.await??).map_err(io::Error::other)?;
        let (mut reader, writer) = one.into_split();
        drop(writer);
        assert_eq!(reader.read(&mut [0]).await?, 0, "the echo ended, because the writing half did");
        echo.await?
    });
}

#[test]
fn a_peer_that_is_gone_breaks_writes() {
    everywhere(|| async {
        let (mut one, other) = UnixStream::pair()?;
        let writer = filch::spawn(async move {
            let page = vec![0; MB];
            loop {
                if let Err(error) = one.write_all(&page).await {
                    return error.kind();
                }
            }
        });
        while writer.task().waits_at().is_none() {
            filch::yield_now().await;
        }
        drop(other);
        let kind = writer.await?;
        assert!(matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{kind:?}");

        let (one, mut other) = UnixStream::pair()?;
        one.shutdown_read()?;
        assert_eq!(other.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        Ok(())
    });
}

/// A blocking connect waits for room in the listener's queue; so does ours, though the system has no event for it.
#[cfg(target_os = "linux")]
#[test]
fn connecting_waits_while_the_listeners_queue_is_full() {
    everywhere(|| async {
        let path = TempPath::new();
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
        socket.bind(&socket2::SockAddr::unix(&path)?)?;
        socket.listen(0)?;
        let listener = std::os::unix::net::UnixListener::from(std::os::fd::OwnedFd::from(socket));
        let listener = UnixListener::from_std(listener)?;
        let _first = UnixStream::connect(&path).await?;
        let second = timeout(Duration::from_millis(20), UnixStream::connect(&path)).await;
        assert!(second.is_err(), "there is room for one");
        let third = filch::spawn(UnixStream::connect(path.0.clone()));
        while third.task().waits_at().is_none() {
            filch::yield_now().await;
        }
        listener.accept().await?;
        third.await??;
        Ok(())
    });
}

#[test]
fn all_kinds_come_from_std_and_go_there() {
    use std::io::{Read, Write};
    use std::os::unix::net as std_unix;

    everywhere(|| async {
        let (mut theirs, ours) = std_unix::UnixStream::pair()?;
        let mut ours = UnixStream::from_std(ours)?;
        let reader = filch::spawn(async move {
            ours.read_exact(&mut [0; 2]).await?;
            io::Result::Ok(ours)
        });
        while reader.task().waits_at().is_none() {
            filch::yield_now().await;
        }
        theirs.write_all(b"hi")?;
        let mut ours = reader.await??.into_std()?;
        let read = filch::spawn_blocking(move || ours.read(&mut [0; 8]));
        theirs.write_all(b"again")?;
        assert!(read.await?? > 0);

        let path = TempPath::new();
        let listener = UnixListener::from_std(std_unix::UnixListener::bind(&path)?)?;
        let _client = UnixStream::connect(&path).await?;
        listener.accept().await?;
        let listener = listener.into_std()?;
        let accepted = filch::spawn_blocking(move || listener.accept().map(drop));
        let _client = UnixStream::connect(&path).await?;
        accepted.await??;

        let (theirs, ours) = std_unix::UnixDatagram::pair()?;
        let ours = UnixDatagram::from_std(ours)?;
        theirs.send(b"hi")?;
        assert_eq!(ours.recv(&mut [0; 8]).await?, 2);
        let ours = ours.into_std()?;
        let received = filch::spawn_blocking(move || ours.recv(&mut [0; 8]));
        theirs.send(b"you")?;
        assert_eq!(received.await??, 3);
        Ok(())
    });
}

#[test]
fn datagrams_have_all_methods() {
    everywhere(|| async {
        let (one_path, other_path) = (TempPath::new(), TempPath::new());
        let (one, other) = (UnixDatagram::bind(&one_path)?, UnixDatagram::bind(&other_path)?);
        let mut buf = [0; 16];
        assert_eq!(one.send_to(b"1", &other_path).await?, 1);
        assert_eq!(poll_fn(|cx| one.poll_send_to(cx, b"22", &other_path)).await?, 2);
        assert_eq!(one.try_send_to(b"333", &other_path)?, 3);
        let (length, from) = other.recv_from(&mut buf).await?;
        assert_eq!((length, from.as_pathname()), (1, Some(one_path.as_ref())));
        assert_eq!(poll_fn(|cx| other.poll_recv_from(cx, &mut buf)).await?.0, 2);
        assert_eq!(other.try_recv_from(&mut buf)?.0, 3);
        assert_eq!(other.send_to_addr(b"back", &from).await?, 4);
        assert_eq!(one.recv(&mut buf).await?, 4);
        let nobody = UnixDatagram::unbound()?.local_addr()?;
        let error = other.send_to_addr(b"x", &nobody).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);

        let error = one.connect(TempPath::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(one.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
        one.connect(&other_path)?;
        assert_eq!(one.peer_addr()?.as_pathname(), Some(other_path.as_ref()));
        assert_eq!(one.local_addr()?.as_pathname(), Some(one_path.as_ref()));
        one.writable().await?;
        assert_eq!(one.send(b"1").await?, 1);
        assert_eq!(poll_fn(|cx| one.poll_send(cx, b"22")).await?, 2);
        assert_eq!(one.try_send(b"333")?, 3);
        other.readable().await?;
        assert_eq!(other.try_recv(&mut buf)?, 1);
        assert_eq!(poll_fn(|cx| other.poll_recv(cx, &mut buf)).await?, 2);
        assert_eq!(other.recv(&mut buf).await?, 3);
        assert_eq!(other.try_recv(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(one.take_error()?.is_none());
        assert!(format!("{one:?}").contains("UnixDatagram"));

        one.shutdown_write()?;
        assert!(one.send(b"x").await.is_err());
        let (one, other) = UnixDatagram::pair()?;
        one.shutdown_read()?;
        assert!(other.send(b"x").await.is_err());
        Ok(())
    });
}

#[test]
fn who_sends_datagrams_waits_for_who_receives_and_none_is_lost() {
    everywhere(|| async {
        const MANY: u32 = 2000;
        let path = TempPath::new();
        let receiver = Arc::new(UnixDatagram::bind(&path)?);
        let senders: Vec<_> = (0..2)
            .map(|first| {
                let path = path.0.clone();
                filch::spawn(async move {
                    let socket = UnixDatagram::unbound()?;
                    for number in (first..MANY).step_by(2) {
                        socket.send_to(&number.to_le_bytes(), &path).await?;
                    }
                    io::Result::Ok(())
                })
            })
            .collect();
        let (mut numbers, mut number) = (Vec::new(), [0; 4]);
        while numbers.len() < MANY as usize {
            assert_eq!(receiver.recv(&mut number).await?, 4);
            numbers.push(u32::from_le_bytes(number));
        }
        numbers.sort_unstable();
        assert_eq!(numbers, (0..MANY).collect::<Vec<_>>());
        for sender in senders {
            sender.await??;
        }
        Ok(())
    });
}

/// The system has no event for a socket that is not connected, has nothing on the way, and finds
/// somebody else's datagrams in the receiver's queue.
#[test]
fn who_sends_waits_for_room_also_if_others_took_it() {
    everywhere(|| async {
        let path = TempPath::new();
        let receiver = UnixDatagram::bind(&path)?;
        let (mut others, mut many) = (Vec::new(), 0);
        // Each of them has room for some, so that in the end it is the receiver who has none.
        loop {
            let other = UnixDatagram::unbound()?;
            let before = many;
            while other.try_send_to(b"others", &path).is_ok() {
                many += 1;
            }
            if many == before {
                break;
            }
            others.push(other);
        }
        let to = path.0.clone();
        let sends =
            filch::spawn(async move { UnixDatagram::unbound()?.send_to(b"mine", to).await });
        while sends.task().waits_at().is_none() {
            filch::yield_now().await;
        }
        // What the system tells of a new socket has come when it has told of one that is newer.
        for _ in 0..3 {
            let (mut one, mut other) = UnixStream::pair()?;
            let reads = filch::spawn(async move { one.read(&mut [0]).await });
            while reads.task().waits_at().is_none() {
                filch::yield_now().await;
            }
            other.write_all(b"x").await?;
            reads.await??;
        }
        for _ in 0..many {
            assert_eq!(receiver.recv(&mut [0; 8]).await?, 6);
        }
        assert_eq!(receiver.recv(&mut [0; 8]).await?, 4);
        assert_eq!(sends.await??, 4);
        Ok(())
    });
}

#[test]
fn outside_and_after_the_runtime_there_are_errors() {
    limited("after the end", || {
        let path = TempPath::new();
        let errors = [
            UnixStream::pair().unwrap_err(),
            UnixDatagram::pair().unwrap_err(),
            UnixDatagram::unbound().unwrap_err(),
            UnixListener::bind(&path).unwrap_err(),
        ];
        for error in errors {
            assert!(error.to_string().contains("outside"), "{error}");
        }
        std::fs::remove_file(&path)?;

        let runtime = Runtime::builder().worker_threads(1).build()?;
        let (mut one, two, listener) = runtime.block_on(async {
            let (one, other) = UnixStream::pair()?;
            let (two, another) = UnixDatagram::pair()?;
            io::Result::Ok(((one, other), (two, another), UnixListener::bind(&path)?))
        })?;
        drop(runtime.shutdown(Duration::ZERO));
        futures_lite::future::block_on(async {
            let errors = [
                one.0.read(&mut [0]).await.unwrap_err(),
                one.1.write_all(b"x").await.unwrap_err(),
                two.0.recv(&mut [0]).await.unwrap_err(),
                two.1.send(b"x").await.unwrap_err(),
                listener.accept().await.map(drop).unwrap_err(),
            ];
            for error in errors {
                assert!(error.to_string().contains("shut down"), "{error}");
            }
            let polled = poll_fn(|cx| Poll::Ready(listener.poll_accept(cx).is_ready()));
            assert!(polled.await);
        });
        Ok(())
    });
}

/// epoll does not tell of it: the socket has not become writable.
#[test]
fn who_waits_for_room_hears_that_the_direction_was_ended() {
    everywhere(|| async {
        let (stream, _silent) = UnixStream::pair()?;
        let (datagram, _deaf) = UnixDatagram::pair()?;
        let (stream, datagram) = (Arc::new(stream), Arc::new(datagram));
        // Full, and known to be.
        while stream.try_write(&[0; 4096]).is_ok() {}
        while datagram.try_send(&[0; 4096]).is_ok() {}
        let (writer, waiter) = (Arc::clone(&stream), Arc::clone(&stream));
        let (begins, begun) = async_channel::bounded(1);
        let writes = filch::spawn(poll_fn(move |cx| {
            let polled = Pin::new(&mut &*writer).poll_write(cx, b"x");
            let _ = begins.try_send(());
            polled
        }));
        let waits = filch::spawn(async move { waiter.writable().await });
        let sender = Arc::clone(&datagram);
        let sends = filch::spawn(async move { sender.send(b"x").await });
        begun.recv().await.unwrap();
        let tasks = [waits.task(), sends.task()];
        while tasks.iter().any(|task| task.waits_at().is_none()) {
            filch::yield_now().await;
        }
        stream.shutdown_write()?;
        datagram.shutdown_write()?;
        assert_eq!(writes.await?.unwrap_err().kind(), ErrorKind::BrokenPipe);
        waits.await??;
        assert_eq!(sends.await?.unwrap_err().kind(), ErrorKind::BrokenPipe);
        Ok(())
    });
}
