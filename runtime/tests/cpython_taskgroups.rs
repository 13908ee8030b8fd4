//! The scenarios of CPython's `test_taskgroups.py`, in our words: see `CPYTHON.md`.

mod support;

use std::any::Any;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use filch::{
    Cancelled, GroupError, JoinHandle, TaskGroup, catch_cancel, sleep, spawn, spawn_blocking, task,
    task_group, timeout, yield_now,
};
use support::hush_panics;
use support::manual::{
    Log, MS, S, Stopwatch, cleans_up_for, fails_after, fails_in_cleanup, manual, manual_on, settle,
    tells_cancel,
};

type Boom = &'static str;
type Result<T = (), E = Boom> = std::result::Result<T, E>;
type Grouped<T = (), E = Boom> = std::result::Result<T, GroupError<E>>;

/// The errors of a group, sorted: with several workers those of one instant may swap.
fn errors<T, E: Ord>(result: Grouped<T, E>) -> Vec<E> {
    let error = result.err().expect("the group has failed");
    let mut errors: Vec<_> = error.into_iter().map(|failure| failure.error).collect();
    errors.sort_unstable();
    errors
}

fn text(payload: &(dyn Any + Send)) -> &str {
    payload.downcast_ref::<&str>().copied().expect("it panicked with a text")
}

/// Cancels a task that sleeps by now, with a reason.
async fn cancel_soon<T>(handle: &JoinHandle<T>) {
    sleep(100 * MS).await;
    assert!(!handle.is_finished());
    assert!(handle.cancel_with("from outside"));
}

// ── all goes well ─────────────────────────────────────────────────────────────────────────────

