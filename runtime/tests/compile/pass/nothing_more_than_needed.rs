//! What need not be `Send`, `'static` or looked at.

#![deny(warnings)]

use std::rc::Rc;
use std::time::Duration;

fn is_send<T: Send>(_: &T) {}
fn is_sync<T: Sync>(_: &T) {}
fn is_unpin<T: Unpin>(_: &T) {}
fn is_error<T: std::error::Error + Send + Sync + 'static>() {}

fn main() {
    // The future of `run` may borrow, and stay on its thread; and so may all that wraps it.
    let text = Rc::new(String::from("mine"));
    let length = filch::run(filch::timeout(
        Duration::from_secs(1),
        filch::shield(async {
            let here = Rc::clone(&text);
            filch::yield_now().await;
            filch::catch_cancel(async { here.len() }).await.unwrap_or(0)
        }),
    ));
    let _: Result<usize, filch::Elapsed> = length;

    let runtime = filch::Runtime::new().unwrap();
    let borrowed: &str = runtime.block_on(async { text.as_str() });
    // A body of a group may borrow as well; its members may not.
    runtime.block_on(filch::task_group(async |group| {
        group.spawn(async {});
        drop((borrowed, Rc::clone(&text)));
    }));

    let handle = runtime.spawn(async { std::cell::Cell::new(1) });
    is_send(&handle);
    is_sync(&handle.task());
    is_unpin(&handle);
    is_sync(&runtime.handle());
    is_error::<filch::JoinError>();
    is_error::<filch::Elapsed>();
    is_error::<filch::Cancelled>();
    is_error::<filch::GroupError<std::io::Error>>();
    is_error::<filch::TaskError<std::io::Error>>();
    is_error::<filch::Closed<()>>();
}
