//! The blocking pool: a job is never left to a thread that has given up. (A child module of the pool's,
//! so that it may use what is private there.)

use std::future::ready;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use loom::thread::{self, JoinHandle};

use super::{Limits, Nobody, OnPool, Pool, Submit};
use crate::__models::task::Bell;
use crate::primitive::Mutex;
use crate::task::cell::{self, Join, Spawn};

const HOUR: Duration = Duration::from_secs(3600);

/// A pool whose threads are loom's.
struct Shop {
    pool: Pool,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Shop {
    /// With room for one thread, who is there already, and idle soon. It gives up at a
    /// `Whim::TimeUp`.
    fn open() -> Arc<Shop> {
        let pool = Pool::new(Limits { threads: 1, queue: 2, keep_alive: HOUR });
        pool.inner.state.lock().threads = 1;
        let first = Shop::start(&pool);
        Arc::new(Shop { pool, threads: Mutex::new(vec![first]) })
    }

    fn start(pool: &Pool) -> JoinHandle<()> {
        let inner = pool.inner.clone();
        thread::spawn(move || inner.work(HOUR))
    }

    /// As `Pool::submit`; and waits for the end of the job.
    fn run_one(&self) {
        let new = Spawn { owner: &Nobody, site: Location::caller(), home: None, extra: None };
        let (job, mut handle) = cell::spawn::<OnPool, _>(ready(()), new);
        let next = self.pool.inner.state.lock().submit(job, self.pool.limits);
        match next {
            Submit::Queued => self.pool.inner.news.notify_one(),
            Submit::StartThread => self.threads.lock().push(Shop::start(&self.pool)),
            Submit::Refused(..) => panic!("MODEL: there is room in the queue"),
        }
        Bell::new().join(&mut handle).expect("MODEL: the job was run");
    }

    fn close(&self) {
        assert!(self.pool.stop() == 0, "MODEL: all jobs were run");
        let left = self.pool.wait_until_gone(Instant::now() + HOUR);
        assert!(left == 0, "MODEL: all threads leave");
        let threads = std::mem::take(&mut *self.threads.lock());
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let state = self.pool.inner.state.lock();
        assert!((state.idle, state.called) == (0, 0), "MODEL: the counts are right");
    }
}

/// A job comes when the only thread there may be is idle, or just giving up.
pub fn submit_idle_exit() {
    let shop = Shop::open();
    shop.run_one();
    shop.close();
}

/// Two jobs at once. There may never be a second thread.
pub fn submit_submit_idle_exit() {
    let shop = Shop::open();
    let other = {
        let shop = shop.clone();
        thread::spawn(move || shop.run_one())
    };
    shop.run_one();
    other.join().unwrap();
    shop.close();
}
