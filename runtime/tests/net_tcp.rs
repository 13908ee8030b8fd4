//! TCP streams: reading, writing, ends, halves, errors. (Listeners: `net_accept.rs`.)

mod support;

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use filch::Runtime;
use filch::net::{TcpListener, TcpStream};
use futures_lite::{AsyncReadExt, AsyncWriteExt};

use support::sockets::{HERE, STUCK, dead_address, everywhere, limited, pattern, tcp_pair};

const MB: usize = 1 << 20;

#[test]
fn everything_comes_and_in_order() {
    everywhere(|| async {
        let (mut one, mut other) = tcp_pair().await?;
        other.write_all(b"hello ").await?;
        let written = other.write_vectored(&[IoSlice::new(b"wor"), IoSlice::new(b"ld")]).await?;
        assert_eq!(written, 5);
        other.flush().await?;
        let (mut first, mut second, mut rest) = ([0; 2], [0; 2], [0; 7]);
        one.read_exact(&mut first).await?;
        let bufs = &mut [IoSliceMut::new(&mut second), IoSliceMut::new(&mut [])];
        assert_eq!(one.read_vectored(bufs).await?, 2);
        one.read_exact(&mut rest).await?;
        assert_eq!((&first, &second, &rest), (b"he", b"ll", b"o world"));
        Ok(())
    });
}

#[test]
fn nothing_is_read_or_written_at_once() {
    everywhere(|| async {
        let (mut one, _other) = tcp_pair().await?;
        // The peer sends nothing: if these waited, it would be for ever.
        assert_eq!(one.read(&mut []).await?, 0);
        assert_eq!(one.read_vectored(&mut []).await?, 0);
        one.read_exact(&mut []).await?;
        assert_eq!(one.write(&[]).await?, 0);
        assert_eq!(one.write_vectored(&[IoSlice::new(&[])]).await?, 0);
        one.write_all(&[]).await
    });
}

#[test]
fn the_end_stays_the_end() {
    everywhere(|| async {
        let (mut one, mut other) = tcp_pair().await?;
        other.write_all(b"bye").await?;
        drop(other);
        let mut buf = [0; 2];
        one.read_exact(&mut buf).await?;
        let error = one.read_exact(&mut buf).await.unwrap_err();
        assert_eq!((error.kind(), buf[0]), (ErrorKind::UnexpectedEof, b'e'));
        for _ in 0..3 {
            assert_eq!(one.read(&mut buf).await?, 0);
            assert_eq!(one.try_read(&mut buf)?, 0);
            assert_eq!(one.peek(&mut buf).await?, 0);
            assert_eq!(one.read_to_end(&mut Vec::new()).await?, 0);
        }
        Ok(())
    });
}

