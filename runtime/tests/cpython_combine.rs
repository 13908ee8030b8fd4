//! The scenarios of CPython's `test_tasks.py` for `gather`, `wait`, `as_completed`, linked handles, context variables and
//! errors nobody asks for, in our words: see `CPYTHON.md`.

mod support;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use filch::{
    Runtime, TaskError, Until, as_completed, catch_cancel, gather, sleep, spawn, spawn_blocking,
    task, timeout, try_gather, wait,
};
use support::hush_panics;
use support::manual::{
    Log, MS, S, Stopwatch, cleans_up_for, fails_after, manual, manual_with, settle, tells_cancel,
};

fn me() -> task::Task {
    task::current().expect("this is a task")
}

async fn after<T>(time: Duration, value: T) -> T {
    sleep(time).await;
    value
}

/// For futures that only differ in what they do.
fn boxed<T>(
    future: impl Future<Output = T> + Send + 'static,
) -> Pin<Box<dyn Future<Output = T> + Send>> {
    Box::pin(future)
}

// ── linked ────────────────────────────────────────────────────────────────────────────────────

#[test]
fn cancel_task_and_linked_at_once() {
    // CPython: test_cancel_both_task_and_inner_future.
    manual(async || {
        let inner = spawn(sleep(10 * S));
        let task = inner.task();
        let outer = spawn(inner.linked());
        settle().await;
        assert!(task.cancel() && outer.cancel());
        assert!(outer.await.unwrap_err().is_cancelled());
        assert!(task.is_finished());
    });
}

#[test]
fn cancel_self_then_await_linked() {
    // CPython: test_cancel_awaited_task. There a plain await passes the cancel on; here a linked one does.
    manual(async || {
        for linked in [true, false] {
            let inner = spawn(sleep(10 * S));
            let task = inner.task();
            let outer = spawn(async move {
                me().cancel();
                if linked { inner.linked().await } else { inner.await }
            });
            assert!(outer.await.unwrap_err().is_cancelled());
            assert_eq!(task.is_finished(), linked);
        }
    });
}

// ── gather ────────────────────────────────────────────────────────────────────────────────────

#[test]
fn gather_order() {
    // CPython: test_success, test_constructor_use_running_loop.
    manual(async || {
        let time = Stopwatch::start();
        let values = gather([3, 1, 2].map(|n| after(n * S, n))).await;
        assert_eq!(values.unwrap(), [3, 1, 2]);
        assert_eq!(time.ms(), 3000);
        let pair = filch::gather!(after(S, 1), after(S, "two")).await;
        assert_eq!(pair.unwrap(), (1, "two"));
    });
}

#[test]
fn settled_order() {
    // CPython: test_result_exception_success.
    manual(async || {
        let time = Stopwatch::start();
        let results = gather([3, 1, 2].map(|n| after(n * S, n))).settled().await;
        let values: Vec<_> = results.into_iter().map(Result::unwrap).collect();
        assert_eq!(values, [3, 1, 2]);
        assert_eq!(time.ms(), 3000);
    });
}

#[test]
fn gather_empty() {
    // CPython: test_constructor_empty_sequence_use_running_loop.
    manual(async || {
        let time = Stopwatch::start();
        assert_eq!(gather(Vec::<filch::time::Sleep>::new()).await.unwrap(), []);
        assert!(gather(Vec::<filch::time::Sleep>::new()).settled().await.is_empty());
        assert_eq!(time.ms(), 0);
    });
}

