//! What waits by the libraries of others: nothing may be lost when a wait is cut short.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_lock::{Barrier, Mutex, RwLock, Semaphore};
use event_listener::{Event, Listener};
use fastrand::Rng;
use filch::{timeout, yield_now};

use crate::world::{Crew, Patience};

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn round(crew: Crew, mut rng: Rng) {
    match rng.u32(0..5) {
        0 | 1 => channels(&crew, &mut rng).await,
        2 => ping_pong(&crew, &mut rng).await,
        3 => locks(&crew, &mut rng).await,
        _ => events(&crew, &mut rng).await,
    }
}

/// What is sent is received once.
async fn channels(crew: &Crew, rng: &mut Rng) {
    crew.step("sends");
    let (send, receive) = match rng.bool() {
        true => async_channel::unbounded(),
        false => async_channel::bounded(rng.usize(1..64)),
    };
    let (each, sum) = (rng.u64(1..2000), Arc::new(AtomicU64::new(0)));
    let receivers: Vec<_> = (0..rng.u32(1..8))
        .map(|_| {
            let (receive, sum, mut rng) = (receive.clone(), Arc::clone(&sum), rng.fork());
            crew.spawn(async move {
                loop {
                    let limit = Duration::from_micros(rng.u64(0..2000));
                    match timeout(limit, receive.recv()).await {
                        Ok(Ok(value)) => _ = sum.fetch_add(value, Ordering::Relaxed),
                        Ok(Err(_)) => break,
                        Err(_) => {}
                    }
                }
            })
        })
        .collect();
    let senders: Vec<_> = (0..rng.u64(1..8))
        .map(|_| {
            let (send, mut rng) = (send.clone(), rng.fork());
            crew.spawn(async move {
                let mut sent = 0;
                for value in 0..each {
                    if send.send(value).await.is_err() {
                        break;
                    }
                    sent += value;
                    if rng.u32(0..100) == 0 {
                        yield_now().await;
                    }
                }
                sent
            })
        })
        .collect();
    drop((send, receive));
    let mut sent = 0;
    for sender in senders {
        sent += crew.join(sender).await.unwrap_or(0);
    }
    crew.step("receives");
    for receiver in receivers {
        crew.join(receiver).await;
    }
    let received = sum.load(Ordering::Relaxed);
    crew.world.check(received == sent, || format!("a channel gave {received} of {sent}"));
}

async fn ping_pong(crew: &Crew, rng: &mut Rng) {
    crew.step("ping-pong");
    let ((ping, take_ping), (pong, take_pong)) =
        (async_channel::bounded(1), async_channel::bounded(1));
    let other = crew.spawn(async move {
        while let Ok(number) = take_ping.recv().await {
            if pong.send(number).await.is_err() {
                break;
            }
        }
    });
    for number in 0..rng.u32(1..5000) {
        let back = async {
            ping.send(number).await.ok()?;
            take_pong.recv().await.ok()
        };
        let back = Patience::new(PATIENCE).wait(back).await;
        if back != Some(Some(number)) {
            return crew.world.wrong(format!("{back:?} came back instead of {number}"));
        }
    }
    drop(ping);
    crew.join(other).await;
}

/// Whoever waits for a lock may give up; the lock does not get lost.
async fn locks(crew: &Crew, rng: &mut Rng) {
    crew.step("locks");
    let count = rng.usize(1..40);
    let (mutex, lock) = (Arc::new(Mutex::new(0_u64)), Arc::new(RwLock::new(0_u64)));
    let permits = rng.usize(1..4);
    let (semaphore, inside) = (Arc::new(Semaphore::new(permits)), Arc::new(AtomicU64::new(0)));
    let tasks: Vec<_> = (0..count)
        .map(|_| {
            let (mutex, lock, semaphore, inside) =
                (mutex.clone(), lock.clone(), semaphore.clone(), inside.clone());
            let (world, mut rng) = (crew.world, rng.fork());
            crew.spawn(async move {
                let mut done = (0, 0);
                for _ in 0..rng.u32(1..50) {
                    let limit = Duration::from_micros(rng.u64(0..3000));
                    match rng.u32(0..4) {
                        0 => {
                            if let Ok(mut guard) = timeout(limit, mutex.lock()).await {
                                // (Both writes are in one poll, or a cut would be seen as a loss.)
                                *guard += 1;
                                done.0 += 1;
                                yield_now().await;
                            }
                        }
                        1 => {
                            if let Ok(mut guard) = timeout(limit, lock.write()).await {
                                *guard += 1;
                                done.1 += 1;
                                yield_now().await;
                            }
                        }
                        2 => drop(timeout(limit, lock.read()).await),
                        _ => {
                            if let Ok(_permit) = timeout(limit, semaphore.acquire()).await {
                                let before = inside.fetch_add(1, Ordering::SeqCst);
                                world.check(before < permits as u64, || "too many permits".into());
                                yield_now().await;
                                inside.fetch_sub(1, Ordering::SeqCst);
                            }
                        }
                    }
                }
                done
            })
        })
        .collect();
    let mut done = (0, 0);
    for task in tasks {
        let part = crew.join(task).await.unwrap_or_default();
        done = (done.0 + part.0, done.1 + part.1);
    }
    let counted = (*mutex.lock().await, *lock.read().await);
    crew.world.check(counted == done, || format!("locks counted {counted:?}, tasks {done:?}"));
}

/// A barrier that all reach, and an event for a thread that waits for tasks.
async fn events(crew: &Crew, rng: &mut Rng) {
    crew.step("a barrier");
    let count = rng.usize(1..100);
    let (barrier, leaders) = (Arc::new(Barrier::new(count)), Arc::new(AtomicU64::new(0)));
    let tasks: Vec<_> = (0..count)
        .map(|_| {
            let (barrier, leaders) = (barrier.clone(), leaders.clone());
            crew.spawn(async move {
                if barrier.wait().await.is_leader() {
                    leaders.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for task in tasks {
        crew.join(task).await;
    }
    let leaders = leaders.load(Ordering::Relaxed);
    crew.world.check(leaders == 1, || format!("a barrier had {leaders} leaders"));
    crew.step("an event");
    let event = Arc::new(Event::new());
    let listener = event.listen();
    // (A thread that waits without a limit: if it is not told, somebody else finds this crew hanging.)
    let waits = filch::spawn_blocking(crew.ledger.job(move || listener.wait()));
    drop(crew.spawn(async move { event.notify(1) }));
    crew.expect_planned(waits.await);
}
