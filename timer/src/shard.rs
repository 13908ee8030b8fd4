//! Per-worker intake: insert, O(1) cancel, "is this news?"
//!
//! A shard is one lock around the timers that one worker registered. The worker takes it for some
//! nanoseconds at each registration and cancellation, nearly always uncontended; whoever turns the
//! timer takes it a few times in each turn. What is due soon is kept in the intake list until a
//! turn moves it to the heap, what is due later in `far.rs`. Cancelled before that, a timer never
//! touches the heap.
//!
//! # The protocol: registering while the turner goes to sleep
//!
//! The turner plans its next turn from what it has seen, and sleeps till then. A registration that
//! it has not seen and that is due earlier must bring it news. The race is between
//!
//! * **the one who registers**: under the shard's lock, links the slot and compares its deadline
//!   with the shard's `alarm`; after unlocking, unparks the turner if the deadline is earlier;
//! * **the turner**, for each shard under its lock: takes the intake and sets `alarm` to when it
//!   plans to wake; after unlocking the last shard, parks.
//!
//! Both sides do both steps inside *one* critical section of *one* lock. If the registration comes
//! first, the turner finds it and plans with it. If the turner comes first, the registration finds
//! the alarm and brings news, and news that arrives before the turner sleeps keeps it awake (see
//! `park.rs`). There is no third case.
//!
//! A turn visits every shard twice. At its beginning it takes what is there and leaves the alarm as
//! it is: whoever turns need not be the one who sleeps by it, and a registration that comes between
//! the visits must reach that one, too. (If it is the sleeper himself who turns, because his time
//! has come, the alarm has passed as well, and brings no needless news.) At its end, when the heap
//! knows the next deadline, it takes what came meanwhile and sets the alarm in the same breath. While
//! the second round goes over the shards the plan can only move to an earlier time (a later shard
//! held something earlier), so shards visited before hold an alarm that is too late. That errs on
//! the safe side: needless news, never a missed one.
//!
//! Whoever brings news sets the alarm to [`AWAKE`] first, so that one shard brings it only once
//! for each turn. This is right because the news is as good as delivered: nobody can make the
//! turner overlook it, and the turn that follows begins with this shard's intake.
//!
//! Rejected: a Dekker handshake (push, fence, look at one published wake time; publish, fence,
//! look at every shard again). Its two `SeqCst` fences cost 8 ns for each registration, and it needs
//! the lock besides.
//!
//! # Life, shutdown, second life
//!
//! An entry must reach its shard to cancel, long after its timer may be gone, and an `Arc` in each
//! entry would cost two atomic operations for each sleep. So shards are never freed: a timer takes
//! them from a global list of spares, and they go back when the timer has been shut down *and* no
//! entry refers to them. `owner` names the present life; a timer handle that outlived its shards
//! compares it and finds out.

use std::borrow::Borrow;
use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::task::Waker;

use crate::clock::CLOSED;
use crate::far::Far;
use crate::heap::Item;
use crate::park::Parker;
use crate::primitive::{AtomicU64, Mutex, Ordering, global, seeded, tls, unmodelled};
use crate::slab::{INTAKE, MOVING, Slab};

/// The alarm when the turner has been told to get up, or will get up sooner than anybody may ask
/// it to.
pub(crate) const AWAKE: u64 = 0;

/// So long an intake brings news: it is taken in portions rather than all at once.
const INTAKE_LIMIT: usize = 4096;

/// So many dead references to this shard may stay in the heap, or as many as there are live ones.
const DEAD_LIMIT: usize = 1024;

/// Two cache lines to itself: neighbours belong to other workers.
#[repr(align(128))]
pub(crate) struct Shard {
    /// The time of the last turn, or [`CLOSED`]. Written under the lock, read without.
    turned: AtomicU64,
    state: Mutex<State>,
}

pub(crate) struct State {
    owner: u64,
    parker: Option<Arc<Parker>>,
    closed: bool,
    /// The same as [`Shard::turned`].
    turned: u64,
    /// What is due earlier than this is news.
    alarm: u64,
    /// The earliest deadline that was news since the last turn.
    wanted: u64,
    /// Counts what has gone to the heap.
    seq: u64,
    slab: Slab,
    /// About how many slots the intake list holds.
    intake: usize,
    far: Far,
    /// Slots that the heap refers to.
    in_heap: usize,
    /// References in the heap to slots of ours that are no longer what they were.
    dead: usize,
}

