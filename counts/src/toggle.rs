//! Callgrind is told when to begin counting, and when to stop.
//!
//! It can do so itself for the time a given function is entered. But what a task does between two polls is the
//! scheduler's work, which is what is to be counted, and no function of the tests' own lasts that long. So the program asks
//! for it (a *client request*, valgrind's manual, chapter 3.1). The crates that can ask build on valgrind's headers and
//! libclang, or need a newer Rust: too much for one request.
#![allow(unsafe_code)]

/// Counts this thread's instructions from now on, or no longer. (Other threads have switches of their own.) Nothing happens
/// outside of callgrind.
#[inline(never)]
pub fn toggle() {
    #[cfg(target_arch = "x86_64")]
    {
        /// `VG_USERREQ__TOGGLE_COLLECT` of `callgrind.h`.
        const TOGGLE_COLLECT: u64 = ((b'C' as u64) << 24) | ((b'T' as u64) << 16) | 2;
        let request: [u64; 6] = [TOGGLE_COLLECT, 0, 0, 0, 0, 0];
        // SAFETY: the four rotations make 128 bits, that is none, and the exchange is one of a register with itself. Valgrind
        // reads the six words at rax and writes its answer into rdx.
        unsafe {
            std::arch::asm!(
                "rol rdi, 3",
                "rol rdi, 13",
                "rol rdi, 61",
                "rol rdi, 51",
                "xchg rbx, rbx",
                in("rax") &raw const request,
                inout("rdx") 0_u64 => _,
                options(nostack),
            );
        }
    }
}
