//! Queues made of the tasks themselves: no allocation, and no lock for those who push.
//!
//! A [`Stack`] takes pushes from any thread and gives everything at once, oldest first, as a
//! [`Chain`]. With no pop of single items there is no ABA problem, and a pusher that is preempted
//! in the middle holds nobody up: until its exchange succeeds nothing has happened. An
//! [`AtomicRunnable`] holds one.
//!
//! Each holds the `Runnable`s in it: dropped, they are cancelled.
//!
//! The word that links them has a second use while a task is idle: see [`Link`].
#![allow(unsafe_code)]

use std::fmt;
use std::panic::Location;
use std::ptr::{self, NonNull};

use super::{Header, Runnable};
use crate::primitive::{AtomicPtr, Ordering, UnsafeCell, unmodelled};
use crate::task::Id;

fn set_link(task: NonNull<Header>, next: Option<NonNull<Header>>) {
    // SAFETY: rule 4: every caller holds the `Runnable` of `task`.
    unsafe { task.as_ref() }.link.set_next(next);
}

fn link(task: NonNull<Header>) -> Option<NonNull<Header>> {
    // SAFETY: as above.
    unsafe { task.as_ref() }.link.next()
}

/// What a suspended task waits for, as far as the runtime's own futures told: something foreign, a
/// future that was made somewhere, or the end of a task. In one word, because every poll carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waits(*mut Header);

/// The word is a `&'static Location`.
const SITE: usize = 0b01;
/// The word is a task's id, shifted.
const TASK: usize = 0b10;
/// With neither bit set it is a neighbour in a queue, or null.
const KIND: usize = 0b11;

