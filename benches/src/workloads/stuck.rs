//! Every worker blocked in a poll: how long another task waits.
pub(super) fn entries() -> Vec<crate::workload::Entry> {
    Vec::new()
}