#[test]
fn group_waits_for_all() {
    // CPython: test_taskgroup_01.
    manual(async || {
        let (mut one, mut two) = (None, None);
        let time = Stopwatch::start();
        task_group(async |group| -> Result {
            one = Some(group.spawn(async {
                sleep(100 * MS).await;
                Ok(42)
            }));
            two = Some(group.spawn(async {
                sleep(200 * MS).await;
                Ok(11)
            }));
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(time.ms(), 200);
        assert_eq!(one.unwrap().try_join().expect("it has ended").unwrap(), 42);
        assert_eq!(two.unwrap().try_join().expect("it has ended").unwrap(), 11);
    });
}

#[test]
fn group_body_adds_late_child() {
    // CPython: test_taskgroup_02.
    manual(async || {
        let time = Stopwatch::start();
        let sum = task_group(async |group| -> Result<_> {
            let one = group.spawn(async {
                sleep(100 * MS).await;
                Ok(42)
            });
            sleep(150 * MS).await;
            let two = group.spawn(async {
                sleep(200 * MS).await;
                Ok(11)
            });
            Ok((one, two))
        })
        .await;
        assert_eq!(time.ms(), 350);
        let (mut one, mut two) = sum.unwrap();
        assert_eq!(one.try_join().unwrap().unwrap(), 42);
        assert_eq!(two.try_join().unwrap().unwrap(), 11);
    });
}

#[test]
fn group_one_cancelled_child_harms_nobody() {
    // CPython: test_taskgroup_03.
    manual(async || {
        let time = Stopwatch::start();
        let (mut one, mut two) = task_group(async |group| -> Result<_> {
            let one = group.spawn(async {
                sleep(S).await;
                Ok(42)
            });
            sleep(150 * MS).await;
            assert!(one.cancel());
            let two = group.spawn(async {
                sleep(200 * MS).await;
                Ok(11)
            });
            Ok((one, two))
        })
        .await
        .unwrap();
        assert_eq!(time.ms(), 350);
        assert!(one.try_join().unwrap().unwrap_err().is_cancelled());
        assert_eq!(two.try_join().unwrap().unwrap(), 11);
    });
}

#[test]
fn group_child_adds_children() {
    // CPython: test_taskgroup_24.
    manual(async || {
        let time = Stopwatch::start();
        let log = Log::default();
        let inside = log.clone();
        task_group(async |group| {
            let (adder, log) = (group.clone(), inside);
            group.spawn(async move {
                sleep(100 * MS).await;
                for ms in [100, 200] {
                    let log = log.clone();
                    adder.spawn(async move {
                        sleep(ms * MS).await;
                        log.add("grandchild");
                    });
                }
            });
        })
        .await;
        assert_eq!(time.ms(), 300);
        assert_eq!(log.count("grandchild"), 2);
    });
}

#[test]
fn group_forgets_finished_children() {
    // CPython: test_taskgroup_23.
    manual(async || {
        task_group(async |group| {
            let mut owned = Vec::new();
            for count in 0..10 {
                sleep(100 * MS).await;
                let own = Arc::new(());
                owned.push(Arc::downgrade(&own));
                group.spawn(async move {
                    sleep(300 * MS).await;
                    drop(own);
                });
                if count == 5 {
                    assert!(group.len() < 5, "{} members", group.len());
                }
            }
            sleep(1350 * MS).await;
            assert_eq!(group.len(), 0);
            assert!(owned.iter().all(|own| own.upgrade().is_none()));
        })
        .await;
    });
}

#[test]
fn group_child_name() {
    // CPython: test_taskgroup_task_name.
    manual(async || {
        task_group(async |group| {
            let child = group.spawn_with(task::Builder::new().name("yolo"), yield_now());
            assert_eq!(child.name().as_deref(), Some("yolo"));
        })
        .await;
    });
}

#[test]
fn group_child_sees_its_name() {
    // CPython: test_name.
    manual(async || {
        let name = task_group(async |group| -> Result<_> {
            let named = task::Builder::new().name("example name");
            let child = group.spawn_with(named, async { Ok(task::current().unwrap().name()) });
            Ok(child.await.unwrap())
        })
        .await;
        assert_eq!(name.unwrap().as_deref(), Some("example name"));
    });
}

// ── somebody fails ────────────────────────────────────────────────────────────────────────────

#[test]
fn group_child_error_cancels_sibling() {
    // CPython: test_taskgroup_04.
    manual(async || {
        let log = Log::default();
        let (inside, after) = (log.clone(), log.clone());
        let runner = spawn(async move {
            task_group(async |group| -> Result {
                group.spawn(fails_after(100 * MS, "divided by zero"));
                group.spawn(async move {
                    tells_cancel(S, inside.clone(), "sibling cancelled").await;
                    inside.add("sibling done");
                    Ok(())
                });
                Ok(())
            })
            .await?;
            after.add("code behind the group");
            Grouped::Ok(())
        });
        let time = Stopwatch::start();
        assert_eq!(errors(runner.await.unwrap()), ["divided by zero"]);
        assert_eq!(time.ms(), 100);
        assert_eq!(log.entries(), ["sibling cancelled"]);
    });
}

#[test]
fn group_error_cancels_children_and_body() {
    // CPython: test_cancel_children_on_child_error. (There the three that fail are racy under load.)
    manual(async || {
        let log = Log::default();
        let (child, body, after) = (log.clone(), log.clone(), log.clone());
        let runner = spawn(async move {
            task_group(async |group| -> Result {
                for _ in 0..3 {
                    group.spawn(fails_after(100 * MS, "divided by zero"));
                }
                group.spawn(async move {
                    tells_cancel(5 * S, child, "child cancelled").await;
                    Ok(())
                });
                tells_cancel(10 * S, body, "body cancelled").await;
                Ok(())
            })
            .await?;
            after.add("code behind the group");
            Grouped::Ok(())
        });
        let time = Stopwatch::start();
        let errors = errors(runner.await.unwrap());
        // The first may cancel the others before they have run.
        assert!(!errors.is_empty() && errors.iter().all(|error| *error == "divided by zero"));
        assert_eq!(time.ms(), 100);
        let mut log = log.entries();
        log.sort_unstable();
        assert_eq!(log, ["body cancelled", "child cancelled"]);
    });
}

#[test]
fn group_body_error_cancels_children() {
    // CPython: test_taskgroup_09.
    manual(async || {
        let handles = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&handles);
        let time = Stopwatch::start();
        let result = task_group(async |group| -> Result {
            for seconds in [1, 2] {
                let child = group.spawn(async move {
                    sleep(seconds * S).await;
                    Ok(())
                });
                kept.lock().unwrap().push(child);
            }
            sleep(100 * MS).await;
            Err("divided by zero")
        })
        .await;
        assert_eq!(errors(result), ["divided by zero"]);
        assert_eq!(time.ms(), 100);
        for mut child in handles.lock().unwrap().drain(..) {
            assert!(child.try_join().unwrap().unwrap_err().is_cancelled());
        }
    });
}

#[test]
fn group_body_error_before_children_start() {
    // CPython: test_taskgroup_10. There nothing can run before the body waits; here another worker may
    // take the children, so that part is seen with one.
    for workers in [1, 4] {
        manual_on(workers, async move {
            let log = Log::default();
            let mut handles = Vec::new();
            let result = task_group(async |group| -> Result {
                for _ in 0..2 {
                    let log = log.clone();
                    handles.push(group.spawn(async move {
                        log.add("started");
                        sleep(S).await;
                        log.add("done");
                        Ok(())
                    }));
                }
                Err("divided by zero")
            })
            .await;
            assert_eq!(errors(result), ["divided by zero"]);
            for mut child in handles {
                assert!(child.try_join().unwrap().unwrap_err().is_cancelled());
            }
            assert_eq!(log.count("done"), 0);
            assert!(workers > 1 || log.is_empty(), "a child was started");
        });
    }
}

#[test]
fn group_child_and_body_errors_together() {
    // CPython: test_taskgroup_19.
    manual(async || {
        let runner = spawn(task_group(async move |group| {
            group.spawn(fails_after(100 * MS, "child"));
            fails_in_cleanup(10 * S, "body").await
        }));
        let error = runner.await.unwrap().unwrap_err();
        let errors: Vec<_> = error.errors().iter().map(|failure| failure.error).collect();
        assert_eq!(errors, ["child", "body"], "in the order in which they came");
    });
}

#[test]
fn group_body_cleanup_error_and_count() {
    // CPython: test_taskgroup_context_manager_exit_raises (gh-95289).
    manual(async || {
        let runner = spawn(async {
            let result = task_group(async |group| {
                // A resource whose end fails, because the group is being cancelled.
                let body = async {
                    group.spawn(async { Err::<(), _>("child") });
                    sleep(S).await;
                };
                match catch_cancel(body).await {
                    Ok(()) => Ok(()),
                    Err(cancelled) => {
                        yield_now().await;
                        drop(cancelled);
                        Err("rollback")
                    }
                }
            })
            .await;
            assert_eq!(task::current().unwrap().cancelling(), 0);
            let errors = errors(result);
            sleep(S).await;
            errors
        });
        assert_eq!(runner.await.unwrap(), ["child", "rollback"]);
    });
}

#[test]
fn group_body_panic_beats_child_error() {
    // CPython: test_taskgroup_20. There a KeyboardInterrupt comes out alone; here a panic does.
    hush_panics("planned");
    manual(async || {
        let log = Log::default();
        let sibling = log.clone();
        let runner = spawn(task_group(async move |group| -> Result {
            group.spawn(fails_after(100 * MS, "child"));
            group.spawn(async move {
                cleans_up_for(10 * S, S).await;
                Ok(())
            });
            let _end = sibling.at_drop("body");
            if let Err(cancelled) = catch_cancel(sleep(10 * S)).await {
                let _cancelled = cancelled;
                panic!("planned: body");
            }
            Ok(())
        }));
        let time = Stopwatch::start();
        let error = runner.await.unwrap_err();
        assert!(error.is_panic() && !error.is_cancelled());
        assert_eq!(text(&*error.into_panic()), "planned: body");
        assert_eq!(time.ms(), 1100, "the group has waited for its members");
        assert_eq!(log.entries(), ["body"]);
    });
}

#[test]
fn group_child_panic_beats_body_error() {
    // CPython: _test_taskgroup_21, which is disabled: there a child's KeyboardInterrupt ends the loop.
    // Here its panic resumes in the group, after all have ended.
    hush_panics("planned");
    manual(async || {
        let runner = spawn(task_group(async move |group| {
            group.spawn(async {
                sleep(100 * MS).await;
                if true {
                    panic!("planned: child");
                }
                Ok(())
            });
            fails_in_cleanup(10 * S, "body").await
        }));
        let error = runner.await.unwrap_err();
        assert_eq!(text(&*error.into_panic()), "planned: child");
    });
}

/// Doubles after each rest.
fn hydra(
    group: TaskGroup<Boom>,
    heads: Arc<AtomicUsize>,
) -> Pin<Box<dyn Future<Output = Result> + Send>> {
    Box::pin(async move {
        heads.fetch_add(1, Ordering::SeqCst);
        sleep(10 * MS).await;
        group.spawn(hydra(group.clone(), Arc::clone(&heads)));
        group.spawn(hydra(group.clone(), heads));
        Ok(())
    })
}

#[test]
fn group_hydra_is_stopped() {
    // CPython: test_taskgroup_25.
    manual(async || {
        let heads = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&heads);
        let result = task_group(async |group| -> Result {
            group.spawn(hydra(group.clone(), Arc::clone(&heads)));
            group.spawn(async move {
                while seen.load(Ordering::SeqCst) < 10 {
                    sleep(15 * MS).await;
                }
                Err::<(), _>("hercules")
            });
            Ok(())
        })
        .await;
        assert_eq!(errors(result), ["hercules"]);
        let grown = heads.load(Ordering::SeqCst);
        assert!(grown >= 10);
        sleep(S).await;
        assert_eq!(heads.load(Ordering::SeqCst), grown, "it grows on");
    });
}

