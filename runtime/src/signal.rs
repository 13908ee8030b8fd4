//! Signals: what the system, a terminal or an administrator has to say to the process.
//!
//! [`ctrl_c`] and [`terminate`] wait for the two that ask a program to end; [`signal`](fn@signal) listens to any
//! other, and goes on listening:
//!
//! ```
//! use filch::signal::{SignalKind, signal};
//!
//! filch::run(async {
//!     let mut hangups = signal(SignalKind::hangup())?;
//!     // As `kill -HUP` would:
//!     signal_hook::low_level::raise(SignalKind::hangup().as_raw())?;
//!     hangups.recv().await.expect("the runtime goes on");
//!     // … read the configuration again
//!     std::io::Result::Ok(())
//! })
//! # .unwrap();
//! ```
//!
//! A service that ends in order, whoever asks for it:
//!
//! ```no_run
//! use filch::signal;
//! use filch::{Until, spawn};
//!
//! # async fn serve() {}
//! filch::run(async {
//!     let server = spawn(serve());
//!     let mut stops = vec![spawn(signal::ctrl_c()), spawn(signal::terminate())];
//!     filch::wait(&mut stops, Until::First, None).await;
//!     server.cancel(); // it may clean up
//!     let _ = server.await;
//! });
//! ```
//!
//! # What holds
//!
//! - **Everybody hears it.** Each listener of a signal, in any task of any runtime, gets each.
//! - **Nothing is lost from the call on** that makes a listener, whether it is awaited yet or not.
//! - **Several may become one**: what arrives before a listener looks is one event to it. (The system itself does not
//!   count signals either.) A signal that arrives after [`recv`](Signals::recv) gave something is a new event.
//! - **The default does not come back.** The first listener of a signal takes the system's default action away
//!   (that Ctrl-C ends the process, say), and it stays away when the last listener is dropped: then the signal does
//!   nothing at all. So `ctrl_c().await`, once it is over, leaves a program that Ctrl-C cannot end: for the time of
//!   the cleanups listen on, or give them a limit.
//! - Handlers that were installed before, by whatever means, are called as well; a signal that was ignored (`nohup`) is
//!   heard. A handler that somebody installs later, and that does not call the one before it, ends all this.
//!
//! # Together with `run_interruptible`
//!
//! [`run_interruptible`](crate::run_interruptible) and listeners do not disturb each other: the first Ctrl-C
//! cancels `main` *and* is heard by every listener of `SIGINT`; the second ends the process at once, listeners or not.
//! When Ctrl-C shall mean something else, use [`run`](crate::run) and [`ctrl_c`].
//!
//! # How it works
//!
//! A handler may do next to nothing, so it writes a byte into a socket pair, and the runtime's driver watches over the
//! other end: no thread waits. Each listener has its own pair (two file descriptors) and its own entry in
//! the process-wide list of the crate `signal-hook`; both go when it is dropped, so that runtimes do not depend on
//! each other. A process that forks shares the pairs with its child: until the child runs another program, a signal
//! sent to it is heard by its parent.
//!
//! Only on Unix: elsewhere this module does not exist.

use std::fmt;
use std::future::Future;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};

use mio::net::UnixStream;
use signal_hook::consts;
use signal_hook::{SigId, low_level};

use crate::context;
use crate::io::Direction;
use crate::io::registration::{Assume, Registered};

/// Which signal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SignalKind(i32);

