//! Accepting connections: by several, with limits, without file descriptors.

mod support;

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::TcpStream as StdStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use filch::net::{TcpListener, TcpStream};
use filch::timeout;
use futures_lite::StreamExt;

use support::sockets::{HERE, alone, everywhere};

/// A child that is being started has all sockets of this process until it becomes another program: meanwhile none of them
/// is closed, and a test that counts on that must not run.
static NO_CHILD_IS_STARTED: Mutex<()> = Mutex::new(());

fn no_child_is_started() -> MutexGuard<'static, ()> {
    NO_CHILD_IS_STARTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The connections of a round: fewer than a listener's queue takes.
const CLIENTS: usize = 100;

#[test]
fn all_ways_to_accept() {
    everywhere(|| async {
        let listener = TcpListener::bind(HERE).await?;
        let address = listener.local_addr()?;
        assert_eq!(listener.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        let clients: Vec<_> = (0..6).map(|_| StdStream::connect(address).unwrap()).collect();
        let peers: Vec<_> = clients.iter().map(|client| client.local_addr().unwrap()).collect();
        let (mut one, peer) = listener.accept().await?;
        assert_eq!((peer, one.peer_addr()?, one.local_addr()?), (peers[0], peers[0], address));
        assert_eq!(listener.try_accept()?.1, peers[1]);
        assert_eq!(poll_fn(|cx| listener.poll_accept(cx)).await?.1, peers[2]);
        let mut incoming = listener.incoming();
        for peer in &peers[3..5] {
            assert_eq!(incoming.next().await.unwrap()?.peer_addr()?, *peer);
        }
        drop(incoming);
        assert_eq!(listener.accept().await?.1, peers[5]);
        assert_eq!(listener.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(clients);
        assert_eq!(one.read(&mut [0]).await?, 0);

        listener.set_ttl(33)?;
        assert_eq!(listener.ttl()?, 33);
        assert!(listener.take_error()?.is_none());
        assert!(format!("{listener:?}").contains("TcpListener"));
        Ok(())
    });
}

#[test]
fn an_address_in_use_is_told_and_the_next_one_is_taken() {
    let _closes = no_child_is_started();
    everywhere(|| async {
        let first = TcpListener::bind(alone()).await?;
        let taken = first.local_addr()?;
        let error = TcpListener::bind(taken).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&taken.to_string()), "{error}");
        let second = TcpListener::bind([taken, HERE.parse().unwrap()]).await?;
        assert_ne!(second.local_addr()?, taken);
        let none = TcpListener::bind(Vec::new()).await.unwrap_err();
        assert_eq!(none.kind(), ErrorKind::InvalidInput);

        // Connections that linger keep nobody from binding again.
        let client = TcpStream::connect(taken).await?;
        let (server, _) = first.accept().await?;
        drop((server, first));
        TcpListener::bind(taken).await?;
        drop(client);
        Ok(())
    });
}

#[test]
fn listeners_come_from_std_and_go_there() {
    everywhere(|| async {
        let listener = TcpListener::from_std(std::net::TcpListener::bind(HERE)?)?;
        let client = TcpStream::connect(listener.local_addr()?).await?;
        listener.accept().await?;
        let listener = listener.into_std()?;
        drop(client);
        let client = TcpStream::connect(listener.local_addr()?);
        // It blocks again.
        let accepted = filch::spawn_blocking(move || listener.accept());
        let client = client.await?;
        assert_eq!(accepted.await??.1, client.local_addr()?);
        Ok(())
    });
}

#[test]
fn several_tasks_accept_on_one_listener() {
    let _closes = no_child_is_started();
    everywhere(|| async {
        let listener = Arc::new(TcpListener::bind(alone()).await?);
        let address = listener.local_addr()?;
        let accepted = Arc::new(AtomicUsize::new(0));
        let (all, wait) = async_channel::bounded::<()>(1);
        let tasks: Vec<_> = (0..3)
            .map(|_| {
                let (listener, accepted) = (Arc::clone(&listener), Arc::clone(&accepted));
                let all = all.clone();
                filch::spawn(async move {
                    loop {
                        let stream = listener.accept().await.unwrap();
                        drop(stream);
                        if accepted.fetch_add(1, Ordering::Relaxed) + 1 == CLIENTS {
                            all.send(()).await.unwrap();
                        }
                    }
                })
            })
            .collect();
        for _ in 0..CLIENTS {
            TcpStream::connect(address).await?;
        }
        wait.recv().await.unwrap();

        // A listener goes when the last who accepts is gone.
        drop(listener);
        assert!(tasks.iter().all(|task| task.abort()));
        for task in tasks {
            assert!(task.await.unwrap_err().is_cancelled());
        }
        let error = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(accepted.load(Ordering::Relaxed), CLIENTS);
        Ok(())
    });
}

