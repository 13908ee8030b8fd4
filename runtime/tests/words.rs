//! What errors say, and what `{:?}` shows: it stands in logs, and somebody has only that to go by.
#![cfg(unix)]

mod support;

use std::error::Error;
use std::future::{pending, ready};
use std::io;
use std::panic::panic_any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use filch::task::Builder;
use filch::{
    GroupError, JoinError, Runtime, TaskError, as_completed, catch_cancel, gather, spawn,
    spawn_blocking, task_group, timeout, try_gather, yield_now,
};
use support::hush_panics;

const HERE: &str = file!();
const MS: Duration = Duration::from_millis(1);

/// A member's error; its cause stands behind `source`.
fn refused() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionRefused, "no, thanks")
}

async fn cancelled_for(reason: Option<&'static str>) -> JoinError {
    let task = spawn(pending::<()>());
    match reason {
        Some(reason) => task.cancel_with(reason),
        None => task.cancel(),
    };
    task.await.unwrap_err()
}

#[test]
fn an_error_of_a_task_names_it_and_says_what_has_ended_it() {
    hush_panics("planned");
    filch::run(async {
        let plain = cancelled_for(None).await;
        let text = plain.to_string();
        assert!(text.starts_with(&format!("task {} (spawned at {HERE}:", plain.id())), "{text}");
        assert!(text.contains(") was cancelled at ") && !text.ends_with(':'), "{text}");
        assert_eq!(format!("{plain:?}"), format!("JoinError({text})"));
        assert!(plain.reason().is_none() && plain.place().unwrap().file() == HERE);

        let told = cancelled_for(Some("the user has left")).await;
        assert!(told.to_string().ends_with(": the user has left"), "{told}");

        let named =
            Builder::new().name("ledger").spawn(async { panic_any("planned 1".to_owned()) });
        let named = named.await.unwrap_err();
        assert_eq!((named.task_name(), named.spawned_at().file()), (Some("ledger"), HERE));
        assert!(named.to_string().starts_with("task `ledger` (spawned at "), "{named}");
        assert!(named.to_string().ends_with(") panicked: planned 1"), "{named}");
        assert!(named.place().is_none() && named.reason().is_none());
        let payload = named.into_panic().downcast::<String>().unwrap();
        assert_eq!(*payload, "planned 1");

        // A payload that is no text is kept all the same.
        let odd = spawn(async { panic_any(7_u8) }).await.unwrap_err();
        assert!(odd.to_string().ends_with(") panicked"), "{odd}");
        assert_eq!(*odd.try_into_panic().unwrap().downcast::<u8>().unwrap(), 7);
    });
}

#[test]
fn an_error_without_a_panic_comes_back() {
    hush_panics("into_panic on a task that did not panic");
    filch::run(async {
        let error = cancelled_for(Some("enough")).await;
        let error = error.try_into_panic().unwrap_err();
        assert!(error.is_cancelled() && error.reason() == Some("enough"));
        let panic = spawn(async { drop(error.into_panic()) }).await.unwrap_err();
        let text = panic.to_string();
        assert!(text.contains("into_panic on a task that did not panic: task "), "{text}");
        assert!(text.ends_with(": enough"), "{text}");
    });
}

#[test]
fn errors_become_those_of_io_and_remain_what_they_were() {
    filch::run(async {
        let error = cancelled_for(None).await;
        let text = error.to_string();
        let error = io::Error::from(error);
        assert_eq!((error.kind(), error.to_string()), (io::ErrorKind::Other, text));
        assert!(error.get_ref().unwrap().is::<JoinError>());

        let late = timeout(Duration::ZERO, pending::<()>()).await.unwrap_err();
        let late = io::Error::from(late);
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        assert_eq!(late.to_string(), "the time limit was exceeded");
        assert!(late.get_ref().unwrap().is::<filch::Elapsed>());
    });
}