#[test]
fn group_refuses_children_after_failure() {
    // CPython: test_taskgroup_no_create_task_after_failure. There adding raises; here `spawn` gives the handle of a
    // cancelled task, and `try_spawn` the future back.
    manual(async || {
        let log = Log::default();
        let (inside, entered) = (log.clone(), log.clone());
        let result = task_group(async |group| -> Result {
            group.spawn(fails_after(MS, "first"));
            let adder = group.clone();
            group.spawn(async move {
                let cancelled = catch_cancel(sleep(S)).await.unwrap_err();
                let late = adder.spawn(async move {
                    entered.add("entered");
                    Err::<(), _>("late")
                });
                assert!(late.await.unwrap_err().is_cancelled());
                assert!(adder.try_spawn(async { Err::<(), _>("late") }).is_err());
                inside.add("refused");
                drop(cancelled);
                Ok(())
            });
            Ok(())
        })
        .await;
        assert_eq!(errors(result), ["first"]);
        assert_eq!(log.entries(), ["refused"]);
    });
}

#[test]
fn group_kept_past_its_end_refuses() {
    // CPython: test_taskgroup_finished. There adding raises; here the handle is that of a cancelled task.
    manual(async || {
        let group = task_group(async |group| -> Result<_> { Ok(group) }).await.unwrap();
        let log = Log::default();
        let (entered, dropped) = (log.clone(), log.at_drop("dropped"));
        let late = group.spawn(async move {
            let _dropped = dropped;
            entered.add("entered");
            Ok(())
        });
        assert!(late.await.unwrap_err().is_cancelled());
        assert_eq!(log.entries(), ["dropped"]);
        assert!(group.is_empty());
    });
}

