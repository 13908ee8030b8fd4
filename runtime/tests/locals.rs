//! Values that belong to tasks.

mod support;

use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};

use filch::{Handle, Runtime, task};
use support::hush_panics;

filch::task_local! {
    static REQUEST: String;
    static DEPTH: u32 = 0;
    static GUARD: Guard;
}

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().worker_threads(workers).build().unwrap()
}

fn depth() -> u32 {
    DEPTH.get().expect("it has a default")
}

/// Does something when it is dropped.
struct Guard(Option<Box<dyn FnOnce() + Send + Sync>>);

impl Guard {
    fn new(f: impl FnOnce() + Send + Sync + 'static) -> Guard {
        Guard(Some(Box::new(f)))
    }

    fn counting(count: &Arc<AtomicUsize>) -> Guard {
        let count = Arc::clone(count);
        Guard::new(move || _ = count.fetch_add(1, Ordering::SeqCst))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        (self.0.take().unwrap())();
    }
}

#[test]
fn whatever_is_spawned_starts_with_the_values_of_the_task_that_spawns_it() {
    let runtime = runtime(2);
    runtime.block_on(async {
        REQUEST.set("one".into());
        DEPTH.set(7);
        let see = || (REQUEST.get().unwrap(), depth());
        let spawned = [
            filch::spawn(async move { see() }),
            Handle::current().spawn(async move { see() }),
            task::Builder::new().name("named").spawn(async move { see() }),
            filch::spawn_blocking(see),
            Handle::current().spawn_blocking(see),
            // Grandchildren, and a runtime inside a job.
            filch::spawn(async move { filch::spawn(async move { see() }).await.unwrap() }),
            filch::spawn_blocking(move || {
                let inner = self::runtime(1);
                inner.block_on(async move { filch::spawn(async move { see() }).await.unwrap() })
            }),
        ];
        for handle in spawned {
            assert_eq!(handle.await.unwrap(), ("one".to_owned(), 7));
        }
        let group = filch::task_group(async move |group| {
            group.spawn(async move { Ok::<_, ()>(see()) }).await.map_err(|_| ())
        });
        assert_eq!(group.await.unwrap(), ("one".to_owned(), 7));
    });
    runtime.block_on(async { assert_eq!((REQUEST.get(), depth()), (None, 0)) });
}

#[test]
fn writes_stay_with_the_task_that_made_them() {
    runtime(2).block_on(async {
        DEPTH.set(1);
        let (go, wait) = async_channel::bounded::<()>(1);
        let child = filch::spawn(async move {
            wait.recv().await.unwrap();
            let found = depth();
            DEPTH.set(10);
            REQUEST.set("the child's".into());
            filch::yield_now().await;
            (found, depth())
        });
        DEPTH.set(2);
        go.send(()).await.unwrap();
        assert_eq!(child.await.unwrap(), (1, 10));
        assert_eq!((depth(), REQUEST.get()), (2, None));
        let job = filch::spawn_blocking(|| {
            DEPTH.set(20);
            depth()
        });
        assert_eq!((job.await.unwrap(), depth()), (20, 2));
    });
}

#[test]
fn outside_tasks_there_is_the_default_and_setting_is_refused_with_advice() {
    hush_panics("outside a task");
    assert_eq!((REQUEST.get(), DEPTH.get()), (None, Some(0)));
    assert!(REQUEST.with(|value| value.is_none()));
    let advice = |panic: Box<dyn std::any::Any + Send>| *panic.downcast::<String>().unwrap();
    let text = advice(catch_unwind(|| DEPTH.set(1)).unwrap_err());
    assert!(text.starts_with("DEPTH.set was called outside a task"), "{text}");
    assert!(text.contains("filch::spawn"), "{text}");
    let text = advice(catch_unwind(|| DEPTH.sync_scope(1, || ())).unwrap_err());
    assert!(text.starts_with("DEPTH.sync_scope"), "{text}");
    let poll = || {
        let _ = pin!(DEPTH.scope(1, pending::<()>())).poll(&mut Context::from_waker(Waker::noop()));
    };
    let text = advice(catch_unwind(AssertUnwindSafe(poll)).unwrap_err());
    assert!(text.starts_with("DEPTH.scope"), "{text}");
    // A thread that a task started is no task.
    filch::run(async {
        DEPTH.set(5);
        assert_eq!(std::thread::spawn(depth).join().unwrap(), 0);
    });
}

#[test]
fn a_scope_has_its_value_only_while_it_is_polled() {
    runtime(1).block_on(async {
        DEPTH.set(1);
        let see = |log: Arc<std::sync::Mutex<Vec<u32>>>| async move {
            for _ in 0..3 {
                log.lock().unwrap().push(depth());
                DEPTH.set(depth() + 1);
                filch::yield_now().await;
            }
            log.lock().unwrap().push(depth());
        };
        let logs: [Arc<std::sync::Mutex<Vec<u32>>>; 2] = Default::default();
        let mut one = pin!(DEPTH.scope(10, see(Arc::clone(&logs[0]))));
        let mut two = pin!(DEPTH.scope(20, see(Arc::clone(&logs[1]))));
        // Polled in turns, in one task.
        poll_fn(|cx| {
            let first = one.as_mut().poll(cx);
            assert_eq!(depth(), 1);
            let second = two.as_mut().poll(cx);
            assert_eq!(depth(), 1);
            match (first, second) {
                (Poll::Ready(()), Poll::Ready(())) => Poll::Ready(()),
                _ => Poll::Pending,
            }
        })
        .await;
        assert_eq!(*logs[0].lock().unwrap(), [10, 11, 12, 13]);
        assert_eq!(*logs[1].lock().unwrap(), [20, 21, 22, 23]);
    });
}

