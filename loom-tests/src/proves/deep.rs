//! The same models with more preemptions, for when there is time.

use std::env;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::Proof;

/// In the child that makes a proof like this, and in its children.
const DEEP: &str = "FILCH_PROOF_DEEP";

/// The seconds that each model has, if not [`SECONDS`].
const BUDGET: &str = "FILCH_DEEP_SECONDS";

/// With processors of its own none takes a tenth of it. One that needs more has expired, and fails.
const SECONDS: u64 = 600;

pub(super) fn is_asked_for() -> bool {
    env::var_os(DEEP).is_some()
}

/// Of one of its models: usually, or in a deep run.
pub(super) fn preemptions(proof: &Proof, model: usize) -> usize {
    if is_asked_for() { deeply(proof, model) } else { proof.preemptions }
}

/// Four at least, and one more than usual; but two for what can only afford one otherwise; and never more than the model
/// [ends with](Proof::deepest). Nor less than usual, though that may be all there is.
fn deeply(proof: &Proof, model: usize) -> usize {
    let usual = proof.preemptions;
    let wanted = match usual {
        few @ 0..=1 => few + 1,
        usual => (usual + 1).max(4),
    };
    match proof.models[model].deepest {
        None => wanted,
        Some(most) => {
            assert!(
                (usual..wanted).contains(&most),
                "\"{}\" has {usual} preemptions usually, and {wanted} deeply: {most} is no bound between",
                proof.models[model].name
            );
            most
        }
    }
}

pub(super) fn limit(proof: &Proof) -> Duration {
    if !is_asked_for() {
        return proof.limit;
    }
    let seconds = env::var(BUDGET).ok().map(|text| match text.parse() {
        Ok(seconds) => seconds,
        Err(_) => panic!("{BUDGET}={text} is no number of seconds"),
    });
    Duration::from_secs(seconds.unwrap_or(SECONDS))
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
    assert!(
        status.success(),
        "{test} fails with more preemptions, or expires ({BUDGET} gives it more time)"
    );
}
