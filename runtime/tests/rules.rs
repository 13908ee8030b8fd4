//! The rules of cancellation, one after the other, and days on which everything goes wrong.
//!
//! `ROWS.md` says which test shows which rule; those here are the ones that no other file has.

mod support;

use std::error::Error;
use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::Poll;
use std::thread::{self, ThreadId};
use std::time::Duration;

use filch::time::{advance, now};
use filch::{
    CancelScope, Cancelled, JoinError, JoinHandle, Runtime, TaskGroup, catch_cancel, gather,
    shield, sleep, spawn, task, task_group, timeout, timeout_scope, wait_for, yield_now,
};
use support::hush_panics;
use support::manual::{Log, S, Stopwatch, cleans_up_for, manual, manual_on, settle, tells_cancel};

async fn caught() -> Cancelled {
    catch_cancel(pending::<()>()).await.unwrap_err()
}

async fn is_cancelled<T: fmt::Debug>(handle: JoinHandle<T>) {
    let error = handle.await.unwrap_err();
    assert!(error.is_cancelled(), "{error}");
}

/// Starts a task, and lets it run until it waits.
async fn started<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    let handle = spawn(future);
    settle().await;
    handle
}

/// Polls a future once, which is not ready.
async fn poll_once<F: Future + ?Sized>(future: &mut Pin<Box<F>>) {
    poll_fn(|cx| {
        assert!(future.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

// ── rules 1 to 4 ──────────────────────────────────────────────────────────────────────────────

#[test]
fn rule_01_a_region_that_has_ended_says_so_and_nothing_happens() {
    manual(async || {
        let handle = started(async { 1 }).await;
        let task = handle.task();
        assert!(!task.cancel() && !task.cancel_with("late") && !task.abort());
        assert!(!task.cancel_within(S));
        assert_eq!(task.cancelling(), 0);
        assert_eq!(handle.await.unwrap(), 1);

        let mut kept = None;
        task_group(async |group| kept = Some(group)).await;
        let kept: TaskGroup<_> = kept.unwrap();
        kept.cancel();
        yield_now().await;

        let mut deadline = None;
        timeout_scope(S, async |d| deadline = Some(d)).await.unwrap();
        assert!(!deadline.unwrap().reschedule(now()));
        yield_now().await;
    });
}

#[test]
fn rule_02_without_catches_the_region_fires_and_with_some_the_innermost_of_each_branch() {
    manual(async || {
        let plain = started(pending::<()>()).await;
        plain.cancel();
        is_cancelled(plain).await;

        let log = Log::default();
        let (left, right) = (log.clone(), log.clone());
        let both = started(async move {
            let left = async {
                let inner = catch_cancel(tells_cancel(S, left, "left, inner"));
                inner.await.map_err(|_| unreachable!("it passes on to the task"))
            };
            let right = async {
                drop(caught().await);
                right.add("right");
            };
            futures_lite::future::zip(left, right).await
        })
        .await;
        both.cancel();
        settle().await;
        assert_eq!(log.count("left, inner") + log.count("right"), 2);
        both.abort();
    });
}

#[test]
fn rule_03_a_catch_drops_its_future_before_it_gives_the_token() {
    manual(async || {
        let log = Log::default();
        let mine = log.clone();
        let handle = started(async move {
            let guard = mine.at_drop("dropped");
            let result = catch_cancel(async move {
                let _guard = guard;
                pending::<()>().await;
            })
            .await;
            mine.add("token");
            result
        })
        .await;
        handle.cancel();
        is_cancelled(handle).await;
        assert_eq!(log.entries(), ["dropped", "token"]);
    });
}

/// Sends the thread on which it is dropped.
struct TellsThread(mpsc::Sender<ThreadId>);

impl Drop for TellsThread {
    fn drop(&mut self) {
        let _ = self.0.send(thread::current().id());
    }
}

#[test]
fn rule_04_the_task_is_dropped_by_a_worker_before_anybody_sees_its_end() {
    for workers in [1, 4] {
        let runtime = Runtime::builder().worker_threads(workers).build().unwrap();
        let (tell, told) = mpsc::channel();
        let (begin, begun) = mpsc::channel();
        let mut handle = runtime.spawn(async move {
            let _guard = TellsThread(tell);
            begin.send(thread::current().id()).unwrap();
            pending::<()>().await;
        });
        begun.recv().unwrap();
        assert!(handle.cancel());
        let error = handle.join_timeout(Duration::from_secs(20)).expect("it hangs").unwrap_err();
        assert!(error.is_cancelled());
        let dropped_on = told.try_recv().expect("dropped before the end is seen");
        assert_ne!(dropped_on, thread::current().id());
    }
}

// ── rule 5 ────────────────────────────────────────────────────────────────────────────────────

#[test]
fn rule_05_a_loop_that_logs_and_goes_on_is_no_livelock() {
    async fn step() -> Result<(), Cancelled> {
        catch_cancel(sleep(3600 * S)).await
    }
    manual(async || {
        let errors = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&errors);
        let handle = started(async move {
            loop {
                if let Err(_logged) = step().await {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
        .await;
        handle.cancel_with("enough");
        let error: JoinError = match handle.await {
            Err(error) => error,
            Ok(never) => never,
        };
        assert_eq!(error.reason(), Some("enough"));
        assert_eq!(errors.load(Ordering::Relaxed), 1, "a catch begun later is not asked");
    });
}

/// As above, but the token is kept. It shields, which can be seen, and an abort ends it.
#[test]
fn rule_05_a_token_kept_in_a_variable_shields_and_is_reported_with_its_place() {
    manual(async || {
        let place = Arc::new(AtomicU32::new(0));
        let line = Arc::clone(&place);
        let handle = started(async move {
            let mut last_error = None;
            loop {
                let (here, hour) = (line!(), catch_cancel(sleep(3600 * S)));
                line.store(here, Ordering::Relaxed);
                if let Err(error) = hour.await {
                    last_error = Some(error);
                }
                assert!(last_error.is_some());
            }
        })
        .await;
        handle.cancel();
        settle().await;
        assert!(!handle.is_finished());
        let held_by = handle.task().info().held_by.expect("the token is known");
        assert_eq!((held_by.file(), held_by.line()), (file!(), place.load(Ordering::Relaxed)));
        assert!(handle.abort());
        let ended: Result<(), JoinError> = handle.await;
        assert!(ended.unwrap_err().is_cancelled());
    });
}

#[test]
fn rule_05_a_token_kept_in_a_field_shields_until_its_owner_is_dropped() {
    struct Session {
        cancelled: Option<Cancelled>,
    }
    manual(async || {
        let log = Log::default();
        let mine = log.clone();
        let handle = started(async move {
            let mut session = Session { cancelled: None };
            session.cancelled = Some(caught().await);
            sleep(S).await;
            mine.add("still here");
            drop(session);
            sleep(S).await;
            mine.add("never");
        })
        .await;
        handle.cancel();
        is_cancelled(handle).await;
        assert_eq!(log.entries(), ["still here"]);
    });
}

#[test]
fn rule_05_what_is_passed_on_goes_to_who_enclosed_the_catch() {
    manual(async || {
        let log = Log::default();
        let mine = log.clone();
        let handle = started(async move {
            let outer = catch_cancel(async {
                drop(caught().await);
                mine.add("inner");
                // Begun later, inside the outer one: it is not asked, it is dropped.
                drop(caught().await);
                mine.add("never");
            });
            let token = outer.await.unwrap_err();
            mine.add("outer");
            token.uncancel()
        })
        .await;
        handle.cancel();
        assert_eq!(handle.await.unwrap(), 0);
        assert_eq!(log.entries(), ["inner", "outer"]);
    });
}

// ── rule 6 ────────────────────────────────────────────────────────────────────────────────────

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("stopped: {0}")]
    Stopped(#[from] Cancelled),
    #[error("broken")]
    #[allow(dead_code, reason = "an enum with one variant would be too easy")]
    Broken,
}

async fn plain() -> Result<(), Cancelled> {
    catch_cancel(sleep(3600 * S)).await
}

async fn boxed() -> Result<(), Box<dyn Error + Send + Sync>> {
    Ok(plain().await?)
}

async fn in_anyhow() -> anyhow::Result<()> {
    use anyhow::Context as _;
    plain().await.context("in the middle").context("further out")
}

async fn in_an_enum() -> Result<(), Failure> {
    Ok(plain().await?)
}

async fn in_io() -> std::io::Result<()> {
    plain().await.map_err(std::io::Error::other)
}

#[test]
fn rule_06_a_token_that_rides_out_in_an_error_is_the_cancel() {
    manual(async || {
        async fn of_a_task<T: fmt::Debug + Send + 'static>(
            future: impl Future<Output = T> + Send + 'static,
        ) {
            let handle = started(future).await;
            handle.cancel_with("why");
            let error = handle.await.unwrap_err();
            assert_eq!((error.is_cancelled(), error.reason()), (true, Some("why")));
        }
        of_a_task(plain()).await;
        of_a_task(boxed()).await;
        of_a_task(in_anyhow()).await;
        of_a_task(in_an_enum()).await;
        of_a_task(in_io()).await;

        assert!(timeout(S, plain()).await.is_err());
        assert!(timeout(S, boxed()).await.is_err());
        assert!(timeout(S, in_anyhow()).await.is_err());
        assert!(timeout(S, in_an_enum()).await.is_err());
        assert!(timeout(S, in_io()).await.is_err());

        let scope = CancelScope::new();
        let inside = scope.clone();
        let handle = started(async move { inside.run(in_anyhow()).await.is_err() }).await;
        scope.cancel();
        assert!(handle.await.unwrap());
    });
}

/// Where the token is does not matter: it is a count of them that tells.
#[test]
fn rule_06_a_token_that_is_kept_elsewhere_counts_as_well() {
    manual(async || {
        let shelf: Arc<Mutex<Option<Cancelled>>> = Arc::default();
        let keep = Arc::clone(&shelf);
        let handle = started(async move {
            *keep.lock().unwrap() = Some(caught().await);
            "a value"
        })
        .await;
        handle.cancel();
        is_cancelled(handle).await;
        // It outlives its task, and has nothing to do any more.
        let token = shelf.lock().unwrap().take().unwrap();
        assert_eq!(token.uncancel(), 0);
    });
}

#[test]
fn rule_06_a_value_in_the_same_poll_is_kept_and_expired_still_tells() {
    manual(async || {
        let mut kept = None;
        let result = timeout_scope(S, async |deadline| {
            kept = Some(deadline);
            caught().await.uncancel();
            "kept"
        });
        assert_eq!(result.await, Ok("kept"));
        assert!(kept.unwrap().expired());

        let itself = spawn(async {
            task::current().unwrap().cancel();
            "kept"
        });
        assert_eq!(itself.await.unwrap(), "kept");
    });
}

/// A token of the task's own request is no matter of a timeout inside.
#[test]
fn rule_06_a_token_knows_its_region() {
    manual(async || {
        let handle = started(async {
            let inside = timeout(3600 * S, async { plain().await }).await;
            // Not `Elapsed`: nobody's time was up.
            inside.expect("its own time is not up").unwrap_err().uncancel()
        })
        .await;
        handle.cancel();
        assert_eq!(handle.await.unwrap(), 0);
    });
}

// ── rules 7 to 9 ──────────────────────────────────────────────────────────────────────────────

#[test]
fn rule_07_what_was_not_started_is_dropped_unpolled_on_a_worker() {
    let runtime = Runtime::builder().worker_threads(1).spare_workers(0).build().unwrap();
    let (tell, told) = mpsc::channel();
    let handle = runtime.block_on(runtime.spawn(async move {
        let guard = TellsThread(tell);
        let handle = spawn(async move {
            let _guard = guard;
            unreachable!("it is cancelled before its only worker could come to it");
        });
        handle.cancel();
        let error: JoinError = match handle.await {
            Err(error) => error,
            Ok(never) => never,
        };
        assert!(error.is_cancelled());
        thread::current().id()
    }));
    assert_eq!(told.try_recv().unwrap(), handle.unwrap());
}

#[test]
fn rule_08_a_request_during_a_poll_is_seen_before_the_task_parks() {
    for workers in [1, 4] {
        for with_catch in [false, true] {
            let runtime = Runtime::builder().worker_threads(workers).build().unwrap();
            let (in_poll, polled) = mpsc::channel();
            let (asked, go_on) = mpsc::channel::<()>();
            let mut handle = runtime.spawn(async move {
                let waits = async move {
                    in_poll.send(()).unwrap();
                    go_on.recv().unwrap(); // in the middle of a poll
                    pending::<()>().await;
                };
                if with_catch {
                    return catch_cancel(waits).await.unwrap_err().uncancel();
                }
                waits.await;
                unreachable!("it was asked to end")
            });
            polled.recv().unwrap();
            assert!(handle.cancel());
            asked.send(()).unwrap();
            let ended = handle.join_timeout(Duration::from_secs(20)).expect("the wake is lost");
            match ended {
                Ok(left) => assert_eq!((with_catch, left), (true, 0)),
                Err(error) => assert!(!with_catch && error.is_cancelled()),
            }
        }
    }
}

#[test]
fn rule_09_a_timeout_polls_its_future_first() {
    manual(async || {
        assert_eq!(timeout(Duration::ZERO, async { 7 }).await, Ok(7));
        assert_eq!(timeout(S, sleep(S)).await, Ok(()), "both are due");
        let mut late = Box::pin(timeout(S, sleep(2 * S)));
        poll_once(&mut late).await;
        advance(3 * S);
        assert_eq!(late.await, Ok(()), "both are over when it is polled");
    });
}

#[test]
fn rule_09_a_task_and_a_catch_look_for_requests_before_they_poll() {
    // With one worker, nobody polls the others between a send and a cancel.
    manual_on(1, async {
        let (send, receive) = async_channel::unbounded();
        let again = receive.clone();
        let plain = started(async move { again.recv().await.unwrap() }).await;
        let catches = started(async move { catch_cancel(receive.recv()).await.is_err() }).await;
        for handle in [&plain.task(), &catches.task()] {
            send.try_send(1).unwrap();
            handle.cancel();
        }
        is_cancelled(plain).await;
        assert!(catches.await.unwrap(), "the token came, not the message");
    });
}

// ── rules 10 to 14 ────────────────────────────────────────────────────────────────────────────

#[test]
fn rule_10_a_second_request_reaches_only_catches_inside_the_cleanup() {
    manual(async || {
        let log = Log::default();
        let mine = log.clone();
        let handle = started(async move {
            let token = caught().await;
            mine.add("first");
            sleep(S).await; // the second request comes here, and cuts nothing
            mine.add("cleanup");
            drop(caught().await); // begun later; the third one comes here
            mine.add("third");
            assert_eq!(token.uncancel(), 2);
        })
        .await;
        handle.cancel();
        settle().await;
        handle.cancel();
        sleep(2 * S).await;
        assert_eq!(log.entries(), ["first", "cleanup"]);
        handle.cancel();
        handle.await.unwrap();
        assert_eq!(log.entries(), ["first", "cleanup", "third"]);
    });
}

#[test]
fn rule_11_abort_ends_cleanups_shields_and_kept_tokens() {
    manual(async || {
        let cleanup = started(async {
            let _token = caught().await;
            pending::<()>().await;
        })
        .await;
        let shielded = started(shield(pending::<()>())).await;
        let group = started(async {
            task_group(async |group| {
                group.spawn(shield(pending::<()>()));
                pending::<()>().await;
            })
            .await;
        })
        .await;
        for handle in [&cleanup, &shielded, &group] {
            handle.cancel();
        }
        settle().await;
        for handle in [cleanup, shielded, group] {
            assert!(!handle.is_finished());
            assert!(handle.abort());
            is_cancelled(handle).await;
        }
    });
}

#[test]
fn rule_11_cancel_within_gives_a_cleanup_its_time_and_no_more() {
    manual(async || {
        let time = Stopwatch::start();
        let quick = started(cleans_up_for(3600 * S, S)).await;
        let slow = started(cleans_up_for(3600 * S, 9 * S)).await;
        assert!(quick.cancel_within(5 * S) && slow.cancel_within(5 * S));
        is_cancelled(quick).await;
        assert_eq!(time.ms(), 1000);
        is_cancelled(slow).await;
        assert_eq!(time.ms(), 5000);
    });
}

#[test]
fn rule_12_of_a_timeout_and_a_cancel_at_once_the_task_reports() {
    // With one worker the cancel is there before the timeout has reported.
    manual_on(1, async {
        let handle = spawn(async { timeout(S, pending::<()>()).await.is_err() });
        sleep(S).await;
        // Both are awake now, and this one runs; or the other one was first.
        let in_time = handle.cancel();
        match handle.await {
            Ok(expired) => assert!(expired && !in_time),
            Err(error) => assert!(error.is_cancelled() && in_time),
        }
    });
}

#[test]
fn rule_13_a_timeout_waits_for_the_cleanup_of_a_catch_inside_and_only_then() {
    manual(async || {
        let time = Stopwatch::start();
        assert!(timeout(S, pending::<()>()).await.is_err());
        assert_eq!(time.ms(), 1000);
        assert!(timeout(S, cleans_up_for(3600 * S, 2 * S)).await.is_err());
        assert_eq!(time.ms(), 4000);
    });
}

/// Whatever answers for tasks and is dropped: the task that dropped it is not seen to end before they have.
#[test]
fn rule_14_the_owner_of_what_was_dropped_ends_after_the_children() {
    type Answering = Pin<Box<dyn Future<Output = ()> + Send>>;
    async fn child(log: Log) {
        let token = caught().await;
        sleep(S).await;
        log.add("child");
        drop(token);
    }
    fn each(log: &Log) -> [(&'static str, Answering); 4] {
        let [one, two, three, four] = [(); 4].map(|()| child(log.clone()));
        [
            ("group", Box::pin(task_group(async move |group| drop(group.spawn(one))))),
            ("gather", Box::pin(async { drop(gather([two]).await) })),
            ("linked", Box::pin(async { drop(spawn(three).linked().await) })),
            ("wait_for", Box::pin(async { drop(wait_for(None, spawn(four)).await) })),
        ]
    }
    manual(async || {
        for kind in 0..4 {
            let log = Log::default();
            let (name, mut answering) = each(&log).into_iter().nth(kind).unwrap();
            let (time, mine) = (Stopwatch::start(), log.clone());
            let owner = spawn(async move {
                poll_once(&mut answering).await;
                settle().await;
                drop(answering);
                mine.add("owner");
                "value"
            });
            assert_eq!(owner.await.unwrap(), "value", "{name}");
            assert_eq!(log.entries(), ["owner", "child"], "{name}");
            assert_eq!(time.ms(), 1000, "{name}");
        }
    });
}

// ── bad days ──────────────────────────────────────────────────────────────────────────────────

#[test]
fn bad_day_a_cancel_of_itself_from_inside_a_catch() {
    manual(async || {
        let handle = spawn(async {
            let token = catch_cancel(async {
                task::current().unwrap().cancel_with("myself");
                yield_now().await;
                unreachable!("it was asked to end")
            });
            let token: Cancelled = match token.await {
                Err(token) => token,
                Ok(never) => never,
            };
            let reason = token.reason().map(str::to_owned);
            token.uncancel();
            reason
        });
        assert_eq!(handle.await.unwrap().as_deref(), Some("myself"));
    });
}

struct CancelsAtDrop(task::Task);

impl Drop for CancelsAtDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

#[test]
fn bad_day_a_cancel_from_a_drop() {
    manual(async || {
        // Of another task; of one that is dropped itself for a cancel.
        let other = started(pending::<()>()).await;
        let guard = CancelsAtDrop(other.task());
        let first = started(async move {
            let _guard = guard;
            pending::<()>().await;
        })
        .await;
        first.cancel();
        is_cancelled(first).await;
        is_cancelled(other).await;

        // Of the own task: at its end, in a cancel, and while a catch drops its future.
        let own = spawn(async { CancelsAtDrop(task::current().unwrap()) });
        drop(own.await.unwrap());
        let cut = started(async {
            let _guard = CancelsAtDrop(task::current().unwrap());
            pending::<()>().await;
        })
        .await;
        cut.cancel();
        is_cancelled(cut).await;
        let catches = started(async {
            let token = catch_cancel(async {
                let _guard = CancelsAtDrop(task::current().unwrap());
                pending::<()>().await;
            });
            let token = token.await.unwrap_err();
            sleep(S).await;
            token.uncancel()
        })
        .await;
        catches.cancel();
        // The one from the drop is left: it is passed on, and ends the task, if that waits again.
        assert_eq!(catches.await.unwrap(), 1);
    });
}

#[test]
fn bad_day_a_cancel_from_another_runtime() {
    let (here, there) = (Runtime::new().unwrap(), Runtime::new().unwrap());
    let (begin, begun) = mpsc::channel();
    let handle = here.spawn(async move {
        begin.send(()).unwrap();
        let token = caught().await;
        yield_now().await;
        token.resume().await;
    });
    begun.recv().unwrap();
    let task = handle.task();
    assert!(
        there.block_on(there.spawn(async move { task.cancel_with("from over there") })).unwrap()
    );
    // And awaited there.
    let error = there.block_on(there.spawn(handle)).unwrap().unwrap_err();
    assert_eq!(error.reason(), Some("from over there"));
}

#[test]
fn bad_day_a_panic_in_a_cleanup_keeps_its_payload() {
    hush_panics("in the cleanup");
    manual(async || {
        let handle = started(async {
            let _token = caught().await;
            yield_now().await;
            panic!("in the cleanup");
        })
        .await;
        handle.cancel();
        let error = match handle.await {
            Err(error) => error,
            Ok(never) => never,
        };
        assert!(error.is_panic());
        assert_eq!(*error.into_panic().downcast::<&str>().unwrap(), "in the cleanup");
    });
}

#[test]
fn bad_day_a_panic_in_the_drop_of_what_a_catch_drops() {
    struct PanicsAtDrop;
    impl Drop for PanicsAtDrop {
        fn drop(&mut self) {
            panic!("at the drop");
        }
    }
    hush_panics("at the drop");
    manual(async || {
        let handle = started(async {
            catch_cancel(async {
                let _guard = PanicsAtDrop;
                pending::<()>().await;
            })
            .await
        })
        .await;
        handle.cancel();
        assert!(handle.await.unwrap_err().is_panic());
        // In the task's own future; and of one that has never begun.
        let plain = started(async {
            let _guard = PanicsAtDrop;
            pending::<()>().await;
        })
        .await;
        plain.cancel();
        assert!(plain.await.unwrap_err().is_panic());
    });
}

/// A wrapper whose memory is leaked after a poll leaves its node behind, and harms nobody.
#[test]
fn bad_day_leaked_wrappers() {
    if cfg!(filch_no_pool) {
        return; // A leak sanitizer would find what is leaked here on purpose.
    }
    type Wrapped = Pin<Box<dyn Future<Output = ()> + Send>>;
    fn each() -> [(&'static str, bool, Wrapped); 5] {
        let scope = CancelScope::new();
        [
            ("catch", true, Box::pin(async { drop(catch_cancel(pending::<()>()).await) })),
            (
                "timeout",
                true,
                Box::pin(async { _ = timeout(S, async { drop(caught().await) }).await }),
            ),
            (
                "scope",
                true,
                Box::pin(async move { _ = scope.run(async { drop(caught().await) }).await }),
            ),
            // These two hold a cancel back for ever, as if somebody waited in there; an abort ends that.
            ("shield", false, Box::pin(shield(pending::<()>()))),
            ("group", true, Box::pin(task_group(async |_group| pending::<()>().await))),
        ]
    }
    manual(async || {
        for kind in 0..5 {
            let (name, ends, mut wrapped) = each().into_iter().nth(kind).unwrap();
            let handle = started(async move {
                poll_once(&mut wrapped).await;
                std::mem::forget(wrapped);
                sleep(3600 * S).await;
            })
            .await;
            handle.cancel();
            settle().await;
            assert_eq!(handle.is_finished(), ends, "{name}");
            handle.abort();
            is_cancelled(handle).await;
        }
    });
}

/// Polls a future once in a task of its own, and gives it back.
#[expect(clippy::async_yields_async, reason = "that is the point")]
async fn begun_elsewhere<F>(mut future: Pin<Box<F>>) -> Pin<Box<F>>
where
    F: Future + Send + ?Sized + 'static,
{
    spawn(async move {
        poll_once(&mut future).await;
        future
    })
    .await
    .unwrap()
}

#[test]
fn bad_day_a_catch_moves_half_way_to_another_task() {
    manual(async || {
        let catch = begun_elsewhere(Box::pin(catch_cancel(pending::<()>()))).await;
        let handle = started(async move { catch.await.unwrap_err().uncancel() }).await;
        handle.cancel();
        assert_eq!(handle.await.unwrap(), 0, "it belongs to the task that polls it");
    });
}

#[test]
fn bad_day_a_shield_moves_half_way_to_another_task() {
    manual(async || {
        let (open, gate) = async_channel::bounded::<()>(1);
        let shielded = Box::pin(shield(async move { gate.recv().await.is_ok() }));
        let shielded = begun_elsewhere(shielded).await;
        let handle = started(async move {
            let value = shielded.await;
            assert!(value);
            yield_now().await;
            unreachable!("the request has waited for the shield")
        })
        .await;
        handle.cancel();
        settle().await;
        assert!(!handle.is_finished());
        open.send(()).await.unwrap();
        let ended: Result<(), JoinError> = handle.await;
        assert!(ended.unwrap_err().is_cancelled());
    });
}

#[test]
fn bad_day_a_timeout_moves_half_way_to_another_task() {
    manual(async || {
        // Without, and with a catch inside.
        let time = Stopwatch::start();
        let plain = begun_elsewhere(Box::pin(timeout(S, pending::<()>()))).await;
        assert!(spawn(plain).await.unwrap().is_err());
        let catching = timeout(S, async {
            let token = caught().await;
            sleep(S).await;
            token.resume().await;
        });
        let catching = begun_elsewhere(Box::pin(catching)).await;
        assert!(spawn(catching).await.unwrap().is_err());
        assert_eq!(time.ms(), 3000);
        // A cancel of its new task goes through it.
        let moved = begun_elsewhere(Box::pin(timeout(3600 * S, pending::<()>()))).await;
        let handle = started(moved).await;
        handle.cancel();
        is_cancelled(handle).await;
    });
}

/// The token of one task is dropped, or taken back, in another.
#[test]
fn bad_day_a_token_is_given_to_another_task() {
    manual(async || {
        for takes_back in [false, true] {
            let (give, take) = async_channel::bounded(1);
            let handle = started(async move {
                give.send(caught().await).await.unwrap();
                sleep(10 * S).await;
                "went on"
            })
            .await;
            handle.cancel();
            let token = take.recv().await.unwrap();
            sleep(S).await;
            assert!(!handle.is_finished(), "it shields wherever it is");
            if takes_back {
                assert_eq!(token.uncancel(), 0);
                assert_eq!(handle.await.unwrap(), "went on");
            } else {
                drop(token);
                is_cancelled(handle).await;
            }
        }
    });
}

#[test]
fn bad_day_resume_in_another_task_says_what_to_do() {
    hush_panics("another task");
    manual(async || {
        let (give, take) = async_channel::bounded(1);
        let handle = started(async move {
            give.send(caught().await).await.unwrap();
            pending::<()>().await;
        })
        .await;
        handle.cancel();
        let token = take.recv().await.unwrap();
        let resumes = spawn(async move { token.resume().await });
        let error = match resumes.await {
            Err(error) => error,
            Ok(never) => never,
        };
        assert!(error.is_panic() && error.to_string().contains("return the token to that task"));
        is_cancelled(handle).await;
    });
}

#[test]
fn bad_day_many_cancel_at_once() {
    let runtime = Runtime::builder().worker_threads(4).build().unwrap();
    for round in 0..200 {
        let (begin, begun) = mpsc::channel();
        let handle = runtime.spawn(async move {
            begin.send(()).unwrap();
            let mut left = caught().await.uncancel();
            while left > 0 {
                left = caught().await.uncancel();
            }
            "all were taken back"
        });
        if round % 2 == 0 {
            begun.recv().unwrap();
        }
        let task = handle.task();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..3 {
                        task.cancel();
                    }
                });
            }
        });
        // Which of the requests came before an `uncancel` depends; that it ends does not.
        let mut handle = handle;
        task.cancel();
        match handle.join_timeout(Duration::from_secs(20)).expect("it hangs") {
            Ok(text) => assert_eq!(text, "all were taken back"),
            Err(error) => assert!(error.is_cancelled()),
        }
    }
}
