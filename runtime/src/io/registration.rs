//! The tie between a socket and the driver.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::Shutdown;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use mio::Interest;
use mio::event::Source;

use super::Door;
use super::driver::{self, Driver};
use super::readiness::{Direction, READ, Readiness, Ready, WRITE};
use crate::task::cell::{Waits, contained};
use crate::task::polling;

/// What a new socket is taken to be ready for: its first operation is simply tried, instead of waiting for an event
/// that says what is likely anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Assume {
    Ready,
    /// A socket whose connection is still to be made.
    Nothing,
}

/// A source that the driver watches over, until it is dropped.
pub(crate) struct Registered<S: Source> {
    /// `None` only in [`Registered::into_inner`].
    source: Option<S>,
    driver: Arc<Driver>,
    index: u32,
}

impl<S: Source> Registered<S> {
    /// Watches over `source`, by the driver of this thread's runtime.
    pub(crate) fn new(source: S, assume: Assume) -> io::Result<Registered<S>> {
        Registered::with_interest(source, Interest::READABLE | Interest::WRITABLE, assume)
    }

    pub(crate) fn with_interest(
        mut source: S,
        interest: Interest,
        assume: Assume,
    ) -> io::Result<Registered<S>> {
        let driver = Door::current_driver()?;
        let assumed = if assume == Assume::Ready { READ | WRITE } else { 0 };
        let (index, _) = driver.register(&mut source, interest, assumed)?;
        Ok(Registered { source: Some(source), driver, index })
    }

    fn readiness(&self) -> &Readiness {
        self.driver.readiness(self.index)
    }

    /// Whether `operation` is worth a try.
    pub(crate) fn poll_ready(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
    ) -> Poll<io::Result<Ready>> {
        checked(self.readiness().poll(direction, None, cx.waker()))
    }

    pub(crate) fn clear(&self, ready: Ready) {
        self.readiness().clear(ready);
    }

    /// A direction was ended here: whoever waits in it finds that out. epoll does not tell those who wait until there
    /// is room in a Unix socket.
    pub(crate) fn rouse(&self, ended: Shutdown) {
        let flags = match ended {
            Shutdown::Read => READ,
            Shutdown::Write => WRITE,
            Shutdown::Both => READ | WRITE,
        };
        let mut wake = Vec::new();
        self.readiness().tell(flags, &mut wake);
        wake.into_iter().for_each(|waker| contained(|| waker.wake()));
    }

