//! A future made of a function, which knows where it was made.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::task::cell::Waits;
use crate::task::polling;

/// As `std::future::poll_fn`; while it waits, its task is said to wait where it was made.
#[track_caller]
pub(super) fn poll_here<T, F>(poll: F) -> PollHere<F>
where
    F: FnMut(&mut Context<'_>) -> Poll<T>,
{
    PollHere { poll, site: Location::caller() }
}

/// See [`poll_here`].
#[must_use = "futures do nothing unless awaited"]
pub(super) struct PollHere<F> {
    poll: F,
    site: &'static Location<'static>,
}

// The function is never pinned.
impl<F> Unpin for PollHere<F> {}

impl<T, F: FnMut(&mut Context<'_>) -> Poll<T>> Future for PollHere<F> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let polled = (self.poll)(cx);
        if polled.is_pending() {
            polling::waits(Waits::at(self.site));
        }
        polled
    }
}

impl<F> fmt::Debug for PollHere<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollHere").field("at", &format_args!("{}", self.site)).finish()
    }
}