#[test]
fn group_closed_returns_future_unpolled() {
    // CPython: test_coro_closed_when_tg_closed. There the coroutine is closed; here it comes back.
    manual(async || {
        let group = task_group(async |group| -> Result<_> { Ok(group) }).await.unwrap();
        let log = Log::default();
        let inside = log.clone();
        let refused = group
            .try_spawn(async move {
                inside.add("polled");
                Ok(5)
            })
            .unwrap_err();
        settle().await;
        assert!(log.is_empty());
        assert_eq!(refused.future.await, Ok(5));
    });
}

#[test]
fn group_failure_leaves_no_request() {
    // CPython: test_cancelling_level_preserved (gh-116720).
    manual(async || {
        let result = task_group(async |group| -> Result {
            group.spawn(fails_after(Duration::ZERO, "child"));
            Ok(())
        })
        .await;
        assert_eq!(errors(result), ["child"]);
        assert_eq!(task::current().unwrap().cancelling(), 0);
        yield_now().await;
    });
}

#[test]
fn group_keeps_nothing_alive() {
    // CPython: test_exception_refcycles_parent_task_wr (and, in spirit, the other tests of reference cycles).
    manual(async || {
        let (owned, error) = (Arc::new(()), Arc::new("error"));
        let (child, thrown) = (Arc::downgrade(&owned), Arc::downgrade(&error));
        let mut kept = None;
        let result = task_group(async |group| -> Result<(), Arc<&str>> {
            kept = Some(group.clone());
            group.spawn(async move {
                let _owned = owned;
                Err::<(), _>(error)
            });
            Ok(())
        })
        .await;
        assert!(child.upgrade().is_none(), "the failed child");
        assert_eq!(thrown.strong_count(), 1, "only the result has the error");
        drop(result);
        assert!(thrown.upgrade().is_none());
        drop(kept);
    });
}

// ── a request from outside ────────────────────────────────────────────────────────────────────

#[test]
fn group_outer_cancel_reaches_children_with_reason() {
    // CPython: test_cancellation.
    manual(async || {
        let log = Log::default();
        let inside = log.clone();
        let runner = spawn(task_group(async move |group| {
            for _ in 0..5 {
                group.spawn(tells_cancel(5 * S, inside.clone(), "child cancelled"));
            }
        }));
        cancel_soon(&runner).await;
        let error = runner.await.unwrap_err();
        assert!(error.is_cancelled());
        assert_eq!(error.reason(), Some("from outside"));
        assert_eq!(log.count("child cancelled"), 5);
    });
}

#[test]
fn group_outer_cancel_body_catches_and_resumes() {
    // CPython: test_taskgroup_07.
    manual(async || {
        let log = Log::default();
        let inside = log.clone();
        let runner = spawn(task_group(async move |group| {
            for _ in 0..5 {
                group.spawn(tells_cancel(5 * S, inside.clone(), "child cancelled"));
            }
            tells_cancel(10 * S, inside, "body cancelled").await;
        }));
        cancel_soon(&runner).await;
        assert!(runner.await.unwrap_err().is_cancelled());
        assert_eq!(log.entries()[0], "body cancelled", "the body first");
        assert_eq!(log.count("child cancelled"), 5);
    });
}

#[test]
fn group_cleanup_errors_beat_outer_cancel() {
    // CPython: test_taskgroup_08 (gh-95704).
    manual(async || {
        let runner = spawn(task_group(async move |group| -> Result {
            for _ in 0..5 {
                group.spawn(fails_in_cleanup(10 * S, "divided by zero"));
            }
            sleep(10 * S).await;
            Ok(())
        }));
        cancel_soon(&runner).await;
        assert_eq!(errors(runner.await.unwrap()), ["divided by zero"; 5]);
    });
}

