//! The timer against an ordered map.
//!
//! Entries are registered, moved, polled and dropped, and time moves, in any order. The model is
//! a [`BTreeMap`] of `(deadline, number)`. After every step: who was woken is who was due, once, in
//! order; nobody is ready too early or too late; the next deadline is exact; the timer holds one waker
//! for each entry that waits, and no slot for one that does not.
//!
//! What is not promised is not asked: in which order those fire whose deadline was moved, and those of
//! one deadline that were polled first on different threads.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use filch_timer::{Batch, Clock, Entry, Timer};

use crate::source::Source;
use crate::{Target, Verdict};

/// See the module.
pub const TARGET: Target = Target { name: "timer", run, longest: 600 };

/// A stretch of time, in nanoseconds; negative ones lie in the past.
type Span = i64;

const MS: i64 = 1_000_000;

/// An entry of the program is named by its place among those that live, modulo their number.
#[derive(Debug, Clone, Copy)]
enum Op {
    /// So many entries, of one deadline, polled for the first time by the thread of that shard.
    Register {
        count: u8,
        span: Span,
        shard: u8,
    },
    /// An entry with the deadline of another one.
    Tie {
        with: u8,
        shard: u8,
    },
    /// One that is not polled yet.
    Unpolled {
        span: Span,
    },
    /// One that is never due.
    Never {
        shard: u8,
    },
    Poll {
        entry: u8,
        shard: u8,
        same_waker: bool,
    },
    Reset {
        entry: u8,
        span: Span,
    },
    ResetTo {
        entry: u8,
        other: u8,
    },
    Drop {
        entry: u8,
        count: u8,
    },
    Advance {
        span: Span,
    },
    /// To the next deadline, or to so many nanoseconds before it.
    ToNext {
        early: u8,
    },
    /// Without a change of time.
    Turn {
        by_hand: bool,
    },
}

fn span(source: &mut Source<'_>) -> Span {
    let (class, value) = (source.below(10), i64::from(source.byte()));
    match class {
        0 => value,          // the same, or nearly
        1 => value * 1_000,  // below a millisecond
        2..=4 => value * MS, // near, and around where far begins
        5 => (90 + value % 64) * MS + value,
        6 => value * 20 * MS,        // seconds
        7 => value * 1_000 * MS,     // minutes
        8 => value * 3_600_000 * MS, // days
        _ => -value * 1_000,         // past
    }
}

fn op(source: &mut Source<'_>) -> Op {
    match source.below(20) {
        0..=3 => Op::Register { count: 1, span: span(source), shard: source.byte() },
        4 => Op::Register { count: source.byte(), span: span(source), shard: source.byte() },
        5 | 6 => Op::Tie { with: source.byte(), shard: source.byte() },
        7 => Op::Unpolled { span: span(source) },
        8 => Op::Never { shard: source.byte() },
        9 | 10 => {
            let (entry, flags) = (source.byte(), source.byte());
            Op::Poll { entry, shard: flags >> 1, same_waker: flags & 1 == 0 }
        }
        11 | 12 => Op::Reset { entry: source.byte(), span: span(source) },
        13 => Op::ResetTo { entry: source.byte(), other: source.byte() },
        14 => Op::Drop { entry: source.byte(), count: 1 },
        15 => Op::Drop { entry: source.byte(), count: source.byte() },
        16 => Op::Advance { span: span(source).max(0) },
        17 | 18 => Op::ToNext { early: source.below(3) },
        _ => Op::Turn { by_hand: source.below(2) == 1 },
    }
}

/// Writes down who was woken.
struct Alarm {
    number: usize,
    log: Arc<Mutex<Vec<usize>>>,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.log.lock().unwrap().push(self.number);
    }
}

/// What the model knows of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not polled since it was made, was ready, or was moved after it had fired.
    Loose,
    Waiting {
        seq: u64,
    },
    /// Woken, and not polled since.
    Woken,
}

struct Held {
    entry: Entry,
    /// `None`: never.
    deadline: Option<i64>,
    state: State,
    /// Its last waker.
    alarm: Option<Arc<Alarm>>,
    shard: u8,
    /// Nothing is promised of the order in which it fires.
    moved: bool,
}

