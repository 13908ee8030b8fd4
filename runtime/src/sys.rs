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

/// Can the system put a fence into all threads of this process ([`barrier`])? Each runtime asks anew: the child of a fork has
/// to enlist again. (The first time it takes 5 ms if the process has other threads already, else 7 µs; later 15 µs.)
pub(crate) fn enlist_for_barriers() {
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;
        // SAFETY: three numbers; it refers to no memory.
        let done = unsafe { libc::syscall(libc::SYS_membarrier, REGISTER_PRIVATE_EXPEDITED, 0, 0) };
        HAS_BARRIER.store(u32::from(done == 0), Ordering::Relaxed);
    }
}

static HAS_BARRIER: AtomicU32 = AtomicU32::new(0);

pub(crate) fn has_barrier() -> bool {
    HAS_BARRIER.load(Ordering::Relaxed) != 0
}

/// A full fence in each thread of this process that runs just now; those that do not have one when they go on. It costs a
/// microsecond, and interrupts them. `false`: the system refused.
pub(crate) fn barrier() -> bool {
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
        // SAFETY: as above.
        let done = unsafe { libc::syscall(libc::SYS_membarrier, PRIVATE_EXPEDITED, 0, 0) };
        return done == 0;
    }
    #[allow(unreachable_code)]
    false
}

/// For how long a thread of this process has had a processor since it began. `None`: there is no such thread, or the system does not
/// tell.
pub(crate) fn processor_time(thread: u32) -> Option<std::time::Duration> {
    #[cfg(target_os = "linux")]
    {
        // The clock of one thread, of all it does, as the kernel numbers them (see `pthread_getcpuclockid`, which wants a pointer
        // that may be out of date).
        let clock = (!(thread as libc::clockid_t) << 3) | 6;
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: writes the time, which is ours; of a number that is no clock it knows nothing.
        let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
        (result == 0).then(|| std::time::Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = thread;
        None
    }
}

/// How long a thread keeps the processor while others want it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Slices {
    /// 100 µs. A thread that asks for short turns also gets its turn sooner.
    Short,
    /// Some milliseconds, as the system thinks best.
    Usual,
}

/// Asks the scheduler for slices of this kind, for this thread and those it starts. With short ones, whoever else
/// becomes ready waits less for a busy worker to be put aside (a thousand tasks pushed to two busy
/// workers on two cores: 1.0–2.0 µs for each without this, 0.2 with it; `spawn_many_remote_busy2` in `benches/`),
/// and the timer's thread is not put behind threads that compute (5 ms, once in 146 wake-ups beside a saturated
/// compute lane). Costs nothing while processors are free. Where the kernel is too
/// old for it (before 6.12), or refuses, nothing changes.
pub(crate) fn ask_for_slices(slices: Slices) {
    #[cfg(not(target_os = "linux"))]
    let _ = slices;
    #[cfg(target_os = "linux")]
    {
        let slice = match slices {
            Slices::Short => 100_000,
            Slices::Usual => 0,
        };
        /// `struct sched_attr` in its first published size.
        #[repr(C)]
        #[derive(Default)]
        struct Attributes {
            size: u32,
            policy: u32,
            flags: u64,
            nice: i32,
            priority: u32,
            /// For ordinary threads: the slice, in nanoseconds.
            runtime: u64,
            deadline: u64,
            period: u64,
        }
        const SIZE: u32 = size_of::<Attributes>() as u32;
        let mut now = Attributes::default();
        // SAFETY: writes the attributes of the calling thread (0), within the size passed along.
        let got = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut now, SIZE, 0) };
        if got == 0 && now.policy == libc::SCHED_OTHER as u32 {
            let wish = Attributes { size: SIZE, runtime: slice, ..now };
            // SAFETY: reads the same. A refusal changes nothing.
            unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wish, 0) };
        }
    }
}

/// User, group and, where the system tells it, process at the other end of a Unix stream.
#[cfg(unix)]
pub(crate) fn peer_of(
    socket: std::os::fd::BorrowedFd<'_>,
) -> std::io::Result<(u32, u32, Option<u32>)> {
    use std::io;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use std::os::fd::AsRawFd;
        let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
        let mut size = size_of::<libc::ucred>() as libc::socklen_t;
        // SAFETY: the descriptor is open; at most `size` bytes are written, all of which `peer` has,
        // and any bytes are valid for it.
        let result = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERCRED,
                (&raw mut peer).cast(),
                &raw mut size,
            )
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok((peer.uid, peer.gid, u32::try_from(peer.pid).ok().filter(|pid| *pid != 0)))
    }
    #[cfg(any(
        target_os = "macos",
        target_os = "ios",
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "openbsd",
        target_os = "dragonfly",
    ))]
    {
        use std::os::fd::AsRawFd;
        let (mut uid, mut gid) = (0, 0);
        // SAFETY: the descriptor is open, and both places are there to be written to.
        if unsafe { libc::getpeereid(socket.as_raw_fd(), &raw mut uid, &raw mut gid) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok((uid, gid, None))
    }
    #[cfg(not(any(
        target_os = "linux",
        target_os = "android",
        target_os = "macos",
        target_os = "ios",
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "openbsd",
        target_os = "dragonfly",
    )))]
    {
        let _ = socket;
        Err(io::Error::new(io::ErrorKind::Unsupported, "this system does not tell who the peer is"))
    }
}

/// Lowers the priority of this thread alone to a nice level, for good: only a privileged thread can go back. It is
/// never raised. Where the system has no such thing for threads, or refuses, nothing changes.
pub(crate) fn lower_this_thread(nice: i32) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // SAFETY: both calls only take numbers; 0 is the calling thread (here, and only on these systems, a nice
    // level belongs to a thread). An answer of -1 may mean a failure: then the second call fails as well.
    unsafe {
        if libc::getpriority(libc::PRIO_PROCESS, 0) < nice {
            libc::setpriority(libc::PRIO_PROCESS, 0, nice);
        }
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = nice;
}
