//! What a second reader suspected: each test failed once.

use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use filch::{Runtime, catch_cancel, sleep, task, timeout, yield_now};

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(10);

/// On one worker, with a limit in real time.
fn within<T: Send + 'static>(main: impl Future<Output = T> + Send + 'static) -> T {
    let runtime = Runtime::builder().worker_threads(1).build().unwrap();
    let mut main = runtime.spawn(main);
    main.join_timeout(LONG).expect("it hangs").unwrap()
}

/// Lets a task run until it waits.
async fn settle(task: &task::Task) {
    for _ in 0..20 {
        yield_now().await;
    }
    assert!(!task.is_finished());
}

#[test]
fn uncancel_of_a_task_that_nobody_cancelled_does_nothing() {
    within(async {
        let handle = filch::spawn(async {
            sleep(20 * MS).await;
            5
        });
        settle(&handle.task()).await;
        assert_eq!(handle.task().uncancel(), 0);
        assert_eq!(handle.await.unwrap(), 5);
    });
}

async fn once<F: Future + ?Sized>(future: &mut Pin<Box<F>>) -> bool {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await
}

#[test]
fn a_timeout_that_moves_to_another_task_still_has_a_limit() {
    within(async {
        let mut limited = Box::pin(timeout(30 * MS, async {
            let mut first = true;
            let _ = catch_cancel(poll_fn(move |_| {
                if std::mem::take(&mut first) { Poll::Pending } else { Poll::Ready(()) }
            }))
            .await;
            pending::<()>().await;
        }));
        let moved = filch::spawn(async move {
            assert!(!once(&mut limited).await);
            limited
        });
        let limited = moved.await.unwrap();
        assert!(limited.await.is_err());
    });
}
