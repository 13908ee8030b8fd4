//! Threads of the explorer's.

pub use shuttle::thread::{
    Builder, JoinHandle, Thread, ThreadId, current, park, park_timeout, spawn,
};

/// Never: all threads share one system thread, so std would say of each what is true of one. Whoever asks wants to end
/// the process rather than go on; here the panic ends the exploration.
pub fn panicking() -> bool {
    false
}
