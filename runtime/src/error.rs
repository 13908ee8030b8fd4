//! What can go wrong, as small documented types.

use std::any::Any;
use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::io;
use std::panic::Location;
use std::sync::{Arc, Mutex, PoisonError};

use crate::task::Id;
use crate::task::extra::Request;

/// How errors name a task.
#[derive(Debug, Clone)]
pub(crate) struct Label {
    pub(crate) id: Id,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) site: &'static Location<'static>,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "task `{name}` (spawned at {})", self.site),
            None => write!(f, "task {} (spawned at {})", self.id, self.site),
        }
    }
}

/// Why a task has no output: it was cancelled, it panicked, or it could not be started.
///
/// It is one pointer wide, so a `Result<T, JoinError>` costs the task little.
///
/// ```
/// let error = filch::run(async {
///     let handle = filch::spawn(std::future::pending::<()>());
///     handle.abort();
///     handle.await.unwrap_err()
/// });
/// assert!(error.is_cancelled());
/// assert!(error.place().unwrap().file().ends_with(".rs"));
/// ```
#[doc(alias = "CancelledError")]
pub struct JoinError(Box<Inner>);

struct Inner {
    label: Label,
    kind: Kind,
}

enum Kind {
    Cancelled(Request),
    ShutDown,
    /// In a mutex only to make the error `Sync`.
    Panicked(Mutex<Box<dyn Any + Send>>),
    Rejected(Cow<'static, str>),
    /// It was a member of a group, and its group has the error.
    InGroup,
}

impl JoinError {
    pub(crate) fn cancelled(label: Label, request: Request) -> JoinError {
        JoinError(Box::new(Inner { label, kind: Kind::Cancelled(request) }))
    }

    pub(crate) fn shut_down(label: Label) -> JoinError {
        JoinError(Box::new(Inner { label, kind: Kind::ShutDown }))
    }

    pub(crate) fn panicked(payload: Box<dyn Any + Send>, label: Label) -> JoinError {
        JoinError(Box::new(Inner { label, kind: Kind::Panicked(Mutex::new(payload)) }))
    }

    pub(crate) fn rejected(label: Label, why: impl Into<Cow<'static, str>>) -> JoinError {
        JoinError(Box::new(Inner { label, kind: Kind::Rejected(why.into()) }))
    }

    pub(crate) fn in_group(label: Label) -> JoinError {
        JoinError(Box::new(Inner { label, kind: Kind::InGroup }))
    }

    /// Was the task cancelled, by a request or because its runtime was shut down?
    #[doc(alias = "cancelled")]
    pub fn is_cancelled(&self) -> bool {
        matches!(self.0.kind, Kind::Cancelled(_) | Kind::ShutDown)
    }

    /// Did the task panic? Then [`into_panic`](JoinError::into_panic) has the payload.
    pub fn is_panic(&self) -> bool {
        matches!(self.0.kind, Kind::Panicked(_))
    }

    /// Was the job never started, because a limit was reached or the system refused a thread?
    pub fn is_rejected(&self) -> bool {
        matches!(self.0.kind, Kind::Rejected(_))
    }

    /// Did the task fail as a member of a group? The group's own result has its error or panic.
    pub fn is_group_failure(&self) -> bool {
        matches!(self.0.kind, Kind::InGroup)
    }

    /// Why the task was cancelled, in the words of whoever asked for it.
    pub fn reason(&self) -> Option<&str> {
        match &self.0.kind {
            Kind::Cancelled(request) => request.reason.as_deref(),
            Kind::ShutDown => Some(crate::task::extra::SHUT_DOWN),
            _ => None,
        }
    }

    /// Where the request to cancel came from.
    pub fn place(&self) -> Option<&'static Location<'static>> {
        match &self.0.kind {
            Kind::Cancelled(request) => Some(request.place),
            _ => None,
        }
    }

    /// The id of the task.
    pub fn id(&self) -> Id {
        self.0.label.id
    }

    /// The name of the task, if it was given one.
    pub fn task_name(&self) -> Option<&str> {
        self.0.label.name.as_deref()
    }

    /// Where the task was spawned.
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.0.label.site
    }

    /// The payload of the panic, for `std::panic::resume_unwind`.
    ///
    /// # Panics
    ///
    /// If the task did not panic: ask [`is_panic`](JoinError::is_panic) first, or use
    /// [`try_into_panic`](JoinError::try_into_panic).
    ///
    /// ```
    /// # std::panic::set_hook(Box::new(|_| {}));
    /// let error = filch::run(async { filch::spawn(async { panic!("oh no") }).await.unwrap_err() });
    /// assert!(error.is_panic());
    /// assert_eq!(*error.into_panic().downcast::<&str>().unwrap(), "oh no");
    /// ```
    pub fn into_panic(self) -> Box<dyn Any + Send> {
        match self.try_into_panic() {
            Ok(payload) => payload,
            Err(error) => panic!("into_panic on a task that did not panic: {error}"),
        }
    }

    /// The payload of the panic, or the error back if there was none.
    ///
    /// # Errors
    ///
    /// The error itself, if it is not that of a panic.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send>, JoinError> {
        match *self.0 {
            Inner { kind: Kind::Panicked(payload), .. } => {
                Ok(payload.into_inner().unwrap_or_else(PoisonError::into_inner))
            }
            other => Err(JoinError(Box::new(other))),
        }
    }
}

/// The text of a panic's payload, if it is one.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> Option<&str> {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { label, kind } = &*self.0;
        match kind {
            Kind::Cancelled(Request { reason: None, place }) => {
                write!(f, "{label} was cancelled at {place}")
            }
            Kind::Cancelled(Request { reason: Some(reason), place }) => {
                write!(f, "{label} was cancelled at {place}: {reason}")
            }
            Kind::ShutDown => write!(f, "{label} was cancelled: its runtime was shut down"),
            Kind::Panicked(payload) => {
                let payload = payload.lock().unwrap_or_else(PoisonError::into_inner);
                match panic_text(&**payload) {
                    Some(text) => write!(f, "{label} panicked: {text}"),
                    None => write!(f, "{label} panicked"),
                }
            }
            Kind::Rejected(why) => write!(f, "{label} was not started: {why}"),
            Kind::InGroup => write!(f, "{label} failed: see the error of its group"),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinError({self})")
    }
}

impl Error for JoinError {}

impl From<JoinError> for io::Error {
    fn from(error: JoinError) -> io::Error {
        io::Error::other(error)
    }
}

/// A [`timeout`](crate::timeout) has run out.
///
/// ```
/// use std::time::Duration;
/// let result = filch::run(filch::timeout(Duration::ZERO, std::future::pending::<()>()));
/// assert_eq!(result.unwrap_err().to_string(), "the time limit was exceeded");
/// ```
#[doc(alias = "TimeoutError")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed(pub(crate) ());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time limit was exceeded")
    }
}

impl Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(error: Elapsed) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, error)
    }
}