/// All members fail, though the first failure is a request to the others to end.
async fn failing(members: usize) -> GroupError<io::Error> {
    task_group(async |group| {
        let started = Arc::new(AtomicUsize::new(0));
        for _ in 0..members {
            let started = Arc::clone(&started);
            group.spawn(async move {
                started.fetch_add(1, Ordering::Relaxed);
                catch_cancel(pending::<()>()).await.unwrap_err().uncancel();
                Err::<(), _>(refused())
            });
        }
        while started.load(Ordering::Relaxed) < members {
            yield_now().await;
        }
        group.cancel();
        pending::<Result<(), io::Error>>().await
    })
    .await
    .unwrap_err()
}

#[test]
fn an_error_of_a_group_counts_its_members_and_shows_the_first() {
    filch::run(async {
        let one = failing(1).await;
        assert!(one.to_string().ends_with(") failed: no, thanks"), "{one}");
        assert!(one.to_string().starts_with("task "), "{one}");
        assert_eq!(one.source().unwrap().to_string(), "no, thanks");
        let debug = format!("{one:?}");
        assert!(
            debug.starts_with("GroupError[(Task(task ") && debug.contains("no, thanks"),
            "{debug}"
        );
        assert_eq!((&one).into_iter().count(), 1);
        assert_eq!(io::Error::from(one).kind(), io::ErrorKind::ConnectionRefused);

        let three = failing(3).await;
        assert!(three.to_string().starts_with("3 tasks of a group failed, first task "), "{three}");
        assert!(three.to_string().ends_with("): no, thanks"), "{three}");
        assert!(!three.is_cancelled());
        assert_eq!(three.into_iter().count(), 3);

        let none = failing(0).await;
        assert_eq!(none.to_string(), "the group was cancelled");
        assert!(none.is_cancelled() && none.source().is_none() && none.errors().is_empty());
        assert_eq!(format!("{none:?}"), "GroupError[]");
        assert_eq!(io::Error::from(none).kind(), io::ErrorKind::Interrupted);
        assert!(failing(0).await.into_first().is_none());
    });
}

#[test]
fn a_group_that_is_over_says_so() {
    filch::run(async {
        let closed = task_group(async |group| {
            assert!(format!("{group:?}").starts_with("TaskGroup { members: 0, failures: 0, "));
            group.cancel();
            let closed = group.try_spawn(ready(Ok::<(), io::Error>(()))).unwrap_err();
            Ok::<_, io::Error>(closed)
        })
        .await
        .unwrap();
        assert!(closed.to_string().contains("takes no further members"));
        assert_eq!(format!("{closed:?}"), "Closed");
        assert!(closed.source().is_none());
        // What did not become a member can still be used.
        closed.future.await.unwrap();
    });
}

#[test]
fn an_error_of_one_of_several_tells_which_of_the_two_it_is() {
    hush_panics("planned");
    filch::run(async {
        let failed = try_gather([async { Err::<(), _>(refused()) }]).await.unwrap_err();
        assert!(matches!(failed, TaskError::Failed(_)));
        assert_eq!(failed.to_string(), "no, thanks");
        assert_eq!(failed.source().map(ToString::to_string), None, "the error stands for itself");

        let panicked = try_gather([async { panic!("planned") as Result<(), io::Error> }]).await;
        let panicked = panicked.unwrap_err();
        assert!(panicked.to_string().ends_with("panicked: planned"), "{panicked}");
    });
}

