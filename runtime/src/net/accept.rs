//! Accepting connections, whichever kind they are; and what happens when the system has no room for more.
//!
//! Three kinds of errors:
//!
//! - *Of a single connection* that was gone before it was accepted: skipped. (As long as others can be accepted:
//!   what fails [`SKIPPED`] times in a row is told.)
//! - *No file descriptors, no memory.* The connection stays in the system's queue. Whoever accepts pauses,
//!   longer each time, and tries again: servers recover by themselves once others have closed theirs. Otherwise
//!   an accept loop would either end or spin. It is said once on stderr.
//! - *Of the listener:* told.

use std::fmt;
use std::future::Future;
use std::io::{self, Write};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use mio::event::Source;

use crate::io::Direction;
use crate::io::registration::{Assume, Registered, Wait};
use crate::primitive::{AtomicBool, Mutex, Ordering};
use crate::time::{Sleep, now};

/// What the system can do with a listening socket.
pub(super) trait Listens: Source {
    type Stream;
    type Address;
    fn accept(&self) -> io::Result<(Self::Stream, Self::Address)>;
    /// Where it listens, for people.
    fn place(&self) -> String;
}

/// A listening socket that the driver watches over.
pub(super) struct Accepting<L: Listens> {
    pub(super) inner: Registered<L>,
    /// There was an exhaustion; [`Accepting::shortage`] knows more.
    short: AtomicBool,
    shortage: Mutex<Shortage>,
    /// The pause of those who poll.
    pause: Mutex<Option<Sleep>>,
}

/// What came of one attempt.
enum Attempt<T> {
    Accepted(T),
    Nothing,
    Exhausted(Duration),
    Failed(io::Error),
}

impl<L: Listens> Accepting<L> {
    pub(super) fn watch(listener: L) -> io::Result<Accepting<L>> {
        Ok(Accepting {
            inner: Registered::new(listener, Assume::Ready)?,
            short: AtomicBool::new(false),
            shortage: Mutex::new(Shortage::default()),
            pause: Mutex::new(None),
        })
    }