#[test]
fn a_scope_is_left_when_its_future_panics_or_is_dropped() {
    hush_panics("planned");
    runtime(1).block_on(async {
        REQUEST.set("outer".into());
        let mut scope = Box::pin(REQUEST.scope("inner".into(), async { panic!("planned") }));
        let panicked =
            poll_fn(|cx| Poll::Ready(catch_unwind(AssertUnwindSafe(|| scope.as_mut().poll(cx)))));
        assert!(panicked.await.is_err());
        assert_eq!(REQUEST.get().as_deref(), Some("outer"));

        // What is dropped in the scope finds the scope's value.
        let (send, receive) = mpsc::channel();
        let guard = Guard::new(move || send.send(REQUEST.get()).unwrap());
        let mut scope = Box::pin(REQUEST.scope("inner".into(), async move {
            let _guard = guard;
            pending::<()>().await;
        }));
        let polled = poll_fn(|cx| Poll::Ready(scope.as_mut().poll(cx))).await;
        assert!(polled.is_pending());
        drop(scope);
        assert_eq!(receive.recv().unwrap().as_deref(), Some("inner"));
        assert_eq!(REQUEST.get().as_deref(), Some("outer"));
    });
    // Never polled, and not in a task either.
    drop(REQUEST.scope("never".into(), pending::<()>()));
}

#[test]
fn values_are_dropped_with_the_task_and_not_with_its_handle() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let runtime = runtime(2);
    for way in ["finishes", "panics", "is aborted", "is a job"] {
        hush_panics("planned");
        dropped.store(0, Ordering::SeqCst);
        let guard = Guard::counting(&dropped);
        let run = move || {
            GUARD.set(guard);
            assert_ne!(way, "panics", "planned");
        };
        let mut handle = match way {
            "is a job" => runtime.spawn_blocking(run),
            _ => runtime.spawn(async move {
                run();
                if way == "is aborted" {
                    task::current().unwrap().abort();
                    pending::<()>().await;
                }
            }),
        };
        let _ = runtime.block_on(&mut handle);
        // The joiner hears of the end after the drop.
        assert_eq!(dropped.load(Ordering::SeqCst), 1, "{way}");
        assert!(handle.is_finished());
    }
    dropped.store(0, Ordering::SeqCst);
    let guard = Guard::counting(&dropped);
    runtime.block_on(async move { GUARD.set(guard) });
    assert_eq!(dropped.load(Ordering::SeqCst), 1, "the main task of a block_on");
}

#[test]
fn a_value_lives_as_long_as_the_last_task_that_has_it() {
    let dropped = Arc::new(AtomicUsize::new(0));
    runtime(2).block_on(async {
        GUARD.set(Guard::counting(&dropped));
        let (go, wait) = async_channel::bounded::<()>(1);
        let child = filch::spawn(async move { wait.recv().await.unwrap() });
        GUARD.set(Guard::new(|| ()));
        assert_eq!(dropped.load(Ordering::SeqCst), 0);
        go.send(()).await.unwrap();
        child.await.unwrap();
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn drops_may_use_locals_and_fail() {
    hush_panics("planned");
    let runtime = runtime(1);
    let (send, receive) = mpsc::channel();
    let told = send.clone();
    let value = runtime.spawn(async move {
        DEPTH.set(3);
        // Replaced: dropped while the task runs.
        GUARD.set(Guard::new(move || {
            DEPTH.set(depth() + 1);
            told.send((depth(), task::current().is_some())).unwrap();
        }));
        // Dropped at the end of the task, when there are no locals any more.
        GUARD.set(Guard::new(move || {
            send.send((depth(), task::current().is_some())).unwrap();
            panic!("planned");
        }));
        depth()
    });
    assert_eq!(runtime.block_on(value).unwrap(), 4, "the panic harms nobody");
    assert_eq!(receive.iter().collect::<Vec<_>>(), [(4, true), (0, true)]);
}

#[test]
fn callbacks_belong_to_no_task() {
    runtime(1).block_on(async {
        DEPTH.set(3);
        let (send, receive) = mpsc::channel();
        let callback = || {
            let send = send.clone();
            move |_: &task::Task| send.send((depth(), task::current().is_none())).unwrap()
        };
        let mut handle = filch::spawn(async {});
        handle.task().on_done(callback());
        (&mut handle).await.unwrap();
        handle.task().on_done(callback());
        let seen = filch::spawn_blocking(move || [receive.recv(), receive.recv()]).await.unwrap();
        assert_eq!(seen, [Ok((0, true)), Ok((0, true))]);
    });
}
