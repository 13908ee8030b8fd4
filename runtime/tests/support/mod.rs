//! What several tests need.
#![allow(dead_code, reason = "not every test uses everything")]

pub(crate) mod manual;
pub(crate) mod sockets;

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// Bytes of this process that are in memory; `None` where the system does not say, and under a
/// sanitizer, which keeps freed memory to find out who uses it.
pub(crate) fn resident_bytes() -> Option<u64> {
    if cfg!(filch_no_pool) {
        return None;
    }
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

/// What became of everything that carried a [`Tracked`].
#[derive(Debug, Default)]
pub(crate) struct Fates {
    pub(crate) created: AtomicU64,
    pub(crate) finished: AtomicU64,
    pub(crate) panicked: AtomicU64,
    pub(crate) dropped_early: AtomicU64,
}

/// Rides in a future and tells how it ended. Dropped twice, the sums would not fit.
#[derive(Debug)]
pub(crate) struct Tracked {
    fates: Arc<Fates>,
    finished: bool,
}

impl Fates {
    pub(crate) fn track(self: &Arc<Fates>) -> Tracked {
        self.created.fetch_add(1, Ordering::Relaxed);
        Tracked { fates: Arc::clone(self), finished: false }
    }

    pub(crate) fn ended(&self) -> u64 {
        self.finished.load(Ordering::Relaxed)
            + self.panicked.load(Ordering::Relaxed)
            + self.dropped_early.load(Ordering::Relaxed)
    }

    pub(crate) fn in_flight(&self) -> u64 {
        let ended = self.ended();
        self.created.load(Ordering::Relaxed).saturating_sub(ended)
    }
}

impl Tracked {
    pub(crate) fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        let fate = if self.finished {
            &self.fates.finished
        } else if std::thread::panicking() {
            &self.fates.panicked
        } else {
            &self.fates.dropped_early
        };
        fate.fetch_add(1, Ordering::Relaxed);
    }
}

/// Expected panics are not shown.
pub(crate) fn hush_panics(text: &'static str) {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let expected = info.payload().downcast_ref::<&str>().is_some_and(|p| p.contains(text))
            || info.payload().downcast_ref::<String>().is_some_and(|p| p.contains(text));
        if !expected {
            default(info);
        }
    }));
}

/// xorshift64: different for each seed, the same in each run.
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// Whatever hangs, also a drop at a test's end: this ends the process, and says which test it was.
#[derive(Debug)]
pub(crate) struct EndsInTime(#[allow(dead_code, reason = "it is dropped")] mpsc::Sender<()>);

/// For the first line of a test. Not for one that is expected to take long.
pub(crate) fn ends_in_time() -> EndsInTime {
    /// Under a sanitizer all is slower.
    const LIMIT: Duration = Duration::from_secs(if cfg!(filch_no_pool) { 300 } else { 30 });
    let (ends, end) = mpsc::channel();
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    std::thread::spawn(move || {
        if end.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
            // (What `eprintln` says would be kept for the test's end.)
            let _ = writeln!(std::io::stderr(), "{name}: it hangs");
            std::process::exit(101);
        }
    });
    EndsInTime(ends)
}

/// Runs the rest of the test `name` in a process of its own, where memory, environment variables
/// and threads are its alone.
pub(crate) fn alone(name: &str, test: impl FnOnce()) {
    const VARIABLE: &str = "FILCH_TEST_ALONE";
    if std::env::var_os(VARIABLE).is_some() {
        return test();
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(VARIABLE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the test failed in its own process");
    assert!(text.contains("1 passed"), "there is no test `{name}`");
}