    #[track_caller]
    pub(super) fn accept(&self) -> Accept<'_, L> {
        let wait = self.inner.ready(Direction::Read);
        Accept { accepting: self, wait, pause: None, site: Location::caller() }
    }

    /// Of several who poll, all are woken for a connection, but only the last one at the end of a pause.
    pub(super) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(L::Stream, L::Address)>> {
        loop {
            let ready = ready!(self.inner.poll_ready(cx, Direction::Read))?;
            if self.short.load(Ordering::Relaxed) {
                // Taken out, because polling it runs foreign code.
                let pause = self.pause.lock().take();
                if let Some(mut pause) = pause {
                    if pause.poll_deadline(cx).is_pending() {
                        *self.pause.lock() = Some(pause);
                        return Poll::Pending;
                    }
                }
            }
            match self.attempt() {
                Attempt::Accepted(accepted) => return Poll::Ready(Ok(accepted)),
                Attempt::Nothing => self.inner.clear(ready),
                Attempt::Exhausted(pause) => *self.pause.lock() = Some(Sleep::after(pause)),
                Attempt::Failed(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    pub(super) fn try_accept(&self) -> io::Result<(L::Stream, L::Address)> {
        self.inner.try_io(Direction::Read, |listener| listener.accept())
    }

    fn attempt(&self) -> Attempt<(L::Stream, L::Address)> {
        let mut skipped = 0;
        loop {
            let error = match self.inner.accept() {
                Ok(accepted) => {
                    if self.short.load(Ordering::Relaxed) {
                        self.short.store(false, Ordering::Relaxed);
                        self.shortage.lock().recovered();
                    }
                    return Attempt::Accepted(accepted);
                }
                Err(error) => error,
            };
            if error.kind() == io::ErrorKind::WouldBlock {
                return Attempt::Nothing;
            }
            if is_exhaustion(&error) {
                return Attempt::Exhausted(self.exhausted(&error));
            }
            if !is_of_one_connection(&error) || skipped == SKIPPED {
                return Attempt::Failed(error);
            }
            skipped += 1;
        }
    }

    /// How long to pause.
    fn exhausted(&self, error: &io::Error) -> Duration {
        self.short.store(true, Ordering::Relaxed);
        let (pause, is_news) = self.shortage.lock().failed(now());
        if is_news {
            let place = self.inner.place();
            // Nobody is left to be told if that fails.
            let _ = writeln!(
                io::stderr(),
                "filch: no connection can be accepted at {place}: {error}; new ones wait until \
                 others are closed (accept tries again by itself): raise `ulimit -n`, or close connections"
            );
        }
        pause
    }
}

impl<L: Listens + fmt::Debug> fmt::Debug for Accepting<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// Accepts one connection; then it can be polled for the next.
#[must_use = "futures do nothing unless awaited"]
pub(super) struct Accept<'a, L: Listens> {
    accepting: &'a Accepting<L>,
    wait: Wait<'a, L>,
    pause: Option<Sleep>,
    site: &'static Location<'static>,
}

// Nothing in it is ever pinned.
impl<L: Listens> Unpin for Accept<'_, L> {}

impl<L: Listens> Future for Accept<'_, L> {
    type Output = io::Result<(L::Stream, L::Address)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            // First, because it tells when the runtime is gone, which the pause would not like. (A listener that
            // could not accept stays ready.)
            let ready = ready!(this.wait.poll_ready(cx))?;
            if let Some(pause) = &mut this.pause {
                ready!(pause.poll_deadline(cx));
                this.pause = None;
            }
            match this.accepting.attempt() {
                Attempt::Accepted(accepted) => return Poll::Ready(Ok(accepted)),
                Attempt::Nothing => this.accepting.inner.clear(ready),
                Attempt::Exhausted(pause) => {
                    this.pause = Some(Sleep::at_site(now() + pause, this.site));
                }
                Attempt::Failed(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl<L: Listens> fmt::Debug for Accept<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accept").finish_non_exhaustive()
    }
}

/// The first pause.
const SHORTEST: Duration = Duration::from_millis(5);
/// No pause is longer.
const LONGEST: Duration = Duration::from_secs(1);
/// What is said once for all that fails within such a time: a server at its limit has a shortage with each connection
/// that is closed and accepted.
const QUIET: Duration = Duration::from_secs(60);
/// Errors of single connections in a row that are skipped.
const SKIPPED: u32 = 64;

/// A time without file descriptors.
#[derive(Debug, Default)]
struct Shortage {
    /// The last pause; zero after a connection was accepted.
    pause: Duration,
    /// When it was last seen.
    seen: Option<Instant>,
}

impl Shortage {
    /// How long to pause, and whether it is worth a word.
    fn failed(&mut self, now: Instant) -> (Duration, bool) {
        self.pause = (self.pause * 2).clamp(SHORTEST, LONGEST);
        let before = self.seen.replace(now);
        let is_news = before.is_none_or(|before| now.saturating_duration_since(before) > QUIET);
        (self.pause, is_news)
    }

    fn recovered(&mut self) {
        self.pause = Duration::ZERO;
    }
}

/// There is no room for a further connection.
fn is_exhaustion(error: &io::Error) -> bool {
    #[cfg(unix)]
    const CODES: [i32; 4] = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    // WSAEMFILE, WSAENOBUFS
    #[cfg(windows)]
    const CODES: [i32; 2] = [10024, 10055];
    error.raw_os_error().is_some_and(|code| CODES.contains(&code))
}

/// The connection was gone before it was accepted, or its network. (Linux tells of that on accepting it.)
fn is_of_one_connection(error: &io::Error) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CODES: &[i32] = &[
        libc::EPROTO,
        libc::ENETDOWN,
        libc::ENOPROTOOPT,
        libc::EHOSTDOWN,
        libc::ENONET,
        libc::EHOSTUNREACH,
        libc::ENETUNREACH,
    ];
    #[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
    const CODES: &[i32] = &[libc::EPROTO];
    #[cfg(not(unix))]
    const CODES: &[i32] = &[];
    let kinds = [
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::ConnectionRefused,
        io::ErrorKind::Interrupted,
    ];
    kinds.contains(&error.kind()) || error.raw_os_error().is_some_and(|code| CODES.contains(&code))
}

#[cfg(all(test, not(filch_loom)))]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn pauses_grow_up_to_a_second_and_begin_anew_after_a_connection() {
        let mut shortage = Shortage::default();
        let start = Instant::now();
        let pauses: Vec<_> = (0..10).map(|_| shortage.failed(start).0 / 1_000_000).collect();
        let expected = [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000].map(Duration::from_nanos);
        assert_eq!(pauses, expected);
        shortage.recovered();
        assert_eq!(shortage.failed(start).0, 5 * MS);
    }

    #[test]
    fn a_shortage_is_told_once_until_there_was_none_for_a_minute() {
        let mut shortage = Shortage::default();
        let mut now = Instant::now();
        let mut told = Vec::new();
        for after in [0, 1, 1, 59, 60, 61, 1] {
            now += Duration::from_secs(after);
            told.push(shortage.failed(now).1);
            shortage.recovered();
        }
        assert_eq!(told, [true, false, false, false, false, true, false]);
    }

    #[cfg(unix)]
    #[test]
    fn errors_are_of_the_system_of_one_connection_or_of_the_listener() {
        let of = |code| {
            let error = io::Error::from_raw_os_error(code);
            (is_exhaustion(&error), is_of_one_connection(&error))
        };
        for code in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
            assert_eq!(of(code), (true, false));
        }
        for code in [libc::ECONNABORTED, libc::EPROTO, libc::ECONNRESET, libc::EINTR] {
            assert_eq!(of(code), (false, true));
        }
        for code in [libc::EINVAL, libc::EBADF, libc::EPERM, libc::EAGAIN] {
            assert_eq!(of(code), (false, false));
        }
    }
}
