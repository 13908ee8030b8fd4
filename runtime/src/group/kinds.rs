//! What bodies and members of a group may return.

use std::convert::Infallible;

use super::GroupError;

mod sealed {
    pub trait Sealed {}
    impl Sealed for () {}
    impl<T, E> Sealed for Result<T, E> {}
}

/// What the body of a group returns: `Result<T, E>`, and the group gives `Result<T, GroupError<E>>`; or `()`, and the
/// group, which cannot fail then, gives `()`.
#[diagnostic::on_unimplemented(
    message = "a task group with errors of type `{E}` cannot have a body that returns `{Self}`",
    label = "the body of this group returns `{Self}`",
    note = "the body returns `Result<_, {E}>`, with the error type of the members; or `()`, if all members return `()`",
    note = "an endless body needs a type: `async |group| -> std::io::Result<()> {{ loop {{ … }} }}`",
    note = "for any other value write `Ok(value)`, or `Ok::<_, std::convert::Infallible>(value)` if no member can fail"
)]
pub trait Body<E>: sealed::Sealed + Sized {
    /// What the group gives.
    type Output;

    #[doc(hidden)]
    fn split(self) -> Result<Self, E>;
    #[doc(hidden)]
    fn finish(self) -> Self::Output;
    #[doc(hidden)]
    fn failed(error: GroupError<E>) -> Self::Output;
}

impl Body<Infallible> for () {
    type Output = ();

    fn split(self) -> Result<(), Infallible> {
        Ok(())
    }

    fn finish(self) {}

    /// There is no error that could be in there: the group was cancelled.
    fn failed(_: GroupError<Infallible>) {}
}

impl<T, E> Body<E> for Result<T, E> {
    type Output = Result<T, GroupError<E>>;

    fn split(self) -> Result<Result<T, E>, E> {
        self.map(Ok)
    }

    fn finish(self) -> Result<T, GroupError<E>> {
        self.map_err(|_| unreachable!("errors were split off"))
    }

    fn failed(error: GroupError<E>) -> Result<T, GroupError<E>> {
        Err(error)
    }
}

/// What a member of a group returns: `Result<T, E>`, or `()`.
#[diagnostic::on_unimplemented(
    message = "a member of this task group returns `()` or `Result<_, {E}>`, and `{Self}` is neither",
    label = "returned by this member",
    note = "the error type is that of the group's body and of its other members",
    note = "for any other value write `Ok(value)`; a member that never returns needs a type: make it an `async fn`"
)]
pub trait Outcome<E>: sealed::Sealed {
    /// What its handle gives.
    type Ok: Send + 'static;

    #[doc(hidden)]
    fn into_result(self) -> Result<Self::Ok, E>;
}

impl<E> Outcome<E> for () {
    type Ok = ();

    fn into_result(self) -> Result<(), E> {
        Ok(())
    }
}

impl<T: Send + 'static, E> Outcome<E> for Result<T, E> {
    type Ok = T;

    fn into_result(self) -> Result<T, E> {
        self
    }
}
