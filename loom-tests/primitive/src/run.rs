//! What one run of a model does differently from what is written, and what it met.
//!
//! Loom runs all threads of a model on the system thread that called it, so a std thread-local is
//! exactly one run's own, and plain data in it changes nothing that loom explores.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::panic::Location;
use std::sync::atomic::Ordering;

/// The one bug of a twin.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Twin {
    /// No bug: the model itself.
    #[default]
    None,
    /// The place with this [id](Place::id) is weaker than written.
    Weakened(String),
    /// [`seeded`] says yes to this name.
    Seeded(String),
}

/// Something that may happen at any time and that loom does not do of its own accord. A run can
/// be told to let it happen at the n-th opportunity of each execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Whim {
    /// A wait on a futex or condition variable returns for no reason. Every model that sleeps on a
    /// futex should run with it: see [`Futex`](crate::Futex).
    SpuriousWake,
    /// The time of a `wait_timeout` is up.
    TimeUp,
    /// A `compare_exchange_weak` fails although the value was the expected one.
    WeakFailure,
    /// A thief loses a race at a queue that is not empty.
    StealRetry,
}

/// Which part of an operation's ordering a [`Place`] stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// All of it.
    Whole,
    /// The acquiring half of an `AcqRel`.
    Acquire,
    /// The releasing half of an `AcqRel`.
    Release,
    /// What a `compare_exchange` does when it fails.
    Failure,
    /// How a `fetch_update` reads.
    Fetch,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Whole => "",
            Part::Acquire => "acquire",
            Part::Release => "release",
            Part::Failure => "failure",
            Part::Fetch => "fetch",
        })
    }
}

/// One ordering of one operation in the source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// As the compiler was given it.
    pub file: &'static str,
    /// Of the call (in a chain of calls, of the method's name).
    pub line: u32,
    /// Likewise.
    pub column: u32,
    /// The method's name, or `fence`.
    pub operation: &'static str,
    /// Which part of the ordering.
    pub part: Part,
}

impl Place {
    /// A name that means the same in every process of one build.
    pub fn id(&self) -> String {
        format!("{}:{}:{}:{}:{}", self.file, self.line, self.column, self.operation, self.part)
    }
}

#[derive(Debug, Default)]
struct Run {
    twin: Twin,
    whim: Option<(Whim, usize)>,
    /// The opportunities this execution has had for its whim.
    opportunities: usize,
    whim_happened: bool,
    met: BTreeMap<Place, BTreeSet<String>>,
    /// What is known of each place already, by the address of its location: is it weakened?
    known: HashMap<(usize, Part, Ordering), bool>,
    asked: BTreeSet<&'static str>,
}

thread_local! {
    static RUN: RefCell<Run> = RefCell::default();
}

/// Begins a run with a bug, a whim at its n-th opportunity (counted from 1), both or neither. What
/// earlier runs of this thread met is remembered.
pub fn begin(twin: Twin, whim: Option<(Whim, usize)>) {
    RUN.with_borrow_mut(|run| {
        run.twin = twin;
        run.whim = whim;
        run.opportunities = 0;
        run.whim_happened = false;
        run.known.clear();
    });
}

/// To be called at the beginning of each execution of a model.
pub fn begin_execution() {
    RUN.with_borrow_mut(|run| run.opportunities = 0);
}

/// The places met so far by this thread's runs, with the orderings written there.
pub fn met() -> Vec<(Place, String)> {
    RUN.with_borrow(|run| {
        let join = |orderings: &BTreeSet<String>| {
            orderings.iter().map(String::as_str).collect::<Vec<_>>().join(" or ")
        };
        run.met.iter().map(|(place, orderings)| (place.clone(), join(orderings))).collect()
    })
}

/// The seeded bugs that were asked for.
pub fn asked() -> Vec<&'static str> {
    RUN.with_borrow(|run| run.asked.iter().copied().collect())
}

/// Did the run's whim come about in any execution?
pub fn whim_happened() -> bool {
    RUN.with_borrow(|run| run.whim_happened)
}

/// Is this the twin that has the bug `name`? Always false in the model itself.
pub fn seeded(name: &'static str) -> bool {
    RUN.with_borrow_mut(|run| {
        run.asked.insert(name);
        matches!(&run.twin, Twin::Seeded(chosen) if chosen == name)
    })
}

/// An opportunity for `kind`: shall it happen now?
pub fn whim(kind: Whim) -> bool {
    RUN.with_borrow_mut(|run| match run.whim {
        Some((chosen, nth)) if chosen == kind => {
            run.opportunities += 1;
            let now = run.opportunities == nth;
            run.whim_happened |= now;
            now
        }
        _ => false,
    })
}

/// Records one part of an operation; the answer: is it the weakened one?
pub(crate) fn meet(
    location: &'static Location<'static>,
    operation: &'static str,
    part: Part,
    ordering: Ordering,
) -> bool {
    let key = (std::ptr::from_ref(location).addr(), part, ordering);
    RUN.with_borrow_mut(|run| {
        if let Some(&weakened) = run.known.get(&key) {
            return weakened;
        }
        let place = Place {
            file: location.file(),
            line: location.line(),
            column: location.column(),
            operation,
            part,
        };
        let weakened = matches!(&run.twin, Twin::Weakened(id) if *id == place.id());
        run.met.entry(place).or_default().insert(format!("{ordering:?}"));
        run.known.insert(key, weakened);
        weakened
    })
}