#[test]
fn gather_first_error_at_once() {
    // CPython: test_one_exception.
    hush_panics("planned");
    manual(async || {
        let log = Log::default();
        let inside = log.clone();
        let time = Stopwatch::start();
        let result = try_gather([
            boxed(after(2 * S, Ok(1))),
            boxed(after(S, Err("broken"))),
            boxed(after(3 * S, Err("broken later"))),
            boxed(async move {
                sleep(2 * S).await;
                inside.add("sibling end");
                Ok(1)
            }),
        ])
        .await;
        assert!(matches!(result.unwrap_err(), TaskError::Failed("broken")));
        assert_eq!(time.ms(), 1000);
        sleep(5 * S).await;
        assert_eq!(log.entries(), ["sibling end"], "it has not been cancelled");

        // A panic is such an error where the values are no results.
        let time = Stopwatch::start();
        let result = gather([
            boxed(after(2 * S, 1)),
            boxed(async {
                sleep(S).await;
                panic!("planned")
            }),
        ])
        .await;
        assert!(result.unwrap_err().is_panic());
        assert_eq!(time.ms(), 1000);
    });
}

#[test]
fn settled_errors_in_place() {
    // CPython: test_return_exceptions.
    hush_panics("planned");
    manual(async || {
        let time = Stopwatch::start();
        let results = gather([
            boxed(async {
                sleep(S).await;
                panic!("planned")
            }),
            boxed(after(3 * S, 2)),
            boxed(after(Duration::ZERO, 3)),
        ])
        .settled()
        .await;
        assert!(results[0].as_ref().unwrap_err().is_panic());
        assert_eq!(*results[1].as_ref().unwrap(), 2);
        assert_eq!(*results[2].as_ref().unwrap(), 3);
        assert_eq!(time.ms(), 3000);
    });
}

/// Shows its task, then sleeps.
async fn shown(tasks: async_channel::Sender<task::Task>, log: Log) {
    tasks.send(me()).await.unwrap();
    tells_cancel(5 * S, log.clone(), "cancelled").await;
    log.add("end");
}

#[test]
fn gather_one_child_cancelled() {
    // CPython: test_one_cancellation. There the gather fails with the cancel; here with an error that tells of it.
    manual(async || {
        let log = Log::default();
        let (send, tasks) = async_channel::unbounded();
        let children: Vec<_> = (0..3).map(|_| shown(send.clone(), log.clone())).collect();
        let gathered = spawn(gather(children));
        settle().await;
        let victim = tasks.recv().await.unwrap();
        assert!(victim.cancel_with("only this one"));
        let time = Stopwatch::start();
        let error = gathered.await.expect("the waiter is not cancelled").unwrap_err();
        assert_eq!(error.reason(), Some("only this one"));
        assert_eq!(time.ms(), 0);
        sleep(10 * S).await;
        assert_eq!(log.entries(), ["cancelled", "end", "end"]);
    });
}

#[test]
fn settled_cancelled_in_place() {
    // CPython: test_result_exception_one_cancellation.
    manual(async || {
        let log = Log::default();
        let (send, tasks) = async_channel::unbounded();
        let children: Vec<_> = (0..3).map(|_| shown(send.clone(), log.clone())).collect();
        let gathered = spawn(gather(children).settled());
        settle().await;
        assert!(tasks.recv().await.unwrap().cancel());
        let results = gathered.await.unwrap();
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 2);
        let cancelled = results.into_iter().find_map(Result::err).unwrap();
        assert!(cancelled.is_cancelled());
        assert_eq!(log.count("end"), 2);
    });
}

#[test]
fn gather_cancel_cancels_children() {
    // CPython: test_cancellation_broadcast.
    manual(async || {
        let log = Log::default();
        for settled in [false, true] {
            let children: Vec<_> =
                (0..3).map(|_| tells_cancel(10 * S, log.clone(), "cancelled")).collect();
            let runner = spawn(async move {
                if settled {
                    drop(gather(children).settled().await);
                } else {
                    drop(gather(children).await);
                }
            });
            settle().await;
            assert!(runner.cancel_with("all of you"));
            assert_eq!(runner.await.unwrap_err().reason(), Some("all of you"));
        }
        assert_eq!(log.entries(), ["cancelled"; 6]);
        // It waits for their cleanups.
        let time = Stopwatch::start();
        let runner = spawn(gather([1, 2].map(|n| cleans_up_for(10 * S, n * S))));
        settle().await;
        runner.cancel();
        assert!(runner.await.unwrap_err().is_cancelled());
        assert_eq!(time.ms(), 2000);
        // Or whoever drops it does.
        let time = Stopwatch::start();
        let runner = spawn(async {
            let children = [1, 2].map(|n| cleans_up_for(10 * S, n * S));
            assert!(timeout(S, gather(children)).await.is_err());
        });
        runner.await.unwrap();
        assert_eq!(time.ms(), 3000);
    });
}