#[test]
fn nested_groups_cleanup_errors_nest() {
    // CPython: test_taskgroup_11.
    manual(async || {
        let runner = spawn(task_group(async move |_outer| {
            task_group(async |group| -> Result {
                for _ in 0..5 {
                    group.spawn(fails_in_cleanup(10 * S, "divided by zero"));
                }
                sleep(10 * S).await;
                Ok(())
            })
            .await
        }));
        cancel_soon(&runner).await;
        let inner = runner.await.unwrap().unwrap_err().into_first().unwrap();
        assert_eq!(errors(Grouped::<()>::Err(inner)), ["divided by zero"; 5]);
    });
}

#[test]
fn nested_groups_cleanup_errors_nest_with_outer_child() {
    // CPython: test_taskgroup_12.
    manual(async || {
        let log = Log::default();
        let child = log.clone();
        let runner = spawn(task_group(async move |outer| {
            outer.spawn(tells_cancel(10 * S, child, "outer child cancelled"));
            task_group(async |group| -> Result {
                for _ in 0..5 {
                    group.spawn(fails_in_cleanup(10 * S, "divided by zero"));
                }
                sleep(10 * S).await;
                Ok(())
            })
            .await
        }));
        cancel_soon(&runner).await;
        let outer = runner.await.unwrap().unwrap_err();
        assert_eq!(outer.errors().len(), 1);
        let inner = outer.into_first().unwrap();
        assert_eq!(errors(Grouped::<()>::Err(inner)), ["divided by zero"; 5]);
        assert_eq!(log.entries(), ["outer child cancelled"]);
    });
}

#[test]
fn nested_groups_outer_child_fails() {
    // CPython: test_taskgroup_13.
    manual(async || {
        let log = Log::default();
        let behind = log.clone();
        let runner = spawn(task_group(async move |outer| -> Result {
            outer.spawn(fails_after(100 * MS, "outer"));
            let inner = task_group(async |inner| -> Result {
                inner.spawn(fails_after(10 * S, "inner"));
                Ok(())
            })
            .await;
            behind.add("code between");
            drop(inner);
            Ok(())
        }));
        let time = Stopwatch::start();
        assert_eq!(errors(runner.await.unwrap()), ["outer"]);
        assert_eq!(time.ms(), 100);
        assert!(log.is_empty(), "the inner group ended in some other way than by being cancelled");
    });
}

#[test]
fn nested_groups_inner_child_fails() {
    // CPython: test_taskgroup_14.
    manual(async || {
        let log = Log::default();
        let child = log.clone();
        let runner = spawn(task_group(async move |outer| {
            outer.spawn(tells_cancel(10 * S, child, "outer child cancelled"));
            task_group(async |inner| -> Result {
                inner.spawn(fails_after(100 * MS, "inner"));
                Ok(())
            })
            .await
        }));
        let time = Stopwatch::start();
        let inner = runner.await.unwrap().unwrap_err().into_first().unwrap();
        assert_eq!(errors(Grouped::<()>::Err(inner)), ["inner"]);
        assert_eq!(time.ms(), 100);
        assert_eq!(log.entries(), ["outer child cancelled"]);
    });
}

#[test]
fn group_child_crash_during_body_cleanup() {
    // CPython: test_taskgroup_15. There the child's crash cuts the body's cleanup; here a cleanup runs to its end.
    manual(async || {
        let log = Log::default();
        let body = log.clone();
        let runner = spawn(task_group(async move |group| -> Result {
            group.spawn(fails_after(300 * MS, "divided by zero"));
            if let Err(cancelled) = catch_cancel(sleep(10 * S)).await {
                sleep(500 * MS).await;
                body.add("cleaned up");
                cancelled.resume().await;
            }
            Ok(())
        }));
        let time = Stopwatch::start();
        cancel_soon(&runner).await;
        assert_eq!(errors(runner.await.unwrap()), ["divided by zero"]);
        assert_eq!(time.ms(), 600);
        assert_eq!(log.entries(), ["cleaned up"]);
    });
}

#[test]
fn group_child_crash_during_body_cleanup_linked() {
    // CPython: test_taskgroup_16. As the one before; there a plain await is enough to cancel the inner task.
    manual(async || {
        let log = Log::default();
        let body = log.clone();
        let nested = async move {
            task_group(async |group| -> Result {
                group.spawn(fails_after(300 * MS, "divided by zero"));
                if let Err(cancelled) = catch_cancel(sleep(10 * S)).await {
                    sleep(500 * MS).await;
                    body.add("cleaned up");
                    cancelled.resume().await;
                }
                Ok(())
            })
            .await
        };
        let runner = spawn(async move { spawn(nested).linked().await });
        let time = Stopwatch::start();
        cancel_soon(&runner).await;
        assert_eq!(errors(runner.await.unwrap().unwrap()), ["divided by zero"]);
        assert_eq!(time.ms(), 600);
        assert_eq!(log.entries(), ["cleaned up"]);
    });
}

