//! What all crews share: the clock of the run, what was wrong, and who is at work.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use filch::{JoinError, JoinHandle};

use crate::ledger::{Followed, Ledger, contradiction};

/// So many violations are told in full.
const TOLD: usize = 50;

/// One for the whole process.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) began: Instant,
    wrong: Mutex<Vec<String>>,
    wrongs: AtomicUsize,
    /// How late sleeps were, in powers of two of microseconds.
    late: [AtomicU64; 32],
    worst_late_us: AtomicU64,
    worst_late_now_us: AtomicU64,
    /// Rounds of all crews.
    pub(crate) rounds: AtomicU64,
    pub(crate) posts: Mutex<Vec<Arc<Post>>>,
    /// Things that the system refused, and that are nobody's fault.
    pub(crate) refused: AtomicU64,
    /// The first epochs, which are to show how much of everything there can be.
    pub(crate) is_warming_up: AtomicBool,
    /// How often, and for how long, the whole process did not run: stopped, or on a machine that slept.
    pub(crate) pauses: Mutex<(u64, Duration)>,
}

/// A limit for what must make progress. It counts only while the process runs: who looks (often enough) sees time
/// that jumps, and what is beyond [`JUMP`] does not count.
#[derive(Debug)]
pub(crate) struct Patience {
    left: Duration,
    last: Instant,
}

/// More at once is a pause of the process, or of the machine.
pub(crate) const JUMP: Duration = Duration::from_secs(3);

impl Patience {
    pub(crate) fn new(limit: Duration) -> Patience {
        Patience { left: limit, last: Instant::now() }
    }

    /// To be asked more often than a jump is long.
    pub(crate) fn is_over(&mut self) -> bool {
        let now = Instant::now();
        let passed = now.saturating_duration_since(self.last);
        (self.last, self.left) = (now, self.left.saturating_sub(passed.min(JUMP)));
        self.left.is_zero()
    }

    /// Waits for it; `None`: it hangs.
    pub(crate) async fn wait<F: Future>(mut self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        loop {
            match filch::timeout(Duration::from_secs(1), future.as_mut()).await {
                Ok(output) => return Some(output),
                Err(_) if self.is_over() => return None,
                Err(_) => {}
            }
        }
    }

    /// The same on a thread that may block.
    pub(crate) fn join<T>(mut self, handle: &mut JoinHandle<T>) -> Option<Result<T, JoinError>> {
        loop {
            match handle.join_timeout(Duration::from_secs(1)) {
                Some(result) => return Some(result),
                None if self.is_over() => return None,
                None => {}
            }
        }
    }
}

impl World {
    pub(crate) fn new() -> World {
        World {
            began: Instant::now(),
            wrong: Mutex::default(),
            wrongs: AtomicUsize::new(0),
            late: Default::default(),
            worst_late_us: AtomicU64::new(0),
            worst_late_now_us: AtomicU64::new(0),
            rounds: AtomicU64::new(0),
            posts: Mutex::default(),
            refused: AtomicU64::new(0),
            is_warming_up: AtomicBool::new(false),
            pauses: Mutex::default(),
        }
    }

    /// Something that must not be.
    pub(crate) fn wrong(&self, what: impl Into<String>) {
        let what = what.into();
        let time = self.began.elapsed().as_secs_f64();
        if self.wrongs.fetch_add(1, Ordering::Relaxed) < TOLD {
            eprintln!("{time:9.3} s: WRONG: {what}");
            self.wrong.lock().unwrap().push(format!("at {time:.3} s: {what}"));
        }
    }

    pub(crate) fn check(&self, right: bool, what: impl FnOnce() -> String) {
        if !right {
            self.wrong(what());
        }
    }

    /// The system had no port, file or thread for somebody, or a connection was cut.
    pub(crate) fn is_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn wrongs(&self) -> (usize, Vec<String>) {
        (self.wrongs.load(Ordering::Relaxed), self.wrong.lock().unwrap().clone())
    }

    /// Sleeps, and remembers how late it was.
    pub(crate) async fn nap(&self, time: Duration) {
        let due = Instant::now() + time;
        filch::sleep(time).await;
        self.woke(due);
    }

    pub(crate) fn woke(&self, due: Instant) {
        match Instant::now().checked_duration_since(due) {
            None => self.wrong("a sleep ended before its time"),
            Some(late) => {
                let us = late.as_micros() as u64;
                let bucket = (us | 1).ilog2().min(31) as usize;
                self.late[bucket].fetch_add(1, Ordering::Relaxed);
                if us > self.worst_late_now_us.load(Ordering::Relaxed) {
                    self.worst_late_us.fetch_max(us, Ordering::Relaxed);
                    self.worst_late_now_us.fetch_max(us, Ordering::Relaxed);
                }
            }
        }
    }