#[test]
fn an_accept_that_is_given_up_loses_no_connection() {
    everywhere(|| async {
        let listener = TcpListener::bind(HERE).await?;
        let address = listener.local_addr()?;
        let clients = filch::spawn(async move {
            let mut clients = Vec::new();
            for _ in 0..CLIENTS {
                clients.push(TcpStream::connect(address).await?);
                filch::yield_now().await;
            }
            io::Result::Ok(clients)
        });
        let (mut accepted, mut given_up) = (0, 0);
        while accepted < CLIENTS || given_up == 0 {
            match timeout(Duration::from_micros(20), listener.accept()).await {
                Ok(stream) => accepted += usize::from(stream.is_ok()),
                Err(_) => given_up += 1,
            }
        }
        assert_eq!(clients.await??.len(), CLIENTS);
        // All were accepted, and each once.
        assert_eq!(listener.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        Ok(())
    });
}

/// Of two who wait for a connection one is woken and gives up instead of accepting it: the other must have it.
#[test]
fn a_connection_is_not_lost_with_the_one_who_was_woken_for_it() {
    everywhere(|| async {
        for _ in 0..50 {
            let listener = Arc::new(TcpListener::bind(HERE).await?);
            let address = listener.local_addr()?;
            let accepting = || {
                let listener = Arc::clone(&listener);
                filch::spawn(async move { listener.accept().await.map(drop) })
            };
            let (first, second) = (accepting(), accepting());
            for task in [&first, &second] {
                while task.task().waits_at().is_none() {
                    filch::yield_now().await;
                }
            }
            let client = TcpStream::connect(address).await?;
            first.abort();
            match first.await {
                // It was aborted in time: the other one has it.
                Err(_) => second.await??,
                Ok(accepted) => {
                    accepted?;
                    let other = TcpStream::connect(address).await?;
                    second.await??;
                    drop(other);
                }
            }
            drop(client);
        }
        Ok(())
    });
}

#[cfg(target_os = "linux")]
mod shortage {
    use std::fs::File;
    use std::process::Command;
    use std::task::Poll;

    use filch::Runtime;
    use filch::net::UnixListener;

    use super::*;
    use crate::support::sockets::limited;

    const CHILD: &str = "FILCH_TEST_SHORTAGE";

    /// Runs a test in a process with few file descriptors, and answers what it says on stderr.
    fn with_few_descriptors(name: &str) -> String {
        let _starts = no_child_is_started();
        let output = Command::new("sh")
            .args(["-c", "ulimit -n 80 && exec \"$0\" \"$@\""])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture", "--test-threads=1"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let (out, err) = (output.stdout, output.stderr);
        let err = String::from_utf8_lossy(&err).into_owned();
        let out = String::from_utf8_lossy(&out);
        println!("{out}{err}");
        assert!(output.status.success() && out.contains("1 passed"), "{name} failed");
        err
    }

    /// Takes all that are left.
    fn hoard() -> Vec<File> {
        std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
    }

    #[test]
    fn without_descriptors_accept_tries_again_and_says_so_once() {
        if std::env::var_os(CHILD).is_none() {
            let said = with_few_descriptors(
                "shortage::without_descriptors_accept_tries_again_and_says_so_once",
            );
            let lines: Vec<_> = said.lines().filter(|line| line.starts_with("filch:")).collect();
            let [tcp, unix] = lines[..] else { panic!("{lines:?}") };
            assert!(tcp.contains("127.0.0.1:") && unix.contains("filch-test"), "{lines:?}");
            for line in lines {
                assert!(line.contains("os error 24") && line.contains("ulimit -n"), "{line}");
            }
            return;
        }
        limited("in the child", || {
            let runtime = Runtime::builder().worker_threads(2).build()?;
            runtime.block_on(async {
                let listener = TcpListener::bind(HERE).await?;
                let address = listener.local_addr()?;
                let connect = |many: usize| -> Vec<StdStream> {
                    (0..many).map(|_| StdStream::connect(address).unwrap()).collect()
                };
                // Two rounds: the second is no news.
                for _ in 0..2 {
                    let clients = connect(10);
                    let hoarded = hoard();
                    assert!(hoarded.len() > 20);
                    for _ in 0..3 {
                        // It waits, does not fail, and can be given up.
                        let accepted = timeout(Duration::from_millis(40), listener.accept()).await;
                        assert!(accepted.is_err(), "there are none left to accept with");
                    }
                    let polled = poll_fn(|cx| Poll::Ready(listener.poll_accept(cx).is_pending()));
                    assert!(polled.await);
                    let recovers = async {
                        let first = listener.accept().await?;
                        let second = poll_fn(|cx| listener.poll_accept(cx)).await?;
                        let mut rest: Vec<TcpStream> =
                            listener.incoming().take(8).try_collect().await?;
                        rest.extend([first.0, second.0]);
                        io::Result::Ok(rest)
                    };
                    let mut recovers = Box::pin(recovers);
                    let pending =
                        poll_fn(|cx| Poll::Ready(recovers.as_mut().poll(cx).is_pending()));
                    assert!(pending.await);
                    drop(hoarded);
                    assert_eq!(recovers.await?.len(), 10, "none is lost");
                    drop(clients);
                }

                let path = std::env::temp_dir().join(format!("filch-test-{}", std::process::id()));
                let listener = UnixListener::bind(&path)?;
                let client = std::os::unix::net::UnixStream::connect(&path)?;
                std::fs::remove_file(&path)?;
                let hoarded = hoard();
                let mut accepts = Box::pin(listener.accept());
                let pending = poll_fn(|cx| Poll::Ready(accepts.as_mut().poll(cx).is_pending()));
                assert!(pending.await);
                drop(hoarded);
                accepts.await?;
                drop(client);
                Ok(())
            })
        });
    }
}
