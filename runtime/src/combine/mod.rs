//! Waiting for several tasks.
//!
//! | | starts tasks | dropped or cancelled | gives |
//! |---|---|---|---|
//! | [`gather`](fn@gather), [`gather!`](macro@crate::gather) | yes | they are cancelled, and waited for | values in order, or the first error |
//! | [`gather(…).settled()`](Gather::settled) | yes | as above | each result in its place |
//! | [`try_gather`] | yes | as above | values in order, or the first error |
//! | [`wait`] | no | they run on | the handles of those that have ended |
//! | [`as_completed`] | no | they run on | results as they come |
//! | [`JoinHandle::linked`](crate::JoinHandle::linked) | no | it is cancelled, and waited for | its result |
//! | [`wait_for`] | no | as above; also when the time is up | its result |
//!
//! Futures that should run in *this* task, without being spawned, are the business of
//! `futures-concurrency` and `futures-lite`.

mod children;
mod completed;
mod gather;
mod linked;
mod tuple;
mod until;

pub use completed::{AsCompleted, as_completed};
pub use gather::{Gather, Settled, TaskError, TryGather, gather, try_gather};
pub use linked::{Linked, WaitFor, wait_for};
pub use tuple::{GatherTuple, Together};
pub use until::{Until, Wait, wait};