#[test]
fn settled_does_not_swallow_cancel() {
    // CPython: test_cancel_gather_2.
    manual(async || {
        let log = Log::default();
        let inside = log.clone();
        let runner = spawn(async move {
            loop {
                inside.add("round");
                let results = gather([sleep(S), sleep(2 * S)]).settled().await;
                assert!(results.iter().all(Result::is_ok));
            }
        });
        sleep(3 * S).await;
        assert!(runner.cancel_with("my message"));
        let time = Stopwatch::start();
        let result: Result<(), _> = runner.await;
        assert_eq!(result.unwrap_err().reason(), Some("my message"));
        assert_eq!(time.ms(), 0);
        assert_eq!(log.entries(), ["round", "round"]);
    });
}

#[test]
fn gather_handles_of_two_runtimes() {
    // CPython: test_constructor_heterogenous_futures. There it is refused; here it works.
    let [one, other] = [(); 2].map(|()| Runtime::builder().worker_threads(1).build().unwrap());
    let handles = [one.spawn(after(MS, 1)), other.spawn(after(MS, 2))];
    assert_eq!(one.block_on(try_gather(handles)).unwrap(), [1, 2]);
}

#[test]
fn spawned_gather_survives_awaiter() {
    // CPython: test_shield_gather.
    manual(async || {
        let gathered = spawn(gather([1, 2].map(|n| after(n * S, n))));
        let kept = gathered.task();
        let outer = spawn(gathered);
        settle().await;
        outer.cancel();
        assert!(outer.await.unwrap_err().is_cancelled());
        assert!(!kept.is_finished());
        sleep(3 * S).await;
        assert!(kept.is_finished() && kept.cancelling() == 0);
    });
}

#[test]
fn gather_of_awaited_handles_cancelled() {
    // CPython: test_gather_shield.
    manual(async || {
        let handles = [1, 2].map(|n| spawn(after(n * S, n)));
        let tasks = [handles[0].task(), handles[1].task()];
        let runner = spawn(try_gather(handles));
        settle().await;
        runner.cancel();
        assert!(runner.await.unwrap_err().is_cancelled());
        assert!(tasks.iter().all(|task| !task.is_finished() && task.cancelling() == 0));
        // Linked ones are cancelled with it.
        let handles = [1, 2].map(|n| spawn(after(n * S, n)));
        let linked = [handles[0].task(), handles[1].task()];
        let runner = spawn(try_gather(handles.map(|handle| handle.linked())));
        settle().await;
        runner.cancel();
        assert!(runner.await.unwrap_err().is_cancelled());
        assert!(linked.iter().all(task::Task::is_finished));
    });
}

fn gather_tree(depth: usize, count: Arc<AtomicUsize>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        count.fetch_add(1, Ordering::SeqCst);
        if depth > 0 {
            let child = |_| gather_tree(depth - 1, Arc::clone(&count));
            gather((0..5).map(child)).await.unwrap();
        }
    })
}

#[test]
fn gather_tree_task_count() {
    // CPython (eager): test_recursive_gather. There the children can be started at once; here gather's are queued.
    manual(async || {
        let count = Arc::new(AtomicUsize::new(0));
        gather_tree(4, Arc::clone(&count)).await;
        assert_eq!(count.load(Ordering::SeqCst), 1 + 5 + 25 + 125 + 625);
    });
}

