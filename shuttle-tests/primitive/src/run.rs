//! What an exploration does differently from what is written.

use std::sync::OnceLock;

use shuttle::rand::{Rng, thread_rng};

/// Something that may happen at any time. Here it does, now and then, as the schedule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whim {
    /// A wait on a futex returns for no reason.
    SpuriousWake,
    /// A thief loses a race at a queue that is not empty.
    StealRetry,
}

/// An opportunity for `kind`: shall it happen now?
pub fn whim(kind: Whim) -> bool {
    let one_in = match kind {
        Whim::SpuriousWake => 32,
        Whim::StealRetry => 8,
    };
    thread_rng().gen_range(0..one_in) == 0
}

/// The environment's name for the bug of a twin.
pub const BUG: &str = "FILCH_SHUTTLE_BUG";

/// Is this process the twin that has the bug `name`?
pub fn seeded(name: &str) -> bool {
    static CHOSEN: OnceLock<Option<String>> = OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var(BUG).ok()).as_deref() == Some(name)
}
