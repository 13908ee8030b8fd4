//! One turn of the timer: drain the shards, expire the heap, hand out wakers, plan the next turn.
//!
//! ```text
//!  register ──► intake ──┐                             ┌──► batch ──► wakes, outside every lock
//!     │       (due soon) ├──► heap ──► due? ───────────┤
//!     └─────► far ───────┘      ▲        dead: forget  │
//!           (due later)         └── moved to later ────┘
//! ```
//!
//! Anyone may turn. The heap is behind one lock: whoever finds it taken is not needed, because the
//! one who holds it sees everything (`shard.rs` proves it).
//!
//! # Who relies on whom
//!
//! A plan is a promise: somebody turns at the planned time or sooner. The thread that parks gives
//! it. If somebody else turns meanwhile, the shards' alarms are replaced by those of the new plan,
//! while the parked one still sleeps by the old. That is safe: the new plan can be earlier than
//! the old one only because of registrations that came before a shard's alarm was replaced, so
//! each of them has brought news, which the parked one has taken or has yet to take: it gets up in
//! time. The one exception is a turn that stops half-way because its batch is full: what it leaves
//! undone is due at once, so it brings news itself.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::batch::{Batch, contain};
use crate::clock::{self, Clock, NEVER};
use crate::heap::{Heap, Item};
use crate::park::{Parker, Up};
use crate::primitive::{AtomicU64, Mutex, Ordering, unmodelled};
use crate::shard::{AWAKE, Claim, Shard, ShardRef};

/// So many slots are moved in one go under a shard's lock, some microseconds.
const PORTION: usize = 512;
/// The same for the last visit of a turn, which nearly always finds a few.
const LAST_PORTION: usize = 4096;
/// So many portions a turn takes from one shard that is filled at the same time.
const PATIENCE: usize = 64;

/// Of the memory for items between shard and heap so much is kept.
const KEPT: usize = 4096;

pub(crate) type AroundWakes = dyn Fn(&mut dyn FnMut()) + Send + Sync;

/// What all handles of a timer, and its thread, share.
pub(crate) struct Core {
    pub(crate) owner: u64,
    pub(crate) clock: Clock,
    pub(crate) min_gap: u64,
    pub(crate) shards: Box<[ShardRef]>,
    turning: Mutex<Turning>,
    parker: Arc<Parker>,
    /// When the last turn was. Relaxed: written under the lock of `turning`; whoever reads an old
    /// value turns a little sooner than the gap asks for.
    last_turn: AtomicU64,
    /// How many wakers were handed out because their time had come. Written under the lock of `turning`.
    pub(crate) fired: unmodelled::AtomicU64,
    around_wakes: Option<Box<AroundWakes>>,
}

/// What belongs to the one who turns.
struct Turning {
    closed: bool,
    heap: Heap,
    scratch: Vec<Item>,
    /// The earliest deadline, in the future, that was news. The plan honours it also if its timer
    /// is gone: else a program that sets and cancels one timeout after the other, with nothing
    /// else pending, would bring news for each of them. So it is one needless turn for many.
    phantom: u64,
}

impl Core {
    pub(crate) fn new(
        clock: Clock,
        shards: usize,
        min_gap: Duration,
        around_wakes: Option<Box<AroundWakes>>,
    ) -> Arc<Core> {
        static OWNERS: unmodelled::AtomicU64 = unmodelled::AtomicU64::new(1);
        let owner = OWNERS.fetch_add(1, unmodelled::Ordering::Relaxed);
        let parker = Arc::new(Parker::new());
        let now = clock.now_ns();
        let core = Arc::new(Core {
            owner,
            min_gap: clock::duration_to_ns(min_gap),
            shards: (0..shards).map(|_| ShardRef::start(owner, &parker, now)).collect(),
            turning: Mutex::new(Turning {
                closed: false,
                heap: Heap::new(),
                scratch: Vec::new(),
                phantom: NEVER,
            }),
            parker,
            last_turn: AtomicU64::new(0),
            fired: unmodelled::AtomicU64::new(0),
            around_wakes,
            clock,
        });
        core.clock.drives(&core);
        core
    }

    /// Turns until nothing is due, waking in batches; returns when to turn next.
    pub(crate) fn turn_and_wake(&self) -> Option<u64> {
        let mut batch = Batch::new();
        loop {
            let now = self.clock.now_ns();
            let (next, more) = self.turning.lock().turn(self, now, &mut batch);
            self.wake(&mut batch);
            if !more {
                return next;
            }
        }
    }

