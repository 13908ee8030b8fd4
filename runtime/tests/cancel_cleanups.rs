//! Further requests during a cleanup: they count, and whoever is in there comes to an end.

mod support;

use std::future::pending;

use filch::{catch_cancel, gather, sleep, spawn, task, task_group, timeout, wait_for};
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

#[test]
#[ignore = "the token in the output of one branch holds up the request that the other one waits for"]
fn a_token_returned_by_one_branch_does_not_hang_the_other() {
    manual(async || {
        let runner = spawn(async {
            let returns = catch_cancel(pending::<()>());
            let group = task_group(async |group| drop(group.spawn(sleep(100 * S))));
            futures_lite::future::zip(returns, group).await
        });
        sleep(S).await;
        runner.cancel();
        assert!(runner.await.unwrap_err().is_cancelled());
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