    /// The worst since the last call.
    pub(crate) fn take_worst_late(&self) -> Duration {
        Duration::from_micros(self.worst_late_now_us.swap(0, Ordering::Relaxed))
    }

    /// How many sleeps there were; what half of them, 99 % and 99.9 % were not later than; and the worst.
    pub(crate) fn lateness(&self) -> (u64, [Duration; 3], Duration) {
        let buckets: Vec<u64> = self.late.iter().map(|n| n.load(Ordering::Relaxed)).collect();
        let count: u64 = buckets.iter().sum();
        let quantile = |part: f64| {
            let (wanted, mut sum) = ((count as f64 * part).ceil() as u64, 0);
            let bucket = buckets.iter().position(|n| {
                sum += n;
                sum >= wanted
            });
            Duration::from_micros(2 << bucket.unwrap_or(0))
        };
        let worst = Duration::from_micros(self.worst_late_us.load(Ordering::Relaxed));
        (count, [0.5, 0.99, 0.999].map(quantile), worst)
    }
}

/// Where one member of a crew is.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) name: String,
    /// When its round began, in ms since the run did; 0: it is at rest.
    since_ms: AtomicU64,
    step: Mutex<&'static str>,
    pub(crate) rounds: AtomicU64,
}

impl Post {
    pub(crate) fn new(name: String) -> Post {
        let (since_ms, rounds) = (AtomicU64::new(0), AtomicU64::new(0));
        Post { name, since_ms, step: Mutex::new(""), rounds }
    }

    pub(crate) fn begins(&self, world: &World) {
        let now = world.began.elapsed().as_millis() as u64;
        self.since_ms.store(now.max(1), Ordering::Relaxed);
        self.step("begins");
    }

    pub(crate) fn ends(&self, world: &World) {
        self.since_ms.store(0, Ordering::Relaxed);
        self.rounds.fetch_add(1, Ordering::Relaxed);
        world.rounds.fetch_add(1, Ordering::Relaxed);
    }

    /// Which round it is in, if it is in one.
    pub(crate) fn round(&self) -> Option<u64> {
        let since = self.since_ms.load(Ordering::Relaxed);
        (since > 0).then(|| self.rounds.load(Ordering::Relaxed))
    }

    /// For how long it has been in this round.
    pub(crate) fn busy_for(&self, world: &World) -> Option<Duration> {
        let since = Duration::from_millis(self.since_ms.load(Ordering::Relaxed));
        (!since.is_zero()).then(|| world.began.elapsed().saturating_sub(since))
    }

    fn step(&self, step: &'static str) {
        *self.step.lock().unwrap() = step;
    }

    pub(crate) fn last_step(&self) -> &'static str {
        *self.step.lock().unwrap()
    }
}

/// What a round of a crew works with.
#[derive(Debug, Clone)]
pub(crate) struct Crew {
    pub(crate) world: &'static World,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) post: Arc<Post>,
    pub(crate) runtime: filch::Handle,
    /// How many live that hold back the end of the task this is done for.
    pub(crate) kin: Arc<AtomicUsize>,
}

impl Crew {
    /// What it does now, for whoever finds it hanging.
    pub(crate) fn step(&self, step: &'static str) {
        self.post.step(step);
    }

    #[track_caller]
    pub(crate) fn spawn<F>(&self, future: F) -> Followed<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let (future, fate) = self.ledger.follow(future);
        Followed { handle: self.runtime.spawn(future), fate }
    }

    /// Looks whether a result is what the books say. Panics that nobody planned are wrong as well.
    pub(crate) fn settle<T>(
        &self,
        fate: &crate::ledger::Fate,
        result: Result<T, JoinError>,
    ) -> Option<T> {
        if let Some(contradiction) = contradiction(fate, &result) {
            self.world.wrong(format!(
                "{}, {}: {contradiction}",
                self.post.name,
                self.post.last_step()
            ));
        }
        self.expect_planned(result)
    }

    /// A value, or nothing if it was cancelled or if its panic was planned.
    pub(crate) fn expect_planned<T>(&self, result: Result<T, JoinError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                let text = error.to_string();
                let planned = error.is_cancelled() || text.contains(PLANNED);
                self.world.check(planned, || format!("{}: {text}", self.post.name));
                None
            }
        }
    }

    pub(crate) async fn join<T>(&self, task: Followed<T>) -> Option<T> {
        let result = task.handle.await;
        self.settle(&task.fate, result)
    }
}

/// In the text of each panic that is part of the plan.
pub(crate) const PLANNED: &str = "planned";

#[derive(Debug)]
pub(crate) struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        // (Two at once would end the process.)
        if !std::thread::panicking() {
            panic!("planned: in a drop");
        }
    }
}