#[test]
fn each_direction_ends_by_itself() {
    everywhere(|| async {
        let (mut one, mut other) = tcp_pair().await?;
        one.write_all(b"question").await?;
        one.close().await?;
        one.close().await?;
        one.shutdown_write()?;
        let mut text = String::new();
        assert_eq!(other.read_to_string(&mut text).await?, 8);
        assert_eq!(one.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        // The other way round it is still open.
        other.write_all(b"answer").await?;
        other.shutdown_write()?;
        assert_eq!(one.read_to_string(&mut text).await?, 6);
        assert_eq!(text, "questionanswer");
        Ok(())
    });
}

#[test]
fn ending_the_reading_direction_wakes_who_reads() {
    everywhere(|| async {
        let (one, _other) = tcp_pair().await?;
        let one = Arc::new(one);
        let reader = Arc::clone(&one);
        let reader = filch::spawn(async move {
            reader.readable().await?;
            (&*reader).read(&mut [0]).await
        });
        wait_until_it_waits(reader.task()).await;
        one.shutdown_read()?;
        assert_eq!(reader.await??, 0);
        Ok(())
    });
}

/// The task has begun to wait for a socket. (Then events, not luck, must wake it.)
async fn wait_until_it_waits(task: filch::task::Task) {
    while task.waits_at().is_none() {
        filch::yield_now().await;
    }
}

#[test]
fn a_task_is_said_to_wait_where_it_awaits() {
    everywhere(|| async {
        let listener = TcpListener::bind(HERE).await?;
        let address = listener.local_addr()?;
        let accepts =
            filch::spawn(async move { listener.accept().await.map(|(stream, _)| stream) });
        let at = line!() - 1;
        wait_until_it_waits(accepts.task()).await;
        let site = accepts.task().waits_at().unwrap();
        assert_eq!((site.file(), site.line()), (file!(), at));

        let client = TcpStream::connect(address).await?;
        let mut server = accepts.await??;
        let reads = filch::spawn(async move { server.read_exact(&mut [0]).await });
        let at = line!() - 1;
        wait_until_it_waits(reads.task()).await;
        assert_eq!(reads.task().waits_at().map(|site| site.line()), Some(at));
        drop(client);
        assert_eq!(reads.await?.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        Ok(())
    });
}

#[test]
fn a_reset_ends_a_write_that_waits() {
    everywhere(|| async {
        let (mut one, other) = tcp_pair().await?;
        let writer = filch::spawn(async move {
            let page = vec![0; MB];
            loop {
                if let Err(error) = one.write_all(&page).await {
                    return (error.kind(), one);
                }
            }
        });
        wait_until_it_waits(writer.task()).await;
        other.set_linger(Some(Duration::ZERO))?;
        drop(other);
        let (kind, mut one) = writer.await?;
        assert!(matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{kind:?}");
        // And for good. (An end is told once the error is.)
        assert!(!matches!(one.read(&mut [0]).await, Ok(1..)));
        assert!(one.write(b"x").await.is_err());
        one.close().await
    });
}

#[test]
fn a_reset_ends_a_read_that_waits() {
    everywhere(|| async {
        let (mut one, other) = tcp_pair().await?;
        let reader = filch::spawn(async move { one.read(&mut [0]).await });
        wait_until_it_waits(reader.task()).await;
        other.set_linger(Some(Duration::ZERO))?;
        assert_eq!(other.linger()?, Some(Duration::ZERO));
        drop(other);
        assert_eq!(reader.await?.unwrap_err().kind(), ErrorKind::ConnectionReset);
        Ok(())
    });
}

#[test]
fn a_slow_reader_gets_every_byte() {
    everywhere(|| async {
        const LENGTH: usize = 24 * MB + 3;
        let (mut one, mut other) = tcp_pair().await?;
        let writer = filch::spawn(async move {
            let text = pattern(LENGTH);
            // Pieces of all sizes, as the system takes them.
            let (mut at, mut waited) = (0, 0);
            while at < LENGTH / 2 {
                match one.try_write(&text[at..]) {
                    Ok(written) => at += written,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        waited += 1;
                        one.writable().await?;
                    }
                    Err(error) => return Err(error),
                }
            }
            one.write_all(&text[at..]).await?;
            one.close().await?;
            io::Result::Ok(waited)
        });
        // The system takes less than that before anybody reads.
        wait_until_it_waits(writer.task()).await;
        let (mut text, mut buf) = (Vec::with_capacity(LENGTH), vec![0; 70_000]);
        let mut size = 1;
        loop {
            size = size * 7 % 69_997 + 1;
            match other.read(&mut buf[..size]).await? {
                0 => break,
                read => text.extend_from_slice(&buf[..read]),
            }
            filch::yield_now().await;
        }
        assert!(text == pattern(LENGTH), "{} bytes came, or in disorder", text.len());
        assert!(writer.await?? > 0, "the system never said that it is full");
        Ok(())
    });
}

#[test]
fn text_is_read_to_the_end_or_not_at_all() {
    everywhere(|| async {
        let (mut one, mut other) = tcp_pair().await?;
        let long = "größer ".repeat(50_000);
        let written = long.clone();
        let writer = filch::spawn(async move {
            other.write_all(written.as_bytes()).await?;
            other.close().await
        });
        let mut text = String::from("before ");
        assert_eq!(one.read_to_string(&mut text).await?, long.len());
        assert!(text.strip_prefix("before ") == Some(&long));
        writer.await??;

        let (mut one, mut other) = tcp_pair().await?;
        other.write_all(b"fine \xff").await?;
        drop(other);
        let error = one.read_to_string(&mut text).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert_eq!(text.len(), "before ".len() + long.len(), "nothing is appended");
        Ok(())
    });
}

#[test]
fn what_came_before_a_cancel_is_in_the_buffer_of_read_to_end() {
    everywhere(|| async {
        let (mut one, mut other) = tcp_pair().await?;
        other.write_all(b"first ").await?;
        let mut text = b"> ".to_vec();
        {
            let mut reading = Box::pin(one.read_to_end(&mut text));
            // It has read, and waits for more.
            let is_pending = poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx).is_pending()));
            assert!(is_pending.await);
        }
        let before = text.clone();
        other.write_all(b"second").await?;
        drop(other);
        one.read_to_end(&mut text).await?;
        assert!(text.starts_with(&before));
        assert_eq!(text, b"> first second");
        Ok(())
    });
}

