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
