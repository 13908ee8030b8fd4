//! What only the operating system can tell or do.
//!
//! After `fork` the child has one thread, and a copy of the memory in which the runtime believes
//! it has several. A counter that the child's side of `fork` raises tells the two apart, for the
//! price of a load (asking for the process id at each spawn would be a system call).
#![allow(unsafe_code)]

use std::ptr::NonNull;

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

/// Tells the system that the contents of these pages are not needed: they stop taking memory until
/// they are written again.
///
/// # Safety
/// The memory is the caller's alone, starts and ends at a page's border, and nobody reads from it
/// before writing to it.
pub(crate) unsafe fn discard(start: NonNull<u8>, len: usize) {
    #[cfg(target_os = "linux")]
    // SAFETY: promised by the caller. An error leaves everything as it is.
    unsafe {
        libc::madvise(start.as_ptr().cast(), len, libc::MADV_DONTNEED);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (start, len);
}
