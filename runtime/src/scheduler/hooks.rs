//! Whom a scheduler tells of what, in the layers above it.

use std::sync::Arc;

use crate::error::JoinError;
use crate::task::TaskRef;

/// What is told of a task that panicked and whose handle is gone.
#[derive(Clone)]
pub(crate) struct OnUnhandled(pub(crate) Arc<dyn Fn(&JoinError) + Send + Sync>);

impl std::fmt::Debug for OnUnhandled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnUnhandled")
    }
}

/// The pool for blocking calls, which lies a layer above: a job in it was asked to end.
#[derive(Clone)]
pub(crate) struct Jobs(pub(crate) Arc<dyn Fn(&TaskRef) + Send + Sync>);

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Jobs")
    }
}