impl Held {
    /// Of the waker.
    fn number(&self) -> usize {
        self.alarm.as_ref().map_or(0, |alarm| alarm.number)
    }
}

struct World {
    clock: Clock,
    timer: Timer,
    start: Instant,
    log: Arc<Mutex<Vec<usize>>>,
    held: Vec<Held>,
    alarms: usize,
    /// The model: who waits, in order.
    waiting: BTreeMap<(i64, u64), usize>,
    now: i64,
    seq: u64,
    fired: u64,
}

/// For an agreement: `ensure!(world, what they ought to agree on, …)`.
macro_rules! ensure {
    ($right:expr, $($text:tt)*) => {
        if !$right {
            return Err(format!($($text)*));
        }
    };
}

impl World {
    fn new(shards: u8) -> World {
        let clock = Clock::manual();
        let builder = Timer::builder().clock(clock.clone()).thread(false);
        let timer = builder.shards(shards.into()).start().expect("a timer without a thread");
        // Deadlines before the first clock of a process are all the same to it.
        clock.advance(Duration::from_secs(1));
        let start = timer.now();
        World {
            clock,
            timer,
            start,
            log: Arc::default(),
            held: Vec::new(),
            alarms: 0,
            waiting: BTreeMap::new(),
            now: 0,
            seq: 0,
            fired: 0,
        }
    }

    fn at(&self, ns: i64) -> Instant {
        let distance = Duration::from_nanos(ns.unsigned_abs());
        if ns < 0 { self.start - distance } else { self.start + distance }
    }

    fn pick(&self, entry: u8) -> Option<usize> {
        (!self.held.is_empty()).then(|| usize::from(entry) % self.held.len())
    }

    fn add(&mut self, entry: Entry, deadline: Option<i64>) -> usize {
        let held =
            Held { entry, deadline, state: State::Loose, alarm: None, shard: 0, moved: false };
        self.held.push(held);
        self.held.len() - 1
    }

    fn poll(&mut self, index: usize, shard: u8, same_waker: bool) -> Verdict {
        filch_timer::set_shard(shard.into());
        let held = &mut self.held[index];
        let old = held.alarm.take().filter(|_| same_waker);
        let alarm = old.unwrap_or_else(|| {
            self.alarms += 1;
            Arc::new(Alarm { number: self.alarms, log: Arc::clone(&self.log) })
        });
        let waker = Waker::from(Arc::clone(&alarm));
        let ready = held.entry.poll(&self.timer, &mut Context::from_waker(&waker));
        let due = held.deadline.is_some_and(|deadline| deadline <= self.now);
        ensure!(
            ready == if due { Poll::Ready(()) } else { Poll::Pending },
            "entry {index} is {ready:?}, and its deadline {:?}",
            held.deadline
        );
        if let (true, State::Waiting { seq }) = (due, held.state) {
            // It was moved to the past, and nobody has turned since.
            self.waiting.remove(&(held.deadline.unwrap_or(i64::MAX), seq));
        }
        held.alarm = Some(alarm);
        held.state = match held.state {
            _ if due => State::Loose,
            State::Waiting { seq } => State::Waiting { seq },
            _ => {
                self.seq += 1;
                held.shard = shard % self.timer.stats().shards as u8;
                held.moved = false;
                self.waiting.insert((held.deadline.unwrap_or(i64::MAX), self.seq), index);
                State::Waiting { seq: self.seq }
            }
        };
        Ok(())
    }

    fn reset(&mut self, index: usize, deadline: i64) {
        let at = self.at(deadline);
        let held = &mut self.held[index];
        held.entry.reset(at);
        let old = held.deadline.replace(deadline).unwrap_or(i64::MAX);
        held.moved = true;
        match held.state {
            State::Waiting { seq } => {
                self.waiting.remove(&(old, seq));
                self.waiting.insert((deadline, seq), index);
            }
            State::Loose | State::Woken => held.state = State::Loose,
        }
    }

    fn drop_one(&mut self, index: usize) {
        let held = self.held.swap_remove(index);
        if let State::Waiting { seq } = held.state {
            self.waiting.remove(&(held.deadline.unwrap_or(i64::MAX), seq));
        }
        let moved = self.held.len();
        self.waiting.values_mut().filter(|at| **at == moved).for_each(|at| *at = index);
    }

