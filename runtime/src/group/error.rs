//! How a group fails.

use std::error::Error;
use std::fmt;
use std::io;

use crate::task::Task;

/// One member's error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure<E> {
    /// The member (or the task of the group, if it was the body).
    pub task: Task,
    /// What it returned.
    pub error: E,
}

/// What members of a group have returned as errors, in the order in which they ended.
///
/// ```
/// use filch::{GroupError, task, task_group};
/// let failed: Result<(), GroupError<&str>> = filch::run(task_group(async |group| {
///     group.spawn_with(task::Builder::new().name("east"), async { Err::<(), _>("closed") });
///     Ok(())
/// }));
/// let error = failed.unwrap_err();
/// assert_eq!(error.errors()[0].error, "closed");
/// assert_eq!(error.errors()[0].task.name().as_deref(), Some("east"));
/// assert!(!error.is_cancelled());
/// ```
#[doc(alias = "ExceptionGroup")]
#[derive(Clone, PartialEq, Eq)]
pub struct GroupError<E> {
    pub(super) failures: Vec<Failure<E>>,
}

impl<E> GroupError<E> {
    /// All errors.
    #[doc(alias = "exceptions")]
    pub fn errors(&self) -> &[Failure<E>] {
        &self.failures
    }

    /// The error that came first; `None` if the group was [cancelled](GroupError::is_cancelled).
    pub fn into_first(self) -> Option<E> {
        self.failures.into_iter().next().map(|failure| failure.error)
    }

    /// Nobody failed: [`TaskGroup::cancel`](super::TaskGroup::cancel) has ended the body before it had a value.
    pub fn is_cancelled(&self) -> bool {
        self.failures.is_empty()
    }
}

impl<E> IntoIterator for GroupError<E> {
    type Item = Failure<E>;
    type IntoIter = std::vec::IntoIter<Failure<E>>;

    fn into_iter(self) -> Self::IntoIter {
        self.failures.into_iter()
    }
}

impl<'a, E> IntoIterator for &'a GroupError<E> {
    type Item = &'a Failure<E>;
    type IntoIter = std::slice::Iter<'a, Failure<E>>;

    fn into_iter(self) -> Self::IntoIter {
        self.failures.iter()
    }
}

impl<E: fmt::Display> fmt::Display for GroupError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.failures[..] {
            [] => f.write_str("the group was cancelled"),
            [one] => write!(f, "{} failed: {}", one.task, one.error),
            [first, ..] => {
                write!(f, "{} tasks of a group failed, first ", self.failures.len())?;
                write!(f, "{}: {}", first.task, first.error)
            }
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for GroupError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failures = self.failures.iter().map(|failure| (&failure.task, &failure.error));
        f.write_str("GroupError")?;
        f.debug_list().entries(failures).finish()
    }
}

impl<E: Error + 'static> Error for GroupError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.failures.first().map(|failure| &failure.error as _)
    }
}

/// Of the kind of the first error; the rest is in the message and behind `source`.
impl From<GroupError<io::Error>> for io::Error {
    fn from(error: GroupError<io::Error>) -> io::Error {
        let kind = error.failures.first().map(|failure| failure.error.kind());
        io::Error::new(kind.unwrap_or(io::ErrorKind::Interrupted), error)
    }
}

/// A group that takes no more members gives the future back: see [`TaskGroup::try_spawn`](super::TaskGroup::try_spawn).
pub struct Closed<F> {
    /// Unpolled.
    pub future: F,
}

impl<F> fmt::Display for Closed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the group is over or was cancelled, and takes no further members")
    }
}

impl<F> fmt::Debug for Closed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closed")
    }
}

impl<F> Error for Closed<F> {}
