//! Who keeps the books: each future that is started stands in them from its making to its drop.
//!
//! What a future's end was is seen in the future itself, by what its drop finds, and not asked of the runtime. So the
//! runtime's answers (a handle's result, the metrics, the report of a shutdown) can be compared with it.

use std::future::Future;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use filch::{JoinError, JoinHandle};

/// How many began, and how they ended.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    created: AtomicU64,
    ended: [AtomicU64; 4],
    /// Of those created: futures that perhaps never became tasks of workers (in a `gather` that was dropped early, or
    /// started eagerly).
    unsure: AtomicU64,
    jobs: AtomicU64,
    jobs_ended: AtomicU64,
    /// Callbacks: for a task that has ended already the runtime makes a task that calls.
    pub(crate) callbacks: AtomicU64,
    taken: Mutex<Sums>,
}

/// How a future has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum End {
    Finished = 0,
    Cancelled = 1,
    Aborted = 2,
    Panicked = 3,
}

/// What the books say at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) created: u64,
    pub(crate) finished: u64,
    pub(crate) cancelled: u64,
    pub(crate) aborted: u64,
    pub(crate) panicked: u64,
    pub(crate) unsure: u64,
    pub(crate) jobs: u64,
    pub(crate) jobs_ended: u64,
}

impl Sums {
    pub(crate) fn ended(&self) -> u64 {
        self.finished + self.cancelled + self.aborted + self.panicked
    }

    pub(crate) fn balanced(&self) -> bool {
        self.created == self.ended() && self.jobs == self.jobs_ended
    }

    pub(crate) fn add(&mut self, other: &Sums) {
        self.created += other.created;
        self.finished += other.finished;
        self.cancelled += other.cancelled;
        self.aborted += other.aborted;
        self.panicked += other.panicked;
        self.unsure += other.unsure;
        self.jobs += other.jobs;
        self.jobs_ended += other.jobs_ended;
    }
}

const ALIVE: u8 = 0;
const ASKED_TO_ABORT: u8 = 1;
/// And the end, from here on.
const ENDED: u8 = 2;

/// What became of one future.
#[derive(Debug, Default)]
pub(crate) struct Fate(AtomicU8);

impl Fate {
    pub(crate) fn end(&self) -> Option<End> {
        match self.0.load(Ordering::Acquire) {
            2 => Some(End::Finished),
            3 => Some(End::Cancelled),
            4 => Some(End::Aborted),
            5 => Some(End::Panicked),
            _ => None,
        }
    }
}

/// Lives in a future.
struct Mark {
    ledger: Arc<Ledger>,
    fate: Option<Arc<Fate>>,
    returned: bool,
}

impl Drop for Mark {
    fn drop(&mut self) {
        let asked = |fate: &Arc<Fate>| fate.0.load(Ordering::Relaxed) == ASKED_TO_ABORT;
        let end = if self.returned {
            End::Finished
        } else if std::thread::panicking() {
            End::Panicked
        } else if self.fate.as_ref().is_some_and(asked) {
            End::Aborted
        } else {
            End::Cancelled
        };
        self.ledger.ended[end as usize].fetch_add(1, Ordering::Relaxed);
        if let Some(fate) = &self.fate {
            fate.0.store(ENDED + end as u8, Ordering::Release);
        }
    }
}

/// Lives in the closure of a job.
struct JobMark(Arc<Ledger>);

impl Drop for JobMark {
    fn drop(&mut self) {
        self.0.jobs_ended.fetch_add(1, Ordering::Relaxed);
    }
}

impl Ledger {
    fn mark(self: &Arc<Ledger>, fate: Option<Arc<Fate>>) -> Mark {
        self.created.fetch_add(1, Ordering::Relaxed);
        Mark { ledger: Arc::clone(self), fate, returned: false }
    }

    /// A future that stands in the books.
    pub(crate) fn enter<F: Future>(
        self: &Arc<Ledger>,
        future: F,
    ) -> impl Future<Output = F::Output> + use<F> {
        entered(self.mark(None), future)
    }

    /// As [`enter`](Ledger::enter), if nobody knows whether it becomes a task that a worker ends.
    pub(crate) fn enter_unsure<F: Future>(
        self: &Arc<Ledger>,
        future: F,
    ) -> impl Future<Output = F::Output> + use<F> {
        self.unsure.fetch_add(1, Ordering::Relaxed);
        self.enter(future)
    }

    /// A future, and what will have become of it.
    pub(crate) fn follow<F: Future>(
        self: &Arc<Ledger>,
        future: F,
    ) -> (impl Future<Output = F::Output> + use<F>, Arc<Fate>) {
        let fate = Arc::<Fate>::default();
        (entered(self.mark(Some(Arc::clone(&fate))), future), fate)
    }

