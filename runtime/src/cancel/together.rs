//! Tasks that a future answers for: they end before it does, or before its task does.
//!
//! A group, a `gather`, a linked handle, a `wait_for` stay until the tasks they started have ended. But
//! a future can be dropped at any time, and a drop cannot wait. Then the *task* waits: the
//! tasks are cancelled, and the one that dropped the future is not seen to be complete until they
//! have ended. (Kotlin's rule. It is sound here because tasks are `'static`: none of them borrows from
//! what was dropped.)

use std::sync::Arc;

use super::node::task_here;
use crate::task::extra::{self, Extra, Force, Hold, Request, Watch, Watched};
use crate::task::{Ending, TaskRef};

/// When the last of its tasks has ended it is dropped.
impl Watch for Hold {
    fn ended(&self, task: &TaskRef, _: usize, _: Ending) {
        self.ends(task);
    }
}

/// The future that answers for these tasks is dropped: cancels them, and keeps the task that runs
/// here from completing before they have. Outside any task there is nobody who could wait.
pub(crate) fn end_with_current(tasks: &[TaskRef], request: &Request) {
    if tasks.is_empty() {
        return;
    }
    let owner = task_here();
    let hold = owner.as_ref().map(|owner| Arc::new(Hold::new(owner.clone())));
    #[cfg(filch_loom)] // A twin does not wait for them.
    let hold = hold.filter(|_| !crate::primitive::seeded("drop-without-hold"));
    for task in tasks {
        // (A task that drops a future which answers for itself would wait for ever.)
        let own = owner.as_ref().is_some_and(|owner| owner.header().id() == task.header().id());
        if let Some(hold) = hold.as_ref().filter(|_| !own) {
            hold.begins(task);
            if let Watched::Ended = extra::watch(task, Arc::clone(hold) as Arc<dyn Watch>, 0) {
                hold.ends(task);
            }
        }
    }
    // What ends the owner the hard way ends what belongs to it. (An abort that comes after this look
    // finds the holders.)
    let is_hard = |owner: &TaskRef| {
        owner.header().extra().and_then(Extra::tree_if_any).is_some_and(|tree| tree.is_hard())
    };
    let force = if owner.as_ref().is_some_and(is_hard) { Force::Abort } else { Force::Cancel };
    for task in tasks {
        extra::on_request(task, request.clone(), force);
    }
}

/// Asks tasks to end.
pub(crate) fn cancel_all(tasks: &[TaskRef], request: &Request) {
    for task in tasks {
        extra::on_request(task, request.clone(), Force::Cancel);
    }
}