const _: () = assert!(align_of::<Header>() > KIND && align_of::<Location<'_>>() > KIND);

impl Waits {
    /// For something foreign: a channel, a lock.
    pub(crate) const UNKNOWN: Waits = Waits(ptr::null_mut());

    /// For a future of the runtime that was made here.
    pub(crate) fn at(site: &'static Location<'static>) -> Waits {
        Waits(ptr::from_ref(site).cast_mut().cast::<Header>().map_addr(|site| site | SITE))
    }

    /// For the end of another task. (Where a word has 32 bits, ids above 2^30 are not told.)
    pub(crate) fn for_end_of(id: Id) -> Waits {
        match usize::try_from(id.as_u64() << 2) {
            Ok(id) => Waits(ptr::without_provenance_mut(id | TASK)),
            Err(_) => Waits::UNKNOWN,
        }
    }

    pub(crate) fn is_unknown(self) -> bool {
        self.0.is_null()
    }

    pub(crate) fn site(self) -> Option<&'static Location<'static>> {
        if self.0.addr() & KIND != SITE {
            return None;
        }
        let site = self.0.map_addr(|site| site & !KIND).cast::<Location<'static>>();
        // SAFETY: a word of this kind was made from a `&'static` in `at`, and is copied as a whole.
        Some(unsafe { &*site })
    }

    pub(crate) fn task(self) -> Option<Id> {
        if self.0.addr() & KIND != TASK {
            return None;
        }
        Id::from_u64((self.0.addr() >> 2) as u64)
    }
}

/// One word with two lives. While a task stands in a queue: the next task. While it is idle: what
/// it waits for, which any thread may want to know at any time. So the word is atomic, and its
/// lowest bits say what it is; a look at it that comes at the wrong moment finds nothing.
pub(super) struct Link {
    word: unmodelled::AtomicPtr<Header>,
    /// A witness without bytes: the queue's accesses must be ordered by the queue (rule 4).
    queue: UnsafeCell<()>,
}

impl Link {
    pub(super) fn new() -> Link {
        Link { word: unmodelled::AtomicPtr::new(ptr::null_mut()), queue: UnsafeCell::new(()) }
    }

    fn set_next(&self, next: Option<NonNull<Header>>) {
        self.queue.with_mut(|_| ());
        self.word.store(next.map_or(ptr::null_mut(), NonNull::as_ptr), Ordering::Relaxed);
    }

    fn next(&self) -> Option<NonNull<Header>> {
        self.queue.with(|_| ());
        NonNull::new(self.word.load(Ordering::Relaxed))
    }

    /// The owner of an active task that is in no queue says why it is about to park.
    pub(super) fn set_waits(&self, waits: Waits) {
        self.word.store(waits.0, Ordering::Relaxed);
    }

    pub(super) fn waits(&self) -> Waits {
        let word = self.word.load(Ordering::Relaxed);
        if word.addr() & KIND == 0 { Waits::UNKNOWN } else { Waits(word) }
    }

    /// The cell is about to be freed.
    pub(super) fn retire(&self) {
        self.queue.with_mut(|_| ());
    }
}

/// At most one task, taken and put by anybody.
pub(crate) struct AtomicRunnable(AtomicPtr<Header>);

impl AtomicRunnable {
    pub(crate) fn empty() -> AtomicRunnable {
        AtomicRunnable(AtomicPtr::new(ptr::null_mut()))
    }

    /// A look that may be out of date.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed).is_null()
    }

    pub(crate) fn swap(&self, task: Option<Runnable>) -> Option<Runnable> {
        let new = task.map_or(ptr::null_mut(), |task| task.into_raw().as_ptr());
        // Release: partner is the Acquire of the swap that takes the task out, on any thread.
        // [slot-swap]
        let old = self.0.swap(new, Ordering::AcqRel);
        NonNull::new(old).map(Runnable)
    }

    pub(crate) fn take(&self) -> Option<Runnable> {
        if self.is_empty() { None } else { self.swap(None) }
    }

    /// As `take`, for the one thread that puts tasks in, and only while nobody else can take anything: else two would have the
    /// task. (Whoever calls it says why.)
    #[inline]
    pub(crate) fn take_alone(&self) -> Option<Runnable> {
        // Relaxed: this thread put it in.
        let task = self.0.load(Ordering::Relaxed);
        self.0.store(ptr::null_mut(), Ordering::Relaxed);
        NonNull::new(task).map(Runnable)
    }

    /// As `take`, but writes nothing unless it takes: loom believes that the null which a `swap` puts in the place of another null could
    /// come after a task that was stored later.
    pub(crate) fn steal(&self) -> Option<Runnable> {
        let task = self.0.load(Ordering::Relaxed);
        if task.is_null() {
            return None;
        }
        // Acquire: as in `swap`.
        // [slot-steal]
        let taken =
            self.0.compare_exchange(task, ptr::null_mut(), Ordering::Acquire, Ordering::Relaxed);
        taken.ok().and_then(NonNull::new).map(Runnable)
    }

    /// As `swap`, for the one thread that puts tasks in: others can only empty the place, so if
    /// it is empty it stays so, and a plain store will do.
    pub(crate) fn put(&self, task: Runnable) -> Option<Runnable> {
        if !self.is_empty() {
            return self.swap(Some(task));
        }
        // Release: as in `swap`.
        // [slot-put]
        self.0.store(task.into_raw().as_ptr(), Ordering::Release);
        None
    }
}

impl Drop for AtomicRunnable {
    fn drop(&mut self) {
        drop(self.swap(None));
    }
}

impl fmt::Debug for AtomicRunnable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AtomicRunnable").field("is_empty", &self.is_empty()).finish()
    }
}

/// Tasks in order, owned by one thread.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    first: Option<NonNull<Header>>,
    len: usize,
}

// SAFETY: a chain owns the `Runnable`s in it, and those are `Send`.
unsafe impl Send for Chain {}

impl Chain {
    /// Turns what a stack held, newest first, into a chain, oldest first.
    fn reversed(mut newest: Option<NonNull<Header>>) -> Chain {
        let mut chain = Chain::default();
        while let Some(task) = newest {
            newest = link(task);
            set_link(task, chain.first);
            chain.first = Some(task);
            chain.len += 1;
        }
        chain
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn pop(&mut self) -> Option<Runnable> {
        let task = self.first?;
        self.first = link(task);
        self.len -= 1;
        Some(Runnable(task))
    }
}

impl Iterator for Chain {
    type Item = Runnable;