// ── wait ──────────────────────────────────────────────────────────────────────────────────────

#[test]
fn wait_all_then_finished_at_once() {
    // CPython: test_wait.
    manual(async || {
        let time = Stopwatch::start();
        let mut handles = vec![spawn(after(100 * MS, 42)), spawn(after(150 * MS, 42))];
        let mut done = wait(&mut handles, Until::All, None).await;
        assert!(handles.is_empty() && done.len() == 2);
        assert_eq!(time.ms(), 150);
        let done = wait(&mut done, Until::All, None).await;
        assert_eq!(done.len(), 2);
        assert_eq!(time.ms(), 150);
        for handle in done {
            assert_eq!(handle.await.unwrap(), 42);
        }
    });
}

#[test]
fn wait_on_nothing() {
    // CPython: test_wait_errors. There it raises; here nothing is done at once.
    manual(async || {
        let mut handles = Vec::<filch::JoinHandle<()>>::new();
        for until in [Until::First, Until::All] {
            assert!(wait(&mut handles, until, None).await.is_empty());
        }
    });
}

#[test]
fn wait_first() {
    // CPython: test_wait_first_completed.
    manual(async || {
        let time = Stopwatch::start();
        let mut handles = vec![spawn(after(10 * S, 1)), spawn(after(100 * MS, 2))];
        let (slow, quick) = (handles[0].id(), handles[1].id());
        let done = wait(&mut handles, Until::First, None).await;
        assert_eq!(done.iter().map(|handle| handle.id()).collect::<Vec<_>>(), [quick]);
        assert_eq!(handles.iter().map(|handle| handle.id()).collect::<Vec<_>>(), [slow]);
        assert_eq!(time.ms(), 100);
        assert!(!handles[0].is_finished());
        assert_eq!(handles.pop().unwrap().await.unwrap(), 1);
        assert_eq!(time.ms(), 10_000);
    });
}

#[test]
fn wait_returns_every_finished() {
    // CPython: test_wait_really_done.
    manual(async || {
        let mut handles: Vec<_> = (0..5).map(|n| spawn(async move { n })).collect();
        handles.push(spawn(after(S, 5)));
        settle().await;
        let done = wait(&mut handles, Until::First, None).await;
        assert_eq!((done.len(), handles.len()), (5, 1));
    });
}

#[test]
fn wait_first_err_already_failed() {
    // CPython: test_wait_first_exception.
    manual(async || {
        let mut handles = vec![spawn(after(10 * S, Ok(()))), spawn(async { Err("zero") })];
        settle().await;
        let time = Stopwatch::start();
        let mut done = wait(&mut handles, Until::first_err(), None).await;
        assert_eq!((done.len(), handles.len()), (1, 1));
        assert_eq!(done.pop().unwrap().await.unwrap(), Err("zero"));
        assert_eq!(time.ms(), 0);
    });
}

#[test]
fn wait_first_err_while_waiting() {
    // CPython: test_wait_first_exception_in_wait. (A cancelled one is no error, as there; a panic is one.)
    hush_panics("planned");
    manual(async || {
        let mut handles = vec![
            spawn(boxed(after(10 * S, Ok::<_, &str>(())))),
            spawn(boxed(after(5 * MS, Ok(())))),
            spawn(boxed(fails_after(10 * MS, "zero"))),
            spawn(boxed(after(10 * S, Ok(())))),
        ];
        handles[3].cancel();
        let time = Stopwatch::start();
        let done = wait(&mut handles, Until::first_err(), None).await;
        assert_eq!((done.len(), handles.len()), (3, 1));
        assert_eq!(time.ms(), 10);
        handles.push(spawn(boxed(async { panic!("planned") })));
        let done = wait(&mut handles, Until::first_err(), None).await;
        assert_eq!((done.len(), handles.len()), (1, 1));
        assert_eq!(time.ms(), 10);
        drop(done.into_iter().next().unwrap().await);
        let done = wait(&mut handles, Until::first_err(), None).await;
        assert_eq!((done.len(), handles.len()), (1, 0), "none has failed: all");
        assert_eq!(time.ms(), 10_000);
    });
}

