//! Further requests during a cleanup: they count, and whoever is in there comes to an end.

mod support;

use std::future::{Future, pending};

use filch::{
    Cancelled, Handle, catch_cancel, gather, shield, sleep, spawn, task, task_group, timeout,
    wait_for,
};
use futures_lite::future::{try_zip, zip};
use support::manual::{Log, S, Stopwatch, cleans_up_for, manual, tells_cancel};

/// Cleans up in a way that waits for other tasks.
async fn cleanup(kind: usize) {
    match kind {
        0 => task_group(async |group| drop(group.spawn(sleep(5 * S)))).await,
        1 => assert!(gather([sleep(5 * S)]).await.is_ok()),
        2 => assert!(gather([sleep(5 * S)]).settled().await[0].is_ok()),
        3 => assert!(spawn(sleep(5 * S)).linked().await.is_ok()),
        4 => assert!(wait_for(10 * S, spawn(sleep(5 * S))).await.unwrap().is_ok()),
        5 => assert!(filch::gather!(sleep(5 * S)).await.is_ok()),
        _ => sleep(5 * S).await,
    }
}

#[test]
fn a_second_cancel_leaves_tasks_alone_that_a_cleanup_waits_for() {
    manual(async || {
        for kind in 0..7 {
            let log = Log::default();
            let inside = log.clone();
            let runner = spawn(async move {
                let cancelled = catch_cancel(pending::<()>()).await.unwrap_err();
                cleanup(kind).await;
                inside.add("cleaned up");
                assert_eq!(task::current().unwrap().cancelling(), 2);
                cancelled.resume().await;
            });
            let time = Stopwatch::start();
            sleep(S).await;
            runner.cancel();
            sleep(S).await;
            runner.cancel();
            assert!(runner.await.unwrap_err().is_cancelled());
            assert_eq!((time.ms(), log.count("cleaned up")), (6000, 1), "{kind}");
        }
    });
}

#[test]
fn a_cancel_leaves_the_cleanup_of_a_timeout_alone() {
    manual(async || {
        for kind in 0..7 {
            let log = Log::default();
            let inside = log.clone();
            let runner = spawn(async move {
                let limited = timeout(S, async {
                    let cancelled = catch_cancel(pending::<()>()).await.unwrap_err();
                    cleanup(kind).await;
                    inside.add("cleaned up");
                    cancelled.resume().await;
                });
                let _ = limited.await;
                inside.add("behind the timeout");
                pending::<()>().await;
            });
            let time = Stopwatch::start();
            sleep(2 * S).await;
            runner.cancel();
            assert!(runner.await.unwrap_err().is_cancelled());
            assert_eq!((time.ms(), log.entries()[0]), (6000, "cleaned up"), "{kind}");
        }
    });
}

#[test]
fn what_a_cleanup_limits_itself_is_cut_there() {
    manual(async || {
        for kind in 0..7 {
            let runner = spawn(async move {
                let cancelled = catch_cancel(pending::<()>()).await.unwrap_err();
                assert!(timeout(S, cleanup(kind)).await.is_err());
                sleep(S).await;
                cancelled.resume().await;
            });
            let time = Stopwatch::start();
            sleep(S).await;
            runner.cancel();
            assert!(runner.await.unwrap_err().is_cancelled());
            assert_eq!(time.ms(), 3000, "{kind}");
        }
    });
}

#[test]
fn a_catch_in_a_cleanup_hears_and_may_give_the_cleanup_up() {
    manual(async || {
        // It stands alone, or around what waits for other tasks.
        for kind in 0..7 {
            for resumes in [true, false] {
                let log = Log::default();
                let inside = log.clone();
                let runner = spawn(async move {
                    let cancelled = catch_cancel(pending::<()>()).await.unwrap_err();
                    if let Err(again) = catch_cancel(cleanup(kind)).await {
                        inside.add("impatient");
                        if resumes {
                            again.resume().await;
                        }
                    }
                    sleep(S).await;
                    inside.add("cleaned up");
                    cancelled.resume().await;
                });
                let time = Stopwatch::start();
                sleep(S).await;
                runner.cancel();
                sleep(S).await;
                runner.cancel();
                assert!(runner.await.unwrap_err().is_cancelled());
                let (ms, entries) = if resumes {
                    (2000, &["impatient"][..])
                } else {
                    (3000, &["impatient", "cleaned up"][..])
                };
                assert_eq!((time.ms(), &log.entries()[..]), (ms, entries), "{kind}");
            }
        }
    });
}

#[test]
fn members_that_resume_do_not_hang_a_group_in_a_cleanup() {
    manual(async || {
        let log = Log::default();
        let inside = log.clone();
        let runner = spawn(async move {
            let cancelled = catch_cancel(pending::<()>()).await.unwrap_err();
            // The body has a catch of its own, which hears and passes on: so the group ends, and the cleanup with it.
            task_group(async |group| {
                group.spawn(cleans_up_for(100 * S, S));
                tells_cancel(100 * S, inside.clone(), "body").await;
            })
            .await;
            inside.add("behind the group");
            cancelled.resume().await;
        });
        let time = Stopwatch::start();
        sleep(S).await;
        runner.cancel();
        sleep(S).await;
        runner.cancel();
        assert!(runner.await.unwrap_err().is_cancelled());
        assert_eq!((time.ms(), log.entries()), (3000, vec!["body"]));
    });
}