/// Someone to unpark as soon as no lock is held.
#[must_use = "news must be brought"]
pub(crate) struct News(Option<Arc<Parker>>);

impl News {
    const NONE: News = News(None);

    #[inline]
    pub(crate) fn bring(self) {
        if let Some(parker) = self.0.filter(|_| !seeded("timer-no-news")) {
            parker.unpark();
        }
    }
}

/// Why a registration was refused. The waker comes back to be dropped without locks.
pub(crate) enum Refused {
    /// The deadline has passed.
    Due(Waker),
    /// The timer was shut down.
    Closed(Waker),
}

/// What became of a slot.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Held {
    Pending,
    /// Its waker has been taken: it was due.
    Fired,
    /// Its waker has been taken: the timer was shut down.
    Closed,
}

/// What a reference in the heap that has come up turns out to be.
pub(crate) enum Claim {
    Due(Waker),
    /// Its deadline was moved: the same reference is due at this time.
    Later(u64),
    /// Its deadline was moved so far that it went back to the shard.
    Far,
    Dead,
}

/// What the first visit of a turn leaves.
pub(crate) struct Visit {
    /// Buckets that have come near are not all dealt out.
    pub(crate) moving: bool,
    pub(crate) intake: bool,
    pub(crate) compact: bool,
    pub(crate) wanted: u64,
}

/// What there is to know about one shard.
#[derive(Default)]
pub(crate) struct Census {
    pub(crate) registered: usize,
    pub(crate) slots: usize,
    pub(crate) dead: usize,
}

impl Shard {
    fn new() -> Shard {
        Shard {
            turned: AtomicU64::new(CLOSED),
            state: Mutex::new(State {
                owner: 0,
                parker: None,
                closed: true,
                turned: CLOSED,
                alarm: AWAKE,
                wanted: CLOSED,
                seq: 0,
                slab: Slab::new(),
                intake: 0,
                far: Far::new(),
                in_heap: 0,
                dead: 0,
            }),
        }
    }

    /// The time of the last turn, or [`CLOSED`].
    ///
    /// Ordering: Relaxed. A value that is too old only says "not due yet", to an entry whose waker
    /// is still registered or about to be woken; and whoever polls *because* of that wake
    /// comes after the store, through the lock that the waker was taken under.
    #[inline]
    pub(crate) fn turned(&self) -> u64 {
        self.turned.load(Ordering::Relaxed)
    }

    fn set_turned(&self, state: &mut State, turned: u64) {
        state.turned = turned;
        self.turned.store(turned, Ordering::Relaxed);
    }

    /// Gives the shard to a timer.
    fn begin_life(&self, owner: u64, parker: &Arc<Parker>, now: u64) {
        let mut state = self.state.lock();
        let old_slab = std::mem::replace(&mut state.slab, Slab::new());
        state.owner = owner;
        state.parker = Some(Arc::clone(parker));
        state.closed = false;
        // Nobody has turned: whatever is registered first is news.
        state.alarm = CLOSED;
        state.wanted = CLOSED;
        state.intake = 0;
        state.far = Far::new();
        state.in_heap = 0;
        state.dead = 0;
        self.set_turned(&mut state, now);
        drop(state);
        drop(old_slab);
    }

    /// Registers a timer; returns its slot.
    #[inline]
    pub(crate) fn register(
        &self,
        owner: u64,
        deadline: u64,
        waker: Waker,
    ) -> Result<(u32, News), Refused> {
        let mut state = self.state.lock();
        if state.closed || state.owner != owner {
            return Err(Refused::Closed(waker));
        }
        if deadline <= state.turned {
            return Err(Refused::Due(waker));
        }
        let index = state.slab.take();
        state.slab.get_mut(index).waker = Some(waker);
        let news = state.link(index, deadline);
        Ok((index, news))
    }