    /// One turn for a foreign caller, unless somebody is at it already.
    pub(crate) fn try_turn(&self, now: u64, batch: &mut Batch) -> Option<u64> {
        let now = now.min(self.clock.now_ns());
        let Some(mut turning) = self.turning.try_lock() else {
            return Some(now.saturating_add(self.min_gap.max(1)));
        };
        let (next, more) = turning.turn(self, now, batch);
        drop(turning);
        if more {
            self.parker.unpark();
            return Some(now);
        }
        next
    }

    fn wake(&self, batch: &mut Batch) {
        if batch.is_empty() {
            return;
        }
        if let Some(around) = &self.around_wakes {
            contain(|| around(&mut || batch.wake()));
        }
        // All of them if nothing is lent, or if what is lent did not run what it was given.
        batch.wake();
    }

    pub(crate) fn unpark(&self) {
        self.parker.call();
    }

    /// Sleeps until news, until it is `wake`, or until `wish` has passed; and never wakes up for a
    /// turn before the gap since the last one is over.
    ///
    /// Each time a thread sleeps and gets up by the clock costs it some 20 to 25 µs of processor time. So a wish that comes in
    /// the gap waits for its end from the beginning, instead of sleeping twice; and news in the gap is looked at
    /// at once, if only for the first: if it is not due before the gap is over, a turn then would be for nothing. With five tasks
    /// that sleep 1 to 20 ms the thread slept 1.47 times for each sleep, and does 1.25 times; the program's CPU was 1.68 of tokio's,
    /// and is 1.48. (Of the 1.25, 0.87 find something due, about 0.2 are news, the rest the monitor's samples.)
    pub(crate) fn park(&self, wake: Option<u64>, wish: Option<Duration>) {
        let wish = wish.and_then(|wish| crate::primitive::now().checked_add(wish));
        if self.clock.is_manual() {
            self.parker.park(wish);
            return;
        }
        let gap_over = || {
            let last = self.last_turn.load(Ordering::Relaxed);
            let has_gap = self.min_gap > 0 && last > 0;
            has_gap.then(|| clock::from_ns(last.saturating_add(self.min_gap))).flatten()
        };
        let until = |wake: Option<u64>| {
            let first = wake.and_then(clock::from_ns).into_iter().chain(wish).min();
            first.max(gap_over().filter(|_| first.is_some()))
        };
        let up = self.parker.park(until(wake));
        let is_early = |end: &Instant| crate::primitive::now() < *end;
        // (Who called wants a turn, whatever is planned.)
        if up == Up::News && gap_over().is_some_and(|end| is_early(&end)) {
            let plan = self.plan_again();
            self.parker.park(until(wake.into_iter().chain(plan).min()));
        }
        if let Some(gap_over) = gap_over().filter(is_early) {
            self.parker.nap(gap_over);
        }
    }

    /// A turn as of the time of the last one: nothing more is due by then, but what came since is in the plan.
    fn plan_again(&self) -> Option<u64> {
        let mut batch = Batch::new();
        let mut turning = self.turning.lock();
        let last = self.last_turn.load(Ordering::Relaxed);
        let (next, more) = turning.turn(self, last, &mut batch);
        drop(turning);
        // (If the last one was somebody else's, and stopped half-way.)
        self.wake(&mut batch);
        if more { Some(last) } else { next }
    }

    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let mut turning = self.turning.lock();
        if turning.closed {
            return None;
        }
        let waiting = self.shards.iter().filter_map(|shard| shard.earliest()).min();
        let heap = turning.first_live(self);
        waiting.into_iter().chain(heap).min().filter(|&ns| ns < NEVER)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.turning.lock().closed
    }

    pub(crate) fn heap_len(&self) -> usize {
        self.turning.lock().heap.len()
    }

    /// Ends all turns and wakes whoever still waits, once. `false`: that has been done before.
    pub(crate) fn close(&self) -> bool {
        let heap;
        {
            let mut turning = self.turning.lock();
            if std::mem::replace(&mut turning.closed, true) {
                return false;
            }
            heap = std::mem::replace(&mut turning.heap, Heap::new());
        }
        // From here on nobody turns; only entries come to the shards.
        drop(heap);
        self.parker.stop();
        let mut batch = Batch::new();
        for shard in &self.shards {
            let mut chunk = 0;
            while Shard::close(shard, self.owner, chunk, &mut batch.0) {
                self.wake(&mut batch);
                chunk += 1;
            }
        }
        true
    }
}

