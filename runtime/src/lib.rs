//! asyncio's task API for Rust, on a multi-threaded work-stealing scheduler.
//!
//! filch is an async runtime for services that *compute and wait*: an API that resizes images, a
//! proxy that runs models, a database front end. Per-worker deques feed a thread pool, and a
//! dedicated timer thread with a binary heap wakes sleeping tasks across workers.
//!
//! # In three steps
//!
//! **Run something.** [`run`] makes a runtime, polls a future on the calling thread until it is
//! ready, and cleans up:
//!
//! ```
//! use std::time::Duration;
//!
//! async fn greet(name: &str) -> String {
//!     filch::sleep(Duration::from_millis(1)).await;
//!     format!("hello, {name}")
//! }
//!
//! assert_eq!(filch::run(greet("world")), "hello, world");
//! ```
//!
//! **Do things at the same time.** A *task* is a future that the runtime drives on its own, on
//! any of its worker threads. [`spawn`](fn@spawn) starts one and gives a handle to wait for it. Dropping the
//! handle lets the task go on; a panic in it becomes an error of the handle:
//!
//! ```
//! use std::time::{Duration, Instant};
//!
//! filch::run(async {
//!     let start = Instant::now();
//!     let nap = || filch::sleep(Duration::from_millis(20));
//!     let naps: Vec<_> = (0..1000).map(|_| filch::spawn(nap())).collect();
//!     for nap in naps {
//!         nap.await.unwrap();
//!     }
//!     assert!(start.elapsed() < Duration::from_secs(20), "they slept side by side");
//!
//!     # std::panic::set_hook(Box::new(|_| {}));
//!     let failed = filch::spawn(async { panic!("oh no") }).await;
//!     assert!(failed.unwrap_err().is_panic());
//! });
//! ```
//!
//! **Let nothing take for ever, and nothing block.** [`timeout`] limits a wait, [`JoinHandle::abort`]
//! ends a task, and [`spawn_blocking`] takes calls that block to threads made for them:
//!
//! ```
//! use std::time::Duration;
//!
//! filch::run(async {
//!     let stuck = filch::spawn(std::future::pending::<()>());
//!     let waited = filch::timeout(Duration::from_millis(5), stuck).await;
//!     assert!(waited.is_err(), "five milliseconds are up");
//!
//!     let lines = filch::spawn_blocking(|| std::fs::read_to_string("Cargo.toml")).await;
//!     assert!(lines.is_ok(), "the call ran on a thread of its own, and did not panic");
//! });
//! ```
//!
//! # Where to look
//!
//! | to … | there is |
//! |------|----------|
//! | start a program | [`run`], [`#[filch::main]`](macro@main), [`#[filch::test]`](macro@test) |
//! | keep a runtime, set it up, end it | [`Runtime`], [`Builder`], [`Runtime::shutdown`] |
//! | start tasks | [`spawn`](fn@spawn), [`task::Builder`], [`Handle::spawn`] from other threads |
//! | start tasks that end together | [`task_group`](fn@task_group) |
//! | start several and collect what they give | [`gather`](fn@gather), [`gather!`](macro@gather), [`try_gather`] |
//! | start tasks that must stay on one thread | [`spawn_local`](fn@spawn_local) |
//! | wait for them | [`JoinHandle`], [`JoinHandle::join_timeout`] outside the runtime |
//! | wait for some of them | [`wait`], [`as_completed`], [`wait_for`] |
//! | end them | [`JoinHandle::cancel`], [`JoinHandle::cancel_within`], [`JoinHandle::abort`], [`CancelScope`] |
//! | clean up when asked to end | [`cancel`](mod@cancel), [`catch_cancel`], [`shield`] |
//! | let Ctrl-C end the program | [`run_interruptible`] |
//! | hear of signals | [`signal`](mod@signal) |
//! | let time pass | [`sleep`], [`sleep_until`], [`interval`] |
//! | limit how long something takes | [`timeout`], [`timeout_at`], [`timeout_scope`] |
//! | test what waits, without waiting | [`time`](time#tests-that-do-not-wait), [`time::advance`] |
//! | listen, connect, send | [`net`] |
//! | wait for file descriptors of others | [`io::AsyncFd`] |
//! | call what blocks | [`spawn_blocking`], [`blocking::cancel_requested`] inside; [`block_in_place`] |
//! | compute for long, beside tasks that answer | [`spawn_compute`], with rayon inside |
//! | let others run | [`yield_now`] |
//! | give a task values of its own | [`task_local!`] |
//! | find the task that computes or blocks where it should not | [`Builder::on_stall`] |
//! | see who waits for whom, and where | [`Handle::task_tree`], [`Handle::tasks`], [`task::Task::info`] |
//! | see how busy it is, and count | [`Handle::metrics`] |
//! | serve HTTP, speak TLS, use other libraries | [libraries](guide::libraries) |
//! | find what you know from elsewhere | [coming from asyncio](guide::coming_from_asyncio), [coming from tokio](guide::coming_from_tokio) |
//!
//! Channels, locks and combinators are not in here: `async-channel`, `async-lock`, `event-listener`,
//! `futures-lite` and `futures-concurrency` work with any runtime, and with this one.
//!
//! # Features
//!
//! None is on by default.
//!
//! | feature | gives | brings along |
//! |---|---|---|
//! | `tokio-io` | tokio's `AsyncRead` and `AsyncWrite` for the streams of [`net`] | tokio without features: its traits |
//! | `hyper` | hyper's `Read` and `Write` for them; the module `filch::hyper`: `Executor`, `Timer`, `FuturesIo` | hyper without features, `http`, `http-body`, `bytes` |
//! | `hyper-client` | `filch::hyper::Connector`, for the client of hyper-util | `hyper-util` with `client-legacy`, `tower-service` |
//!
//! # Good to know
//!
//! - Futures from other runtimes' I/O libraries need those runtimes; everything that only uses
//!   `std::task::Waker` works here.
//! - With `panic = "abort"` a panic in a task ends the process, as everywhere; nothing else changes.
//! - A process that forks after it has made a runtime keeps the runtime's threads in the parent
//!   only. In the child, spawning on it panics with advice; make a new [`Runtime`] there. Wakers are
//!   not to be used in signal handlers.
//! - Time is the monotonic clock: setting the system's clock neither fires nor delays anything.
//!   While a machine is suspended that clock stands still on Linux; sleeps then end that much later.
//!
//! # Systems
//!
//! filch is tested on Linux on x86-64. That it compiles for the other systems here is checked with every change:
//!
//! | | Linux | macOS, FreeBSD | Windows |
//! |---|---|---|---|
//! | tasks, time, cancellation, groups, blocking calls, TCP | yes | yes | yes |
//! | [`signal`](mod@signal), [`run_interruptible`], [`io::AsyncFd`] | yes | yes | not there |
//! | a fork is noticed | yes | yes | there is none |
//! | memory of ended tasks goes back to the system while the process runs | yes | stays for the next ones | stays for the next ones |
//! | workers ask for short turns, so that timers are on time on a busy machine | from 6.12 on | no | no |
//!
//! Android and iOS are as Linux and macOS. Elsewhere it does not compile, and says why: threads sleep by means
//! of `atomic-wait`, which knows these systems; and atomics of 64 bits are needed.
//!
//! How it works inside is told in `ARCHITECTURE.md`, and in each file's own words.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod blocking;
mod builder;
pub mod cancel;
pub mod combine;
pub mod compute;
mod context;
mod entry;
mod error;
mod group;
pub mod guide;
#[cfg(feature = "hyper")]
#[cfg_attr(docsrs, doc(cfg(feature = "hyper")))]
pub mod hyper;
mod inspect;
pub mod io;
mod job;
mod metrics;
pub mod net;
pub(crate) mod primitive;
mod runtime;
mod scheduler;
mod shutdown;
#[cfg(unix)]
pub mod signal;
mod spawn;
mod spawn_local;
mod sys;
pub mod task;
pub mod time;
mod timeouts;

