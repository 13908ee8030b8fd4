//! What is explored, by name.

mod blocking;
mod cancel;
mod end;
mod io;
mod tasks;
mod time;

/// One of them: its name, how many times the usual number of executions it gets, and what it does.
pub(crate) type Scenario = (&'static str, usize, fn());

pub(crate) const ALL: &[&[Scenario]] =
    &[tasks::ALL, cancel::ALL, time::ALL, blocking::ALL, io::ALL, end::ALL];