    /// A call that is to run on a pool.
    pub(crate) fn job<T, F: FnOnce() -> T>(
        self: &Arc<Ledger>,
        f: F,
    ) -> impl FnOnce() -> T + use<T, F> {
        self.jobs.fetch_add(1, Ordering::Relaxed);
        let mark = JobMark(Arc::clone(self));
        move || {
            let _mark = mark;
            f()
        }
    }

    /// The books of a runtime that is over, added to these. (None of those tasks was one of the long-lived runtime.)
    pub(crate) fn take_over(&self, sums: &Sums) {
        let mut taken = self.taken.lock().unwrap();
        taken.add(sums);
    }

    /// What was taken over.
    pub(crate) fn taken(&self) -> Sums {
        *self.taken.lock().unwrap()
    }

    pub(crate) fn sums(&self) -> Sums {
        // What has ended is read first: what is read of the others can only be more.
        let [finished, cancelled, aborted, panicked] =
            [0, 1, 2, 3].map(|end: usize| self.ended[end].load(Ordering::Acquire));
        let jobs_ended = self.jobs_ended.load(Ordering::Acquire);
        Sums {
            created: self.created.load(Ordering::Relaxed),
            finished,
            cancelled,
            aborted,
            panicked,
            unsure: self.unsure.load(Ordering::Relaxed),
            jobs: self.jobs.load(Ordering::Relaxed),
            jobs_ended,
        }
    }
}

/// (Locals are dropped in reverse order: if something in the future panics when it is dropped, its mark sees that.)
async fn entered<F: Future>(mark: Mark, future: F) -> F::Output {
    let mut mark = mark;
    let output = future.await;
    mark.returned = true;
    output
}

/// A task whose end is compared with what its handle says.
#[derive(Debug)]
pub(crate) struct Followed<T> {
    pub(crate) handle: JoinHandle<T>,
    pub(crate) fate: Arc<Fate>,
}

impl<T> Followed<T> {
    pub(crate) fn abort(&self) {
        let from = (ALIVE, ASKED_TO_ABORT);
        let _ = self.fate.0.compare_exchange(from.0, from.1, Ordering::Relaxed, Ordering::Relaxed);
        self.handle.abort();
    }
}

/// What is wrong with a task's end, if something is.
pub(crate) fn contradiction<T>(fate: &Fate, result: &Result<T, JoinError>) -> Option<String> {
    let end = fate.end();
    let fits = match (result, end) {
        (_, None) => return Some("its end was seen before its future was gone".into()),
        (Ok(_), Some(end)) => end == End::Finished,
        (Err(error), Some(End::Panicked)) => error.is_panic(),
        (Err(error), Some(End::Cancelled | End::Aborted)) => error.is_cancelled(),
        (Err(_), Some(End::Finished)) => false,
    };
    let said = match result {
        Ok(_) => "a value".to_owned(),
        Err(error) => error.to_string(),
    };
    (!fits).then(|| format!("it has ended as {end:?}, and its handle says: {said}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn each_end_is_told_from_the_others() {
        let ledger = Arc::<Ledger>::default();
        futures_lite::future::block_on(ledger.enter(async {}));
        drop(ledger.enter(async {}));
        let (future, fate) = ledger.follow(std::future::pending::<()>());
        fate.0.store(ASKED_TO_ABORT, Ordering::Relaxed);
        assert!(!ledger.sums().balanced());
        drop(future);
        assert_eq!(fate.end(), Some(End::Aborted));
        let bomb = ledger.enter(async { std::panic::panic_any(1) });
        let caught = catch_unwind(AssertUnwindSafe(|| futures_lite::future::block_on(bomb)));
        assert!(caught.is_err());
        let sums = ledger.sums();
        let each = (sums.finished, sums.cancelled, sums.aborted, sums.panicked);
        assert_eq!((sums.created, each), (4, (1, 1, 1, 1)));
        assert!(sums.balanced());
    }

    #[test]
    fn a_job_that_never_ran_is_in_the_books() {
        let ledger = Arc::<Ledger>::default();
        let job = ledger.job(|| 1);
        assert!(!ledger.sums().balanced());
        drop(job);
        assert!(ledger.sums().balanced());
        assert_eq!(ledger.job(|| 2)(), 2);
    }

    #[test]
    fn a_value_of_a_future_that_was_cut_is_a_contradiction() {
        let (fate, cut) = (Fate::default(), Fate(AtomicU8::new(ENDED + End::Cancelled as u8)));
        assert!(contradiction(&fate, &Ok(1)).unwrap().contains("before its future"));
        assert!(contradiction(&cut, &Ok(1)).is_some());
        let fine = Fate(AtomicU8::new(ENDED));
        assert_eq!(contradiction(&fine, &Ok(1)), None);
    }
}
