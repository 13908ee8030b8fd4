//! What a kind of task asks of whoever runs it: where a woken task goes, and who knows that it lives.

use super::{JoinError, Listed, Runnable, TaskRef};

/// Where a task stands in its runtime's lists of live tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) slot: u32,
    pub(crate) list: u16,
}

impl Place {
    pub(super) const NONE: Place = Place { slot: u32::MAX, list: u16::MAX };
}

/// The list of live tasks is closed: no further task may park.
#[derive(Debug)]
pub(crate) struct Closed;

/// What a kind of task asks of whoever runs it. Zero-sized types implement it: `S` picks, at
/// compile time, the functions that go into the vtable.
pub(crate) trait Schedule: 'static {
    /// What the header points to; it outlives all tasks because it is never unmapped.
    type Owner: Sync + 'static;

    /// An idle task was woken: see that it is polled.
    fn schedule(owner: &'static Self::Owner, task: Runnable);

    /// A task is about to return from its first poll unfinished: enter it into a live list.
    /// (Given back if the list is closed.)
    fn track(owner: &'static Self::Owner, task: Listed) -> Result<Place, (Closed, Listed)>;

    /// The task in this place is about to be published: hand its entry back.
    fn untrack(owner: &'static Self::Owner, place: Place) -> Listed;

    /// A task was asked to end while it is active: in a queue, or polled somewhere. Who takes it out
    /// of there will see the request; a queue in which tasks stand for long may give it up at
    /// once. Called by whoever asks, after the request is marked.
    fn requested(_owner: &'static Self::Owner, _task: &TaskRef) {}

    /// Is everything dropped that waits? Then nothing holds back a task's end any more.
    fn is_closing(_owner: &'static Self::Owner) -> bool {
        false
    }

    /// Runs a job soon, where tasks of this kind run; here and now if there is no such place any
    /// more.
    fn later(owner: &'static Self::Owner, job: Job);

    /// A task has panicked, and nobody will ever ask for its result.
    fn unhandled(owner: &'static Self::Owner, error: &JoinError);
}

/// Something to be called once.
pub(crate) type Job = Box<dyn FnOnce() + Send>;
