//! What the counted programs and the judge of their counts share.
//!
//! `benches/counts.rs` holds the operations, and is run under valgrind by gungraun; `src/main.rs` compares what came out
//! with `baseline.txt`. `.ci/counts` calls both.

mod toggle;

use std::fmt;
use std::future::Future;
use std::sync::mpsc;

use filch::Runtime;

pub use toggle::toggle;

/// How often each operation is done while it is counted.
pub const ROUNDS: usize = 1000;

/// One worker, and no other thread that does anything: the clock is a manual one, so there is neither a timer's thread nor
/// a monitor that would help a worker as slow as one under valgrind is.
///
/// # Panics
///
/// If the system refuses a thread.
pub fn runtime() -> Runtime {
    Runtime::builder().worker_threads(1).manual_clock(true).build().expect("filch starts")
}

/// Counts what the worker does from the beginning of `rounds` to its end: its polls and all between them. The main thread
/// sleeps meanwhile. Once before that it runs uncounted, so that memory has been fetched and lists have grown.
///
/// # Panics
///
/// If `rounds` does.
pub fn count_on_worker<Fut>(rounds: impl Fn() -> Fut + Send + 'static)
where
    Fut: Future<Output = ()> + Send + 'static,
{
    let runtime = runtime();
    let counted = async move {
        rounds().await;
        toggle();
        rounds().await;
        toggle();
    };
    runtime.block_on(async { filch::spawn(counted).await.expect("nobody cancels it") });
}

/// Counts what this thread does in `rounds`, once more after an uncounted run.
pub fn count_here(mut rounds: impl FnMut()) {
    rounds();
    toggle();
    rounds();
    toggle();
}

/// While this lives, the runtime's only worker is in a poll that does not return: it neither takes anything from a queue nor
/// sleeps.
#[must_use]
pub struct Busy {
    release: mpsc::Sender<()>,
    task: filch::JoinHandle<()>,
}

impl fmt::Debug for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Busy").finish_non_exhaustive()
    }
}

impl Busy {
    /// Waits until the worker is in that poll.
    ///
    /// # Panics
    ///
    /// If the runtime has ended.
    pub fn new(runtime: &Runtime) -> Busy {
        let (started, starts) = mpsc::channel();
        let (release, released) = mpsc::channel();
        let task = runtime.spawn(async move {
            started.send(()).expect("it is waited for");
            let _ = released.recv();
        });
        starts.recv().expect("the worker polls it");
        Busy { release, task }
    }

    /// Lets the worker go on, and waits until it does.
    ///
    /// # Panics
    ///
    /// If the runtime has ended.
    pub fn end(self, runtime: &Runtime) {
        drop(self.release);
        runtime.block_on(self.task).expect("nobody cancels it");
    }
}