#[test]
fn group_without_children_outer_cancel() {
    // CPython: test_taskgroup_17.
    manual(async || {
        let log = Log::default();
        let body = log.clone();
        let runner = spawn(task_group(async move |_group| -> Result {
            tells_cancel(10 * S, body, "body cancelled").await;
            Ok(())
        }));
        cancel_soon(&runner).await;
        assert!(runner.await.unwrap_err().is_cancelled());
        assert_eq!(log.entries(), ["body cancelled"]);
    });
}

#[test]
fn group_body_replaces_cancel_by_error() {
    // CPython: test_taskgroup_18. (There the request is left behind as a count only; here it acts where
    // the task waits next.)
    manual(async || {
        let log = Log::default();
        let after = log.clone();
        let ends = spawn(task_group(async move |_group| fails_in_cleanup(10 * S, "instead").await));
        let waits = spawn(async move {
            let result = task_group(async |_group| fails_in_cleanup(10 * S, "instead").await).await;
            assert_eq!(errors(result), ["instead"]);
            assert_eq!(task::current().unwrap().cancelling(), 1);
            after.add("behind the group");
            sleep(S).await;
            after.add("behind the sleep");
        });
        sleep(100 * MS).await;
        assert!(ends.cancel() && waits.cancel());
        assert_eq!(errors(ends.await.unwrap()), ["instead"]);
        assert!(waits.await.unwrap_err().is_cancelled());
        assert_eq!(log.entries(), ["behind the group"]);
    });
}

