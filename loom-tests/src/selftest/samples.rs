//! Small models of which everything is known. They also show what a model looks like.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use filch_loom_primitive::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use filch_loom_primitive::{
    AtomicBool, AtomicU32, AtomicUsize, Condvar, Futex, Mutex, UnsafeCell, fence, seeded, tls,
};
use loom::thread;

use super::queue::{Queue, Steal};

/// Something that only one thread at a time may touch: loom finds who does otherwise.
#[derive(Default)]
struct Data(UnsafeCell<u32>);

#[allow(unsafe_code, reason = "loom checks the access before it happens")]
impl Data {
    fn set(&self, value: u32) {
        // SAFETY: loom fails the model if another access races with this one.
        self.0.with_mut(|data| unsafe { *data = value });
    }

    fn get(&self) -> u32 {
        // SAFETY: loom fails the model if a write races with this read.
        self.0.with(|data| unsafe { *data })
    }
}

// SAFETY: loom's threads are never on two system threads, and loom reports each race.
#[allow(unsafe_code, reason = "as above")]
unsafe impl Sync for Data {}

/// The threads of a model share one of these.
#[derive(Default)]
struct Shared {
    data: Data,
    flag: AtomicBool,
    left: AtomicUsize,
    right: AtomicUsize,
}

fn shared() -> (Arc<Shared>, Arc<Shared>) {
    let shared = Arc::new(Shared::default());
    (shared.clone(), shared)
}

pub(super) fn message_passing() {
    let (here, there) = shared();
    let sender = thread::spawn(move || {
        there.data.set(42);
        there.flag.store(true, Release); // [flag-store] partner: flag-load.
    });
    // [flag-load] partner: flag-store.
    if here.flag.load(Acquire) {
        assert_eq!(here.data.get(), 42, "MODEL: the flag came before the data");
    }
    sender.join().unwrap();
}

pub(super) fn expected_panic() {
    let (here, there) = shared();
    let sender = thread::spawn(move || {
        there.data.set(42);
        let publish = AssertUnwindSafe(|| {
            there.flag.store(true, Release); // [panic-store] partner: panic-load.
            panic!("EXPECTED: the code under test catches this");
        });
        assert!(catch_unwind(publish).is_err(), "MODEL: nobody panicked");
    });
    // [panic-load] partner: panic-store.
    if here.flag.load(Acquire) {
        assert_eq!(here.data.get(), 42, "MODEL: the flag came before the data");
    }
    sender.join().unwrap();
}

pub(super) fn dekker() {
    let (here, there) = shared();
    let other = thread::spawn(move || {
        there.left.store(1, Relaxed);
        fence(SeqCst); // [left-fence] partner: right-fence.
        there.right.load(Relaxed)
    });
    here.right.store(1, Relaxed);
    fence(SeqCst); // [right-fence] partner: left-fence.
    let left = here.left.load(Relaxed);
    let right = other.join().unwrap();
    assert!(left + right > 0, "MODEL: each missed the other");
}

/// The data belongs to whoever comes second, who sees what the first wrote.
pub(super) fn hand_over() {
    fn take_part(shared: &Shared, mine: u32) {
        shared.data.get();
        // [hand-over] partner: itself, in the other thread.
        if shared.left.fetch_add(1, AcqRel) == 1 {
            shared.data.set(mine);
        }
    }
    let (here, there) = shared();
    let other = thread::spawn(move || take_part(&there, 1));
    take_part(&here, 2);
    other.join().unwrap();
}

/// Only the exchange that fails has seen the other thread's.
pub(super) fn failed_exchange() {
    let (here, there) = shared();
    let other = thread::spawn(move || {
        there.data.set(42);
        there.left.swap(7, Release); // [put] partner: try-take, failing.
    });
    let taken = here.left.compare_exchange(0, 1, Relaxed, Acquire); // [try-take] partner: put.
    if taken.is_err() {
        assert_eq!(here.data.get(), 42, "MODEL: the value came before the data");
    }
    other.join().unwrap();
}

fn both_halves(word: &AtomicUsize, value: usize) -> usize {
    word.swap(value, AcqRel) // [both-halves] partner: itself.
}

/// Here only what was written before the exchange matters to the one who comes later.
fn in_one_direction(order: fn(&Shared) -> bool, hand_over: fn(&Shared)) {
    let (here, there) = shared();
    let other = thread::spawn(move || {
        there.data.set(42);
        hand_over(&there);
    });
    if order(&here) {
        assert_eq!(here.data.get(), 42, "MODEL: the word came before the data");
    }
    other.join().unwrap();
}

