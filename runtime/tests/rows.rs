//! The rows of asyncio's page that no other file of tests has: `ROWS.md` says where each row is shown.

mod support;

use std::cell::Cell;
use std::future::pending;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use filch::{
    GroupError, Handle, Runtime, catch_cancel, gather, shield, sleep, spawn, spawn_blocking, task,
    task_group, timeout_scope, wait_for, yield_now,
};
use support::manual::{
    Log, S, Stopwatch, cleans_up_for, fails_after, fails_in_cleanup, manual, settle, tells_cancel,
};

#[test]
fn row_01_a_call_that_is_not_awaited_runs_nothing() {
    async fn nested(ran: &AtomicBool) -> u32 {
        ran.store(true, Ordering::Relaxed);
        42
    }
    manual(async || {
        let ran = AtomicBool::new(false);
        drop(nested(&ran));
        yield_now().await;
        assert!(!ran.load(Ordering::Relaxed));
        assert_eq!(nested(&ran).await, 42);
        assert!(ran.load(Ordering::Relaxed));
    });
}

#[test]
fn row_06_a_name_is_in_the_list_of_tasks_and_in_the_error_of_a_panic() {
    manual(async || {
        let fetch = task::Builder::new().name("fetch").spawn(async {
            sleep(S).await;
            resume_unwind(Box::new("no route"));
        });
        settle().await;
        let names: Vec<_> = Handle::current().tasks().into_iter().map(|task| task.name).collect();
        assert!(names.iter().flatten().any(|name| **name == *"fetch"), "{names:?}");
        let error = match fetch.await {
            Err(error) => error,
            Ok(never) => never,
        };
        assert_eq!(error.task_name(), Some("fetch"));
        assert!(error.to_string().contains("fetch") && error.to_string().contains("no route"));

        // Without a name it is known by the line that spawned it.
        let (line, other) = (line!(), spawn(async { resume_unwind(Box::new("oh")) }));
        let error: filch::JoinError = match other.await {
            Err(error) => error,
            Ok(never) => never,
        };
        assert!(error.to_string().contains(&format!("{}:{line}", file!())), "{error}");
    });
}

#[test]
fn row_14_group_failure_all_errors_come_out_in_order_with_their_names() {
    manual(async || {
        let (log, time) = (Log::default(), Stopwatch::start());
        let third = log.clone();
        let result: Result<(), GroupError<&str>> = task_group(async |group| {
            let named = |name| task::Builder::new().name(name);
            group.spawn_with(named("first"), fails_after(S, "no route"));
            group.spawn_with(named("second"), fails_in_cleanup(9 * S, "not saved"));
            group.spawn_with(named("third"), tells_cancel(9 * S, third, "cancelled"));
            sleep(9 * S).await;
            Ok(())
        })
        .await;
        let errors: Vec<_> = result
            .unwrap_err()
            .into_iter()
            .map(|failure| (failure.task.name().unwrap().to_string(), failure.error))
            .collect();
        let expected = [("first".to_owned(), "no route"), ("second".to_owned(), "not saved")];
        assert_eq!(errors, expected);
        assert_eq!(log.entries(), ["cancelled"]);
        assert_eq!(time.ms(), 1000);
    });
}

#[test]
fn row_15_a_members_panic_resumes_after_all_have_ended_with_its_payload() {
    manual(async || {
        let log = Log::default();
        let member = log.clone();
        let parent = spawn(async {
            task_group(async |group| {
                group.spawn(async move {
                    if let Err(token) = catch_cancel(sleep(9 * S)).await {
                        sleep(S).await;
                        member.add("cleanup");
                        drop(token);
                    }
                });
                group.spawn(async {
                    sleep(S).await;
                    if true {
                        resume_unwind(Box::new(42_u32));
                    }
                });
            })
            .await;
        });
        let error = parent.await.unwrap_err();
        assert_eq!(*error.into_panic().downcast::<u32>().unwrap(), 42);
        assert_eq!(log.entries(), ["cleanup"]);
    });
}

#[test]
fn row_20_after_its_first_error_a_gather_lets_the_others_finish() {
    manual(async || {
        let (log, time) = (Log::default(), Stopwatch::start());
        let futures = [1, 2].map(|n| {
            let log = log.clone();
            async move {
                sleep(n * S).await;
                if n == 1 {
                    resume_unwind(Box::new("first"));
                }
                log.add("the sibling has finished");
            }
        });
        assert!(gather(futures).await.unwrap_err().is_panic());
        assert_eq!(time.ms(), 1000, "at once");
        sleep(2 * S).await;
        assert_eq!(log.entries(), ["the sibling has finished"]);
    });
}

#[test]
fn row_22_a_shield_delays_a_cancel_and_a_plain_await_is_asyncios_shield() {
    manual(async || {
        let log = Log::default();
        let commit = log.clone();
        let shielded = spawn(async move {
            shield(async {
                sleep(2 * S).await;
                commit.add("committed");
            })
            .await;
            yield_now().await;
            commit.add("never");
        });
        sleep(S).await;
        shielded.cancel();
        assert!(shielded.await.unwrap_err().is_cancelled());
        assert_eq!(log.entries(), ["committed"]);

        let inner = spawn(async {
            sleep(2 * S).await;
            "still there"
        });
        let (task, (give, take)) = (inner.task(), mpsc::channel());
        let mut inner = inner;
        let waiter = spawn(async move {
            let cut = catch_cancel(&mut inner).await.is_err();
            give.send((cut, inner)).unwrap();
        });
        sleep(S).await;
        waiter.cancel();
        let _ = waiter.await;
        let (cut, inner) = take.recv().unwrap();
        assert!(cut && !task.is_finished());
        assert_eq!(inner.await.unwrap(), "still there");
    });
}