#[test]
fn group_body_returns_the_token_as_error() {
    // CPython: test_taskgroup_18, but the error is the cancel itself, carried by `?`. There that is a cancel as well.
    manual(async || {
        let runner = spawn(task_group(async move |_group| -> std::result::Result<(), Cancelled> {
            catch_cancel(sleep(10 * S)).await?;
            Ok(())
        }));
        cancel_soon(&runner).await;
        assert!(runner.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn group_outer_cancel_soon() {
    // CPython: test_taskgroup_22.
    manual(async || {
        let runner = spawn(task_group(async move |group| {
            for seconds in [1, 2] {
                group.spawn(sleep(seconds * S));
            }
        }));
        sleep(50 * MS).await;
        assert!(runner.cancel());
        let time = Stopwatch::start();
        assert!(runner.await.unwrap_err().is_cancelled());
        assert_eq!(time.ms(), 0);
    });
}

#[test]
fn nested_groups_fail_at_once() {
    // CPython: test_nested_groups_both_cancelled (gh-116720). There the task's count is 1 between the groups;
    // here the outer group's request is aimed at its body, and the task's count is 0.
    manual(async || {
        let log = Log::default();
        let inside = log.clone();
        // The order is fixed: the outer child fails first, the inner one when it is cancelled for that.
        let result = task_group(async |outer| -> Result {
            outer.spawn(fails_after(100 * MS, "outer"));
            let inner = task_group(async |inner| -> Result {
                inner.spawn(fails_in_cleanup(10 * S, "inner"));
                Ok(())
            })
            .await;
            assert_eq!(errors(inner), ["inner"]);
            assert_eq!(task::current().unwrap().cancelling(), 0);
            inside.add("inner error handled");
            sleep(10 * S).await;
            inside.add("the outer request was lost");
            Ok(())
        })
        .await;
        assert_eq!(errors(result), ["outer"]);
        assert_eq!(log.entries(), ["inner error handled"]);
        assert_eq!(task::current().unwrap().cancelling(), 0);
        // In the same instant, in any order.
        let result = task_group(async |outer| -> Result {
            let inner = task_group(async |inner| -> Result {
                inner.spawn(fails_after(100 * MS, "inner"));
                outer.spawn(fails_after(100 * MS, "outer"));
                Ok(())
            })
            .await;
            assert_eq!(errors(inner), ["inner"]);
            Ok(())
        })
        .await;
        assert_eq!(errors(result), ["outer"]);
        assert_eq!(task::current().unwrap().cancelling(), 0);
        sleep(S).await;
    });
}

#[test]
fn group_error_and_outer_cancel_at_once() {
    // CPython: test_error_and_cancel (gh-116720).
    manual(async || {
        let log = Log::default();
        let inside = log.clone();
        let runner = spawn(async move {
            let result = task_group(async |group| -> Result {
                // It fails after the cancel, but the group hears of both at once.
                group.spawn(fails_in_cleanup(S, "child"));
                sleep(S).await;
                inside.add("the body went on");
                Ok(())
            })
            .await;
            assert_eq!(errors(result), ["child"]);
            assert_eq!(task::current().unwrap().cancelling(), 1);
            inside.add("error");
            sleep(S).await;
            inside.add("the cancel was lost");
        });
        settle().await;
        assert_eq!(runner.task().cancelling(), 0);
        assert!(runner.cancel());
        assert!(runner.task().cancelling() <= 1);
        assert!(runner.await.unwrap_err().is_cancelled());
        assert_eq!(log.entries(), ["error"]);
    });
}

/// How members may be started.
fn builders() -> [task::Builder; 2] {
    [task::Builder::new(), task::Builder::new().eager()]
}

#[test]
fn eager_child_adding_failing_child_is_cancelled() {
    // CPython: test_cancels_task_if_created_during_creation (gh-128550). Started at once, and later.
    manual(async || {
        for (first, second) in builders().into_iter().zip(builders()) {
            let log = Log::default();
            let inside = log.clone();
            let result = task_group(async |group| -> Result {
                let adder = group.clone();
                group.spawn_with(first, async move {
                    adder.spawn_with(second, async { Err::<(), _>("third") });
                    tells_cancel(S, inside, "second cancelled").await;
                    Ok(())
                });
                Ok(())
            })
            .await;
            assert_eq!(errors(result), ["third"]);
            assert_eq!(log.entries(), ["second cancelled"]);
        }
    });
}

#[test]
fn eager_child_failure_does_not_leak() {
    // CPython: test_cancellation_does_not_leak_out_of_tg (gh-128588). Started at once, and later.
    manual(async || {
        for builder in builders() {
            let result = task_group(async |group| -> Result {
                group.spawn_with(builder, async { Err::<(), _>("child") });
                Ok(())
            })
            .await;
            assert_eq!(errors(result), ["child"]);
            for _ in 0..3 {
                yield_now().await;
            }
            assert_eq!(task::current().unwrap().cancelling(), 0);
        }
    });
}

// ── TaskGroup::cancel ─────────────────────────────────────────────────────────────────────────

#[test]
fn group_cancel_from_body_quiet() {
    // CPython 3.15: cancel() from the body. There the group ends without an error in any case; here only one
    // whose body has no value to give does.
    manual(async || {
        let log = Log::default();
        let inside = log.clone();
        let time = Stopwatch::start();
        task_group(async |group| {
            group.spawn(tells_cancel(10 * S, inside.clone(), "child cancelled"));
            sleep(S).await;
            group.cancel();
            inside.add("the body runs on until it waits");
            tells_cancel(10 * S, inside.clone(), "body cancelled").await;
            inside.add("the body went on");
        })
        .await;
        assert_eq!(time.ms(), 1000);
        let mut entries = log.entries();
        entries.sort_unstable();
        assert_eq!(
            entries,
            ["body cancelled", "child cancelled", "the body runs on until it waits"]
        );
        assert_eq!(task::current().unwrap().cancelling(), 0);

        let result = task_group(async |group| -> Result<u8> {
            group.cancel();
            sleep(10 * S).await;
            Ok(1)
        })
        .await;
        assert!(result.unwrap_err().is_cancelled());
        let result = task_group(async |group| -> Result<u8> {
            group.cancel();
            Ok(1)
        })
        .await;
        assert_eq!(result.unwrap(), 1, "the value was ready before the body waited");
    });
}

#[test]
fn group_cancel_from_child() {
    // CPython 3.15: cancel() from a child.
    manual(async || {
        let log = Log::default();
        let inside = log.clone();
        let time = Stopwatch::start();
        task_group(async |group| {
            group.spawn(tells_cancel(10 * S, inside.clone(), "sibling cancelled"));
            let ender = group.clone();
            let own = inside.clone();
            group.spawn(async move {
                sleep(S).await;
                ender.cancel();
                tells_cancel(10 * S, own, "child cancelled").await;
            });
            tells_cancel(10 * S, inside, "body cancelled").await;
        })
        .await;
        assert_eq!(time.ms(), 1000);
        let mut entries = log.entries();
        entries.sort_unstable();
        assert_eq!(entries, ["body cancelled", "child cancelled", "sibling cancelled"]);
    });
}

#[test]
fn group_cancel_twice_and_after_end() {
    // CPython 3.15: cancel() is idempotent, also after the end.
    manual(async || {
        let mut kept = None;
        let time = Stopwatch::start();
        task_group(async |group| {
            kept = Some(group.clone());
            group.spawn(cleans_up_for(10 * S, S));
            settle().await;
            group.cancel();
            group.cancel();
            pending::<()>().await;
        })
        .await;
        assert_eq!(time.ms(), 1000, "the second one does not cut the cleanup");
        let kept = kept.unwrap();
        kept.cancel();
        kept.cancel();
        yield_now().await;
        assert_eq!(task::current().unwrap().cancelling(), 0);
    });
}

#[test]
fn group_cancel_then_body_error() {
    // CPython 3.15: the body raises after cancel().
    manual(async || {
        let result = task_group(async |group| -> Result {
            group.spawn(async {
                sleep(S).await;
                Ok(())
            });
            group.cancel();
            Err("at once")
        })
        .await;
        assert_eq!(errors(result), ["at once"]);
        let result = task_group(async |group| -> Result {
            group.cancel();
            fails_in_cleanup(S, "in its cleanup").await
        })
        .await;
        assert_eq!(errors(result), ["in its cleanup"]);
        assert_eq!(task::current().unwrap().cancelling(), 0);
        yield_now().await;
    });
}

#[test]
fn group_cancel_then_child_cleanup_error() {
    // CPython 3.15: a child fails in its cleanup after cancel().
    manual(async || {
        let result = task_group(async |group| -> Result {
            group.spawn(fails_in_cleanup(S, "child"));
            settle().await;
            group.cancel();
            pending().await
        })
        .await;
        let error = result.unwrap_err();
        assert!(!error.is_cancelled());
        assert_eq!(error.into_first(), Some("child"));
    });
}

#[test]
fn group_cancel_then_spawn() {
    // CPython: test_taskgroup_cancel_before_create_task. There adding raises; here the handle is that of a
    // cancelled task.
    manual(async || {
        let log = Log::default();
        let entered = log.clone();
        let late = task_group(async |group| -> Result<_> {
            group.cancel();
            Ok(group.spawn(async move {
                entered.add("entered");
                Ok(())
            }))
        })
        .await;
        assert!(late.unwrap().await.unwrap_err().is_cancelled());
        assert!(log.is_empty());
    });
}

#[test]
fn eager_child_cancels_group_first() {
    // CPython: test_taskgroup_cancel_from_child_before_first_suspension (gh-155418). Started at once, and later.
    manual(async || {
        for builder in builders() {
            let log = Log::default();
            let inside = log.clone();
            task_group(async |group| {
                let ender = group.clone();
                group.spawn_with(builder, async move {
                    ender.cancel();
                    tells_cancel(10 * S, inside, "child cancelled").await;
                });
                pending::<()>().await;
            })
            .await;
            assert_eq!(log.entries(), ["child cancelled"]);
        }
    });
}

#[test]
fn group_cancel_does_not_eat_outer_cancel() {
    // CPython: test_taskgroup_cancel_keeps_outer_cancellation (gh-155433).
    manual(async || {
        let log = Log::default();
        let behind = log.clone();
        let runner = spawn(async move {
            task_group(async |group| {
                group.spawn(cleans_up_for(10 * S, S));
                settle().await;
                group.cancel();
                pending::<()>().await;
            })
            .await;
            behind.add("behind the group");
        });
        let time = Stopwatch::start();
        sleep(500 * MS).await;
        assert!(runner.cancel_with("from outside"));
        let error = runner.await.unwrap_err();
        assert!(error.is_cancelled());
        assert_eq!(error.reason(), Some("from outside"));
        assert_eq!(time.ms(), 1000);
        assert!(log.is_empty());
    });
    // The same with a timeout outside, whose time is up while the group waits.
    manual(async || {
        let time = Stopwatch::start();
        let result = timeout(500 * MS, async {
            task_group(async |group| {
                group.spawn(cleans_up_for(10 * S, S));
                settle().await;
                group.cancel();
                pending::<()>().await;
            })
            .await;
            "behind the group"
        })
        .await;
        assert!(result.is_err(), "{result:?}");
        assert_eq!(time.ms(), 1000);
        assert_eq!(task::current().unwrap().cancelling(), 0);
    });
}

// ── in a foreign executor ─────────────────────────────────────────────────────────────────────

#[test]
fn foreign_executor_group() {
    // CPython: test_taskgroup_without_parent_task. There it is refused; here a group works, but there are no
    // requests to the task around it. (On the system's clock: the foreign executor blocks a thread.)
    filch::run(async {
        let log = Log::default();
        let inside = log.clone();
        let (send, receive) = async_channel::bounded::<()>(1);
        let (started, is_started) = async_channel::bounded::<()>(1);
        let job = spawn_blocking(move || {
            started.send_blocking(()).unwrap();
            receive.recv_blocking().unwrap();
            // It ends itself.
            futures_lite::future::block_on(task_group(async |group| {
                group.spawn(pending::<()>());
                group.cancel();
                pending::<()>().await;
            }));
            // A member fails.
            let failed = futures_lite::future::block_on(task_group(async |group| -> Result {
                group.spawn(async { Err::<(), _>("child") });
                pending().await
            }));
            assert_eq!(errors(failed), ["child"]);
            // It is dropped.
            let member = tells_cancel(600 * S, inside.clone(), "cancelled");
            let limited = futures_lite::future::block_on(timeout(20 * MS, async {
                task_group(async |group| {
                    let member = group.spawn(member);
                    while member.task().waits_at().is_none() {
                        yield_now().await;
                    }
                    pending::<()>().await;
                })
                .await;
            }));
            assert!(limited.is_err());
            5
        });
        is_started.recv().await.unwrap();
        // A request to the job reaches nothing in it, and does no harm.
        job.cancel();
        send.send(()).await.unwrap();
        assert_eq!(job.await.unwrap(), 5);
        for _ in 0..600 {
            if log.is_empty() {
                sleep(10 * MS).await;
            }
        }
        assert_eq!(log.entries(), ["cancelled"]);
    });
}