pub(super) fn hand_over_only() {
    in_one_direction(
        |shared| shared.left.load(Acquire) == 1, // [one-load] partner: both-halves.
        |shared| {
            both_halves(&shared.left, 1);
        },
    );
}

pub(super) fn hand_back_only() {
    in_one_direction(
        |shared| both_halves(&shared.left, 2) == 1,
        |shared| shared.left.store(1, Release), // [one-store] partner: both-halves.
    );
}

const AWAKE: u32 = 0;
const ASLEEP: u32 = 1;
const CALLED: u32 = 2;

/// A worker announces that it sleeps, looks for work once more and sleeps; work is published, then
/// whoever sleeps is called. To miss each other is a deadlock.
pub(super) fn sleep() {
    let work = Arc::new(AtomicBool::new(false));
    let bed = Arc::new(Futex::new(AWAKE));
    let worker = {
        let (work, bed) = (work.clone(), bed.clone());
        thread::spawn(move || {
            bed.store(ASLEEP, Relaxed);
            fence(SeqCst); // [sleeper-fence] partner: caller-fence.
            if !seeded("no-recheck") && work.load(Relaxed) {
                return;
            }
            while bed.load(Relaxed) == ASLEEP {
                bed.wait(ASLEEP);
            }
        })
    };
    work.store(true, Relaxed);
    fence(SeqCst); // [caller-fence] partner: sleeper-fence.
    if bed.load(Relaxed) == ASLEEP {
        bed.store(CALLED, Relaxed);
        bed.wake_one();
    }
    worker.join().unwrap();
}

/// Whoever is called looks at the word in another line than whoever did not need to sleep.
pub(super) fn sleep_and_look_once() {
    let data = Arc::new(Data::default());
    let bed = Arc::new(Futex::new(ASLEEP));
    let caller = {
        let (data, bed) = (data.clone(), bed.clone());
        thread::spawn(move || {
            data.set(42);
            bed.store(CALLED, Release); // [call] partner: look-before, look-after.
            bed.wake_one();
        })
    };
    // [look-before] partner: call.
    let mut called = bed.load(Acquire) == CALLED;
    if !called {
        bed.wait(ASLEEP);
        called = bed.load(Acquire) == CALLED; // [look-after] partner: call.
    }
    if called {
        assert_eq!(data.get(), 42, "MODEL: called before the data was there");
    }
    caller.join().unwrap();
}

pub(super) fn sleep_only_once() {
    let bed = Arc::new(Futex::new(ASLEEP));
    let caller = {
        let bed = bed.clone();
        thread::spawn(move || {
            bed.swap(CALLED, Relaxed);
            bed.wake_one();
        })
    };
    bed.wait(ASLEEP);
    let word = bed.fetch_add(0, Relaxed);
    assert_eq!(word, CALLED, "MODEL: awake but not called");
    caller.join().unwrap();
}

pub(super) fn weak_exchange_once() {
    let word = AtomicU32::new(0);
    let exchanged = word.compare_exchange_weak(0, 1, Relaxed, Relaxed);
    assert_eq!(exchanged, Ok(0), "MODEL: 0 was not 0");
}

pub(super) fn nobody_wakes() {
    let bed = Arc::new(Futex::new(ASLEEP));
    let sleeper = {
        let bed = bed.clone();
        thread::spawn(move || bed.wait(ASLEEP))
    };
    bed.store(CALLED, Relaxed);
    sleeper.join().unwrap();
}

/// One tries to sleep on a value that is gone, the other sleeps: the one wake-up is for it.
pub(super) fn two_sleepers() {
    let bed = Arc::new(Futex::new(ASLEEP));
    let sleepers = [AWAKE, ASLEEP].map(|expected| {
        let bed = bed.clone();
        thread::spawn(move || bed.wait(expected))
    });
    bed.store(CALLED, Relaxed);
    bed.wake_one();
    for sleeper in sleepers {
        sleeper.join().unwrap();
    }
}

pub(super) fn timed_wait() {
    let mutex = Mutex::new(());
    let (_guard, notified) = Condvar::new().wait_timeout(mutex.lock(), Duration::from_secs(1));
    assert!(!notified, "MODEL: nobody notifies");
}

pub(super) fn timed_wait_or_not() {
    let pair = Arc::new((Mutex::new(false), Condvar::new()));
    let other = {
        let pair = pair.clone();
        thread::spawn(move || {
            *pair.0.lock() = true;
            pair.1.notify_one();
        })
    };
    let mut ready = pair.0.lock();
    while !*ready {
        ready = pair.1.wait_timeout(ready, Duration::from_secs(1)).0;
    }
    drop(ready);
    other.join().unwrap();
}