#[test]
fn row_24_a_deadline_is_extended_shortened_and_disarmed() {
    manual(async || {
        let time = Stopwatch::start();
        let extended = timeout_scope(S, async |deadline| {
            deadline.extend(5 * S);
            sleep(4 * S).await;
        });
        assert_eq!(extended.await, Ok(()));
        let shortened = timeout_scope(3600 * S, async |deadline| {
            deadline.extend(S);
            pending::<()>().await;
        });
        assert!(shortened.await.is_err());
        assert_eq!(time.ms(), 5000);
        let disarmed = timeout_scope(S, async |deadline| {
            assert!(deadline.reschedule(None));
            sleep(9 * S).await;
            (deadline.when(), deadline.expired())
        });
        assert_eq!(disarmed.await, Ok((None, false)));
        let past = timeout_scope(None, async |deadline| {
            deadline.reschedule(filch::time::now());
            yield_now().await;
            pending::<()>().await;
        });
        assert!(past.await.is_err());
        assert_eq!(time.ms(), 14_000);
    });
}

#[test]
fn row_26_wait_for_waits_for_the_cleanup_although_its_time_is_up() {
    manual(async || {
        let time = Stopwatch::start();
        let slow = spawn(cleans_up_for(3600 * S, 2 * S));
        assert!(wait_for(S, slow).await.is_err());
        assert_eq!(time.ms(), 3000);
    });
}

#[test]
fn row_31_at_the_end_the_list_is_empty() {
    manual(async || {
        assert_eq!(task::current().map(|task| task.is_finished()), Some(false));
        let tasks: Vec<_> = (0..10).map(|_| spawn(sleep(S))).collect();
        settle().await;
        let listed = |id| Handle::current().tasks().iter().any(|info| info.id == id);
        assert!(tasks.iter().all(|task| listed(task.id())));
        let ids: Vec<_> = tasks.iter().map(filch::JoinHandle::id).collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert!(!ids.into_iter().any(listed));
    });
    let runtime = Runtime::builder().worker_threads(2).build().unwrap();
    runtime.block_on(runtime.spawn(yield_now())).unwrap();
    assert!(runtime.handle().tasks().is_empty());
    assert!(task::current().is_none());
}

#[test]
fn row_32_each_state_a_task_can_be_in() {
    manual(async || {
        let mut waits = spawn(sleep(S));
        assert!(!waits.is_finished() && waits.try_join().is_none());
        sleep(2 * S).await;
        assert!(waits.is_finished() && matches!(waits.try_join(), Some(Ok(()))));

        let mut failed = spawn(async { resume_unwind(Box::new("no")) });
        let mut cancelled = spawn(pending::<()>());
        cancelled.cancel();
        settle().await;
        let error: filch::JoinError = match failed.try_join() {
            Some(Err(error)) => error,
            Some(Ok(never)) => never,
            None => unreachable!("it has ended"),
        };
        assert!(error.is_panic() && !error.is_cancelled());
        let error = cancelled.try_join().expect("it has ended").unwrap_err();
        assert!(error.is_cancelled() && !error.is_panic());
    });
}

#[test]
fn row_33_a_callback_added_late_runs_once_and_not_inside_the_call() {
    thread_local! { static IN_THE_CALL: Cell<bool> = const { Cell::new(false) } }
    manual(async || {
        let mut handle = spawn(async {});
        (&mut handle).await.unwrap();
        let (calls, inline) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (called, told) = async_channel::unbounded();
        for _ in 0..3 {
            let (calls, inline, called) = (Arc::clone(&calls), Arc::clone(&inline), called.clone());
            IN_THE_CALL.set(true);
            let id = handle.task().on_done(move |task| {
                assert!(task.is_finished() && task::current().is_none());
                calls.fetch_add(1, Ordering::Relaxed);
                inline.fetch_or(IN_THE_CALL.get(), Ordering::Relaxed);
                called.try_send(()).unwrap();
            });
            IN_THE_CALL.set(false);
            assert_eq!(handle.task().remove_done(id), 0, "it is about to be called");
        }
        for _ in 0..3 {
            told.recv().await.unwrap();
        }
        settle().await;
        assert_eq!((calls.load(Ordering::Relaxed), inline.load(Ordering::Relaxed)), (3, false));
    });
}

#[test]
fn row_30_a_foreign_thread_gives_up_and_cancels() {
    let runtime = Runtime::builder().worker_threads(2).build().unwrap();
    let handle = runtime.handle();
    std::thread::spawn(move || {
        let mut three = handle.spawn(async {
            sleep(Duration::from_millis(5)).await;
            3
        });
        assert_eq!(three.join_timeout(Duration::from_secs(20)).unwrap().unwrap(), 3);
        let mut never = handle.spawn(pending::<()>());
        assert!(never.join_timeout(Duration::from_millis(5)).is_none());
        assert!(never.cancel());
        assert!(never.join_timeout(None).unwrap().unwrap_err().is_cancelled());
    })
    .join()
    .unwrap();
}

#[test]
fn row_07_and_29_a_job_starts_with_the_values_of_who_started_it() {
    filch::task_local! { static WHO: &'static str }
    manual(async || {
        WHO.set("parent");
        let seen = Arc::new(Mutex::new(None));
        let see = Arc::clone(&seen);
        let job = spawn_blocking(move || {
            *see.lock().unwrap() = WHO.get();
            WHO.set("job");
        });
        job.await.unwrap();
        assert_eq!((*seen.lock().unwrap(), WHO.get()), (Some("parent"), Some("parent")));
    });
}
