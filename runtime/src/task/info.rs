//! What tasks look like from outside.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use super::cell::Header;
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
}

impl TaskInfo {
    pub(crate) fn of(task: &Header) -> TaskInfo {
        let Label { id, name, site } = task.label();
        TaskInfo { id, name, spawned_at: site }
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
