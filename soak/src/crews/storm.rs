//! Tasks by the thousand, and every way in which one can end and be waited for.

use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use fastrand::Rng;
use filch::{JoinHandle, Until, yield_now};

use super::chosen;
use crate::ledger::Followed;
use crate::world::{Bomb, Crew};

/// What a task of a storm gives: its number.
async fn part(crew: Crew, mut rng: Rng, number: u64) -> u64 {
    match rng.u32(0..20) {
        0..8 => {}
        8..11 => {
            for _ in 0..rng.u32(0..20) {
                yield_now().await;
            }
        }
        11..13 => crew.world.nap(Duration::from_micros(rng.u64(0..3000))).await,
        13 => {
            let child = crew.spawn(async move { number });
            if rng.bool() {
                return crew.join(child).await.unwrap_or(number);
            }
        }
        14 => {
            for _ in 0..rng.u32(0..10) {
                drop(filch::spawn(crew.ledger.enter(yield_now())));
            }
        }
        15 => {
            if rng.bool() {
                yield_now().await;
            }
            panic!("planned: in a poll");
        }
        16 => {
            // Dropped when it returns, or when it is cut.
            let _bomb = Bomb;
            crew.world.nap(Duration::from_micros(rng.u64(0..2000))).await;
        }
        17 => {
            let task = filch::task::current().unwrap();
            if rng.bool() {
                task.cancel()
            } else {
                task.cancel_with("by itself")
            };
            yield_now().await;
        }
        18 => {
            let (send, receive) = async_channel::bounded(1);
            let child = crew.spawn(async move { send.send(number).await.is_ok() });
            let received = receive.recv().await;
            crew.world.check(received == Ok(number), || format!("a child sent {received:?}"));
            crew.join(child).await;
        }
        _ => pending().await,
    }
    number
}

fn disturb(task: &Followed<u64>, rng: &mut Rng) {
    match rng.u32(0..6) {
        0 | 1 => drop(task.handle.cancel()),
        2 => drop(task.handle.cancel_with("at random")),
        // (It needs a timer: the one of this thread's runtime.)
        3 if filch::Handle::try_current().is_some() => {
            let _ = task.handle.cancel_within(Duration::from_millis(rng.u64(0..20)));
        }
        _ => task.abort(),
    }
}

pub(crate) async fn round(crew: Crew, mut rng: Rng) {
    let count = if rng.u32(0..20) == 0 { 5000 } else { rng.u64(1..300) };
    let calls = Arc::new(AtomicUsize::new(0));
    crew.step("spawns");
    let mut called = 0;
    let mut tasks: Vec<(u64, Followed<u64>)> = (0..count)
        .map(|number| (number, crew.spawn(part(crew.clone(), rng.fork(), number))))
        .collect();
    for (_, task) in chosen(&tasks, &mut rng, 8) {
        let calls = Arc::clone(&calls);
        task.handle.task().on_done(move |task| {
            assert!(task.is_finished());
            calls.fetch_add(1, Ordering::Relaxed);
        });
        crew.ledger.callbacks.fetch_add(1, Ordering::Relaxed);
        called += 1;
    }
    crew.step("meddles with wakers");
    if rng.u32(0..4) == 0 && !tasks.is_empty() {
        let index = rng.usize(0..tasks.len());
        angry(&crew, &mut tasks[index].1.handle);
    }
    for (_, task) in chosen(&tasks, &mut rng, 4) {
        disturb(task, &mut rng);
    }
    yield_now().await;
    // From here on everything comes to an end: what waits for ever is asked to.
    for (_, task) in &tasks {
        if !task.handle.is_finished() {
            disturb(task, &mut rng);
        }
    }
    crew.step("joins");
    match rng.u32(0..5) {
        0 | 1 => {
            for (number, task) in tasks {
                let value = crew.join(task).await;
                crew.world
                    .check(value.is_none_or(|value| value == number), || "whose value?".into());
            }
        }
        2 => {
            let (handles, fates): (Vec<_>, Vec<_>) = split(tasks);
            let ids: Vec<_> = handles.iter().map(JoinHandle::id).collect();
            let mut completed = filch::as_completed(handles);
            let mut seen = 0;
            while let Some((id, result)) = completed.next().await {
                let index = ids.iter().position(|other| *other == id);
                crew.settle(&fates[index.expect("a task of this storm")], result);
                seen += 1;
            }
            crew.world.check(seen == count, || format!("as_completed gave {seen} of {count}"));
        }
        3 => {
            let (mut handles, fates): (Vec<_>, Vec<_>) = split(tasks);
            let ids: Vec<_> = handles.iter().map(JoinHandle::id).collect();
            while !handles.is_empty() {
                let until = if rng.bool() { Until::First } else { Until::All };
                let limit = rng.bool().then(|| Duration::from_millis(rng.u64(0..50)));
                for handle in filch::wait(&mut handles, until, limit).await {
                    let index = ids.iter().position(|id| *id == handle.id()).unwrap();
                    crew.settle(&fates[index], handle.await);
                }
            }
        }
        _ => {
            for (_, Followed { mut handle, fate }) in tasks {
                let limit = Duration::from_micros(rng.u64(0..500));
                loop {
                    match filch::timeout(limit, &mut handle).await {
                        Ok(result) => {
                            crew.settle(&fate, result);
                            break;
                        }
                        Err(_) => yield_now().await,
                    }
                }
            }
        }
    }
    // (Callbacks run when the result has been published.)
    crew.step("waits for callbacks");
    while calls.load(Ordering::Relaxed) < called {
        crew.world.nap(Duration::from_millis(1)).await;
    }
    crew.world.check(calls.load(Ordering::Relaxed) == called, || "a callback ran twice".into());
}

