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
    assert_eq!(runtime.block_on(runtime.spawn_compute(|| 1)).unwrap(), 1);
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
            && told(&|| drop(runtime.spawn_compute(|| {})))
            && {
                let own = filch::Runtime::builder().worker_threads(2).build().unwrap();
                let value = own.block_on(own.spawn(async { filch::yield_now().await }));
                let halves = own.block_on(own.spawn_compute(|| rayon::join(|| 1, || 2)));
                std::mem::forget(own);
                value.is_ok() && halves.is_ok()
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
    assert_eq!(runtime.block_on(runtime.spawn_compute(|| 2)).unwrap(), 2);
}

/// Is this a process that was started for this test alone? If not, it is started, and the test is over.
#[cfg(target_os = "linux")]
fn in_a_process_of_its_own(test: &str) -> bool {
    if std::env::var("FILCH_TEST_CHILD").as_deref() == Ok(test) {
        return true;
    }
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env("FILCH_TEST_CHILD", test)
        // Else glibc maps 64 MiB for every thread that allocates: more than some tests leave.
        .env("MALLOC_ARENA_MAX", "1")
        .status()
        .unwrap();
    assert!(status.success());
    false
}

/// From now on, the system answers calls to lower this thread, and those it starts, with EPERM. `false`: it
/// cannot be told to.
#[cfg(target_os = "linux")]
fn refuse_to_lower_threads() -> bool {
    let code = |code: u32| u16::try_from(code).unwrap();
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut filter = [
        // The number of the call is the first word.
        step(code(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS), 0, 0, 0),
        step(code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K), 0, 1, libc::SYS_setpriority as u32),
        step(code(libc::BPF_RET | libc::BPF_K), 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        step(code(libc::BPF_RET | libc::BPF_K), 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: 4, filter: filter.as_mut_ptr() };
    #[allow(unsafe_code)]
    // SAFETY: numbers, and a program that lives until the call has copied it.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
            && libc::setpriority(libc::PRIO_PROCESS, 0, 1) == -1
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_lane_that_may_not_be_lowered_works_all_the_same() {
    if !in_a_process_of_its_own("a_lane_that_may_not_be_lowered_works_all_the_same") {
        return;
    }
    if !refuse_to_lower_threads() {
        println!("seccomp is not there");
        return;
    }
    let nice = || {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        stat.rsplit_once(") ").unwrap().1.split(' ').nth(16).unwrap().to_string()
    };
    let runtime = filch::Runtime::builder().worker_threads(1).build().unwrap();
    assert_eq!(runtime.block_on(runtime.spawn_compute(nice)).unwrap(), nice());
}

/// How much memory may be mapped: what is now, and so much more. (`None`: as much as one likes.)
#[cfg(target_os = "linux")]
fn limit_memory(more: Option<u64>) {
    let limit = more.map_or(libc::RLIM_INFINITY, |more| {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').next().unwrap().parse::<u64>().unwrap() * 4096 + more
    });
    let limit = libc::rlimit { rlim_cur: limit, rlim_max: libc::RLIM_INFINITY };
    #[allow(unsafe_code)]
    // SAFETY: reads two numbers.
    let done = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
    assert_eq!(done, 0);
}

/// All threads of this process but the caller's have nothing to do.
#[cfg(target_os = "linux")]
fn wait_until_the_others_sleep() {
    let this = std::fs::read_link("/proc/thread-self").unwrap();
    let start = std::time::Instant::now();
    let sleeps = |thread: std::path::PathBuf| {
        // One that has ended meanwhile is not in the way either.
        let stat = std::fs::read_to_string(thread.join("stat")).unwrap_or_default();
        thread.ends_with(this.file_name().unwrap())
            || stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('S'))
    };
    while !std::fs::read_dir("/proc/self/task")
        .unwrap()
        .all(|thread| sleeps(thread.unwrap().path()))
    {
        assert!(start.elapsed().as_secs() < 20, "a thread does not come to rest");
        std::thread::yield_now();
    }
}

/// The lane says so if it gets no more than so many threads, and tries again.
#[cfg(target_os = "linux")]
fn a_lane_that_gets_no_more_than(threads: u64, test: &str) {
    const STACK: u64 = 256 << 20;
    if cfg!(filch_no_pool) {
        // A sanitizer maps memory as well, and cannot do without.
        return;
    }
    // One process each: glibc keeps the stacks of threads that have left for those that come.
    if !in_a_process_of_its_own(test) {
        return;
    }
    let runtime = filch::Runtime::builder()
        .worker_threads(1)
        .compute_threads(2)
        .thread_stack_size(STACK as usize)
        .build()
        .unwrap();
    // A thread on its way up maps memory, and std gives up the process if it gets none.
    wait_until_the_others_sleep();
    limit_memory(Some(STACK * threads + STACK / 4));
    let job = runtime.spawn_compute(|| ());
    let refused = runtime.block_on(job).map_err(|error| error.to_string());
    limit_memory(None);
    let error = refused.unwrap_err();
    assert!(error.contains("the system refused a thread for compute jobs"), "{error}");
    let start = std::time::Instant::now();
    while runtime.handle().compute_load().threads > 0 {
        assert!(start.elapsed().as_secs() < 20, "threads that came have left again");
        std::thread::yield_now();
    }
    assert_eq!(runtime.block_on(runtime.spawn_compute(|| 7)).unwrap(), 7);
    let load = runtime.handle().compute_load();
    assert_eq!((load.queued, load.threads), (0, 2));
}

/// Not the one that starts the others.
#[cfg(target_os = "linux")]
#[test]
fn a_lane_that_gets_no_thread_says_so_and_tries_again() {
    a_lane_that_gets_no_more_than(0, "a_lane_that_gets_no_thread_says_so_and_tries_again");
}

/// That one, and no other.
#[cfg(target_os = "linux")]
#[test]
fn a_lane_that_gets_one_thread_says_so_and_tries_again() {
    a_lane_that_gets_no_more_than(1, "a_lane_that_gets_one_thread_says_so_and_tries_again");
}

/// That one, and one of the two it starts.
#[cfg(target_os = "linux")]
#[test]
fn a_lane_that_gets_two_threads_says_so_and_tries_again() {
    a_lane_that_gets_no_more_than(2, "a_lane_that_gets_two_threads_says_so_and_tries_again");
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