macro_rules! kinds {
    ($($(#[$attr:meta])* $name:ident = $raw:ident;)*) => {
        impl SignalKind {$(
            $(#[$attr])*
            pub const fn $name() -> SignalKind {
                SignalKind(consts::$raw)
            }
        )*}
    };
}

kinds! {
    /// `SIGALRM`: a timer of the system is up.
    #[doc(alias = "SIGALRM")]
    alarm = SIGALRM;
    /// `SIGCHLD`: a child process ended or stopped. Unless somebody listens it does nothing.
    #[doc(alias = "SIGCHLD")]
    child = SIGCHLD;
    /// `SIGHUP`: the terminal is gone; for services by custom: read the configuration again.
    #[doc(alias = "SIGHUP")]
    hangup = SIGHUP;
    /// `SIGINT`: Ctrl-C.
    #[doc(alias = "SIGINT")]
    interrupt = SIGINT;
    /// `SIGIO`: a file descriptor is ready. Unless somebody listens it does nothing on some systems.
    #[doc(alias = "SIGIO")]
    io = SIGIO;
    /// `SIGPIPE`: written to a pipe that nobody reads. (Rust programs ignore it, and get an error instead.)
    #[doc(alias = "SIGPIPE")]
    pipe = SIGPIPE;
    /// `SIGQUIT`: Ctrl-\.
    #[doc(alias = "SIGQUIT")]
    quit = SIGQUIT;
    /// `SIGTERM`: `kill`, and what service managers send first.
    #[doc(alias = "SIGTERM")]
    terminate = SIGTERM;
    /// `SIGUSR1`: whatever the program says.
    #[doc(alias = "SIGUSR1")]
    user_defined1 = SIGUSR1;
    /// `SIGUSR2`: whatever the program says.
    #[doc(alias = "SIGUSR2")]
    user_defined2 = SIGUSR2;
    /// `SIGWINCH`: the terminal's size changed. Unless somebody listens it does nothing.
    #[doc(alias = "SIGWINCH")]
    window_change = SIGWINCH;
}

impl SignalKind {
    /// The signal with this number, real-time signals for instance. Whether one can listen to it says
    /// [`signal`](fn@signal).
    pub const fn from_raw(number: i32) -> SignalKind {
        SignalKind(number)
    }

    /// Its number.
    pub const fn as_raw(self) -> i32 {
        self.0
    }
}

impl fmt::Debug for SignalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match low_level::signal_name(self.0) {
            Some(name) => f.write_str(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

/// Waits for Ctrl-C (`SIGINT`), once. It counts from the call on, not only from the first poll.
///
/// For more than one, and above all in a loop, use [`signal`](fn@signal): what comes between two calls
/// of this function nobody hears, and [the default does not come back](self#what-holds).
///
/// # Errors
///
/// If the system refuses the handler or the file descriptors; if the future is polled outside a runtime, or its runtime
/// is shut down.
///
/// # Cancel safety
///
/// Dropping the future ends the listening. Nobody else loses anything.
///
/// ```
/// use filch::signal::{SignalKind, ctrl_c};
///
/// filch::run(async {
///     let stopped = ctrl_c();
///     // As the key would:
///     signal_hook::low_level::raise(SignalKind::interrupt().as_raw())?;
///     stopped.await
/// })
/// .unwrap();
/// ```
#[doc(alias = "tokio::signal::ctrl_c")]
#[doc(alias = "KeyboardInterrupt")]
#[doc(alias = "SIGINT")]
pub fn ctrl_c() -> impl Future<Output = io::Result<()>> + Send + 'static {
    once(SignalKind::interrupt())
}

/// Waits for `SIGTERM`, once: what `kill` sends, and service managers when they want a program to end. It counts
/// from the call on, not only from the first poll. In all else as [`ctrl_c`].
///
/// # Errors
///
/// As [`ctrl_c`].
///
/// # Cancel safety
///
/// As [`ctrl_c`].
///
/// ```
/// use filch::signal::{SignalKind, terminate};
///
/// filch::run(async {
///     let stopped = filch::spawn(terminate());
///     // As `kill` would:
///     signal_hook::low_level::raise(SignalKind::terminate().as_raw())?;
///     stopped.await?
/// })
/// .unwrap();
/// ```
#[doc(alias = "SIGTERM")]
pub fn terminate() -> impl Future<Output = io::Result<()>> + Send + 'static {
    once(SignalKind::terminate())
}

/// The pair and the handler are made by the call, the driver is found by the first poll: so the
/// future may be made anywhere.
fn once(kind: SignalKind) -> impl Future<Output = io::Result<()>> + Send + 'static {
    let pair = listen(kind);
    async move {
        let (hook, pipe) = pair?;
        let mut signals = Signals::watch(kind, hook, pipe)?;
        signals.next().await
    }
}

/// Listens to a signal, from now on until the [`Signals`] are dropped.
///
/// The first listener of a signal in a process takes the system's default action away, [for good](self#what-holds).
///
/// # Errors
///
/// - `InvalidInput` for a signal that cannot be listened to (`SIGKILL`, `SIGSTOP`), or with which there would be no
///   going on (`SIGSEGV`, `SIGILL`, `SIGFPE`), and for a number that is none of a signal;
/// - outside a runtime, and in one that is shut down;
/// - what the system says if it has no more file descriptors.
///
/// ```
/// use filch::signal::{SignalKind, signal};
///
/// let kill = filch::run(async { signal(SignalKind::from_raw(9)) });
/// assert_eq!(kill.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
/// ```
#[doc(alias = "add_signal_handler")]
#[doc(alias = "loop.add_signal_handler")]
#[doc(alias = "tokio::signal::unix::signal")]
pub fn signal(kind: SignalKind) -> io::Result<Signals> {
    let (hook, pipe) = listen(kind)?;
    Signals::watch(kind, hook, pipe)
}

/// The handler's entry, as long as it lives.
#[derive(Debug)]
struct Hook(SigId);

impl Drop for Hook {
    fn drop(&mut self) {
        // When it returns no handler writes into the pair any more. It closes the end it owned.
        low_level::unregister(self.0);
    }
}

/// A handler that writes, and where it writes to.
fn listen(kind: SignalKind) -> io::Result<(Hook, UnixStream)> {
    if consts::FORBIDDEN.contains(&kind.0) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "{kind:?} cannot be listened to: the system, or what comes after it, forbids it"
            ),
        ));
    }
    let (reader, writer) = UnixStream::pair()?;
    match low_level::pipe::register(kind.0, writer) {
        Ok(id) => Ok((Hook(id), reader)),
        Err(error) => {
            Err(io::Error::new(error.kind(), format!("cannot listen to {kind:?}: {error}")))
        }
    }
}

