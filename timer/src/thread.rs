//! The dedicated thread: the one who turns by default, and what owns it.
//!
//! The loop is all there is to driving a timer: turn, park, again. A model or a program without a
//! thread to spare does the same with [`Timer::turn_now`](crate::Timer::turn_now) and
//! [`Timer::park`](crate::Timer::park).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::batch::contain;
use crate::primitive::Mutex;
use crate::primitive::thread::{self, JoinHandle};
use crate::turn::Core;

pub(crate) type Hook = Box<dyn FnMut() -> Option<Duration> + Send>;

/// What the handles of a timer share and its thread does not: when the last one goes, the timer is
/// shut down.
pub(crate) struct Owner {
    pub(crate) core: Arc<Core>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Owner {
    pub(crate) fn new(core: Arc<Core>, thread: Option<JoinHandle<()>>) -> Owner {
        Owner { core, thread: Mutex::new(thread) }
    }

    /// Wakes whoever waits and ends the thread. Waits for its end, unless this *is* the thread: a
    /// waker that it runs may well drop the last handle.
    pub(crate) fn shutdown(&self) {
        self.core.close();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            if thread.thread().id() != thread::current().id() {
                // It contains the panics of what it runs, and has none of its own.
                let _ = thread.join();
            }
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// Starts the thread.
pub(crate) fn start(
    core: &Arc<Core>,
    name: String,
    stack_size: Option<usize>,
    hook: Option<Hook>,
) -> io::Result<JoinHandle<()>> {
    if name.contains('\0') {
        // std would panic.
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a thread name contains a NUL"));
    }
    let mut builder = thread::Builder::new().name(name);
    if let Some(size) = stack_size {
        builder = builder.stack_size(size);
    }
    let core = Arc::clone(core);
    builder.spawn(move || run(&core, hook))
}

fn run(core: &Core, mut hook: Option<Hook>) {
    while !core.is_closed() {
        let wake = core.turn_and_wake();
        let wish = match &mut hook {
            None => None,
            Some(call) => contain(call).unwrap_or_else(|| {
                // One that panicked is not called again.
                hook = None;
                None
            }),
        };
        core.park(wake, wish);
    }
}
