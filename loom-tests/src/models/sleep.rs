//! The sleep protocol: no work is left behind, whoever goes to sleep at the same time.

use loom::sync::Arc;
use loom::thread;

use crate::primitive::{AtomicUsize, Futex, Ordering, seeded};
use crate::scheduler::park::{Bed, NoBed, Parker};
use crate::scheduler::sleep::{Sleep, notify_fence};

/// Sources of work, looked at without any ordering, as deques are.
type Work = Arc<[AtomicUsize; 2]>;

fn work() -> Work {
    Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)])
}

fn push(work: &Work, source: usize, sleep: &Sleep) {
    work[source].store(1, Ordering::Relaxed);
    notify_fence(); // [model-push-fence]
    let _ = sleep.notify_one();
}

fn is_visible(work: &Work) -> bool {
    work.iter().any(|source| source.load(Ordering::Relaxed) == 1)
}

/// Takes from one source if there is something.
fn take(work: &Work, source: usize) -> bool {
    work[source].compare_exchange(1, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

/// As the worker does it. Returns as a searcher.
fn park(work: &Work, sleep: &Sleep, worker: usize, searching: bool) {
    sleep.announce(worker, searching);
    loop {
        if !seeded("no-recheck") && is_visible(work) {
            let _ = sleep.retract(worker);
            return;
        }
        if sleep.park(worker) {
            return;
        }
    }
}

/// A push while the only worker, a searcher that has found nothing, goes to sleep.
pub fn push_last_searcher_parks() {
    let (work, sleep) = (work(), Arc::new(Sleep::new(None)));
    assert!(sleep.start_search(1), "MODEL: nobody searches yet");
    let worker = {
        let (work, sleep) = (work.clone(), sleep.clone());
        thread::spawn(move || {
            while !take(&work, 0) {
                park(&work, &sleep, 0, true);
            }
            let _ = sleep.stop_search();
        })
    };
    push(&work, 0, &sleep);
    worker.join().unwrap();
    assert!(sleep.word() == (0, 0), "MODEL: nobody sleeps or searches at the end");
}

/// A push is left to a searcher, who just leaves the search with something else: it must wake
/// the other worker, for it is busy from now on itself.
pub fn push_last_searcher_leaves() {
    let (work, sleep) = (work(), Arc::new(Sleep::new(None)));
    // Worker 1 sleeps already.
    sleep.announce(1, false);
    let sleeper = {
        let (work, sleep) = (work.clone(), sleep.clone());
        thread::spawn(move || {
            loop {
                if sleep.park(1) {
                    break;
                }
            }
            while !take(&work, 1) {
                park(&work, &sleep, 1, true);
            }
            let _ = sleep.stop_search();
        })
    };
    // Worker 0 searches, and finds what lies in source 0.
    assert!(sleep.start_search(2), "MODEL: nobody searches yet");
    let pusher = {
        let (work, sleep) = (work.clone(), sleep.clone());
        thread::spawn(move || push(&work, 1, &sleep))
    };
    if sleep.stop_search() && !seeded("leave-without-a-look") && is_visible(&work) {
        let _ = sleep.notify_one();
    }
    pusher.join().unwrap();
    sleeper.join().unwrap();
    assert!(sleep.word() == (0, 0), "MODEL: nobody sleeps or searches at the end");
}

/// A worker changes its mind at the moment it is woken. Whoever is faster counts it as a searcher,
/// and what is left over is a stray token: the next park returns, and parks again.
pub fn retract_notify_one() {
    let (work, sleep) = (work(), Arc::new(Sleep::new(None)));
    let worker = {
        let (work, sleep) = (work.clone(), sleep.clone());
        thread::spawn(move || {
            sleep.announce(0, false);
            let _ = sleep.retract(0);
            let _ = sleep.stop_search();
            while !take(&work, 0) {
                park(&work, &sleep, 0, false);
                let _ = sleep.stop_search();
            }
        })
    };
    let _ = sleep.notify_one();
    push(&work, 0, &sleep);
    worker.join().unwrap();
    assert!(sleep.word() == (0, 0), "MODEL: nobody sleeps or searches at the end");
}

/// Two searchers leave with a task each; the first to do so has put the rest of its batch into its
/// own deque, and relies on the last one to look there.
pub fn two_searchers_leave() {
    let (work, sleep) = (work(), Arc::new(Sleep::new(None)));
    assert!(sleep.start_search(4), "MODEL: nobody searches yet");
    assert!(sleep.start_search(4), "MODEL: one more may");
    let other = {
        let (work, sleep) = (work.clone(), sleep.clone());
        thread::spawn(move || {
            work[1].store(1, Ordering::Relaxed);
            let _ = sleep.stop_search();
        })
    };
    if sleep.stop_search() {
        assert!(is_visible(&work), "MODEL: the last one sees what the others left behind");
    }
    other.join().unwrap();
    assert!(sleep.word() == (0, 0), "MODEL: nobody sleeps or searches at the end");
}

/// Something only one worker looks at, while it goes to sleep: a task at home, or the end.
pub fn notify_one_worker() {
    let (work, sleep) = (work(), Arc::new(Sleep::new(None)));
    let worker = {
        let (work, sleep) = (work.clone(), sleep.clone());
        thread::spawn(move || {
            while !take(&work, 0) {
                park(&work, &sleep, 0, false);
                let _ = sleep.stop_search();
            }
        })
    };
    work[0].store(1, Ordering::Relaxed);
    notify_fence(); // [model-notify-fence]
    let _ = sleep.notify(0);
    worker.join().unwrap();
    assert!(sleep.word() == (0, 0), "MODEL: nobody sleeps or searches at the end");
}

/// A flag and an unpark of everybody: who parks at that moment sees the flag.
pub fn notify_all_stop() {
    let (stop, sleep) = (Arc::new(AtomicUsize::new(0)), Arc::new(Sleep::new(None)));
    let worker = {
        let (stop, sleep) = (stop.clone(), sleep.clone());
        thread::spawn(move || {
            sleep.announce(0, false);
            while stop.load(Ordering::Relaxed) == 0 {
                let _ = sleep.park(0);
            }
            let _ = sleep.retract(0);
            let _ = sleep.stop_search();
        })
    };
    stop.store(1, Ordering::Relaxed);
    sleep.notify_all();
    worker.join().unwrap();
    assert!(sleep.word() == (0, 0), "MODEL: nobody sleeps or searches at the end");
}

/// A driver that only knows how to sleep and be woken.
struct FakeDriver(Futex);

impl FakeDriver {
    fn sleep(&self) {
        while self.0.load(Ordering::Relaxed) == 0 {
            self.0.wait(0);
        }
        self.0.store(0, Ordering::Relaxed);
    }
}

impl Bed for FakeDriver {
    fn wake(&self) {
        self.0.store(1, Ordering::Relaxed);
        self.0.wake_one();
    }
}

fn unparked(in_driver: bool) {
    let (parker, driver) = (Arc::new(Parker::new()), Arc::new(FakeDriver(Futex::new(0))));
    let news = Arc::new(AtomicUsize::new(0));
    let worker = {
        let (parker, driver, news) = (parker.clone(), driver.clone(), news.clone());
        thread::spawn(move || {
            if in_driver {
                parker.park_in(|| driver.sleep());
            } else {
                parker.park();
            }
            assert!(news.load(Ordering::Relaxed) == 1, "MODEL: unparked without the news");
        })
    };
    news.store(1, Ordering::Relaxed);
    parker.unpark(Some(&*driver));
    worker.join().unwrap();
}

/// Unparked from the futex, before or after falling asleep: what was written before is seen.
pub fn unpark_futex() {
    unparked(false);
}

/// Unparked from the driver, likewise.
pub fn unpark_driver() {
    unparked(true);
}

/// Two unparkers and one token: whoever comes second adds nothing to the token, but what was
/// written before it must be seen as well, also if it comes while the token is taken.
pub fn unpark_twice() {
    let parker = Arc::new(Parker::new());
    let news = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let bring = |one: usize| {
        let (parker, news) = (parker.clone(), news.clone());
        move || {
            news[one].store(1, Ordering::Relaxed);
            parker.unpark(None::<&NoBed>);
        }
    };
    let other = thread::spawn(bring(0));
    let sleeper = {
        let (parker, news) = (parker.clone(), news.clone());
        thread::spawn(move || {
            while news.iter().any(|one| one.load(Ordering::Relaxed) == 0) {
                parker.park();
            }
        })
    };
    bring(1)();
    other.join().unwrap();
    sleeper.join().unwrap();
}
