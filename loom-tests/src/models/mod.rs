//! The models: small programs that loom runs in every possible order.
//!
//! They belong to the loom build of the runtime, so that they can use what is private to it, one
//! file for each protocol. They are run, and their twins, by `loom-tests/src/proofs.rs`.
//!
//! A model is a `pub fn()`. It starts at most four threads with `loom::thread::spawn`, and asserts
//! with messages that begin with `MODEL:`. Data that a protocol hands over belongs into a
//! `primitive::UnsafeCell`: loom then finds the race when an ordering is missing. Keep it to one
//! protocol and three threads.
//!
//! ```text
//! pub fn wake_while_parking() {                      // models/sleep.rs
//!     let bed = Arc::new(Parker::new());
//!     …
//!     assert!(seen, "MODEL: woken without news");
//! }
//!
//! #[test]                                            // proofs.rs
//! fn sleep_wake_while_parking() {
//!     Proof::of("sleep: unpark while parking", models::sleep::wake_while_parking)
//!         .whim(Whim::SpuriousWake, 1)
//!         .spare("[park-enter/failure]", "the token is only ever found by `leave` here")
//!         .seeded("no-recheck", "deadlock")
//!         .check();
//! }
//! ```
//!
//! A thread of loom's has 32 KiB of stack. A model that dies of a signal needs more:
//! `loom::thread::Builder::new().stack_size(words)`.
#![allow(unsafe_code)] // reads and writes of cells that loom watches

pub mod cancel;
pub mod io;
pub mod local;
pub mod queues;
pub mod root;
pub mod shutdown;
pub mod sleep;
pub mod task;

pub use crate::blocking::models as blocking;
pub use crate::compute::models as compute;
pub use crate::group::models as group;
pub use crate::scheduler::monitor::models as driver;
pub use crate::scheduler::quiet::models as quiet;
pub use crate::scheduler::worker::models as spare;
