//! Tests on a clock that moves by itself: hours cost nothing, and durations are exact.

use std::future::Future;
use std::panic::resume_unwind;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use filch::time::now;
use filch::{Runtime, catch_cancel, sleep};

/// A second.
pub(crate) const S: Duration = Duration::from_secs(1);
/// A millisecond.
pub(crate) const MS: Duration = Duration::from_millis(1);

/// No test waits for so long: when this is over, nothing else could happen any more.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
/// Real time after which a test that does not even wait is given up.
const STUCK: Duration = Duration::from_secs(60);

/// Runs a test in a task: once with one worker, and once with four.
#[track_caller]
pub(crate) fn manual<F>(test: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    for workers in [1, 4] {
        manual_on(workers, test());
    }
}

/// Runs a test in a task.
#[track_caller]
pub(crate) fn manual_on<F>(workers: usize, test: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    manual_with(workers, |builder| builder, test);
}

/// Runs a test in a task of a runtime with further settings.
#[track_caller]
pub(crate) fn manual_with<F>(
    workers: usize,
    settings: impl FnOnce(filch::Builder) -> filch::Builder,
    test: F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let builder = settings(Runtime::builder().worker_threads(workers).manual_clock(true));
    let (done, wait) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let runtime = builder.build().unwrap();
        let result = runtime.block_on(async {
            let mut handle = filch::spawn(test);
            filch::timeout(YEAR, &mut handle).await
        });
        drop(runtime);
        let _ = done.send(());
        match result {
            Ok(Ok(())) => {}
            Ok(Err(error)) => match error.try_into_panic() {
                Ok(payload) => resume_unwind(payload),
                Err(error) => panic!("with {workers} workers: {error}"),
            },
            Err(_) => panic!("with {workers} workers: all tasks wait, and nothing can happen"),
        }
    });
    if let Err(RecvTimeoutError::Timeout) = wait.recv_timeout(STUCK) {
        panic!("with {workers} workers: some task never waits, or the runtime does not end");
    }
    if let Err(payload) = thread.join() {
        eprintln!("(with {workers} workers)");
        resume_unwind(payload);
    }
}

/// Lets everybody else come to rest: the clock moves on only then.
pub(crate) async fn settle() {
    sleep(Duration::from_nanos(1)).await;
}

/// What happened, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<&'static str>>>);

impl Log {
    pub(crate) fn add(&self, what: &'static str) {
        self.0.lock().unwrap().push(what);
    }

    pub(crate) fn count(&self, what: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|entry| **entry == what).count()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }

    pub(crate) fn entries(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().clone()
    }

    /// Adds an entry when dropped.
    pub(crate) fn at_drop(&self, what: &'static str) -> AtDrop {
        AtDrop(self.clone(), what)
    }
}

/// See [`Log::at_drop`].
#[derive(Debug)]
pub(crate) struct AtDrop(Log, &'static str);

impl Drop for AtDrop {
    fn drop(&mut self) {
        self.0.add(self.1);
    }
}

/// Sleeps; if it is cancelled meanwhile, tells the log and passes that on.
pub(crate) async fn tells_cancel(time: Duration, log: Log, what: &'static str) {
    if let Err(cancelled) = catch_cancel(sleep(time)).await {
        log.add(what);
        cancelled.resume().await;
    }
}

/// Sleeps, then fails.
pub(crate) async fn fails_after<E>(time: Duration, error: E) -> Result<(), E> {
    sleep(time).await;
    Err(error)
}

/// Sleeps; if it is cancelled meanwhile, answers with an error of its own.
pub(crate) async fn fails_in_cleanup<E>(time: Duration, error: E) -> Result<(), E> {
    match catch_cancel(sleep(time)).await {
        Ok(()) => Ok(()),
        Err(cancelled) => {
            drop(cancelled);
            Err(error)
        }
    }
}

/// Sleeps; if it is cancelled meanwhile, needs this long to end.
pub(crate) async fn cleans_up_for(time: Duration, cleanup: Duration) {
    if let Err(cancelled) = catch_cancel(sleep(time)).await {
        sleep(cleanup).await;
        cancelled.resume().await;
    }
}

/// Measures the time on the test's clock.
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    pub(crate) fn start() -> Stopwatch {
        Stopwatch(now())
    }

    /// In milliseconds; `settle` does not count.
    pub(crate) fn ms(&self) -> u128 {
        (now() - self.0).as_millis()
    }
}