#[test]
fn what_waits_shows_what_for() {
    filch::run(async {
        let handle = Builder::new().name("sum").spawn(pending::<u8>());
        let debug = format!("{handle:?}");
        assert!(debug.starts_with("JoinHandle { id: "), "{debug}");
        assert!(debug.ends_with(r#"name: Some("sum"), finished: false }"#), "{debug}");
        let debug = format!("{:?}", handle.linked());
        assert!(debug.starts_with("Linked(JoinHandle { id: "), "{debug}");

        let here = |debug: String, name: &str| {
            assert!(debug.starts_with(name) && debug.contains(HERE), "{debug}");
        };
        here(format!("{:?}", gather([ready(1)]).settled()), "Settled(All { site: ");
        here(format!("{:?}", gather([ready(1)])), "Gather(All { site: ");
        here(format!("{:?}", try_gather([ready(Ok::<_, ()>(1))])), "TryGather(All { site: ");
        let left = as_completed([spawn(ready(1)), spawn(ready(2))]);
        assert_eq!(format!("{left:?}"), "AsCompleted { left: 2 }");
    });
}

#[test]
fn a_job_that_finds_no_place_says_why() {
    let runtime = Runtime::builder().max_blocking_threads(1).blocking_queue(1).build();
    let runtime = runtime.unwrap();
    let (free, wait) = std::sync::mpsc::channel::<()>();
    let (begun, has_begun) = std::sync::mpsc::channel();
    let first = runtime.spawn_blocking(move || {
        begun.send(()).unwrap();
        let _ = wait.recv();
    });
    has_begun.recv_timeout(Duration::from_secs(30)).unwrap();
    runtime.block_on(async {
        let second = spawn_blocking(|| ());
        let third = spawn_blocking(|| ()).await.unwrap_err();
        assert!(third.is_rejected() && !third.is_cancelled() && !third.is_panic(), "{third}");
        assert!(third.to_string().contains(") was not started: "), "{third}");
        drop(free);
        second.await.unwrap();
        first.await.unwrap();
    });
}

#[test]
fn a_caught_request_tells_who_asked_and_why() {
    filch::run(async {
        let me = filch::task::current().unwrap();
        me.cancel_with("enough");
        let caught = catch_cancel(pending::<()>()).await.unwrap_err();
        assert_eq!((caught.reason(), caught.place().file()), (Some("enough"), HERE));
        let text = caught.to_string();
        assert!(text.starts_with(&format!("cancelled at {HERE}:")), "{text}");
        assert!(text.ends_with(": enough"), "{text}");
        assert_eq!(format!("{caught:?}"), format!("Cancelled({text})"));
        assert_eq!(caught.uncancel(), 0);

        me.cancel();
        let caught = catch_cancel(pending::<()>()).await.unwrap_err();
        let text = format!("cancelled at {}", caught.place());
        assert_eq!((caught.to_string(), caught.reason()), (text, None));
        assert_eq!(caught.uncancel(), 0);
    });
}

#[test]
fn settings_and_handles_show_what_matters_of_them() {
    let builder = Runtime::builder().worker_threads(3).thread_name("crew").timer_gap(MS);
    let debug = format!("{builder:?}");
    assert!(
        debug.contains(r#"name: Some("crew")"#) || debug.contains(r#"name: "crew""#),
        "{debug}"
    );
    assert!(debug.contains("stack_size: None"), "{debug}");
    assert!(format!("{:?}", filch::Builder::default()).starts_with("Builder"));
    let runtime = builder.build().unwrap();
    assert_eq!(format!("{runtime:?}"), "Runtime { workers: 3 }");
    assert_eq!(format!("{:?}", runtime.handle()), "Handle { workers: 3 }");
    runtime.block_on(async {
        let (one, _other) = filch::net::UnixStream::pair().unwrap();
        let (read, write) = one.into_split();
        assert!(format!("{read:?}").starts_with("ReadHalf("));
        assert!(format!("{write:?}").starts_with("WriteHalf("));
        let group = task_group(async |_| Ok::<(), ()>(()));
        assert_eq!(format!("{group:?}"), "Group { members: 0 }");
        group.await.unwrap();
    });
}

#[test]
fn a_number_of_workers_that_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    const VARIABLE: &str = "FILCH_WORKER_THREADS";
    const CHILD: &str = "FILCH_TEST_WORDS_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let error = Runtime::new().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let text = error.to_string();
        assert!(text.starts_with(VARIABLE) && text.contains("it must be a whole number"), "{text}");
        println!("it was refused");
        return;
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_number_of_workers_that_is_no_text_is_refused", "--nocapture"])
        .env(CHILD, "1")
        .env(VARIABLE, std::ffi::OsStr::from_bytes(b"2\xff"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("it was refused"), "{text}");
}