pub use filch_macros::{main, test};

pub use crate::blocking::{block_in_place, spawn_blocking};
pub use crate::builder::Builder;
pub use crate::cancel::{CancelScope, Cancelled, catch_cancel, shield};
pub use crate::combine::{TaskError, Until, as_completed, gather, try_gather, wait, wait_for};
pub use crate::compute::spawn_compute;
pub use crate::error::{Elapsed, JoinError};
pub use crate::spawn_local::spawn_local;

#[cfg(unix)]
pub use crate::entry::run_interruptible;
pub use crate::entry::{Interrupted, run};
pub use crate::group::{Body, Closed, Failure, Group, GroupError, Outcome, TaskGroup, task_group};
pub use crate::inspect::TaskTree;
pub use crate::metrics::{Histogram, Metrics, WorkerMetrics};
pub use crate::runtime::{Handle, Runtime};
pub use crate::scheduler::stall::Stall;
pub use crate::shutdown::ShutdownReport;
pub use crate::spawn::{spawn, yield_now};
pub use crate::task::{JoinHandle, TaskInfo};
pub use crate::time::{interval, interval_at, sleep, sleep_until};
pub use crate::timeouts::{Deadline, timeout, timeout_at, timeout_scope};

#[cfg(all(filch_loom, not(filch_shuttle)))]
#[path = "../../loom-tests/src/models/mod.rs"]
#[doc(hidden)]
#[allow(missing_docs)]
pub mod __models;

/// For the attribute macros.
#[doc(hidden)]
pub mod __private;