fn split(
    tasks: Vec<(u64, Followed<u64>)>,
) -> (Vec<JoinHandle<u64>>, Vec<Arc<crate::ledger::Fate>>) {
    tasks.into_iter().map(|(_, task)| (task.handle, task.fate)).unzip()
}

/// A waker that panics when it wakes, and when the last of it goes.
struct Angry;

impl Wake for Angry {
    fn wake(self: Arc<Self>) {
        panic!("planned: in a waker");
    }
}

impl Drop for Angry {
    fn drop(&mut self) {
        drop(Bomb);
    }
}

/// Leaves an angry waker with a task's end, and with a timer. Whoever wakes them has to bear it.
fn angry(crew: &Crew, handle: &mut JoinHandle<u64>) {
    let waker = Waker::from(Arc::new(Angry));
    let mut cx = Context::from_waker(&waker);
    if !handle.is_finished() {
        let mut wait = Box::pin(filch::sleep(Duration::from_micros(200)));
        // (If it is due already, it wakes right now: that panic is ours.)
        let polled = catch_unwind(AssertUnwindSafe(|| wait.as_mut().poll(&mut cx)));
        if matches!(polled, Ok(Poll::Pending)) {
            drop(crew.spawn(async move {
                // It is polled again, with a better waker, some time after the first one was woken.
                yield_now().await;
                wait.await;
            }));
        }
    }
    // The last of it is dropped by whoever fires the timer, or takes its place.
    let last = catch_unwind(AssertUnwindSafe(|| drop(waker)));
    drop(last);
}

/// From threads that belong to no runtime.
pub(crate) fn outside(crew: &Crew, mut rng: Rng) {
    crew.step("spawns");
    let patience = Duration::from_millis(100);
    let tasks: Vec<_> = (0..rng.u64(1..200))
        .map(|number| crew.spawn(part(crew.clone(), rng.fork(), number)))
        .collect();
    tasks.iter().for_each(|task| {
        if rng.bool() {
            disturb(task, &mut rng);
        }
    });
    crew.step("joins from outside");
    for mut task in tasks {
        loop {
            match task.handle.join_timeout(patience) {
                Some(result) => {
                    crew.settle(&task.fate, result);
                    break;
                }
                None => disturb(&task, &mut rng),
            }
        }
    }
    crew.step("blocks on a future");
    // (futures-lite's block_on: a thread without a runtime polls what belongs to one.)
    let task = crew.spawn(part(crew.clone(), rng.fork(), 7));
    let Followed { mut handle, fate } = task;
    disturb_later(crew, &handle, rng.u64(0..5));
    let result =
        futures_lite::future::block_on(poll_fn(|cx| match Pin::new(&mut handle).poll(cx) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => Poll::Pending,
        }));
    crew.settle(&fate, result);
    std::thread::sleep(Duration::from_millis(rng.u64(0..10)));
}

fn disturb_later<T>(crew: &Crew, handle: &JoinHandle<T>, ms: u64) {
    let task = handle.task();
    drop(crew.spawn(async move {
        filch::sleep(Duration::from_millis(ms)).await;
        task.cancel();
    }));
}