pub(super) fn too_strong() {
    let counter = Arc::new(AtomicUsize::new(0));
    let count = |counter: &AtomicUsize| counter.fetch_add(1, Release); // [counter]
    let other = {
        let counter = counter.clone();
        thread::spawn(move || count(&counter))
    };
    count(&counter);
    other.join().unwrap();
    assert_eq!(counter.load(Relaxed), 2, "MODEL: miscounted");
}

pub(super) fn harmless_bug() {
    let counter = AtomicUsize::new(0);
    if !seeded("harmless") {
        counter.store(1, Relaxed);
    }
}

pub(super) fn unsound() {
    let (here, there) = shared();
    let other = thread::spawn(move || there.data.set(1));
    here.data.set(2);
    other.join().unwrap();
}

/// Has more orders than anyone can wait for.
pub(super) fn large() {
    let counter = Arc::new(AtomicU32::new(0));
    let count = |counter: &AtomicU32| {
        for _ in 0..12 {
            counter.fetch_add(1, Relaxed);
        }
    };
    let others = [(); 3].map(|()| {
        let counter = counter.clone();
        thread::spawn(move || count(&counter))
    });
    count(&counter);
    for other in others {
        other.join().unwrap();
    }
}

pub(super) fn endless_loop() {
    let (here, there) = shared();
    let other = thread::spawn(move || there.flag.store(true, Relaxed));
    while !here.flag.load(Relaxed) {}
    other.join().unwrap();
}

pub(super) fn slow_twin() {
    if seeded("slow") {
        std::thread::sleep(Duration::from_secs(60));
    }
}

pub(super) fn crashing_twin() {
    let nothing: [u32; 0] = [];
    if seeded("crash") {
        let index = nothing.len() + 1;
        assert_eq!(nothing[index], 0, "MODEL: never comes so far");
    }
}

pub(super) fn aborting_twin() {
    if seeded("abort") {
        std::process::abort();
    }
}

pub(super) fn tagged_twice() {
    let (here, there) = shared();
    let other = thread::spawn(move || {
        there.data.set(42);
        there.flag.store(true, Release); // [twice]
    });
    // [twice]
    if here.flag.load(Acquire) {
        assert_eq!(here.data.get(), 42, "MODEL: the flag came before the data");
    }
    other.join().unwrap();
}

/// Until it is seen to be empty.
fn steal_all(from: &super::queue::Stealer<u32>, taken: &mut Vec<u32>) {
    let own = Queue::new();
    loop {
        match from.steal_batch_and_pop(&own, 2) {
            Steal::Success(item) => taken.push(item),
            Steal::Retry => continue,
            Steal::Empty => break,
        }
        taken.extend(std::iter::from_fn(|| own.pop()));
    }
}

pub(super) fn thieves() {
    let queue = Queue::new();
    (0..3).for_each(|item| queue.push(item));
    let thief = {
        let stealer = queue.stealer();
        thread::spawn(move || {
            let mut taken = Vec::new();
            steal_all(&stealer, &mut taken);
            taken
        })
    };
    queue.push(3);
    let mut taken: Vec<u32> = queue.pop().into_iter().collect();
    taken.extend(thief.join().unwrap());
    taken.extend(std::iter::from_fn(|| queue.pop()));
    taken.sort_unstable();
    assert_eq!(taken, [0, 1, 2, 3], "MODEL: an item was lost or doubled");
}

/// Dekker once more: a push and a look at a flag, the flag and a look into the queue.
pub(super) fn push_and_announce() {
    let queue = Queue::new();
    let announced = Arc::new(AtomicBool::new(false));
    let sleeper = {
        let (stealer, announced) = (queue.stealer(), announced.clone());
        thread::spawn(move || {
            announced.store(true, Relaxed);
            fence(SeqCst); // [look-fence] partner: push-fence.
            stealer.is_empty()
        })
    };
    queue.push(1);
    fence(SeqCst); // [push-fence] partner: look-fence.
    let seen = announced.load(Relaxed);
    let sleeps = sleeper.join().unwrap();
    assert!(seen || !sleeps, "MODEL: asleep beside a queue that is not empty");
}

tls! { static LOCAL: Cell<u32> = Cell::new(0) }

pub(super) fn locals() {
    LOCAL.set(1);
    let other = thread::spawn(|| LOCAL.replace(2));
    assert_eq!(other.join().unwrap(), 0, "MODEL: a new thread found another's value");
    assert_eq!(LOCAL.get(), 1, "MODEL: another thread changed this one's value");
}