#[test]
fn wait_all_with_errors() {
    // CPython: test_wait_with_exception.
    manual(async || {
        let time = Stopwatch::start();
        let mut handles = vec![
            spawn(boxed(after(100 * MS, Ok(())))),
            spawn(boxed(fails_after(150 * MS, "really"))),
        ];
        let done = wait(&mut handles, Until::All, None).await;
        assert_eq!((done.len(), handles.len()), (2, 0));
        assert_eq!(time.ms(), 150);
        let mut failed = 0;
        for handle in done {
            failed += usize::from(handle.await.unwrap().is_err());
        }
        assert_eq!(failed, 1);
    });
}

#[test]
fn wait_timeout_cancels_nothing() {
    // CPython: test_wait_with_timeout.
    manual(async || {
        let time = Stopwatch::start();
        let mut handles = vec![spawn(after(100 * MS, 1)), spawn(after(150 * MS, 2))];
        let done = wait(&mut handles, Until::All, 110 * MS).await;
        assert_eq!((done.len(), handles.len()), (1, 1));
        assert_eq!(time.ms(), 110);
        assert_eq!(handles.pop().unwrap().await.unwrap(), 2);
        assert_eq!(time.ms(), 150);
    });
}

#[test]
fn wait_timeout_at_the_moment_of_an_end() {
    // CPython: test_wait_concurrent_complete.
    manual(async || {
        let time = Stopwatch::start();
        // (Made first, so that they are woken first; and when all rest, both have ended.)
        let mut handles = vec![spawn(after(100 * MS, 1)), spawn(after(150 * MS, 2))];
        settle().await;
        sleep(100 * MS - Duration::from_nanos(1)).await;
        settle().await;
        let done = wait(&mut handles, Until::All, Duration::ZERO).await;
        assert_eq!((done.len(), handles.len()), (1, 1));
        assert_eq!(time.ms(), 100);
        assert_eq!(handles.pop().unwrap().await.unwrap(), 2);
    });
}

#[test]
fn wait_cancelled_leaves_tasks() {
    // CPython: test_yield_wait_does_not_shield_cancel.
    manual(async || {
        let log = Log::default();
        let mut handles = vec![
            spawn(tells_cancel(S, log.clone(), "cancelled")),
            spawn(tells_cancel(S, log.clone(), "cancelled")),
        ];
        let tasks = [handles[0].task(), handles[1].task()];
        let waiter = spawn(async move { wait(&mut handles, Until::All, None).await });
        settle().await;
        let time = Stopwatch::start();
        waiter.cancel();
        assert!(waiter.await.unwrap_err().is_cancelled());
        assert_eq!(time.ms(), 0);
        assert!(tasks.iter().all(|task| !task.is_finished()));
        sleep(2 * S).await;
        assert!(tasks.iter().all(task::Task::is_finished));
        assert!(log.is_empty());
    });
}

// ── as_completed ──────────────────────────────────────────────────────────────────────────────

#[test]
fn as_completed_order() {
    // CPython: test_as_completed, test_as_completed_coroutine_use_running_loop.
    manual(async || {
        let time = Stopwatch::start();
        let mut results = as_completed(
            [(10, 'b'), (5, 'a'), (15, 'c')].map(|(ms, name)| spawn(after(ms * MS, name))),
        );
        let mut seen = Vec::new();
        while let Some((_, result)) = results.next().await {
            seen.push((time.ms(), result.unwrap()));
        }
        assert_eq!(seen, [(5, 'a'), (10, 'b'), (15, 'c')]);
        assert!(results.next().await.is_none());
    });
}

