//! For hyper (feature `hyper`): where it spawns, sleeps and, as a client, connects.
//!
//! hyper brings no runtime. It asks for a stream, an [`Executor`] and a [`Timer`]. Streams of
//! [`net`](crate::net) are `hyper::rt::Read` and `hyper::rt::Write` themselves, with nothing to wrap them in; the
//! other two are here. So are [`FuturesIo`] for streams of other libraries, TLS above all, and a `Connector` for the
//! client of hyper-util (feature `hyper-client`).
//!
#![cfg_attr(not(doctest), doc = include_str!("../../guide/hyper.md"))]

#[cfg(feature = "hyper-client")]
mod connector;
mod futures_io;

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use ::hyper::rt;

use crate::time::Sleep;

#[cfg(feature = "hyper-client")]
#[cfg_attr(docsrs, doc(cfg(feature = "hyper-client")))]
pub use self::connector::Connector;
pub use self::futures_io::FuturesIo;

/// Starts hyper's tasks on the runtime this thread belongs to, as [`spawn`](fn@crate::spawn) does.
///
/// HTTP/2 needs one, and so does a client that keeps connections. Its tasks are tasks like any other: they inherit the
/// [task locals](macro@crate::task_local) of the task in which hyper starts them, and at the end of the program they
/// are cancelled.
///
/// # Panics
///
/// `execute` panics where [`spawn`](fn@crate::spawn) does: outside a runtime.
///
/// ```
/// use hyper::rt::Executor as _;
///
/// filch::run(async {
///     let (sender, receiver) = async_channel::bounded(1);
///     filch::hyper::Executor.execute(async move { sender.send("it ran").await });
///     assert_eq!(receiver.recv().await, Ok("it ran"));
/// });
/// ```
#[doc(alias = "TokioExecutor")]
#[derive(Debug, Clone, Copy, Default)]
pub struct Executor;

impl<F> rt::Executor<F> for Executor
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        // Its task goes on without the handle.
        drop(crate::spawn(future));
    }
}

/// Time for hyper: [`sleep`](fn@crate::sleep) and [`time::now`](crate::time::now). With a manual clock hyper's limits need
/// no waiting either.
///
/// ```
/// use std::time::Duration;
/// use hyper::rt::Timer as _;
///
/// let runtime = filch::Runtime::builder().manual_clock(true).build()?;
/// runtime.block_on(async {
///     let start = filch::hyper::Timer.now();
///     filch::hyper::Timer.sleep(Duration::from_secs(3600)).await;
///     assert_eq!(filch::hyper::Timer.now() - start, Duration::from_secs(3600));
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "TokioTimer")]
#[derive(Debug, Clone, Copy, Default)]
pub struct Timer;

impl rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(crate::sleep(duration))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(crate::sleep_until(deadline))
    }

    fn now(&self) -> Instant {
        crate::time::now()
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn rt::Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<Sleep>() {
            Some(mut sleep) => sleep.reset(deadline),
            // Another timer's.
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

#[cfg_attr(docsrs, doc(cfg(feature = "hyper")))]
impl rt::Sleep for Sleep {}