/// What ends only when it is dropped for a request that it has passed on.
async fn ends_by_being_dropped(kind: usize) {
    match kind {
        0 => task_group(async |group| drop(group.spawn(sleep(100 * S)))).await,
        1 => _ = gather([sleep(100 * S)]).await,
        2 => _ = spawn(sleep(100 * S)).linked().await,
        3 => _ = wait_for(200 * S, spawn(sleep(100 * S))).await,
        _ => catch_cancel(pending::<()>()).await.unwrap_err().resume().await,
    }
}

fn returns_its_token() -> impl Future<Output = Result<(), Cancelled>> {
    catch_cancel(pending()) // RETURNS
}

/// The task ends when no token shields it any more, and this one lies in the output of a `zip`, which is over only when
/// the other branch is. No rule is broken (a token kept for long shields for long), and whoever looks sees it.
#[test]
fn a_token_that_a_branch_returns_shields_the_task_until_the_other_branch_ends() {
    manual(async || {
        let line = include_str!("cancel_cleanups.rs")
            .lines()
            .position(|line| line.ends_with("// RETURNS"));
        let line = line.unwrap() as u32 + 1;
        for kind in 0..5 {
            let log = Log::default();
            let dropped = log.at_drop("dropped");
            let runner = spawn(async move {
                let _dropped = dropped;
                let _ = zip(returns_its_token(), ends_by_being_dropped(kind)).await;
            });
            let time = Stopwatch::start();
            sleep(S).await;
            runner.cancel();
            sleep(100 * S).await;
            assert!(!runner.is_finished() && log.is_empty(), "{kind}");
            // Both halves are told of: who holds it up, and what waits for that.
            let info = runner.task().info();
            let (held_by, waits_at) = (info.held_by.unwrap(), info.waits_at.unwrap());
            assert_eq!((held_by.file(), held_by.line()), (file!(), line), "{kind}");
            assert!(waits_at.file() == file!() && waits_at.line() != line, "{kind}: {waits_at}");
            let shown = Handle::current().task_tree().to_string();
            assert!(
                shown.contains(&format!("asked to end, held up by what was made at {held_by}"))
            );
            // And somebody who does not want to wait ends it.
            runner.cancel_within(S);
            assert!(runner.await.unwrap_err().is_cancelled());
            assert_eq!((time.ms(), log.count("dropped")), (102_000, 1), "{kind}");
        }
    });
}

/// The same branches in ways that do end: the token is spent in its own branch, or its error ends the others.
#[test]
fn a_token_spent_in_its_branch_or_returned_to_a_try_zip_lets_the_other_branch_end() {
    manual(async || {
        for kind in 0..5 {
            for way in 0..3 {
                let runner = spawn(async move {
                    let caught = returns_its_token();
                    let other = ends_by_being_dropped(kind);
                    let other_result = async {
                        other.await;
                        Ok::<_, Cancelled>(())
                    };
                    match way {
                        0 => drop(zip(async { drop(caught.await) }, other_result).await),
                        1 => {
                            let resumes = async { caught.await.unwrap_err().resume().await };
                            zip(resumes, other_result).await;
                        }
                        _ => drop(try_zip(caught, other_result).await),
                    }
                    pending::<()>().await;
                });
                let time = Stopwatch::start();
                sleep(S).await;
                runner.cancel();
                assert!(runner.await.unwrap_err().is_cancelled());
                assert_eq!(time.ms(), 1000, "{kind}, {way}");
            }
        }
    });
}

/// Two branches of a task: when it is cancelled, something in the second one shields, but a catch of the first one hears.
#[test]
fn a_catch_around_a_shield_hears_although_one_in_another_branch_has_heard_before() {
    manual(async || {
        for way in 0..4 {
            let log = Log::default();
            let inside = log.clone();
            let runner = spawn(async move {
                let first = async {
                    let cancelled = catch_cancel(pending::<()>()).await;
                    inside.add("first");
                    sleep(if way % 2 == 0 { S } else { 10 * S }).await;
                    inside.add("first cleaned up");
                    drop(cancelled);
                    pending::<()>().await;
                };
                let second = async {
                    let shields = async {
                        shield(sleep(5 * S)).await;
                        inside.add("shielded");
                        match way {
                            0 | 1 => pending::<()>().await,
                            _ => tells_cancel(100 * S, inside.clone(), "inner").await,
                        }
                    };
                    let cancelled = catch_cancel(shields).await;
                    inside.add("second");
                    sleep(2 * S).await;
                    inside.add("second cleaned up");
                    drop(cancelled);
                    pending::<()>().await;
                };
                zip(first, second).await
            });
            let time = Stopwatch::start();
            sleep(S).await;
            runner.cancel();
            assert!(runner.await.unwrap_err().is_cancelled());
            let ms = time.ms();
            // (Sorted: when each comes is seen from the time at the end, which is that of the last cleanup.)
            let mut expected =
                vec!["first", "first cleaned up", "second", "second cleaned up", "shielded"];
            if way >= 2 {
                expected.insert(2, "inner");
            }
            let mut entries = log.entries();
            entries.sort_unstable();
            assert_eq!(
                (entries, ms),
                (expected, if way % 2 == 0 { 7000 } else { 11_000 }),
                "{way}"
            );
        }
    });
}

#[test]
fn an_abort_reaches_the_members_of_a_dropped_group() {
    manual(async || {
        let runner = spawn(async {
            // When the timer is up the group is dropped, and its member asked to end.
            let group = task_group(async |group| {
                group.spawn(cleans_up_for(100 * S, 100 * S));
                pending::<()>().await;
            });
            futures_lite::future::or(sleep(S), group).await;
        });
        let time = Stopwatch::start();
        sleep(2 * S).await;
        assert!(!runner.is_finished(), "it waits for the cleanup");
        runner.abort();
        let _ = runner.await;
        assert_eq!(time.ms(), 2000);
    });
}
