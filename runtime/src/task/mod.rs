//! Tasks: a future that the runtime drives, and what can be done with it from outside.
//!
//! ```text
//!            spawn
//!              │            ┌────────────── wake: idle → active ◄─────────┐
//!              ▼            ▼                                             │
//!   cell::spawn() ──► Runnable ──► run() ──► Pending ──► state.park() ──► idle
//!        │                           │
//!        ▼                           └─────► Ready, panic or cancel ──► publish ──► complete
//!   Join ──► JoinHandle                                                    │
//!        ▲                                                                 │
//!        └──────────────────── output, joiner's waker ◄────────────────────┘
//! ```
//!
//! One idea a file: `state` is the word that all of them race on, `cell` the memory and the
//! rules of who may touch it, `polling` the stack of running polls, `waker` the seam to the
//! rest of the world, `extra` what few tasks need, `tree` who inside a task gets a request to
//! end, `local` values that belong to it, `pool` where cells come from, `join` the handle, `erased` the same without a type. What runs tasks is not in here: a `cell::Schedule` says where a woken task goes.

pub(crate) mod cell;
mod erased;
pub(crate) mod extra;
mod id;
mod info;
mod join;
pub(crate) mod local;
pub(crate) mod polling;
pub(crate) mod pool;
pub(crate) mod state;
pub(crate) mod tree;
mod waker;
mod waker_slot;

pub(crate) use self::cell::{Ending, Ran, Runnable, Schedule, TaskRef};
#[cfg(test)]
pub(crate) use self::erased::Nowhere;
pub use self::erased::{CallbackId, Task, current};
pub use self::id::Id;
pub use self::info::TaskInfo;
pub use self::join::JoinHandle;
pub use self::local::{LocalKey, Scoped};
pub(crate) use self::waker_slot::WakerSlot;
pub(crate) use crate::error::{JoinError, Label};
pub use crate::spawn::{Builder, YieldNow, yield_now};