#[test]
fn peeking_takes_nothing_out() {
    everywhere(|| async {
        let (mut one, mut other) = tcp_pair().await?;
        other.write_all(b"ab").await?;
        let mut buf = [0; 8];
        for _ in 0..3 {
            let peeked = one.peek(&mut buf).await?;
            assert!(peeked >= 1 && buf[0] == b'a');
        }
        assert!(poll_fn(|cx| one.poll_peek(cx, &mut buf)).await? >= 1);
        let mut two = [0; 2];
        one.read_exact(&mut two).await?;
        assert_eq!(&two, b"ab");
        Ok(())
    });
}

#[test]
fn trying_does_not_wait() {
    everywhere(|| async {
        let (one, other) = tcp_pair().await?;
        let mut buf = [0; 8];
        let kind = |result: io::Result<usize>| result.unwrap_err().kind();
        assert_eq!(kind(one.try_read(&mut buf)), ErrorKind::WouldBlock);
        assert_eq!(
            kind(one.try_read_vectored(&mut [IoSliceMut::new(&mut buf)])),
            ErrorKind::WouldBlock
        );
        other.writable().await?;
        assert_eq!(other.try_write_vectored(&[IoSlice::new(b"a"), IoSlice::new(b"b")])?, 2);
        let mut came = Vec::new();
        while came.len() < 2 {
            one.readable().await?;
            match one.try_read(&mut buf[..1]) {
                Ok(read) => came.extend_from_slice(&buf[..read]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        assert_eq!(came, b"ab");
        while other.try_write(&[0; 4096]).is_ok() {}
        assert_eq!(kind(other.try_write(&[0])), ErrorKind::WouldBlock);
        Ok(())
    });
}

#[test]
fn two_tasks_use_one_stream_through_references() {
    everywhere(|| async {
        let (one, other) = tcp_pair().await?;
        let one = Arc::new(one);
        let echo = filch::spawn(async move {
            let (reader, writer) = (&other, &other);
            futures_lite::io::copy(reader, writer).await?;
            other.shutdown_write()
        });
        let writer = Arc::clone(&one);
        let writer = filch::spawn(async move {
            (&*writer).write_all(&pattern(MB)).await?;
            (&*writer).close().await
        });
        let mut text = Vec::new();
        (&*one).read_to_end(&mut text).await?;
        assert!(text == pattern(MB));
        writer.await??;
        echo.await?
    });
}

#[test]
fn halves_work_at_the_same_time_and_come_together_again() {
    everywhere(|| async {
        let (one, other) = tcp_pair().await?;
        let address = one.local_addr()?;
        let (mut reader, mut writer) = one.into_split();
        let (mut other_reader, mut other_writer) = other.into_split();
        let echo = filch::spawn(async move {
            let mut buf = vec![0; 1000];
            loop {
                match other_reader.read(&mut buf).await? {
                    0 => return io::Result::Ok(()),
                    read => other_writer.write_all(&buf[..read]).await?,
                }
            }
        });
        let writing = filch::spawn(async move {
            writer.write_all(&pattern(MB)).await?;
            io::Result::Ok(writer)
        });
        let mut text = vec![0; MB];
        reader.read_exact(&mut text).await?;
        assert!(text == pattern(MB));
        let mut one = writing.await??.reunite(reader).map_err(io::Error::other)?;
        assert_eq!(one.local_addr()?, address);
        one.write_all(b"more").await?;
        let mut more = [0; 4];
        one.read_exact(&mut more).await?;
        assert_eq!(&more, b"more");
        drop(one);
        echo.await?
    });
}

#[test]
fn halves_have_all_methods() {
    everywhere(|| async {
        let (one, other) = tcp_pair().await?;
        let (mut reader, _keep) = one.into_split();
        let (_other_reader, mut writer) = other.into_split();
        assert!(writer.as_ref().peer_addr()? == reader.as_ref().local_addr()?);
        writer.writable().await?;
        assert_eq!(writer.try_write(b"a")?, 1);
        assert_eq!(writer.try_write_vectored(&[IoSlice::new(b"b")])?, 1);
        assert_eq!(writer.write(b"c").await?, 1);
        assert_eq!(writer.write_vectored(&[IoSlice::new(b"d")]).await?, 1);
        writer.write_all(b"e").await?;
        writer.flush().await?;
        (&writer).write_all(b"f").await?;
        reader.readable().await?;
        let mut a = [0];
        assert_eq!(reader.try_read(&mut a)?, 1);
        let mut bcd = [0; 3];
        reader.read_exact(&mut bcd).await?;
        let (mut e, mut f) = ([0], [0]);
        assert_eq!(reader.read_vectored(&mut [IoSliceMut::new(&mut e)]).await?, 1);
        assert_eq!((&reader).read(&mut f).await?, 1);
        assert_eq!((a, bcd, e, f), (*b"a", *b"bcd", *b"e", *b"f"));
        writer.write_all(b"end").await?;
        writer.close().await?;
        let mut text = String::new();
        reader.read_to_string(&mut text).await?;
        reader.read_to_end(&mut Vec::new()).await?;
        assert_eq!(text, "end");
        Ok(())
    });
}

#[test]
fn dropping_the_writing_half_ends_its_direction_unless_it_is_forgotten() {
    everywhere(|| async {
        let (one, mut other) = tcp_pair().await?;
        let (mut reader, writer) = one.into_split();
        drop(writer);
        assert_eq!(other.read(&mut [0]).await?, 0);
        other.write_all(b"x").await?;
        assert_eq!(reader.read(&mut [0]).await?, 1, "the reading half goes on");

        let (one, mut other) = tcp_pair().await?;
        let (reader, writer) = one.into_split();
        writer.forget();
        assert_eq!(other.try_read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(reader);
        assert_eq!(other.read(&mut [0]).await?, 0);

        // A reading half that is dropped leaves the writing one alone.
        let (one, mut other) = tcp_pair().await?;
        let (reader, mut writer) = one.into_split();
        drop(reader);
        writer.write_all(b"x").await?;
        assert_eq!(other.read(&mut [0]).await?, 1);
        Ok(())
    });
}

#[test]
fn halves_of_different_streams_are_given_back() {
    everywhere(|| async {
        let ((one, mut one_peer), (two, mut two_peer)) = (tcp_pair().await?, tcp_pair().await?);
        let ((one_read, one_write), (two_read, two_write)) = (one.into_split(), two.into_split());
        let error = one_read.reunite(two_write).unwrap_err();
        assert!(error.to_string().contains("different streams"));
        // Nothing was shut down by the attempt.
        let mut one = error.read.reunite(one_write).map_err(io::Error::other)?;
        let mut two = error.write.reunite(two_read).map_err(io::Error::other)?;
        one.write_all(b"1").await?;
        two.write_all(b"2").await?;
        let (mut first, mut second) = ([0], [0]);
        one_peer.read_exact(&mut first).await?;
        two_peer.read_exact(&mut second).await?;
        assert_eq!((first, second), (*b"1", *b"2"));
        Ok(())
    });
}

#[test]
fn refused_connections_tell_where() {
    everywhere(|| async {
        let dead = dead_address();
        let error = TcpStream::connect(dead).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(error.to_string().contains(&dead.to_string()), "{error}");
        Ok(())
    });
}

#[test]
fn addresses_are_tried_one_after_the_other() {
    everywhere(|| async {
        let listener = TcpListener::bind(HERE).await?;
        let (dead, live) = (dead_address(), listener.local_addr()?);
        let stream = TcpStream::connect([dead, live]).await?;
        assert_eq!(stream.peer_addr()?, live);
        let stream = TcpStream::connect(vec![live, dead]).await?;
        assert_eq!(stream.peer_addr()?, live);

        let other = dead_address();
        let error = TcpStream::connect([dead, other]).await.unwrap_err().to_string();
        assert!(error.contains(&dead.to_string()) && error.contains(&other.to_string()), "{error}");

        let none: [SocketAddr; 0] = [];
        let error = TcpStream::connect(none).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("no address"), "{error}");
        Ok(())
    });
}

#[test]
fn options_are_the_systems() {
    everywhere(|| async {
        let (one, other) = tcp_pair().await?;
        for on in [true, false] {
            one.set_nodelay(on)?;
            assert_eq!(one.nodelay()?, on);
        }
        one.set_ttl(17)?;
        assert_eq!(one.ttl()?, 17);
        assert_eq!(one.linger()?, None);
        one.set_linger(Some(Duration::from_secs(3)))?;
        assert_eq!(one.linger()?, Some(Duration::from_secs(3)));
        one.set_linger(None)?;
        one.set_keepalive(Some(Duration::from_secs(77)))?;
        assert!(one.keepalive()?);
        #[cfg(target_os = "linux")]
        assert_eq!(socket2::SockRef::from(&one).tcp_keepalive_time()?, Duration::from_secs(77));
        one.set_keepalive(None)?;
        assert!(!one.keepalive()?);
        assert!(one.take_error()?.is_none());
        assert_eq!(one.peer_addr()?, other.local_addr()?);
        assert_eq!(other.peer_addr()?, one.local_addr()?);
        assert!(format!("{one:?}").contains("TcpStream"));
        Ok(())
    });
}

#[test]
fn streams_come_from_std_and_go_there() {
    everywhere(|| async {
        use std::io::{Read, Write};
        let listener = std::net::TcpListener::bind(HERE)?;
        let theirs = std::net::TcpStream::connect(listener.local_addr()?)?;
        let (ours, _) = listener.accept()?;
        let mut ours = TcpStream::from_std(ours)?;
        let reader = filch::spawn(async move {
            let mut buf = [0; 5];
            ours.read_exact(&mut buf).await?;
            io::Result::Ok((buf, ours))
        });
        wait_until_it_waits(reader.task()).await;
        (&theirs).write_all(b"hello")?;
        let (buf, ours) = reader.await??;
        assert_eq!(&buf, b"hello");
        // It blocks again: this read waits for a thread that writes.
        let mut ours = ours.into_std()?;
        let writer = std::thread::spawn(move || {
            std::thread::yield_now();
            (&theirs).write_all(b"again")
        });
        let mut buf = [0; 5];
        filch::spawn_blocking(move || {
            ours.read_exact(&mut buf)?;
            assert_eq!(&buf, b"again");
            // And forth once more.
            io::Result::Ok(())
        })
        .await??;
        writer.join().unwrap()
    });
}

#[test]
fn local_tasks_use_sockets() {
    everywhere(|| async {
        let (mut one, mut other) = tcp_pair().await?;
        let echo = filch::spawn_local(move || async move {
            let not_send = std::rc::Rc::new(());
            let mut buf = [0; 3];
            for _ in 0..100 {
                other.read_exact(&mut buf).await?;
                other.write_all(&buf).await?;
            }
            drop(not_send);
            io::Result::Ok(())
        });
        let mut buf = [0; 3];
        for round in 0..100 {
            one.write_all(&[round; 3]).await?;
            one.read_exact(&mut buf).await?;
            assert_eq!(buf, [round; 3]);
        }
        echo.await?
    });
}

#[test]
fn outside_a_runtime_there_is_an_error_that_says_so() {
    limited("outside", || {
        let std = std::net::TcpListener::bind(HERE)?;
        let address = std.local_addr()?;
        let errors = [
            futures_lite::future::block_on(TcpStream::connect(address)).unwrap_err(),
            futures_lite::future::block_on(TcpListener::bind(HERE)).unwrap_err(),
            TcpListener::from_std(std).unwrap_err(),
        ];
        for error in errors {
            let text = error.to_string();
            assert!(text.contains("outside") && text.contains("filch::run"), "{text}");
        }
        Ok(())
    });
}

#[test]
fn after_the_runtime_was_shut_down_everything_fails_and_nothing_hangs() {
    limited("after the end", || {
        let runtime = Runtime::builder().worker_threads(2).build()?;
        let (mut one, mut other, listener, waits) = runtime.block_on(async {
            let (one, other) = tcp_pair().await?;
            let listener = TcpListener::bind(HERE).await?;
            io::Result::Ok((one, other, listener, tcp_pair().await?))
        })?;
        // Somebody outside waits while the runtime ends.
        let (mut waiting, _keep) = waits;
        let (begun, has_begun) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            futures_lite::future::block_on(async {
                let mut buf = [0];
                let mut read = Box::pin(waiting.read(&mut buf));
                let pending = poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx).is_pending()));
                assert!(pending.await);
                begun.send(()).unwrap();
                read.await
            })
        });
        has_begun.recv_timeout(STUCK).unwrap();
        drop(runtime.shutdown(Duration::ZERO));
        let error = thread.join().unwrap().unwrap_err();
        assert!(error.to_string().contains("shut down"), "{error}");

        let next = Runtime::builder().worker_threads(1).build()?;
        next.block_on(async {
            let errors = [
                one.read(&mut [0]).await.unwrap_err(),
                one.write(b"x").await.unwrap_err(),
                one.readable().await.unwrap_err(),
                one.try_write(b"x").unwrap_err(),
                other.read_to_end(&mut Vec::new()).await.unwrap_err(),
                listener.accept().await.unwrap_err(),
                poll_fn(|cx| listener.poll_accept(cx)).await.unwrap_err(),
            ];
            for error in errors {
                assert!(error.to_string().contains("shut down"), "{error}");
            }
            // The way to take it along: through std.
            let mut one = TcpStream::from_std(one.into_std()?)?;
            let mut other = TcpStream::from_std(other.into_std()?)?;
            one.write_all(b"x").await?;
            other.read_exact(&mut [0]).await
        })
    });
}
