//! Programs of sockets against what a stream of bytes is.
//!
//! A program binds, connects and accepts, reads and writes on both ends of up to [`CONNECTIONS`] connections (TCP on
//! 127.0.0.1, Unix sockets, pairs), takes streams apart and together, moves them to another runtime, cancels what
//! waits, closes, resets, and ends a runtime under all that. What it has begun goes on beside it, as tasks of
//! two runtimes, until it says that it waits for whatever must come to an end.
//!
//! The model is asked twice. *Which operations must end now?* Those that do not are lost wake-ups. *May it have
//! ended so?* Each byte read is the one that was written there, none is read that was not offered, nobody sees an end or an error
//! without somebody who made it; who was cancelled has taken no bytes with him, and no connection. What the system may
//! decide as it likes (how many bytes go into it, what is left of a connection that was reset) is taken as it comes.

mod check;
mod driver;
mod ends;
mod operations;
mod program;

use crate::{Target, Verdict};

/// No more than that at a time: each is two sockets.
const CONNECTIONS: usize = 4;
const LISTENERS: usize = 3;

/// See the module.
pub const TARGET: Target = Target { name: "net", run, longest: 160 };

/// Decodes a program and runs it.
///
/// # Errors
///
/// If something ends as it may not, or does not end.
pub fn run(bytes: &[u8]) -> Verdict {
    driver::run(&program::Program::decode(bytes))
}