    fn next(&mut self) -> Option<Runnable> {
        self.pop()
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}

/// Pushed by anybody, emptied at once by anybody.
pub(crate) struct Stack(AtomicPtr<Header>);

/// Stands in a stack that takes no more. (No header has this address.)
fn closed() -> *mut Header {
    ptr::without_provenance_mut(1)
}

impl Stack {
    pub(crate) fn new() -> Stack {
        Stack(AtomicPtr::new(ptr::null_mut()))
    }

    /// Gives the task back if the stack is closed.
    pub(crate) fn push(&self, task: Runnable) -> Result<(), Runnable> {
        let task = task.into_raw();
        let mut top = self.0.load(Ordering::Relaxed);
        loop {
            if top == closed() {
                // It was not pushed, so it is still ours.
                return Err(Runnable(task));
            }
            set_link(task, NonNull::new(top));
            let new = task.as_ptr();
            // Release: partner is the Acquire of `take_all`: links and tasks are visible there.
            // [stack-push]
            match self.0.compare_exchange_weak(top, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(found) => top = found,
            }
        }
    }

    /// Everything pushed so far, oldest first.
    pub(crate) fn take_all(&self) -> Chain {
        Chain::reversed(self.take_top())
    }

    /// Everything pushed so far, oldest last. (Each task is touched once: a chain is turned round, and followed once more later.)
    pub(crate) fn take_all_into(&self, tasks: &mut Vec<Runnable>) {
        let mut top = self.take_top();
        while let Some(task) = top {
            top = link(task);
            tasks.push(Runnable(task));
        }
    }

    fn take_top(&self) -> Option<NonNull<Header>> {
        let mut top = self.0.load(Ordering::Relaxed);
        loop {
            if top.is_null() || top == closed() {
                return None;
            }
            let null = ptr::null_mut();
            // Acquire: partner is the Release of `push`. (Pushes below the newest are reached
            // through the release sequence that their successors' exchanges continue.)
            // [stack-take]
            match self.0.compare_exchange_weak(top, null, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return NonNull::new(top),
                Err(found) => top = found,
            }
        }
    }

    /// Takes no more; what was in it is handed out.
    pub(crate) fn close(&self) -> Chain {
        // Acquire: as in `take_all`. No Release: who finds the stack closed reads nothing else.
        // [stack-close]
        let top = self.0.swap(closed(), Ordering::Acquire);
        if top == closed() { Chain::default() } else { Chain::reversed(NonNull::new(top)) }
    }

    /// Takes pushes again, for the next runtime.
    pub(crate) fn reopen(&self) {
        // Relaxed: the lock over the spare schedulers hands it on to the next runtime.
        self.0.store(ptr::null_mut(), Ordering::Relaxed);
    }

    /// A look that may be out of date.
    pub(crate) fn is_empty(&self) -> bool {
        let top = self.0.load(Ordering::Relaxed);
        top.is_null() || top == closed()
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack").field("is_empty", &self.is_empty()).finish()
    }
}

/// The place where some task was spawned, read by other threads.
#[derive(Default)]
pub(crate) struct AtomicSite(unmodelled::AtomicPtr<Location<'static>>);

impl AtomicSite {
    pub(crate) fn store(&self, site: &'static Location<'static>) {
        self.0.store(ptr::from_ref(site).cast_mut(), Ordering::Relaxed);
    }

    pub(crate) fn load(&self) -> Option<&'static Location<'static>> {
        // SAFETY: null, or made from a `&'static` in `store`; locations are constants.
        unsafe { self.0.load(Ordering::Relaxed).as_ref() }
    }
}

impl fmt::Debug for AtomicSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.load().fmt(f)
    }
}