    /// After whatever makes the timer turn.
    fn compare_woken(&mut self) -> Verdict {
        let woken = std::mem::take(&mut *self.log.lock().unwrap());
        let later = self.waiting.split_off(&(self.now + 1, 0));
        let due = std::mem::replace(&mut self.waiting, later);
        self.fired += due.len() as u64;
        let numbers = |filter: fn(&Held) -> bool| {
            let due = due.values().map(|index| &self.held[*index]);
            due.filter(move |held| filter(held)).map(Held::number).collect::<Vec<_>>()
        };
        let sorted = |mut numbers: Vec<usize>| {
            numbers.sort_unstable();
            numbers
        };
        let expected = sorted(numbers(|_| true));
        ensure!(sorted(woken.clone()) == expected, "woken: {woken:?}, and due are {expected:?}");
        // Who fires when: by deadline, and then by registration where one thread has made both.
        let by_alarm: BTreeMap<_, _> = due
            .iter()
            .map(|(order, index)| (self.held[*index].number(), (*order, *index)))
            .collect();
        let mut last = BTreeMap::new();
        let mut latest = i64::MIN;
        for (number, ((deadline, seq), index)) in
            woken.iter().map(|number| (number, by_alarm[number]))
        {
            let held = &self.held[index];
            if held.moved {
                continue;
            }
            let before = last.insert(held.shard, (deadline, seq));
            ensure!(
                before < Some((deadline, seq)) && latest <= deadline,
                "{number} is woken too late: {woken:?}, and the order is {by_alarm:?}"
            );
            latest = deadline;
        }
        due.values().for_each(|index| self.held[*index].state = State::Woken);
        Ok(())
    }

    fn advance(&mut self, by: i64) -> Verdict {
        self.clock.advance(Duration::from_nanos(by.unsigned_abs()));
        self.now += by;
        self.compare_woken()
    }

    fn step(&mut self, op: Op) -> Verdict {
        let index = |entry: u8| self.pick(entry);
        match op {
            Op::Register { count, span, shard } => {
                let deadline = self.now + span;
                for _ in 0..count {
                    let index = self.add(Entry::at(self.at(deadline)), Some(deadline));
                    self.poll(index, shard, false)?;
                }
            }
            Op::Tie { with, shard } => {
                let Some(other) = index(with) else { return Ok(()) };
                let deadline = self.held[other].deadline;
                let entry =
                    deadline.map_or_else(Entry::never, |deadline| Entry::at(self.at(deadline)));
                let index = self.add(entry, deadline);
                self.poll(index, shard, false)?;
            }
            Op::Unpolled { span } => {
                let span = span.max(0);
                let entry = self.timer.entry(Duration::from_nanos(span.unsigned_abs()));
                self.add(entry, Some(self.now + span));
            }
            Op::Never { shard } => {
                let index = self.add(Entry::never(), None);
                self.poll(index, shard, false)?;
            }
            Op::Poll { entry, shard, same_waker } => {
                let Some(index) = index(entry) else { return Ok(()) };
                self.poll(index, shard, same_waker)?;
            }
            Op::Reset { entry, span } => {
                let Some(index) = index(entry) else { return Ok(()) };
                self.reset(index, self.now + span);
            }
            Op::ResetTo { entry, other } => {
                let (Some(index), Some(other)) = (index(entry), index(other)) else {
                    return Ok(());
                };
                let Some(deadline) = self.held[other].deadline else { return Ok(()) };
                self.reset(index, deadline);
            }
            Op::Drop { entry, count } => {
                for _ in 0..count {
                    let Some(index) = self.pick(entry) else { break };
                    self.drop_one(index);
                }
            }
            Op::Advance { span } => self.advance(span)?,
            Op::ToNext { early } => {
                let next = self.waiting.keys().next().map_or(i64::MAX, |(deadline, _)| *deadline);
                if next < i64::MAX {
                    self.advance((next - i64::from(early) - self.now).max(0))?;
                }
            }
            Op::Turn { by_hand: false } => {
                self.timer.turn_now();
                self.compare_woken()?;
            }
            Op::Turn { by_hand: true } => {
                let mut batch = Batch::new();
                while self.timer.turn(self.clock.now(), &mut batch) == Some(self.clock.now()) {
                    batch.wake();
                }
                batch.wake();
                self.compare_woken()?;
            }
        }
        self.compare()
    }

