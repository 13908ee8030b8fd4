//! Cancellation that can be caught.
//!
//! In asyncio a cancel is an exception: a task can catch it, clean up asynchronously, and end or go
//! on. A Rust future that is cancelled is dropped, and a drop cannot await. Here both are possible:
//!
//! ```
//! use std::time::Duration;
//!
//! filch::run(async {
//!     let task = filch::spawn(async {
//!         let hour = filch::sleep(Duration::from_secs(3600));
//!         if let Err(cancelled) = filch::catch_cancel(hour).await {
//!             // The sleep is dropped. Here is time to say goodbye, with `.await`.
//!             filch::sleep(Duration::from_millis(1)).await;
//!             cancelled.resume().await;
//!         }
//!     });
//!     filch::yield_now().await;
//!     task.cancel();
//!     assert!(task.await.unwrap_err().is_cancelled());
//! });
//! ```
//!
//! # The parts
//!
//! - A **request** ([`Task::cancel`](crate::task::Task::cancel), a timeout that expires,
//!   [`TaskGroup::cancel`](crate::TaskGroup::cancel), [`CancelScope::cancel`]) is aimed at a *region*: the task, the timeout's future,
//!   the group's body, the scope's future. Without catches in it, the region drops its future.
//! - A **catch** ([`catch_cancel`](fn@catch_cancel)) inside the region hears of it first: its future is
//!   dropped, and it gives `Err` with a [token](Cancelled). The innermost one does.
//! - The **token** keeps everything outside from being dropped while it lives. It can
//!   [take the request back](Cancelled::uncancel), [pass it on](Cancelled::resume) outwards, or be dropped, which
//!   passes it on at the next `.await` that waits.
//! - A **shield** ([`shield`](fn@shield)) holds requests back until its future has ended.
//! - [`abort`](crate::task::Task::abort) ends it all: everything is dropped at the next suspension.
//!
//! A future that is ready before the task waits again keeps its value: no request interrupts
//! code that is running.
//!
//! Who exactly gets a request is told in `task/tree.rs`. An ordinary task, without any of these,
//! pays one test of its state word for each poll.

mod catch;
mod node;
mod scope;
mod shield;
mod together;
mod token;
mod within;

pub use catch::{CatchCancel, catch_cancel};
pub(crate) use node::{Entered, Place};
pub use scope::{CancelScope, InScope};
pub use shield::{Shield, shield};
pub(crate) use together::{cancel_all, end_with_current};
pub use token::Cancelled;
pub(crate) use token::Passed;
