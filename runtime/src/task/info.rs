//! What tasks look like from outside.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use super::cell::{Header, Waits};
use super::extra::Extra;
use super::{Id, Label};

/// A task as others see it: who it is and where it comes from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TaskInfo {
    /// Identifies the task.
    pub id: Id,
    /// The name it was given.
    pub name: Option<Arc<str>>,
    /// Where it was spawned.
    pub spawned_at: &'static Location<'static>,
    /// Where it waits, if it waits for a future of this runtime: a sleep, a group, …
    pub waits_at: Option<&'static Location<'static>>,
    /// The task whose handle it awaits.
    pub waits_for: Option<Id>,
    /// The task whose group (or `gather`) it belongs to, and which therefore waits for it.
    pub parent: Option<Id>,
    /// It was asked to end, and this is where the shield or token was made that holds that up.
    pub held_by: Option<&'static Location<'static>>,
}

impl TaskInfo {
    pub(crate) fn of(task: &Header) -> TaskInfo {
        let Label { id, name, site } = task.label();
        // (What it waited for last is not erased when it goes on.)
        let waits = if task.state().is_idle() { task.waits() } else { Waits::UNKNOWN };
        let (waits_at, waits_for) = (waits.site(), waits.task());
        let extra = task.extra();
        let parent = extra.and_then(Extra::parent);
        let held_by = extra.and_then(Extra::tree_if_any).and_then(|tree| tree.held_by());
        TaskInfo { id, name, spawned_at: site, waits_at, waits_for, parent, held_by }
    }

    /// Only what can be known of a task that is being polled.
    pub(crate) fn bare(id: Id, site: &'static Location<'static>) -> TaskInfo {
        TaskInfo {
            id,
            name: None,
            spawned_at: site,
            waits_at: None,
            waits_for: None,
            parent: None,
            held_by: None,
        }
    }
}

impl fmt::Display for TaskInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} (spawned at {})", self.spawned_at),
            None => write!(f, "task {} (spawned at {})", self.id, self.spawned_at),
        }
    }
}
