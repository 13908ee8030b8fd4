//! What the system may do to a runtime.

mod support;

/// The child of a fork has none of the runtime's threads. It is told so, and can make its own.
#[cfg(unix)]
#[test]
fn a_forked_child_is_told() {
    use std::io::Write as _;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    // Forking a process in which other tests run would copy their locks, so this one forks a
    // process of its own.
    if std::env::var("FILCH_TEST_CHILD").is_err() {
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_forked_child_is_told", "--nocapture", "--test-threads=1"])
            .env("FILCH_TEST_CHILD", "1")
            .status()
            .unwrap();
        assert!(status.success());
        return;
    }
    let runtime = filch::Runtime::builder().worker_threads(2).build().unwrap();
    assert_eq!(runtime.block_on(runtime.spawn(async { 1 })).unwrap(), 1);
    support::hush_panics("forked");
    #[allow(unsafe_code)]
    // SAFETY: the child calls only what the runtime promises to work there, and leaves by
    // `_exit`. (std has no fork.)
    let child = unsafe { libc::fork() };
    if child == 0 {
        let told = |f: &dyn Fn()| {
            let payload = catch_unwind(AssertUnwindSafe(f)).err();
            let text = payload.and_then(|payload| payload.downcast::<&str>().ok());
            text.is_some_and(|text| text.contains("forked") && text.contains("filch::Runtime"))
        };
        let ok = told(&|| drop(runtime.spawn(async {})))
            && told(&|| runtime.block_on(async {}))
            && told(&|| drop(runtime.spawn_blocking(|| {})))
            && {
                let own = filch::Runtime::builder().worker_threads(2).build().unwrap();
                let value = own.block_on(own.spawn(async { filch::yield_now().await }));
                std::mem::forget(own);
                value.is_ok()
            };
        let _ = std::io::stdout().flush();
        #[allow(unsafe_code)]
        // SAFETY: ends the process at once; nothing is to be cleaned up.
        unsafe {
            libc::_exit(if ok { 0 } else { 1 })
        };
    }
    assert!(child > 0, "fork failed");
    let mut status = 0;
    #[allow(unsafe_code)]
    // SAFETY: waits for our own child.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!((waited, status), (child, 0), "the child was not told, or could not go on");
    // The parent has noticed nothing.
    assert_eq!(runtime.block_on(runtime.spawn(async { 2 })).unwrap(), 2);
}

/// What a forked child does with sockets concerns neither its parent's poller nor its parent's sockets.
#[cfg(unix)]
#[test]
fn a_forked_child_leaves_the_sockets_of_its_parent_alone() {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::Duration;

    use filch::io::{AsyncFd, Direction};

    if std::env::var("FILCH_TEST_CHILD").is_err() {
        let name = "a_forked_child_leaves_the_sockets_of_its_parent_alone";
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture", "--test-threads=1"])
            .env("FILCH_TEST_CHILD", "1")
            .status()
            .unwrap();
        assert!(status.success());
        return;
    }
    fn watched() -> (AsyncFd<UnixStream>, UnixStream) {
        let (one, other) = UnixStream::pair().unwrap();
        one.set_nonblocking(true).unwrap();
        (AsyncFd::new(one).unwrap(), other)
    }
    /// Forks; the child answers whether all was well.
    fn fork(child: impl FnOnce() -> bool) {
        #[allow(unsafe_code)]
        // SAFETY: the child calls only what the runtime promises to work there, and leaves by `_exit`.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let ok = catch_unwind(AssertUnwindSafe(child)).unwrap_or(false);
            #[allow(unsafe_code)]
            // SAFETY: ends the process at once; nothing is to be cleaned up.
            unsafe {
                libc::_exit(if ok { 0 } else { 1 })
            };
        }
        let mut status = 0;
        #[allow(unsafe_code)]
        // SAFETY: waits for our own child.
        let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
        assert_eq!((waited, status), (pid, 0), "the child could not do what it should");
    }
    fn is_told() -> bool {
        let payload = catch_unwind(|| drop(watched())).err();
        let text = payload.and_then(|payload| payload.downcast::<&str>().ok());
        text.is_some_and(|text| text.contains("forked") && text.contains("filch::Runtime"))
    }
    support::hush_panics("forked");
    let runtime = filch::Runtime::builder().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        // Before there is a driver: one made by the child would be nobody's.
        fork(is_told);
        let (stream, mut peer) = watched();
        let mut stream = Some(stream);
        fork(|| {
            drop(stream.take());
            is_told()
        });
        let stream = stream.expect("the child dropped its own");
        let mut reader = filch::spawn(async move {
            // The first try finds nothing, so the event is needed.
            stream.io(Direction::Read, |mut stream| stream.read(&mut [0; 9])).await
        });
        let _ = filch::timeout(Duration::from_millis(20), &mut reader).await;
        peer.write_all(b"news").unwrap();
        let read = filch::timeout(Duration::from_secs(20), &mut reader).await;
        assert_eq!(read.expect("its event was lost").unwrap().unwrap(), 4);
    });
}