#[test]
fn as_completed_identity() {
    // CPython: test_as_completed_same_tasks_in_as_out.
    manual(async || {
        let handles = [3, 1, 2].map(|n| spawn(after(n * S, n)));
        let ids = [handles[1].id(), handles[2].id(), handles[0].id()];
        let mut results = as_completed(handles);
        for id in ids {
            assert_eq!(results.next().await.unwrap().0, id);
        }
    });
}

#[test]
fn as_completed_timeout_keeps_rest() {
    // CPython: test_as_completed_with_timeout. There each of the rest is a timeout; here the handles come back.
    manual(async || {
        let time = Stopwatch::start();
        let mut results = as_completed([100, 150].map(|ms| spawn(after(ms * MS, ms))));
        let end = filch::time::now() + 120 * MS;
        let first = filch::timeout_at(end, results.next()).await.unwrap().unwrap();
        assert_eq!(first.1.unwrap(), 100);
        assert!(filch::timeout_at(end, results.next()).await.is_err());
        assert_eq!(time.ms(), 120);
        let rest = results.into_pending();
        assert_eq!(rest.len(), 1);
        for handle in rest {
            assert!(!handle.is_finished() && handle.task().cancelling() == 0);
            assert_eq!(handle.await.unwrap(), 150);
        }
        assert_eq!(time.ms(), 150);
    });
}

#[test]
fn as_completed_timeout_unused() {
    // CPython: test_as_completed_with_unused_timeout.
    manual(async || {
        let mut results = as_completed([spawn(after(10 * MS, 'a'))]);
        let first = timeout(S, results.next()).await.unwrap().unwrap();
        assert_eq!(first.1.unwrap(), 'a');
        assert!(timeout(S, results.next()).await.unwrap().is_none());
    });
}

#[test]
fn as_completed_resumed() {
    // CPython: test_as_completed_resume_iterator.
    manual(async || {
        let mut results = as_completed([4, 3, 2, 1].map(|n| spawn(after(n * S, n))));
        let mut seen = Vec::new();
        while let Some((_, result)) = results.next().await {
            seen.push(result.unwrap());
            if seen.len() == 2 {
                break;
            }
        }
        sleep(10 * S).await;
        while let Some((_, result)) = results.next().await {
            seen.push(result.unwrap());
        }
        assert_eq!(seen, [1, 2, 3, 4]);
    });
}

// ── values that belong to tasks ───────────────────────────────────────────────────────────────

filch::task_local! { static VALUE: String }

fn value() -> Option<String> {
    VALUE.get()
}

#[test]
fn local_copied_at_spawn() {
    // CPython: test_context_1.
    manual(async || {
        assert_eq!(value(), None);
        VALUE.set("parent".into());
        let child = spawn(async {
            let before = value();
            sleep(S).await;
            assert_eq!(value(), before, "later writes of the parent are not seen");
            VALUE.set("child".into());
            sleep(S).await;
            (before, value())
        });
        VALUE.set("parent, later".into());
        let (before, end) = child.await.unwrap();
        assert_eq!((before.as_deref(), end.as_deref()), (Some("parent"), Some("child")));
        assert_eq!(value().as_deref(), Some("parent, later"));
    });
}

#[test]
fn on_done_does_not_touch_locals() {
    // CPython: test_context_2. There a callback runs in a copy of the context; here it belongs to no task.
    manual(async || {
        VALUE.set("mine".into());
        let child = spawn(sleep(S));
        let log = Log::default();
        let called = log.clone();
        child.task().on_done(move |_| {
            if value().as_deref() != Some("mine") {
                called.add("sees nothing");
            }
        });
        child.await.unwrap();
        settle().await;
        assert_eq!(log.entries(), ["sees nothing"]);
        assert_eq!(value().as_deref(), Some("mine"));
    });
}