    /// Replaces the waker of a slot. The one that is not needed comes back to be dropped without
    /// locks.
    pub(crate) fn set_waker(&self, index: u32, waker: Waker) -> (Held, Option<Waker>) {
        let mut state = self.state.lock();
        let closed = state.closed;
        let slot = state.slab.get_mut(index);
        if slot.fired() && !seeded("timer-waker-too-late") {
            return (if closed { Held::Closed } else { Held::Fired }, Some(waker));
        }
        (Held::Pending, slot.waker.replace(waker))
    }

    /// Moves the deadline of a slot, unless it has fired.
    ///
    /// What the heap refers to and is now due later stays where it is: its reference comes up too
    /// early and is put back then. So a read timeout that is moved with each read costs a store.
    pub(crate) fn reset(&self, index: u32, deadline: u64) -> Result<News, Held> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let slot = state.slab.get_mut(index);
        if slot.fired() {
            return Err(if state.closed { Held::Closed } else { Held::Fired });
        }
        if slot.in_heap() {
            if deadline >= slot.deadline {
                slot.deadline = deadline;
                return Ok(News::NONE);
            }
            state.in_heap -= 1;
            state.dead += 1;
        } else {
            state.unlink(index);
        }
        Ok(state.link(index, deadline))
    }

    /// Takes a slot back, whatever has become of it.
    ///
    /// `self` by its shared form, since the last entry of a closed shard sends it to the spares.
    #[inline]
    pub(crate) fn release(this: &ShardRef, index: u32) -> (Option<Waker>, News) {
        let mut guard = this.state.lock();
        let state = &mut *guard;
        let slot = state.slab.get(index);
        let mut news = News::NONE;
        if slot.in_heap() {
            state.in_heap -= 1;
            state.dead += 1;
            if state.wants_compacting() {
                news = state.news();
            }
        } else if !slot.fired() {
            state.unlink(index);
        }
        let waker = state.slab.give(index);
        if state.closed {
            let over = state.end_life();
            drop(guard);
            retire(this, over);
        }
        (waker, news)
    }

    /// The first visit of a turn. Pushes a portion of what the heap has to know to `out`.
    pub(crate) fn visit(
        &self,
        now: u64,
        number: u32,
        portion: usize,
        out: &mut Vec<Item>,
    ) -> Visit {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if state.turned < now {
            self.set_turned(state, now);
        }
        if seeded("timer-alarm-off") {
            state.alarm = AWAKE;
        }
        state.far.advance(&mut state.slab, now);
        state.drain(number, portion, out);
        Visit {
            moving: state.slab.first(MOVING).is_some(),
            intake: state.slab.first(INTAKE).is_some(),
            compact: state.wants_compacting(),
            wanted: std::mem::replace(&mut state.wanted, CLOSED),
        }
    }

    /// The second visit of a turn: takes what came meanwhile and sets the alarm.
    ///
    /// `plan` makes the alarm from the shard's own earliest deadline; it is not called, and the
    /// alarm stays [`AWAKE`], if there is more than a portion: then the turner must come again.
    pub(crate) fn settle(
        &self,
        number: u32,
        portion: usize,
        out: &mut Vec<Item>,
        plan: impl FnOnce(u64) -> u64,
    ) -> bool {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let from = out.len();
        if !seeded("timer-no-second-visit") {
            state.drain(number, portion, out);
            if state.slab.first(INTAKE).is_some() {
                return false;
            }
        }
        let near = out[from..].iter().map(|item| item.deadline).min();
        let far = state.far.wake_at(&state.slab);
        let earliest = near.into_iter().chain(far).min();
        state.alarm = plan(earliest.unwrap_or(CLOSED));
        true
    }

    /// The earliest deadline that the heap does not know.
    pub(crate) fn earliest(&self) -> Option<u64> {
        let state = self.state.lock();
        let slab = &state.slab;
        let intake = slab.iter(INTAKE).map(|slot| slot.deadline).min();
        intake.into_iter().chain(state.far.earliest(slab)).min()
    }

    pub(crate) fn lock(&self) -> impl DerefMut<Target = State> + '_ {
        self.state.lock()
    }

    /// Shutdown: refuses new registrations and hands out the wakers of one chunk after another.
    /// `false`: there are no more.
    pub(crate) fn close(
        this: &ShardRef,
        owner: u64,
        chunk: usize,
        wakers: &mut Vec<Waker>,
    ) -> bool {
        let mut guard = this.state.lock();
        let state = &mut *guard;
        // After the first portion the last entry may have gone, and the shard with it.
        if state.owner != owner {
            return false;
        }
        if !state.closed {
            state.closed = true;
            state.parker = None;
            state.alarm = AWAKE;
            this.set_turned(state, CLOSED);
        }
        if chunk < state.slab.chunks() {
            for slot in state.slab.chunk_mut(chunk) {
                if let Some(waker) = slot.waker.take() {
                    slot.set_fired();
                    wakers.push(waker);
                }
            }
            return true;
        }
        let over = state.end_life();
        drop(guard);
        retire(this, over);
        false
    }

    pub(crate) fn census(&self) -> Census {
        let state = self.state.lock();
        Census { registered: state.slab.live(), slots: state.slab.capacity(), dead: state.dead }
    }
}

