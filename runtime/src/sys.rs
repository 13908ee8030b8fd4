//! What only the operating system can tell.
//!
//! After `fork` the child has one thread, and a copy of the memory in which the runtime believes
//! it has several. A counter that the child's side of `fork` raises tells the two apart, for the
//! price of a load (asking for the process id at each spawn would be a system call).
#![allow(unsafe_code)]

use crate::primitive::unmodelled::{AtomicU32, Ordering};

static GENERATION: AtomicU32 = AtomicU32::new(0);

/// How often this process was forked from one that had a runtime.
pub(crate) fn fork_generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// From now on [`fork_generation`] counts. To be called before the first runtime starts threads.
pub(crate) fn watch_forks() {
    #[cfg(unix)]
    {
        extern "C" fn in_child() {
            GENERATION.fetch_add(1, Ordering::Relaxed);
        }
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            // SAFETY: the handler only adds to an atomic, which is allowed in the child of a
            // process with threads; it lives as long as the program. A failure (out of memory)
            // leaves the fork unnoticed, as if this had not been called.
            unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        });
    }
}