    /// Tries the operation until it does something, or there is nothing to be done.
    #[cfg_attr(not(unix), allow(dead_code, reason = "for file descriptors"))]
    pub(crate) fn poll_io<T>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        mut operation: impl FnMut(&S) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        ready!(in_turn(cx));
        loop {
            let ready = ready!(self.poll_ready(cx, direction))?;
            match operation(self) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.clear(ready),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => {
                    polling::has_gone_on();
                    return Poll::Ready(result);
                }
            }
        }
    }

    /// As [`poll_io`](Registered::poll_io) for an operation that moves up to `wanted` bytes. If it moves less,
    /// the socket is empty (or full): that saves the call that would have found it out.
    pub(crate) fn poll_transfer(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        wanted: usize,
        mut operation: impl FnMut(&S) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        ready!(in_turn(cx));
        loop {
            let ready = ready!(self.poll_ready(cx, direction))?;
            match operation(self) {
                Ok(moved) => {
                    if TELLS_NEWS && moved > 0 && moved < wanted && !ready.is_final() {
                        self.clear(ready);
                    }
                    polling::has_gone_on();
                    return Poll::Ready(Ok(moved));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.clear(ready),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Tries the operation once. `WouldBlock`: there is nothing to be done.
    #[cfg_attr(not(unix), allow(dead_code, reason = "for file descriptors"))]
    pub(crate) fn try_io<T>(
        &self,
        direction: Direction,
        operation: impl FnOnce(&S) -> io::Result<T>,
    ) -> io::Result<T> {
        let Some(ready) = self.readiness().look(direction) else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        if ready.is_shut() {
            return Err(driver::shut_down());
        }
        let result = operation(self);
        if matches!(&result, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            self.clear(ready);
        }
        result
    }

    /// The operation as a future, which several tasks may have at the same time.
    #[track_caller]
    pub(crate) fn io<T, F>(&self, direction: Direction, operation: F) -> Operation<'_, S, F>
    where
        F: FnMut(&S) -> io::Result<T>,
    {
        Operation { wait: self.ready(direction), operation }
    }

    /// Waits until an operation is worth a try.
    #[track_caller]
    pub(crate) fn ready(&self, direction: Direction) -> Wait<'_, S> {
        Wait { registered: self, direction, key: 0, site: Location::caller() }
    }

    /// Gives the source back, no longer watched over.
    #[cfg_attr(not(unix), allow(dead_code, reason = "for file descriptors"))]
    pub(crate) fn into_inner(mut self) -> S {
        let mut source = self.source.take().expect("taken out only here");
        self.driver.deregister(&mut source, self.index);
        source
    }
}

/// After less than asked for was moved, the poller tells when there is more: true for epoll and kqueue.
const TELLS_NEWS: bool = cfg!(any(
    target_os = "linux",
    target_os = "android",
    target_os = "macos",
    target_os = "ios",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "dragonfly",
));

/// A task whose sockets are always ready lets others in now and then.
fn in_turn(cx: &mut Context<'_>) -> Poll<()> {
    if polling::may_go_on() {
        return Poll::Ready(());
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

fn checked(polled: Poll<Ready>) -> Poll<io::Result<Ready>> {
    polled.map(|ready| if ready.is_shut() { Err(driver::shut_down()) } else { Ok(ready) })
}

impl<S: Source> Deref for Registered<S> {
    type Target = S;

    fn deref(&self) -> &S {
        self.source.as_ref().expect("taken out only by `into_inner`")
    }
}

impl<S: Source> DerefMut for Registered<S> {
    fn deref_mut(&mut self) -> &mut S {
        self.source.as_mut().expect("taken out only by `into_inner`")
    }
}

impl<S: Source> Drop for Registered<S> {
    fn drop(&mut self) {
        if let Some(source) = &mut self.source {
            self.driver.deregister(source, self.index);
        }
    }
}

impl<S: Source + fmt::Debug> fmt::Debug for Registered<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

/// Waits until an operation is worth a try. Takes its place among those who wait back when it is dropped.
#[must_use = "futures do nothing unless awaited"]
pub(crate) struct Wait<'a, S: Source> {
    registered: &'a Registered<S>,
    direction: Direction,
    /// 0: it has not waited yet.
    key: u64,
    site: &'static Location<'static>,
}

impl<S: Source> Wait<'_, S> {
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        let readiness = self.registered.readiness();
        if let Some(ready) = readiness.look(self.direction) {
            return checked(Poll::Ready(ready));
        }
        let polled = readiness.poll(self.direction, Some(&mut self.key), cx.waker());
        if polled.is_pending() {
            polling::waits(Waits::at(self.site));
        }
        checked(polled)
    }
}

impl<S: Source> Future for Wait<'_, S> {
    type Output = io::Result<Ready>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(in_turn(cx));
        let ready = ready!(self.poll_ready(cx));
        polling::has_gone_on();
        Poll::Ready(ready)
    }
}

impl<S: Source> Drop for Wait<'_, S> {
    fn drop(&mut self) {
        if self.key != 0 {
            self.registered.readiness().forget(self.key);
        }
    }
}

/// An operation on a socket.
#[must_use = "futures do nothing unless awaited"]
pub(crate) struct Operation<'a, S: Source, F> {
    wait: Wait<'a, S>,
    operation: F,
}

impl<S: Source, F> Operation<'_, S, F> {
    /// Its task is said to wait there, and not where it was made.
    pub(crate) fn at(mut self, site: &'static Location<'static>) -> Self {
        self.wait.site = site;
        self
    }
}

// Nothing in it is ever pinned.
impl<S: Source, F> Unpin for Operation<'_, S, F> {}

impl<T, S, F> Future for Operation<'_, S, F>
where
    S: Source,
    F: FnMut(&S) -> io::Result<T>,
{
    type Output = io::Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(in_turn(cx));
        loop {
            let ready = ready!(self.wait.poll_ready(cx))?;
            let registered = self.wait.registered;
            match (self.operation)(registered) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => registered.clear(ready),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => {
                    polling::has_gone_on();
                    return Poll::Ready(result);
                }
            }
        }
    }
}