    /// What must hold after every step.
    fn compare(&self) -> Verdict {
        let log = self.log.lock().unwrap();
        ensure!(log.is_empty(), "woken without a turn: {log:?}");
        let next = self.waiting.keys().next().map(|(deadline, _)| *deadline);
        let next = next.filter(|deadline| *deadline < i64::MAX).map(|deadline| self.at(deadline));
        let says = self.timer.next_deadline();
        ensure!(says == next, "the next deadline is {says:?}, and should be {next:?}");
        let stats = self.timer.stats();
        let slots = self.held.iter().filter(|held| held.state != State::Loose).count();
        ensure!(stats.registered == slots, "{} are registered of {slots}", stats.registered);
        ensure!(stats.fired == self.fired, "{} have fired of {}", stats.fired, self.fired);
        for held in &self.held {
            let wakers = held.alarm.as_ref().map_or(1, Arc::strong_count);
            let waits = matches!(held.state, State::Waiting { .. });
            ensure!(wakers == 1 + usize::from(waits), "{wakers} wakers, {:?}", held.state);
            let deadline = held.deadline.map(|deadline| self.at(deadline));
            let elapsed = held.deadline.is_some_and(|deadline| deadline <= self.now);
            ensure!(held.entry.deadline() == deadline, "{:?} is due {deadline:?}", held.entry);
            ensure!(held.entry.is_elapsed(&self.timer) == elapsed, "{elapsed}: {:?}", held.entry);
        }
        Ok(())
    }

    /// Nothing is left when all is dropped; or everybody hears of the end, once.
    fn end(mut self, by_shutdown: bool) -> Verdict {
        if by_shutdown {
            self.timer.shutdown();
            let mut woken = std::mem::take(&mut *self.log.lock().unwrap());
            woken.sort_unstable();
            let mut waited: Vec<_> =
                self.waiting.values().map(|index| self.held[*index].number()).collect();
            waited.sort_unstable();
            ensure!(woken == waited, "woken at the end: {woken:?}, and waited have {waited:?}");
            self.held.clear();
            ensure!(Arc::strong_count(&self.log) == 1, "a waker is left behind");
            return Ok(());
        }
        while !self.held.is_empty() {
            self.drop_one(self.held.len() / 2);
        }
        self.timer.turn_now();
        self.compare()?;
        ensure!(Arc::strong_count(&self.log) == 1, "a waker is left behind");
        let stats = self.timer.stats();
        ensure!(stats.heap == stats.dead, "{stats:?} when nobody is left");
        ensure!(stats.dead <= 1024 * stats.shards, "the dead ones stay: {stats:?}");
        ensure!(stats.slots <= 512 * stats.shards, "memory stays: {stats:?}");
        self.advance(1_000_000 * 3_600_000 * MS)?;
        let stats = self.timer.stats();
        ensure!(stats.heap == 0, "{stats:?} after a hundred years");
        Ok(())
    }
}

/// Decodes a program and runs it.
///
/// # Errors
///
/// If timer and model disagree.
pub fn run(bytes: &[u8]) -> Verdict {
    let mut source = Source::new(bytes);
    let (shards, by_shutdown) = (1 + source.below(3), source.below(4) == 1);
    let mut ops = Vec::new();
    while !source.is_over() && ops.len() < 1000 {
        ops.push(op(&mut source));
    }
    let mut world = World::new(shards);
    let how = |step: usize, what: &str| {
        let ops: Vec<_> = ops[..step].iter().map(|op| format!("    {op:?}")).collect();
        format!("{what}\n  {shards} shards, shutdown: {by_shutdown}, after\n{}", ops.join("\n"))
    };
    for (number, op) in ops.iter().enumerate() {
        world.step(*op).map_err(|what| how(number + 1, &what))?;
        // (Entries are looked at one by one after each step.)
        if world.held.len() > 4000 {
            break;
        }
    }
    world.end(by_shutdown).map_err(|what| how(ops.len(), &what))
}