impl Turning {
    /// One turn: returns when the next one is planned, and whether this one stopped half-way.
    fn turn(&mut self, core: &Core, now: u64, batch: &mut Batch) -> (Option<u64>, bool) {
        if self.closed {
            return (None, false);
        }
        core.last_turn.store(now, Ordering::Relaxed);
        if self.phantom <= now {
            self.phantom = NEVER;
        }
        if self.drain(core, now) {
            self.compact(core);
        }
        let before = batch.len();
        let stopped = self.expire(core, now, batch);
        core.fired.fetch_add((batch.len() - before) as u64, unmodelled::Ordering::Relaxed);
        if stopped {
            return (Some(now), true);
        }
        self.heap.trim();
        self.settle(core, now)
    }

    /// The first visit to each shard. Returns whether the heap wants compacting.
    fn drain(&mut self, core: &Core, now: u64) -> bool {
        let mut compact = false;
        for (number, shard) in core.shards.iter().enumerate() {
            for portion in 1.. {
                let visit = shard.visit(now, number as u32, PORTION, &mut self.scratch);
                compact |= visit.compact;
                if visit.wanted > now {
                    self.phantom = self.phantom.min(visit.wanted);
                }
                if !visit.moving && (!visit.intake || portion >= PATIENCE) {
                    break;
                }
            }
        }
        self.push_scratch();
        compact
    }

    /// Hands out the wakers of what is due. Returns whether it stopped because the batch is full.
    ///
    /// First the heap, then the shards: a heap of 100,000 takes 200 ns for each step, too long to
    /// keep those waiting who register and cancel.
    fn expire(&mut self, core: &Core, now: u64, batch: &mut Batch) -> bool {
        loop {
            let room = batch.room();
            self.scratch.extend(std::iter::from_fn(|| self.heap.pop_due(now)).take(room));
            if self.scratch.is_empty() {
                return self.heap.first().is_some_and(|item| item.deadline <= now);
            }
            // All at once, because the due ones come from all shards in turn. Nobody else ever
            // holds two of these locks.
            let mut locked: Vec<_> = Vec::new();
            locked.resize_with(core.shards.len(), || None);
            for item in self.scratch.drain(..) {
                let shard = item.shard as usize;
                let state = locked[shard].get_or_insert_with(|| core.shards[shard].lock());
                match state.claim(&item, now) {
                    Claim::Due(waker) => batch.push(waker),
                    Claim::Later(deadline) => self.heap.push(Item { deadline, ..item }),
                    Claim::Far | Claim::Dead => {}
                }
            }
        }
    }

    /// The last visit to each shard: publishes the plan.
    fn settle(&mut self, core: &Core, now: u64) -> (Option<u64>, bool) {
        let gap_over = now.saturating_add(core.min_gap);
        let mut next = self.phantom;
        if let Some(item) = self.heap.first() {
            next = next.min(item.deadline);
        }
        let mut again = false;
        for (number, shard) in core.shards.iter().enumerate() {
            again |= !shard.settle(number as u32, LAST_PORTION, &mut self.scratch, |earliest| {
                next = next.min(earliest);
                // What will be looked at as soon as the gap allows cannot be asked for sooner.
                if next <= gap_over { AWAKE } else { next }
            });
        }
        self.push_scratch();
        if again {
            next = next.min(now);
        }
        ((next < NEVER).then(|| next.max(gap_over)), false)
    }

    fn push_scratch(&mut self) {
        self.heap.append(&mut self.scratch);
        self.scratch.shrink_to(KEPT);
    }

    fn compact(&mut self, core: &Core) {
        let mut locked: Vec<_> = Vec::new();
        let mut left = 0;
        self.heap.compact(|item| {
            if left == 0 {
                // Let the shards go from time to time.
                locked.clear();
                locked.resize_with(core.shards.len(), || None);
                left = PORTION;
            }
            left -= 1;
            let shard = item.shard as usize;
            locked[shard].get_or_insert_with(|| core.shards[shard].lock()).keep(item)
        });
    }

    /// The earliest deadline in the heap that is real.
    fn first_live(&mut self, core: &Core) -> Option<u64> {
        loop {
            let item = *self.heap.first()?;
            let mut state = core.shards[item.shard as usize].lock();
            // As if the time of its reference had come, but not its own.
            match state.peek(&item) {
                Some(deadline) if deadline <= item.deadline => return Some(deadline),
                Some(deadline) => {
                    self.heap.pop();
                    self.heap.push(Item { deadline, ..item });
                }
                None => {
                    state.keep(&item);
                    self.heap.pop();
                }
            }
        }
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("clock", &self.clock)
            .field("shards", &self.shards.len())
            .field("min_gap", &Duration::from_nanos(self.min_gap))
            .finish_non_exhaustive()
    }
}