impl State {
    /// Links a slot that is in no list.
    #[inline]
    fn link(&mut self, index: u32, deadline: u64) -> News {
        self.slab.get_mut(index).deadline = deadline;
        if self.far.is_far(deadline) {
            self.far.link(&mut self.slab, index, deadline);
        } else {
            self.slab.push_back(INTAKE, index);
            self.intake += 1;
        }
        if deadline < self.alarm {
            self.wanted = self.wanted.min(deadline);
            return self.news();
        }
        if self.intake >= INTAKE_LIMIT { self.news() } else { News::NONE }
    }

    #[inline]
    fn unlink(&mut self, index: u32) {
        // What is near is in the intake, or (during a turn) in the list being dealt out; a slot
        // does not know which. So the count may come out too small until the next drain.
        let near = !self.far.is_far(self.slab.get(index).deadline);
        self.intake = self.intake.saturating_sub(usize::from(near));
        if let Some(list) = self.slab.unlink(index) {
            self.far.emptied(list);
        }
    }

    #[cold]
    fn news(&mut self) -> News {
        if self.alarm == AWAKE {
            return News::NONE;
        }
        self.alarm = AWAKE;
        News(self.parker.clone())
    }

    fn wants_compacting(&self) -> bool {
        self.dead > DEAD_LIMIT.max(self.in_heap)
    }

    /// Moves up to `portion` slots to the heap, or to the far bucket they belong to.
    fn drain(&mut self, number: u32, portion: usize, out: &mut Vec<Item>) {
        for _ in 0..portion {
            let Some(index) = self.slab.first(MOVING).or_else(|| self.slab.first(INTAKE)) else {
                self.intake = 0;
                return;
            };
            self.unlink(index);
            let slot = self.slab.get_mut(index);
            let deadline = slot.deadline;
            if self.far.is_far(deadline) {
                self.far.link(&mut self.slab, index, deadline);
            } else {
                // In the order of their registration, because lists keep it.
                self.seq += 1;
                slot.set_in_heap(self.seq);
                self.in_heap += 1;
                out.push(Item { deadline, seq: self.seq, shard: number, slot: index });
            }
        }
    }

    /// What a reference in the heap, whose time has come, refers to.
    pub(crate) fn claim(&mut self, item: &Item, now: u64) -> Claim {
        let Some(slot) = self.slab.find_in_heap(item.slot, item.seq) else {
            self.dead -= 1;
            return Claim::Dead;
        };
        let deadline = slot.deadline;
        if deadline <= now {
            slot.set_fired();
            self.in_heap -= 1;
            return match slot.waker.take() {
                Some(waker) => Claim::Due(waker),
                None => unreachable!("a slot in the heap has a waker"),
            };
        }
        if self.far.is_far(deadline) {
            self.in_heap -= 1;
            self.far.link(&mut self.slab, item.slot, deadline);
            return Claim::Far;
        }
        Claim::Later(deadline)
    }

    /// The deadline of what a reference in the heap refers to.
    pub(crate) fn peek(&mut self, item: &Item) -> Option<u64> {
        self.slab.find_in_heap(item.slot, item.seq).map(|slot| slot.deadline)
    }