#[test]
fn hundred_tasks_own_locals() {
    // CPython: test_context_3.
    manual(async || {
        let tasks: Vec<_> = (0..100_u32)
            .map(|n| {
                spawn(async move {
                    VALUE.set(n.to_string());
                    for pause in 0..10 {
                        sleep(((n + pause) % 7) * MS).await;
                        assert_eq!(value(), Some(n.to_string()));
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(value(), None);
    });
}

#[test]
fn blocking_sees_locals() {
    // CPython (threads): test_to_thread_contextvars.
    manual(async || {
        VALUE.set("parrot".into());
        assert_eq!(spawn_blocking(value).await.unwrap().as_deref(), Some("parrot"));
    });
}

// ── errors nobody asks for ────────────────────────────────────────────────────────────────────

/// Runs a test; then, how many failures the hook was told of.
fn unhandled<F>(test: impl Fn() -> F) -> [usize; 2]
where
    F: Future<Output = ()> + Send + 'static,
{
    hush_panics("planned");
    [1, 4].map(|workers| {
        let told = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&told);
        let hook = move |_: &filch::JoinError| _ = count.fetch_add(1, Ordering::SeqCst);
        manual_with(workers, |builder| builder.on_unhandled_failure(hook), test());
        told.load(Ordering::SeqCst)
    })
}

async fn panics_after(time: Duration) {
    sleep(time).await;
    panic!("planned");
}

#[test]
fn detached_success_is_silent() {
    // CPython: test_shield_cancel_outer_result.
    let told = unhandled(async || {
        let inner = spawn(sleep(S));
        let outer = spawn(inner);
        settle().await;
        outer.cancel();
        drop(outer.await);
        sleep(2 * S).await;
    });
    assert_eq!(told, [0, 0]);
}

#[test]
fn detached_failure_reported_once() {
    // CPython: test_shield_cancel_outer_exception.
    let told = unhandled(async || {
        let inner = spawn(panics_after(S));
        let outer = spawn(inner);
        settle().await;
        outer.cancel();
        drop(outer.await);
        sleep(2 * S).await;
    });
    assert_eq!(told, [1, 1]);
}

#[test]
fn detached_failure_reported_once_two_awaiters() {
    // CPython: test_shield_duplicate_log_once.
    let told = unhandled(async || {
        let mut inner = spawn(panics_after(S));
        for _ in 0..2 {
            assert!(timeout(100 * MS, &mut inner).await.is_err());
        }
        drop(inner);
        sleep(2 * S).await;
    });
    assert_eq!(told, [1, 1]);
}

#[test]
fn failed_then_cancelled_then_dropped() {
    // CPython: test_tb_logger_not_called_after_cancel. There a late cancel() silences the report; here a panic nobody
    // has seen is reported.
    let told = unhandled(async || {
        let failed = spawn(panics_after(S));
        sleep(2 * S).await;
        assert!(!failed.cancel());
        drop(failed);
        settle().await;
    });
    assert_eq!(told, [1, 1]);
}

#[test]
fn gather_later_panics_are_reported() {
    // CPython: test_exception_marking. There errors that come after the first are silent; here a panic nobody can
    // ask for any more is reported (an `Err` is a value, and is not).
    let told = unhandled(async || {
        assert!(gather([panics_after(S), panics_after(2 * S)]).await.unwrap_err().is_panic());
        sleep(2 * S).await;
    });
    assert_eq!(told, [1, 1]);
    let told = unhandled(async || {
        let failed = try_gather([fails_after(S, "one"), fails_after(2 * S, "two")]).await;
        assert!(failed.is_err());
        sleep(2 * S).await;
        // Those in their places were not in vain.
        drop(gather([panics_after(S), panics_after(2 * S)]).settled().await);
        // A child's cleanup of a cancelled gather.
        let runner = spawn(gather([sleep(10 * S), sleep(10 * S)]));
        settle().await;
        runner.cancel();
        drop(runner.await);
        drop(catch_cancel(sleep(S)).await);
    });
    assert_eq!(told, [0, 0]);
}
