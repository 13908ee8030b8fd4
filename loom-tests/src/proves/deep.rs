//! The same models with more preemptions, for when there is time.

use std::env;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::Proof;

/// In the child that makes a proof like this, and in its children.
const DEEP: &str = "FILCH_PROOF_DEEP";

/// For each model. One that needs more has expired, and fails.
const LIMIT: Duration = Duration::from_secs(1800);

pub(super) fn is_asked_for() -> bool {
    env::var_os(DEEP).is_some()
}

/// Four at least, and one more than usual; but two for what can only afford one otherwise.
pub(super) fn preemptions(proof: &Proof) -> usize {
    match (is_asked_for(), proof.preemptions) {
        (false, usual) => usual,
        (true, few @ 0..=1) => few + 1,
        (true, usual) => (usual + 1).max(4),
    }
}

pub(super) fn limit(proof: &Proof) -> Duration {
    if is_asked_for() { proof.limit.max(LIMIT) } else { proof.limit }
}

/// Makes the proof of this test in a child, deeply: its models, and the twins of what is spare.
#[track_caller]
pub(crate) fn again(test: &str) {
    let status = Command::new(env::current_exe().expect("a test binary has a path"))
        .args(["--exact", test, "--nocapture"])
        .env(DEEP, "1")
        .stdin(Stdio::null())
        .status()
        .expect("the test binary can be run");
    assert!(status.success(), "{test} fails with more preemptions, or expires");
}
