//! The task of a `block_on`: it is polled in place, and its thread sleeps on a seat.

use std::panic::Location;
use std::task::Poll;

use loom::sync::Arc;
use loom::thread;

use crate::error::JoinError;
use crate::primitive::{AtomicUsize, Ordering};
use crate::scheduler::live::LiveList;
use crate::scheduler::park::{NoBed, Parker};
use crate::task::cell::{self, AtomicRunnable, Closed, Listed, Place, Rooted, Spawn};
use crate::task::{Ending, Runnable, Schedule};

/// As the seats of `scheduler/root.rs`, which are never given up: a model needs new ones.
#[derive(Debug)]
struct Seat {
    mailbox: AtomicRunnable,
    parker: Parker,
    list: LiveList,
}

#[derive(Debug)]
enum OnSeat {}

impl Schedule for OnSeat {
    type Owner = Seat;

    fn schedule(owner: &'static Seat, task: Runnable) {
        let before = owner.mailbox.swap(Some(task));
        assert!(before.is_none(), "MODEL: two rights to poll one task");
        owner.parker.unpark(None::<&NoBed>);
    }

    fn track(owner: &'static Seat, task: Listed) -> Result<Place, (Closed, Listed)> {
        owner.list.insert(task).map(|slot| Place { slot, list: 0 })
    }

    fn untrack(owner: &'static Seat, place: Place) -> Listed {
        owner.list.remove(place.slot).0
    }

    fn later(_: &'static Seat, job: cell::Job) {
        job();
    }

    fn unhandled(_: &'static Seat, _: &JoinError) {}
}

/// Two wake a thread that blocks; it ends when it has seen what both wrote before.
pub fn wake_wake_block() {
    let seat: &'static Seat = Box::leak(Box::new(Seat {
        mailbox: AtomicRunnable::empty(),
        parker: Parker::new(),
        list: LiveList::default(),
    }));
    let values = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let mut wakers = Vec::new();
    let new = Spawn { owner: seat, site: Location::caller(), home: None, extra: None };
    let mut task = cell::root::<OnSeat>(new);
    let saw = loop {
        let polled = task.run_with(|cx| {
            let sum: usize = values.iter().map(|value| value.load(Ordering::Relaxed)).sum();
            if wakers.is_empty() {
                wakers.extend([0, 1].map(|one| {
                    let (values, waker) = (values.clone(), cx.waker().clone());
                    thread::spawn(move || {
                        values[one].store(1, Ordering::Relaxed);
                        waker.wake();
                    })
                }));
            }
            if sum == 2 { Poll::Ready(sum) } else { Poll::Pending }
        });
        task = match polled {
            Rooted::Ready(saw, task) => {
                assert!(task.end_root(Ending::Finished, || ()), "MODEL: nothing holds it");
                break saw;
            }
            Rooted::Overruled(..) | Rooted::Cancelled(_) => panic!("MODEL: nobody cancels it"),
            Rooted::Again(task) => task,
            Rooted::Parked => loop {
                if let Some(task) = seat.mailbox.take() {
                    break task;
                }
                seat.parker.park();
            },
        };
    };
    assert!(saw == 2, "MODEL: ready");
    wakers.into_iter().for_each(|waker| waker.join().unwrap());
    assert!(seat.mailbox.is_empty() && seat.list.is_empty(), "MODEL: nothing is left");
}