    /// Whether a reference in the heap is still good; forgets it if not.
    pub(crate) fn keep(&mut self, item: &Item) -> bool {
        let live = self.slab.find_in_heap(item.slot, item.seq).is_some();
        self.dead -= usize::from(!live);
        live
    }

    /// If nothing refers to this closed shard any more, takes what it held.
    fn end_life(&mut self) -> Option<Slab> {
        if self.slab.live() > 0 || self.owner == 0 {
            return None;
        }
        self.owner = 0;
        Some(std::mem::replace(&mut self.slab, Slab::new()))
    }
}

tls! {
    /// Which shard this thread registers in, or [`UNDECIDED`].
    static SHARD: Cell<usize> = Cell::new(UNDECIDED)
}

const UNDECIDED: usize = usize::MAX;

/// Chooses the shard that sleeps first polled on this thread are registered in: the one with this
/// number, modulo the timer's number of shards.
///
/// A runtime calls it once on each of its worker threads, so that no two of them share a lock.
/// Threads that never call it are spread over the shards in turn. It is a matter of speed only.
///
/// # Examples
///
/// ```
/// use filch_timer::{Clock, Timer};
///
/// let timer = Timer::builder().clock(Clock::manual()).shards(2).start()?;
/// let workers: Vec<_> = (0..2)
///     .map(|index| std::thread::spawn(move || filch_timer::set_shard(index)))
///     .collect();
/// for worker in workers {
///     assert!(worker.join().is_ok());
/// }
/// # drop(timer);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn set_shard(index: usize) {
    SHARD.with(|shard| shard.set(if index == UNDECIDED { 0 } else { index }));
}

/// The shard of the current thread among `count`, which is not zero.
#[inline]
pub(crate) fn current(count: usize) -> usize {
    let index = SHARD.with(Cell::get);
    if index < count { index } else { current_slow(index, count) }
}

#[cold]
fn current_slow(index: usize, count: usize) -> usize {
    // Not modelled: models with several shards choose.
    global! { static NEXT: unmodelled::AtomicUsize = unmodelled::AtomicUsize::new(0) }
    if index != UNDECIDED {
        return index % count;
    }
    let index = NEXT.fetch_add(1, unmodelled::Ordering::Relaxed) % (UNDECIDED >> 1);
    set_shard(index);
    index % count
}

/// A shard that is never freed; under loom one for a single run, which nothing modelled may
/// outlive.
pub(crate) struct ShardRef(spares::Home);

impl Deref for ShardRef {
    type Target = Shard;

    #[inline]
    fn deref(&self) -> &Shard {
        Borrow::borrow(&self.0)
    }
}

impl ShardRef {
    #[inline]
    pub(crate) fn share(&self) -> ShardRef {
        ShardRef(Clone::clone(&self.0))
    }

    /// A shard that lives for the timer `owner`.
    pub(crate) fn start(owner: u64, parker: &Arc<Parker>, now: u64) -> ShardRef {
        let shard = spares::take();
        shard.begin_life(owner, parker, now);
        shard
    }
}

/// Ends what [`State::end_life`] has begun, without locks.
fn retire(shard: &ShardRef, over: Option<Slab>) {
    if let Some(slab) = over {
        drop(slab);
        spares::give(shard.share());
    }
}

#[cfg(not(filch_loom))]
mod spares {
    //! Shards between two lives. As many as ever lived at the same time, each less than half a
    //! kilobyte.

    use super::{Mutex, Shard, ShardRef};

    pub(super) type Home = &'static Shard;

    static SPARES: Mutex<Vec<ShardRef>> = Mutex::new(Vec::new());

    pub(super) fn take() -> ShardRef {
        let spare = SPARES.lock().pop();
        spare.unwrap_or_else(|| ShardRef(Box::leak(Box::new(Shard::new()))))
    }

    pub(super) fn give(shard: ShardRef) {
        SPARES.lock().push(shard);
    }
}

#[cfg(filch_loom)]
mod spares {
    use super::{Arc, Shard, ShardRef};

    pub(super) type Home = Arc<Shard>;

    pub(super) fn take() -> ShardRef {
        ShardRef(Arc::new(Shard::new()))
    }

    pub(super) fn give(_: ShardRef) {}
}
