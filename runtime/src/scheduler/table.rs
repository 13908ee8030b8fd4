//! What thieves, and those who ask, may see of a runtime's workers.

use std::sync::{Arc, OnceLock, PoisonError};

use crossbeam_utils::CachePadded;

use super::os_thread::OsThread;
use super::queue::Stealer;
use super::slot::Slot;
use super::tally::{Count, Tally};
use crate::primitive::{AtomicBool, AtomicU64, Ordering};
use crate::task::cell::{AtomicSite, Header};
use crate::task::extra::Extra;
use crate::task::{Id, Runnable, TaskInfo};

/// The workers of one runtime.
#[derive(Debug)]
pub(crate) struct Table {
    /// Regular workers first, then room for spare ones.
    pub(super) entries: Box<[OnceLock<Arc<CachePadded<Entry>>>]>,
}

/// (In this order, because what a poll touches is to lie together.)
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Entry {
    pub(super) stealer: Stealer<Runnable>,
    pub(super) slot: Slot,
    pub(super) polling: PollingNow,
    pub(crate) tally: Tally,
    /// Of a spare worker: it is needed.
    summoned: AtomicBool,
    /// It is in a call that blocks, and has said so.
    gives_way: AtomicBool,
    /// Once it runs, and if the system tells of threads.
    pub(super) thread: OnceLock<OsThread>,
}

/// Which task a worker is polling (or has polled last, while it looks for the next), for those who
/// find it stuck. Two plain stores a poll.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct PollingNow {
    /// 0: none.
    id: AtomicU64,
    site: AtomicSite,
    /// How many polls have begun here.
    polls: Count,
    /// Who has a name is entered here at its first poll, when no list has it yet.
    named: std::sync::Mutex<Option<(Id, Arc<str>)>>,
}

/// One poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    id: Id,
    polls: u64,
}

/// How many tasks ended on workers, and how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) finished: u64,
    pub(crate) cancelled: u64,
    pub(crate) panicked: u64,
}

impl Table {
    /// For this many workers, and as many spare ones.
    pub(crate) fn new(workers: usize) -> Table {
        Table { entries: (0..2 * workers).map(|_| OnceLock::new()).collect() }
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (usize, &Entry)> {
        self.entries.iter().enumerate().filter_map(|(i, e)| Some((i, &***e.get()?)))
    }

    /// What the workers are polling just now.
    pub(crate) fn stuck(&self) -> Vec<TaskInfo> {
        self.entries().filter_map(|(_, entry)| entry.polling.info()).collect()
    }

    pub(crate) fn totals(&self) -> Totals {
        self.entries().fold(Totals::default(), |sum, (_, entry)| Totals {
            finished: sum.finished + entry.tally.finished.get(),
            cancelled: sum.cancelled + entry.tally.cancelled.get(),
            panicked: sum.panicked + entry.tally.panicked.get(),
        })
    }
}

impl Entry {
    pub(super) fn new(stealer: Stealer<Runnable>) -> Entry {
        Entry {
            stealer,
            slot: Slot::new(),
            polling: PollingNow::default(),
            tally: Tally::default(),
            summoned: AtomicBool::new(true),
            gives_way: AtomicBool::new(false),
            thread: OnceLock::new(),
        }
    }

    /// By its worker.
    pub(super) fn is_on_this_thread(&self) {
        if let Some(thread) = OsThread::current() {
            let _ = self.thread.set(thread);
        }
    }

    pub(crate) fn is_summoned(&self) -> bool {
        self.summoned.load(Ordering::Relaxed)
    }

    pub(super) fn summon(&self, is_needed: bool) {
        self.summoned.store(is_needed, Ordering::Relaxed);
    }

    pub(super) fn gives_way(&self) -> bool {
        self.gives_way.load(Ordering::Relaxed)
    }

    pub(super) fn give_way(&self, gives: bool) {
        self.gives_way.store(gives, Ordering::Relaxed);
    }

    /// Is its slot a source of work for others?
    #[inline]
    pub(super) fn shows_loot(&self) -> bool {
        #[cfg(filch_loom)] // A twin does not look there.
        if crate::primitive::seeded("look-past-slots") {
            return false;
        }
        self.slot.has_loot()
    }

    /// How many polls have begun here.
    #[inline]
    pub(crate) fn polls(&self) -> u64 {
        self.polling.polls.get()
    }

    /// A look that may be out of date.
    pub(crate) fn queue_len(&self) -> usize {
        self.stealer.len() + usize::from(!self.slot.is_empty())
    }
}

impl PollingNow {
    #[inline]
    pub(super) fn set(&self, task: &Header) {
        // First, for whoever sees the poll asks for its name.
        if task.extra().is_some_and(Extra::is_named) {
            self.note_name(task);
        }
        self.site.store(task.site());
        self.id.store(task.id().as_u64(), Ordering::Relaxed);
        self.polls.add(1);
    }

    #[cold]
    fn note_name(&self, task: &Header) {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if named.as_ref().is_none_or(|(id, _)| *id != task.id()) {
            let name = task.extra().and_then(Extra::name);
            let old = std::mem::replace(&mut *named, name.map(|name| (task.id(), name)));
            drop(named);
            drop(old);
        }
    }

    /// Which poll runs here, if one does.
    pub(super) fn seen(&self) -> Option<Seen> {
        let id = Id::from_u64(self.id.load(Ordering::Relaxed))?;
        Some(Seen { id, polls: self.polls.get() })
    }

    pub(super) fn clear(&self) {
        self.id.store(0, Ordering::Relaxed);
    }

    /// Of a worker that moves on meanwhile, id and site may be of two tasks; one that is stuck
    /// does not move.
    pub(super) fn info(&self) -> Option<TaskInfo> {
        let id = Id::from_u64(self.id.load(Ordering::Relaxed))?;
        let mut info = TaskInfo::bare(id, self.site.load()?);
        let named = self.named.lock().unwrap_or_else(PoisonError::into_inner).clone();
        info.name = named.filter(|(named, _)| *named == id).map(|(_, name)| name);
        Some(info)
    }
}