/// The signals of a kind, as they come: what [`signal`](fn@signal) gives. Also a [`Stream`](futures_core::Stream).
///
/// It belongs to the runtime it was made in, may be used by tasks of any, and stops listening when it is dropped.
pub struct Signals {
    // In this order: the handler is gone before what it writes to.
    _hook: Hook,
    pipe: Registered<UnixStream>,
    kind: SignalKind,
}

impl Signals {
    fn watch(kind: SignalKind, hook: Hook, pipe: UnixStream) -> io::Result<Signals> {
        if context::scheduler().is_none() {
            return Err(io::Error::other(
                "a signal was listened to outside a filch runtime: do so inside \
                 `filch::run(async { … })`, `Runtime::block_on` or `#[filch::main]`",
            ));
        }
        let pipe = Registered::with_interest(pipe, Direction::Read.interest(), Assume::Ready)?;
        Ok(Signals { _hook: hook, pipe, kind })
    }

    /// Waits for the signal: one that came since the last call, or the next. `None` when the runtime in which it
    /// was made is shut down: there will be no more.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: what came is still there for the next call.
    ///
    /// ```
    /// use filch::signal::{SignalKind, signal};
    /// use std::time::Duration;
    ///
    /// filch::run(async {
    ///     let mut signals = signal(SignalKind::user_defined1())?;
    ///     let raise = || signal_hook::low_level::raise(SignalKind::user_defined1().as_raw());
    ///     raise()?;
    ///     raise()?;
    ///     // Two that came before anybody looked are one.
    ///     assert_eq!(signals.recv().await, Some(()));
    ///     assert!(filch::timeout(Duration::from_millis(1), signals.recv()).await.is_err());
    ///     raise()?;
    ///     assert_eq!(signals.recv().await, Some(()));
    ///     std::io::Result::Ok(())
    /// })
    /// # .unwrap();
    /// ```
    #[track_caller]
    pub fn recv(&mut self) -> impl Future<Output = Option<()>> + Send {
        let next = self.next();
        async move { next.await.ok() }
    }

    #[track_caller]
    fn next(&mut self) -> impl Future<Output = io::Result<()>> + Send {
        self.pipe.io(Direction::Read, take_all)
    }

    /// Which signal it listens to.
    pub fn kind(&self) -> SignalKind {
        self.kind
    }
}

/// One event for whatever there is in the pipe.
fn take_all(mut pipe: &UnixStream) -> io::Result<()> {
    let mut bytes = [0; 512];
    let mut found = false;
    loop {
        match pipe.read(&mut bytes) {
            // Somebody has removed all handlers of the signal: there will be no more.
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                found = true;
                if read < bytes.len() {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && found => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// As [`recv`](Signals::recv).
impl futures_core::Stream for Signals {
    type Item = ();

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<()>> {
        self.pipe.poll_io(cx, Direction::Read, take_all).map(Result::ok)
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").field("kind", &self.kind).finish_non_exhaustive()
    }
}
