//! The whole life of a program: a runtime, its main future, and an end in order.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::time::Duration;

use crate::builder::Builder;
use crate::error::JoinError;
use crate::task::polling;

/// How long `run` waits for the cleanups of the tasks that are left at the end.
const GRACE: Duration = Duration::from_secs(30);

/// Runs a program: makes a runtime, polls `main` on the calling thread until it is ready, ends
/// what is left, and gives the value.
///
/// `main` is a task like any other but for the thread. Tasks that have not ended when it has are cancelled, and
/// `run` waits for their cleanups, for 30 seconds at most: what has not ended then is aborted, and named on
/// stderr. ([`Runtime::shutdown`](crate::Runtime::shutdown) has a grace of your choice, and reports.) That is so as well if `main` panics.
/// The number of workers is that of the CPUs this process may use, unless
/// `FILCH_WORKER_THREADS` says otherwise; for everything else there is [`Runtime::builder`](crate::Runtime::builder).
///
/// # Panics
///
/// Inside a runtime: await the future there, or [`spawn`](fn@crate::spawn) it. If the runtime cannot
/// be made (see [`Builder::build`]). With `main`'s own panic. And if `main` is
/// cancelled, for then there is no value: [`run_interruptible`] gives an error instead.
///
/// ```
/// let answer = filch::run(async { 42 });
/// assert_eq!(answer, 42);
/// ```
#[doc(alias = "asyncio.run")]
#[track_caller]
pub fn run<F: Future>(main: F) -> F::Output {
    assert!(
        !polling::must_not_block(),
        "filch::run was called inside a runtime, where it would block a thread that others need; \
         await the future, or start it with `filch::spawn`"
    );
    run_on(Builder::new(), main)
}

/// As [`run`], on a runtime with these settings.
#[track_caller]
pub(crate) fn run_on<F: Future>(builder: Builder, main: F) -> F::Output {
    let site = Location::caller();
    match live(builder, main) {
        Ok(value) => value,
        Err(error) => panic!(
            "the main future at {site} was cancelled, so there is no value ({error}); \
             `filch::run_interruptible` gives an error instead"
        ),
    }
}

#[track_caller]
fn live<F: Future>(builder: Builder, main: F) -> Result<F::Output, JoinError> {
    let runtime = match builder.build() {
        Ok(runtime) => runtime,
        Err(error) => panic!("filch::run could not make a runtime: {error}"),
    };
    let site = Location::caller();
    let result = catch_unwind(AssertUnwindSafe(|| runtime.block_on_at(site, main)));
    runtime.end(GRACE);
    result.unwrap_or_else(|payload| resume_unwind(payload))
}

/// As [`run`], and lets the user stop the program: the first Ctrl-C (`SIGINT`) cancels `main`, which may catch
/// that and clean up; the second ends the process at once, as it does without all this.
///
/// If `main` takes the request back, or ends with a value nevertheless, the result is that value.
///
/// It listens to the signal while it runs; handlers that were there before are called as well, and
/// [listeners](crate::signal) hear the first one, too. Afterwards Ctrl-C does nothing any more: the system's default
/// action does not come back. Only on Unix.
///
/// Whoever wants Ctrl-C to mean something else takes [`run`] and [`signal::ctrl_c`](fn@crate::signal::ctrl_c).
///
/// # Errors
///
/// If `main` was cancelled, by the signal or by somebody else.
///
/// # Panics
///
/// As [`run`], but for the last reason; and if the system refuses the signal handler.
///
/// ```no_run
/// fn main() -> Result<(), filch::Interrupted> {
///     filch::run_interruptible(async {
///         let served = filch::catch_cancel(std::future::pending::<()>()).await;
///         if let Err(cancelled) = served {
///             eprintln!("saving…");
///             filch::sleep(std::time::Duration::from_millis(100)).await;
///             cancelled.resume().await;
///         }
///     })
/// }
/// ```
#[doc(alias = "KeyboardInterrupt")]
#[doc(alias = "ctrl_c")]
#[cfg(unix)]
#[track_caller]
pub fn run_interruptible<F: Future>(main: F) -> Result<F::Output, Interrupted> {
    assert!(
        !polling::must_not_block(),
        "filch::run_interruptible was called inside a runtime, where it would block a thread that \
         others need; it is for the `main` of a program"
    );
    let listener = match interrupt::listen() {
        Ok(listener) => listener,
        Err(error) => panic!("filch::run_interruptible could not listen to SIGINT: {error}"),
    };
    let main = async {
        listener.cancels(crate::task::current().expect("main is a task"));
        main.await
    };
    live(Builder::new(), main).map_err(Interrupted)
}

/// `main` was cancelled before it had a value: what [`run_interruptible`] gives.
pub struct Interrupted(JoinError);

impl Interrupted {
    /// Why, in the words of whoever asked for it.
    pub fn reason(&self) -> Option<&str> {
        self.0.reason()
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.reason() {
            Some(reason) => write!(f, "interrupted: {reason}"),
            None => f.write_str("interrupted"),
        }
    }
}

impl fmt::Debug for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Interrupted({})", self.0)
    }
}

impl Error for Interrupted {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// From the signal to the task: a handler may only write into a pipe, so a thread reads it.
#[cfg(unix)]
mod interrupt {
    use std::io::{self, Read, Write};
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::sync::mpsc;
    use std::thread;

    use signal_hook::consts::SIGINT;
    use signal_hook::{SigId, flag, low_level};

    use crate::primitive::unmodelled;
    use crate::task::Task;

    /// Listens until it is dropped.
    pub(super) struct Listener {
        handlers: Vec<SigId>,
        end: UnixStream,
        task: mpsc::Sender<Task>,
        thread: Option<thread::JoinHandle<()>>,
    }

    pub(super) fn listen() -> io::Result<Listener> {
        let (mut reader, writer) = UnixStream::pair()?;
        let (task, tasks) = mpsc::channel::<Task>();
        let end = writer.try_clone()?;
        let mut listener = Listener { handlers: Vec::new(), end, task, thread: None };
        let armed = Arc::new(unmodelled::AtomicBool::new(false));
        // In this order: the second signal finds the flag that the first one has set.
        let handlers = &mut listener.handlers;
        handlers.push(flag::register_conditional_default(SIGINT, Arc::clone(&armed))?);
        handlers.push(flag::register(SIGINT, armed)?);
        handlers.push(low_level::pipe::register(SIGINT, writer)?);
        let thread = thread::Builder::new().name("filch-interrupt".into()).spawn(move || {
            let mut byte = [0];
            // The listener writes a byte of its own when it is dropped.
            while reader.read_exact(&mut byte).is_ok() && byte != *END {
                if let Ok(task) = tasks.recv() {
                    task.cancel_with("Ctrl-C (SIGINT)");
                }
            }
        })?;
        listener.thread = Some(thread);
        Ok(listener)
    }

    const END: &[u8; 1] = b"e";

    impl Listener {
        pub(super) fn cancels(&self, task: Task) {
            let _ = self.task.send(task);
        }
    }

    impl Drop for Listener {
        fn drop(&mut self) {
            self.handlers.drain(..).for_each(|id| _ = low_level::unregister(id));
            // A thread that waits for a task learns that none will come.
            self.task = mpsc::channel().0;
            let _ = self.end.write_all(END);
            if let Some(thread) = self.thread.take() {
                let _ = thread.join();
            }
        }
    }
}
