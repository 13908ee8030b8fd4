//! The blocking pool: a job is never left to a thread that has given up. (A child module of the pool's,
//! so that it may use what is private there.)

use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use loom::thread::{self, JoinHandle};

use super::{Job, Limits, OnPool, Pool, Queued, Submit};
use crate::__models::task::Bell;
use crate::primitive::{Futex, Mutex, Ordering};
use crate::scheduler::Scheduler;
use crate::task::cell::{self, Join, Spawn};
use crate::task::extra::{self, Force, Request};

const HOUR: Duration = Duration::from_secs(3600);

/// A pool whose threads are loom's.
struct Shop {
    pool: Pool,
    scheduler: &'static Scheduler,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Shop {
    /// With room for so many threads, of which one is there already, and idle soon. It gives up
    /// at a `Whim::TimeUp`.
    fn open(threads: usize) -> Shop {
        let pool = Pool::new(Limits { threads, queue: 2, keep_alive: HOUR });
        pool.inner.state.lock().threads = 1;
        let first = Shop::start(&pool);
        let scheduler = Box::leak(Box::new(Scheduler::new(0)));
        pool.serve(scheduler);
        Shop { pool, scheduler, threads: Mutex::new(vec![first]) }
    }

    fn start(pool: &Pool) -> JoinHandle<()> {
        let inner = pool.inner.clone();
        thread::spawn(move || inner.work(HOUR))
    }

    /// As `Pool::submit`.
    fn submit(&self, job: impl FnOnce() + 'static) -> Join<()> {
        let new =
            Spawn { owner: self.scheduler, site: Location::caller(), home: None, extra: None };
        let (job, handle) = cell::spawn::<OnPool, _>(Job::new(job), new);
        let queued = Queued { job, awake: None };
        let next = self.pool.inner.state.lock().submit(queued, self.pool.limits);
        match next {
            Submit::Queued => self.pool.inner.news.notify_one(),
            Submit::StartThread => self.threads.lock().push(Shop::start(&self.pool)),
            Submit::Refused(..) => panic!("MODEL: there is room in the queue"),
        }
        handle
    }

    /// The end, when these jobs have ended.
    fn close(&self, jobs: impl IntoIterator<Item = Join<()>>) {
        for mut job in jobs {
            Bell::new().join(&mut job).expect("MODEL: the job was run");
        }
        // (All that is left of a model is an empty scheduler.)
        self.scheduler.set_jobs(None);
        assert!(self.pool.stop() == 0, "MODEL: all jobs were run");
        let left = self.pool.wait_until_gone(Instant::now() + HOUR);
        assert!(left == 0, "MODEL: all threads leave");
        let threads = std::mem::take(&mut *self.threads.lock());
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let state = self.pool.inner.state.lock();
        assert!((state.idle, state.called) == (0, 0), "MODEL: the counts are right");
    }
}

/// Jobs come when the only thread there may be is idle, or just giving up.
pub fn submit_idle_exit() {
    let shop = Shop::open(1);
    let jobs = [shop.submit(|| ()), shop.submit(|| ())];
    shop.close(jobs);
}

/// The first job ends only with the second: that one must not count on the thread that was called
/// for the first.
pub fn submit_submit() {
    let shop = Shop::open(2);
    let news = Arc::new(Futex::new(0));
    let first = {
        let news = news.clone();
        shop.submit(move || {
            while news.load(Ordering::Relaxed) == 0 {
                news.wait(0);
            }
        })
    };
    let second = shop.submit(move || {
        news.store(1, Ordering::Relaxed);
        news.wake_one();
    });
    shop.close([first, second]);
}

/// The only thread is called for a first job; the second is cancelled at any moment. It is run, or taken
/// out by the canceller, or dropped by the thread, and the first is run in any case.
pub fn cancel_take() {
    let shop = Shop::open(1);
    let first = shop.submit(|| ());
    let mut second = shop.submit(|| ());
    let request = Request { reason: None, place: Location::caller() };
    let asked = extra::on_request(&second.task(), request, Force::Cancel);
    match Bell::new().join(&mut second) {
        Ok(()) => {}
        Err(error) => assert!(asked && error.is_cancelled(), "MODEL: it was cancelled"),
    }
    assert!(shop.pool.queue_depth() <= 1, "MODEL: its place in the queue is free");
    shop.close([first]);
}
