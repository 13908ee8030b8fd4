//! Names for tasks that never repeat.

use std::cell::Cell;
use std::fmt;
use std::num::NonZeroU64;

use crate::primitive::tls;
use crate::primitive::unmodelled::{AtomicU64, Ordering};

/// Identifies a task for as long as the process lives.
///
/// Ids are handed out to threads in blocks, so their order says little about age.
///
/// ```
/// let (first, second) = filch::run(async {
///     (filch::spawn(async {}).id(), filch::spawn(async {}).id())
/// });
/// assert_ne!(first, second);
/// ```
#[doc(alias = "Task-N")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(NonZeroU64);

/// One write to the shared counter serves this many tasks.
const BLOCK: u64 = 1024;

static NEXT_BLOCK: AtomicU64 = AtomicU64::new(1);

tls! {
    /// The next id of this thread's block, and the end of the block.
    static BLOCK_LEFT: Cell<(u64, u64)> = Cell::new((0, 0))
}

impl Id {
    pub(crate) fn as_u64(self) -> u64 {
        self.0.get()
    }

    pub(crate) fn from_u64(id: u64) -> Option<Id> {
        NonZeroU64::new(id).map(Id)
    }

    pub(crate) fn next() -> Id {
        BLOCK_LEFT.with(|left| {
            let (mut next, mut end) = left.get();
            if next == end {
                next = NEXT_BLOCK.fetch_add(BLOCK, Ordering::Relaxed);
                end = next + BLOCK;
            }
            left.set((next + 1, end));
            Id(NonZeroU64::new(next).expect("2^64 tasks were spawned"))
        })
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({})", self.0)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
